/** The leases of one requester, from the worker's side: the machine's effects carried out, its orders run. */
import type { Stream } from '@libp2p/interface'
import { HEARTBEAT_MS, INLINE_BYTES_MAX, LEASE_REQUEST_MS } from './constants.ts'
import { ProtocolError } from './errors.ts'
import { failure } from './execution.ts'
import { judgeOffer, refusedUnread } from './judge.ts'
import { LeaseChannel, type LeaseControl } from './lease-channel.ts'
import { compareGenerations, type AttemptRef, type Generation, type Refusal, type RequesterMessage, type Slots, type WorkerMessage } from './lease-model.ts'
import { createLeaseWorker, type LeaseWorkerMachine } from './lease-worker.ts'
import type { WorkerEffect, WorkerEvent } from './lease-worker-events.ts'
import type { OfferMessage, Orders, WireOrder } from './messages.ts'
import { OfferBudget } from './offer-budget.ts'
import { OrdersAtWork } from './orders-at-work.ts'
import { orderLeaf, signReceipts, verifyOrders } from './receipts.ts'
import type { RunningOrder } from './running-order.ts'
import type { LeaseServerContext, ServedOffer, ServedOrder, ServedResult } from './server-types.ts'

export type Admission =
  | {
    ok: true
    offer: ServedOffer
    order: RunningOrder
    /** Its engine begins. */
    begun: () => void
    /** Whether its lease is still the one there is. */
    current: () => boolean
    /** Frees the slot; again does nothing. */
    finished: () => void
  }
  | { ok: false, refusal: Refusal }

type Effect = WorkerEffect<ServedOrder, ServedResult, ServedOffer>
type Message = RequesterMessage<ServedOrder, ServedOffer>

export class LeaseServer {
  readonly context: LeaseServerContext
  private readonly machine: LeaseWorkerMachine<ServedOrder, ServedResult, ServedOffer>
  private readonly requesterKey: Uint8Array
  private channels: Array<{ generation: Generation, channel: LeaseChannel }> = []
  /** What is at work. */
  readonly orders: OrdersAtWork
  private drained = Promise.withResolvers<void>()
  private readonly budget = new OfferBudget(performance.now())
  /** Lease streams that have not ended, with or without a lease on them. */
  private streams = 0

  constructor (context: LeaseServerContext) {
    this.context = context
    this.requesterKey = context.peer.publicKey!.raw
    this.machine = createLeaseWorker({
      slots: context.slots,
      judge: offer => offer.verdict,
      refusal: (order, refusal) => failure(order, refusal),
      admit: (order, offer) => offer.verdict.ok && offer.verdict.pool === 'process' ? context.refuseOrder(order, offer) : undefined,
      retryAfterMs: context.retryAfterMs,
      keeps: true
    })
    this.orders = new OrdersAtWork(context, event => { this.step(event) })
  }

  /** A lease is open. */
  get open (): boolean {
    return this.machine.open
  }

  /** It asked for a lease before. */
  get known (): boolean {
    return this.machine.known
  }

  /** Some lease stream of it has not ended: perhaps its hello or its request is still to come. */
  get inUse (): boolean {
    return this.streams > 0
  }

  /** Orders at work in engines. */
  get active (): number {
    return this.orders.size
  }

  /** Serves a lease stream. Nothing is answered before `greeted` resolves. */
  serve (stream: Stream, greeted: Promise<void>, host?: string): void {
    let generation: Generation | undefined
    let early: LeaseControl[] | undefined = []
    const channel = new LeaseChannel(stream, { loopDelay: this.context.components.loopDelay, monitor: this.context.components.monitor, peer: this.context.peer.toString(), host, heartbeatMs: this.context.heartbeatMs, mute: true }, {
      onMessage: message => {
        if (early != null) {
          // a requester says nothing but its request before the grant
          if (early.length > 0) channel.abort('more than a request before the grant')
          else early.push(message)
          return
        }
        generation = this.onMessage(channel, generation, message)
      },
      onBeat: () => {}, // any byte is a sign of life already
      load: () => this.orders.load(),
      onClose: reason => {
        clearTimeout(requested)
        this.streams--
        // by channel: it may end while its request is still being answered, or before it was looked at
        const ended = this.channels.find(entry => entry.channel === channel)
        if (ended == null) return
        this.channels = this.channels.filter(entry => entry !== ended)
        this.context.components.log.debug({ peer: this.context.peer.toString(), reason }, 'a lease ended')
        this.step({ type: 'lost', generation: ended.generation })
      }
    })
    this.streams++
    const requested = setTimeout(() => { if (generation == null) channel.abort('no lease was asked for') }, this.context.requestMs ?? LEASE_REQUEST_MS).unref()
    greeted.then(() => {
      const messages = early ?? []
      early = undefined
      channel.speak()
      // a lease granted to a stream that ended during hello would never end: nothing tells of its end any more
      if (channel.closed) return
      for (const message of messages) generation = this.onMessage(channel, generation, message)
    }).catch(error => { channel.abort((error as Error).message) })
  }

  /** Decides on the order of a task stream. */
  admit (generation: Generation, offer: ServedOffer['digest'], order: WireOrder, signature: Uint8Array): Admission {
    if (!verifyOrders(this.requesterKey, [orderLeaf(offer, order)], signature)) return refuse('the order is not signed by its requester')
    const { offer: number, block, attempt } = order
    const effects = this.machine.step({ type: 'task-order', generation, order: { ...order, weight: 0, large: true } }, Date.now())
    let admission = refuse('no lease of that generation')
    for (const effect of effects) {
      if (effect.type === 'refuse-task') {
        admission = { ok: false, refusal: { reason: effect.reason, message: effect.message, retryAfterMs: effect.retryAfterMs } }
      } else if (effect.type === 'start') {
        const ref: AttemptRef = { offer: number, block, attempt }
        const entry = this.orders.enter(generation, ref, effect.offer, order)
        const release = this.context.reserve(order, effect.offer)
        let over = false
        const finished = (): void => {
          // by now its requester may have ordered the same attempt again, which is not this one's to end
          if (over) return
          over = true
          release()
          this.orders.leave(entry)
          this.step({ type: 'task-finished', generation, attempt: ref })
        }
        if (Buffer.compare(effect.offer.digest, offer) !== 0) {
          finished()
          return refuse('the order carries another offer than its lease')
        }
        admission = { ok: true, offer: effect.offer, order: entry, begun: () => { this.orders.begun(entry) }, current: () => this.orders.get(generation, ref) === entry, finished }
      } else {
        this.apply(effect)
      }
    }
    return admission
  }

  /** Any byte on a task stream of this requester. */
  alive (): void {
    for (const { channel } of this.channels) channel.alive()
  }

  /** Takes no new orders and hands back what has not begun; resolves when what ran is finished and acknowledged, or work is taken again. */
  drain (): Promise<void> {
    this.step({ type: 'drain' })
    return this.drained.promise
  }

  /** Hands back what runs, too. */
  handBack (refusal: Refusal): void {
    this.step({ type: 'hand-back', refusal })
  }

  /** Ends the leases, whatever is left on them. */
  endLeases (): void {
    for (const { channel } of this.channels) void channel.close()
  }

  /** Takes orders again. */
  resume (): void {
    this.drained.resolve()
    this.drained = Promise.withResolvers()
    this.step({ type: 'resume' })
  }

  setSlots (slots: Slots, why: string | undefined): void {
    this.step({ type: 'slots', slots, why })
  }

  /** Ends the lease; resolves when nothing runs any more. */
  async stop (): Promise<void> {
    // closing a channel takes it out of the list
    // a channel tells of its end once the other side was told: the requester is to hear that the lease is over before it
    // hears of attempts that were aborted
    await Promise.all(this.channels.map(({ channel }) => channel.close()))
    await this.orders.settled()
  }

  private onMessage (channel: LeaseChannel, generation: Generation | undefined, message: LeaseControl): Generation | undefined {
    if (message.type === 'request') {
      if (generation != null) {
        channel.abort('a second request on one lease')
        return generation
      }
      return this.request(channel, { incarnation: message.incarnation, counter: message.counter })
    }
    const translated = generation == null ? undefined : this.translate(channel, message)
    if (generation == null || translated == null) channel.abort(`'${message.type}' may not come here`)
    else this.step({ type: 'message', generation, message: translated })
    return generation
  }

  private request (channel: LeaseChannel, generation: Generation): Generation | undefined {
    if (this.channelOf(generation) != null) {
      channel.abort('a lease of that generation is open already')
      return undefined
    }
    const refusal = this.context.refuseLease()
    if (refusal != null) {
      channel.send({ type: 'refuse', ...refusal })
      void channel.close()
      return generation
    }
    this.channels.push({ generation, channel })
    this.step({ type: 'message', generation, message: { type: 'request', generation } })
    return generation
  }

  /** A requester's message as the machine knows it; undefined for what only a worker may say. */
  private translate (channel: LeaseChannel, message: LeaseControl): Message | undefined {
    switch (message.type) {
      case 'offer': return { type: 'offer', offer: this.judge(message) }
      case 'orders': return { type: 'orders', orders: this.takeOrders(channel, message) }
      case 'withdraw':
      case 'cancel':
      case 'ack': return message
      default: return undefined
    }
  }

  /** Throws (and ends the lease) for a flood of offers. */
  private judge (message: OfferMessage): ServedOffer {
    const affordable = this.budget.spend(message.parameters.length, performance.now())
    if (affordable === 'flood') throw new ProtocolError('unexpected', 'offers keep coming though they are refused as too many')
    if (affordable === 'busy') return refusedUnread(message, { reason: 'busy', message: 'too many offers in a short time', retryAfterMs: this.context.retryAfterMs() })
    const policy = this.context.components.policy
    return judgeOffer(this.context.converters, offer => policy?.offer?.(this.context.peer, offer), message)
  }

  /** Throws (and ends the lease) unless all of them are for accepted offers. */
  private takeOrders (channel: LeaseChannel, { orders, signature }: Orders): ServedOrder[] {
    const digests = orders.map(order => {
      const offer = this.machine.offered(order.offer)
      if (offer == null) throw new ProtocolError('unexpected', 'an order for an offer that was not accepted')
      return offer.digest
    })
    // The stream itself proves who orders; the signature is for later, to show who ordered. So it is checked when the
    // orders have begun and the inline ones are answered, which takes it out of the round trip.
    setImmediate(() => {
      if (channel.closed) return
      const leaves = orders.map((order, i) => orderLeaf(digests[i]!, order))
      if (!verifyOrders(this.requesterKey, leaves, signature)) channel.abort('orders that are not signed by their requester')
    })
    return orders.map(servedOrder)
  }

  private step (event: WorkerEvent<ServedOrder, ServedResult, ServedOffer>): void {
    for (const effect of this.machine.step(event, Date.now())) this.apply(effect)
  }

  private apply (effect: Effect): void {
    switch (effect.type) {
      case 'send': this.send(effect.generation, effect.message); break
      case 'start': this.orders.start(effect.generation, effect.offer, effect.pool, effect.orders); break
      case 'abort': this.orders.get(effect.generation, effect.attempt)?.cancel(); break
      case 'hand-back': this.orders.get(effect.generation, effect.attempt)?.handBack(effect.refusal); break
      case 'orphan': this.orders.orphan(this.orders.get(effect.generation, effect.attempt)); break
      case 'undelivered': this.orders.keepAll(effect.results); break
      case 'close': void this.channelOf(effect.generation)?.close(); break
      case 'violation': this.channelOf(effect.generation)?.abort(effect.message); break
      case 'stale': this.context.components.log.debug({ peer: this.context.peer.toString(), message: effect.message }, 'a message of an older lease'); break
      case 'drained': this.drained.resolve(); break
      case 'refuse-task': break // answered by `admit`
    }
  }

  private channelOf (generation: Generation): LeaseChannel | undefined {
    return this.channels.find(entry => compareGenerations(entry.generation, generation) === 0)?.channel
  }

  private send (generation: Generation, message: WorkerMessage<ServedResult>): void {
    const channel = this.channelOf(generation)
    if (channel == null) return
    switch (message.type) {
      case 'grant': {
        const { slots } = message
        channel.send({ type: 'grant', ...generation, processSlots: slots.process, inlineSlots: slots.inline, heartbeatMs: this.context.heartbeatMs ?? HEARTBEAT_MS, inlineBytes: INLINE_BYTES_MAX })
        channel.offerBeacon()
        break
      }
      case 'slots': channel.send({ type: 'slots', processSlots: message.slots.process, inlineSlots: message.slots.inline, draining: message.draining }); break
      case 'results': {
        const leaves: Uint8Array[] = []
        for (const result of message.results) if (result.leaf != null) leaves.push(result.leaf)
        channel.send({ type: 'results', sequence: message.sequence, results: message.results, signature: signReceipts(this.context.signer, leaves) })
        break
      }
      default: channel.send(message)
    }
  }
}

function refuse (message: string): Admission {
  return { ok: false, refusal: { reason: 'protocol', message, retryAfterMs: 0 } }
}

function servedOrder (order: WireOrder): ServedOrder {
  return {
    offer: order.offer,
    block: order.block,
    attempt: order.attempt,
    size: order.size,
    digest: order.digest,
    slice: order.slice,
    bytes: order.bytes,
    weight: order.bytes.length,
    large: false
  }
}
