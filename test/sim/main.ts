/**
 * The simulator's command line; `npm run sim -- --help` explains it. Exits 1 on a violation and prints the seed, the story of the block concerned and
 * the last events; the same seed replays them exactly.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { parseArgs } from 'node:util'
import { FAULT_PLACES, FAULTS, type Fault } from './model.ts'
import { simulate, type SimOptions, type SimResult } from './scenario.ts'

const SEEDS_DEFAULT = 500
/** Seeds within which `--faults` must find each fault, and how often it must be found for it to stop looking. */
const FAULT_SEEDS_DEFAULT = 2000
const FAULT_FINDS = 5
/** Seeds a thread takes at a time: enough to amortise the hand-over, few enough to stop soon. */
const CHUNK = 25

const HELP = `npm run sim -- [options]

Runs the production machines of many nodes (job, lease, failure detector) on a virtual clock and a seeded network, and checks after every step what
must always hold. Everything that happens follows from the seed.

  --seeds N         run seeds 1..N (${SEEDS_DEFAULT})
  --seed S          run this seed only
  --nodes M         nodes altogether, from 2; drawn from the seed if not given. From 30 on jobs are larger and requesters more
  --story JOB/BLOCK tell what happened to this block of the run (with --seed), for instance r0j1/7; a JOB alone: to the job as a whole
  --fault NAME      plant this fault and count the seeds that find it
  --faults          plant each fault in turn; prints a table, exits 1 if one is not found
  --jobs J          threads (1)
  --json            one object instead of text

Faults: ${FAULTS.join(', ')}
`

interface Options { first: number, last: number, nodes?: number, fault?: Fault, faults: boolean, story?: string, jobs: number, json: boolean }

/** What a thread is asked for: seeds first, first + 1, ... last. */
interface Task extends Omit<SimOptions, 'seed'> { first: number, last: number }

function usage (message: string): never {
  process.stderr.write(`${message}\nnpm run sim -- --help explains the options\n`)
  process.exit(2)
}

function integer (name: string, text: string | undefined, least: number): number | undefined {
  if (text == null) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least) usage(`--${name} is an integer from ${least}`)
  return value
}

function options (): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  let values
  try {
    values = parseArgs({ options: { seeds: text, seed: text, nodes: text, fault: text, faults: flag, story: text, jobs: text, json: flag, help: flag } }).values
  } catch (error) {
    usage((error as Error).message)
  }
  if (values.help === true) {
    process.stdout.write(HELP)
    process.exit(0)
  }
  const seed = integer('seed', values.seed, 0)
  const fault = FAULTS.find(known => known === values.fault)
  if (values.fault != null && fault == null) usage(`no fault is called '${values.fault}'`)
  if (values.story != null && seed == null) usage('--story needs --seed')
  const faults = values.faults ?? false
  return {
    first: seed ?? 1,
    last: seed ?? integer('seeds', values.seeds, 1) ?? (faults ? FAULT_SEEDS_DEFAULT : SEEDS_DEFAULT),
    nodes: integer('nodes', values.nodes, 2),
    fault,
    faults,
    story: values.story,
    jobs: integer('jobs', values.jobs, 1) ?? 1,
    json: values.json ?? false
  }
}

function runTask ({ first, last, nodes, fault, story }: Task): SimResult[] {
  const results: SimResult[] = []
  for (let seed = first; seed <= last; seed++) results.push(simulate({ seed, nodes, fault, story }))
  return results
}

/** Runs tasks in threads, or here if there is to be one only; gives results in the order of tasks. */
class Pool {
  readonly #idle: Worker[] = []
  readonly #waiting: Array<(worker: Worker) => void> = []

  constructor (size: number) {
    if (size > 1) for (let i = 0; i < size; i++) this.#idle.push(new Worker(new URL(import.meta.url), { workerData: 'simulate' }))
    this.size = size
  }

  readonly size: number

  async run (task: Task): Promise<SimResult[]> {
    if (this.size === 1) return runTask(task)
    const worker = this.#idle.pop() ?? await new Promise<Worker>(resolve => { this.#waiting.push(resolve) })
    const results = await new Promise<SimResult[]>((resolve, reject) => {
      worker.once('error', reject)
      worker.once('message', (answer: SimResult[]) => {
        worker.off('error', reject)
        resolve(answer)
      })
      worker.postMessage(task)
    })
    const next = this.#waiting.shift()
    if (next == null) this.#idle.push(worker)
    else next(worker)
    return results
  }

  async close (): Promise<void> {
    await Promise.all(this.#idle.map(worker => worker.terminate()))
  }
}

/** Seeds first..last in order, as far as `enough` does not say that there were enough. */
async function seeds (pool: Pool, task: Task, take: (result: SimResult) => boolean): Promise<void> {
  const ahead: Array<Promise<SimResult[]>> = []
  let next = task.first
  const more = (): void => {
    if (next > task.last) return
    const last = Math.min(task.last, next + CHUNK - 1)
    ahead.push(pool.run({ ...task, first: next, last }))
    next = last + 1
  }
  for (let i = 0; i < pool.size; i++) more()
  for (let results = ahead.shift(); results != null; results = ahead.shift()) {
    for (const result of await results) {
      if (take(result)) continue
      await Promise.all(ahead)
      return
    }
    more()
  }
}

function replay (seed: number, { nodes, fault }: Options): string {
  return `npm run sim -- --seed ${seed}${nodes == null ? '' : ` --nodes ${nodes}`}${fault == null ? '' : ` --fault ${fault}`}`
}

async function runSeeds (pool: Pool, asked: Options): Promise<boolean> {
  const { first, last, nodes, fault, story, json } = asked
  const started = performance.now()
  const violations: SimResult[] = []
  const totals = { steps: 0, late: 0, rejected: 0, redispatched: 0, redone: 0, hedged: 0, suspicions: 0, resumed: 0, kept: 0, refused: 0, reused: 0 }
  const jobs: Record<string, number> = {}
  let hash = ''
  let told: string[] | undefined
  let ran = 0
  await seeds(pool, { first, last, nodes, fault, story }, result => {
    ran++
    hash = result.traceHash
    told = result.story
    for (const name of Object.keys(totals) as Array<keyof typeof totals>) totals[name] += result[name]
    for (const [state, count] of Object.entries(result.jobs)) jobs[state] = (jobs[state] ?? 0) + count
    if (result.violation == null) return true
    violations.push(result)
    // With a planted fault the question is how many seeds find it; without one the first is enough.
    return fault != null
  })
  const seconds = (performance.now() - started) / 1000
  const one = first === last
  if (json) {
    process.stdout.write(JSON.stringify({
      seeds: ran, first, last, nodes, fault, seconds, ...totals, jobs,
      traceHash: one ? hash : undefined,
      story: story == null ? undefined : told,
      violations: violations.map(({ seed, violation, story, lastEvents }) => ({ seed, violation, story, lastEvents }))
    }) + '\n')
    return violations.length === 0
  }
  const found = violations[0]
  if (found != null) {
    process.stderr.write(`${found.lastEvents?.join('\n')}\n\n${found.story == null ? '' : `${found.story.join('\n')}\n\n`}seed ${found.seed}: ${found.violation}\nreplay: ${replay(found.seed, asked)}\n`)
  } else if (story != null) {
    process.stdout.write(`${told?.join('\n') ?? `there is no job '${story.split('/')[0]}' in this run`}\n\n`)
  }
  process.stdout.write(`${ran} seeds, ${violations.length} violations, ${totals.steps} steps in ${seconds.toFixed(1)} s (${(ran / seconds).toFixed(0)} seeds per second)\n` +
    `jobs: ${Object.entries(jobs).map(([state, count]) => `${count} ${state}`).join(', ')}\n` +
    `${totals.redispatched} redispatched, ${totals.hedged} second copies, ${totals.redone} redone under a wider schema, ${totals.rejected} rejected, ${totals.late} late results, ` +
    `${totals.reused} delivered again, ${totals.suspicions} suspicions, ${totals.refused} refusals, ${totals.resumed} jobs went on after a crash with ${totals.kept} blocks${one ? `; trace ${hash}` : ''}\n`)
  return violations.length === 0
}

async function runFaults (pool: Pool, { first, last, nodes, json }: Options): Promise<boolean> {
  const rows: Array<{ fault: Fault, where: string, found: number, seeds: number, first?: number, violation?: string }> = []
  if (!json) process.stdout.write('| fault | where | found in | first seed | violation |\n|---|---|---|---|---|\n')
  for (const fault of FAULTS) {
    const finds: SimResult[] = []
    let ran = 0
    await seeds(pool, { first, last, nodes, fault }, result => {
      ran++
      if (result.violation != null) finds.push(result)
      return finds.length < FAULT_FINDS
    })
    const row = { fault, where: FAULT_PLACES[fault], found: finds.length, seeds: ran, first: finds[0]?.seed, violation: finds[0]?.violation?.split('\n')[0] }
    rows.push(row)
    if (!json) process.stdout.write(`| \`${fault}\` | ${row.where} | ${row.found} of ${row.seeds} | ${row.first ?? 'none'} | ${row.violation ?? 'not found'} |\n`)
  }
  if (json) process.stdout.write(JSON.stringify({ faults: rows }) + '\n')
  return rows.every(({ found }) => found > 0)
}

if (!isMainThread && workerData === 'simulate') {
  parentPort?.on('message', (task: Task) => { parentPort?.postMessage(runTask(task)) })
} else {
  const asked = options()
  const pool = new Pool(asked.first === asked.last ? 1 : asked.jobs)
  try {
    process.exitCode = await (asked.faults ? runFaults(pool, asked) : runSeeds(pool, asked)) ? 0 : 1
  } finally {
    await pool.close()
  }
}
