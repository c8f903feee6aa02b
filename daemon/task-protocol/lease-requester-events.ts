/** What goes into the requester's lease machine and what comes out of it. */
import type {
  AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RequesterMessage, ResultRef, Slots, WorkerMessage
} from './lease-model.ts'

export type RequesterEvent<O extends OrderRef, R extends ResultRef, F extends OfferRef> =
  /** A lease stream is open: ask for a lease. The generation must be newer than any before. */
  | { type: 'open', generation: Generation }
  /** The worker said something on the stream of that generation. */
  | { type: 'message', generation: Generation, message: WorkerMessage<R> }
  /** A job joins the lease. */
  | { type: 'offer', offer: F }
  /** A job leaves: what waits is dropped silently, what runs is cancelled, nothing more is told to it. */
  | { type: 'withdraw', offer: number }
  | { type: 'orders', offer: number, orders: O[] }
  | { type: 'cancel', attempts: AttemptRef[] }
  /** A task stream ended with a result (or a failure the service made one of). */
  | { type: 'task-settled', generation: Generation, result: R }
  /** The connection closed or the failure detector gave up. */
  | { type: 'lost', generation: Generation, reason: string }
  /** Looks for cancels that were never confirmed; the service sends it with every beat. */
  | { type: 'tick' }

export type RequesterEffect<O extends OrderRef, R extends ResultRef, F extends OfferRef> =
  | { type: 'send', generation: Generation, message: RequesterMessage<O, F> }
  /** Open a task stream for the order and report back with `task-settled`. */
  | { type: 'open-task', generation: Generation, order: O }
  | { type: 'reset-task', generation: Generation, attempt: AttemptRef }
  | { type: 'granted', slots: Slots }
  /** The worker refused the lease; nothing more comes. */
  | ({ type: 'refused' } & Refusal)
  | { type: 'offer-accepted', offer: number, pool: Pool, slots: number }
  | ({ type: 'offer-refused', offer: number } & Refusal)
  /** Results for the job, in order of arrival. */
  | { type: 'outcomes', offer: number, results: R[] }
  /** Orders that end without a word of the worker's. */
  | { type: 'failed', offer: number, orders: O[], reason: 'busy' | 'cancelled' | 'draining' | 'protocol', message: string }
  /** A result for an attempt that is no longer ours to wait for: the job machine may still use it. */
  | { type: 'late', generation: Generation, result: R }
  /** A good result of an attempt whose job left, or was told already that it is over: whatever it holds can go. */
  | { type: 'untold', result: R }
  | { type: 'slots', offer: number, slots: number }
  /** The lease is gone, and with it every order of these offers. */
  | { type: 'lost', reason: string, offers: number[] }
  /** The peer broke the protocol; the service ends the lease. */
  | { type: 'violation', message: string }
  /** A message of an older generation was ignored. */
  | { type: 'stale', generation: Generation, message: string }

export interface RequesterView {
  generation: Generation | undefined
  state: 'idle' | 'asked' | 'granted' | 'refused' | 'lost'
  slots: Slots
  /** slots − in flight, per pool; never above `slots` and below 0 only just after the worker lowered its slots. */
  credits: Slots
  /** Orders that left and are not settled, cancelled ones included. */
  outstanding: AttemptRef[]
  /** Orders waiting for credits. */
  queued: number
  offers: number[]
  /** Inline bytes in flight. */
  bytes: number
}

export interface LeaseRequesterInit {
  faults?: ReadonlySet<LeaseFault>
  windowBytes?: number
}

export interface LeaseRequester<O extends OrderRef, R extends ResultRef, F extends OfferRef> {
  step: (event: RequesterEvent<O, R, F>, now: number) => Array<RequesterEffect<O, R, F>>
  inspect: () => RequesterView
}
