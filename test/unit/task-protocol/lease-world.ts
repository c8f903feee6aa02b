/** Both lease machines on two queues that keep their order, task streams that do not, and a line that breaks. */
import assert from 'node:assert/strict'
import { createLeaseRequester } from '../../../daemon/task-protocol/lease-requester.ts'
import { createLeaseWorker } from '../../../daemon/task-protocol/lease-worker.ts'
import { compareGenerations, type AttemptRef, type Generation, type LeaseFault, type OfferRef, type OrderRef, type RequesterMessage, type ResultRef, type WorkerMessage } from '../../../daemon/task-protocol/lease-model.ts'
import type { RequesterEffect, RequesterEvent } from '../../../daemon/task-protocol/lease-requester-events.ts'
import type { WorkerEffect, WorkerEvent } from '../../../daemon/task-protocol/lease-worker-events.ts'

export const SLOTS = { process: 3, inline: 5 }
const WINDOW = 1000

export const keyOf = ({ offer, block, attempt }: AttemptRef): string => `${offer}/${block}/${attempt}`
export const genOf = ({ incarnation, counter }: Generation): string => `${incarnation}.${counter}`

/** xorshift32: the seed replays the run. */
function prng (seed: number): (n: number) => number {
  let x = (seed | 1) >>> 0
  return n => {
    x ^= x << 13
    x >>>= 0
    x ^= x >>> 17
    x ^= x << 5
    x >>>= 0
    return x % n
  }
}

type Item = { generation: Generation } & ({ to: 'worker', message: RequesterMessage<OrderRef, OfferRef> } | { to: 'requester', message: WorkerMessage<ResultRef> })

export class World {
  now = 1
  readonly random: (n: number) => number
  readonly requester
  readonly worker
  generation: Generation = { incarnation: 1, counter: 0 }
  /** In order per stream and direction; several streams (generations) may be under way. */
  lines: Item[][] = []
  /** Task streams under way, in any order. */
  tasks: Array<{ generation: Generation, order: OrderRef, state: 'sent' | 'running' | 'answered', result?: ResultRef, reset: boolean }> = []
  running: Array<{ generation: Generation, order: OrderRef, aborted: boolean, begun: boolean, handedBack?: string, orphan?: boolean }> = []
  readonly given = new Map<string, 'open' | 'ended' | 'lost'>()
  offers: number[] = []
  accepted = new Set<number>()
  readonly cancelled = new Set<string>()
  nextOffer = 1
  nextBlock = 0
  refusals = 0
  late = 0
  readonly problems: string[] = []
  newestGranted: Generation | undefined
  /** Whether the worker may drain, change its slots and hand back. */
  readonly closes: boolean
  handedBack = 0
  kept: Array<{ generation: Generation, result: ResultRef }> = []
  orphans = 0
  refusedLeases = 0
  /** Every start, by generation and attempt. */
  readonly started = new Set<string>()
  /** The requester was told that the worker takes nothing. */
  closedTold = false

  constructor (seed: number, faults: ReadonlySet<LeaseFault> = new Set(), closes = false) {
    this.closes = closes
    this.random = prng(seed)
    this.requester = createLeaseRequester<OrderRef, ResultRef>({ faults, windowBytes: WINDOW })
    this.worker = createLeaseWorker<OrderRef, ResultRef, OfferRef>({
      slots: SLOTS,
      windowBytes: WINDOW,
      faults,
      keeps: closes,
      judge: ({ offer }) => offer % 7 === 0 ? { ok: false, reason: 'policy', message: 'no', retryAfterMs: 0 } : { ok: true, pool: offer % 2 === 0 ? 'inline' : 'process' },
      refusal: ({ offer, block, attempt }, { reason }) => {
        this.refusals++
        return { offer, block, attempt, ok: false, reason, weight: 0 }
      }
    })
  }

  requesterStep (event: RequesterEvent<OrderRef, ResultRef, OfferRef>): void {
    for (const effect of this.requester.step(event, this.now)) this.requesterEffect(effect)
    const { credits, slots, bytes, state } = this.requester.inspect()
    if (!this.closes && (credits.process < 0 || credits.inline < 0)) this.problems.push('credits below zero')
    if (credits.process > slots.process || credits.inline > slots.inline) this.problems.push('credits above the slots')
    if (bytes < 0 || (bytes > WINDOW && this.requester.inspect().outstanding.length > 1 && bytes > WINDOW + 400)) this.problems.push(`bytes ${bytes}`)
    if (event.type === 'open') this.closedTold = false
    if (event.type === 'message' && event.message.type === 'slots' && genOf(event.generation) === genOf(this.generation)) this.closedTold = event.message.draining
    if (this.closedTold && state === 'granted' && this.requester.inspect().queued > 0) this.problems.push('orders wait for a worker that takes none')
    assert.notEqual(state, 'idle')
  }

  requesterEffect (effect: RequesterEffect<OrderRef, ResultRef, OfferRef>): void {
    switch (effect.type) {
      case 'send': this.line(effect.generation, 'worker').push({ generation: effect.generation, to: 'worker', message: structuredClone(effect.message) }); break
      case 'open-task': this.tasks.push({ generation: effect.generation, order: { ...effect.order }, state: 'sent', reset: false }); break
      case 'reset-task': for (const task of this.tasks) if (keyOf(task.order) === keyOf(effect.attempt)) task.reset = true; break
      case 'offer-accepted': this.accepted.add(effect.offer); break
      case 'offer-refused': this.offers = this.offers.filter(offer => offer !== effect.offer); break
      case 'outcomes':
        for (const result of effect.results) {
          if (result.offer !== effect.offer) this.problems.push('a result told to another job')
          if (result.reason === 'needs-stream' && !this.cancelled.has(keyOf(result))) this.problems.push('needs-stream was told to a job without a cancel')
          this.end(result)
        }
        break
      case 'failed': for (const order of effect.orders) this.end(order); break
      case 'lost':
        for (const [key, state] of this.given) if (state === 'open') this.given.set(key, 'lost')
        this.offers = []
        this.accepted.clear()
        break
      case 'late': this.late++; break
      case 'violation': this.problems.push(`requester: ${effect.message}`); break
      case 'refused':
        this.refusedLeases++
        if (effect.reason !== 'draining') this.problems.push(`refused: ${effect.message}`)
        this.offers = []
        break
      default: break
    }
  }

  end (attempt: AttemptRef): void {
    const key = keyOf(attempt)
    if (this.given.get(key) !== 'open') this.problems.push(`${key} ended, but was ${this.given.get(key)}`)
    this.given.set(key, 'ended')
  }

  workerStep (event: WorkerEvent<OrderRef, ResultRef, OfferRef>): Array<WorkerEffect<OrderRef, ResultRef, OfferRef>> {
    const effects = this.worker.step(event, this.now)
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          if (effect.message.type === 'grant' && (this.newestGranted == null || compareGenerations(effect.generation, this.newestGranted) > 0)) this.newestGranted = effect.generation
          if (effect.message.type === 'results') {
            for (const result of effect.message.results) if (result.ok && !this.started.has(`${genOf(effect.generation)}/${keyOf(result)}`)) this.problems.push(`${keyOf(result)} was answered on a lease that never had it`)
          }
          this.line(effect.generation, 'requester').push({ generation: effect.generation, to: 'requester', message: structuredClone(effect.message) })
          break
        case 'start':
          for (const order of effect.orders) {
            if (this.running.some(run => keyOf(run.order) === keyOf(order) && genOf(run.generation) === genOf(effect.generation))) this.problems.push('an attempt was started twice')
            if (this.worker.inspect().draining) this.problems.push(`${keyOf(order)} was started although the worker drains`)
            this.started.add(`${genOf(effect.generation)}/${keyOf(order)}`)
            this.running.push({ generation: effect.generation, order: { ...order }, aborted: false, begun: false })
          }
          break
        case 'abort':
          for (const run of this.running) if (keyOf(run.order) === keyOf(effect.attempt) && genOf(run.generation) === genOf(effect.generation)) run.aborted = true
          break
        case 'hand-back':
          this.handedBack++
          for (const run of this.running) {
            if (keyOf(run.order) !== keyOf(effect.attempt) || genOf(run.generation) !== genOf(effect.generation)) continue
            if (run.aborted || run.handedBack != null) this.problems.push(`${keyOf(run.order)} was handed back although it was to stop already`)
            run.handedBack = effect.refusal.reason
          }
          break
        case 'orphan':
          this.orphans++
          for (const run of this.running) if (keyOf(run.order) === keyOf(effect.attempt) && genOf(run.generation) === genOf(effect.generation)) run.orphan = true
          break
        case 'undelivered':
          for (const result of effect.results) {
            if (!result.ok) this.problems.push('a failure was kept')
            this.kept.push({ generation: effect.generation, result })
          }
          break
        case 'violation': this.problems.push(`worker: ${effect.message}`); break
        default: break
      }
    }
    const { active, slots, open } = this.worker.inspect()
    if (!this.closes && active.length > slots.process + slots.inline) this.problems.push(`${active.length} active`)
    if (active.length > SLOTS.process + SLOTS.inline) this.problems.push(`${active.length} active, beyond all there ever were`)
    if (!open && active.length > 0) this.problems.push('active without a lease')
    return effects
  }

  line (generation: Generation, to: Item['to']): Item[] {
    const known = this.lines.find(line => line[0] != null && line[0].to === to && genOf(line[0].generation) === genOf(generation))
    if (known != null) return known
    const line: Item[] = []
    this.lines.push(line)
    return line
  }

  reopen (): void {
    this.generation = { incarnation: 1 + (this.random(5) === 0 ? this.generation.incarnation : this.generation.incarnation - 1), counter: this.generation.counter + 1 }
    this.requesterStep({ type: 'open', generation: this.generation })
  }

  deliver (): boolean {
    this.lines = this.lines.filter(line => line.length > 0)
    if (this.lines.length === 0) return false
    const item = this.lines[this.random(this.lines.length)]!.shift()!
    if (item.to === 'worker') this.workerStep({ type: 'message', generation: item.generation, message: item.message })
    else this.requesterStep({ type: 'message', generation: item.generation, message: item.message })
    return true
  }

  /** One step of a task stream: the order arrives, or the answer does, or the reset. */
  moveTask (): boolean {
    if (this.tasks.length === 0) return false
    const task = this.tasks[this.random(this.tasks.length)]!
    const { offer, block, attempt } = task.order
    const drop = (): void => { this.tasks = this.tasks.filter(other => other !== task) }
    if (task.state === 'sent' && !task.reset) {
      const effects = this.workerStep({ type: 'task-order', generation: task.generation, order: { ...task.order } })
      if (effects.some(effect => effect.type === 'start')) task.state = 'running'
      else {
        drop()
        this.refusals++
        this.requesterStep({ type: 'task-settled', generation: task.generation, result: { offer, block, attempt, ok: false, reason: 'busy', weight: 0 } })
      }
      return true
    }
    if (task.state === 'running' && !task.reset) return false
    drop()
    if (task.state === 'running') {
      this.running = this.running.filter(run => keyOf(run.order) !== keyOf(task.order) || genOf(run.generation) !== genOf(task.generation))
      this.workerStep({ type: 'task-finished', generation: task.generation, attempt: { offer, block, attempt } })
    }
    this.requesterStep({ type: 'task-settled', generation: task.generation, result: task.result ?? { offer, block, attempt, ok: false, reason: 'cancelled', weight: 0 } })
    return true
  }

  finishRun (): boolean {
    if (this.running.length === 0) return false
    const run = this.running.splice(this.random(this.running.length), 1)[0]!
    const { offer, block, attempt } = run.order
    const task = this.tasks.find(({ order, generation, state }) => state === 'running' && keyOf(order) === keyOf(run.order) && genOf(generation) === genOf(run.generation))
    // a result may be there just before it is told to stop
    const ok = (!run.aborted && run.handedBack == null && this.random(5) > 0) || (this.closes && this.random(8) === 0)
    const reason = ok ? undefined : run.aborted ? 'cancelled' : run.handedBack != null ? run.handedBack : !run.order.large && this.random(2) === 0 ? 'needs-stream' : 'crash'
    const result: ResultRef = { offer, block, attempt, ok, reason, weight: ok ? this.random(300) : 0 }
    if (run.order.large) {
      if (task != null) {
        task.state = 'answered'
        task.result = { ...result, weight: 0 }
        this.workerStep({ type: 'task-finished', generation: run.generation, attempt: { offer, block, attempt } })
      }
    } else {
      this.workerStep({ type: 'finished', generation: run.generation, results: [result] })
    }
    return true
  }

  /** The worker opens and closes its doors. */
  private close (): void {
    const { draining } = this.worker.inspect()
    switch (this.random(10)) {
      case 0: if (draining || this.random(4) === 0) this.workerStep({ type: draining ? 'resume' : 'drain' }); return
      case 1: this.workerStep({ type: 'slots', slots: this.random(6) === 0 ? { process: 0, inline: 0 } : { process: 1 + this.random(SLOTS.process), inline: 1 + this.random(SLOTS.inline) }, why: 'it says so' }); return
      case 2: if (draining || this.random(4) === 0) this.workerStep({ type: 'hand-back', refusal: { reason: 'draining', message: 'the deadline', retryAfterMs: 1 } }); return
      default: {
        const waiting = this.running.filter(run => !run.begun)
        const run = waiting[this.random(Math.max(1, waiting.length))]
        if (run == null) return
        run.begun = true
        this.workerStep({ type: 'begun', generation: run.generation, attempt: run.order })
      }
    }
  }

  act (breaks: boolean): void {
    this.now += this.random(400)
    if (this.closes && this.random(3) === 0) {
      this.close()
      return
    }
    if (this.requester.inspect().state === 'refused' && this.random(4) === 0) this.reopen()
    switch (this.random(breaks ? 13 : 12)) {
      case 0: {
        if (this.offers.length > 5) return
        const offer = this.nextOffer++
        this.offers.push(offer)
        this.requesterStep({ type: 'offer', offer: { offer, deadline: 0 } })
        return
      }
      case 1:
      case 2: {
        const ready = this.offers.filter(offer => this.accepted.has(offer))
        if (ready.length === 0) return
        const offer = ready[this.random(ready.length)]!
        const orders: OrderRef[] = Array.from({ length: 1 + this.random(6) }, () => {
          const large = this.random(4) === 0
          return { offer, block: this.nextBlock++, attempt: 1, large, weight: large ? 0 : this.random(300) }
        })
        for (const order of orders) this.given.set(keyOf(order), 'open')
        this.requesterStep({ type: 'orders', offer, orders })
        return
      }
      case 3: {
        const open = [...this.given].filter(([, state]) => state === 'open')
        if (open.length === 0) return
        const [offer, block, attempt] = open[this.random(open.length)]![0].split('/').map(Number) as [number, number, number]
        this.cancelled.add(keyOf({ offer, block, attempt }))
        this.requesterStep({ type: 'cancel', attempts: [{ offer, block, attempt }] })
        return
      }
      case 4: {
        if (this.random(4) > 0 || this.offers.length === 0) return
        const offer = this.offers[this.random(this.offers.length)]!
        this.offers = this.offers.filter(other => other !== offer)
        for (const [key, state] of this.given) if (state === 'open' && key.startsWith(`${offer}/`)) this.given.set(key, 'lost')
        this.requesterStep({ type: 'withdraw', offer })
        return
      }
      case 5: this.requesterStep({ type: 'tick' }); return
      case 6:
      case 7: this.finishRun(); return
      case 8: this.moveTask(); return
      case 12: {
        // the line breaks: the requester knows, the worker may learn of it much later, and what is under way may still come
        if (this.random(3) > 0) return
        this.requesterStep({ type: 'lost', generation: this.generation, reason: 'the line broke' })
        for (const task of this.tasks) task.reset = true
        if (this.random(2) === 0) this.workerStep({ type: 'lost', generation: this.generation })
        if (this.random(2) === 0) this.lines = this.lines.filter(() => this.random(2) === 0)
        this.reopen()
        return
      }
      default: this.deliver()
    }
  }

  run (steps: number, breaks: boolean): void {
    this.reopen()
    for (let i = 0; i < steps && this.problems.length === 0; i++) this.act(breaks)
  }

  /** The worker takes work again, with all its slots. */
  openAgain (): void {
    this.workerStep({ type: 'slots', slots: SLOTS })
    this.workerStep({ type: 'resume' })
    if (this.requester.inspect().state === 'refused') this.reopen()
  }

  /** Lets everything under way end. */
  settle (): void {
    for (let i = 0; i < 100_000 && this.problems.length === 0; i++) {
      const moved = this.deliver() || this.finishRun() || this.tasks.some(() => this.moveTask())
      if (!moved && this.running.length === 0 && this.tasks.length === 0) return
    }
    if (this.problems.length === 0) this.problems.push('does not come to rest')
  }
}
