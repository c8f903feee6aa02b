/** What goes into the job machine (facts) and what comes out of it (orders to the interpreter). */
import type { FailureReason } from '../task-protocol/index.ts'
import type { MachineView } from './block-view.ts'
import type { Explanation } from './explain.ts'
import type { JobError, JobEvent } from './index.ts'
import type { BreakerCause, BreakerRecord, BreakerState } from './breaker.ts'
import type { JobLimits } from './constants.ts'
import type { Asked } from './prices.ts'

/** Errors that may be planted for the simulator's own test: each must be found by its invariants. Never set elsewhere. */
export type PlantedFault = 'double-accept' | 'wrong-merge-order' | 'lost-requeue' | 'journal-before-block' | 'rename-before-check' | 'stale-epoch' | 'any-price' | 'declared-slots'
  | 'hedge-same-worker' | 'hedge-unbounded' | 'hedge-loser-kept' | 'breaker-never-opens' | 'breaker-canary-flood' | 'suspect-fed' | 'lost-requeue-hedged' | 'poison-forever'

export interface JobMachineInit {
  /** The job's id; only carried into events. */
  job: string
  verify: 'none' | 'sample' | 'all'
  /** Greatest distance of a result from its source that is accepted; 0 for exact equivalences. */
  bound: number
  /** Workers that ask more, or in another unit, get nothing (10^-6 of `priceUnit` per resource hour, decimal). @default any price is paid */
  maxPrice?: string
  /** What the requester counts in. @default PRICE_UNIT_DEFAULT */
  priceUnit?: string
  /** When the job is given up (`deadline`), on the clock of `now`. @default never */
  deadlineAt?: number
  /** Orders in flight per worker, whatever slots it declares and whatever it showed so far (a draining worker still gets none). */
  inFlight?: number
  /**
   * Schema changes an earlier run of this job had seen: nothing is given out before the splitter has told of as many, for what is done under the
   * last schema would be done again under an older one. @default 0
   */
  resumeEpoch?: number
  /** Blocks that may get a second copy while the first is out, as a share of those done so far (`hedging.ts` states the bound). 0: none. @default HEDGE_SHARE */
  hedgeShare?: number
  /** What other jobs of this process learned of peers for the same converter (`Breakers.of`). @default nothing */
  breakers?: Iterable<BreakerRecord>
  /** An order counts as in flight until its result is durable. @default until there is a result */
  awaitCommit?: boolean
  limits?: Partial<JobLimits>
  faults?: ReadonlySet<PlantedFault>
}

/** One attempt's result, or the attempt itself. */
export interface AttemptRef {
  readonly block: number
  readonly attempt: number
}

/**
 * Where a result's bytes are. `inline`: small, they ride in the journal entry and become durable with it; `durable`: in the block
 * store already; `volatile`: in memory or an unsynced file, to be stored before anything refers to them.
 */
export type Held = 'inline' | 'durable' | 'volatile'

export type JobEventIn =
  | { type: 'split', sizes: number[] }
  | { type: 'split-ended' }
  /**
   * The schema was widened; `epoch` numbers it, from 1. All blocks known so far count only as converted under it, so what there is of them,
   * taken, merged or in flight, is superseded.
   */
  | { type: 'widened', epoch: number }
  /** `asked` is absent where nothing is asked, or what was last heard still stands. */
  | { type: 'joined', worker: string, kind: 'local' | 'remote', slots: number, bytesPerSecond?: number, asked?: Asked }
  /** The worker's price is another one now. */
  | { type: 'priced', worker: string, asked: Asked }
  | { type: 'slots', worker: string, slots: number }
  | { type: 'lost', worker: string, reason: string }
  /** The failure detector doubts the worker: it keeps what it has, copies of that may be given to others. */
  | { type: 'suspect', worker: string, reason: string }
  /** The doubt is over: it was heard of again. */
  | { type: 'trusted', worker: string }
  /**
   * The block has its result from an earlier run of this job, durable and entered, under the schema as it is now. Said in the step in which the
   * block, or the change of the schema, is told, so that it is never given out. It becomes the block's next attempt.
   */
  | { type: 'restored', block: number, worker: string, kind: 'local' | 'remote', held: Held, size: number, units: number, wallMs: number, checked: boolean }
  /** The first search is over. `hoped`: somebody was found who could not be had just then (silent, busy, draining) and may be later. */
  | { type: 'settled', count: number, hoped?: boolean }
  | { type: 'ok', worker: string, block: number, attempt: number, held: Held, size: number, wallMs: number }
  | {
    type: 'failed', worker: string, block: number, attempt: number, reason: FailureReason, message: string, code?: string,
    details?: Record<string, unknown>, retryAfterMs?: number
  }
  | { type: 'stored', block: number, attempt: number }
  | { type: 'inspected', block: number, attempt: number, units: number }
  /** The always-on check found the result wrong. */
  | { type: 'unsound', block: number, attempt: number, message: string }
  /** `distance` is Infinity where the result could not even be read. */
  | { type: 'checked', block: number, attempt: number, distance: number, difference?: string }
  /** Another job of this node caught the worker with a wrong result. */
  | { type: 'distrusted', worker: string, reason: string }
  | { type: 'committed', block: number, attempt: number }
  | { type: 'merged', epoch: number, upTo: number }
  | { type: 'merge-reset', epoch: number }
  | { type: 'finished' }
  | { type: 'renamed' }
  /** The output is not at its final name, and will not be. */
  | { type: 'rename-failed', error: JobError }
  | { type: 'aborted' }
  /** Something the job cannot go on without failed: the splitter, an input, the store, the journal, the merge, the output. */
  | { type: 'broken', error: JobError }
  /** The user's cancel, or the daemon's stop (`interrupted`). */
  | { type: 'cancel', error: JobError }
  /** The time of the last `timer` effect has come. */
  | { type: 'tick' }

type WithoutEnvelope<T> = T extends unknown ? Omit<T, 'job' | 'at'> : never

/** What the machine reports to the user; the interpreter adds the job and the time. */
export type JobNews = WithoutEnvelope<Extract<JobEvent, { type: 'worker' | 'block' | 'state' | 'plan' }>>

export type Effect =
  /** Ask the splitter for the next batch. Answered by `split` or `split-ended`. */
  | { type: 'pull' }
  | { type: 'dispatch', worker: string, orders: AttemptRef[] }
  | { type: 'cancel', worker: string, attempts: AttemptRef[] }
  /** The worker is of no more use to this job. */
  | { type: 'release', worker: string, reason: string }
  /**
   * The worker was caught with a wrong result: the other jobs of this process are told, and later ones leave it out. What is kept is who,
   * why and when, in memory; the wrong result itself is discarded.
   */
  | { type: 'ban', worker: string, block: number, attempt: number, reason: string }
  /** A worker is cut off, tried, or trusted with blocks again; what it says may be kept for later jobs (`Breakers.set`). */
  | { type: 'breaker' } & BreakerRecord
  /** Make results durable in the block store. Each answered by `stored`. */
  | { type: 'store', results: AttemptRef[] }
  /** The always-on check. Each answered by `inspected` or `unsound`. */
  | { type: 'inspect', results: AttemptRef[] }
  /** The full comparison. Each answered by `checked`. */
  | { type: 'check', results: AttemptRef[] }
  /** Write entries. Each answered by `committed` once durable. */
  | { type: 'journal', results: AttemptRef[] }
  /** Results that are not or no longer wanted: their bytes, and their entries if they have any, go. */
  | { type: 'discard', results: AttemptRef[] }
  /** Append these results to the output. Answered by `merged`. */
  | { type: 'merge', epoch: number, results: AttemptRef[] }
  /** Start the output again from nothing, under the conversion as it is now; `epoch` numbers the new run. Answered by `merge-reset`. */
  | { type: 'reset-merge', epoch: number }
  /** End the output and check the whole. Answered by `finished`. */
  | { type: 'finish', blocks: number }
  /** Answered by `renamed` or `rename-failed`: nothing else may end the job any more. */
  | { type: 'rename' }
  /** Remove what there is of the output. Answered by `aborted`. */
  | { type: 'abort' }
  /** Send `tick` at this time; replaces the last one. undefined: no time matters. */
  | { type: 'timer', at: number | undefined }
  | { type: 'news', news: JobNews }
  /** The last effect of a job. */
  | { type: 'end', state: 'done' | 'failed' | 'cancelled', error?: JobError }

/** What the machine counted, for the report. */
export interface JobCounts {
  blocks: number
  /** No block follows: `blocks` is final. */
  known: boolean
  done: number
  bytesDone: number
  bytesKnown: number
  merged: number
  local: number
  remote: number
  /** Orders for a block that had one under the same schema before. */
  redispatched: number
  /** Blocks that had been given to a worker under a schema that was widened since, added up over all changes. */
  redone: number
  /** Orders for a block while somebody else had it, not in `redispatched`, and their input bytes: the most that was converted twice for it. */
  hedged: number
  hedgedBytes: number
  /** Blocks taken back from a worker that had not begun them. */
  stolen: number
  /** Good results of blocks that had one, and their input bytes: what was converted twice for certain. */
  duplicates: number
  duplicateBytes: number
  /** Changes of the schema. */
  epochs: number
  rejected: number
  checked: number
  greatestDistance: number
  units: number
  workersLive: number
  whole: boolean
  workers: Array<{
    id: string, blocks: number, wallMs: number, failed: number, lost?: string, asked?: Asked
    /** Why the failure detector doubts it. */
    suspect?: string
    /** Absent while it is closed. `untilMs`: when one block is tried, on the clock of `now`. */
    breaker?: { state: BreakerState, cause?: BreakerCause, untilMs: number }
  }>
  /** Milliseconds from an order to its result, a bounded even sample. */
  roundTrips: readonly number[]
  /** The same until the result's entry is durable. */
  durableTrips: readonly number[]
}

export interface JobMachine {
  /** Takes facts in order; gives the orders that follow, in order. Never throws for what a peer does. */
  step: (events: JobEventIn[], now: number, random: () => number) => Effect[]
  counts: () => JobCounts
  /** The worker an attempt was given to; undefined if there was no such attempt. */
  ownerOf: (block: number, attempt: number) => string | undefined
  /** Why workers get nothing, and why the job waits, as of the last step. */
  explain: (now: number) => Explanation
  /** Who has which block, since when, and what moved lately; at most `limit` blocks. */
  view: (now: number, limit: number) => MachineView
  readonly state: 'running' | 'merging' | 'done' | 'failed' | 'cancelled'
}
