/** Random tables as files, by writers that are not the product's: texts by hand, Parquet by DuckDB, Arrow by flechette. */
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { holds, type Source } from './arbitrary.ts'
import { arrowBytes } from './write-arrow.ts'
import { parseJson, type Json, type JsonObject } from './json.ts'
import { clockText, dateText, decimalText, duckType, momentText, NANOS, type Column, type Table, type Type, type Value } from './table.ts'

/** What a reader of the source must find: texts of CSV fields, JSON values, or the typed values themselves. */
export type Expected =
  | { source: 'csv', columns: Column[], rows: Array<Array<string | null>> }
  | { source: 'json', columns: Column[], rows: Array<Array<Json | undefined>> }
  | { source: 'typed', columns: Column[], rows: Value[][] }

export interface Written {
  paths: string[]
  /** Of all files, without what is around them. */
  bytes: number
  mediaType: string
  settings: Record<string, string>
  expected: Expected
}

/** How a table is written, of all the ways its format allows. */
export interface Form {
  files: number
  delimiter: ',' | ';' | '\t' | '|'
  quote: '"' | '\''
  header: boolean
  lineEnds: Array<'\n' | '\r\n'>
  lastEnd: boolean
  always: boolean
  /** Style of booleans, instants and absent keys, by turns. */
  styles: number[]
  space: '' | ' '
  compression: 'snappy' | 'zstd' | 'gzip' | 'uncompressed'
  batchRows: number
  escape: 'quote' | 'backslash'
  /** What is around a text file, and which bytes its characters are. */
  around?: 'gzip' | 'zstd'
  charset: 'utf-8' | 'utf-8-mark' | 'utf-16le'
  /** Lines between records that are none. */
  comments: boolean
  /** Records end before fields that are missing. */
  ragged: boolean
  /** Files after the first have their columns in another order, and lack the last one. */
  mixed: boolean
}

export const forms: fc.Arbitrary<Form> = fc.record({
  files: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 3 }) }),
  delimiter: fc.constantFrom(',', ';', '\t', '|'),
  quote: fc.oneof({ weight: 4, arbitrary: fc.constant('"' as const) }, { weight: 1, arbitrary: fc.constant('\'' as const) }),
  header: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  lineEnds: fc.array(fc.constantFrom('\n' as const, '\r\n' as const), { minLength: 1, maxLength: 3 }),
  lastEnd: fc.boolean(),
  always: fc.boolean(),
  styles: fc.array(fc.nat(5), { minLength: 1, maxLength: 5 }),
  space: fc.constantFrom('', ' '),
  compression: fc.constantFrom('snappy', 'zstd', 'gzip', 'uncompressed'),
  batchRows: fc.constantFrom(1, 3, 1000),
  escape: fc.oneof({ weight: 5, arbitrary: fc.constant('quote' as const) }, { weight: 1, arbitrary: fc.constant('backslash' as const) }),
  around: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constantFrom('gzip' as const, 'zstd' as const) }),
  charset: fc.oneof({ weight: 6, arbitrary: fc.constant('utf-8' as const) }, { weight: 1, arbitrary: fc.constantFrom('utf-8-mark' as const, 'utf-16le' as const) }),
  comments: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  ragged: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  mixed: fc.boolean()
})

const TYPES: Record<Source, { mediaType: string, extension: string }> = {
  csv: { mediaType: 'text/csv', extension: 'csv' },
  ndjson: { mediaType: 'application/x-ndjson', extension: 'ndjson' },
  json: { mediaType: 'application/json', extension: 'json' },
  parquet: { mediaType: 'application/vnd.apache.parquet', extension: 'parquet' },
  arrow: { mediaType: 'application/vnd.apache.arrow.file', extension: 'arrow' },
  arrows: { mediaType: 'application/vnd.apache.arrow.stream', extension: 'arrows' }
}

export const mediaTypeOf = (source: Source): string => TYPES[source].mediaType
export const extensionOf = (source: Source): string => TYPES[source].extension

/** Writes a table below `folder`, as one file or several that hold its rows in order. */
export async function writeTable (folder: string, source: Source, table: Table, form: Form, duckdb: () => Promise<DuckDBConnection>): Promise<Written> {
  const { mediaType, extension } = TYPES[source]
  const parts = divide(table, form, source)
  const paths = parts.map((_, i) => join(folder, `in-${i}.${extension}`))
  const written = { paths, mediaType, bytes: 0, settings: {} as Record<string, string> }
  const text = async (path: string, content: string): Promise<void> => {
    written.bytes += content.length
    await writeFile(path, surrounded(content, form))
  }
  switch (source) {
    case 'csv': {
      const rows: Array<Array<string | null>> = []
      for (const [i, part] of parts.entries()) {
        const { content, fields } = csvFile(part, form)
        await text(paths[i]!, content)
        rows.push(...fields.map(record => table.columns.map(({ name }) => record[part.columns.findIndex(column => column.name === name)] ?? null)))
      }
      const columns = form.header ? table.columns : table.columns.map(({ type }, i) => ({ name: `column_${i + 1}`, type }))
      const settings: Record<string, string> = { delimiter: form.delimiter, quote: form.quote, header: String(form.header) }
      if (form.escape === 'backslash') settings.escape = '\\'
      if (form.comments) settings.comment = '#'
      if (form.ragged) settings.ragged = 'pad'
      return { ...written, settings, expected: { source: 'csv', columns, rows } }
    }
    case 'ndjson':
    case 'json': {
      const objects = parts.map(({ columns, rows }) => rows.map((row, i) => jsonObject(columns, row, form, i)))
      for (const [i, part] of objects.entries()) await text(paths[i]!, source === 'json' ? jsonArray(part, form) : part.map(line => line + (form.styles[0] === 5 ? '\r\n' : '\n')).join(''))
      const parsed = objects.flat().map(parseJson)
      return { ...written, expected: { source: 'json', columns: table.columns, rows: parsed.map(object => table.columns.map(({ name }) => (object as JsonObject).entries.get(name))) } }
    }
    default: {
      for (const [i, part] of parts.entries()) {
        if (source === 'parquet') await writeParquet(await duckdb(), paths[i]!, part, form)
        else await writeFile(paths[i]!, arrowBytes(part, form, source === 'arrow' ? 'file' : 'stream'))
        written.bytes += (await stat(paths[i]!)).size
      }
      const rows = parts.flatMap(part => part.rows.map(row => table.columns.map(({ name }) => row[part.columns.findIndex(column => column.name === name)] ?? null)))
      return { ...written, expected: { source: 'typed', columns: table.columns, rows } }
    }
  }
}

function surrounded (content: string, { around, charset }: Form): Uint8Array {
  const bytes = charset === 'utf-8' ? Buffer.from(content) : Buffer.from(`\ufeff${content}`, charset === 'utf-16le' ? 'utf16le' : 'utf8')
  return around === 'gzip' ? gzipSync(bytes) : around === 'zstd' ? zstdCompressSync(bytes) : bytes
}

/** Every file has its share of the rows; there may be fewer files than wanted, never an empty second one. */
function divide ({ columns, rows }: Table, { files, mixed, header }: Form, source: Source): Table[] {
  const size = Math.max(1, Math.ceil(rows.length / files))
  const slices = Array.from({ length: Math.ceil(rows.length / size) }, (_, i) => rows.slice(i * size, (i + 1) * size))
  if (slices.length === 0) return [{ columns, rows: [] }]
  return slices.map((slice, i) => {
    if (i === 0 || !mixed || columns.length < 2 || (source === 'csv' && !header)) return { columns, rows: slice }
    const order = [...columns.keys()].slice(0, -1).toReversed()
    return { columns: order.map(at => columns[at]!), rows: slice.map(row => order.map(at => row[at]!)) }
  })
}

function csvFile ({ columns, rows }: Table, form: Form): { content: string, fields: Array<Array<string | null>> } {
  const { delimiter, quote, always, escape } = form
  const escaped = (value: string): string => escape === 'quote' ? value.replaceAll(quote, quote + quote) : value.replaceAll(/[\\"']/g, character => character === '\\' || character === quote ? `\\${character}` : character)
  const field = (value: string | null): string => {
    if (value === null) return ''
    const plain = value !== '' && !value.includes(delimiter) && !/[\r\n\ufeff\\"'#]/.test(value)
    return plain && !always ? value : quote + escaped(value) + quote
  }
  const fields = rows.map((row, i) => row.map((value, k) => csvText(columns[k]!.type, value, form.styles[(i + k) % form.styles.length]!)))
  const shortened = (record: Array<string | null>): Array<string | null> => form.ragged && form.header && record[0] !== null ? record.slice(0, record.findLastIndex(value => value !== null) + 1) : record
  const records = [...(form.header ? [columns.map(({ name }) => name)] : []), ...fields.map(shortened)].map(record => record.map(field).join(delimiter))
  // What stands in a comment means nothing, quotes neither.
  const lines = form.comments ? records.flatMap((line, i) => i % 3 === 0 ? ['# "', line] : [line]) : records
  let content = ''
  lines.forEach((line, i) => {
    const last = i === lines.length - 1
    // A last line that is empty is a record only if it ends.
    content += line + (last && !form.lastEnd && line !== '' ? '' : form.lineEnds[i % form.lineEnds.length]!)
  })
  return { content, fields }
}

function csvText (type: Type, value: Value, style: number): string | null {
  if (value === null) return null
  switch (type.kind) {
    case 'boolean': return (value === true ? ['true', 'True', 'TRUE'] : ['false', 'False', 'FALSE'])[style % 3]!
    case 'decimal': return decimalText(value as bigint, type.scale)
    case 'date': return dateText(within(value as bigint))
    case 'time': return clockText((value as bigint) * 1000n)
    case 'timestamp': {
      const [days, rest] = [(value as bigint) / 86_400_000_000n, (value as bigint) % 86_400_000_000n]
      return momentText((within(days) * 86_400_000_000n + rest) * 1000n).replace(' ', style % 2 === 0 ? ' ' : 'T')
    }
    default: return String(value)
  }
}

/** CSV has dates of the years 1 to 9999 only. */
const within = (days: bigint): bigint => days < -719162n + 1n || days > 2932896n - 1n ? days % 100_000n : days

function jsonObject (columns: Column[], row: Value[], { space, styles }: Form, index: number): string {
  const pairs = columns.flatMap(({ name, type }, i) => {
    const value = row[i]!
    // The first object has every key: a key that is nowhere is no column.
    if (value === null && index > 0 && styles[(index + i) % styles.length]! < 2) return []
    return [`${space}${JSON.stringify(name)}${space}:${space}${jsonText(type, value)}`]
  })
  return `{${(index > 0 && styles[0] === 4 ? pairs.toReversed() : pairs).join(`${space},`)}${space}}`
}

function jsonText (type: Type, value: Value): string {
  if (value === null) return 'null'
  switch (type.kind) {
    case 'float': return Number.isFinite(value) ? Object.is(value, -0) ? '-0.0' : String(value) : 'null'
    case 'json': return value as string
    case 'text': return JSON.stringify(value)
    case 'list': return `[${(value as Value[]).map(item => jsonText(type.element, item)).join(',')}]`
    case 'struct': return `{${(value as Value[]).map((item, i) => `${JSON.stringify(type.fields[i]!.name)}:${jsonText(type.fields[i]!.type, item)}`).join(',')}}`
    default: return String(value)
  }
}

function jsonArray (objects: string[], { space, styles }: Form): string {
  const gap = styles[0] === 1 ? '\n' : space
  return `${gap}[${gap}${objects.join(`${gap},${gap}`)}${gap}]${gap}`
}

const quoted = (text: string): string => `'${text.replaceAll('\'', '\'\'')}'`

/** A value as an SQL expression. */
function sql (type: Type, value: Value): string {
  if (value === null) return `NULL::${duckType(type)}`
  switch (type.kind) {
    case 'float': return Number.isFinite(value) ? `${quoted(Object.is(value, -0) ? '-0.0' : String(value))}::${duckType(type)}` : `${quoted(Number.isNaN(value) ? 'nan' : value as number > 0 ? 'inf' : '-inf')}::${duckType(type)}`
    case 'decimal': return `${quoted(decimalText(value as bigint, type.scale))}::${duckType(type)}`
    case 'date': return `(DATE '1970-01-01' + (${String(value)})::INTEGER)`
    case 'time': return `${quoted(clockText((value as bigint) * 1000n))}::TIME`
    case 'timestamp': {
      const count = `(${String(value)})::BIGINT`
      if (type.zone) return `make_timestamptz(${count})`
      return type.unit === 'us' ? `make_timestamp(${count})` : type.unit === 'ns' ? `make_timestamp_ns(${count})` : `make_timestamp((${String((value as bigint) * NANOS[type.unit] / 1000n)})::BIGINT)::${duckType(type)}`
    }
    case 'interval': {
      const [months, days, micros] = value as bigint[]
      return `(to_months(${months}::INTEGER) + to_days(${days}::INTEGER) + to_microseconds(${micros}::BIGINT))`
    }
    case 'text': return `decode(from_hex('${Buffer.from(value as string).toString('hex')}'))`
    case 'json': return `decode(from_hex('${Buffer.from(value as string).toString('hex')}'))::JSON`
    case 'blob': return `from_hex('${Buffer.from(value as Uint8Array).toString('hex')}')`
    case 'uuid': return `${quoted(value as string)}::UUID`
    case 'list': return `[${(value as Value[]).map(item => sql(type.element, item)).join(', ')}]::${duckType(type)}`
    case 'struct': return `row(${(value as Value[]).map((item, i) => sql(type.fields[i]!.type, item)).join(', ')})::${duckType(type)}`
    case 'map': {
      const pairs = value as Value[][]
      return `map([${pairs.map(([key]) => sql(type.key, key!)).join(', ')}]::${duckType(type.key)}[], [${pairs.map(([, item]) => sql(type.value, item!)).join(', ')}]::${duckType(type.value)}[])`
    }
    default: return `(${String(value)})::${duckType(type)}`
  }
}

/** Rows a statement holds literally; longer tables repeat their rows anyway. */
const VALUES_ROWS = 50

async function writeParquet (connection: DuckDBConnection, path: string, table: Table, { compression, styles }: Form): Promise<void> {
  const { columns, rows } = table
  // Its dictionaries do not tell 0 from -0.
  const zeros = holds(table, 'float', value => Object.is(value, -0))
  const types = columns.map(({ name, type }) => `"${name.replaceAll('"', '""')}" ${duckType(type)}`).join(', ')
  await connection.run(`CREATE OR REPLACE TABLE t (${types})`)
  const distinct = new Map<Value[], string>()
  for (const row of rows) if (!distinct.has(row)) distinct.set(row, `(${row.map((value, i) => sql(columns[i]!.type, value)).join(', ')})`)
  if (distinct.size > 0 && distinct.size < rows.length) {
    // A cycle of the same rows is laid out by the engine.
    const cycle = [...distinct]
    await connection.run(`CREATE OR REPLACE TABLE t AS SELECT * EXCLUDE (n) FROM (SELECT unnest(range(${rows.length})) AS i) JOIN (SELECT * FROM (VALUES ${cycle.map(([row, text]) => `(${rows.indexOf(row)}, ${text.slice(1)}`).join(', ')}) AS v(n, ${columns.map(({ name }) => `"${name.replaceAll('"', '""')}"`).join(', ')})) ON n = i % ${cycle.length} ORDER BY i`.replace('SELECT * EXCLUDE (n) FROM', `SELECT ${columns.map(({ name, type }) => `"${name.replaceAll('"', '""')}"::${duckType(type)} AS "${name.replaceAll('"', '""')}"`).join(', ')} FROM`))
  } else {
    const texts = [...distinct.values()]
    for (let i = 0; i < texts.length; i += VALUES_ROWS) await connection.run(`INSERT INTO t VALUES ${texts.slice(i, i + VALUES_ROWS).join(', ')}`)
  }
  await connection.run(`COPY t TO ${quoted(path)} (FORMAT parquet, COMPRESSION ${compression}, ROW_GROUP_SIZE 2048, PARQUET_VERSION ${styles[0]! % 2 === 0 ? 'V1' : 'V2'}${zeros ? ', DICTIONARY_SIZE_LIMIT 1' : ''})`)
}
