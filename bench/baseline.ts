/**
 * What others take for the same conversion, timed inside a process of its own: DuckDB with two threads, as one statement a user would type;
 * where Arrow is one end, apache-arrow's reader or writer with DuckDB at the other end.
 */
import { run as execute } from '../test/fixtures/testnet.ts'

export type TableFormat = 'csv' | 'ndjson' | 'json' | 'parquet' | 'arrow'

/**
 * The arguments are the input, the output, and their formats; the last line of standard output is the seconds. Through Arrow it goes in record
 * batches of as many rows as a row group has: a whole table of JavaScript values would not fit into memory.
 */
const PROGRAM = `
import { open, readFile, writeFile } from 'node:fs/promises'
import { DuckDBInstance } from '@duckdb/node-api'
import * as arrow from 'apache-arrow'
const [input, output, from, to] = process.argv.slice(1)
const ROWS = 122880
const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect()
const READ = { csv: "read_csv('" + input + "')", ndjson: "read_json('" + input + "', format = 'newline_delimited')", json: "read_json('" + input + "', format = 'array')", parquet: "read_parquet('" + input + "')" }
const WRITE = { csv: '(FORMAT csv)', ndjson: '(FORMAT json)', json: '(FORMAT json, ARRAY true)', parquet: '(FORMAT parquet)' }
const TYPES = { BIGINT: () => new arrow.Int64(), DOUBLE: () => new arrow.Float64(), BOOLEAN: () => new arrow.Bool(), TIMESTAMP: () => new arrow.TimestampMillisecond(), DATE: () => new arrow.TimestampMillisecond(), VARCHAR: () => new arrow.Utf8() }
const started = performance.now()
if (from === 'arrow' && to === 'arrow') {
  await writeFile(output, arrow.tableToIPC(arrow.tableFromIPC(await readFile(input)), 'file'))
} else if (to === 'arrow') {
  const result = await connection.stream('FROM ' + READ[from])
  const names = result.columnNames()
  const types = result.columnTypes().map(type => (TYPES[String(type)] ?? TYPES.DOUBLE)())
  const batches = []
  let columns = names.map(() => [])
  const flush = () => {
    batches.push(...new arrow.Table(Object.fromEntries(names.map((name, i) => [name, arrow.vectorFromArray(columns[i].map(value => value instanceof Date ? value.getTime() : value != null && types[i] instanceof arrow.Float64 ? Number(value) : value), types[i])]))).batches)
    columns = names.map(() => [])
  }
  for (;;) {
    const chunk = await result.fetchChunk()
    if (chunk == null || chunk.rowCount === 0) break
    const values = chunk.convertColumns((value, type, next) => value != null && typeof value === 'object' ? 'micros' in value ? Number(value.micros) / 1000 : 'days' in value ? value.days * 86400000 : Number(value) : value)
    for (const [i, column] of values.entries()) for (const value of column) columns[i].push(value)
    if (columns[0].length >= ROWS) flush()
  }
  if (columns[0].length > 0) flush()
  await writeFile(output, arrow.tableToIPC(new arrow.Table(batches), 'file'))
} else if (from === 'arrow') {
  const lines = await open(output + '.ndjson', 'w')
  for (const batch of arrow.tableFromIPC(await readFile(input)).batches) {
    for (let row = 0; row < batch.numRows; row += ROWS) await lines.write(batch.slice(row, row + ROWS).toArray().map(object => JSON.stringify(object, (key, value) => typeof value === 'bigint' ? Number(value) : value) + '\\n').join(''))
  }
  await lines.close()
  await connection.run("COPY (FROM read_json('" + output + ".ndjson', format = 'newline_delimited')) TO '" + output + "' " + WRITE[to])
} else {
  await connection.run('COPY (FROM ' + READ[from] + ") TO '" + output + "' " + WRITE[to])
}
console.log((performance.now() - started) / 1000)
process.exit(0)
`

/** Seconds; throws with what the program said if it fails. */
export async function baseline (input: string, output: string, from: TableFormat, to: TableFormat): Promise<number> {
  const { code, stdout, stderr } = await execute(process.execPath, ['--max-old-space-size=8192', '--input-type=module', '-e', PROGRAM, input, output, from, to])
  if (code !== 0) throw new Error(`the baseline of ${from} to ${to} failed: ${stderr}`)
  return Number(stdout.trim().split('\n').at(-1))
}
