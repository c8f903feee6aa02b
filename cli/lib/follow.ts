/** Follows one job to its end: progress for the eyes, the final report for the caller. */
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import type { Client } from './client.ts'
import { LOOK_MS, QUIET_MS, QUIET_WORKING_MS, WAITING_AGAIN_MS } from './constants.ts'
import { Failure } from './failure.ts'
import type { Interrupt } from './interrupt.ts'
import { waiting, type Waiting } from './job-view.ts'
import { createProgress, type Progress } from './progress.ts'
import { shortId } from './units.ts'

export interface FollowOptions {
  /** Nothing on standard error unless it is a terminal. */
  json?: boolean
  /** Gets every event, those of single blocks included; without it they are not even asked for. */
  event?: (event: JobEvent) => void
  name?: string
  /** Ctrl-C cancels the job. */
  interrupt?: Interrupt
  /** One of several jobs of a command. */
  several?: boolean
  /** Who has what, and what moves, is shown, too. */
  detailed?: boolean
}

export async function followJob (client: Client, job: string, { json = false, event: each, name, several = false, detailed = false, interrupt }: FollowOptions = {}): Promise<JobReport> {
  const present = await client.job(job)
  const progress = createProgress(name ?? basename(present.inputs[0]?.path ?? job), { quiet: json, several, detailed })
  const ended = new AbortController()
  const stall = new Stall(performance.now())
  const following = (async () => {
    for await (const event of client.events({ job, ...(each == null ? { types: 'state,plan,progress,worker' } : {}) }, ended.signal)) {
      each?.(event)
      stall.event(event, performance.now())
      progress.event(event)
    }
  })()
  // Without the events there is no bar, but the job goes on: `wait` below tells how it ends.
  following.catch(() => {})
  if (!several && (!json || process.stderr.isTTY)) void look(client, job, { progress, stall, detailed }, ended.signal)
  const stopCancelling = interrupt?.onAbort(async () => {
    progress.say('cancelling the job; press Ctrl-C again to quit at once')
    await client.cancel(job)
  })
  try {
    return await client.wait(job)
  } finally {
    stopCancelling?.()
    ended.abort()
    progress.stop()
  }
}

/** Asks now and then who has what, and says why a job does not move. Never rejects: an older daemon, or one that went away, only says less. */
async function look (client: Client, job: string, { progress, stall, detailed }: { progress: Progress, stall: Stall, detailed: boolean }, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await delay(LOOK_MS, undefined, { signal })
      if (!detailed && stall.quietMs(performance.now()) < QUIET_MS) continue
      const seen = await client.look(job, 0, signal)
      if (signal.aborted) return
      progress.look(seen)
      const text = stall.words(waiting(seen), performance.now())
      if (text != null) progress.say(text)
    }
  } catch (error) {
    if (signal.aborted) return
    progress.say(`who has which block cannot be shown: ${error instanceof Failure ? error.message : String(error)}`)
  }
}

/** Whether a job moves, and what is said if it does not: a line for each new reason, and seldom one for the same. Pure: time is an argument. */
export class Stall {
  #done = -1
  #movedAt: number
  #said = ''
  #saidAt = Number.NEGATIVE_INFINITY

  constructor (now: number) {
    this.#movedAt = now
  }

  event (event: JobEvent, now: number): void {
    if (event.type !== 'state' && (event.type !== 'progress' || event.blocksDone === this.#done)) return
    if (event.type === 'progress') this.#done = event.blocksDone
    this.#movedAt = now
  }

  quietMs (now: number): number {
    return now - this.#movedAt
  }

  words (why: Waiting | undefined, now: number): string | undefined {
    if (why == null || this.quietMs(now) < (why.amiss ? QUIET_MS : QUIET_WORKING_MS)) return undefined
    if (why.key === this.#said && now - this.#saidAt < WAITING_AGAIN_MS) return undefined
    this.#said = why.key
    this.#saidAt = now
    return why.text
  }
}

/** A daemon that went away takes no job with it: says where this one stands. Any other error stays what it is. */
export function goesOn (error: unknown, job: string): unknown {
  if (!(error instanceof Failure) || error.code !== 'no-daemon') return error
  return new Failure(error.code, `${error.message}; job ${shortId(job)} then goes on where it stood: follow it with 'weft jobs watch ${shortId(job)}'`, { ...error.details, job }, { cause: error })
}

/** The reason in a report that is not `done`. */
export function failureOf (report: JobReport): Failure {
  const { code = 'failed', message = `the job is ${report.state}`, details = {} } = report.error ?? (report.state === 'cancelled' ? { code: 'cancelled', message: 'cancelled; no output was written' } : {})
  return new Failure(code, message, details)
}
