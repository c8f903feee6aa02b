/** Stored numbers, dates and times of a Parquet leaf to their canonical form. */
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { byteStreamSplit } from 'hyparquet/src/encoding.js'
import { readPlain } from 'hyparquet/src/plain.js'
import { readVarInt } from 'hyparquet/src/thrift.js'
import { malformed, requireBytes, unsupportedEncoding, viewOf, type Decoder, type Reader } from './decoder.ts'
import type { Encoding } from './pages.ts'
import type { Leaf } from './schema.ts'
import type { Kind } from '../types.ts'
import { canonicalInteger, TIMESTAMP_INFINITY } from '../values.ts'

/** Values of a delta-encoded block; writers use 128 or 1024. */
const DELTA_BLOCK_MAX = 1 << 20

const DAY_MICROS = 86_400_000_000

/** Largest millisecond count whose microseconds are exact as a number. */
const SAFE_MILLIS = Math.floor(Number.MAX_SAFE_INTEGER / 1000)

/** Of INT32, INT64, FLOAT, DOUBLE and INT96 leaves. */
export function numberDecoder (leaf: Leaf): Decoder {
  const { kind } = leaf.parsed
  if (leaf.physical === 'INT96') {
    const finish = kind === 'TIMESTAMP_NS' ? int96Nanos : int96Micros
    return (bytes, encoding, count) => {
      if (encoding !== 'PLAIN') throw unsupportedEncoding(leaf, encoding)
      requireBytes(bytes, count * 12)
      const view = viewOf(bytes)
      return Array.from({ length: count }, (_, i) => finish(view, i * 12))
    }
  }
  const finish = leaf.physical === 'INT64' ? longFinisher(leaf) : leaf.physical === 'INT32' ? intFinisher(leaf) : Array.from<number>
  return (bytes, encoding, count) => finish(numbers(leaf, bytes, encoding, count) as never)
}

/** Of nanoseconds in INT64 or INT96: whether each value is a whole number of microseconds. */
export function wholeMicrosDecoder (leaf: Leaf): Decoder {
  if (leaf.physical === 'INT96') {
    const decode = numberDecoder(leaf)
    return (bytes, encoding, count) => {
      // Also proves that all of them are within reach of microseconds.
      decode(bytes, encoding, count)
      const view = viewOf(bytes)
      return Array.from({ length: count }, (_, i) => remainder(view.getInt32(i * 12 + 4, true), view.getUint32(i * 12, true)) === 0)
    }
  }
  return (bytes, encoding, count) => {
    const raw = numbers(leaf, bytes, encoding, count) as BigInt64Array
    const halves = new Int32Array(raw.buffer, raw.byteOffset, raw.length * 2)
    return Array.from({ length: count }, (_, i) => remainder(halves[2 * i + 1] as number, (halves[2 * i] as number) >>> 0) === 0)
  }
}

/** Of a division by 1000, without a bigint. */
function remainder (high: number, low: number): number {
  return (high % 1000 * (4294967296 % 1000) + low) % 1000
}

type Numbers = Int32Array | BigInt64Array | Float32Array | Float64Array

function numbers (leaf: Leaf, bytes: Uint8Array, encoding: Encoding, count: number): Numbers {
  const { physical } = leaf
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
      // In 64 bits, and wrapped: writers of unsigned values begin with one that 32 bits would cut.
      if (physical === 'INT32') return Int32Array.from(delta(reader, count, new BigInt64Array(count)), value => Number(BigInt.asIntN(32, value)))
      if (physical === 'INT64') return delta(reader, count, new BigInt64Array(count))
  }
  throw unsupportedEncoding(leaf, encoding)
}

export function delta<A extends Int32Array | BigInt64Array> (reader: Reader, count: number, out: A): A {
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

/** Smallest and largest values of the integers that are stored in wider ones. */
const RANGES: Partial<Record<Kind, [number, number]>> = { TINYINT: [-128, 127], SMALLINT: [-32768, 32767], UTINYINT: [0, 255], USMALLINT: [0, 65535] }

function intFinisher ({ parsed: { kind, precision }, utc }: Leaf): (raw: Int32Array) => unknown[] {
  const range = RANGES[kind] ?? (kind === 'DECIMAL' && precision < 10 ? [1 - 10 ** precision, 10 ** precision - 1] : undefined)
  if (range != null) {
    const [least, most] = range as [number, number]
    return raw => Array.from(raw, value => value >= least && value <= most ? value : outside(value, kind))
  }
  if (kind === 'UINTEGER') return raw => Array.from(raw, value => value >>> 0)
  if (kind === 'TIME') return raw => Array.from(raw, value => timeOfDay(value * 1000, utc))
  return raw => Array.from(raw)
}

function longFinisher ({ parsed: { kind, precision }, unitsPerSecond, utc }: Leaf): (raw: BigInt64Array) => unknown[] {
  const plain = (raw: BigInt64Array): Array<number | bigint> => integers(raw, canonicalInteger)
  switch (kind) {
    case 'UBIGINT': return raw => integers(raw, value => canonicalInteger(BigInt.asUintN(64, value)), 0)
    case 'DECIMAL': {
      if (precision > 18) return plain
      const most = 10n ** BigInt(precision)
      return raw => plain(raw).map(value => value < most && value > -most ? value : outside(value, kind))
    }
    case 'TIME': {
      if (unitsPerSecond === 1e9) return raw => Array.from(raw, value => timeOfDay(Number(value / 1000n), utc))
      return raw => plain(raw).map(value => timeOfDay(Number(value), utc))
    }
    case 'TIMESTAMP':
    case 'TIMESTAMPTZ':
      // milliseconds become microseconds, and so do nanoseconds with a zone; those without stay what they are (TIMESTAMP_NS)
      if (unitsPerSecond === 1e3) return raw => plain(raw).map(fromMillis)
      if (unitsPerSecond === 1e9) return raw => Array.from(raw, value => infinite(value) ? value : canonicalInteger(value / 1000n))
      return plain
    default: return plain
  }
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

function outside (value: number | bigint, kind: Kind): never {
  throw malformed(`${value} is beyond the range of its type, ${kind}`)
}

/** Times with UTC as their zone are times modulo a day; 24:00 is one. Others must be within the day. */
function timeOfDay (value: number, utc: boolean): number {
  if (value >= 0 && value <= DAY_MICROS) return value
  return utc ? ((value % DAY_MICROS) + DAY_MICROS) % DAY_MICROS : outside(value, 'TIME')
}

function infinite (value: number | bigint): boolean {
  return value === TIMESTAMP_INFINITY || value === -TIMESTAMP_INFINITY
}

function fromMillis (value: number | bigint): number | bigint {
  if (typeof value === 'number' && Math.abs(value) <= SAFE_MILLIS) return value * 1000
  return infinite(value) ? value : micros(BigInt(value) * 1000n)
}

function micros (value: bigint): number | bigint {
  if (value >= TIMESTAMP_INFINITY || value <= -TIMESTAMP_INFINITY) throw malformed('a timestamp is too far away: microseconds reach about 292,000 years')
  return canonicalInteger(value)
}

const JULIAN_DAY_OF_1970 = 2_440_588

/** Nanoseconds of the day and a Julian day number, as microseconds since 1970. The engine cuts the digits beyond, whatever the sign. */
function int96Micros (view: DataView, at: number): number | bigint {
  const nanos = view.getBigInt64(at, true)
  if (nanos < 0n) throw malformed('a timestamp (INT96) has a negative time of the day')
  const days = view.getUint32(at + 8, true) - JULIAN_DAY_OF_1970
  return micros(BigInt(days) * BigInt(DAY_MICROS) + nanos / 1000n)
}

/** The same as nanoseconds. */
function int96Nanos (view: DataView, at: number): number | bigint {
  return canonicalInteger(BigInt(int96Micros(view, at)) * 1000n + view.getBigInt64(at, true) % 1000n)
}
