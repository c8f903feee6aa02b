/**
 * Types of Arrow and types of columns, both ways.
 *
 * From Arrow: integers, FLOAT and DOUBLE as they are (float16 becomes FLOAT), decimals of up to 38 digits; utf8 in all its forms VARCHAR,
 * binary in all its forms BLOB, `arrow.uuid` UUID; date32 DATE; date64 DATE, TIMESTAMP_MS if a value has a time of day; times TIME;
 * timestamps without zone TIMESTAMP_S, _MS, TIMESTAMP, _NS by their unit; with one TIMESTAMPTZ (in nanoseconds that no microsecond holds:
 * TIMESTAMP_NS in UTC); intervals and durations INTERVAL (times and durations that no microsecond holds: BIGINT, counts of their unit); lists of all kinds LIST, struct STRUCT, map MAP; dictionaries their values;
 * null VARCHAR, or what another input has under that name; extensions their storage.
 *
 * To Arrow: the same in reverse, one form each (utf8 and binary with 32-bit offsets, decimal128, date32, time64[us], timestamp[us, UTC],
 * month-day-nano intervals); JSON and UUID become utf8.
 */
import {
  Binary, Bool, DataType, DateDay, DateUnit, Decimal, Field, Float32, Float64, Int16, Int32, Int64, Int8, IntervalMonthDayNano, List, Map_, Precision, Struct,
  TimeMicrosecond, TimestampMicrosecond, TimestampMillisecond, TimestampNanosecond, TimestampSecond, TimeUnit, Uint16, Uint32, Uint64, Uint8, Utf8, type Dictionary
} from 'apache-arrow'
import { ConversionError } from '../../errors.ts'
import { EXTENSION } from './metadata.ts'
import type { Column } from '../schema.ts'
import { parseType, TYPE_DEPTH_MAX, typeName, type ColumnType, type Kind } from '../types.ts'

/** What is told about columns whose types change on the way in: codes of notes. */
export type ReadRule = 'dictionary-decoded' | 'zone-name-dropped' | 'duration-as-interval' | 'extension-as-storage' | 'null-as-text' | 'float16-widened' | 'date64-as-timestamp' | 'zone-dropped' | 'time-as-count' | 'duration-as-count'

export interface ReadOptions {
  /** Paths (names joined by NUL) of columns whose values the usual type does not hold (`isDoubtful`). */
  inexact?: ReadonlySet<string>
  note?: (rule: ReadRule, detail?: string) => void
}

const simple = (kind: Kind, precision = 0, scale = 0): ColumnType => ({ kind, precision, scale })

/** The path of a nested field, for `ReadOptions.inexact`. */
export const fieldPath = (parent: string, name: string): string => `${parent}\0${name}`

/**
 * The type of a column.
 *
 * @throws ConversionError `unsupported` naming the column
 */
export function columnTypeOf (field: Field, options: ReadOptions = {}): ColumnType {
  const refuse = (what: string): ConversionError => new ConversionError('unsupported', `column '${field.name}' ${what}`, { column: field.name })
  const type = ofField(field, field.name, options, refuse, 0)
  // Names of struct fields have rules of their own.
  try {
    return parseType(typeName(type))
  } catch (error) {
    if (!(error instanceof ConversionError)) throw error
    throw refuse(`has a type there is no place for: ${error.message}`)
  }
}

type Refuse = (what: string) => ConversionError

function ofField (field: Field, path: string, options: ReadOptions, refuse: Refuse, depth: number): ColumnType {
  if (depth > TYPE_DEPTH_MAX) throw refuse(`is nested more than ${TYPE_DEPTH_MAX} times`)
  const type: DataType = field.type
  const extension = field.metadata.get(EXTENSION)
  if (DataType.isDictionary(type)) {
    if (isStrange(type)) throw refuse('is dictionary-encoded with impossible indices')
    const values = (type as Dictionary).dictionary as DataType
    if (DataType.isDictionary(values) || isNestedType(values)) throw refuse('is dictionary-encoded with nested values, which is not supported')
    options.note?.('dictionary-decoded')
    if (extension != null) options.note?.('extension-as-storage', extension)
    return ofType(values, path, options, refuse, depth)
  }
  if (extension === UUID_EXTENSION && DataType.isFixedSizeBinary(type) && type.byteWidth === 16) return simple('UUID')
  if (extension != null) options.note?.('extension-as-storage', extension)
  return ofType(type, path, options, refuse, depth)
}

const UUID_EXTENSION = 'arrow.uuid'

function isNestedType (type: DataType): boolean {
  return type.children != null && type.children.length > 0
}

/** Numbers in a type's description that none of its variants has; the library takes them as they come. */
function isStrange (type: DataType): boolean {
  const oneOf = (value: number, ...known: number[]): boolean => !known.includes(value)
  if (DataType.isDictionary(type)) return oneOf((type as Dictionary).indices.bitWidth, 8, 16, 32, 64)
  if (DataType.isInt(type)) return oneOf(type.bitWidth, 8, 16, 32, 64)
  if (DataType.isFloat(type)) return oneOf(type.precision, 0, 1, 2)
  if (DataType.isDecimal(type)) return oneOf(type.bitWidth, 32, 64, 128, 256)
  if (DataType.isDate(type)) return oneOf(type.unit, 0, 1)
  if (DataType.isTime(type)) return oneOf(type.unit, 0, 1, 2, 3) || type.bitWidth !== (type.unit < TimeUnit.MICROSECOND ? 32 : 64)
  if (DataType.isTimestamp(type) || DataType.isDuration(type)) return oneOf(type.unit, 0, 1, 2, 3)
  if (DataType.isInterval(type)) return oneOf(type.unit, 0, 1, 2)
  if (DataType.isFixedSizeBinary(type)) return type.byteWidth < 0
  if (DataType.isFixedSizeList(type)) return type.listSize < 0
  return false
}

function ofType (type: DataType, path: string, options: ReadOptions, refuse: Refuse, depth: number): ColumnType {
  if (isStrange(type)) throw refuse(`has a type with impossible properties (${String(type)})`)
  const child = (field: Field): ColumnType => ofField(field, fieldPath(path, field.name), options, refuse, depth + 1)
  if (DataType.isNull(type)) {
    options.note?.('null-as-text')
    return simple('VARCHAR')
  }
  if (DataType.isBool(type)) return simple('BOOLEAN')
  if (DataType.isInt(type)) {
    const name = INTEGERS[type.bitWidth]!
    return simple(type.isSigned ? name : `U${name}` as Kind)
  }
  if (DataType.isFloat(type)) {
    if (type.precision === Precision.HALF) options.note?.('float16-widened')
    return simple(type.precision === Precision.DOUBLE ? 'DOUBLE' : 'FLOAT')
  }
  if (DataType.isDecimal(type)) return decimal(type, refuse)
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type) || DataType.isUtf8View(type)) return simple('VARCHAR')
  if (DataType.isBinary(type) || DataType.isLargeBinary(type) || DataType.isBinaryView(type) || DataType.isFixedSizeBinary(type)) return simple('BLOB')
  if (DataType.isDate(type)) {
    if (type.unit === DateUnit.DAY || options.inexact?.has(path) !== true) return simple('DATE')
    options.note?.('date64-as-timestamp')
    return simple('TIMESTAMP_MS')
  }
  if (DataType.isTime(type)) {
    if (options.inexact?.has(path) !== true) return simple('TIME')
    options.note?.('time-as-count')
    return simple('BIGINT')
  }
  if (DataType.isTimestamp(type)) {
    const zone = type.timezone
    if (zone == null || zone === '') return simple(TIMESTAMPS[type.unit]!)
    if (zone !== 'UTC') options.note?.('zone-name-dropped', zone)
    if (type.unit !== TimeUnit.NANOSECOND || options.inexact?.has(path) !== true) return simple('TIMESTAMPTZ')
    options.note?.('zone-dropped')
    return simple('TIMESTAMP_NS')
  }
  if (DataType.isInterval(type)) return simple('INTERVAL')
  if (DataType.isDuration(type)) {
    const inexact = options.inexact?.has(path) === true
    options.note?.(inexact ? 'duration-as-count' : 'duration-as-interval', UNITS[type.unit])
    return simple(inexact ? 'BIGINT' : 'INTERVAL')
  }
  if (DataType.isList(type) || DataType.isLargeList(type) || DataType.isFixedSizeList(type)) {
    const element = type.children?.[0]
    if (element == null) throw refuse('is a list without elements')
    return { ...simple('LIST'), element: child(element) }
  }
  if (DataType.isMap(type)) {
    const entries = type.children[0]?.type.children as Field[] | undefined
    if (entries?.length !== 2) throw refuse('is a map without keys and values')
    const [key, value] = entries as [Field, Field]
    return { ...simple('MAP'), key: child(key), element: child(value) }
  }
  if (DataType.isStruct(type)) {
    if (type.children.length === 0) throw refuse('is a struct without fields')
    const names = new Set(type.children.map((field: Field) => ((field.name as string | null) ?? '').toLowerCase()))
    if (names.has('') || names.size < type.children.length) throw refuse('is a struct with fields of the same name (upper and lower case count as the same), or without a name')
    return { ...simple('STRUCT'), fields: type.children.map((field: Field) => ({ name: field.name, type: child(field) })) }
  }
  throw refuse(`has the type ${String(type)}, which is not supported`)
}

const INTEGERS: Record<number, Kind> = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }
const UNITS: readonly string[] = ['seconds', 'milliseconds', 'microseconds', 'nanoseconds']
/** By unit. */
const TIMESTAMPS: readonly Kind[] = ['TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP', 'TIMESTAMP_NS']

function decimal ({ precision, scale }: Decimal, refuse: Refuse): ColumnType {
  if (precision < 1 || precision > 38) throw refuse(`holds decimals of ${precision} digits, at most 38 are supported`)
  if (scale < 0 || scale > precision) throw refuse(`holds decimals of ${precision} digits, ${scale} of them after the point, which is not supported`)
  return simple('DECIMAL', precision, scale)
}

/** The type in which a column is given to a writer: what Arrow has no type for is text there. */
export function storedType (type: ColumnType): ColumnType {
  switch (type.kind) {
    case 'JSON':
    case 'UUID': return simple('VARCHAR')
    case 'LIST': return { ...type, element: storedType(type.element!) }
    case 'MAP': return { ...type, key: storedType(type.key!), element: storedType(type.element!) }
    case 'STRUCT': return { ...type, fields: type.fields!.map(field => ({ name: field.name, type: storedType(field.type) })) }
    default: return type
  }
}

/** The columns of an output, in the one way in which they are written. */
export function arrowFields (columns: Column[]): Field[] {
  return columns.map(({ name, type }) => new Field(name, arrowType(parseType(type)), true))
}

function arrowType (type: ColumnType): DataType {
  switch (type.kind) {
    case 'BOOLEAN': return new Bool()
    case 'TINYINT': return new Int8()
    case 'SMALLINT': return new Int16()
    case 'INTEGER': return new Int32()
    case 'BIGINT': return new Int64()
    case 'UTINYINT': return new Uint8()
    case 'USMALLINT': return new Uint16()
    case 'UINTEGER': return new Uint32()
    case 'UBIGINT': return new Uint64()
    case 'FLOAT': return new Float32()
    case 'DOUBLE': return new Float64()
    case 'DECIMAL': return new Decimal(type.scale, type.precision, 128)
    case 'DATE': return new DateDay()
    case 'TIME': return new TimeMicrosecond()
    case 'TIMESTAMP': return new TimestampMicrosecond()
    case 'TIMESTAMP_S': return new TimestampSecond()
    case 'TIMESTAMP_MS': return new TimestampMillisecond()
    case 'TIMESTAMP_NS': return new TimestampNanosecond()
    case 'TIMESTAMPTZ': return new TimestampMicrosecond('UTC')
    case 'INTERVAL': return new IntervalMonthDayNano()
    case 'VARCHAR':
    case 'JSON':
    case 'UUID': return new Utf8()
    case 'BLOB': return new Binary()
    case 'LIST': return new List(new Field('item', arrowType(type.element!), true))
    case 'STRUCT': return new Struct(type.fields!.map(field => new Field(field.name, arrowType(field.type), true)))
    case 'MAP': {
      const entries = new Struct<{ key: DataType, value: DataType }>([new Field('key', arrowType(type.key!), false), new Field('value', arrowType(type.element!), true)])
      return new Map_(new Field('entries', entries, false))
    }
  }
}
