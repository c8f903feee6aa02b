/**
 * Half an hour in which everything goes wrong that may: real daemons with jobs without end, nodes killed, frozen, cut off, far away, leaving and coming back, requesters
 * among them. Every job must end with exactly the output of an undisturbed run; nothing may be left over; memory and descriptors must not grow.
 *
 *   npm run chaos -- [--minutes 30] [--nodes 8] [--requesters 3] [--seed S] [--samples FILE.csv] [--keep]
 *
 * The same seed gives the same plan of faults. Prints one page; exits 1 if anything was wrong.
 */
import { randomInt } from 'node:crypto'
import { cp, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { gone, signalGroup, startTimeOf } from '../cli/lib/process.ts'
import { stopNode } from '../cli/testnet/network.ts'
import { prng } from '../test/fixtures/csv.ts'
import { startTestnet, type Testnet } from '../test/fixtures/testnet.ts'
import { disturb, type Disturbed } from './chaos/disturb.ts'
import { keepConverting, prepareTasks, unfinished, type JobsDone } from './chaos/jobs.ts'
import { errorsIn, leftInDataDir, leftOutputs, leftProcesses } from './chaos/leftovers.ts'
import { planOf, steadyOf } from './chaos/plan.ts'
import { sampleOf, writeSamples, type Sample } from './chaos/samples.ts'
import { summary, type Outcome } from './chaos/summary.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' }, nodes: { type: 'string', default: '8' }, requesters: { type: 'string', default: '3' },
    seed: { type: 'string' }, samples: { type: 'string' }, keep: { type: 'boolean', default: false }
  }
})
const [minutes, nodes, requesters, seed] = [Number(values.minutes), Number(values.nodes), Number(values.requesters), Number(values.seed ?? randomInt(2 ** 31))] as const
if (!(minutes > 0) || ![nodes, requesters, seed].every(Number.isSafeInteger) || requesters < 1 || nodes < requesters + 2) {
  console.error('usage: npm run chaos -- [--minutes 30] [--nodes 8] [--requesters 3] [--seed S] [--samples FILE.csv] [--keep]; at least two nodes more than requesters')
  process.exit(2)
}

/** Milliseconds between two looks at memory and descriptors. */
const SAMPLE_MS = 10_000
/** Jobs of one requester at the same time. */
const AT_ONCE = 2
/** Milliseconds for a killed process to be gone. */
const GONE_MS = 5000
/** Milliseconds for the jobs that run when the faults are over. */
const LAST_JOBS_MS = 120_000

const log = (line: string): void => { console.error(line) }
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { interrupted.abort() })

async function run (testnet: Testnet, outcome: Outcome): Promise<void> {
  const folder = join(testnet.dir, 'work')
  await mkdir(folder)
  log('undisturbed runs first')
  const tasks = await prepareTasks(folder, testnet.node('n0'), seed)
  const over = new AbortController()
  const stop = new AbortController()
  const began = performance.now()
  const random = prng(seed + 1)
  const working = Array.from({ length: requesters * AT_ONCE }, async (_, i) => {
    const node = testnet.node(`n${i % requesters}`)
    const own = join(folder, `jobs-${i}`)
    await mkdir(own)
    await keepConverting(node, tasks, { folder: own, random, signal: AbortSignal.any([over.signal, interrupted.signal]), stop: stop.signal, log }, outcome.jobs)
  })
  const sampling = sample(testnet, began, outcome, stop.signal)
  await disturb(outcome.plan, { dir: testnet.dir, nodes, log, signal: interrupted.signal }, outcome.disturbed)
  await delay(Math.max(0, minutes * 60_000 - (performance.now() - began)), undefined, { signal: interrupted.signal }).catch(() => {})
  over.abort()
  outcome.seconds = (performance.now() - began) / 1000
  log('the faults are over; waiting for the last jobs')
  const limit = setTimeout(() => { stop.abort() }, LAST_JOBS_MS)
  await Promise.all(working)
  clearTimeout(limit)
  stop.abort()
  await sampling
  await atTheEnd(testnet, folder, outcome)
}

/** Looks until the signal fires; a daemon that is away though nobody ended it is told. */
async function sample (testnet: Testnet, began: number, outcome: Outcome, signal: AbortSignal): Promise<void> {
  const missing = new Set<number>()
  while (!signal.aborted) {
    for (const { name, pid, log: file } of await testnet.reload()) {
      const one = await sampleOf(name, pid, (performance.now() - began) / 1000)
      if (one != null) outcome.samples.push(one)
      else if (!outcome.disturbed.away.has(name) && startTimeOf(pid) == null && !missing.has(pid) && (await testnet.reload()).some(node => node.pid === pid)) {
        missing.add(pid)
        outcome.wrong.push(`${name} (process ${pid}) ended by itself: see ${file}`)
        log(`WRONG ${name} (process ${pid}) ended by itself`)
      }
    }
    await delay(SAMPLE_MS, undefined, { signal }).catch(() => {})
  }
}

async function atTheEnd (testnet: Testnet, folder: string, outcome: Outcome): Promise<void> {
  const all = await testnet.reload()
  for (const node of all.slice(0, requesters)) outcome.wrong.push(...await unfinished(node))
  log('stopping every node')
  await Promise.all(all.map(async ({ name }) => {
    await stopNode(testnet.dir, name).catch((error: Error) => { outcome.wrong.push(`${name} could not be stopped: ${error.message}`) })
  }))
  // The one that runs the network is still there, and goes with it.
  const left = (await leftProcesses(testnet.dir)).filter(({ says }) => !/scripts\/testnet up /.test(says))
  outcome.wrong.push(...left.map(({ says }) => says))
  await endAll(left)
  for (const { name, dataDir } of all) outcome.wrong.push(...await leftInDataDir(name, dataDir))
  for (let i = 0; i < requesters * AT_ONCE; i++) outcome.wrong.push(...await leftOutputs(join(folder, `jobs-${i}`), /^$/))
  outcome.wrong.push(...await leftOutputs(folder, /^(table-\d+\.csv|sleep-\d+\.bin|reference-\d+\.\w+|jobs-\d+)$/))
  for (const { name, log: file } of all) {
    for (const [message, { count, line }] of await errorsIn(file)) outcome.logged.push(`${name}: ${count} × ${message}${line.startsWith('{') ? `: ${line.slice(0, 300)}` : ''}`)
  }
}

/** What should not be there any more. It may have ended meanwhile. */
async function endAll (processes: Array<{ pid: number }>): Promise<void> {
  for (const { pid } of processes) {
    const started = startTimeOf(pid)
    if (started == null) continue
    signalGroup(pid, started, 'SIGKILL')
    await gone(pid, started, GONE_MS)
  }
}

const jobs: JobsDone = { seconds: new Map(), otherBytes: 0, resumed: 0, blocks: 0, redispatched: 0, hedged: 0, rejected: 0, wrong: [] }
const disturbed: Disturbed = { counts: { kill: 0, leave: 0, freeze: 0, partition: 0, latency: 0 }, problems: [], away: new Set() }
const outcome: Outcome = { seed, nodes, steady: steadyOf({ nodes, requesters }), plan: planOf({ seed, minutes, nodes, requesters }), seconds: 0, jobs, disturbed, samples: [] as Sample[], wrong: [], logged: [] }
log(`chaos: seed ${seed}, ${nodes} nodes, ${requesters} of them ask, ${outcome.plan.length} faults planned in ${minutes} minutes`)
const testnet = await startTestnet({ nodes, seed, profile: { nodes: Array.from({ length: nodes }, () => ({ cores: 1 })) } })
try {
  await run(testnet, outcome)
} catch (error) {
  outcome.wrong.push(`the run itself broke off: ${(error as Error).stack}`)
} finally {
  const kept = join(tmpdir(), `weft-chaos-${seed}`)
  if (values.keep) await cp(testnet.dir, kept, { recursive: true }).then(() => { log(`everything is kept in ${kept}`) })
  await testnet.down().catch((error: Error) => { outcome.wrong.push(`the network could not be taken down: ${error.message}`) })
}
const left = await leftProcesses(testnet.dir)
outcome.wrong.push(...left.map(({ says }) => says))
await endAll(left)
await rm(testnet.dir, { recursive: true, force: true })
const file = resolve(values.samples ?? join(tmpdir(), `weft-chaos-${seed}.csv`))
await writeSamples(file, outcome.samples)
const { text, good } = summary(outcome, file)
console.log(text)
process.exit(interrupted.signal.aborted ? 130 : good ? 0 : 1)
