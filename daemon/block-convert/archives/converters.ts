/** The edges between bytes and their compressed forms. What comes out of a block is one member, frame or stream; what goes in may be several. */
import { open } from 'node:fs/promises'
import { chunksOf, compress, decode } from './codecs.ts'
import { ENCODING_TYPES, LZMA_VERSION, OCTETS } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { BlockResult, BlockSource, ConvertContext, Converter, Encoding, Parameters } from '../index.ts'
import { readArchiveParameters, type ArchiveParameters } from './settings.ts'
import { RandomAccess } from '../tables/random-access.ts'
import { xzMemory } from './xz.ts'

/** Raised when the rules of reading and writing change what comes out. */
const EDGE_VERSION = 1

const ENGINES: Record<Encoding, string> = {
  gzip: `zlib-${process.versions.zlib}`,
  zstd: `zstd-${process.versions['zstd'] ?? 'none'}`,
  brotli: `brotli-${process.versions.brotli}`,
  xz: `lzma-native-${LZMA_VERSION}`
}

export const archiveConverters: Converter[] = (Object.keys(ENCODING_TYPES) as Encoding[]).flatMap(encoding => [
  edge(encoding, { id: `archive/raw-${encoding}`, from: OCTETS, to: ENCODING_TYPES[encoding] }),
  edge(encoding, { id: `archive/${encoding}-raw`, from: ENCODING_TYPES[encoding], to: OCTETS })
])

function edge (encoding: Encoding, ends: Pick<Converter, 'id' | 'from' | 'to'>): Converter {
  const compressing = ends.from === OCTETS
  return {
    ...ends,
    version: `${EDGE_VERSION}+${ENGINES[encoding]}`,
    equivalence: 'byte-exact',
    // Compressors choose matches by what the processor offers; what they say decodes to the same bytes everywhere.
    deterministic: compressing ? 'content' : 'bytes',
    runs: 'process',
    // Any members go together, at whatever level.
    mergeClass: () => '',
    validate: params => validate(ends, params),
    convert: async (input, params, context) => await convert(input, readArchiveParameters(ends, params), context)
  }
}

function validate (ends: Pick<Converter, 'from' | 'to'>, params: Parameters): Parameters {
  const read = readArchiveParameters(ends, params)
  return read.compress ? { level: read.level } : { expansion: read.expansion }
}

async function convert (input: BlockSource, params: ArchiveParameters, context: ConvertContext): Promise<BlockResult> {
  if (!params.compress) {
    const units = await write(decode(input, params.encoding, { name: 'the block', expansion: params.expansion }), context)
    return { units }
  }
  const { encoding, level } = params
  const needed = encoding === 'xz' ? await xzMemory(level) : 0
  if (needed > context.memoryBytes) throw new ConversionError('unsupported', `xz at level ${level} needs ${needed} bytes of memory, ${context.memoryBytes} are allowed; use a lower --set level=`, { needed })
  await compressFile(input, encoding, { level }, context)
  return { units: 'path' in input ? input.size : input.bytes.length }
}

/** Compresses a whole file to `context.output`, with progress in bytes of the input. */
export async function compressFile (input: BlockSource, encoding: Encoding, options: { level?: number }, context: Pick<ConvertContext, 'output' | 'signal' | 'progress'>): Promise<void> {
  const file = new RandomAccess(input)
  try {
    let taken = 0
    const counted = function * (): Generator<Uint8Array> {
      for (const chunk of chunksOf(file)) {
        yield chunk
        context.progress(taken += chunk.length)
      }
    }
    await write(compress(counted(), encoding, { ...options, size: file.size }), { ...context, progress: () => {} })
  } finally {
    file.close()
  }
}

async function write (chunks: AsyncIterable<Uint8Array>, { output, signal, progress }: Pick<ConvertContext, 'output' | 'signal' | 'progress'>): Promise<number> {
  const handle = await open(output, 'wx', 0o600)
  try {
    let done = 0
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten
      progress(done += chunk.length)
    }
    return done
  } finally {
    await handle.close()
  }
}
