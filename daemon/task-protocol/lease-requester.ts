/**
 * The requester's half of a lease, as a pure machine: which orders may leave, which are outstanding, what each outcome
 * gives back. No I/O, no timers; `now` is monotonic milliseconds.
 *
 * Every order accepted by `orders` ends in exactly one of: an entry of an `outcomes` effect, an entry of a `failed`
 * effect, or being covered by a `lost` effect. A credit is taken when an order leaves and comes back exactly once.
 */
import { CANCEL_ANSWER_MS, CANCEL_MAX, LEASE_WINDOW_BYTES, OFFERS_MAX, QUEUED_ORDERS_MAX } from './constants.ts'
import { attemptKey, boundedSlots, compareGenerations } from './lease-model.ts'
import { byOffer, markResumed, newOfferState, ordersOf, readyOffers, takeOverdue, type OfferState, type Outstanding } from './offer-state.ts'
import { batches } from './order-queue.ts'
import { TaskLimit } from './task-limit.ts'
import type { AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RequesterMessage, ResultRef, Slots, WorkerMessage } from './lease-model.ts'
import type { LeaseRequester, LeaseRequesterInit, RequesterEffect, RequesterEvent, RequesterView } from './lease-requester-events.ts'

export function createLeaseRequester<O extends OrderRef, R extends ResultRef, F extends OfferRef = OfferRef> (init: LeaseRequesterInit = {}): LeaseRequesterMachine<O, R, F> {
  return new LeaseRequesterMachine<O, R, F>(init)
}

const ZERO: Readonly<Slots> = { process: 0, inline: 0 }

export class LeaseRequesterMachine<O extends OrderRef, R extends ResultRef, F extends OfferRef> implements LeaseRequester<O, R, F> {
  private readonly faults: ReadonlySet<LeaseFault>
  private readonly windowBytes: number
  private generation: Generation | undefined
  private state: RequesterView['state'] = 'idle'
  private slots: Slots = { ...ZERO }
  private draining = false
  private readonly used: Slots = { ...ZERO }
  private bytes = 0
  private readonly offers = new Map<number, OfferState<O, F>>()
  /** Offer that sent last: the next fill starts behind it, so that jobs take turns. */
  private turn = 0
  private sequence = 0
  private cancelling = 0
  /** Attempts with a task stream, and attempts that need one and wait. Both hold their credit. */
  private readonly tasks = new TaskLimit<O>()
  private effects: Array<RequesterEffect<O, R, F>> = []

  constructor (init: LeaseRequesterInit) {
    this.faults = init.faults ?? new Set()
    this.windowBytes = init.windowBytes ?? LEASE_WINDOW_BYTES
  }

  step (event: RequesterEvent<O, R, F>, now: number): Array<RequesterEffect<O, R, F>> {
    this.effects = []
    switch (event.type) {
      case 'open': this.open(event.generation); break
      case 'message': this.message(event.generation, event.message); break
      case 'offer': this.addOffer(event.offer); break
      case 'withdraw': this.withdraw(event.offer, now); break
      case 'orders': this.addOrders(event.offer, event.orders); break
      case 'cancel': this.cancel(event.attempts, now); break
      case 'task-settled': this.taskSettled(event.generation, event.result); break
      case 'lost': this.lost(event.generation, event.reason); break
      case 'tick': this.tick(now); break
    }
    return this.effects
  }

  /** The order of an attempt that left and is not settled. */
  outstanding ({ offer, block, attempt }: AttemptRef): O | undefined {
    return this.offers.get(offer)?.outstanding.get(attemptKey(block, attempt))?.order
  }

  /** Whether the offer is on the lease, or was withdrawn and still has attempts to settle. */
  has (offer: number): boolean {
    return this.offers.has(offer)
  }

  inspect (): RequesterView {
    return {
      generation: this.generation,
      state: this.state,
      slots: { ...this.slots },
      credits: { process: this.slots.process - this.used.process, inline: this.slots.inline - this.used.inline },
      ...ordersOf(this.offers.values()),
      offers: [...this.offers.keys()],
      bytes: this.bytes
    }
  }

  private open (generation: Generation): void {
    if (this.generation != null && compareGenerations(generation, this.generation) <= 0) {
      this.effects.push({ type: 'violation', message: 'the own generation does not rise' })
      return
    }
    if (this.state === 'asked' || this.state === 'granted') this.end('superseded by a newer lease')
    this.generation = generation
    this.state = 'asked'
    this.sequence = 0
    this.send({ type: 'request', generation })
  }

  private message (generation: Generation, message: WorkerMessage<R>): void {
    const age = this.generation == null ? -1 : compareGenerations(generation, this.generation)
    if (age !== 0 || this.state === 'lost' || this.state === 'refused') {
      // a result stays a result under any generation; the job machine decides whether it still wants it
      if (message.type === 'results') for (const result of message.results) this.effects.push({ type: 'late', generation, result })
      else if (!this.faults.has('stale-generation-obeyed')) this.effects.push({ type: 'stale', generation, message: message.type })
      if (message.type === 'results' || !this.faults.has('stale-generation-obeyed')) return
    }
    switch (message.type) {
      case 'grant': this.granted(message.slots); break
      case 'refuse': this.refused(message); break
      case 'accept-offer': this.offerAccepted(message.offer, message.pool); break
      case 'refuse-offer': this.offerRefused(message); break
      case 'results': this.results(message.sequence, message.results); break
      case 'slots': this.setSlots(message.slots, message.draining); break
    }
  }

  private granted (slots: Slots): void {
    if (this.state === 'granted') {
      this.effects.push({ type: 'violation', message: 'a second grant on one lease' })
      return
    }
    this.state = 'granted'
    this.slots = boundedSlots(slots)
    this.effects.push({ type: 'granted', slots: { ...this.slots } })
    for (const { offer } of this.offers.values()) this.send({ type: 'offer', offer })
  }

  private refused (refusal: Refusal): void {
    if (this.state === 'granted') {
      this.end(`ended by the worker: ${refusal.message}`)
      return
    }
    this.state = 'refused'
    for (const state of this.offers.values()) this.failWaiting(state, 'the lease was refused')
    this.offers.clear()
    this.effects.push({ type: 'refused', reason: refusal.reason, message: refusal.message, retryAfterMs: refusal.retryAfterMs })
  }

  private setSlots (slots: Slots, draining: boolean): void {
    this.slots = boundedSlots(slots)
    if (this.draining && !draining) markResumed(this.offers.values())
    this.draining = draining && !this.faults.has('drain-keeps-queue')
    for (const state of this.offers.values()) this.tellSlots(state)
    if (this.draining) this.returnWaiting()
    this.fill()
  }

  private tellSlots (state?: OfferState<O, F>): void {
    if (state?.pool != null && !state.withdrawn) this.effects.push({ type: 'slots', offer: state.offer.offer, slots: this.slots[state.pool] })
  }

  /** What has not left goes back to its jobs: nobody knows when the worker takes orders again. */
  private returnWaiting (): void {
    const message = 'the worker takes no new work'
    for (const [offer, orders] of byOffer(this.tasks.dropAll())) {
      const state = this.offers.get(offer)!
      for (const { block, attempt } of orders) this.drop(state, state.outstanding.get(attemptKey(block, attempt))!)
      this.effects.push({ type: 'failed', offer, orders, reason: 'draining', message })
    }
    for (const state of this.offers.values()) this.failWaiting(state, message, 'draining')
  }

  private addOffer (offer: F): void {
    if (this.offers.has(offer.offer) || this.offers.size >= OFFERS_MAX) {
      this.effects.push({ type: 'offer-refused', offer: offer.offer, reason: 'busy', message: `a lease carries at most ${OFFERS_MAX} jobs, each under its own number`, retryAfterMs: 0 })
      return
    }
    this.offers.set(offer.offer, newOfferState<O, F>(offer))
    if (this.state === 'granted') this.send({ type: 'offer', offer })
  }

  private offerAccepted (number: number, pool: Pool): void {
    const state = this.offers.get(number)
    if (state == null || state.withdrawn) return // withdrawn before the answer came
    if (state.pool != null) {
      this.effects.push({ type: 'violation', message: 'an offer was accepted twice' })
      return
    }
    state.pool = pool
    this.effects.push({ type: 'offer-accepted', offer: number, pool, slots: this.slots[pool] })
    this.fill()
  }

  private offerRefused ({ offer: number, reason, message, retryAfterMs }: { offer: number } & Refusal): void {
    const state = this.offers.get(number)
    if (state == null) return // withdrawn before the answer came
    if (state.pool != null) {
      // its orders are under way: taking it off the books here would lose them and their credits
      this.effects.push({ type: 'violation', message: 'an offer was refused after it was accepted' })
      return
    }
    this.offers.delete(number)
    this.failWaiting(state, 'the offer was refused')
    this.effects.push({ type: 'offer-refused', offer: number, reason, message, retryAfterMs })
  }

  /** Orders that have not left and will not. */
  private failWaiting (state: OfferState<O, F>, message: string, reason: 'busy' | 'draining' = 'busy'): void {
    const orders = state.queue.takeAll()
    if (orders.length > 0) this.effects.push({ type: 'failed', offer: state.offer.offer, orders, reason, message })
  }

  private withdraw (number: number, now: number): void {
    const state = this.offers.get(number)
    if (state == null || state.withdrawn) return
    state.queue.clear()
    state.withdrawn = true
    const running: AttemptRef[] = []
    for (const entry of state.outstanding.values()) {
      entry.told = true
      if (entry.cancelledAt < 0) running.push(entry.order)
    }
    this.cancel(running, now)
    this.forget(state)
  }

  /** A withdrawn offer is kept until its last attempt is settled, because credits hang on it. */
  private forget (state: OfferState<O, F>): void {
    if (!state.withdrawn || state.outstanding.size > 0) return
    this.offers.delete(state.offer.offer)
    if (this.state === 'granted') this.send({ type: 'withdraw', offer: state.offer.offer })
  }

  private addOrders (number: number, orders: O[]): void {
    const state = this.offers.get(number)
    if (state == null || state.withdrawn) {
      this.effects.push({ type: 'failed', offer: number, orders, reason: 'protocol', message: 'no such offer on this lease' })
      return
    }
    const room = QUEUED_ORDERS_MAX - state.queue.length
    for (let i = 0; i < orders.length && i < room; i++) state.queue.push(orders[i]!)
    if (orders.length > room) {
      this.effects.push({ type: 'failed', offer: number, orders: orders.slice(room), reason: 'busy', message: `${QUEUED_ORDERS_MAX} orders of this job wait already` })
    }
    if (this.draining) this.returnWaiting()
    this.fill()
  }

  /** Sends what credits and the byte window allow, one order per job in turn. */
  private fill (): void {
    if (this.state !== 'granted') return
    const ready = readyOffers(this.offers.values(), this.turn)
    let at = 0
    const small: O[] = []
    while (ready.length > 0) {
      at %= ready.length
      const state = ready[at]!
      const order = state.queue.first()!
      const pool = state.pool!
      if (this.used[pool] >= this.slots[pool] || (order.large && this.tasks.full) || (order.weight > 0 && this.bytes > 0 && this.bytes + order.weight > this.windowBytes)) {
        ready.splice(at, 1)
        continue
      }
      state.queue.shift()
      this.used[pool]++
      this.turn = state.offer.offer
      state.outstanding.set(attemptKey(order.block, order.attempt), { order, task: order.large, cancelledAt: -1, told: false })
      if (order.large) {
        this.openTask(order)
      } else {
        this.bytes += order.weight
        small.push(order)
      }
      if (state.queue.length === 0) ready.splice(at, 1)
      else at++
    }
    for (const batch of batches(small)) this.send({ type: 'orders', orders: batch })
  }

  private results (sequence: number, results: R[]): void {
    if (sequence !== this.sequence + 1) {
      this.effects.push({ type: 'violation', message: `results ${sequence} after ${this.sequence}` })
      return
    }
    this.sequence = sequence
    // acknowledged before new orders leave, so that the worker never sees more unacknowledged results than there are slots
    this.send({ type: 'ack', sequence })
    const told = results.filter(result => this.settle(result, false))
    for (const [offer, outcomes] of byOffer(told)) this.effects.push({ type: 'outcomes', offer, results: outcomes })
    this.fill()
  }

  private taskSettled (generation: Generation, result: R): void {
    if (this.generation == null || compareGenerations(generation, this.generation) !== 0 || this.state !== 'granted') {
      this.effects.push({ type: 'late', generation, result })
      return
    }
    const state = this.offers.get(result.offer)
    const resumed = state?.outstanding.get(attemptKey(result.block, result.attempt))?.resumed === true
    if (this.settle(result, true)) this.effects.push({ type: 'outcomes', offer: result.offer, results: [result] })
    // streams overtake one another: the job must not take this for the newest word
    if (resumed && result.reason === 'draining' && !this.draining) this.tellSlots(state)
    this.fill()
  }

  /** Takes an attempt off the books; true if its job is to be told of this result. */
  private settle (result: R, task: boolean): boolean {
    const state = this.offers.get(result.offer)
    const key = attemptKey(result.block, result.attempt)
    const entry = state?.outstanding.get(key)
    if (state == null || entry == null || entry.task !== task) {
      this.effects.push({ type: 'late', generation: this.generation!, result })
      return false
    }
    if (!result.ok && result.reason === 'needs-stream' && !task && entry.cancelledAt < 0) {
      this.bytes -= entry.order.weight
      entry.task = true
      entry.order.large = true
      this.openTask(entry.order)
      return false
    }
    state.outstanding.delete(key)
    if (entry.task) this.taskEnded()
    else this.bytes -= entry.order.weight
    if (entry.cancelledAt >= 0) this.cancelling--
    if (result.ok || !this.faults.has('credit-leak')) this.used[state.pool!]--
    if (entry.told) {
      this.forget(state)
      if (result.ok) this.effects.push({ type: 'untold', result })
      return false
    }
    return true
  }

  private openTask (order: O): void {
    if (this.tasks.take(order)) this.effects.push({ type: 'open-task', generation: this.generation!, order })
  }

  private taskEnded (): void {
    const order = this.tasks.release()
    if (order != null) this.effects.push({ type: 'open-task', generation: this.generation!, order })
  }

  private cancel (attempts: AttemptRef[], now: number): void {
    const wire: AttemptRef[] = []
    const dropped: O[] = []
    for (const { offer, block, attempt } of attempts) {
      const state = this.offers.get(offer)
      if (state == null) continue
      const entry = state.outstanding.get(attemptKey(block, attempt))
      if (entry != null) {
        if (entry.cancelledAt >= 0) continue
        if (this.dropWaitingTask(state, entry)) continue
        entry.cancelledAt = now
        this.cancelling++
        if (this.faults.has('lost-cancel')) continue
        if (entry.task) this.effects.push({ type: 'reset-task', generation: this.generation!, attempt: { offer, block, attempt } })
        else wire.push({ offer, block, attempt })
        continue
      }
      const waiting = state.queue.remove(block, attempt)
      if (waiting != null) dropped.push(waiting) // otherwise settled: its outcome is on the way or was told
    }
    for (let at = 0; at < wire.length; at += CANCEL_MAX) this.send({ type: 'cancel', attempts: wire.slice(at, at + CANCEL_MAX) })
    for (const [offer, orders] of byOffer(dropped)) this.effects.push({ type: 'failed', offer, orders, reason: 'cancelled', message: 'cancelled before it was sent' })
  }

  /** An attempt whose task stream was never opened ends here and now. */
  private dropWaitingTask (state: OfferState<O, F>, entry: Outstanding<O>): boolean {
    if (!this.tasks.drop(entry.order)) return false
    const order = this.drop(state, entry)
    if (!entry.told) this.effects.push({ type: 'failed', offer: order.offer, orders: [order], reason: 'cancelled', message: 'cancelled before its stream was opened' })
    return true
  }

  /** Takes an attempt off the books that never left. */
  private drop (state: OfferState<O, F>, { order, cancelledAt }: Outstanding<O>): O {
    state.outstanding.delete(attemptKey(order.block, order.attempt))
    this.used[state.pool!]--
    if (cancelledAt >= 0) this.cancelling--
    return order
  }

  private tick (now: number): void {
    if (this.cancelling === 0) return
    for (const [number, state] of this.offers) {
      const overdue = takeOverdue(state.outstanding.values(), now)
      if (overdue.length > 0) this.effects.push({ type: 'failed', offer: number, orders: overdue, reason: 'cancelled', message: `the worker did not confirm within ${CANCEL_ANSWER_MS} ms` })
    }
  }

  private lost (generation: Generation, reason: string): void {
    if (this.generation != null && compareGenerations(generation, this.generation) === 0 && (this.state === 'asked' || this.state === 'granted')) this.end(reason)
  }

  private end (reason: string): void {
    const offers = [...this.offers.values()].filter(({ withdrawn }) => !withdrawn).map(({ offer }) => offer.offer)
    this.offers.clear()
    Object.assign(this.used, ZERO)
    this.bytes = 0
    this.cancelling = 0
    this.tasks.clear()
    this.slots = { ...ZERO }
    this.draining = false
    this.state = 'lost'
    this.effects.push({ type: 'lost', reason, offers })
  }

  private send (message: RequesterMessage<O, F>): void {
    this.effects.push({ type: 'send', generation: this.generation!, message })
  }
}
