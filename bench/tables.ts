/**
 * Tables of 500 MB of CSV, and the same rows in other formats, through the directions that are asked for: on one daemon, and for CSV to
 * Parquet on two remote workers on the same host too, beside DuckDB (or apache-arrow) alone on the same file. Ours takes part with everything it
 * does for a user: proving types, splitting, digests, journal, merge, checks.
 *
 * WEFT_BENCH_TABLE_BYTES: bytes of the CSV. WEFT_BENCH_DIRECTIONS: names with commas, or `all`.
 */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobReport } from '../daemon/coordinator/index.ts'
import { writeCsv } from '../test/fixtures/csv.ts'
import { startTestnet, type Testnet } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'
import { baseline, type TableFormat } from './baseline.ts'
import { figure, median, type BenchOptions, type Figure } from './figure.ts'

const BYTES = Number(process.env.WEFT_BENCH_TABLE_BYTES ?? 500_000_000)
const SEED = 7
const FORMATS: TableFormat[] = ['csv', 'ndjson', 'json', 'parquet', 'arrow']
const ALL = FORMATS.flatMap(from => FORMATS.map(to => ({ from, to, name: `${from}-${to}` })))
/** The directions people use most, and each reader and writer once. */
const USUAL = 'csv-parquet,parquet-csv,ndjson-parquet,parquet-ndjson,json-parquet,parquet-json,csv-ndjson,csv-csv,parquet-parquet,csv-arrow,arrow-csv,parquet-arrow,arrow-parquet,arrow-arrow'

interface Direction { from: TableFormat, to: TableFormat, name: string }

function directions (): Direction[] {
  const asked = process.env.WEFT_BENCH_DIRECTIONS ?? USUAL
  if (asked === 'all') return ALL
  return asked.split(',').map(name => {
    const found = ALL.find(direction => direction.name === name)
    if (found == null) throw new Error(`WEFT_BENCH_DIRECTIONS: '${name}' is none of ${ALL.map(direction => direction.name).join(', ')}`)
    return found
  })
}

/** Of all work that was measured while the job ran: checks of results and of the whole. */
function checkShare ({ timing: { convertMs, mergeMs, checkMs, prepareMs } }: JobReport): number {
  return checkMs / (convertMs + mergeMs + checkMs + prepareMs)
}

interface Measured { alone: number[], local: number[], shares: number[], remote: number[], bytes: number }

async function measure (testnet: Testnet, { from, to, name }: Direction, { runs, log }: BenchOptions): Promise<Measured> {
  const input = join(testnet.dir, `in.${from}`)
  const output = (who: string): string => join(testnet.dir, `${who}-${name}.${to}`)
  const node = testnet.node('n0')
  const both = name === 'csv-parquet'
  const measured: Measured = { alone: [], local: [], shares: [], remote: [], bytes: (await stat(input)).size }
  for (let i = 0; i <= runs; i++) {
    const alone = await baseline(input, output('alone'), from, to)
    const local = await convert(node, { inputs: [input], to, overwrite: true, output: output('local'), place: 'local' })
    const remote = both ? await convert(node, { inputs: [input], to, overwrite: true, output: output('remote'), place: 'remote' }) : undefined
    log(`${name} ${i === 0 ? 'warm-up' : `run ${i}`}: alone ${alone.toFixed(2)} s, one daemon ${local.seconds.toFixed(2)} s${remote == null ? '' : `, two remote workers ${remote.seconds.toFixed(2)} s`}`)
    if (i === 0) continue
    measured.alone.push(alone)
    measured.local.push(local.seconds)
    measured.shares.push(checkShare(local))
    if (remote != null) measured.remote.push(remote.seconds)
  }
  for (const path of [...['alone', 'local', 'remote'].map(output), `${output('alone')}.ndjson`]) await rm(path, { force: true })
  return measured
}

export async function run (options: BenchOptions): Promise<Record<string, Figure>> {
  const wanted = directions()
  const { log } = options
  const testnet = await startTestnet({ nodes: 3, seed: SEED })
  try {
    const csv = join(testnet.dir, 'in.csv')
    const rows = writeCsv(csv, BYTES, SEED)
    log(`${(await stat(csv)).size} bytes of CSV, ${rows} rows`)
    const results: Record<string, Figure> = {}
    const lines: string[] = []
    const sources = FORMATS.filter(format => wanted.some(({ from }) => from === format))
    for (const format of sources) {
      const input = join(testnet.dir, `in.${format}`)
      if (format !== 'csv') await convert(testnet.node('n0'), { inputs: [csv], to: format, output: input, place: 'local', verify: 'none' })
      for (const direction of wanted.filter(({ from }) => from === format)) {
        const { alone, local, shares, remote, bytes } = await measure(testnet, direction, options)
        const ratio = (ours: number[]): number[] => ours.map((value, i) => (alone[i] as number) / value)
        const key = direction.name.replace('-', '_')
        results[`ratio_${key}`] = figure(ratio(local), 'ratio')
        results[`seconds_${key}`] = figure(local, 's', alone)
        results[`check_share_${key}`] = figure(shares, 'ratio')
        if (direction.name === 'csv-parquet') {
          results.ratio_to_duckdb = figure(ratio(local), 'ratio')
          results.ratio_to_duckdb_remote = figure(ratio(remote), 'ratio')
          results.local_seconds = figure(local, 's', alone)
          results.remote_seconds = figure(remote, 's', alone)
        }
        lines.push(`| ${direction.from} | ${direction.to} | ${Math.round(bytes / 1e6)} | ${median(alone).toFixed(2)} | ${median(local).toFixed(2)} | ${median(ratio(local)).toFixed(2)} | ${(100 * median(shares)).toFixed(0)} % |`)
      }
      if (format !== 'csv') await rm(input)
    }
    options.report(['| from | to | MB in | alone, s | one daemon, s | ratio | in checks |', '|---|---|---|---|---|---|---|', ...lines].join('\n'))
    return results
  } finally {
    await testnet.down()
  }
}
