/**
 * What the leaves of a Parquet schema hold: from their physical types and both generations of annotations (the newer LogicalType wins) to
 * the type names DuckDB gives them, and what has to be known to decode them.
 */
import type { ConversionError } from '../../errors.ts'
import type { Physical, SchemaElement } from './footer.ts'
import { getField, type ThriftStruct } from './thrift.ts'

/** ConvertedType numbers, the older annotation. */
export const CONVERTED = {
  UTF8: 0, MAP: 1, MAP_KEY_VALUE: 2, LIST: 3, ENUM: 4, DECIMAL: 5, DATE: 6, TIME_MILLIS: 7, TIME_MICROS: 8, TIMESTAMP_MILLIS: 9, TIMESTAMP_MICROS: 10,
  UINT_8: 11, UINT_16: 12, UINT_32: 13, UINT_64: 14, INT_8: 15, INT_16: 16, INT_32: 17, INT_64: 18, JSON: 19, BSON: 20, INTERVAL: 21,
  /** Never standardised, but written for a while. */
  NULL: 24
} as const

/** Fields of the LogicalType union, the newer annotation. */
export const LOGICAL = {
  STRING: 1, MAP: 2, LIST: 3, ENUM: 4, DECIMAL: 5, DATE: 6, TIME: 7, TIMESTAMP: 8, INTEGER: 10, UNKNOWN: 11, JSON: 12, BSON: 13,
  UUID: 14, FLOAT16: 15, VARIANT: 16, GEOMETRY: 17, GEOGRAPHY: 18
} as const

/** Fields of the TimeUnit union. */
export const UNIT = { MILLIS: 1, MICROS: 2, NANOS: 3 } as const

/** How physical values are to be understood. */
export interface LeafForm {
  type: string
  physical: Physical
  typeLength: number
  /** Of TIME and TIMESTAMP values: units per second as stored. 0 otherwise. */
  unitsPerSecond: number
  float16: boolean
  /** A TIME of the day in UTC, rather than of no zone. */
  utc: boolean
  /** It is annotated as having no type: all values are NULL. `type` is what is made of it. */
  nothing: boolean
}

/** What a column without a type becomes: as a CSV column without values does. */
export const TYPE_OF_NOTHING = 'VARCHAR'

/** @throws what `no` makes of the reason why a leaf cannot be read */
export function leafForm (element: SchemaElement, no: (what: string) => ConversionError): LeafForm {
  const physical = element.type
  if (physical == null) throw no('it has no physical type')
  const form = { physical, typeLength: element.typeLength, unitsPerSecond: 0, float16: false, utc: false, nothing: false }
  const { converted, logical } = element
  if (physical === 'FIXED_LEN_BYTE_ARRAY' && element.typeLength <= 0) throw no('its length is missing')
  if (logical?.kind === LOGICAL.UNKNOWN || converted === CONVERTED.NULL) return { ...form, type: TYPE_OF_NOTHING, nothing: true }
  if (logical != null && logical.kind >= LOGICAL.VARIANT) throw no(`${logical.kind === LOGICAL.VARIANT ? 'variant' : logical.kind <= LOGICAL.GEOGRAPHY ? 'geometry' : 'columns of newer kinds such as this one'} cannot be converted; leave it out or turn it into text or bytes`)
  if (converted === CONVERTED.INTERVAL) {
    if (physical !== 'FIXED_LEN_BYTE_ARRAY' || element.typeLength !== 12) throw no('an interval must have 12 bytes')
    return { ...form, type: 'INTERVAL' }
  }
  if (logical?.kind === LOGICAL.DECIMAL || converted === CONVERTED.DECIMAL) {
    const scale = logical?.kind === LOGICAL.DECIMAL ? number(logical.struct, 1) : element.scale
    const precision = logical?.kind === LOGICAL.DECIMAL ? number(logical.struct, 2) : element.precision
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision) throw no(`DECIMAL(${precision},${scale}) is not supported, at most 38 digits are`)
    if (!['INT32', 'INT64', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'].includes(physical)) throw no(`decimals stored as ${physical} are not supported`)
    return { ...form, type: `DECIMAL(${precision},${scale})` }
  }
  const time = temporal(element, no)
  if (time != null) return { ...form, ...time }
  switch (physical) {
    case 'BOOLEAN': return { ...form, type: 'BOOLEAN' }
    case 'INT32': return { ...form, type: integer(element, 32, no) }
    case 'INT64': return { ...form, type: integer(element, 64, no) }
    case 'INT96': return { ...form, type: 'TIMESTAMP', unitsPerSecond: 1e9 }
    case 'FLOAT': return { ...form, type: 'FLOAT' }
    case 'DOUBLE': return { ...form, type: 'DOUBLE' }
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY': return { ...form, ...bytes(element, physical === 'FIXED_LEN_BYTE_ARRAY', no) }
  }
}

function bytes ({ converted, logical, typeLength }: SchemaElement, fixed: boolean, no: (what: string) => ConversionError): { type: string, float16?: true } {
  if (fixed && logical?.kind === LOGICAL.FLOAT16) {
    if (typeLength !== 2) throw no('a half-precision number must have 2 bytes')
    return { type: 'FLOAT', float16: true }
  }
  if (fixed && logical?.kind === LOGICAL.UUID) {
    if (typeLength !== 16) throw no('a UUID must have 16 bytes')
    return { type: 'UUID' }
  }
  switch (logical?.kind) {
    case LOGICAL.JSON: return { type: 'JSON' }
    case LOGICAL.STRING:
    case LOGICAL.ENUM: return { type: 'VARCHAR' }
    case LOGICAL.BSON: return { type: 'BLOB' }
  }
  switch (converted) {
    case CONVERTED.JSON: return { type: 'JSON' }
    case CONVERTED.UTF8:
    case CONVERTED.ENUM: return { type: 'VARCHAR' }
    default: return { type: 'BLOB' }
  }
}

/** Dates, times and timestamps; undefined for everything else. */
function temporal (element: SchemaElement, no: (what: string) => ConversionError): { type: string, unitsPerSecond: number, utc?: boolean } | undefined {
  const { converted, logical, type: physical } = element
  if (logical?.kind === LOGICAL.DATE || (logical == null && converted === CONVERTED.DATE)) {
    if (physical !== 'INT32') throw no(`dates stored as ${physical} are not supported`)
    return { type: 'DATE', unitsPerSecond: 0 }
  }
  const stored = (wanted: Physical): void => { if (physical !== wanted) throw no(`times of this unit stored as ${physical} are not supported`) }
  if (logical?.kind === LOGICAL.TIME || logical?.kind === LOGICAL.TIMESTAMP) {
    const utc = getField(logical.struct, 1)?.value === true
    const union = getField(logical.struct, 2)?.value as ThriftStruct | undefined
    const unit = union?.fields?.[0]?.id
    const unitsPerSecond = unit === UNIT.MILLIS ? 1e3 : unit === UNIT.MICROS ? 1e6 : unit === UNIT.NANOS ? 1e9 : 0
    if (unitsPerSecond === 0) throw no('its time unit is unknown')
    stored(logical.kind === LOGICAL.TIME && unit === UNIT.MILLIS ? 'INT32' : 'INT64')
    if (logical.kind === LOGICAL.TIME) return { type: 'TIME', unitsPerSecond, utc }
    if (utc) return { type: 'TIMESTAMPTZ', unitsPerSecond }
    return { type: unit === UNIT.NANOS ? 'TIMESTAMP_NS' : 'TIMESTAMP', unitsPerSecond }
  }
  if (logical != null) return undefined
  switch (converted) {
    case CONVERTED.TIME_MILLIS: stored('INT32'); return { type: 'TIME', unitsPerSecond: 1e3 }
    case CONVERTED.TIME_MICROS: stored('INT64'); return { type: 'TIME', unitsPerSecond: 1e6 }
    case CONVERTED.TIMESTAMP_MILLIS: stored('INT64'); return { type: 'TIMESTAMP', unitsPerSecond: 1e3 }
    case CONVERTED.TIMESTAMP_MICROS: stored('INT64'); return { type: 'TIMESTAMP', unitsPerSecond: 1e6 }
    default: return undefined
  }
}

const SIGNED: Record<number, string> = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }

function integer (element: SchemaElement, bits: number, no: (what: string) => ConversionError): string {
  const { converted, logical } = element
  let width = bits
  let signed = true
  if (logical?.kind === LOGICAL.INTEGER) {
    width = number(logical.struct, 1)
    signed = getField(logical.struct, 2)?.value === true
  } else if (converted != null && converted >= CONVERTED.UINT_8 && converted <= CONVERTED.INT_64) {
    signed = converted >= CONVERTED.INT_8
    width = 8 << ((converted - CONVERTED.UINT_8) % 4)
  }
  const name = SIGNED[width]
  if (name == null || width > bits || (bits === 64 && width !== 64)) throw no(`${width} bit integers stored in ${bits} bits are not supported`)
  return signed ? name : `U${name}`
}

function number (struct: ThriftStruct, id: number): number {
  const value = getField(struct, id)?.value
  return typeof value === 'number' ? value : -1
}
