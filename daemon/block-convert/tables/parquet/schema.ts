/**
 * Column types of Parquet files: from the footer's schema to the type names DuckDB gives them, and back for the one file we
 * write ourselves, the empty one.
 */
import { ConversionError } from '../../errors.ts'
import { CHUNK, ELEMENT, FILE, MAGIC, PHYSICAL, readFooter, type Footer, type Physical, type SchemaElement } from './footer.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column } from '../schema.ts'
import { serializeThrift } from './thrift-writer.ts'
import { getField, T, type ThriftField, type ThriftStruct } from './thrift.ts'
import { parseType } from '../types.ts'

/** ConvertedType numbers, the older annotation. */
const CONVERTED = {
  UTF8: 0, ENUM: 4, DECIMAL: 5, DATE: 6, TIME_MILLIS: 7, TIME_MICROS: 8, TIMESTAMP_MILLIS: 9, TIMESTAMP_MICROS: 10,
  UINT_8: 11, UINT_16: 12, UINT_32: 13, UINT_64: 14, INT_8: 15, INT_16: 16, INT_32: 17, INT_64: 18, JSON: 19, BSON: 20, INTERVAL: 21
} as const

/** Fields of the LogicalType union, the newer annotation. */
const LOGICAL = {
  STRING: 1, MAP: 2, LIST: 3, ENUM: 4, DECIMAL: 5, DATE: 6, TIME: 7, TIMESTAMP: 8, INTEGER: 10, UNKNOWN: 11, JSON: 12, BSON: 13,
  UUID: 14, FLOAT16: 15, VARIANT: 16, GEOMETRY: 17, GEOGRAPHY: 18
} as const

/** Fields of the TimeUnit union. */
const UNIT = { MILLIS: 1, MICROS: 2, NANOS: 3 } as const

/** How a column's physical values are to be understood. */
export interface ParquetColumn extends Column {
  physical: Physical
  typeLength: number
  /** Definition levels are present. */
  optional: boolean
  /** Of TIME and TIMESTAMP values: units per second as stored. */
  unitsPerSecond: number
  float16: boolean
}

/**
 * Columns of a Parquet file, with the type names DuckDB gives them.
 *
 * @throws ConversionError `bad-input` (no Parquet, cut off, inconsistent), `unsupported` (encrypted, nested or exotic types) or
 * `input-unreadable`
 */
export async function parquetColumns (path: string): Promise<Column[]> {
  const file = new RandomAccess({ path, size: 0 })
  try {
    return readColumns(readFooter(file), path).map(({ name, type }) => ({ name, type }))
  } finally {
    file.close()
  }
}

/** Columns of a footer. @throws ConversionError `bad-input` or `unsupported` */
export function readColumns (footer: Footer, path = 'the data'): ParquetColumn[] {
  const root = footer.schema[0] as SchemaElement
  const columns: ParquetColumn[] = []
  const names = new Set<string>()
  for (const element of footer.schema.slice(1)) {
    const no = (what: string): ConversionError => new ConversionError('unsupported', `column '${element.name}' of ${path}: ${what}`, { path, column: element.name })
    if (element.children > 0 || element.repetition === 'REPEATED') throw no('nested columns (lists, maps, structs) are not supported')
    // DuckDB would rename the second one; names are compared without regard to case there
    const key = element.name.toLowerCase()
    if (names.has(key)) throw no('there are two columns of this name (upper and lower case count as the same)')
    names.add(key)
    columns.push({ name: element.name, ...columnType(element, no) })
  }
  if (columns.length !== root.children) throw new ConversionError('bad-input', `${path} is not a sound Parquet file: its schema announces ${root.children} columns and has ${columns.length}`)
  if (columns.length === 0) throw new ConversionError('unsupported', `${path} has no columns`)
  return columns
}

function columnType (element: SchemaElement, no: (what: string) => ConversionError): Omit<ParquetColumn, 'name'> {
  const physical = element.type
  if (physical == null) throw no('it has no physical type')
  const column = { physical, typeLength: element.typeLength, optional: element.repetition === 'OPTIONAL', unitsPerSecond: 0, float16: false }
  const { converted, logical } = element
  if (physical === 'FIXED_LEN_BYTE_ARRAY' && element.typeLength <= 0) throw no('its length is missing')
  if (converted === CONVERTED.INTERVAL) throw no('intervals are not supported')
  if (converted === CONVERTED.BSON || logical?.kind === LOGICAL.BSON) throw no('BSON is not supported')
  if (logical?.kind === LOGICAL.UNKNOWN) throw no('a column without a type (always null) is not supported')
  if (logical != null && logical.kind >= LOGICAL.VARIANT) throw no('variant and geometry columns are not supported')
  if (logical?.kind === LOGICAL.DECIMAL || converted === CONVERTED.DECIMAL) {
    const scale = logical?.kind === LOGICAL.DECIMAL ? number(logical.struct, 1) : element.scale
    const precision = logical?.kind === LOGICAL.DECIMAL ? number(logical.struct, 2) : element.precision
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision) throw no(`DECIMAL(${precision},${scale}) is not supported, at most 38 digits are`)
    if (!['INT32', 'INT64', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'].includes(physical)) throw no(`decimals stored as ${physical} are not supported`)
    return { ...column, type: `DECIMAL(${precision},${scale})` }
  }
  const time = temporal(element, no)
  if (time != null) return { ...column, ...time }
  switch (physical) {
    case 'BOOLEAN': return { ...column, type: 'BOOLEAN' }
    case 'INT32': return { ...column, type: integer(element, 32, no) }
    case 'INT64': return { ...column, type: integer(element, 64, no) }
    case 'INT96': return { ...column, type: 'TIMESTAMP', unitsPerSecond: 1e9 }
    case 'FLOAT': return { ...column, type: 'FLOAT' }
    case 'DOUBLE': return { ...column, type: 'DOUBLE' }
    case 'BYTE_ARRAY': {
      if (converted === CONVERTED.JSON || logical?.kind === LOGICAL.JSON) return { ...column, type: 'JSON' }
      const text = converted === CONVERTED.UTF8 || converted === CONVERTED.ENUM || logical?.kind === LOGICAL.STRING || logical?.kind === LOGICAL.ENUM
      return { ...column, type: text ? 'VARCHAR' : 'BLOB' }
    }
    case 'FIXED_LEN_BYTE_ARRAY': {
      if (logical?.kind === LOGICAL.FLOAT16) {
        if (element.typeLength !== 2) throw no('a half-precision number must have 2 bytes')
        return { ...column, type: 'FLOAT', float16: true }
      }
      if (logical?.kind === LOGICAL.UUID) {
        if (element.typeLength !== 16) throw no('a UUID must have 16 bytes')
        return { ...column, type: 'UUID' }
      }
      return { ...column, type: 'BLOB' }
    }
  }
}

/** Dates, times and timestamps; undefined for everything else. */
function temporal (element: SchemaElement, no: (what: string) => ConversionError): { type: string, unitsPerSecond: number } | undefined {
  const { converted, logical, type: physical } = element
  if (logical?.kind === LOGICAL.DATE || converted === CONVERTED.DATE) {
    if (physical !== 'INT32') throw no(`dates stored as ${physical} are not supported`)
    return { type: 'DATE', unitsPerSecond: 0 }
  }
  if (logical?.kind === LOGICAL.TIME || logical?.kind === LOGICAL.TIMESTAMP) {
    const utc = getField(logical.struct, 1)?.value === true
    const union = getField(logical.struct, 2)?.value as ThriftStruct | undefined
    const unit = union?.fields?.[0]?.id
    const unitsPerSecond = unit === UNIT.MILLIS ? 1e3 : unit === UNIT.MICROS ? 1e6 : unit === UNIT.NANOS ? 1e9 : 0
    if (unitsPerSecond === 0) throw no('its time unit is unknown')
    if (physical !== (logical.kind === LOGICAL.TIME && unit === UNIT.MILLIS ? 'INT32' : 'INT64')) throw no(`times of this unit stored as ${physical} are not supported`)
    if (logical.kind === LOGICAL.TIME) {
      if (utc) throw no('times with a time zone are not supported')
      if (unit === UNIT.NANOS) throw no('times in nanoseconds are not supported')
      return { type: 'TIME', unitsPerSecond }
    }
    if (unit !== UNIT.NANOS) return { type: utc ? 'TIMESTAMPTZ' : 'TIMESTAMP', unitsPerSecond }
    if (utc) throw no('timestamps in nanoseconds with a time zone are not supported: they would lose their last three digits')
    return { type: 'TIMESTAMP_NS', unitsPerSecond }
  }
  const stored = (wanted: Physical): void => { if (physical !== wanted) throw no(`times of this unit stored as ${physical} are not supported`) }
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

/** The type a column has when DuckDB wrote it to Parquet and it is read back. */
export function storedType (type: string): string {
  const { kind } = parseType(type)
  // DuckDB has no second or millisecond timestamps in Parquet: both come back as microseconds
  return kind === 'TIMESTAMP_S' || kind === 'TIMESTAMP_MS' ? 'TIMESTAMP' : type
}

/** A whole Parquet file with these columns and no rows, its schema as DuckDB writes it. */
export function emptyParquet (columns: Column[]): Uint8Array {
  const order: ThriftStruct = { fields: [field(1, T.STRUCT, { fields: [] })] }
  const footer = serializeThrift({
    fields: [
      field(FILE.version, T.I32, 1),
      ...schemaFields(columns),
      field(FILE.rows, T.I64, 0n),
      field(FILE.rowGroups, T.LIST, { elements: T.STRUCT, values: [] }),
      field(FILE.createdBy, T.BINARY, text('weft')),
      field(FILE.columnOrders, T.LIST, { elements: T.STRUCT, values: columns.map(() => order) })
    ]
  })
  return Buffer.concat([MAGIC, footer, footerTail(footer.length)])
}

/** The footer's field that holds the schema, as DuckDB writes it. */
export function schemaFields (columns: Column[]): ThriftField[] {
  const root: ThriftStruct = { fields: [field(ELEMENT.repetition, T.I32, 0), field(ELEMENT.name, T.BINARY, text('duckdb_schema')), field(ELEMENT.children, T.I32, columns.length)] }
  return [field(FILE.schema, T.LIST, { elements: T.STRUCT, values: [root, ...columns.map(schemaElement)] })]
}

function field (id: number, type: number, value: ThriftField['value']): ThriftField {
  return { id, type, value }
}

/** What follows a footer: its length and the magic. */
export function footerTail (length: number): Uint8Array {
  const tail = new Uint8Array(8)
  new DataView(tail.buffer).setUint32(0, length, true)
  tail.set(MAGIC, 4)
  return tail
}

function text (value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

function schemaElement (column: Column): ThriftStruct {
  const type = parseType(column.type)
  const one = (id: number, struct: ThriftStruct): ThriftStruct => ({ fields: [{ id, type: T.STRUCT, value: struct }] })
  const empty: ThriftStruct = { fields: [] }
  const time = (kind: number, unit: number, utc = false): ThriftStruct => one(kind, { fields: [{ id: 1, type: utc ? T.TRUE : T.FALSE, value: utc }, { id: 2, type: T.STRUCT, value: one(unit, empty) }] })
  const make = (physical: Physical, converted?: number, logical?: ThriftStruct, more: { length?: number, scale?: number, precision?: number } = {}): ThriftStruct => {
    const fields: ThriftField[] = [{ id: ELEMENT.type, type: T.I32, value: PHYSICAL.indexOf(physical) }]
    const add = (id: number, value: number | undefined): void => { if (value != null) fields.push({ id, type: T.I32, value }) }
    add(ELEMENT.typeLength, more.length)
    add(ELEMENT.repetition, 1)
    fields.push({ id: ELEMENT.name, type: T.BINARY, value: text(column.name) })
    add(ELEMENT.converted, converted)
    add(ELEMENT.scale, more.scale)
    add(ELEMENT.precision, more.precision)
    if (logical != null) fields.push({ id: ELEMENT.logical, type: T.STRUCT, value: logical })
    return { fields }
  }
  switch (type.kind) {
    case 'BOOLEAN': return make('BOOLEAN')
    case 'TINYINT': return make('INT32', CONVERTED.INT_8)
    case 'SMALLINT': return make('INT32', CONVERTED.INT_16)
    case 'INTEGER': return make('INT32', CONVERTED.INT_32)
    case 'BIGINT': return make('INT64', CONVERTED.INT_64)
    case 'UTINYINT': return make('INT32', CONVERTED.UINT_8)
    case 'USMALLINT': return make('INT32', CONVERTED.UINT_16)
    case 'UINTEGER': return make('INT32', CONVERTED.UINT_32)
    case 'UBIGINT': return make('INT64', CONVERTED.UINT_64)
    case 'FLOAT': return make('FLOAT')
    case 'DOUBLE': return make('DOUBLE')
    case 'DECIMAL': {
      const { precision, scale } = type
      const logical = one(LOGICAL.DECIMAL, { fields: [{ id: 1, type: T.I32, value: scale }, { id: 2, type: T.I32, value: precision }] })
      const physical = precision <= 9 ? 'INT32' : precision <= 18 ? 'INT64' : 'FIXED_LEN_BYTE_ARRAY'
      return make(physical, CONVERTED.DECIMAL, logical, { scale, precision, length: physical === 'FIXED_LEN_BYTE_ARRAY' ? 16 : undefined })
    }
    case 'DATE': return make('INT32', CONVERTED.DATE)
    case 'TIME': return make('INT64', CONVERTED.TIME_MICROS, time(LOGICAL.TIME, UNIT.MICROS))
    case 'TIMESTAMP':
    case 'TIMESTAMP_S': return make('INT64', CONVERTED.TIMESTAMP_MICROS, time(LOGICAL.TIMESTAMP, UNIT.MICROS))
    case 'TIMESTAMP_MS': return make('INT64', CONVERTED.TIMESTAMP_MILLIS, time(LOGICAL.TIMESTAMP, UNIT.MILLIS))
    case 'TIMESTAMP_NS': return make('INT64', undefined, time(LOGICAL.TIMESTAMP, UNIT.NANOS))
    case 'TIMESTAMPTZ': return make('INT64', CONVERTED.TIMESTAMP_MICROS, time(LOGICAL.TIMESTAMP, UNIT.MICROS, true))
    case 'VARCHAR': return make('BYTE_ARRAY', CONVERTED.UTF8)
    case 'JSON': return make('BYTE_ARRAY', CONVERTED.JSON, one(LOGICAL.JSON, empty))
    case 'BLOB': return make('BYTE_ARRAY')
    case 'UUID': return make('FIXED_LEN_BYTE_ARRAY', undefined, one(LOGICAL.UUID, empty), { length: 16 })
    case 'INTERVAL':
    case 'LIST':
    case 'STRUCT':
    case 'MAP': throw new ConversionError('unsupported', `columns of type ${column.type} cannot be written to Parquet yet`, { column: column.name })
  }
}

/** Drops what points to bytes that do not move along: page indexes hold absolute file offsets inside their own bytes. */
export const INDEX_FIELDS = [CHUNK.offsetIndexOffset, CHUNK.offsetIndexLength, CHUNK.columnIndexOffset, CHUNK.columnIndexLength]
