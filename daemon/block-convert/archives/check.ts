/** Checks of compressed and decompressed blocks: always to the end, and every byte where they are compared. */
import { stat } from 'node:fs/promises'
import { piecesOf } from './borders.ts'
import { chunksOf, decode, type DecodeOptions } from './codecs.ts'
import { RESULT_FRAMES_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { BlockRecipe, BlockSource, Distance } from '../index.ts'
import type { ArchiveParameters } from './settings.ts'
import { RandomAccess } from '../tables/random-access.ts'

/** Decodes a compressed result to its end, checksums included; of a decompressed one nothing but the size can be wrong by itself. */
export async function inspectArchive (result: BlockSource, recipe: BlockRecipe, params: ArchiveParameters): Promise<{ units: number }> {
  const found = params.compress ? await plainSize(result, params, { mostBytes: recipe.size, mostFrames: RESULT_FRAMES_MAX }) : await sizeOf(result)
  const wanted = params.compress ? recipe.size : recipe.units
  if (wanted != null && found !== wanted) throw new ConversionError('bad-input', `block ${recipe.index}: the result holds ${found} bytes instead of ${wanted}`, { found, wanted })
  return { units: found }
}

/** Every byte of the plain side against the coded side, decoded here. */
export async function archiveDistance (original: BlockSource, result: BlockSource, recipe: BlockRecipe, params: ArchiveParameters): Promise<Distance> {
  const [plain, coded] = params.compress ? [original, result] : [result, original]
  const file = new RandomAccess(plain)
  const decoded = params.compress
    // More than the source is wrong, however much it is.
    ? decode(coded, params.encoding, { name: 'the result', expansion: Infinity, mostBytes: recipe.size + 1, mostFrames: RESULT_FRAMES_MAX, padding: 'refuse' })
    : decode(coded, params.encoding, { name: 'the source', expansion: params.expansion })
  let compared = 0
  try {
    for await (const chunk of decoded) {
      const length = Math.min(chunk.length, file.size - compared)
      const same = Buffer.from(file.read(compared, length))
      const at = Buffer.compare(same, chunk.subarray(0, length)) === 0 ? length : same.findIndex((byte, i) => byte !== chunk[i])
      compared += at
      if (at < chunk.length) return { value: 1, compared, difference: at < length ? `byte ${compared} differs` : `byte ${compared} is the end of the ${params.compress ? 'source' : 'result'}, the ${params.compress ? 'result' : 'source'} goes on` }
    }
  } catch (error) {
    if (!params.compress || !(error instanceof ConversionError) || error.code === 'input-unreadable') throw error
    return { value: 1, compared, difference: `the result cannot be read: ${error.message}` }
  } finally {
    await decoded.return(undefined)
    file.close()
  }
  if (compared < file.size) return { value: 1, compared, difference: `byte ${compared} is the end of the ${params.compress ? 'result' : 'source'}, the ${params.compress ? 'source' : 'result'} goes on` }
  return { value: 0, compared }
}

/** Structure to the end, and the total of plain bytes. */
export async function inspectWholeArchive (path: string, expected: { units?: number, blocks: number }, params: ArchiveParameters): Promise<{ units: number }> {
  const { size } = await stat(path)
  const units = params.compress ? promised({ path, size }, params) ?? await plainSize({ path, size }, params, { mostBytes: expected.units }) : size
  if (expected.units != null && units !== expected.units) throw new ConversionError('bad-input', `the output holds ${units} bytes instead of ${expected.units}`, { units, expected: expected.units })
  if (expected.blocks === 0 && units > 0) throw new ConversionError('bad-input', `the output holds ${units} bytes, but there were no blocks`)
  return { units }
}

/** Plain bytes by frame headers or indexes, if all tell; every block was decoded before it was merged. */
function promised (source: BlockSource, { encoding }: ArchiveParameters): number | undefined {
  const file = new RandomAccess(source)
  try {
    let units = 0
    // An empty file has no pieces, and is none; decoding says so. Members of gzip promise nothing.
    const pieces = file.size === 0 || encoding === 'gzip' ? undefined : piecesOf(file, encoding, 'the output')
    if (pieces == null) return undefined
    // To the end, though one that promises nothing decides: the walk is a check too.
    for (const { content } of pieces) units += content ?? NaN
    return Number.isNaN(units) ? undefined : units
  } finally {
    file.close()
  }
}

async function plainSize (source: BlockSource, { encoding }: ArchiveParameters, limits: Pick<DecodeOptions, 'mostBytes' | 'mostFrames'>): Promise<number> {
  let bytes = 0
  for await (const chunk of decode(source, encoding, { name: 'the result', expansion: Infinity, padding: 'refuse', ...limits })) bytes += chunk.length
  return bytes
}

async function sizeOf (source: BlockSource): Promise<number> {
  return 'bytes' in source ? source.bytes.length : (await stat(source.path)).size
}

/** Bytes of a part as they are, in pieces. */
export function * partBytes (part: BlockSource): Generator<Uint8Array> {
  const file = new RandomAccess(part)
  try {
    yield * chunksOf(file)
  } finally {
    file.close()
  }
}
