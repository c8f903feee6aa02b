/** Values of a fixed width from Arrow's units to those of the engine, which are exact or refused. */
import { DataType, DateUnit, IntervalUnit, Precision, TimeUnit, type Decimal } from 'apache-arrow'
import type { ColumnType } from '../types.ts'
import { isValid, type Bits, type Loaded } from './window.ts'

/** What a column holds that its type has no place for: made an error by whoever knows the column's name. */
export class Inexact extends Error {
  override readonly name = 'Inexact'
}

const DAY_MILLIS = 86_400_000n
const DAY_MICROS = 86_400_000_000n
const INT64_MAX = 2n ** 63n - 1n

/** Microseconds in a unit; a nanosecond is a thousandth. */
const MICROS: readonly bigint[] = [1_000_000n, 1000n, 1n]

/** Rows [at, at + count) as the engine stores values of this type, or undefined if it stores them as they are. */
export function convertFixed (loaded: Loaded, staged: ColumnType, at: number, count: number): Uint8Array | undefined {
  const { type, valid, bytes } = loaded
  const rows: Rows = { bytes, valid, at, count }
  if (staged.kind === 'BIGINT') return undefined
  if (DataType.isFloat(type)) {
    if (type.precision !== Precision.HALF) return undefined
    return raw(Float32Array.from(new Float16Array(bytes.buffer, bytes.byteOffset + at * 2, count)))
  }
  if (DataType.isDecimal(type)) return narrowDecimals(type, staged, rows)
  if (DataType.isDate(type)) {
    if (type.unit === DateUnit.DAY || staged.kind !== 'DATE') return undefined
    return wholeDays(rows)
  }
  if (DataType.isTime(type)) {
    if (type.unit === TimeUnit.MICROSECOND) requireTimes(rows)
    return type.unit === TimeUnit.MICROSECOND ? undefined : scaled(rows, type.unit, type.bitWidth, 'a time', true)
  }
  if (DataType.isTimestamp(type)) {
    if (staged.kind !== 'TIMESTAMPTZ' || type.unit === TimeUnit.MICROSECOND) return undefined
    return scaled(rows, type.unit, 64, 'a timestamp', false)
  }
  if (DataType.isDuration(type)) return durations(scaled(rows, type.unit, 64, 'a duration', false) ?? bytes.subarray(at * 8, (at + count) * 8), count)
  if (DataType.isInterval(type)) return intervals(type.unit, rows)
  if (staged.kind === 'UUID') return uuids(rows)
  return undefined
}

interface Rows {
  bytes: Uint8Array
  valid: Bits | undefined
  at: number
  count: number
}

function raw (values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function viewOf ({ bytes }: Rows): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Microseconds of values in another unit; undefined where the unit is the same. */
function scaled (rows: Rows, unit: TimeUnit, bits: number, what: string, time: boolean): Uint8Array | undefined {
  if (unit === TimeUnit.MICROSECOND) return undefined
  const { valid, at, count } = rows
  const view = viewOf(rows)
  const result = new BigInt64Array(count)
  const factor = MICROS[unit]
  for (let i = 0; i < count; i++) {
    if (!isValid(valid, at + i)) continue
    const value = bits === 32 ? BigInt(view.getInt32((at + i) * 4, true)) : view.getBigInt64((at + i) * 8, true)
    let micros: bigint
    if (factor == null) {
      if (value % 1000n !== 0n) throw new Inexact(`${what} with nanoseconds (${value}), which microseconds cannot hold`)
      micros = value / 1000n
    } else micros = value * factor
    if (micros > INT64_MAX || micros < -INT64_MAX) throw new Inexact(`${what} (${value}) too far away for microseconds`)
    if (time && (micros < 0n || micros > DAY_MICROS)) throw new Inexact(`a time (${value}) that is no time of day`)
    result[i] = micros
  }
  return raw(result)
}

function requireTimes (rows: Rows): void {
  const view = viewOf(rows)
  for (let i = rows.at; i < rows.at + rows.count; i++) {
    const value = view.getBigInt64(i * 8, true)
    if ((value < 0n || value > DAY_MICROS) && isValid(rows.valid, i)) throw new Inexact(`a time (${value}) that is no time of day`)
  }
}

function wholeDays (rows: Rows): Uint8Array {
  const view = viewOf(rows)
  const result = new Int32Array(rows.count)
  for (let i = 0; i < rows.count; i++) {
    if (!isValid(rows.valid, rows.at + i)) continue
    const value = view.getBigInt64((rows.at + i) * 8, true)
    const days = value / DAY_MILLIS
    if (value % DAY_MILLIS !== 0n) throw new Inexact(`a date with a time of day (${value} milliseconds)`)
    if (days > 2147483646n || days < -2147483646n) throw new Inexact(`a date (${value} milliseconds) too far away`)
    result[i] = Number(days)
  }
  return raw(result)
}

/** Decimals are as wide in the engine as their digits need: 2, 4, 8 or 16 bytes. */
export function decimalWidth (precision: number): 2 | 4 | 8 | 16 {
  return precision <= 4 ? 2 : precision <= 9 ? 4 : precision <= 18 ? 8 : 16
}

function narrowDecimals ({ bitWidth }: Decimal, { precision }: ColumnType, rows: Rows): Uint8Array {
  const { bytes, valid, at, count } = rows
  const view = viewOf(rows)
  const stride = bitWidth / 8
  const width = decimalWidth(precision)
  const result = new Uint8Array(count * width)
  const out = new DataView(result.buffer)
  const limit = 10n ** BigInt(precision)
  const safe = 10 ** precision
  // Of most values the upper words alone say that they are small enough.
  const words = stride === 16 && width === 8 ? new Int32Array(bytes.buffer, bytes.byteOffset + at * 16, count * 4) : undefined
  const highest = Math.floor(safe / 4294967296) - 1
  const narrow = words == null ? undefined : new Int32Array(result.buffer)
  for (let i = 0; i < count; i++) {
    if (!isValid(valid, at + i)) continue
    if (words != null) {
      const high = words[i * 4 + 1] as number
      if (high <= highest && high >= -highest && words[i * 4 + 2] === high >> 31 && words[i * 4 + 3] === high >> 31) {
        narrow![i * 2] = words[i * 4] as number
        narrow![i * 2 + 1] = high
        continue
      }
    }
    const from = (at + i) * stride
    const small = smallDecimal(view, from, stride)
    if (small !== undefined && width <= 8) {
      if (small >= safe || small <= -safe) throw tooManyDigits(BigInt(small), precision)
      if (width === 2) out.setInt16(i * 2, small, true)
      else if (width === 4) out.setInt32(i * 4, small, true)
      else {
        out.setInt32(i * 8, small | 0, true)
        out.setInt32(i * 8 + 4, Math.floor(small / 4294967296), true)
      }
      continue
    }
    const value = wideDecimal(view, from, stride)
    if (value >= limit || value <= -limit) throw tooManyDigits(value, precision)
    if (width === 16) {
      out.setBigInt64(i * 16, BigInt.asIntN(64, value), true)
      out.setBigInt64(i * 16 + 8, value >> 64n, true)
    } else if (width === 8) out.setBigInt64(i * 8, value, true)
    else throw tooManyDigits(value, precision)
  }
  return result
}

function tooManyDigits (value: bigint, precision: number): Inexact {
  return new Inexact(`a decimal (${value} unscaled) of more than ${precision} digits`)
}

/** The value as a number where its upper bytes say that it is small. */
function smallDecimal (view: DataView, from: number, stride: number): number | undefined {
  if (stride === 4) return view.getInt32(from, true)
  const high = view.getInt32(from + 4, true)
  if (high >= 0x200000 || high < -0x200000) return undefined
  const sign = high < 0 ? -1 : 0
  for (let at = 8; at < stride; at += 4) if (view.getInt32(from + at, true) !== sign) return undefined
  return high * 4294967296 + view.getUint32(from, true)
}

function wideDecimal (view: DataView, from: number, stride: number): bigint {
  if (stride === 4) return BigInt(view.getInt32(from, true))
  let value = view.getBigInt64(from + stride - 8, true)
  for (let at = stride - 16; at >= 0; at -= 8) value = value << 64n | view.getBigUint64(from + at, true)
  return value
}

/** The engine's intervals: months, days (both 32 bits), microseconds. */
function intervals (unit: IntervalUnit, rows: Rows): Uint8Array {
  const { valid, at, count } = rows
  const view = viewOf(rows)
  const result = new Uint8Array(count * 16)
  const out = new DataView(result.buffer)
  for (let i = 0; i < count; i++) {
    if (!isValid(valid, at + i)) continue
    if (unit === IntervalUnit.YEAR_MONTH) out.setInt32(i * 16, view.getInt32((at + i) * 4, true), true)
    else if (unit === IntervalUnit.DAY_TIME) {
      out.setInt32(i * 16 + 4, view.getInt32((at + i) * 8, true), true)
      out.setBigInt64(i * 16 + 8, BigInt(view.getInt32((at + i) * 8 + 4, true)) * 1000n, true)
    } else {
      const nanos = view.getBigInt64((at + i) * 16 + 8, true)
      if (nanos % 1000n !== 0n) throw new Inexact(`an interval with nanoseconds (${nanos}), which microseconds cannot hold`)
      out.setInt32(i * 16, view.getInt32((at + i) * 16, true), true)
      out.setInt32(i * 16 + 4, view.getInt32((at + i) * 16 + 4, true), true)
      out.setBigInt64(i * 16 + 8, nanos / 1000n, true)
    }
  }
  return result
}

function durations (micros: Uint8Array, count: number): Uint8Array {
  const result = new Uint8Array(count * 16)
  for (let i = 0; i < count; i++) result.set(micros.subarray(i * 8, i * 8 + 8), i * 16 + 8)
  return result
}

/** The engine has the bytes the other way round, their first bit turned so that they sort as numbers. */
function uuids ({ bytes, at, count }: Rows): Uint8Array {
  const result = new Uint8Array(count * 16)
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < 16; k++) result[i * 16 + k] = bytes[(at + i) * 16 + 15 - k] as number
    result[i * 16 + 15]! ^= 0x80
  }
  return result
}
