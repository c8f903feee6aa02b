/** Tables as the fuzz tests think of them: types, values, and the texts of dates, times and numbers. Nothing of the product is used here. */

export type Type =
  | { kind: 'boolean' }
  | { kind: 'integer', bits: 8 | 16 | 32 | 64, signed: boolean }
  | { kind: 'float', bits: 32 | 64 }
  | { kind: 'decimal', precision: number, scale: number }
  | { kind: 'date' }
  | { kind: 'time' }
  | { kind: 'timestamp', unit: Unit, zone: boolean }
  | { kind: 'interval' }
  | { kind: 'text' }
  | { kind: 'json' }
  | { kind: 'blob' }
  | { kind: 'uuid' }
  | { kind: 'list', element: Type }
  | { kind: 'struct', fields: Array<{ name: string, type: Type }> }
  | { kind: 'map', key: Type, value: Type }

export type Unit = 's' | 'ms' | 'us' | 'ns'

/**
 * | type | value |
 * |---|---|
 * | boolean | boolean |
 * | integer | bigint |
 * | float | number |
 * | decimal | bigint, unscaled |
 * | date | bigint, days since 1970 |
 * | time | bigint, microseconds since midnight |
 * | timestamp | bigint, in its unit since 1970 (UTC) |
 * | interval | [months, days, microseconds], bigints |
 * | text, json, uuid | string |
 * | blob | Uint8Array |
 * | list | array |
 * | struct | array, in the order of its fields |
 * | map | array of [key, value] |
 *
 * null is missing.
 */
export type Value = null | boolean | bigint | number | string | Uint8Array | Value[]

export interface Column { name: string, type: Type }

export interface Table { columns: Column[], rows: Value[][] }

export const NANOS: Record<Unit, bigint> = { s: 1_000_000_000n, ms: 1_000_000n, us: 1000n, ns: 1n }
const DAY_NANOS = 86_400_000_000_000n

const floorDiv = (a: bigint, b: bigint): bigint => a / b - (a % b < 0n ? 1n : 0n)
const pad = (n: bigint | number, width: number): string => String(n).padStart(width, '0')

/** Days since 1970 of a day of the proleptic Gregorian calendar; year 0 is 1 BC. */
export function daysOf (year: bigint, month: bigint, day: bigint): bigint {
  const y = month <= 2n ? year - 1n : year
  const era = floorDiv(y, 400n)
  const yearOfEra = y - era * 400n
  const dayOfYear = (153n * (month + (month > 2n ? -3n : 9n)) + 2n) / 5n + day - 1n
  return era * 146097n + yearOfEra * 365n + yearOfEra / 4n - yearOfEra / 100n + dayOfYear - 719468n
}

export function dateText (days: bigint): string {
  const shifted = days + 719468n
  const era = floorDiv(shifted, 146097n)
  const dayOfEra = shifted - era * 146097n
  const yearOfEra = (dayOfEra - dayOfEra / 1460n + dayOfEra / 36524n - dayOfEra / 146096n) / 365n
  const dayOfYear = dayOfEra - (365n * yearOfEra + yearOfEra / 4n - yearOfEra / 100n)
  const part = (5n * dayOfYear + 2n) / 153n
  const month = part < 10n ? part + 3n : part - 9n
  const year = yearOfEra + era * 400n + (month <= 2n ? 1n : 0n)
  const text = `${pad(year > 0n ? year : 1n - year, 4)}-${pad(month, 2)}-${pad(dayOfYear - (153n * part + 2n) / 5n + 1n, 2)}`
  return year > 0n ? text : `${text} (BC)`
}

/** `hh:mm:ss[.f]` without trailing zeros. */
export function clockText (nanos: bigint): string {
  const seconds = nanos / 1_000_000_000n
  const fraction = pad(nanos % 1_000_000_000n, 9).replace(/0+$/, '')
  return `${pad(seconds / 3600n, 2)}:${pad(seconds / 60n % 60n, 2)}:${pad(seconds % 60n, 2)}${fraction === '' ? '' : `.${fraction}`}`
}

export function momentText (nanos: bigint): string {
  const days = floorDiv(nanos, DAY_NANOS)
  return `${dateText(days)} ${clockText(nanos - days * DAY_NANOS)}`
}

export function parseDate (text: string): bigint | undefined {
  const match = /^(\d{4,7})-(\d\d)-(\d\d)( \(BC\))?$/.exec(text)
  if (match == null) return undefined
  const year = BigInt(match[1]!)
  return daysOf(match[4] == null ? year : 1n - year, BigInt(match[2]!), BigInt(match[3]!))
}

/** Nanoseconds since midnight. */
export function parseClock (text: string): bigint | undefined {
  const match = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?$/.exec(text)
  if (match == null) return undefined
  return (BigInt(match[1]!) * 3600n + BigInt(match[2]!) * 60n + BigInt(match[3]!)) * 1_000_000_000n + BigInt((match[4] ?? '').padEnd(9, '0'))
}

/** Nanoseconds since 1970; `zone` tells whether the text names an offset. */
export function parseMoment (text: string): { nanos: bigint, zone: boolean } | undefined {
  const match = /^(\d{4,7}-\d\d-\d\d(?: \(BC\))?)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(text)
  const days = match == null ? undefined : parseDate(match[1]!)
  const clock = match == null ? undefined : parseClock(match[2]!)
  if (match == null || days == null || clock == null) return undefined
  const zone = match[3]
  const offset = zone == null || zone === 'Z' ? 0n : BigInt(`${zone[0]}1`) * (BigInt(zone.slice(1, 3)) * 60n + BigInt(zone.replace(':', '').slice(3) || '0'))
  return { nanos: days * DAY_NANOS + clock - offset * 60_000_000_000n, zone: zone != null }
}

/** A number text by its exact value: `sign digits e exponent` without leading or trailing zeros. Undefined if it is no JSON number. */
export function exactNumber (text: string): string | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match == null || (match[2]!.length > 1 && match[2]!.startsWith('0'))) return undefined
  const fraction = match[3] ?? ''
  const digits = (match[2]! + fraction).replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  if (kept === '') return '0'
  return `${match[1]}${kept}e${BigInt(match[4] ?? '0') - BigInt(fraction.length) + BigInt(digits.length - kept.length)}`
}

export function decimalText (unscaled: bigint, scale: number): string {
  const digits = pad(unscaled < 0n ? -unscaled : unscaled, scale + 1)
  return `${unscaled < 0n ? '-' : ''}${scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`}`
}

/** Any type inside of a type, itself first. */
export function * typesIn (type: Type): Generator<Type> {
  yield type
  if (type.kind === 'list') yield * typesIn(type.element)
  if (type.kind === 'struct') for (const field of type.fields) yield * typesIn(field.type)
  if (type.kind === 'map') {
    yield * typesIn(type.key)
    yield * typesIn(type.value)
  }
}

export const isNested = ({ kind }: Type): boolean => kind === 'list' || kind === 'struct' || kind === 'map'

/** The DuckDB name of a type. */
export function duckType (type: Type): string {
  switch (type.kind) {
    case 'integer': return `${type.signed ? '' : 'U'}${{ 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }[type.bits]}`
    case 'float': return type.bits === 32 ? 'FLOAT' : 'DOUBLE'
    case 'decimal': return `DECIMAL(${type.precision},${type.scale})`
    case 'timestamp': return type.zone ? 'TIMESTAMPTZ' : { s: 'TIMESTAMP_S', ms: 'TIMESTAMP_MS', us: 'TIMESTAMP', ns: 'TIMESTAMP_NS' }[type.unit]
    case 'text': return 'VARCHAR'
    case 'list': return `${duckType(type.element)}[]`
    case 'struct': return `STRUCT(${type.fields.map(field => `"${field.name.replaceAll('"', '""')}" ${duckType(field.type)}`).join(', ')})`
    case 'map': return `MAP(${duckType(type.key)}, ${duckType(type.value)})`
    default: return type.kind.toUpperCase()
  }
}
