/**
 * What others take for the same conversion, timed inside a process of its own: DuckDB with two threads, as one statement a user would type;
 * where Arrow is one end, apache-arrow's reader or writer with DuckDB at the other end.
 */
import { run as execute } from '../test/fixtures/testnet.ts'

export type TableFormat = 'csv' | 'ndjson' | 'json' | 'parquet' | 'arrow'

/** The arguments are the input, the output, and their formats; the last line of standard output is the seconds. */
const PROGRAM = `
import { readFile, writeFile } from 'node:fs/promises'
import { DuckDBInstance } from '@duckdb/node-api'
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
const [input, output, from, to] = process.argv.slice(1)
const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect()
const READ = { csv: "read_csv('" + input + "')", ndjson: "read_json('" + input + "', format = 'newline_delimited')", json: "read_json('" + input + "', format = 'array')", parquet: "read_parquet('" + input + "')" }
const WRITE = { csv: '(FORMAT csv)', ndjson: '(FORMAT json)', json: '(FORMAT json, ARRAY true)', parquet: '(FORMAT parquet)' }
const started = performance.now()
if (from === 'arrow' && to === 'arrow') {
  await writeFile(output, tableToIPC(tableFromIPC(await readFile(input)), 'file'))
} else if (to === 'arrow') {
  const result = await connection.runAndReadAll('FROM ' + READ[from])
  const columns = result.getColumnsJS()
  await writeFile(output, tableToIPC(tableFromArrays(Object.fromEntries(result.columnNames().map((name, i) => [name, columns[i]]))), 'file'))
} else if (from === 'arrow') {
  const table = tableFromIPC(await readFile(input))
  const rows = table.toArray()
  await writeFile(output + '.ndjson', rows.map(row => JSON.stringify(row, (key, value) => typeof value === 'bigint' ? Number(value) : value)).join('\\n'))
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
