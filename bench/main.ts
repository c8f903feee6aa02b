/**
 * Runs one benchmark and prints its figures: `npm run bench -- NAME [--json] [--runs N] [what else the bench takes]`. Ratios come from paired runs:
 * ours and the peer's take turns in one run, and medians are printed with their spread.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Bench, Figure } from './figure.ts'

const BENCHES: Record<string, () => Promise<Bench>> = {
  dispatch: () => import('./dispatch.ts'),
  transfer: () => import('./transfer.ts'),
  tables: () => import('./tables.ts'),
  memory: () => import('./memory.ts'),
  idle: () => import('./idle.ts'),
  gossip: () => import('./gossip.ts'),
  discovery: () => import('./discovery.ts'),
  membership: () => import('./membership.ts'),
  recovery: () => import('./recovery.ts'),
  scheduling: () => import('./scheduling.ts')
}

const VERSIONS = ['libp2p', '@libp2p/tls', '@libp2p/yamux', '@libp2p/kad-dht', '@libp2p/gossipsub', '@duckdb/node-api', 'apache-arrow', 'level', 'hyparquet']

function versionOf (name: string): string {
  const file = join(import.meta.dirname, '..', 'node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function print (name: string, results: Record<string, Figure>): void {
  console.log(`${name}: median (min to max) of the runs`)
  for (const [figure, { value, unit, runs, min, max, peer }] of Object.entries(results)) {
    const spread = `(${min} to ${max}, ${runs} runs${peer == null ? '' : `; peer ${peer}`})`
    console.log(`  ${figure.padEnd(28)} ${String(value).padStart(10)} ${unit.padEnd(6)} ${spread}`)
  }
}

const RUNS_DEFAULT = 5

const args = process.argv.slice(2)
const nameAt = args.findIndex(arg => Object.hasOwn(BENCHES, arg))
const [name = ''] = nameAt < 0 ? [] : args.splice(nameAt, 1)
const jsonAt = args.indexOf('--json')
const json = jsonAt >= 0 && args.splice(jsonAt, 1).length > 0
const runsAt = args.indexOf('--runs')
const asked = runsAt < 0 ? undefined : Number(args.splice(runsAt, 2)[1])
const load = BENCHES[name]
if (load == null || (asked != null && (!Number.isInteger(asked) || asked < 1))) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--json] [--runs N]`)
  process.exit(2)
}
const bench = await load()
const reports: string[] = []
const results = await bench.run({ runs: asked ?? bench.RUNS ?? RUNS_DEFAULT, args, log: line => { console.error(line) }, report: markdown => { reports.push(markdown) } })
if (json) {
  console.log(JSON.stringify({
    bench: name,
    machine: { cores: availableParallelism(), cpu: cpus()[0]?.model ?? 'unknown', memoryGb: Math.round(totalmem() / 1e9), kernel: release() },
    versions: { node: process.versions.node, ...Object.fromEntries(VERSIONS.map(v => [v, versionOf(v)])) },
    results,
    ...(reports.length > 0 ? { report: reports.join('\n\n') } : {})
  }))
} else {
  print(name, results)
  for (const report of reports) console.log(`\n${report}`)
}
process.exit(0)
