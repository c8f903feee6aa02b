/** Follows one job to its end: progress for the eyes, the final report for the caller. */
import { basename } from 'node:path'
import type { JobEvent, JobReport } from '../../daemon/coordinator/index.ts'
import type { Client } from './client.ts'
import { Failure } from './failure.ts'
import type { Interrupt } from './interrupt.ts'
import { createProgress } from './progress.ts'

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
}

export async function followJob (client: Client, job: string, { json = false, event: each, name, several = false, interrupt }: FollowOptions = {}): Promise<JobReport> {
  const present = await client.job(job)
  const progress = createProgress(name ?? basename(present.inputs[0]?.path ?? job), { quiet: json, several })
  const ended = new AbortController()
  const following = (async () => {
    for await (const event of client.events({ job, ...(each == null ? { types: 'state,plan,progress,worker' } : {}) }, ended.signal)) {
      each?.(event)
      progress.event(event)
    }
  })()
  // Without the events there is no bar, but the job goes on: `wait` below tells how it ends.
  following.catch(() => {})
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

/** The reason in a report that is not `done`. */
export function failureOf (report: JobReport): Failure {
  const { code = 'failed', message = `the job is ${report.state}`, details = {} } = report.error ?? (report.state === 'cancelled' ? { code: 'cancelled', message: 'cancelled; no output was written' } : {})
  return new Failure(code, message, details)
}
