/**
 * The worker's half of the leases with one requester, as a pure machine: which generation is obeyed, which orders run,
 * what is refused and why, which results wait for their acknowledgement. No I/O, no timers; `now` is UTC milliseconds
 * (it is compared with deadlines).
 *
 * An order started by a `start` effect is answered by exactly one result, unless its lease ended first. It counts against
 * the slots while it runs (on a task stream: until the stream ended), and its result against an equal number of results
 * that may wait to be acknowledged: streams overtake one another, so an order may come before the acknowledgement that
 * was sent before it.
 */
import { CLOCK_SKEW_MS } from '../trust/index.ts'
import { BATCH_MAX, LEASE_WINDOW_BYTES, OFFERS_MAX, RETRY_AFTER_MS } from './constants.ts'
import { attemptKey, compareGenerations } from './lease-model.ts'
import { ResultWindow } from './result-window.ts'
import type { AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RequesterMessage, ResultRef, Slots, WorkerMessage } from './lease-model.ts'
import type { LeaseWorker, LeaseWorkerInit, OfferVerdict, WorkerEffect, WorkerEvent, WorkerView } from './lease-worker-events.ts'

export function createLeaseWorker<O extends OrderRef, R extends ResultRef, F extends OfferRef = OfferRef> (init: LeaseWorkerInit<O, R, F>): LeaseWorkerMachine<O, R, F> {
  return new LeaseWorkerMachine<O, R, F>(init)
}

interface Active { ref: AttemptRef, pool: Pool, task: boolean, aborted: boolean }
interface OfferState<F> { offer: F, pool: Pool, active: Map<number, Active> }

/**
 * The deadline is by the requester's clock. An `expired` shuts this worker out of the whole job, while work for a requester whose
 * deadline did pass costs little (it withdraws by itself), so the clocks may differ by what records are allowed, too.
 */
function expired ({ deadline }: OfferRef, now: number): boolean {
  return deadline !== 0 && now > deadline + CLOCK_SKEW_MS
}

export class LeaseWorkerMachine<O extends OrderRef, R extends ResultRef, F extends OfferRef> implements LeaseWorker<O, R, F> {
  private readonly judge: (offer: F) => OfferVerdict
  private readonly refusal: (order: O, refusal: Refusal) => R
  private readonly results: ResultWindow<R>
  private readonly faults: ReadonlySet<LeaseFault>
  private slots: Slots
  private generation: Generation | undefined
  private opened = false
  private draining = false
  private drainTold = false
  private readonly offers = new Map<number, OfferState<F>>()
  private readonly running: Slots = { process: 0, inline: 0 }
  private effects: Array<WorkerEffect<O, R, F>> = []

  constructor (init: LeaseWorkerInit<O, R, F>) {
    this.slots = { ...init.slots }
    this.judge = init.judge ?? (() => ({ ok: true, pool: 'process' }))
    this.refusal = init.refusal
    this.results = new ResultWindow(init.windowBytes ?? LEASE_WINDOW_BYTES)
    this.faults = init.faults ?? new Set()
  }

  step (event: WorkerEvent<O, R, F>, now: number): Array<WorkerEffect<O, R, F>> {
    this.effects = []
    switch (event.type) {
      case 'message': this.message(event.generation, event.message, now); break
      case 'task-order': this.taskOrder(event.generation, event.order, now); break
      case 'finished': this.finished(event.generation, event.results); break
      case 'task-finished': this.taskFinished(event.generation, event.attempt); break
      case 'lost':
        if (this.isCurrent(event.generation)) this.end()
        break
      case 'slots':
        this.slots = { ...event.slots }
        if (this.opened && !this.draining) this.send({ type: 'slots', slots: { ...this.slots }, draining: false })
        break
      case 'drain':
        this.draining = true
        if (this.opened) this.send({ type: 'slots', slots: { process: 0, inline: 0 }, draining: true })
        break
    }
    if (this.draining && !this.drainTold && this.running.process + this.running.inline === 0 && this.results.empty) {
      this.drainTold = true
      this.effects.push({ type: 'drained' })
    }
    return this.effects
  }

  /** An accepted offer. */
  offered (offer: number): F | undefined {
    return this.offers.get(offer)?.offer
  }

  /** A lease is open. */
  get open (): boolean {
    return this.opened
  }

  /** Whether any generation was ever seen. */
  get known (): boolean {
    return this.generation != null
  }

  inspect (): WorkerView {
    const active: WorkerView['active'] = []
    for (const { active: entries } of this.offers.values()) {
      for (const { ref } of entries.values()) active.push({ offer: ref.offer, block: ref.block, attempt: ref.attempt, generation: this.generation! })
    }
    return {
      generation: this.generation,
      open: this.opened,
      slots: { ...this.slots },
      active,
      unacked: this.results.unacked,
      held: this.results.held,
      offers: [...this.offers.keys()],
      draining: this.draining
    }
  }

  private isCurrent (generation: Generation): boolean {
    return this.opened && this.generation != null && compareGenerations(generation, this.generation) === 0
  }

  private message (generation: Generation, message: RequesterMessage<O, F>, now: number): void {
    if (message.type === 'request') {
      this.request(message.generation)
      return
    }
    if (!this.isCurrent(generation) && !(this.faults.has('stale-generation-obeyed') && this.opened)) {
      this.effects.push({ type: 'stale', generation, message: message.type })
      return
    }
    switch (message.type) {
      case 'offer': this.offer(message.offer, now); break
      case 'withdraw': this.withdraw(message.offer); break
      case 'orders': this.orders(message.orders, now); break
      case 'cancel': for (const attempt of message.attempts) this.cancel(attempt); break
      case 'ack': this.ack(message.sequence); break
    }
  }

  private request (generation: Generation): void {
    const age = this.generation == null ? 1 : compareGenerations(generation, this.generation)
    if (age <= 0 && !(age < 0 && this.faults.has('stale-generation-obeyed'))) {
      this.effects.push({ type: 'stale', generation, message: 'request' })
      this.refuseLease(generation, { reason: 'protocol', message: 'a newer lease of yours was granted already', retryAfterMs: 0 })
      return
    }
    if (this.draining) {
      this.refuseLease(generation, { reason: 'draining', message: 'this node takes no new work', retryAfterMs: RETRY_AFTER_MS })
      return
    }
    const old = this.generation
    if (this.opened) {
      this.end()
      this.effects.push({ type: 'close', generation: old!, reason: 'superseded by a newer lease' })
    }
    this.generation = generation
    this.opened = true
    this.results.clear()
    this.send({ type: 'grant', generation, slots: { ...this.slots } })
  }

  private refuseLease (generation: Generation, refusal: Refusal): void {
    this.effects.push({ type: 'send', generation, message: { type: 'refuse', ...refusal } })
    this.effects.push({ type: 'close', generation, reason: refusal.message })
  }

  private offer (offer: F, now: number): void {
    if (this.offers.has(offer.offer)) {
      this.violation('an offer number was used twice')
      return
    }
    const refusal = this.offerRefusal(offer, now)
    if (refusal != null) {
      this.send({ type: 'refuse-offer', offer: offer.offer, ...refusal })
      return
    }
    const verdict = this.judge(offer)
    if (!verdict.ok) {
      this.send({ type: 'refuse-offer', offer: offer.offer, reason: verdict.reason, message: verdict.message, retryAfterMs: verdict.retryAfterMs })
      return
    }
    this.offers.set(offer.offer, { offer, pool: verdict.pool, active: new Map() })
    this.send({ type: 'accept-offer', offer: offer.offer, pool: verdict.pool })
  }

  private offerRefusal (offer: F, now: number): Refusal | undefined {
    if (this.draining) return { reason: 'draining', message: 'this node takes no new work', retryAfterMs: RETRY_AFTER_MS }
    if (this.offers.size >= OFFERS_MAX) return { reason: 'busy', message: `a lease carries at most ${OFFERS_MAX} jobs`, retryAfterMs: RETRY_AFTER_MS }
    if (expired(offer, now)) return { reason: 'expired', message: 'the deadline has passed', retryAfterMs: 0 }
    return undefined
  }

  private withdraw (number: number): void {
    const state = this.offers.get(number)
    if (state == null) return
    for (const entry of state.active.values()) {
      this.abort(entry)
      this.running[entry.pool]--
    }
    this.offers.delete(number)
  }

  private orders (orders: O[], now: number): void {
    // runs of one offer are started together; refusals are gathered by reason
    let at = 0
    while (at < orders.length) {
      const number = orders[at]!.offer
      let end = at + 1
      while (end < orders.length && orders[end]!.offer === number) end++
      const state = this.offers.get(number)
      if (state == null) {
        this.refuseOrders(orders.slice(at, end), { reason: 'protocol', message: 'the offer is not on this lease', retryAfterMs: 0 })
      } else {
        const start: O[] = []
        const busy: O[] = []
        for (let i = at; i < end; i++) {
          const order = orders[i]!
          const key = attemptKey(order.block, order.attempt)
          if (state.active.has(key)) {
            this.violation('an attempt was ordered twice')
            return
          }
          if (this.full(state.pool) || this.draining) {
            busy.push(order)
            continue
          }
          this.running[state.pool]++
          state.active.set(key, { ref: { offer: order.offer, block: order.block, attempt: order.attempt }, pool: state.pool, task: false, aborted: false })
          start.push(order)
        }
        this.begin(state, start, now)
        if (busy.length > 0) this.refuseOrders(busy, this.fullRefusal())
      }
      at = end
    }
    this.flush()
  }

  private begin (state: OfferState<F>, orders: O[], now: number): void {
    if (orders.length === 0) return
    if (!expired(state.offer, now)) {
      this.effects.push({ type: 'start', generation: this.generation!, offer: state.offer, pool: state.pool, orders })
      return
    }
    for (const order of orders) {
      state.active.delete(attemptKey(order.block, order.attempt))
      this.running[state.pool]--
    }
    this.refuseOrders(orders, { reason: 'expired', message: 'the deadline has passed', retryAfterMs: 0 })
  }

  private full (pool: Pool): boolean {
    return this.running[pool] >= this.slots[pool] || this.results.waiting(pool) > this.slots[pool]
  }

  private fullRefusal (): Refusal {
    return this.draining
      ? { reason: 'draining', message: 'this node takes no new work', retryAfterMs: RETRY_AFTER_MS }
      : { reason: 'busy', message: 'more orders than slots', retryAfterMs: RETRY_AFTER_MS }
  }

  private refuseOrders (orders: O[], refusal: Refusal): void {
    for (const order of orders) this.results.add(this.refusal(order, refusal), undefined)
    if (this.results.unacked + this.results.held > this.slots.process + this.slots.inline + BATCH_MAX) {
      this.violation('orders beyond the slots keep coming, and their refusals are not acknowledged')
    }
  }

  private taskOrder (generation: Generation, order: O, now: number): void {
    const refuse = (refusal: Refusal): void => { this.effects.push({ type: 'refuse-task', order, ...refusal }) }
    if (!this.isCurrent(generation) && !(this.faults.has('stale-generation-obeyed') && this.opened)) {
      this.effects.push({ type: 'stale', generation, message: 'task-order' })
      return refuse({ reason: 'protocol', message: 'no lease of that generation', retryAfterMs: 0 })
    }
    const state = this.offers.get(order.offer)
    if (state == null) return refuse({ reason: 'protocol', message: 'the offer is not on this lease', retryAfterMs: 0 })
    if (state.active.has(attemptKey(order.block, order.attempt))) return refuse({ reason: 'protocol', message: 'the attempt runs already', retryAfterMs: 0 })
    if (this.draining || this.full(state.pool)) return refuse(this.fullRefusal())
    if (expired(state.offer, now)) return refuse({ reason: 'expired', message: 'the deadline has passed', retryAfterMs: 0 })
    this.running[state.pool]++
    state.active.set(attemptKey(order.block, order.attempt), { ref: { offer: order.offer, block: order.block, attempt: order.attempt }, pool: state.pool, task: true, aborted: false })
    this.effects.push({ type: 'start', generation: this.generation!, offer: state.offer, pool: state.pool, orders: [order] })
  }

  private finished (generation: Generation, results: R[]): void {
    if (!this.isCurrent(generation)) return // the lease is over: nobody waits for these
    for (const result of results) {
      const state = this.offers.get(result.offer)
      const key = attemptKey(result.block, result.attempt)
      const entry = state?.active.get(key)
      if (state == null || entry == null || entry.task) continue // its offer was withdrawn
      state.active.delete(key)
      this.running[entry.pool]--
      this.results.add(result, entry.pool)
    }
    this.flush()
  }

  private flush (): void {
    for (let batch = this.results.take(); batch != null; batch = this.results.take()) {
      this.send({ type: 'results', sequence: batch.sequence, results: batch.results })
    }
  }

  private ack (sequence: number): void {
    if (this.results.ack(sequence)) this.flush()
    else this.violation('results were acknowledged that were never sent')
  }

  private taskFinished (generation: Generation, attempt: AttemptRef): void {
    if (!this.isCurrent(generation)) return
    const state = this.offers.get(attempt.offer)
    const key = attemptKey(attempt.block, attempt.attempt)
    const entry = state?.active.get(key)
    if (state == null || entry == null || !entry.task) return
    state.active.delete(key)
    this.running[entry.pool]--
  }

  private cancel (attempt: AttemptRef): void {
    const entry = this.offers.get(attempt.offer)?.active.get(attemptKey(attempt.block, attempt.attempt))
    if (entry != null) this.abort(entry) // otherwise the result has left already
  }

  private abort (entry: Active): void {
    if (entry.aborted) return
    entry.aborted = true
    this.effects.push({ type: 'abort', generation: this.generation!, attempt: entry.ref, task: entry.task })
  }

  private end (): void {
    for (const { active } of this.offers.values()) for (const entry of active.values()) this.abort(entry)
    this.offers.clear()
    this.running.process = 0
    this.running.inline = 0
    this.results.clear()
    this.opened = false
  }

  private violation (message: string): void {
    this.effects.push({ type: 'violation', generation: this.generation!, message })
  }

  private send (message: WorkerMessage<R>): void {
    this.effects.push({ type: 'send', generation: this.generation!, message })
  }
}
