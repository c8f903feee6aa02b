/**
 * What both lease machines speak of: generations, orders, results, the messages between them. The machines are generic
 * in what an order and a result carry: the service puts bytes there, the simulator whatever it likes.
 */
import { SLOTS_MAX } from './constants.ts'

/** (incarnation, counter): the incarnation is durable before the first grant, the counter counts leases within it. */
export interface Generation {
  incarnation: number
  counter: number
}

/** Negative if `a` is older than `b`, 0 if equal, positive if newer. */
export function compareGenerations (a: Generation, b: Generation): number {
  return a.incarnation !== b.incarnation ? a.incarnation - b.incarnation : a.counter - b.counter
}

/** One attempt at one block of one job; `offer` is the job's number on the lease. */
export interface AttemptRef {
  offer: number
  block: number
  attempt: number
}

/** An order as the machines see it. */
export interface OrderRef extends AttemptRef {
  /** Bytes it adds to the lease stream; orders with a stream of their own add none. */
  weight: number
  /** Needs a task stream. A worker's answer `needs-stream` sets it. */
  large: boolean
}

/** A result as the machines see it. */
export interface ResultRef extends AttemptRef {
  ok: boolean
  /** Present when not ok; `needs-stream` makes the requester send the order again on a task stream. */
  reason?: string
  /** Bytes it adds to the lease stream. */
  weight: number
}

/** Where an offer's blocks run at the worker; each place has credits of its own. */
export type Pool = 'process' | 'inline'

/** Credits per place. */
export type Slots = Record<Pool, number>

export type RefusalReason = 'busy' | 'draining' | 'policy' | 'unsupported' | 'expired' | 'protocol'

export interface Refusal {
  reason: RefusalReason
  message: string
  /** Milliseconds after which asking again makes sense; 0 = no hint. */
  retryAfterMs: number
}

/** What an offer says that the machines need; the service's offers carry more. */
export interface OfferRef {
  /** Number on this lease, never reused within it. */
  offer: number
  /** UTC milliseconds; 0 = none. */
  deadline: number
}

/** From requester to worker on the lease stream. */
export type RequesterMessage<O extends OrderRef, F extends OfferRef> =
  | { type: 'request', generation: Generation }
  | { type: 'offer', offer: F }
  | { type: 'withdraw', offer: number }
  | { type: 'orders', orders: O[] }
  | { type: 'cancel', attempts: AttemptRef[] }
  | { type: 'ack', sequence: number }

/** From worker to requester on the lease stream. */
export type WorkerMessage<R extends ResultRef> =
  | { type: 'grant', generation: Generation, slots: Slots }
  | ({ type: 'refuse' } & Refusal)
  | { type: 'accept-offer', offer: number, pool: Pool }
  | ({ type: 'refuse-offer', offer: number } & Refusal)
  | { type: 'results', sequence: number, results: R[] }
  | { type: 'slots', slots: Slots, draining: boolean }

/** Faults planted by the simulator to prove that it finds them. Never set elsewhere. */
export type LeaseFault =
  | 'stale-generation-obeyed' | 'credit-leak' | 'lost-cancel'
  /** A draining worker still starts orders. */
  | 'drain-takes-new'
  /** An order that is handed back is never answered. */
  | 'handback-lost'
  /** Taking work again is not told to the requester. */
  | 'resume-forgotten'
  /** What an older lease's orders became is answered on the newer lease, under attempts nobody ordered there. */
  | 'orphan-delivered'
  /** The requester keeps what waits for credits although the worker drains. */
  | 'drain-keeps-queue'

/** An attempt's key within its offer: exact, because block < 2^32 and attempt < 2^16. */
export function attemptKey (block: number, attempt: number): number {
  return block * 65536 + attempt
}

/** What a worker claims, within what is believed. */
export function boundedSlots (slots: Slots): Slots {
  return { process: Math.min(slots.process, SLOTS_MAX), inline: Math.min(slots.inline, SLOTS_MAX) }
}
