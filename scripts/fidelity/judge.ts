/** Whether an output holds what a real file holds: read by csv-parse, JSON.parse, hyparquet, flechette, or by DuckDB where there is much of it. */
import { readFile } from 'node:fs/promises'
import { parse } from 'csv-parse/sync'
import { acceptsField, acceptsJson, acceptsValue, claim } from '../../test/fuzz/accept.ts'
import type { Source } from '../../test/fuzz/arbitrary.ts'
import { JsonObject, parseJson, type Json } from '../../test/fuzz/json.ts'
import { arrowColumns, parquetColumns, readTable, type Columns, type Given } from '../../test/fuzz/read.ts'
import type { Type, Value } from '../../test/fuzz/table.ts'
import type { RealFile } from './files.ts'

export interface Judgement { rows: number, columns: number, difference?: string, by: 'independent readers' | 'DuckDB' }

/** Rows above which texts are compared by DuckDB: as JavaScript values they would not fit into memory. */
const DUCKDB_ROWS = 500_000

/** @param claimed the types the conversion decided on, by column: only a type other than text is a licence to write a value in another way */
export async function judge (file: RealFile, output: string, to: Source, claimed: Map<string, string>): Promise<Judgement> {
  if (file.format === 'parquet' && !to.startsWith('arrow')) {
    const source = await parquetColumns(await readFile(file.path))
    if (source.rows > DUCKDB_ROWS) return await byDuckDb(file.path, output, to, source)
  }
  const given = await outputColumns(output, to)
  const source = await sourceOf(file, claimed)
  const base = { rows: source.rows, columns: source.names.length, by: 'independent readers' as const }
  const missing = source.names.filter(name => !given.names.includes(name))
  if (missing.length > 0 || given.names.length !== source.names.length) return { ...base, difference: `columns ${source.names.join(', ')} became ${given.names.join(', ')}` }
  if (source.rows !== given.rows) return { ...base, difference: `${source.rows} rows became ${given.rows}` }
  for (const [column, name] of source.names.entries()) {
    const at = given.names.indexOf(name)
    for (let row = 0; row < source.rows; row++) {
      const found = given.cell(row, at)
      if (!source.accepts(row, column, found)) return { ...base, difference: `row ${row + 1}, column ${JSON.stringify(name)}: ${source.show(row, column)} became ${JSON.stringify(found, text)}` }
    }
  }
  return base
}

const text = (_key: string, value: unknown): unknown => typeof value === 'bigint' ? String(value) : value instanceof Map ? Object.fromEntries(value) : value

async function outputColumns (path: string, to: Source): Promise<Columns> {
  if (to === 'parquet') return await parquetColumns(await readFile(path))
  if (to === 'arrow' || to === 'arrows') return arrowColumns(await readFile(path))
  const { names, rows } = await readTable(path, to)
  return { names, rows: rows.length, cell: (row, column) => rows[row]![column]! }
}

interface SourceTable { names: string[], rows: number, accepts: (row: number, column: number, found: Given) => boolean, show: (row: number, column: number) => string }

async function sourceOf (file: RealFile, claimed: Map<string, string>): Promise<SourceTable> {
  const bytes = await readFile(file.path)
  switch (file.format) {
    case 'csv': {
      const records = parse(bytes, { bom: true, delimiter: file.delimiter, record_delimiter: ['\r\n', '\n', '\r'], cast: (value, { quoting }) => value === '' && !quoting ? null : value }) as unknown as Array<Array<string | null>>
      const names = records.shift()!.map(name => name ?? '')
      const claims = names.map(name => claim(claimed.get(name)))
      return { names, rows: records.length, accepts: (row, column, found) => acceptsField(records[row]![column]!, found, claims[column]), show: (row, column) => JSON.stringify(records[row]![column]) }
    }
    case 'json': {
      const document = parseJson(bytes.toString())
      const objects = (Array.isArray(document) ? document : [document]) as JsonObject[]
      const names = [...new Set(objects.flatMap(object => [...object.entries.keys()]))]
      const value = (row: number, column: number): Json | undefined => objects[row]!.entries.get(names[column]!)
      const claims = names.map(name => claim(claimed.get(name)))
      return { names, rows: objects.length, accepts: (row, column, found) => acceptsJson(value(row, column), found, claims[column]), show: (row, column) => JSON.stringify(value(row, column), text)?.slice(0, 200) ?? 'nothing' }
    }
    default: {
      const source = file.format === 'parquet' ? await parquetColumns(bytes) : arrowColumns(bytes)
      return { names: source.names, rows: source.rows, accepts: (row, column, found) => sameGiven(source.cell(row, column), found), show: (row, column) => JSON.stringify(source.cell(row, column), text) }
    }
  }
}

function sameGiven (was: Given, found: Given): boolean {
  const [type, value] = typed(was)
  return acceptsValue(type, value, found)
}

/** What a typed reader found, as a value of its type. Real files of vega-datasets have nothing nested in them. */
function typed (given: Given): [Type, Value] {
  switch (given.is) {
    case 'null': return [{ kind: 'text' }, null]
    case 'boolean': return [{ kind: 'boolean' }, given.value]
    case 'integer': return [{ kind: 'integer', bits: 64, signed: true }, given.value]
    case 'float': return [{ kind: 'float', bits: given.bits }, given.value]
    case 'decimal': return [{ kind: 'decimal', precision: 38, scale: given.scale }, given.value]
    case 'date': return [{ kind: 'date' }, given.days]
    case 'time': return [{ kind: 'time' }, given.nanos / 1000n]
    case 'moment': return [{ kind: 'timestamp', unit: 'ns', zone: given.zone }, given.nanos]
    case 'text': return [{ kind: 'text' }, given.value]
    case 'json': return [{ kind: 'json' }, given.value]
    case 'blob': return [{ kind: 'blob' }, given.value]
    case 'uuid': return [{ kind: 'uuid' }, given.value]
    default: throw new Error(`no value of a real file is a ${given.is}`)
  }
}

/** Both files beside each other, in order, column by column. */
async function byDuckDb (source: string, output: string, to: Source, { names, rows }: Columns): Promise<Judgement> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
  const connection = await instance.connect()
  try {
    const quoted = (value: string): string => `'${value.replaceAll('\'', '\'\'')}'`
    const name = (value: string): string => `"${value.replaceAll('"', '""')}"`
    const types = (await connection.runAndReadAll(`SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(${quoted(source)}))`)).getRows().map(([column, type]) => `${quoted(String(column))}: ${quoted(String(type))}`).join(', ')
    const read = to === 'parquet' ? `read_parquet(${quoted(output)})` : to === 'csv' ? `read_csv(${quoted(output)}, columns = {${types}}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false)` : `read_json(${quoted(output)}, columns = {${types}}, format = '${to === 'json' ? 'array' : 'newline_delimited'}')`
    const base = { rows, columns: names.length, by: 'DuckDB' as const }
    const count = Number((await connection.runAndReadAll(`SELECT count(*) FROM ${read}`)).getRows()[0]![0])
    if (count !== rows) return { ...base, difference: `${rows} rows became ${count}` }
    const differences = names.map(column => `count(*) FILTER (a.${name(column)} IS DISTINCT FROM b.${name(column)})`).join(', ')
    const found = (await connection.runAndReadAll(`SELECT ${differences} FROM read_parquet(${quoted(source)}) a POSITIONAL JOIN ${read} b`)).getRows()[0]!
    const at = found.findIndex(value => Number(value) > 0)
    return at < 0 ? base : { ...base, difference: `column ${JSON.stringify(names[at])}: ${String(found[at])} of ${rows} values differ` }
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
