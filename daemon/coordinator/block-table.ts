/** What the job machine knows of its blocks and attempts. Plain data; only the machine changes it. */
import type { AttemptRef, Held } from './machine-types.ts'
import { ATTEMPT_WORDS_MAX } from './constants.ts'
import type { WorkerEntry } from './worker-table.ts'

/**
 * `ready`: waits for a worker · `leased`: an attempt is out · `storing`, `inspecting`, `checking`, `committing`: it has a result
 * that is not durable yet · `done`: result and entry are durable.
 */
export type BlockState = 'ready' | 'leased' | 'storing' | 'inspecting' | 'checking' | 'committing' | 'done'

export class Attempt implements AttemptRef {
  readonly block: number
  readonly attempt: number
  readonly worker: WorkerEntry
  /** The schema it is made under. */
  readonly epoch: number
  /** When it was dispatched. */
  readonly at: number
  /** Bytes its worker had out then, its own among them: how long it may have to wait there. */
  queued = 0
  /** It is the trial of a worker whose breaker is half-open. */
  canary = false
  /** A copy of its block was given to somebody else while it was out, and why. */
  covered: 'slow' | 'suspect' | undefined = undefined
  /** The worker owes an outcome. */
  open = true
  /** It was cancelled, or its block asked of somebody else; the slot comes back with the outcome. */
  given = false
  /** Why it was given out while somebody else had its block; undefined: nobody had. */
  copy: string | undefined = undefined
  /** Why nothing came of it, and when that was known. */
  ended: string | undefined = undefined
  endedAt: number | undefined = undefined

  constructor (block: number, attempt: number, worker: WorkerEntry, epoch: number, at: number) {
    this.block = block
    this.attempt = attempt
    this.worker = worker
    this.epoch = epoch
    this.at = at
  }

  /** Nothing will come of it; what is said first stands. */
  end (reason: string, now: number): void {
    if (this.ended != null) return
    this.ended = reason.length > ATTEMPT_WORDS_MAX ? `${reason.slice(0, ATTEMPT_WORDS_MAX - 1)}…` : reason
    this.endedAt = now
  }
}

/** A failed attempt, as it is held against the block. */
export interface Accusation {
  readonly worker: WorkerEntry
  /** The engine failed: that says more about the block than a broken transfer. */
  readonly engine: boolean
  /** Against the block; else against the worker. */
  counts: boolean
}

export class Block {
  readonly index: number
  /** Input bytes. */
  readonly size: number
  state: BlockState = 'ready'
  /** All attempts so far; attempt n is at n - 1. */
  readonly attempts: Attempt[] = []
  /** The attempt whose result is taken, and who made it. */
  result: Attempt | undefined = undefined
  by: WorkerEntry | undefined = undefined
  held: Held = 'inline'
  /** Output bytes of the result. */
  outputBytes = 0
  wallMs = 0
  units = 0
  /** The policy drew it for a full comparison. */
  drawn = false
  /** The full comparison is over and was good. */
  checked = false
  /** Compared again (or for the first time) after its entry was asked for, since its worker was caught lying. */
  rechecking = false
  /** What went wrong with it under its present conversion; undefined: nothing. */
  accusations: Accusation[] | undefined = undefined
  losses = 0
  /** How often it was taken back from a worker that had not begun it. */
  stolen = 0
  /** Workers it failed on, to be preferred last. */
  avoid: WorkerEntry[] | undefined = undefined
  /** A peer said that the input is at fault; said again by another attempt, the job believes it. */
  blamed = false

  constructor (index: number, size: number) {
    this.index = index
    this.size = size
  }

  /** From now on this worker gets the block only if nobody else can. */
  shun (worker: WorkerEntry): void {
    if (this.avoid == null) this.avoid = [worker]
    else if (!this.avoid.includes(worker)) this.avoid.push(worker)
  }

  /** The attempt that is out and not called off; undefined if there is none, or if there are several. */
  get onlyOpen (): Attempt | undefined {
    let found: Attempt | undefined
    for (const attempt of this.attempts) {
      if (!attempt.open || attempt.given) continue
      if (found != null) return undefined
      found = attempt
    }
    return found
  }

  /** Has no result again; waits for a worker. */
  withdraw (): void {
    this.state = 'ready'
    this.result = undefined
    this.by = undefined
    this.checked = false
    this.rechecking = false
  }

  /** Its conversion is another one now: what went wrong with the old one says nothing of it. */
  renew (): void {
    this.withdraw()
    this.accusations = undefined
    this.losses = 0
    this.stolen = 0
    this.blamed = false
    this.avoid = undefined
  }
}
