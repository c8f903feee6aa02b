/** Cuts inputs into blocks of a fixed size. Built for very many small blocks: big reads, one digest per block. */
import { createHash, hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { ConversionError, unreadable } from '../errors.ts'
import type { BlockRecipe, BlockTarget, Input } from '../index.ts'
import { DIGEST_BYTES, READ_BYTES } from './constants.ts'

/**
 * Every input in blocks of `target.bytes` (at least 1), the last of each input smaller; an empty input has none. `units`
 * gives a block's units from its size. `origin.line` is the position of the block's first byte, counted from 1.
 */
export async function * splitBytes (inputs: Input[], target: BlockTarget, units: (size: number) => number): AsyncGenerator<BlockRecipe> {
  const length = Math.floor(target.bytes)
  if (!(length >= 1)) throw new ConversionError('bad-parameters', `blocks must have at least 1 byte, not ${target.bytes}`, { key: 'bytes' })
  let index = 0
  for (let input = 0; input < inputs.length; input++) {
    const { path, size } = inputs[input] as Input
    for await (const { offset, bytes, digest } of digests(path, size, length)) {
      yield {
        index: index++,
        parts: [{ input, offset, length: bytes }],
        size: bytes,
        digest,
        units: units(bytes),
        origin: { input, line: offset + 1 }
      }
    }
  }
}

interface Cut { offset: number, bytes: number, digest: Uint8Array }

async function * digests (path: string, size: number, length: number): AsyncGenerator<Cut> {
  const file = await open(path).catch((error: unknown) => { throw unreadable(path, error) })
  try {
    // Whole blocks per read, if a block fits into one read at all.
    const buffer = Buffer.allocUnsafe(length <= READ_BYTES ? Math.min(size, Math.floor(READ_BYTES / length) * length) : READ_BYTES)
    let offset = 0
    while (offset < size) {
      if (length > READ_BYTES) {
        const bytes = Math.min(length, size - offset)
        const state = createHash('sha256')
        for (let done = 0; done < bytes;) {
          const part = buffer.subarray(0, Math.min(buffer.byteLength, bytes - done))
          await readFully(file, part, offset + done, path)
          state.update(part)
          done += part.byteLength
        }
        yield { offset, bytes, digest: state.digest() }
        offset += bytes
        continue
      }
      const read = buffer.subarray(0, Math.min(buffer.byteLength, size - offset))
      await readFully(file, read, offset, path)
      // One allocation for all digests of a read: a Buffer for each would cost more than hashing a small block.
      const all = new Uint8Array(Math.ceil(read.byteLength / length) * DIGEST_BYTES)
      for (let at = 0, nth = 0; at < read.byteLength; at += length, nth++) {
        const block = read.subarray(at, Math.min(at + length, read.byteLength))
        all.set(hash('sha256', block, 'buffer'), nth * DIGEST_BYTES)
        yield { offset: offset + at, bytes: block.byteLength, digest: all.subarray(nth * DIGEST_BYTES, (nth + 1) * DIGEST_BYTES) }
      }
      offset += read.byteLength
    }
  } finally {
    await file.close()
  }
}

async function readFully (file: Awaited<ReturnType<typeof open>>, into: Buffer, position: number, path: string): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const { bytesRead } = await file.read(into, done, into.byteLength - done, position + done)
    if (bytesRead === 0) throw new ConversionError('input-changed', `${path} has become shorter since it was described`, { path })
    done += bytesRead
  }
}
