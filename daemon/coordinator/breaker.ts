/**
 * The circuit breaker of a peer for one converter (Nygard, "Release It!", 2007; the pattern's names are his). Closed: it gets blocks. Open: it
 * failed repeatedly and is left alone for a while that doubles each time, up to a limit, half of it drawn at random so that what was cut off
 * together does not come back together. Half-open: the while is over, and exactly one block, the canary, is tried. Pure; time and randomness are
 * arguments.
 *
 * Failures add 1, good results take `BREAKER_DECAY` away, so one that fails every third time is borne and one that fails every second is not;
 * `BREAKER_FORGIVE` good results in a row forgive one doubling.
 */
import { BREAKER_DECAY, BREAKER_FORGIVE, BREAKERS_MAX } from './constants.ts'

/** Why a peer was cut off. `refused`: it said `busy` again and again; `slow`: it had no result within the limit of an attempt. */
export type BreakerCause = 'crash' | 'hang' | 'out-of-memory' | 'output-limit' | 'conversion' | 'unavailable' | 'transfer' | 'cancelled' | 'lost' | 'refused' | 'slow'

export type BreakerState = 'closed' | 'open' | 'half-open'

/** What is told of a change, and kept between jobs. */
export interface BreakerRecord {
  worker: string
  state: BreakerState
  /** Of the last opening. */
  cause?: BreakerCause
  /** Openings that are not forgiven. */
  level: number
  /** When the canary may go, on the clock of `now`. */
  retryAt: number
}

export interface BreakerRules {
  /** Failures, less what good results take away, at which it opens. */
  failures: number
  /** First cool-down and the longest, milliseconds. */
  ms: number
  msMax: number
  /** Blocks out while it is half-open. Never anything but 1 outside the simulator's own test. @default 1 */
  canaries?: number
}

export class Breaker {
  readonly #rules: BreakerRules
  /** As it was when the job began. */
  readonly #known: BreakerRecord | undefined
  #failures = 0
  #level = 0
  #goodInRow = 0
  #open = false
  /** It opened in this job. */
  #opened = false
  #canaries = 0
  #retryAt = 0
  #cause: BreakerCause | undefined

  constructor (rules: BreakerRules, known?: BreakerRecord) {
    this.#rules = rules
    this.#known = known
    this.#recall()
  }

  state (now: number): BreakerState {
    if (!this.#open) return 'closed'
    return now < this.#retryAt ? 'open' : 'half-open'
  }

  get closed (): boolean { return !this.#open }
  get cause (): BreakerCause | undefined { return this.#cause }
  /** When the canary may go, on the clock of `now`; of meaning only while it is not closed. */
  get retryAt (): number { return this.#retryAt }

  /** Blocks that may be given now beside those that are out. */
  room (now: number): number {
    if (!this.#open) return Infinity
    return now < this.#retryAt ? 0 : (this.#rules.canaries ?? 1) - this.#canaries
  }

  record (worker: string, now: number): BreakerRecord {
    return { worker, state: this.state(now), ...(this.#cause != null ? { cause: this.#cause } : {}), level: this.#level, retryAt: this.#retryAt }
  }

  /** A block is given; true if it is a canary. */
  give (): boolean {
    if (!this.#open) return false
    this.#canaries++
    return true
  }

  /** A canary ended without telling anything: it was called off, or refused. The next may go. */
  back (): void {
    this.#canaries = Math.max(0, this.#canaries - 1)
  }

  /** A good result; true if that closed it. Of what was out before it opened only the canary counts. */
  good (canary: boolean): boolean {
    if (this.#open && !canary) return false
    this.#failures = Math.max(0, this.#failures - BREAKER_DECAY)
    if (++this.#goodInRow % BREAKER_FORGIVE === 0) this.#level = Math.max(0, this.#level - 1)
    if (!this.#open) return false
    this.#open = false
    this.#canaries = 0
    this.#failures = 0
    return true
  }

  /** A failure; true if that opened it (again). What was out before it opened is the same misfortune. */
  bad (cause: BreakerCause, canary: boolean, now: number, random: () => number): boolean {
    if (this.#open) return canary && this.trip(cause, now, random)
    this.#goodInRow = 0
    this.#failures++
    return this.#failures >= this.#rules.failures && this.trip(cause, now, random)
  }

  /** What failed in this job was not its peer's fault: it is as it was before the job; true if it was opened since. */
  acquit (): boolean {
    const opened = this.#opened
    if (opened) this.#recall()
    return opened
  }

  #recall (): void {
    const { level = 0, state = 'closed', retryAt = 0, cause } = this.#known ?? {}
    this.#level = level
    this.#open = state !== 'closed'
    this.#retryAt = retryAt
    this.#cause = cause
    this.#failures = 0
    this.#canaries = 0
    this.#opened = false
  }

  /** Opens it, whatever was before. */
  trip (cause: BreakerCause, now: number, random: () => number): true {
    const { ms, msMax } = this.#rules
    this.#level++
    // Equal jitter, as in M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015).
    const coolDown = Math.min(msMax, ms * 2 ** Math.min(this.#level - 1, 30))
    this.#retryAt = now + coolDown / 2 + random() * coolDown / 2
    this.#open = true
    this.#opened = true
    this.#cause = cause
    this.#canaries = 0
    this.#goodInRow = 0
    return true
  }
}

/** What the jobs of this process learned of peers, by converter: a later job begins with it. Bounded; the oldest goes first. */
export class Breakers {
  readonly #records = new Map<string, BreakerRecord & { converter: string }>()

  set (converter: string, { worker, state, cause, level, retryAt }: BreakerRecord): void {
    const key = JSON.stringify([worker, converter])
    this.#records.delete(key)
    if (state === 'closed' && level === 0) return
    this.#records.set(key, { converter, worker, state, ...(cause != null ? { cause } : {}), level, retryAt })
    if (this.#records.size > BREAKERS_MAX) this.#records.delete(this.#records.keys().next().value as string)
  }

  /** For a job of this converter. */
  * of (converter: string): Iterable<BreakerRecord> {
    for (const { converter: of, ...record } of this.#records.values()) if (of === converter) yield record
  }
}
