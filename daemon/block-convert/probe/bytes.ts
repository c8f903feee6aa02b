/** Reading a block's bytes, wherever they are. */
import { hash, createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { BlockSource } from '../index.ts'
import { READ_BYTES } from './constants.ts'

/** The block in pieces; at most READ_BYTES of a file are in memory at a time. */
export async function * chunksOf (source: BlockSource): AsyncGenerator<Uint8Array> {
  if ('bytes' in source) {
    if (source.bytes.byteLength > 0) yield source.bytes
    return
  }
  yield * createReadStream(source.path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>
}

export async function digestOf (source: BlockSource): Promise<Uint8Array> {
  if ('bytes' in source) return hash('sha256', source.bytes, 'buffer')
  const state = createHash('sha256')
  for await (const chunk of chunksOf(source)) state.update(chunk)
  return state.digest()
}

/** The whole block in memory; for results known to be small. */
export async function bytesOf (source: BlockSource): Promise<Uint8Array> {
  return 'bytes' in source ? source.bytes : await readFile(source.path)
}

export async function sizeOf (source: BlockSource): Promise<number> {
  if ('bytes' in source) return source.bytes.byteLength
  let size = 0
  for await (const chunk of chunksOf(source)) size += chunk.byteLength
  return size
}

/** Position of the first difference, or undefined if both hold the same bytes; `compared` counts equal ones. */
export async function firstDifference (a: BlockSource, b: BlockSource): Promise<{ at?: number, compared: number }> {
  const [left, right] = [chunksOf(a), chunksOf(b)]
  let x: Uint8Array = new Uint8Array()
  let y: Uint8Array = new Uint8Array()
  let compared = 0
  try {
    for (;;) {
      if (x.byteLength === 0) x = (await left.next()).value ?? x
      if (y.byteLength === 0) y = (await right.next()).value ?? y
      const length = Math.min(x.byteLength, y.byteLength)
      if (length === 0) return x.byteLength === y.byteLength ? { compared } : { at: compared, compared }
      if (Buffer.compare(x.subarray(0, length), y.subarray(0, length)) !== 0) {
        let i = 0
        while (x[i] === y[i]) i++
        return { at: compared + i, compared: compared + i }
      }
      compared += length
      x = x.subarray(length)
      y = y.subarray(length)
    }
  } finally {
    await Promise.all([left.return(undefined), right.return(undefined)])
  }
}
