/** What goes into the worker's lease machine and what comes out of it. */
import type {
  AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RequesterMessage, ResultRef, Slots, WorkerMessage
} from './lease-model.ts'

export type WorkerEvent<O extends OrderRef, R extends ResultRef, F extends OfferRef> =
  /** The requester said something on the lease stream of that generation (of a `request`, its own). */
  | { type: 'message', generation: Generation, message: RequesterMessage<O, F> }
  /** A task stream brought an order. Answered by `start` or `refuse-task`. */
  | { type: 'task-order', generation: Generation, order: O }
  /** Orders of the lease ended. Results of a generation that is over are dropped. */
  | { type: 'finished', generation: Generation, results: R[] }
  /** A task stream ended, however it did. */
  | { type: 'task-finished', generation: Generation, attempt: AttemptRef }
  /** An order is at work; until then it waits for an engine, and going back costs nothing. */
  | { type: 'begun', generation: Generation, attempt: AttemptRef }
  /** The lease stream closed, or the failure detector gave up. */
  | { type: 'lost', generation: Generation }
  /** This requester's share of the executor changed; `why`, in words, if it is less than all. No slots at all: what has not begun goes back. */
  | { type: 'slots', slots: Slots, why?: string }
  /** Take no new orders; hand back what has not begun; finish what runs. */
  | { type: 'drain' }
  /** Hand back what runs, too: the drain's deadline passed, or engines are stopped for long. */
  | { type: 'hand-back', refusal: Refusal }
  /** Take orders again, after `drain`. */
  | { type: 'resume' }

export type WorkerEffect<O extends OrderRef, R extends ResultRef, F extends OfferRef> =
  | { type: 'send', generation: Generation, message: WorkerMessage<R> }
  /** Run these orders and report each with `finished` (or serve the task stream and report `task-finished`). */
  | { type: 'start', generation: Generation, offer: F, pool: Pool, orders: O[] }
  | ({ type: 'refuse-task', order: O } & Refusal)
  /** Stop working on it; on a task stream also reset it. */
  | { type: 'abort', generation: Generation, attempt: AttemptRef, task: boolean }
  /** Stop working on it and answer it with this refusal (through `finished`, or on its task stream), unless its result is there already. */
  | { type: 'hand-back', generation: Generation, attempt: AttemptRef, task: boolean, refusal: Refusal }
  /** Its lease is over while it is at work: its requester may come back for it. Never answered under this generation. */
  | { type: 'orphan', generation: Generation, attempt: AttemptRef, task: boolean }
  /** Good results that nobody acknowledged, of a lease that is over: to be kept for the same requester. */
  | { type: 'undelivered', generation: Generation, results: R[] }
  /** The lease of this generation is over; close its stream. */
  | { type: 'close', generation: Generation, reason: string }
  /** A control message of an older generation was refused. */
  | { type: 'stale', generation: Generation, message: string }
  /** The peer broke the protocol; the service ends the lease. */
  | { type: 'violation', generation: Generation, message: string }
  /** Nothing runs and nothing is unacknowledged any more, after `drain`. */
  | { type: 'drained' }

/** What the service says about an offer: where it runs, or why not. Must be deterministic. */
export type OfferVerdict = { ok: true, pool: Pool } | ({ ok: false } & Refusal)

export interface WorkerView {
  /** The newest generation seen; undefined before the first. */
  generation: Generation | undefined
  /** A lease of that generation is open. */
  open: boolean
  slots: Slots
  /** Orders running, queued in the executor, or being cancelled. */
  active: Array<AttemptRef & { generation: Generation }>
  /** Results sent and not acknowledged. */
  unacked: number
  /** Results that wait for the byte window. */
  held: number
  offers: number[]
  draining: boolean
}

export interface LeaseWorkerInit<O extends OrderRef, R extends ResultRef, F extends OfferRef> {
  slots: Slots
  /** Makes the result that answers an order the machine refuses. */
  refusal: (order: O, refusal: Refusal) => R
  /** @default every offer runs in the process pool */
  judge?: (offer: F) => OfferVerdict
  /** Asked before an order is taken: why there is no room for it. Of everything else the order could be refused for, nothing is left then. @default always room */
  admit?: (order: O, offer: F) => Refusal | undefined
  /** Milliseconds after which a refused requester should ask again. @default RETRY_AFTER_MS */
  retryAfterMs?: () => number
  /** What is at work, or unacknowledged, when a lease ends is worth keeping: `orphan` and `undelivered` instead of `abort` and oblivion. @default false */
  keeps?: boolean
  windowBytes?: number
  faults?: ReadonlySet<LeaseFault>
}

export interface LeaseWorker<O extends OrderRef, R extends ResultRef, F extends OfferRef> {
  step: (event: WorkerEvent<O, R, F>, now: number) => Array<WorkerEffect<O, R, F>>
  inspect: () => WorkerView
}
