/**
 * 500 MB of CSV to Parquet: one daemon, and two remote workers on the same host, beside DuckDB alone with two threads on the
 * same file. Ours takes part with everything it does for a user: proving types, splitting, digests, journal, merge, checks.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeCsv } from '../test/fixtures/csv.ts'
import { run as execute, startTestnet } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'

const BYTES = Number(process.env.WEFT_BENCH_TABLE_BYTES ?? 500_000_000)
const SEED = 7

/** The statement a user would type, timed inside its own process. */
const DUCKDB = `
import { DuckDBInstance } from '@duckdb/node-api'
const [input, output] = process.argv.slice(1)
const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect()
const started = performance.now()
await connection.run("COPY (FROM read_csv('" + input + "')) TO '" + output + "' (FORMAT parquet)")
console.log((performance.now() - started) / 1000)
process.exit(0)
`

async function duckdb (input: string, output: string): Promise<number> {
  const { code, stdout, stderr } = await execute(process.execPath, ['--input-type=module', '-e', DUCKDB, input, output])
  if (code !== 0) throw new Error(`DuckDB failed: ${stderr}`)
  return Number(stdout)
}

export async function run ({ runs, log }: BenchOptions): Promise<Record<string, Figure>> {
  const testnet = await startTestnet({ nodes: 3, seed: SEED })
  try {
    const input = join(testnet.dir, 'in.csv')
    const rows = writeCsv(input, BYTES, SEED)
    const { size } = await stat(input)
    log(`${size} bytes, ${rows} rows`)
    const request = { inputs: [input], to: 'parquet', overwrite: true }
    const alone: number[] = []
    const local: number[] = []
    const remote: number[] = []
    for (let i = 0; i <= runs; i++) {
      const seconds = {
        alone: await duckdb(input, join(testnet.dir, 'duckdb.parquet')),
        local: (await convert(testnet.node('n0'), { ...request, output: join(testnet.dir, 'local.parquet'), place: 'local' })).seconds,
        remote: (await convert(testnet.node('n0'), { ...request, output: join(testnet.dir, 'remote.parquet'), place: 'remote' })).seconds
      }
      log(`${i === 0 ? 'warm-up' : `run ${i}`}: DuckDB ${seconds.alone.toFixed(2)} s, one daemon ${seconds.local.toFixed(2)} s, two remote workers ${seconds.remote.toFixed(2)} s`)
      if (i === 0) continue
      alone.push(seconds.alone)
      local.push(seconds.local)
      remote.push(seconds.remote)
    }
    const ratio = (ours: number[]): number[] => ours.map((value, i) => (alone[i] as number) / value)
    return {
      ratio_to_duckdb: figure(ratio(local), 'ratio'),
      ratio_to_duckdb_remote: figure(ratio(remote), 'ratio'),
      local_seconds: figure(local, 's', alone),
      remote_seconds: figure(remote, 's', alone)
    }
  } finally {
    await testnet.down()
  }
}
