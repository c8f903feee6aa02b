/** Tables of any format as values that say what they are, by readers that are not the product's. */
import { readFile } from 'node:fs/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import * as arrow from '@uwdata/flechette'
import { parse } from 'csv-parse/sync'
import { parquetMetadataAsync, parquetRead, type SchemaElement } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type { Source } from './arbitrary.ts'
import { JsonObject, parseJson, type Json } from './json.ts'
import { NANOS, type Unit } from './table.ts'

/** A value as a reader found it. `absent` is a key that an object does not have. */
export type Given =
  | { is: 'null' | 'absent' }
  | { is: 'boolean', value: boolean }
  | { is: 'integer', value: bigint }
  | { is: 'float', value: number, bits: 32 | 64 }
  | { is: 'decimal', value: bigint, scale: number }
  | { is: 'date', days: bigint }
  | { is: 'time', nanos: bigint }
  | { is: 'moment', nanos: bigint, zone: boolean }
  | { is: 'interval', months: bigint, days: bigint, nanos: bigint }
  /** `unmarked`: by a reader that drops a byte order mark at the beginning. */
  | { is: 'text', value: string, unmarked?: boolean }
  /** Text of a column that is declared to hold JSON. */
  | { is: 'json', value: string }
  | { is: 'blob', value: Uint8Array }
  | { is: 'uuid', value: string }
  /** A CSV field: all it says is its text. */
  | { is: 'field', value: string }
  /** A value inside a JSON text. */
  | { is: 'member', value: Json }
  | { is: 'list', items: Given[] }
  | { is: 'struct', fields: Array<[string, Given]> }
  /** `unordered`: by a reader that makes an object of it, which has an order of its own. */
  | { is: 'map', pairs: Array<[Given, Given]>, unordered?: boolean }

export interface GivenTable { names: string[], rows: Given[][] }

/** A table whose values are made when they are asked for: a million of them at once would fill the memory. */
export interface Columns { names: string[], rows: number, cell: (row: number, column: number) => Given }

export const NULL: Given = { is: 'null' }

export interface CsvForm { delimiter: string, quote: string, header: boolean }

export async function readTable (path: string, format: Source, csv: CsvForm = { delimiter: ',', quote: '"', header: true }, around?: 'gzip' | 'zstd'): Promise<GivenTable> {
  const stored = await readFile(path)
  const bytes = around === 'gzip' ? gunzipSync(stored) : around === 'zstd' ? unzstd(stored) : stored
  switch (format) {
    case 'csv': return readCsv(bytes, csv)
    case 'ndjson': return readObjects(lines(bytes.toString()).map(parseJson))
    case 'json': return readObjects(parseJson(bytes.toString()) as Json[])
    case 'parquet': return all(await parquetColumns(bytes))
    case 'arrow':
    case 'arrows': return all(arrowColumns(bytes))
  }
}

/** The platform's own decoder stops after the first frame, but says how much of the input that was. */
export function unzstd (bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const { buffer, engine } = zstdDecompressSync(bytes.subarray(at), { info: true } as object) as unknown as { buffer: Buffer, engine: { bytesWritten: number } }
    parts.push(buffer)
    at += engine.bytesWritten
  }
  return Buffer.concat(parts)
}

const all = ({ names, rows, cell }: Columns): GivenTable => ({ names, rows: Array.from({ length: rows }, (_, row) => names.map((_name, column) => cell(row, column))) })

/** An empty field is missing, a quoted empty one is the empty text. */
export function readCsv (bytes: Buffer, { delimiter, quote, header }: CsvForm): GivenTable {
  const records = parse(bytes, {
    delimiter, quote, escape: quote, record_delimiter: '\n', bom: false, relax_column_count: false, max_record_size: 0,
    cast: (value, { quoting }) => value === '' && !quoting ? null : value
  }) as unknown as Array<Array<string | null>>
  const names = header ? records.shift() ?? [] : records[0]?.map((_, i) => `column_${i + 1}`) ?? []
  return { names: names.map(name => name ?? ''), rows: records.map(record => record.map(value => value === null ? NULL : { is: 'field', value })) }
}

const lines = (text: string): string[] => text.split('\n').filter(line => line !== '')

/** Columns in order of appearance: an object without a key has the value `absent` there. */
function readObjects (objects: Json[]): GivenTable {
  const names = new Set<string>()
  for (const object of objects) {
    if (!(object instanceof JsonObject)) throw new Error('an item is not an object')
    for (const name of object.entries.keys()) names.add(name)
  }
  return { names: [...names], rows: objects.map(object => [...names].map(name => member((object as JsonObject).entries.get(name)))) }
}

const member = (value: Json | undefined): Given => value === undefined ? { is: 'absent' } : value === null ? NULL : { is: 'member', value }

/** hyparquet gives decimals as doubles and instants as milliseconds; told less about the columns, it gives what is stored. */
export async function parquetColumns (bytes: Uint8Array): Promise<Columns> {
  const file = {
    byteLength: bytes.length,
    // A Buffer's own slice shares its memory.
    slice: (from: number, to?: number) => new Uint8Array(bytes.subarray(from, to)).buffer
  }
  const parsers = {
    timestampFromMilliseconds: (value: bigint) => value, timestampFromMicroseconds: (value: bigint) => value, timestampFromNanoseconds: (value: bigint) => value,
    dateFromDays: (value: number) => value, jsonFromBytes: (value: Uint8Array) => value == null ? value : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value),
    stringFromBytes: (value: Uint8Array) => value == null ? value : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  }
  // Bounds of columns may be cut in the middle of a character; nobody asks for them here.
  const metadata = await parquetMetadataAsync(file, { parsers: { stringFromBytes: () => undefined, jsonFromBytes: () => undefined } })
  const elements = metadata.schema.map(element => ({ ...element }))
  for (const element of metadata.schema) {
    if (element.converted_type === 'DECIMAL' || element.converted_type === 'INTERVAL') delete element.converted_type
    if (element.logical_type?.type === 'DECIMAL') delete element.logical_type
  }
  const tree = new SchemaTree(elements)
  const names = tree.root.children.map(({ element }) => element.name)
  const columns: unknown[][] = []
  for (const name of names) {
    const values: unknown[] = []
    await parquetRead({ file, metadata, columns: [name], compressors, parsers, utf8: false, geoparquet: false, rowFormat: 'array', onComplete: rows => { for (const row of rows) values.push(row[0]) } })
    columns.push(values)
  }
  return { names, rows: Number(metadata.num_rows), cell: (row, column) => ofParquet(tree.root.children[column]!, columns[column]![row]) }
}

interface Node { element: SchemaElement, children: Node[] }

class SchemaTree {
  readonly root: Node
  readonly #elements: SchemaElement[]
  #at = 0

  constructor (elements: SchemaElement[]) {
    this.#elements = elements
    this.root = this.#node()
  }

  #node (): Node {
    const element = this.#elements[this.#at++]!
    return { element, children: Array.from({ length: element.num_children ?? 0 }, () => this.#node()) }
  }
}

function ofParquet ({ element, children }: Node, value: unknown): Given {
  if (value === null || value === undefined) return NULL
  const logical = element.logical_type as { type: string, unit?: string, isAdjustedToUTC?: boolean } | undefined
  const converted = element.converted_type
  if (children.length > 0) {
    if (converted === 'LIST' || logical?.type === 'LIST') return { is: 'list', items: (value as unknown[]).map(item => ofParquet(children[0]!.children[0]!, item)) }
    if (converted === 'MAP' || converted === 'MAP_KEY_VALUE' || logical?.type === 'MAP') {
      const [key, item] = children[0]!.children as [Node, Node]
      const pairs = value instanceof Map ? [...value] : Array.isArray(value) ? value.map((pair: { key: unknown, value: unknown }) => [pair.key, pair.value]) : Object.entries(value)
      return { is: 'map', unordered: true, pairs: pairs.map(([k, v]): [Given, Given] => [ofParquet(key, k), ofParquet(item, v)]) }
    }
    return { is: 'struct', fields: children.map(child => [child.element.name, ofParquet(child, (value as Record<string, unknown>)[child.element.name])]) }
  }
  if (converted === 'DECIMAL' || logical?.type === 'DECIMAL') return { is: 'decimal', value: value instanceof Uint8Array ? bigEndian(value) : BigInt(value as number), scale: element.scale ?? 0 }
  if (converted === 'DATE' || logical?.type === 'DATE') return { is: 'date', days: BigInt(value as number) }
  const unit = logical?.unit === 'MILLIS' || converted?.endsWith('_MILLIS') === true ? 'ms' : logical?.unit === 'NANOS' ? 'ns' : 'us'
  if (logical?.type === 'TIME' || converted?.startsWith('TIME_') === true) return { is: 'time', nanos: BigInt(value as number) * NANOS[unit] }
  if (logical?.type === 'TIMESTAMP' || converted?.startsWith('TIMESTAMP_') === true) return { is: 'moment', nanos: BigInt(value as bigint) * NANOS[unit], zone: logical?.isAdjustedToUTC ?? false }
  if (converted === 'JSON' || logical?.type === 'JSON') return { is: 'json', value: value as string }
  if (logical?.type === 'UUID') return { is: 'uuid', value: value as string }
  if (converted === 'UTF8' || logical?.type === 'STRING') return { is: 'text', value: value as string }
  if (converted === 'INTERVAL') {
    const view = new DataView((value as Uint8Array).buffer, (value as Uint8Array).byteOffset)
    return { is: 'interval', months: BigInt(view.getUint32(0, true)), days: BigInt(view.getUint32(4, true)), nanos: BigInt(view.getUint32(8, true)) * NANOS.ms }
  }
  switch (element.type) {
    case 'BOOLEAN': return { is: 'boolean', value: value as boolean }
    case 'INT32':
    case 'INT64': return { is: 'integer', value: BigInt(value as number) }
    case 'FLOAT': return { is: 'float', value: value as number, bits: 32 }
    case 'DOUBLE': return { is: 'float', value: value as number, bits: 64 }
    default: return { is: 'blob', value: value as Uint8Array }
  }
}

function bigEndian (bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = value * 256n + BigInt(byte)
  return BigInt.asIntN(bytes.length * 8, value)
}

export function arrowColumns (bytes: Uint8Array): Columns {
  const table = arrow.tableFromIPC(bytes, { useBigInt: true, useBigIntTimestamp: true, useDecimalInt: true })
  const { fields } = table.schema
  const columns = fields.map((_, i) => table.getChildAt(i))
  return { names: fields.map(({ name }) => name), rows: table.numRows, cell: (row, column) => ofArrow(fields[column]!.type, columns[column]!.at(row)) }
}

const UNITS: Record<number, Unit> = { [arrow.TimeUnit.SECOND]: 's', [arrow.TimeUnit.MILLISECOND]: 'ms', [arrow.TimeUnit.MICROSECOND]: 'us', [arrow.TimeUnit.NANOSECOND]: 'ns' }

function ofArrow (type: arrow.DataType, value: unknown): Given {
  if (value === null || value === undefined) return NULL
  switch (type.typeId) {
    case arrow.Type.Bool: return { is: 'boolean', value: value as boolean }
    case arrow.Type.Int: return { is: 'integer', value: BigInt(value as number) }
    case arrow.Type.Float: return { is: 'float', value: value as number, bits: type.precision === arrow.Precision.DOUBLE ? 64 : 32 }
    case arrow.Type.Decimal: return { is: 'decimal', value: BigInt(value as bigint), scale: type.scale }
    case arrow.Type.Date: return { is: 'date', days: BigInt(Math.round(value as number / 86_400_000)) }
    case arrow.Type.Time: return { is: 'time', nanos: BigInt(value as bigint) * NANOS[UNITS[type.unit]!] }
    case arrow.Type.Timestamp: return { is: 'moment', nanos: (value as bigint) * NANOS[UNITS[type.unit]!], zone: type.timezone != null && type.timezone !== '' }
    case arrow.Type.Interval: {
      const parts = Array.from(value as Float64Array)
      return { is: 'interval', months: BigInt(parts[0]!), days: BigInt(parts[1]!), nanos: BigInt(parts[2] ?? 0) }
    }
    case arrow.Type.Utf8:
    case arrow.Type.LargeUtf8:
    case arrow.Type.Utf8View: return { is: 'text', value: value as string, unmarked: true }
    case arrow.Type.Binary:
    case arrow.Type.LargeBinary:
    case arrow.Type.BinaryView:
    case arrow.Type.FixedSizeBinary: return { is: 'blob', value: value as Uint8Array }
    case arrow.Type.Dictionary: return ofArrow(type.dictionary, value)
    case arrow.Type.List:
    case arrow.Type.LargeList:
    case arrow.Type.FixedSizeList: return { is: 'list', items: Array.from(value as ArrayLike<unknown>, item => ofArrow(type.children[0]!.type, item)) }
    case arrow.Type.Struct: return { is: 'struct', fields: type.children.map(child => [child.name, ofArrow(child.type, (value as Record<string, unknown>)[child.name])]) }
    case arrow.Type.Map: {
      const [key, item] = (type.children[0]!.type as arrow.StructType).children as [arrow.Field, arrow.Field]
      return { is: 'map', pairs: (value as Array<[unknown, unknown]>).map(([k, v]): [Given, Given] => [ofArrow(key.type, k), ofArrow(item.type, v)]) }
    }
    default: throw new Error(`Arrow type ${type.typeId} is not expected here`)
  }
}
