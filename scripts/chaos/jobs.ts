/** Jobs without end, from several requesters, and whether each ended right: with exactly the output of an undisturbed run. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { JobReport, JobRequest } from '../../daemon/coordinator/index.ts'
import { prng, writeCsv } from '../../test/fixtures/csv.ts'
import type { TestnetNode } from '../../test/fixtures/testnet.ts'
import { compareTables } from '../compare.ts'

/** One sort of job; the same input and settings every time. */
export interface Task {
  name: string
  request: Omit<JobRequest, 'output'>
  extension: string
  /** Content can be compared where bytes differ. */
  table: boolean
  /** sha2-256 of the undisturbed output, in hex. */
  digest: string
  /** Where that one lies. */
  reference: string
}

export interface JobsDone {
  /** By task: seconds of each job that ended right. */
  seconds: Map<string, number[]>
  /** Jobs whose bytes differ from the undisturbed output, with the same content. */
  otherBytes: number
  resumed: number
  blocks: number
  redispatched: number
  hedged: number
  rejected: number
  /** Each line is a job that did not end right. */
  wrong: string[]
}

/** Seconds one job may take: many times what it takes undisturbed, and all that may happen to its requester meanwhile. */
const JOB_LIMIT_S = 180
/** Milliseconds between two tries to reach a daemon that is away. */
const AGAIN_MS = 200

type Node = Pick<TestnetNode, 'name' | 'api' | 'tokenFile'>

const TABLES: Array<{ name: string, bytes: number, to: string, blockBytes: number }> = [
  { name: 'small CSV to NDJSON', bytes: 300_000, to: 'ndjson', blockBytes: 30_000 },
  { name: 'CSV to Parquet', bytes: 3_000_000, to: 'parquet', blockBytes: 150_000 },
  { name: 'large CSV to Parquet', bytes: 12_000_000, to: 'parquet', blockBytes: 1_000_000 }
]
const SLEEPS: Array<{ name: string, blocks: number, milliseconds: number }> = [
  { name: 'many short blocks', blocks: 400, milliseconds: 20 },
  { name: 'blocks of 400 ms', blocks: 60, milliseconds: 400 },
  { name: 'blocks of 2 s', blocks: 12, milliseconds: 2000 }
]
const SLEEP_BLOCK_BYTES = 64

/** Writes the inputs, and the undisturbed outputs by the node itself; those of tables are compared with their inputs. */
export async function prepareTasks (folder: string, node: Node, seed: number): Promise<Task[]> {
  const tasks: Task[] = []
  const add = async (name: string, request: Task['request'], extension: string, table: boolean): Promise<void> => {
    const reference = join(folder, `reference-${tasks.length}.${extension}`)
    const { id } = await submit(node, { ...request, place: 'local', output: reference })
    const report = await ended(node, id, performance.now() + 1000 * JOB_LIMIT_S, new AbortController().signal)
    if (report?.state !== 'done') throw new Error(`the undisturbed job '${name}' ended ${report?.state}: ${report?.error?.message}`)
    if (table) {
      const { difference } = await compareTables(request.inputs[0] as string, reference)
      if (difference != null) throw new Error(`the undisturbed job '${name}' gave something else than its input: ${difference}`)
    }
    tasks.push({ name, request, extension, table, reference, digest: await digestOf(reference) })
  }
  for (const [i, { name, bytes, to, blockBytes }] of TABLES.entries()) {
    const input = join(folder, `table-${i}.csv`)
    writeCsv(input, bytes, seed + i)
    await add(name, { inputs: [input], to, blockBytes, place: i === 1 ? 'any' : 'remote' }, to, true)
  }
  const random = prng(seed)
  for (const [i, { name, blocks, milliseconds }] of SLEEPS.entries()) {
    const input = join(folder, `sleep-${i}.bin`)
    await writeFile(input, Uint8Array.from({ length: blocks * SLEEP_BLOCK_BYTES }, () => Math.floor(random() * 256)))
    await add(name, {
      inputs: [input], from: 'application/octet-stream', to: 'application/x-weft-sleep', blockBytes: SLEEP_BLOCK_BYTES, place: 'remote', settings: { milliseconds: String(milliseconds), jitter: '0.5' }
    }, 'sleep', false)
  }
  return tasks
}

/** Job after job from this node until the signal fires; what runs then is still waited for. */
export async function keepConverting (node: Node, tasks: Task[], { folder, random, signal, stop, log }: { folder: string, random: () => number, signal: AbortSignal, stop: AbortSignal, log: (line: string) => void }, done: JobsDone): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    const task = tasks[Math.floor(random() * tasks.length)] as Task
    const output = join(folder, `${node.name}-${i}.${task.extension}`)
    const from = performance.now()
    let id = '(not submitted)'
    try {
      const submitted = await untilReached(async () => await submit(node, { ...task.request, output }), from + 1000 * JOB_LIMIT_S, stop)
      if (submitted == null) return
      id = submitted.id
      const report = await ended(node, id, from + 1000 * JOB_LIMIT_S, stop)
      if (report == null) throw new Error(`not over after ${JOB_LIMIT_S} s`)
      if (report.state !== 'done') throw new Error(`ended ${report.state}: ${report.error?.code}: ${report.error?.message}`)
      await compare(task, output, done)
      note(report, task, (performance.now() - from) / 1000, done)
      await rm(output)
    } catch (error) {
      const line = `${node.name}, '${task.name}' to ${output}, job ${id}, after ${((performance.now() - from) / 1000).toFixed(1)} s: ${(error as Error).message}`
      done.wrong.push(line)
      log(`WRONG ${line}`)
      if (stop.aborted) return
    }
  }
}

function note (report: JobReport, task: Task, seconds: number, done: JobsDone): void {
  const list = done.seconds.get(task.name) ?? []
  list.push(seconds)
  done.seconds.set(task.name, list)
  if (report.resumed) done.resumed++
  done.blocks += report.blocks.total
  done.redispatched += report.blocks.redispatched
  done.hedged += report.blocks.hedged
  done.rejected += report.blocks.rejected
}

async function compare (task: Task, output: string, done: JobsDone): Promise<void> {
  if (await digestOf(output) === task.digest) return
  if (!task.table) throw new Error('its output is not the undisturbed one')
  const { difference } = await compareTables(task.request.inputs[0] as string, output)
  if (difference != null) throw new Error(`its output is wrong: ${difference}`)
  done.otherBytes++
}

export async function digestOf (path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** A daemon that cannot be reached; everything else is an answer. */
class AwayError extends Error {
  override name = 'AwayError'
}

async function call<T> ({ api, tokenFile }: Node, method: string, path: string, body?: unknown): Promise<{ status: number, answer: T }> {
  try {
    // One that has stopped in good order has taken its token away.
    const headers: Record<string, string> = { authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` }
    if (body != null) headers['content-type'] = 'application/json'
    const response = await fetch(`${api}${path}`, { method, headers, ...(body == null ? {} : { body: JSON.stringify(body) }), signal: AbortSignal.timeout(1000 * JOB_LIMIT_S) })
    return { status: response.status, answer: await response.json() as T }
  } catch (error) {
    throw new AwayError((error as Error).message, { cause: error })
  }
}

/** undefined if the signal fired first. Throws what the last try said once the time is up. */
async function untilReached<T> (act: () => Promise<T>, deadline: number, signal: AbortSignal): Promise<T | undefined> {
  while (!signal.aborted) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof AwayError) || performance.now() > deadline) throw error
      await delay(AGAIN_MS)
    }
  }
  return undefined
}

async function submit (node: Node, request: JobRequest): Promise<{ id: string }> {
  const { status, answer } = await call<JobReport & { detail?: string }>(node, 'POST', '/jobs', request)
  // On its way down it says so; it is asked again when it is back.
  if (status === 503) throw new AwayError('it is shutting down')
  if (status >= 300) throw new Error(`POST /jobs answered ${status}: ${JSON.stringify(answer)}`)
  return { id: answer.job }
}

/** The final report; undefined if the time was up or the signal fired. A daemon that is away is waited for. */
async function ended (node: Node, job: string, deadline: number, signal: AbortSignal): Promise<JobReport | undefined> {
  while (performance.now() < deadline && !signal.aborted) {
    try {
      const { status, answer } = await call<JobReport>(node, 'GET', `/jobs/${job}`)
      // Just started again, it may answer before it has read its journal; it does not say that it is ready then.
      if (status >= 300 && !await fetch(`${node.api}/readyz`).then(({ ok }) => ok, () => false)) throw new AwayError('it is not ready')
      if (status >= 300) throw new Error(`GET /jobs/${job} answered ${status}: ${JSON.stringify(answer)}`)
      if (['done', 'failed', 'cancelled'].includes(answer.state)) return answer
    } catch (error) {
      if (!(error instanceof AwayError)) throw error
    }
    await delay(AGAIN_MS)
  }
  return undefined
}

/** Jobs a node knows that did not end well: also those whose submission was never answered. */
export async function unfinished (node: Node): Promise<string[]> {
  const { answer } = await call<{ jobs: JobReport[] }>(node, 'GET', '/jobs')
  return answer.jobs.filter(({ state }) => state !== 'done').map(({ job, state, error }) => `${node.name}: job ${job} is ${state}${error == null ? '' : ` (${error.code}: ${error.message})`}`)
}
