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
