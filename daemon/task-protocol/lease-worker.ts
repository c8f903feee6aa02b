/**
 * The worker's half of the leases with one requester, as a pure machine: which generation is obeyed, which orders run,
 * what is refused and why, which results wait for their acknowledgement. No I/O, no timers; `now` is UTC milliseconds
 * (it is compared with deadlines).
 *
 * An order started by a `start` effect is answered by exactly one result, unless its lease ended first. It counts against
 * the slots while it runs (on a task stream: until the stream ended), and its result against an equal number of results
 * that may wait to be acknowledged: streams overtake one another, so an order may come before the acknowledgement that
 * was sent before it. An order that is handed back ends by the same one result, a refusal that blames nobody.
 */
import { CLOCK_SKEW_MS } from '../trust/index.ts'
import { BATCH_MAX, LEASE_WINDOW_BYTES, OFFERS_MAX, RETRY_AFTER_MS } from './constants.ts'
import { attemptKey, compareGenerations } from './lease-model.ts'
import { ResultWindow } from './result-window.ts'
import { WorkerGate } from './worker-gate.ts'
import type { AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RequesterMessage, ResultRef, Slots, WorkerMessage } from './lease-model.ts'
import type { LeaseWorker, LeaseWorkerInit, OfferVerdict, WorkerEffect, WorkerEvent, WorkerView } from './lease-worker-events.ts'

export function createLeaseWorker<O extends OrderRef, R extends ResultRef, F extends OfferRef = OfferRef> (init: LeaseWorkerInit<O, R, F>): LeaseWorkerMachine<O, R, F> {
  return new LeaseWorkerMachine<O, R, F>(init)
}

/** `over`: it was told to stop, by a cancel or to be handed back. */
interface Active { ref: AttemptRef, pool: Pool, task: boolean, begun: boolean, over: boolean }
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
  private readonly admit: (order: O, offer: F) => Refusal | undefined
  private readonly keeps: boolean
  private readonly results: ResultWindow<R>
  private readonly faults: ReadonlySet<LeaseFault>
  private readonly gate: WorkerGate
  private generation: Generation | undefined
  private opened = false
  private drainTold = false
  private readonly offers = new Map<number, OfferState<F>>()
  private readonly running: Slots = { process: 0, inline: 0 }
  private effects: Array<WorkerEffect<O, R, F>> = []

  constructor (init: LeaseWorkerInit<O, R, F>) {
    this.gate = new WorkerGate(init.slots, init.retryAfterMs ?? (() => RETRY_AFTER_MS))
    this.judge = init.judge ?? (() => ({ ok: true, pool: 'process' }))
    this.refusal = init.refusal
    this.admit = init.admit ?? (() => undefined)
    this.keeps = init.keeps ?? false
    this.results = new ResultWindow(init.windowBytes ?? LEASE_WINDOW_BYTES, this.keeps)
    this.faults = init.faults ?? new Set()
  }

  step (event: WorkerEvent<O, R, F>, now: number): Array<WorkerEffect<O, R, F>> {
    this.effects = []
    switch (event.type) {
      case 'message': this.message(event.generation, event.message, now); break
      case 'task-order': this.taskOrder(event.generation, event.order, now); break
      case 'finished': this.finished(event.generation, event.results); break
      case 'task-finished': this.taskFinished(event.generation, event.attempt); break
      case 'begun': this.begun(event.generation, event.attempt); break
      case 'lost':
        if (this.isCurrent(event.generation)) this.end()
        break
      case 'slots':
        this.gate.slots = { ...event.slots }
        this.gate.why = event.why ?? ''
        if (!this.gate.draining) this.tellSlots()
        break
      case 'drain':
        this.gate.draining = true
        this.tellSlots()
        break
      case 'hand-back': this.handBack(event.refusal, true); break
      case 'resume':
        this.gate.draining = false
        this.drainTold = false
        if (!this.faults.has('resume-forgotten')) this.tellSlots()
        break
    }
    if (this.gate.draining && !this.drainTold && this.running.process + this.running.inline === 0 && this.results.empty) {
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
      slots: { ...this.gate.slots },
      active,
      unacked: this.results.unacked,
      held: this.results.held,
      offers: [...this.offers.keys()],
      draining: this.gate.draining
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
    if (this.gate.closed) {
      this.refuseLease(generation, this.gate.closedRefusal())
      return
    }
    const old = this.generation
    if (this.opened) {
      this.end()
      this.effects.push({ type: 'close', generation: old!, reason: 'superseded by a newer lease' })
    }
    this.generation = generation
    this.opened = true
    this.send({ type: 'grant', generation, slots: { ...this.gate.slots } })
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
    if (this.gate.closed) return this.gate.closedRefusal()
    if (this.offers.size >= OFFERS_MAX) return this.gate.busy(`a lease carries at most ${OFFERS_MAX} jobs`)
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
          if (this.full(state.pool)) {
            busy.push(order)
            continue
          }
          const noRoom = this.admit(order, state.offer)
          if (noRoom != null) {
            this.refuseOrders([order], noRoom)
            continue
          }
          this.enter(state, order, false)
          start.push(order)
        }
        this.begin(state, start, now)
        if (busy.length > 0) this.refuseOrders(busy, this.gate.full())
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
    return (this.gate.draining && !this.faults.has('drain-takes-new')) || this.running[pool] >= this.gate.slots[pool] || this.results.waiting(pool) > this.gate.slots[pool]
  }

  /** And hands back what has not begun, if nothing is taken any more. */
  private tellSlots (): void {
    if (this.opened) this.send({ type: 'slots', slots: this.gate.told, draining: this.gate.closed })
    if (this.gate.closed) this.handBack(this.gate.closedRefusal(), false)
  }

  private enter (state: OfferState<F>, { offer, block, attempt }: O, task: boolean): void {
    this.running[state.pool]++
    // what runs inline begins at once
    state.active.set(attemptKey(block, attempt), { ref: { offer, block, attempt }, pool: state.pool, task, begun: state.pool === 'inline', over: false })
  }

  private begun (generation: Generation, attempt: AttemptRef): void {
    const entry = this.isCurrent(generation) ? this.offers.get(attempt.offer)?.active.get(attemptKey(attempt.block, attempt.attempt)) : undefined
    if (entry != null) entry.begun = true
  }

  /** Ends orders without blame, so that somebody else gets them: those that have not begun, or all. */
  private handBack (refusal: Refusal, all: boolean): void {
    for (const { active } of this.offers.values()) {
      for (const [key, entry] of active) {
        if (entry.over || (entry.begun && !all)) continue
        entry.over = true
        if (this.faults.has('handback-lost')) {
          active.delete(key)
          this.running[entry.pool]--
        }
        this.effects.push({ type: 'hand-back', generation: this.generation!, attempt: entry.ref, task: entry.task, refusal })
      }
    }
  }

  private refuseOrders (orders: O[], refusal: Refusal): void {
    for (const order of orders) this.results.add(this.refusal(order, refusal), undefined)
    if (this.results.unacked + this.results.held > this.gate.slots.process + this.gate.slots.inline + BATCH_MAX) {
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
    if (this.full(state.pool)) return refuse(this.gate.full())
    if (expired(state.offer, now)) return refuse({ reason: 'expired', message: 'the deadline has passed', retryAfterMs: 0 })
    const noRoom = this.admit(order, state.offer)
    if (noRoom != null) return refuse(noRoom)
    this.enter(state, order, true)
    this.effects.push({ type: 'start', generation: this.generation!, offer: state.offer, pool: state.pool, orders: [order] })
  }

  private finished (generation: Generation, results: R[]): void {
    if (!this.isCurrent(generation)) {
      // the lease is over: nobody waits for these, but their requester may come back
      const good = this.keeps ? results.filter(({ ok }) => ok) : []
      if (this.opened && this.faults.has('orphan-delivered')) for (const result of good) this.results.add(result, undefined)
      else if (good.length > 0) this.effects.push({ type: 'undelivered', generation, results: good })
      this.flush()
      return
    }
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
    if (entry.over) return
    entry.over = true
    this.effects.push({ type: 'abort', generation: this.generation!, attempt: entry.ref, task: entry.task })
  }

  private end (): void {
    for (const { active } of this.offers.values()) {
      for (const entry of active.values()) {
        // a worker that drains takes nobody back
        if (!this.keeps || this.gate.draining || entry.over || !entry.begun || entry.pool === 'inline') this.abort(entry)
        else this.effects.push({ type: 'orphan', generation: this.generation!, attempt: entry.ref, task: entry.task })
      }
    }
    this.offers.clear()
    this.running.process = 0
    this.running.inline = 0
    const results = this.results.clear()
    if (results.length > 0) this.effects.push({ type: 'undelivered', generation: this.generation!, results })
    this.opened = false
  }

  private violation (message: string): void {
    this.effects.push({ type: 'violation', generation: this.generation!, message })
  }

  private send (message: WorkerMessage<R>): void {
    this.effects.push({ type: 'send', generation: this.generation!, message })
  }
}
