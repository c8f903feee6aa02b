/** One lease with one worker, from the requester's side: the machine's effects carried out, the worker's answers checked. */
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { hostOf } from '../health/index.ts'
import type { BatchSigner } from '../trust/index.ts'
import type { ClientOrder, ClientResult, TaskClientComponents, TaskClientInit } from './client-types.ts'
import { CANCEL_ANSWER_MS, INLINE_BYTES_MAX } from './constants.ts'
import type { AttemptOutcome, FailureReason, WorkerEvents } from './index.ts'
import { LeaseChannel, type LeaseControl } from './lease-channel.ts'
import type { AttemptRef, Generation, RequesterMessage, Slots, WorkerMessage } from './lease-model.ts'
import type { RequesterEffect, RequesterEvent } from './lease-requester-events.ts'
import { createLeaseRequester, type LeaseRequesterMachine } from './lease-requester.ts'
import type { BeatMessage, Grant, Results, WireOffer } from './messages.ts'
import { failed, printable } from './outcome.ts'
import { offerDigest, orderLeaf, signOrders } from './receipts.ts'
import { RemoteWorker, type WorkerLease } from './remote-worker.ts'
import { checkResults } from './result-check.ts'
import { runTask } from './task-client.ts'

export type Attached = { ok: true, worker: RemoteWorker } | { ok: false, reason: FailureReason, message: string, retryAfterMs?: number }

export interface LeaseClientContext {
  components: Pick<TaskClientComponents, 'store' | 'loopDelay' | 'log' | 'discard' | 'monitor'>
  init: TaskClientInit
  signer: BatchSigner
  peer: PeerId
  connection: Connection
  taskProtocol: string
  generation: Generation
  /** The lease is over; a new one may be opened. */
  onEnd: () => void
}

interface Job {
  worker: RemoteWorker
  /** Present until the worker answered the offer. */
  attached: ((answer: Attached) => void) | undefined
  /** Present once withdrawn: told when the last attempt is settled. */
  withdrawn: (() => void) | undefined
}

export class LeaseClient implements WorkerLease {
  readonly id: string
  private readonly context: LeaseClientContext
  private readonly machine: LeaseRequesterMachine<ClientOrder, ClientResult, WireOffer>
  private readonly channel: LeaseChannel
  private readonly workerKey: Uint8Array
  private readonly jobs = new Map<number, Job>()
  private readonly tasks = new Map<ClientOrder, AbortController>()
  private pending: Array<{ offer: number, orders: ClientOrder[] }> = []
  private inline = INLINE_BYTES_MAX
  private nextOffer = 1
  private over = false
  private idle: NodeJS.Timeout | undefined

  constructor (context: LeaseClientContext, stream: Stream) {
    this.context = context
    this.id = context.peer.toString()
    // peers without an Ed25519 key inside their id are refused before a lease is opened
    this.workerKey = context.peer.publicKey!.raw
    this.machine = createLeaseRequester()
    const { loopDelay, monitor } = context.components
    const host = hostOf(String(context.connection.remoteAddr))
    this.channel = new LeaseChannel(stream, { loopDelay, monitor, peer: this.id, host, heartbeatMs: context.init.heartbeatMs }, {
      onMessage: message => { this.onMessage(message) },
      onBeat: beat => { this.onBeat(beat) },
      load: () => ({ active: 0, progress: [] }),
      onSuspect: reason => { for (const { worker, attached } of this.jobs.values()) if (attached == null) worker.tellSuspect(reason) },
      onTrusted: () => { for (const { worker } of this.jobs.values()) worker.tellTrusted() },
      onTick: () => { this.step({ type: 'tick' }) },
      // Its bytes would wait longer and longer to be sent again: whoever comes back is sooner there by a new connection.
      onDead: () => { context.connection.abort(new Error('the peer is silent')) },
      onClose: reason => { this.end(reason) }
    })
    this.step({ type: 'open', generation: context.generation })
  }

  get ended (): boolean {
    return this.over
  }

  get unused (): boolean {
    return this.jobs.size === 0
  }

  inlineBytes (): number {
    return this.inline
  }

  /** Announces a job; resolves when the worker answered, the lease ended or the signal fired. */
  async attach (offer: Omit<WireOffer, 'offer'>, events: WorkerEvents, signal: AbortSignal): Promise<Attached> {
    const wire: WireOffer = { ...offer, offer: this.nextOffer++ }
    const worker = new RemoteWorker(this, wire, offerDigest(wire), events)
    if (this.over) return { ok: false, reason: 'lost', message: 'the lease ended just now' }
    clearTimeout(this.idle)
    this.idle = undefined
    const { promise, resolve } = Promise.withResolvers<Attached>()
    this.jobs.set(wire.offer, { worker, attached: resolve, withdrawn: undefined })
    const onAbort = (): void => {
      resolve({ ok: false, reason: 'cancelled', message: 'given up before the worker answered' })
      void worker.close()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.step({ type: 'offer', offer: wire })
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  queue (offer: number, orders: ClientOrder[]): void {
    if (this.pending.length === 0) queueMicrotask(() => { this.flush() })
    const last = this.pending.at(-1)
    if (last?.offer !== offer) this.pending.push({ offer, orders })
    else for (const order of orders) last.orders.push(order)
  }

  cancel (attempts: AttemptRef[]): void {
    this.flush() // an order cancelled in the tick it was given must be known
    this.step({ type: 'cancel', attempts })
  }

  async withdraw (offer: number): Promise<void> {
    const job = this.jobs.get(offer)
    if (job == null || this.over) return
    this.pending = this.pending.filter(entry => entry.offer !== offer)
    const { promise, resolve } = Promise.withResolvers<void>()
    job.withdrawn = resolve
    this.step({ type: 'withdraw', offer })
    // a worker that never confirms its cancels holds up nobody here: its credits stay taken, so the next job gets a new lease
    const timer = setTimeout(() => {
      resolve()
      if ([...this.jobs.values()].every(({ withdrawn }) => withdrawn != null)) this.close(`cancels were not confirmed within ${CANCEL_ANSWER_MS} ms`)
    }, CANCEL_ANSWER_MS)
    await promise
    clearTimeout(timer)
  }

  /** Ends the lease in good order. */
  close (reason: string): void {
    this.end(reason)
    void this.channel.close()
  }

  private flush (): void {
    const pending = this.pending
    this.pending = []
    for (const { offer, orders } of pending) this.step({ type: 'orders', offer, orders })
  }

  private step (event: RequesterEvent<ClientOrder, ClientResult, WireOffer>): void {
    for (const effect of this.machine.step(event, performance.now())) this.apply(effect)
    this.sweep()
  }

  private apply (effect: RequesterEffect<ClientOrder, ClientResult, WireOffer>): void {
    switch (effect.type) {
      case 'send': this.send(effect.message); break
      case 'open-task': void this.openTask(effect.order); break
      case 'reset-task': this.resetTask(effect.attempt); break
      case 'offer-accepted': this.accepted(effect.offer, effect.slots); break
      case 'offer-refused': this.refused(effect.offer, effect); break
      case 'outcomes': this.deliver(effect.offer, effect.results.map(result => result.outcome)); break
      case 'failed': this.jobs.get(effect.offer)?.worker.tell(effect.orders.map(order => failed(order, effect.reason, effect.message))); break
      case 'slots': this.jobs.get(effect.offer)?.worker.setSlots(effect.slots, true); break
      case 'refused':
        for (const offer of this.jobs.keys()) this.refused(offer, effect)
        this.close(effect.message)
        break
      case 'lost':
        for (const offer of effect.offers) this.lose(offer, effect.reason)
        break
      case 'violation': this.channel.abort(effect.message); break
      case 'granted': break // offers are announced by the machine itself
      case 'untold': this.discard(effect.result.outcome); break
      case 'late':
        this.discard(effect.result.outcome)
        this.context.components.log.debug({ peer: this.id, effect: effect.type }, 'an answer nobody waits for')
        break
      case 'stale': this.context.components.log.debug({ peer: this.id, effect: effect.type }, 'an answer nobody waits for'); break
    }
  }

  private send (message: RequesterMessage<ClientOrder, WireOffer>): void {
    switch (message.type) {
      case 'request': this.channel.send({ type: 'request', ...message.generation }); break
      case 'offer': this.channel.send({ type: 'offer', ...message.offer }); break
      case 'orders': {
        const leaves = message.orders.map(order => orderLeaf(this.jobs.get(order.offer)!.worker.offerDigest, order))
        this.channel.send({ type: 'orders', orders: message.orders, signature: signOrders(this.context.signer, leaves) })
        break
      }
      default: this.channel.send(message)
    }
  }

  private onMessage (message: LeaseControl): void {
    const translated = message.type === 'results' ? this.checked(message) : control(message)
    if (translated == null) {
      this.channel.abort(`'${message.type}' may not come from a worker`)
      return
    }
    if (message.type === 'grant') this.granted(message)
    this.step({ type: 'message', generation: this.context.generation, message: translated })
  }

  private granted (grant: Grant): void {
    this.inline = Math.min(INLINE_BYTES_MAX, grant.inlineBytes)
    if (grant.heartbeatMs > 0) this.channel.setHeartbeat(grant.heartbeatMs)
    this.channel.offerBeacon()
  }

  /** Digests and the receipt, before anything is believed. */
  private checked (message: Results): WorkerMessage<ClientResult> {
    const results = checkResults(message, this.workerKey, result => {
      const job = this.jobs.get(result.offer)
      const order = this.machine.outstanding(result)
      return job == null || order == null ? undefined : { job: job.worker.offer.job, order }
    })
    for (const result of results) if (result.reason === 'needs-stream') this.preferStreams(result)
    return { type: 'results', sequence: message.sequence, results }
  }

  private preferStreams (attempt: AttemptRef): void {
    const order = this.machine.outstanding(attempt)
    if (order != null) this.jobs.get(attempt.offer)?.worker.preferStreams(order.size)
  }

  private onBeat (beat: BeatMessage): void {
    if (this.jobs.size === 0) return
    const progress = new Map<number, Array<{ block: number, attempt: number, done: number }>>()
    for (const { offer, block, attempt, done } of beat.progress) {
      const entry = { block, attempt, done }
      const list = progress.get(offer)
      if (list == null) progress.set(offer, [entry])
      else list.push(entry)
    }
    for (const [offer, { worker }] of this.jobs) {
      worker.tellBeat({ active: beat.active, loopDelayMs: beat.loopDelayMs, progress: progress.get(offer) ?? [] })
    }
  }

  private async openTask (order: ClientOrder): Promise<void> {
    const job = this.jobs.get(order.offer)
    const controller = new AbortController()
    this.tasks.set(order, controller)
    const { context } = this
    const outcome = job == null
      ? failed(order, 'cancelled', 'the job left the lease')
      : await runTask({
        connection: context.connection,
        protocol: context.taskProtocol,
        generation: context.generation,
        offer: job.worker.offer,
        offerDigest: job.worker.offerDigest,
        order,
        signer: context.signer,
        workerKey: this.workerKey,
        store: context.components.store,
        creditBytes: context.init.creditBytes,
        stallMs: context.init.stallMs,
        onBytes: () => { this.channel.alive() },
        signal: controller.signal
      })
    this.tasks.delete(order)
    // streams of a broken connection end one after the other: then it is the worker that is lost, not the attempt that failed
    if (!outcome.ok && outcome.reason === 'transfer' && context.connection.status !== 'open') this.close('the connection closed')
    if (this.over) {
      this.discard(outcome)
      return
    }
    const { offer, block, attempt } = order
    this.step({
      type: 'task-settled',
      generation: context.generation,
      result: { offer, block, attempt, ok: outcome.ok, reason: outcome.ok ? undefined : outcome.reason, weight: 0, outcome }
    })
  }

  private deliver (offer: number, outcomes: AttemptOutcome[]): void {
    const job = this.jobs.get(offer)
    if (job != null) job.worker.tell(outcomes)
    else for (const outcome of outcomes) this.discard(outcome)
  }

  /** What a large result left in the store, when no job takes it. */
  discard (outcome: AttemptOutcome): void {
    if (outcome.ok && 'stored' in outcome.output) this.context.components.discard?.(outcome.output.stored)
  }

  private resetTask (attempt: AttemptRef): void {
    const order = this.machine.outstanding(attempt)
    if (order != null) this.tasks.get(order)?.abort()
  }

  private accepted (offer: number, slots: number): void {
    const job = this.jobs.get(offer)
    if (job?.attached == null) return
    job.worker.setSlots(slots, false)
    job.attached({ ok: true, worker: job.worker })
    job.attached = undefined
    const { suspicion } = this.channel
    if (suspicion != null) job.worker.tellSuspect(suspicion)
  }

  private refused (offer: number, refusal: { reason: FailureReason, message: string, retryAfterMs: number }): void {
    const job = this.jobs.get(offer)
    if (job == null) return
    this.jobs.delete(offer)
    const answer: Attached = { ok: false, reason: refusal.reason, message: printable(refusal.message) }
    if (refusal.retryAfterMs > 0) answer.retryAfterMs = refusal.retryAfterMs
    job.attached?.(answer)
    job.withdrawn?.()
  }

  private lose (offer: number, reason: string): void {
    const job = this.jobs.get(offer)
    if (job == null) return
    this.jobs.delete(offer)
    job.attached?.({ ok: false, reason: 'lost', message: reason })
    job.withdrawn?.()
    if (job.attached == null) job.worker.tellLost(reason)
  }

  /** Forgets jobs whose last attempt is settled, and the lease itself once it has been idle for a while. */
  private sweep (): void {
    for (const [offer, job] of this.jobs) {
      if (job.withdrawn == null || this.machine.has(offer)) continue
      this.jobs.delete(offer)
      job.withdrawn()
    }
    if (this.jobs.size > 0 || this.over || this.idle != null) return
    this.idle = setTimeout(() => {
      this.idle = undefined
      if (this.jobs.size === 0) this.close('idle')
    }, this.context.init.idleMs)
    this.idle.unref()
  }

  private end (reason: string): void {
    if (this.over) return
    this.over = true
    clearTimeout(this.idle)
    for (const controller of this.tasks.values()) controller.abort()
    for (const effect of this.machine.step({ type: 'lost', generation: this.context.generation, reason }, performance.now())) this.apply(effect)
    for (const offer of this.jobs.keys()) this.lose(offer, reason)
    this.context.onEnd()
  }
}

/** A worker's control message as the machine knows it; undefined for what only a requester may say. */
function control (message: LeaseControl): WorkerMessage<ClientResult> | undefined {
  switch (message.type) {
    case 'grant': return { type: 'grant', generation: { incarnation: message.incarnation, counter: message.counter }, slots: slotsOf(message) }
    case 'slots': return { type: 'slots', slots: slotsOf(message), draining: message.draining }
    case 'refuse':
    case 'accept-offer':
    case 'refuse-offer': return message
    default: return undefined
  }
}

function slotsOf (message: { processSlots: number, inlineSlots: number }): Slots {
  return { process: message.processSlots, inline: message.inlineSlots }
}
