/**
 * Schemas as DuckDB writes them (of parts, and of the one file we write ourselves, the empty one), and source schemas in the words DuckDB
 * understands (of blocks): it knows most types by their older annotation only, which newer writers may leave out.
 */
import { ELEMENT, FILE, MAGIC, PHYSICAL, ROOT_NAME, type Footer, type Physical } from './footer.ts'
import { CONVERTED, LOGICAL, UNIT, type LeafForm } from './logical.ts'
import type { Column } from '../schema.ts'
import { groupKind, isLeaf, type GroupKind, type ParquetColumn } from './schema.ts'
import { serializeThrift } from './thrift-writer.ts'
import { T, type ThriftField, type ThriftStruct } from './thrift.ts'
import { parseType, type ColumnType } from '../types.ts'

/** The type a column has when DuckDB wrote it to Parquet and it is read back. */
export function storedType (type: string): string {
  // DuckDB has no second or millisecond timestamps in Parquet: both come back as microseconds. Field names are quoted, so quotes tell them.
  return type.split(/("(?:[^"]|"")*")/).map((part, i) => i % 2 === 1 ? part : part.replaceAll(/\bTIMESTAMP_M?S\b/g, 'TIMESTAMP')).join('')
}

/** A whole Parquet file with these columns and no rows, its schema as DuckDB writes it. */
export function emptyParquet (columns: Column[]): Uint8Array {
  const order: ThriftStruct = { fields: [field(1, T.STRUCT, { fields: [] })] }
  const elements = schemaElements(columns)
  const leaves = elements.filter(element => element.fields.some(({ id }) => id === ELEMENT.type))
  const footer = serializeThrift({
    fields: [
      field(FILE.version, T.I32, 1),
      field(FILE.schema, T.LIST, { elements: T.STRUCT, values: elements }),
      field(FILE.rows, T.I64, 0n),
      field(FILE.rowGroups, T.LIST, { elements: T.STRUCT, values: [] }),
      field(FILE.createdBy, T.BINARY, text('weft')),
      field(FILE.columnOrders, T.LIST, { elements: T.STRUCT, values: leaves.map(() => order) })
    ]
  })
  return Buffer.concat([MAGIC, footer, footerTail(footer.length)])
}

/** The footer's field that holds the schema, as DuckDB writes it. */
export function schemaFields (columns: Column[]): ThriftField[] {
  return [field(FILE.schema, T.LIST, { elements: T.STRUCT, values: schemaElements(columns) })]
}

/** What follows a footer: its length and the magic. */
export function footerTail (length: number): Uint8Array {
  const tail = new Uint8Array(8)
  new DataView(tail.buffer).setUint32(0, length, true)
  tail.set(MAGIC, 4)
  return tail
}

/** The schema of a source file for the engine: the same tree and names, every leaf and group annotated as it is understood here. */
export function engineSchema (footer: Footer, columns: ParquetColumn[]): ThriftField {
  const elements: ThriftStruct[] = [rootElement(columns.length)]
  for (const { leaves, elements: [start, end] } of columns) {
    let leaf = 0
    const emit = (at: number, parent: GroupKind): number => {
      const element = footer.schema[at]!
      const repetition = ['REQUIRED', 'OPTIONAL', 'REPEATED'].indexOf(element.repetition)
      if (isLeaf(element)) {
        const form = leaves[leaf++]!
        elements.push(leafElement(element.name, repetition, form, form.physical === 'FIXED_LEN_BYTE_ARRAY' ? form.typeLength : undefined))
        return at + 1
      }
      const kind = groupKind(footer.schema, at, parent)
      elements.push(groupElement(element.name, repetition, element.children, kind === 'map' ? CONVERTED.MAP : kind === 'list' ? CONVERTED.LIST : undefined))
      let next = at + 1
      for (let i = 0; i < element.children; i++) next = emit(next, kind)
      return next
    }
    for (let at = start; at < end;) at = emit(at, 'struct')
  }
  return field(FILE.schema, T.LIST, { elements: T.STRUCT, values: elements })
}

function field (id: number, type: number, value: ThriftField['value']): ThriftField {
  return { id, type, value }
}

function text (value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

function rootElement (children: number): ThriftStruct {
  return { fields: [field(ELEMENT.repetition, T.I32, 0), field(ELEMENT.name, T.BINARY, text(ROOT_NAME)), field(ELEMENT.children, T.I32, children)] }
}

const OPTIONAL = 1

function schemaElements (columns: Column[]): ThriftStruct[] {
  const elements = [rootElement(columns.length)]
  for (const { name, type } of columns) addElements(elements, name, parseType(type), OPTIONAL)
  return elements
}

function addElements (elements: ThriftStruct[], name: string, type: ColumnType, repetition: number): void {
  switch (type.kind) {
    case 'LIST':
      elements.push(groupElement(name, repetition, 1, CONVERTED.LIST), groupElement('list', 2, 1))
      return addElements(elements, 'element', type.element!, OPTIONAL)
    case 'MAP':
      elements.push(groupElement(name, repetition, 1, CONVERTED.MAP), groupElement('key_value', 2, 2))
      addElements(elements, 'key', type.key!, 0)
      return addElements(elements, 'value', type.element!, OPTIONAL)
    case 'STRUCT':
      elements.push(groupElement(name, repetition, type.fields!.length))
      for (const inner of type.fields!) addElements(elements, inner.name, inner.type, OPTIONAL)
      return
    default: {
      const form = formOf(type)
      elements.push(leafElement(name, repetition, form, form.physical === 'FIXED_LEN_BYTE_ARRAY' ? form.typeLength : undefined))
    }
  }
}

function groupElement (name: string, repetition: number, children: number, converted?: number): ThriftStruct {
  const fields = [field(ELEMENT.repetition, T.I32, repetition), field(ELEMENT.name, T.BINARY, text(name)), field(ELEMENT.children, T.I32, children)]
  if (converted != null) fields.push(field(ELEMENT.converted, T.I32, converted))
  return { fields }
}

function leafElement (name: string, repetition: number, form: Form, length?: number): ThriftStruct {
  const fields: ThriftField[] = [field(ELEMENT.type, T.I32, PHYSICAL.indexOf(form.physical))]
  if (length != null) fields.push(field(ELEMENT.typeLength, T.I32, length))
  fields.push(field(ELEMENT.repetition, T.I32, repetition), field(ELEMENT.name, T.BINARY, text(name)), ...annotation(form))
  return { fields }
}

type Form = Pick<LeafForm, 'physical' | 'typeLength' | 'unitsPerSecond' | 'float16' | 'utc' | 'nothing'> & { parsed: ColumnType }

/** How DuckDB stores a type. */
function formOf (parsed: ColumnType): Form {
  const form = (physical: Physical, more: Partial<Form> = {}): Form => ({ parsed, physical, typeLength: 0, unitsPerSecond: 0, float16: false, utc: false, nothing: false, ...more })
  switch (parsed.kind) {
    case 'BOOLEAN': return form('BOOLEAN')
    case 'BIGINT':
    case 'UBIGINT': return form('INT64')
    case 'FLOAT': return form('FLOAT')
    case 'DOUBLE': return form('DOUBLE')
    case 'DECIMAL': return parsed.precision <= 9 ? form('INT32') : parsed.precision <= 18 ? form('INT64') : form('FIXED_LEN_BYTE_ARRAY', { typeLength: 16 })
    case 'TIMESTAMP_MS': return form('INT64', { unitsPerSecond: 1e3 })
    case 'TIMESTAMP_NS': return form('INT64', { unitsPerSecond: 1e9 })
    case 'TIME':
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMPTZ': return form('INT64', { unitsPerSecond: 1e6 })
    case 'VARCHAR':
    case 'JSON':
    case 'BLOB': return form('BYTE_ARRAY')
    case 'UUID': return form('FIXED_LEN_BYTE_ARRAY', { typeLength: 16 })
    case 'INTERVAL': return form('FIXED_LEN_BYTE_ARRAY', { typeLength: 12 })
    default: return form('INT32')
  }
}

/** Older annotations of the types that have no more to say. */
const PLAIN_ANNOTATIONS: Partial<Record<ColumnType['kind'], number>> = {
  TINYINT: CONVERTED.INT_8,
  SMALLINT: CONVERTED.INT_16,
  INTEGER: CONVERTED.INT_32,
  BIGINT: CONVERTED.INT_64,
  UTINYINT: CONVERTED.UINT_8,
  USMALLINT: CONVERTED.UINT_16,
  UINTEGER: CONVERTED.UINT_32,
  UBIGINT: CONVERTED.UINT_64,
  DATE: CONVERTED.DATE,
  VARCHAR: CONVERTED.UTF8,
  INTERVAL: CONVERTED.INTERVAL
}

/** The fields of a schema element that say what its values mean. */
function annotation (form: Form): ThriftField[] {
  const { parsed: { kind, precision, scale }, unitsPerSecond } = form
  const one = (id: number, struct: ThriftStruct = { fields: [] }): ThriftStruct => ({ fields: [field(id, T.STRUCT, struct)] })
  const fields = (converted: number | undefined, logical?: ThriftStruct): ThriftField[] => [
    ...(converted != null ? [field(ELEMENT.converted, T.I32, converted)] : []),
    ...(kind === 'DECIMAL' ? [field(ELEMENT.scale, T.I32, scale), field(ELEMENT.precision, T.I32, precision)] : []),
    ...(logical != null ? [field(ELEMENT.logical, T.STRUCT, logical)] : [])
  ]
  if (form.nothing) return fields(undefined, one(LOGICAL.UNKNOWN))
  const plain = PLAIN_ANNOTATIONS[kind]
  if (plain != null) return fields(plain)
  const time = (logical: number, utc: boolean, millis: number, micros: number): ThriftField[] => {
    const unit = unitsPerSecond === 1e3 ? UNIT.MILLIS : unitsPerSecond === 1e6 ? UNIT.MICROS : UNIT.NANOS
    const converted = unit === UNIT.MILLIS ? millis : unit === UNIT.MICROS ? micros : undefined
    return fields(converted, one(logical, { fields: [field(1, utc ? T.TRUE : T.FALSE, utc), field(2, T.STRUCT, one(unit))] }))
  }
  switch (kind) {
    case 'DECIMAL': return fields(CONVERTED.DECIMAL, one(LOGICAL.DECIMAL, { fields: [field(1, T.I32, scale), field(2, T.I32, precision)] }))
    case 'TIME': return time(LOGICAL.TIME, form.utc, CONVERTED.TIME_MILLIS, CONVERTED.TIME_MICROS)
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
    case 'TIMESTAMP_NS':
    case 'TIMESTAMPTZ': return form.physical === 'INT96' ? [] : time(LOGICAL.TIMESTAMP, kind === 'TIMESTAMPTZ', CONVERTED.TIMESTAMP_MILLIS, CONVERTED.TIMESTAMP_MICROS)
    case 'JSON': return fields(CONVERTED.JSON, one(LOGICAL.JSON))
    case 'UUID': return fields(undefined, one(LOGICAL.UUID))
    default: return form.float16 ? fields(undefined, one(LOGICAL.FLOAT16)) : []
  }
}
