/**
 * The borders of zstd frames, found by walking frame and block headers (RFC 8878) without decoding. Decoders of one frame end at its
 * end and say nothing of what follows, so everything that reads more than one frame begins here.
 */
import { ZSTD_WINDOW_LOG_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { RandomAccess } from '../tables/random-access.ts'

export interface ZstdFrame {
  offset: number
  length: number
  /** Holds no data. */
  skippable: boolean
  /** Decoded bytes the header promises. */
  content?: number
  /** Decoded bytes at most, whatever it promises. */
  most: number
}

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50

/** Decoded bytes of a block at most. */
const BLOCK_MAX = 128 * 1024

/** Bytes of the longest frame header, its magic number included. */
const HEADER_MAX = 18

const DICTIONARY_BYTES = [0, 1, 2, 4]

/** @throws ConversionError `bad-input` (cut off, damaged, followed by something else) or `unsupported` (dictionary, window), naming the byte */
export function * walkZstd (file: RandomAccess, name: string, to = file.size): Generator<ZstdFrame> {
  const walk = new Walk(file, name, to)
  for (let at = 0; at < to;) {
    const frame = walk.frame(at)
    yield frame
    at += frame.length
  }
}

class Walk {
  readonly #file: RandomAccess
  readonly #name: string
  readonly #to: number
  readonly #buffer = Buffer.alloc(HEADER_MAX)

  constructor (file: RandomAccess, name: string, to: number) {
    this.#file = file
    this.#name = name
    this.#to = to
  }

  frame (offset: number): ZstdFrame {
    const head = this.#read(offset, Math.min(HEADER_MAX, this.#to - offset))
    if (head.length < 4) throw this.#bad(offset === 0 ? 'is cut off' : 'is followed by something else', offset)
    const magic = head.readUInt32LE(0)
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      if (head.length < 8) throw this.#bad('is cut off', offset)
      return this.#whole({ offset, length: 8 + head.readUInt32LE(4), skippable: true, content: 0, most: 0 })
    }
    if (magic !== FRAME_MAGIC) throw this.#bad(offset === 0 ? 'does not begin with a frame' : 'is followed by something else', offset)
    return this.#data(offset, head)
  }

  #data (offset: number, head: Buffer): ZstdFrame {
    const descriptor = head[4] ?? 0
    const single = (descriptor & 0x20) !== 0
    if ((descriptor & 0x08) !== 0) throw this.#bad('is damaged (a reserved bit is set)', offset)
    const sizeFlag = descriptor >> 6
    const sizeBytes = sizeFlag === 0 ? (single ? 1 : 0) : 1 << sizeFlag
    const dictionaryBytes = DICTIONARY_BYTES[descriptor & 3]!
    const length = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes
    if (head.length < length) throw this.#bad('is cut off', offset)
    if (dictionaryBytes > 0 && head.subarray(length - sizeBytes - dictionaryBytes, length - sizeBytes).some(byte => byte !== 0)) {
      throw new ConversionError('unsupported', `${this.#name} is compressed with a zstd dictionary, which is not in it; decompress it with the program that made it`, { bytes: offset })
    }
    const content = sizeBytes === 0 ? undefined : readSize(head, length - sizeBytes, sizeBytes)
    const window = single ? content ?? 0 : windowOf(head[5]!)
    if (window > 2 ** ZSTD_WINDOW_LOG_MAX) {
      throw new ConversionError('unsupported', `${this.#name}: its zstd frame after ${offset} bytes needs a window of ${window} bytes, at most ${2 ** ZSTD_WINDOW_LOG_MAX} are allowed; compress it again without --long`, { bytes: offset })
    }
    return this.#blocks({ offset, length, skippable: false, most: 0, ...(content != null ? { content } : {}) }, (descriptor & 4) !== 0, Math.min(window, BLOCK_MAX))
  }

  #blocks (frame: ZstdFrame, checksum: boolean, blockMax: number): ZstdFrame {
    for (;;) {
      const at = frame.offset + frame.length
      if (at + 3 > this.#to) throw this.#bad('is cut off', this.#to)
      const header = this.#read(at, 3).readUIntLE(0, 3)
      const type = (header >> 1) & 3
      const size = header >> 3
      // Raw and repeated bytes count for themselves.
      if (type === 3 || size > BLOCK_MAX) throw this.#bad('is damaged (no such block)', at)
      frame.length += 3 + (type === 1 ? 1 : size)
      frame.most += type === 2 ? blockMax : size
      if (frame.offset + frame.length > this.#to) throw this.#bad('is cut off', this.#to)
      if ((header & 1) !== 0) break
    }
    if (checksum) frame.length += 4
    return this.#whole(frame)
  }

  #whole (frame: ZstdFrame): ZstdFrame {
    if (frame.offset + frame.length > this.#to) throw this.#bad('is cut off', this.#to)
    // What is promised and cannot be is damaged; a promise of 2^64 bytes asks nobody for memory.
    if (frame.content != null && frame.content > frame.most) throw this.#bad(`is damaged (a frame promises ${frame.content} bytes and can hold ${frame.most})`, frame.offset)
    return frame
  }

  #read (offset: number, length: number): Buffer {
    const got = this.#file.readInto(this.#buffer.subarray(0, length), offset)
    if (got < length) throw this.#bad('became shorter while it was read', offset + got)
    return this.#buffer.subarray(0, got)
  }

  #bad (what: string, bytes: number): ConversionError {
    return new ConversionError('bad-input', `${this.#name}: its zstd data ${what}, after ${bytes} bytes`, { bytes })
  }
}

function windowOf (byte: number): number {
  const base = 2 ** (10 + (byte >> 3))
  return base + base / 8 * (byte & 7)
}

function readSize (head: Buffer, at: number, bytes: number): number {
  switch (bytes) {
    case 1: return head[at]!
    case 2: return head.readUInt16LE(at) + 256
    case 4: return head.readUInt32LE(at)
    // Beyond 2^53 it is not exact, and too much by far.
    default: return Number(head.readBigUInt64LE(at))
  }
}
