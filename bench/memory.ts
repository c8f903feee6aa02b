/**
 * Memory while a large file is converted: CSV to Parquet on one daemon, then on two remote workers, each daemon and its engines sampled from
 * /proc. The network is new for each, so that high-water marks belong to one job.
 *
 * WEFT_BENCH_MEMORY_BYTES: bytes of the CSV, 5 GB unless it says otherwise. WEFT_BENCH_MEMORY_TO: the target.
 */
import { rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { writeCsv } from '../test/fixtures/csv.ts'
import { followEvents } from '../test/fixtures/events.ts'
import { startTestnet, type Testnet } from '../test/fixtures/testnet.ts'
import { convert } from './api.ts'
import { figure, type BenchOptions, type Figure } from './figure.ts'
import { engineHighOf, enginesAtOnceOf, highOf, look, watch, type Look } from './resident.ts'

const BYTES = Number(process.env.WEFT_BENCH_MEMORY_BYTES ?? 5_000_000_000)
const TARGET = process.env.WEFT_BENCH_MEMORY_TO ?? 'parquet'
const SEED = 11

/** Milliseconds a daemon is left alone before it counts as idle. */
const SETTLE_MS = 5000
/** Lines of the table over time. */
const STEPS = 10

interface Measured { coordinator: number, worker: number, engine: number, engines: number, idle: number, seconds: number, looks: Look[] }

async function measure (testnet: Testnet, input: string, place: 'local' | 'remote'): Promise<Measured> {
  const pids = testnet.nodes.map(({ pid }) => pid)
  await delay(SETTLE_MS)
  const idle = Math.max(...[...(await look(pids)).daemons.values()].map(({ rss }) => rss))
  const node = testnet.node('n0')
  const events = await followEvents(node)
  let percent = 0
  const following = (async () => {
    for await (const event of events) if (event.type === 'progress') percent = 100 * event.bytesDone / event.bytesTotal
  })()
  const output = join(testnet.dir, `out.${TARGET}`)
  const { value: { seconds }, looks } = await watch(pids, () => percent, async () => await convert(node, { inputs: [input], to: TARGET, output, place }))
  events.close()
  await following
  await rm(output)
  const [first, ...others] = pids
  return {
    coordinator: highOf(looks, [first!]),
    // A daemon that does the work of a job of its own is its worker.
    worker: highOf(looks, place === 'local' ? [first!] : others),
    engine: engineHighOf(looks),
    engines: enginesAtOnceOf(looks),
    idle, seconds, looks
  }
}

/** Percent of the job, and MiB: the largest seen in each step. */
function overTime (title: string, testnet: Testnet, { looks }: Measured): string {
  const names = testnet.nodes.map(({ name }) => name)
  const rows = Array.from({ length: STEPS }, (_, step) => {
    const inside = looks.filter(({ at }) => at > step * 100 / STEPS && at <= (step + 1) * 100 / STEPS)
    const most = (of: (look: Look) => number): string => inside.length === 0 ? '' : String(Math.round(Math.max(...inside.map(of))))
    return [`${(step + 1) * 100 / STEPS}`, ...testnet.nodes.map(({ pid }) => most(({ daemons }) => daemons.get(pid)?.rss ?? 0)), most(({ engines }) => Math.max(0, ...[...engines.values()].map(({ rss }) => rss)))]
  })
  return `${title}\n\n| percent | ${names.join(' | ')} | largest engine |\n|${'---|'.repeat(names.length + 2)}\n${rows.map(row => `| ${row.join(' | ')} |`).join('\n')}`
}

export async function run ({ runs, log, report }: BenchOptions): Promise<Record<string, Figure>> {
  const input = join(tmpdir(), `weft-bench-memory-${process.pid}.csv`)
  const all: Array<Measured & { place: 'local' | 'remote' }> = []
  try {
    const rows = writeCsv(input, BYTES, SEED)
    log(`${(await stat(input)).size} bytes, ${rows} rows`)
    for (let i = 0; i < runs; i++) {
      for (const place of ['local', 'remote'] as const) {
        const testnet = await startTestnet({ nodes: 3, seed: SEED })
        try {
          const measured = await measure(testnet, input, place)
          all.push({ ...measured, place })
          log(`run ${i + 1}, ${place}: ${measured.seconds.toFixed(1)} s; requester ${measured.coordinator.toFixed(0)} MiB, worker ${measured.worker.toFixed(0)} MiB, largest engine ${measured.engine.toFixed(0)} MiB, idle ${measured.idle.toFixed(0)} MiB`)
          report(overTime(`Run ${i + 1}, ${place}: resident MiB over ${measured.seconds.toFixed(0)} s`, testnet, measured))
        } finally {
          await testnet.down()
        }
      }
    }
  } finally {
    await rm(input, { force: true })
  }
  const of = (place: 'local' | 'remote', value: (measured: Measured) => number): number[] => all.filter(measured => measured.place === place).map(value)
  return {
    coordinator_rss_mb: figure(of('remote', ({ coordinator }) => coordinator), 'MiB'),
    worker_rss_mb: figure(of('remote', ({ worker }) => worker), 'MiB'),
    idle_rss_mb: figure(of('remote', ({ idle }) => idle), 'MiB'),
    engine_rss_mb: figure(all.map(({ engine }) => engine), 'MiB'),
    engines_rss_mb: figure(all.map(({ engines }) => engines), 'MiB'),
    local_rss_mb: figure(of('local', ({ coordinator }) => coordinator), 'MiB'),
    local_seconds: figure(of('local', ({ seconds }) => seconds), 's'),
    remote_seconds: figure(of('remote', ({ seconds }) => seconds), 's')
  }
}
