/**
 * LZ4 frames as they stand in compressed record batches (Feather files are compressed so by default). The decoders there are take whole
 * blocks only; those of a frame may refer back to the blocks before. Output is bounded by the size announced, never grown.
 */
import { Malformed } from './flatbuffer.ts'

const FRAME_MAGIC = 0x184d2204
const FLAG = { version: 0xc0, blockChecksum: 0x10, contentSize: 0x08, contentChecksum: 0x04, dictionary: 0x01 } as const
const VERSION_1 = 0x40
const STORED = 0x80000000
/** Bytes a match is longer than its length says. */
const MATCH_MIN = 4

/** Unpacks one frame of exactly `size` bytes. Checksums are passed over: blocks have digests of their own. @throws Malformed */
export function unpackLz4Frame (input: Uint8Array, size: number): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  const need = (at: number, bytes: number): void => { if (at + bytes > input.length) throw new Malformed('an LZ4 frame is cut off') }
  need(0, 7)
  const flags = input[4] as number
  if (view.getUint32(0, true) !== FRAME_MAGIC || (flags & FLAG.version) !== VERSION_1) throw new Malformed('a compressed buffer is no LZ4 frame')
  if ((flags & FLAG.dictionary) !== 0) throw new Malformed('an LZ4 frame needs a dictionary')
  let at = (flags & FLAG.contentSize) !== 0 ? 15 : 7
  const output = new Uint8Array(size)
  let done = 0
  for (;;) {
    need(at, 4)
    const word = view.getUint32(at, true)
    at += 4
    if (word === 0) break
    const length = word & ~STORED
    need(at, length)
    const block = input.subarray(at, at + length)
    if (word >= STORED) {
      if (done + length > size) throw new Malformed('an LZ4 frame is larger than announced')
      output.set(block, done)
      done += length
    } else done = unpackBlock(block, output, done)
    at += length + ((flags & FLAG.blockChecksum) !== 0 ? 4 : 0)
  }
  if (done !== size) throw new Malformed(`an LZ4 frame has ${done} bytes instead of ${size}`)
  return output
}

/** Unpacks one block behind what is there already; gives the new end. */
function unpackBlock (input: Uint8Array, output: Uint8Array, start: number): number {
  const end = input.length
  let at = 0
  let done = start
  while (at < end) {
    const token = input[at++] as number
    let literals = token >> 4
    if (literals === 15) {
      let more = 255
      while (more === 255) {
        if (at >= end) throw new Malformed('an LZ4 block is cut off')
        more = input[at++] as number
        literals += more
      }
    }
    if (at + literals > end || done + literals > output.length) throw new Malformed('an LZ4 block is larger than announced')
    if (literals > 16) output.set(input.subarray(at, at + literals), done)
    else for (let i = 0; i < literals; i++) output[done + i] = input[at + i] as number
    at += literals
    done += literals
    if (at === end) break
    if (at + 2 > end) throw new Malformed('an LZ4 block is cut off')
    const distance = (input[at] as number) | (input[at + 1] as number) << 8
    at += 2
    let length = (token & 15) + MATCH_MIN
    if (length === 15 + MATCH_MIN) {
      let more = 255
      while (more === 255) {
        if (at >= end) throw new Malformed('an LZ4 block is cut off')
        more = input[at++] as number
        length += more
      }
    }
    if (distance === 0 || distance > done) throw new Malformed('an LZ4 block refers to bytes before its beginning')
    if (done + length > output.length) throw new Malformed('an LZ4 block is larger than announced')
    if (distance >= length && length > 16) output.copyWithin(done, done - distance, done - distance + length)
    // A match may run into itself: byte by byte it repeats.
    else for (let i = 0; i < length; i++) output[done + i] = output[done + i - distance] as number
    done += length
  }
  return done
}
