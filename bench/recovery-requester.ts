/**
 * The requester's daemon killed at a random instant of a job and started again: how long until the job runs, and what was done twice. A block counts
 * as done once its entry is durable, so none of those may be done again; of those that were out, at most all.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gone, signalGroup, startTimeOf } from '../cli/lib/process.ts'
import type { JobEvent, JobReport } from '../daemon/coordinator/index.ts'
import { prng } from '../test/fixtures/csv.ts'
import { followEvents } from '../test/fixtures/events.ts'
import { startTestnet, type Testnet } from '../test/fixtures/testnet.ts'
import { verb, WORKERS, WORKER_SLOTS } from './recovery-faults.ts'
import { sleepJob } from './recovery-job.ts'
import { LOADS } from './recovery-run.ts'

/** Milliseconds between two looks at the job after the restart: how exact its time is. */
const LOOK_MS = 10
/** Milliseconds a job may take after the restart. */
const LIMIT_MS = 60_000
/** The kill comes between these parts of the time the job takes undisturbed. */
const EARLIEST = 0.05
const LATEST = 0.95

export interface Resumed {
  /** From the start of the new process until the job was seen running (or done); absent: it never ran again. */
  runningMs?: number
  done: number
  inFlight: number
  /** Blocks that were done before and again after: none may. */
  doneTwice: number
  /** Blocks that were out when the requester died and were done after. */
  redone: number
  /** How the job ended if not well. */
  problem?: string
}

const authorizationOf = async (tokenFile: string): Promise<string> => `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`

export async function resumes ({ runs, seed, log }: { runs: number, seed: number, log: (line: string) => void }): Promise<Resumed[]> {
  const random = prng(seed)
  const testnet = await startTestnet({ nodes: WORKERS + 1, seed, profile: { nodes: Array.from({ length: WORKERS + 1 }, () => ({ cores: WORKER_SLOTS })) } })
  const done: Resumed[] = []
  try {
    const { blocks, blockMs } = LOADS.busy
    const idealMs = blocks * blockMs / (WORKERS * WORKER_SLOTS)
    for (let i = 0; i < runs; i++) {
      const afterMs = idealMs * (EARLIEST + random() * (LATEST - EARLIEST))
      const one = await killAndStart(testnet, afterMs, i)
      done.push(one)
      log(`requester, run ${i + 1} (seed ${seed}): killed after ${afterMs.toFixed(0)} ms with ${one.done} blocks done and ${one.inFlight} out; runs again ${one.runningMs?.toFixed(0) ?? 'never'} ms after its start; ` +
        `${one.doneTwice} done twice, ${one.redone} of those that were out done again${one.problem == null ? '' : `; ${one.problem}`}`)
    }
    return done
  } finally {
    await testnet.down()
  }
}

async function killAndStart (testnet: Testnet, afterMs: number, output: number): Promise<Resumed> {
  const node = (await testnet.reload()).find(({ name }) => name === 'n0') as Testnet['nodes'][0]
  const request = { ...await sleepJob(testnet.dir, LOADS.busy), output: join(testnet.dir, `out-${output}.sleep`) }
  const headers = { authorization: await authorizationOf(node.tokenFile), 'content-type': 'application/json' }
  const before: JobEvent[] = []
  const first = await followEvents(node)
  const answer = await fetch(`${node.api}/jobs`, { method: 'POST', headers, body: JSON.stringify(request) })
  const posted = await answer.json() as JobReport
  if (!answer.ok) throw new Error(`POST /jobs answered ${answer.status}: ${JSON.stringify(posted)}`)
  const reading = collect(first, before, () => {})
  while (!before.some(isOrder)) await delay(LOOK_MS)
  await delay(afterMs)
  const started = startTimeOf(node.pid)
  if (started == null || !signalGroup(node.pid, started, 'SIGKILL')) throw new Error('the requester was gone before it was killed')
  await reading
  if (!await gone(node.pid, started, LIMIT_MS)) throw new Error('the requester was killed and is still there')
  const starting = verb(testnet, 'start', 'n0')
  const after: JobEvent[] = []
  const [{ runningMs, problem }] = await Promise.all([again(testnet, posted.job, node.pid, after), starting])
  const [doneBefore, doneAfter] = [doneOf(before), doneOf(after)]
  const out = new Set(before.filter(isOrder).map(({ block }) => block).filter(block => !doneBefore.has(block)))
  return {
    done: doneBefore.size,
    inFlight: out.size,
    doneTwice: [...doneBefore].filter(block => doneAfter.has(block)).length,
    redone: [...out].filter(block => doneAfter.has(block)).length,
    ...(runningMs == null ? {} : { runningMs }),
    ...(problem == null ? {} : { problem })
  }
}

type BlockEvent = Extract<JobEvent, { type: 'block' }>
const isOrder = (event: JobEvent): event is BlockEvent => event.type === 'block' && (event.change === 'dispatched' || event.change === 'hedged')
const doneOf = (events: JobEvent[]): Set<number> => new Set(events.flatMap(event => event.type === 'block' && event.change === 'done' ? [event.block] : []))

/** A stream that breaks off because its daemon is killed has simply ended. */
async function collect (stream: AsyncIterable<JobEvent>, into: JobEvent[], then: () => void): Promise<void> {
  try {
    for await (const event of stream) into.push(event)
  } catch (error) {
    if ((error as Error).name !== 'TypeError') throw error
  }
  then()
}

/**
 * Waits for the job's end in the new process. No block can be done within its own duration, so the events that are missed before the stream is open
 * are orders at most, and those are not needed.
 */
async function again (testnet: Testnet, job: string, oldPid: number, events: JobEvent[]): Promise<{ runningMs?: number, problem?: string }> {
  const deadline = performance.now() + LIMIT_MS
  const node = testnet.node('n0')
  const look = async (): Promise<JobReport | undefined> => {
    // The new process makes a token of its own.
    const headers = { authorization: await authorizationOf(node.tokenFile) }
    return await fetch(`${node.api}/jobs/${job}`, { headers }).then(async answer => answer.ok ? await answer.json() as JobReport : undefined, () => undefined)
  }
  let runningMs: number | undefined
  let stream: Awaited<ReturnType<typeof followEvents>> | undefined
  try {
    for (;;) {
      if (performance.now() > deadline) return { ...(runningMs == null ? {} : { runningMs }), problem: `not done ${LIMIT_MS / 1000} s after the start` }
      // The port is the same, the process another one.
      stream ??= await followEvents(node).then(opened => {
        void collect(opened, events, () => {})
        return opened
      }, () => undefined)
      const report = await look()
      if (report != null && ['running', 'merging', 'done'].includes(report.state) && runningMs == null) runningMs = Date.now() - await bornAt(testnet, oldPid)
      if (report != null && ['done', 'failed', 'cancelled'].includes(report.state)) {
        return { ...(runningMs == null ? {} : { runningMs }), ...(report.state === 'done' ? {} : { problem: `the job ended ${report.state}: ${report.error?.code} (${report.error?.message})` }) }
      }
      await delay(LOOK_MS)
    }
  } finally {
    stream?.close()
  }
}

/** UTC milliseconds at which the requester's new process began, to 10 ms (Linux: field 22 of /proc/<pid>/stat, in hundredths of a second since boot). */
async function bornAt (testnet: Testnet, oldPid: number): Promise<number> {
  const pid = Number(await readFile(`${testnet.node('n0').dataDir}/pid`, 'utf8'))
  if (pid === oldPid) throw new Error('the new process is not known yet')
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 1000
  return Date.now() - uptime + Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) * 10
}
