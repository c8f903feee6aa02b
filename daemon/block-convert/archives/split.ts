/** Blocks of bytes to be compressed, and of compressed files to be decompressed. */
import { createHash } from 'node:crypto'
import { piecesOf, type Piece } from './borders.ts'
import { chunksOf, decode, requireExpansion } from './codecs.ts'
import type { BlockRecipe, BlockTarget, Encoding, Input } from '../index.ts'
import { splitBytes } from '../probe/split.ts'
import type { ArchiveParameters } from './settings.ts'
import { inputChanged } from '../source.ts'
import { RandomAccess } from '../tables/random-access.ts'

/** `units` of a block are its plain bytes, where they are known. */
export async function * splitArchive (inputs: Input[], params: ArchiveParameters, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  if (!params.compress) yield * splitCoded(inputs, params.encoding, params.expansion, target)
  // A brotli stream cannot be followed by another one, so there is one for all.
  else yield * splitBytes(inputs, params.encoding === 'brotli' ? { bytes: Number.MAX_SAFE_INTEGER } : target, size => size)
}

async function * splitCoded (inputs: Input[], encoding: Encoding, expansion: number, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  let index = 0
  for (let input = 0; input < inputs.length; input++) {
    const { path, size } = inputs[input] as Input
    const file = new RandomAccess({ path, size })
    try {
      if (file.size !== size) throw inputChanged(path, `${size} bytes before, ${file.size} now`)
      for await (const { offset, length, content } of blocksOf(file, path, encoding, expansion, target)) {
        yield {
          index: index++,
          parts: [{ input, offset, length }],
          size: length,
          digest: digestOf(file, offset, length),
          ...(content != null ? { units: content } : {}),
          origin: { input, line: offset + 1 }
        }
      }
    } finally {
      file.close()
    }
  }
}

/** Pieces, joined until they are as large as wanted. */
async function * blocksOf (file: RandomAccess, path: string, encoding: Encoding, expansion: number, target: BlockTarget): AsyncGenerator<Piece> {
  const name = `'${path}'`
  const pieces = file.size === 0 ? undefined : piecesOf(file, encoding, name)
  let block: Piece | undefined
  let promised = 0
  for (const piece of pieces ?? []) {
    promised += piece.content ?? 0
    requireExpansion(name, encoding, file.size, promised, expansion)
    if (piece.length === file.size) break
    if (block != null && block.length >= target.bytes) {
      yield block
      block = undefined
    }
    block = block == null ? piece : joined(block, piece)
  }
  // In one piece it is converted on one machine, so nothing is lost by proving it first: a fault is told with its file's name.
  if (block == null) block = { offset: 0, length: file.size, content: await count(path, file.size, encoding, expansion) }
  yield block
}

function joined (a: Piece, b: Piece): Piece {
  return { offset: a.offset, length: a.length + b.length, ...(a.content != null && b.content != null ? { content: a.content + b.content } : {}) }
}

async function count (path: string, size: number, encoding: Encoding, expansion: number): Promise<number> {
  let bytes = 0
  for await (const chunk of decode({ path, size }, encoding, { name: `'${path}'`, expansion })) bytes += chunk.length
  return bytes
}

function digestOf (file: RandomAccess, offset: number, length: number): Uint8Array {
  const state = createHash('sha256')
  for (const chunk of chunksOf(file, offset, offset + length)) state.update(chunk)
  return state.digest()
}

