/** Notices when nobody is left to do the work, and how long that may last. Pure; part of the job machine. */
import type { JobError } from './index.ts'
import { nobodyWithin, type PriceLimit } from './prices.ts'
import type { JobLimits } from './constants.ts'
import type { WorkerEntry } from './worker-table.ts'

/** Workers that an error names. */
const REASONS_NAMED = 5

export class Provision {
  readonly #limits: JobLimits
  readonly #price: PriceLimit
  /** The first search for workers is over. */
  settled = false
  /** It found somebody who may be had later. */
  hoped = false
  /** The last result that was rejected, in words. */
  rejection: string | undefined
  /** The last failure for which a worker was cut off, in words. */
  failure: string | undefined
  #startedAt: number | undefined
  #noneSince: number | undefined
  #nextTime = Infinity

  constructor (limits: JobLimits, price: PriceLimit) {
    this.#limits = limits
    this.#price = price
  }

  /** When `lack` must be asked again though nothing happened; Infinity: no need. */
  get nextTime (): number {
    return this.#nextTime
  }

  /** Why the job cannot go on, if a block waits and nobody usable was there for too long. */
  lack (workers: WorkerEntry[], now: number, waiting: boolean): JobError | undefined {
    this.#startedAt ??= now
    this.#nextTime = Infinity
    if (!waiting) {
      this.#noneSince = undefined
      return undefined
    }
    let patience: number | undefined
    let trying = false
    for (const worker of workers) {
      if (worker.usable && ((worker.slots > 0 && worker.tooDear == null) || worker.open.size > 0)) {
        if (worker.breaker.closed) {
          this.#noneSince = undefined
          return undefined
        }
        // It failed repeatedly. Its trials go on for a while; one that is out is waited for.
        trying ||= worker.open.size > 0
        patience = Math.max(patience ?? 0, this.#limits.cutOffMs)
        continue
      }
      // A lost node is mostly back in a moment; a price is heard of again with the next search at the latest.
      if (worker.out == null && !worker.distrusted) patience = Math.max(patience ?? 0, worker.tooDear == null ? this.#limits.rejoinMs : this.#limits.priceMs)
    }
    if (!this.settled && now < this.#startedAt + this.#limits.searchMs) {
      this.#nextTime = this.#startedAt + this.#limits.searchMs
      return undefined
    }
    this.#noneSince ??= now
    const until = this.#noneSince + (patience ?? (this.hoped ? this.#limits.rejoinMs : this.#limits.noneMs))
    if (now >= until) return trying ? undefined : this.#error(workers)
    this.#nextTime = until
    return undefined
  }

  #error (workers: WorkerEntry[]): JobError {
    if (this.rejection != null) {
      return { code: 'check-failed', message: `no trusted worker is left; the last wrong result: ${this.rejection}` }
    }
    if (this.failure != null && workers.some(({ breaker }) => !breaker.closed && breaker.cause !== 'lost' && breaker.cause !== 'refused')) return { code: 'failed', message: `no working worker is left; the last failure: ${this.failure}` }
    const dear = workers.filter(worker => worker.usable && worker.tooDear != null).map(({ id }) => id)
    if (dear.length > 0) return { code: 'no-provider', message: nobodyWithin(this.#price, dear.length), details: { tooDear: dear } }
    if (workers.length === 0) return { code: 'no-provider', message: this.hoped ? 'nobody who offers this conversion could be had' : 'nobody offers this conversion within the constraints' }
    const reasons = workers.slice(0, REASONS_NAMED).map(worker => `${worker.id}: ${worker.out ?? worker.lost ?? (worker.breaker.closed ? 'takes no more work' : `cut off (${worker.breaker.cause ?? 'it failed'})`)}`)
    return { code: 'no-provider', message: `no worker is left (${reasons.join('; ')})` }
  }
}
