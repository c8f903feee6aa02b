/**
 * Jobs that ended badly and with which somebody may go on, since their results are still there: for a while, and so many. What is let go is
 * let go with its entries and blocks.
 */
import type { Log } from '../log.ts'
import type { Journal } from '../store/index.ts'
import type { BlockRefs } from './block-refs.ts'
import type { Clock } from './clock.ts'
import { RESUMABLE_BYTES_MAX, RESUMABLE_JOBS_MAX, TIMER_MS_MAX } from './constants.ts'
import { encodeRecord } from './journal-entries.ts'
import type { RecordWriter } from './record-writer.ts'
import { removeResults } from './resume.ts'
import type { RestingJob } from './settle-journal.ts'

export interface RestingJobsComponents {
  journal: Pick<Journal, 'entries' | 'remove'>
  records: Pick<RecordWriter, 'write'>
  refs: BlockRefs
  clock: Clock
  log: Log
}

export class RestingJobs {
  readonly #components: RestingJobsComponents
  /** Oldest end first. */
  readonly #jobs = new Map<string, RestingJob>()
  #removals: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor (components: RestingJobsComponents) {
    this.#components = components
  }

  get (job: string): RestingJob | undefined {
    return this.#jobs.get(job)
  }

  add (job: RestingJob): void {
    this.#jobs.set(job.job, job)
    this.trim()
  }

  /** Somebody goes on with it: from now on its results are theirs. */
  take (job: string): RestingJob | undefined {
    const resting = this.#jobs.get(job)
    this.#jobs.delete(job)
    return resting
  }

  /** Lets go of what is over a limit, or over its time. */
  trim (): void {
    const now = this.#components.clock.utc()
    let bytes = 0
    for (const job of this.#jobs.values()) bytes += job.bytes
    for (const job of this.#jobs.values()) {
      if (job.until > now && this.#jobs.size <= RESUMABLE_JOBS_MAX && bytes <= RESUMABLE_BYTES_MAX) continue
      this.#jobs.delete(job.job)
      bytes -= job.bytes
      this.#removals = this.#removals.then(async () => { await this.#forget(job) })
    }
    this.#arm(now)
  }

  /** Lets go of one. */
  async drop (job: string): Promise<void> {
    const resting = this.take(job)
    if (resting != null) await this.#forget(resting)
  }

  /** No timer any more; resolves when nothing is being removed. */
  async stop (): Promise<void> {
    clearTimeout(this.#timer)
    await this.#removals
  }

  #arm (now: number): void {
    clearTimeout(this.#timer)
    let next = Infinity
    for (const { until } of this.#jobs.values()) next = Math.min(next, until)
    if (next === Infinity) return
    this.#timer = setTimeout(() => { this.trim() }, Math.min(TIMER_MS_MAX, Math.max(1, next - now)))
    this.#timer.unref()
  }

  /** Never rejects. */
  async #forget ({ job, key, recordKey, report }: RestingJob): Promise<void> {
    try {
      // First of all nobody is promised the results any more.
      await this.#components.records.write(recordKey, encodeRecord({ phase: 'ended', job, key, report }))
      await removeResults(this.#components, key, 'resting')
    } catch (error) {
      // The next start finds results that nobody was promised, and removes them.
      this.#components.log.warn({ error, job }, 'results of an ended job stay in the journal')
    }
  }
}
