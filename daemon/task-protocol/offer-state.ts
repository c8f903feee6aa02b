/** One job on a lease, as the requester's machine keeps it: what waits, what left. */
import { CANCEL_ANSWER_MS } from './constants.ts'
import type { AttemptRef, OfferRef, OrderRef, Pool } from './lease-model.ts'
import { OrderQueue } from './order-queue.ts'

export interface Outstanding<O> {
  order: O
  task: boolean
  /** When it was cancelled; -1 = it was not. */
  cancelledAt: number
  /** The job was already told. */
  told: boolean
  /** On a task stream while the worker began to take work again: a `draining` of before that may still come. */
  resumed?: boolean
}

export interface OfferState<O extends OrderRef, F> {
  offer: F
  /** Present once the worker accepted it. */
  pool: Pool | undefined
  queue: OrderQueue<O>
  /** By attempt key. */
  outstanding: Map<number, Outstanding<O>>
  withdrawn: boolean
}

export function newOfferState<O extends OrderRef, F extends OfferRef> (offer: F): OfferState<O, F> {
  return { offer, pool: undefined, queue: new OrderQueue<O>(), outstanding: new Map(), withdrawn: false }
}

/** Orders whose cancel the worker should have confirmed by now; from here on the job counts as told. Their credits stay taken: the worker has not said that they are free. */
export function takeOverdue<O extends OrderRef> (outstanding: Iterable<Outstanding<O>>, now: number): O[] {
  const overdue: O[] = []
  for (const entry of outstanding) {
    if (entry.cancelledAt < 0 || entry.told || now - entry.cancelledAt < CANCEL_ANSWER_MS) continue
    entry.told = true
    overdue.push(entry.order)
  }
  return overdue
}

/** Offers with orders that could leave, those behind `turn` first, so that jobs take turns. */
export function readyOffers<O extends OrderRef, F extends OfferRef> (offers: Iterable<OfferState<O, F>>, turn: number): Array<OfferState<O, F>> {
  const ready: Array<OfferState<O, F>> = []
  for (const state of offers) if (state.pool != null && state.queue.length > 0) ready.push(state)
  const at = ready.findIndex(state => state.offer.offer > turn)
  return at > 0 ? [...ready.slice(at), ...ready.slice(0, at)] : ready
}

/** By job, each in order of arrival. */
export function byOffer<T extends AttemptRef> (items: T[]): Map<number, T[]> {
  const jobs = new Map<number, T[]>()
  for (const item of items) {
    const job = jobs.get(item.offer)
    if (job == null) jobs.set(item.offer, [item])
    else job.push(item)
  }
  return jobs
}

/** The worker begins to take work again: what task streams of before say may be older than that. */
export function markResumed<O extends OrderRef, F> (offers: Iterable<OfferState<O, F>>): void {
  for (const { outstanding } of offers) for (const entry of outstanding.values()) if (entry.task) entry.resumed = true
}

/** For a look into the machine. */
export function ordersOf<O extends OrderRef, F> (offers: Iterable<OfferState<O, F>>): { outstanding: AttemptRef[], queued: number } {
  const outstanding: AttemptRef[] = []
  let queued = 0
  for (const offer of offers) {
    queued += offer.queue.length
    for (const { order } of offer.outstanding.values()) outstanding.push({ offer: order.offer, block: order.block, attempt: order.attempt })
  }
  return { outstanding, queued }
}
