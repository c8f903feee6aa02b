/** Stored values of a Parquet column to their canonical form. The function is chosen once per column. */
import { isAscii, isUtf8 } from 'node:buffer'
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { byteStreamSplit } from 'hyparquet/src/encoding.js'
import { readPlain } from 'hyparquet/src/plain.js'
import { readVarInt } from 'hyparquet/src/thrift.js'
import { ConversionError } from '../../errors.ts'
import { jsonValue } from '../json/text.ts'
import { PAGE_BYTES_MAX } from './limits.ts'
import type { Encoding } from './pages.ts'
import type { ParquetColumn } from './schema.ts'
import { parseType } from '../types.ts'
import { canonicalInteger } from '../values.ts'
import { decodeRuns } from './reader-runs.ts'

/** Decodes the `count` values (no NULLs among them) that `bytes` consist of. */
export type Decoder = (bytes: Uint8Array, encoding: Encoding, count: number) => unknown[]

/** Bytes of one value, in a page: `bytes[start, start + length)`. */
type FromBytes = (bytes: Uint8Array, start: number, length: number) => unknown

/** Values of a delta-encoded block; writers use 128 or 1024. */
const DELTA_BLOCK_MAX = 1 << 20

function malformed (what: string): ConversionError {
  return new ConversionError('bad-input', `malformed Parquet page: ${what}`)
}

export function decoderOf (column: ParquetColumn): Decoder {
  switch (column.physical) {
    case 'BYTE_ARRAY': return byteArrayDecoder(column, fromBytes(column))
    case 'FIXED_LEN_BYTE_ARRAY': return fixedDecoder(column, fromBytes(column))
    case 'BOOLEAN': return (bytes, encoding, count) => {
      if (encoding === 'RLE') {
        if (bytes.length < 4) throw malformed('its values are missing')
        return Array.from(decodeRuns(bytes, 4, 4 + viewOf(bytes).getUint32(0, true), 1, count), value => value === 1)
      }
      if (encoding !== 'PLAIN') throw unsupported(column, encoding)
      requireBytes(bytes, Math.ceil(count / 8))
      return readPlain({ view: viewOf(bytes), offset: 0 }, 'BOOLEAN', count, undefined) as boolean[]
    }
    case 'INT96': return (bytes, encoding, count) => {
      if (encoding !== 'PLAIN') throw unsupported(column, encoding)
      requireBytes(bytes, count * 12)
      return (readPlain({ view: viewOf(bytes), offset: 0 }, 'INT96', count, undefined) as bigint[]).map(int96)
    }
    default: {
      const finish = numberFinisher(column)
      return (bytes, encoding, count) => finish(numbers(column, bytes, encoding, count))
    }
  }
}

type Numbers = Int32Array | BigInt64Array | Float32Array | Float64Array

function numbers (column: ParquetColumn, bytes: Uint8Array, encoding: Encoding, count: number): Numbers {
  const { physical } = column
  const wide = physical === 'INT64' || physical === 'DOUBLE'
  const empty = physical === 'INT32' ? new Int32Array(0) : physical === 'INT64' ? new BigInt64Array(0) : physical === 'FLOAT' ? new Float32Array(0) : new Float64Array(0)
  if (count === 0) return empty
  const reader = { view: viewOf(bytes), offset: 0 }
  switch (encoding) {
    case 'PLAIN':
      requireBytes(bytes, count * (wide ? 8 : 4))
      return readPlain(reader, physical, count, undefined) as Numbers
    case 'BYTE_STREAM_SPLIT':
      requireBytes(bytes, count * (wide ? 8 : 4))
      return byteStreamSplit(reader, count, physical, undefined) as Numbers
    case 'DELTA_BINARY_PACKED':
      if (physical === 'INT32') return delta(reader, count, new Int32Array(count))
      if (physical === 'INT64') return delta(reader, count, new BigInt64Array(count))
  }
  throw unsupported(column, encoding)
}

interface Reader { view: DataView, offset: number }

function delta<A extends Int32Array | BigInt64Array> (reader: Reader, count: number, out: A): A {
  // the decoder allocates and divides by what the header says
  const start = reader.offset
  const block = readVarInt(reader)
  const miniblocks = readVarInt(reader)
  if (block <= 0 || block > DELTA_BLOCK_MAX || miniblocks <= 0 || miniblocks > block || block % miniblocks !== 0) throw malformed(`a delta block of ${block} values in ${miniblocks} parts`)
  if (readVarInt(reader) !== count) throw malformed('its value count contradicts its header')
  reader.offset = start
  deltaBinaryUnpack(reader, count, out)
  return out
}

/** Typed numbers to canonical values. */
function numberFinisher (column: ParquetColumn): (raw: Numbers) => unknown[] {
  const { kind } = parseType(column.type)
  if (kind === 'UINTEGER') return raw => Array.from(raw as Int32Array, value => value >>> 0)
  if (column.physical !== 'INT64') {
    if (kind !== 'TIME') return raw => Array.from(raw as Int32Array)
    return raw => Array.from(raw as Int32Array, value => value * 1000)   // milliseconds
  }
  if (kind === 'UBIGINT') return raw => integers(raw as BigInt64Array, value => canonicalInteger(BigInt.asUintN(64, value)), 0)
  // milliseconds become microseconds; nanoseconds stay what they are (TIMESTAMP_NS)
  if (column.unitsPerSecond === 1e3) return raw => integers(raw as BigInt64Array, canonicalInteger).map(value => typeof value === 'number' && Math.abs(value) < 9e12 ? value * 1000 : canonicalInteger(BigInt(value) * 1000n))
  return raw => integers(raw as BigInt64Array, canonicalInteger)
}

/**
 * 64-bit integers without a bigint for each: two halves, unless the value is beyond what a number holds exactly. `least`: of
 * the upper half; 0 for unsigned numbers.
 */
function integers (raw: BigInt64Array, other: (value: bigint) => number | bigint, least = -0x1fffff): Array<number | bigint> {
  const halves = new Int32Array(raw.buffer, raw.byteOffset, raw.length * 2)
  const out = new Array<number | bigint>(raw.length)
  for (let i = 0; i < raw.length; i++) {
    const high = halves[2 * i + 1] as number
    out[i] = high < 0x200000 && high >= least ? high * 4294967296 + ((halves[2 * i] as number) >>> 0) : other(raw[i] as bigint)
  }
  return out
}

/** Nanoseconds of the day under the Julian day number, as microseconds since 1970. */
function int96 (value: bigint): number | bigint {
  const days = (value >> 64n) - 2440588n
  const nanos = BigInt.asIntN(64, value)
  if (nanos % 1000n !== 0n) throw new ConversionError('unsupported', 'a timestamp (INT96) has nanoseconds, which would be lost')
  return canonicalInteger(days * 86_400_000_000n + nanos / 1000n)
}

/** How one value is made from its bytes. */
function fromBytes (column: ParquetColumn): FromBytes {
  const { kind } = parseType(column.type)
  switch (kind) {
    case 'VARCHAR': return textOf
    case 'JSON': return (bytes, start, length) => {
      const text = textOf(bytes, start, length)
      const value = jsonValue(text)
      if (value === undefined) throw new ConversionError('bad-input', `column '${column.name}' has a value that is not JSON: ${text.slice(0, 60)}`)
      return value
    }
    case 'DECIMAL': return bigEndian
    case 'UUID': return (bytes, start) => {
      const hex = Buffer.from(bytes.buffer, bytes.byteOffset + start, 16).toString('hex')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    }
    case 'FLOAT': return half
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

/** The usual 16 bytes: only large values need a bigint. */
function bigEndian16 (bytes: Uint8Array, start: number, view: DataView): number | bigint {
  const high = view.getInt32(start + 8)
  const sign = high < 0 ? -1 : 0
  if (high < 0x200000 && high > -0x200000 && view.getInt32(start) === sign && view.getInt32(start + 4) === sign) return high * 4294967296 + view.getUint32(start + 12)
  return bigEndian(bytes, start, 16)
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

function fixedDecoder (column: ParquetColumn, make: FromBytes): Decoder {
  const length = column.typeLength
  const wide = make === bigEndian && length === 16
  return (bytes, encoding, count) => {
    if (encoding === 'DELTA_BYTE_ARRAY') return deltaByteArrays(bytes, count).map(value => make(value, 0, value.length))
    let data = bytes
    if (encoding === 'BYTE_STREAM_SPLIT') {
      requireBytes(bytes, count * length)
      data = new Uint8Array(count * length)
      for (let i = 0; i < count; i++) for (let b = 0; b < length; b++) data[i * length + b] = bytes[b * count + i] as number
    } else if (encoding !== 'PLAIN') throw unsupported(column, encoding)
    requireBytes(data, count * length)
    const view = viewOf(data)
    const out = new Array<unknown>(count)
    for (let i = 0; i < count; i++) out[i] = wide ? bigEndian16(data, i * length, view) : make(data, i * length, length)
    return out
  }
}

function byteArrayDecoder (column: ParquetColumn, make: FromBytes): Decoder {
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
      default: throw unsupported(column, encoding)
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

function viewOf (bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function requireBytes (bytes: Uint8Array, length: number): void {
  if (bytes.length < length) throw malformed(`it has ${bytes.length} bytes of values instead of ${length}`)
}

function unsupported (column: ParquetColumn, encoding: Encoding): ConversionError {
  return new ConversionError('unsupported', `column '${column.name}' has pages encoded as ${encoding}, which is not supported for ${column.physical}`)
}
