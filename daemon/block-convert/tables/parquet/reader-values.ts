/** Stored values of a Parquet column to their canonical form. The function is chosen once per leaf. */
import { isAscii, isUtf8 } from 'node:buffer'
import { readPlain } from 'hyparquet/src/plain.js'
import { malformed, requireBytes, unsupportedEncoding, viewOf, type Decoder, type Reader } from './decoder.ts'
import { ConversionError } from '../../errors.ts'
import { jsonValue } from '../json/text.ts'
import { PAGE_BYTES_MAX } from './limits.ts'
import { delta, numberDecoder } from './reader-numbers.ts'
import type { Leaf } from './schema.ts'
import { canonicalInteger } from '../values.ts'
import { decodeRuns } from './reader-runs.ts'
import { unsplit } from './stream-split.ts'

/** Bytes of one value, in a page: `bytes[start, start + length)`. */
type FromBytes = (bytes: Uint8Array, start: number, length: number) => unknown

/** Bytes of a stored decimal: 38 digits need 16, more are padding. */
const DECIMAL_BYTES_MAX = 64

export function decoderOf (leaf: Leaf): Decoder {
  switch (leaf.physical) {
    case 'BYTE_ARRAY': return byteArrayDecoder(leaf, fromBytes(leaf))
    case 'FIXED_LEN_BYTE_ARRAY': return fixedDecoder(leaf, fromBytes(leaf))
    case 'BOOLEAN': return (bytes, encoding, count) => {
      if (encoding === 'RLE') {
        if (bytes.length < 4) throw malformed('its values are missing')
        return Array.from(decodeRuns(bytes, 4, 4 + viewOf(bytes).getUint32(0, true), 1, count), value => value === 1)
      }
      if (encoding !== 'PLAIN') throw unsupportedEncoding(leaf, encoding)
      requireBytes(bytes, Math.ceil(count / 8))
      return readPlain({ view: viewOf(bytes), offset: 0 }, 'BOOLEAN', count, undefined) as boolean[]
    }
    default: return numberDecoder(leaf)
  }
}

/** How one value is made from its bytes. */
function fromBytes (leaf: Leaf): FromBytes {
  const { kind } = leaf.parsed
  switch (kind) {
    case 'VARCHAR': return textOf
    case 'JSON': return (bytes, start, length) => {
      const text = textOf(bytes, start, length)
      const value = jsonValue(text)
      if (value === undefined) throw new ConversionError('bad-input', `column '${leaf.path}' has a value that is not JSON: ${text.slice(0, 60)}`)
      return value
    }
    case 'DECIMAL': return decimal(leaf.parsed.precision)
    case 'UUID': return (bytes, start) => {
      const hex = Buffer.from(bytes.buffer, bytes.byteOffset + start, 16).toString('hex')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    }
    case 'FLOAT': return half
    case 'INTERVAL': return interval
    default: return (bytes, start, length) => Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('latin1')
  }
}

function textOf (bytes: Uint8Array, start: number, length: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('utf8')
  // what is not UTF-8 decodes to the replacement character, which may as well be there itself
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, start + length))) throw new ConversionError('bad-input', 'a text in a Parquet page is not UTF-8')
  return text
}

/** A big-endian two's complement integer of any length. */
function bigEndian (bytes: Uint8Array, start: number, length: number): number | bigint {
  if (length === 0) return 0
  let value = BigInt((bytes[start] as number) << 24 >> 24)
  for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(bytes[start + i] as number)
  return canonicalInteger(value)
}

function decimal (precision: number): FromBytes {
  const most = 10n ** BigInt(precision)
  return (bytes, start, length) => {
    if (length > DECIMAL_BYTES_MAX) throw malformed(`a decimal of ${length} bytes`)
    const value = bigEndian(bytes, start, length)
    if (value >= most || value <= -most) throw malformed(`a decimal has more than ${precision} digits`)
    return value
  }
}

/** The usual 16 bytes, where a number holds the value and it is at most `most`: for all others the way by bigints. */
function smallDecimal (view: DataView, start: number, most: number): number | undefined {
  const high = view.getInt32(start + 8)
  const sign = high < 0 ? -1 : 0
  if (high >= 0x200000 || high <= -0x200000 || view.getInt32(start) !== sign || view.getInt32(start + 4) !== sign) return undefined
  const value = high * 4294967296 + view.getUint32(start + 12)
  return value <= most && value >= -most ? value : undefined
}

/** Months, days and milliseconds, 32 bits each. */
function interval (bytes: Uint8Array, start: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, 12)
  return `${view.getInt32(0, true)}/${view.getInt32(4, true)}/${view.getUint32(8, true) * 1000}`
}

/** A half-precision number. */
function half (bytes: Uint8Array, start: number): number {
  const bits = (bytes[start] as number) | ((bytes[start + 1] as number) << 8)
  const sign = bits >> 15 === 0 ? 1 : -1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN
  return exponent === 0 ? sign * 2 ** -14 * (fraction / 1024) : sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
}

function fixedDecoder (leaf: Leaf, make: FromBytes): Decoder {
  const length = leaf.typeLength
  const { kind, precision } = leaf.parsed
  const wide = kind === 'DECIMAL' && length === 16
  const most = 10 ** precision - 1
  return (bytes, encoding, count) => {
    if (encoding === 'DELTA_BYTE_ARRAY') return deltaByteArrays(bytes, count).map(value => make(value, 0, value.length))
    let data = bytes
    if (encoding === 'BYTE_STREAM_SPLIT') {
      requireBytes(bytes, count * length)
      data = unsplit(bytes.subarray(0, count * length), length)
    } else if (encoding !== 'PLAIN') throw unsupportedEncoding(leaf, encoding)
    requireBytes(data, count * length)
    const view = viewOf(data)
    const out = new Array<unknown>(count)
    for (let i = 0; i < count; i++) out[i] = (wide ? smallDecimal(view, i * length, most) : undefined) ?? make(data, i * length, length)
    return out
  }
}

function byteArrayDecoder (leaf: Leaf, make: FromBytes): Decoder {
  return (bytes, encoding, count) => {
    switch (encoding) {
      case 'PLAIN': return plainByteArrays(bytes, count, make)
      case 'DELTA_BYTE_ARRAY': return deltaByteArrays(bytes, count).map(value => make(value, 0, value.length))
      case 'DELTA_LENGTH_BYTE_ARRAY': {
        const reader = { view: viewOf(bytes), offset: 0 }
        const lengths = deltaLengths(reader, count)
        let position = reader.offset
        return Array.from(lengths, length => {
          if (length < 0 || position + length > bytes.length) throw malformed('a value ends outside of it')
          position += length
          return make(bytes, position - length, length)
        })
      }
      default: throw unsupportedEncoding(leaf, encoding)
    }
  }
}

function plainByteArrays (bytes: Uint8Array, count: number, make: FromBytes): unknown[] {
  const out = new Array<unknown>(count)
  // a page of short ASCII texts, lengths included, is decoded as one string; its parts cost little
  const all = make === textOf && isAscii(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1') : undefined
  const end = bytes.length
  let position = 0
  for (let i = 0; i < count; i++) {
    if (position + 4 > end) throw malformed(`it has ${i} of ${count} values`)
    const length = ((bytes[position] as number) | (bytes[position + 1] as number) << 8 | (bytes[position + 2] as number) << 16 | (bytes[position + 3] as number) << 24) >>> 0
    position += 4
    if (length > end - position) throw malformed('a value ends outside of it')
    out[i] = all != null ? all.substring(position, position + length) : make(bytes, position, length)
    position += length
  }
  return out
}

function deltaLengths (reader: Reader, count: number): Int32Array {
  return count === 0 ? new Int32Array(0) : delta(reader, count, new Int32Array(count))
}

/** Values that share a prefix with the one before. */
function deltaByteArrays (bytes: Uint8Array, count: number): Uint8Array[] {
  const reader = { view: viewOf(bytes), offset: 0 }
  const prefixes = deltaLengths(reader, count)
  const suffixes = deltaLengths(reader, count)
  const out: Uint8Array[] = []
  let position = reader.offset
  let total = 0
  let last: Uint8Array = new Uint8Array(0)
  for (let i = 0; i < count; i++) {
    const prefix = prefixes[i] as number
    const suffix = suffixes[i] as number
    if (prefix < 0 || prefix > last.length || suffix < 0 || suffix > bytes.length - position) throw malformed('a value ends outside of it')
    // shared prefixes let a small page stand for any amount of data
    total += prefix + suffix
    if (total > PAGE_BYTES_MAX) throw malformed(`its values have more than ${PAGE_BYTES_MAX} bytes`)
    const value = new Uint8Array(prefix + suffix)
    value.set(last.subarray(0, prefix))
    value.set(bytes.subarray(position, position + suffix), prefix)
    position += suffix
    out.push(last = value)
  }
  return out
}
