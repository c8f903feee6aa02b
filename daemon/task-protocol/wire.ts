/**
 * Reading and writing Protobuf primitives. Stricter than `protons-runtime` (whose reader returns values for truncated
 * varints and rounds above 2^53), and the writer appends to a slab that is handed out in pieces, one per tick.
 */
import { ProtocolError } from './errors.ts'

export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
export const FIXED32 = 5

/** Bytes of one slab. Pieces of it are given away; what is too large gets a slab of its own. */
const SLAB_BYTES = 64 << 10

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function varintLength (value: number): number {
  let length = 1
  while (value >= 128) {
    value = Math.floor(value / 128)
    length++
  }
  return length
}

/** Appends to memory it owns; `take` gives away what was written since the last `take`. */
export class Writer {
  private buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  private start = 0
  private at = 0

  /** Bytes written since the last `take`. */
  get length (): number {
    return this.at - this.start
  }

  /** The bytes written since the last `take`; the caller owns them. */
  take (): Uint8Array {
    const bytes = this.buffer.subarray(this.start, this.at)
    this.start = this.at
    return bytes
  }

  /** Forgets what was written since the last `take`. */
  drop (): void {
    this.at = this.start
  }

  /** Forgets what was written after the first `length` bytes since the last `take`. */
  truncate (length: number): void {
    this.at = this.start + length
  }

  private reserve (bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return
    const length = this.at - this.start
    const next = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * length + bytes))
    this.buffer.copy(next, 0, this.start, this.at)
    this.buffer = next
    this.start = 0
    this.at = length
  }

  /** `value` is an integer in [0, 2^53); the caller checked it. */
  varint (value: number): void {
    this.reserve(8)
    const buffer = this.buffer
    let at = this.at
    while (value >= 2147483648) {
      buffer[at++] = (value % 128) | 128
      value = Math.floor(value / 128)
    }
    while (value >= 128) {
      buffer[at++] = (value & 127) | 128
      value >>>= 7
    }
    buffer[at++] = value
    this.at = at
  }

  bytes (value: Uint8Array): void {
    this.varint(value.length)
    this.reserve(value.length)
    this.buffer.set(value, this.at)
    this.at += value.length
  }

  string (value: string): void {
    const length = Buffer.byteLength(value)
    this.varint(length)
    this.reserve(length)
    this.buffer.write(value, this.at, length, 'utf8')
    this.at += length
  }

  /** Starts something length-prefixed and expects a prefix of `prefixBytes`. Give the mark to `end`. */
  begin (prefixBytes: number): number {
    this.reserve(prefixBytes)
    const mark = this.at - this.start
    this.at += prefixBytes
    return mark
  }

  /** Writes the length in front of what came after `begin`, moving it if the prefix was guessed wrong; returns the prefix's bytes. */
  end (mark: number, prefixBytes: number): number {
    const length = this.at - this.start - mark - prefixBytes
    const needed = varintLength(length)
    if (needed !== prefixBytes) {
      this.reserve(Math.max(0, needed - prefixBytes))
      const from = this.start + mark + prefixBytes
      this.buffer.copyWithin(this.start + mark + needed, from, from + length)
      this.at += needed - prefixBytes
    }
    let at = this.start + mark
    let rest = length
    while (rest >= 128) {
      this.buffer[at++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.buffer[at] = rest
    return needed
  }
}

/** Reads from bytes it does not own; byte fields are views into them. Every failure is a ProtocolError. */
export class Reader {
  readonly buffer: Uint8Array
  at: number
  end: number

  constructor (buffer: Uint8Array, at = 0, end = buffer.length) {
    this.buffer = buffer
    this.at = at
    this.end = end
  }

  /** An unsigned integer below 2^53 in its shortest encoding. */
  varint (): number {
    const buffer = this.buffer
    let byte = this.next(buffer)
    if (byte < 128) return byte
    let value = byte & 127
    let scale = 128
    for (let i = 1; i < 8; i++) {
      byte = this.next(buffer)
      value += (byte & 127) * scale
      if (byte < 128) {
        if (byte === 0) throw new ProtocolError('malformed', 'a varint is longer than it needs to be')
        if (value > Number.MAX_SAFE_INTEGER) throw new ProtocolError('too-large', 'an integer is not below 2^53')
        return value
      }
      scale *= 128
    }
    throw new ProtocolError('too-large', 'an integer is not below 2^53')
  }

  private next (buffer: Uint8Array): number {
    if (this.at >= this.end) throw new ProtocolError('truncated', 'the bytes end inside an integer')
    return buffer[this.at++]!
  }

  /** A length that fits into what is left, at most `limit`. */
  length (limit: number): number {
    const length = this.varint()
    if (length > limit) throw new ProtocolError('too-large', `${length} bytes where at most ${limit} may be`)
    if (length > this.end - this.at) throw new ProtocolError('truncated', `${length} bytes are announced and ${this.end - this.at} are left`)
    return length
  }

  bytes (limit: number): Uint8Array {
    const length = this.length(limit)
    const bytes = this.buffer.subarray(this.at, this.at + length)
    this.at += length
    return bytes
  }

  string (limit: number): string {
    const bytes = this.bytes(limit)
    try {
      return utf8.decode(bytes)
    } catch {
      // the decoder's own message names no field and no protocol
      throw new ProtocolError('malformed', 'a text is not UTF-8')
    }
  }

  /** Skips the value of an unknown field. */
  skip (wireType: number): void {
    if (wireType === VARINT) {
      // unknown fields may be any 64-bit number, which `varint` would refuse
      for (let i = 0; i < 10; i++) if (this.next(this.buffer) < 128) return
      throw new ProtocolError('malformed', 'a varint has more than ten bytes')
    }
    if (wireType === BYTES) {
      const length = this.length(Number.MAX_SAFE_INTEGER) // moves `at` itself, so not in one statement with `+=`
      this.at += length
      return
    }
    if (wireType !== FIXED32 && wireType !== FIXED64) throw new ProtocolError('malformed', `wire type ${wireType}`)
    const size = wireType === FIXED32 ? 4 : 8
    if (size > this.end - this.at) throw new ProtocolError('truncated', 'the bytes end inside a number')
    this.at += size
  }
}
