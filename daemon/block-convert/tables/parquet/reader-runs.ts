/** The hybrid of runs and bit-packed groups in which Parquet keeps levels and dictionary indices. */
import { ConversionError } from '../../errors.ts'

/** Bits of one value; a dictionary of more than 16 million entries would be no dictionary. */
const WIDTH_MAX = 24

/**
 * Decodes exactly `count` values from `bytes[from, to)`. Nothing outside of the range is read, and nothing beyond
 * `count` is written, whatever the run headers say.
 *
 * @throws ConversionError `bad-input`
 */
export function decodeRuns (bytes: Uint8Array, from: number, to: number, width: number, count: number): Uint8Array | Int32Array {
  if (width > WIDTH_MAX) throw new ConversionError('bad-input', `malformed Parquet page: values of ${width} bits`)
  if (to > bytes.length || from > to) throw new ConversionError('bad-input', 'malformed Parquet page: its levels or indices end outside of it')
  const out = width <= 8 ? new Uint8Array(count) : new Int32Array(count)
  if (width === 0) return out
  const mask = 2 ** width - 1
  const valueBytes = (width + 7) >> 3
  let position = from
  let done = 0
  while (done < count) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      if (position >= to || shift > 28) throw tooShort(done, count)
      const byte = bytes[position++] as number
      header += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    if ((header & 1) === 0) {
      const length = Math.floor(header / 2)
      if (length > count - done) throw new ConversionError('bad-input', `malformed Parquet page: a run of ${length} values where ${count - done} are left`)
      if (position + valueBytes > to) throw tooShort(done, count)
      let value = 0
      for (let i = 0; i < valueBytes; i++) value |= (bytes[position++] as number) << (8 * i)
      out.fill(value, done, done + length)
      done += length
      continue
    }
    const groups = Math.floor(header / 2)
    const length = Math.min(groups * 8, count - done)
    // the last group is padded to whole bytes; some writers leave the padding out
    if (position + Math.ceil(length * width / 8) > to) throw tooShort(done, count)
    const end = done + length
    let buffer = 0
    let bits = 0
    let next = position
    while (done < end) {
      while (bits < width) {
        buffer |= (bytes[next++] as number) << bits
        bits += 8
      }
      out[done++] = buffer & mask
      buffer >>>= width
      bits -= width
    }
    position = Math.min(position + groups * width, to)
  }
  return out
}

function tooShort (done: number, count: number): ConversionError {
  return new ConversionError('bad-input', `malformed Parquet page: ${done} of ${count} levels or indices are there`)
}
