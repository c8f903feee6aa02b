/** A leased peer as one job sees it. */
import { encodeCanonical } from '../trust/index.ts'
import { ATTEMPT_MAX, BLOCK_BYTES_MAX, BLOCK_MAX, SLICE_BYTES_MAX } from './constants.ts'
import type { ClientOrder } from './client-types.ts'
import type { AttemptOutcome, Beat, Order, Worker, WorkerEvents } from './index.ts'
import type { AttemptRef } from './lease-model.ts'
import type { WireOffer } from './messages.ts'
import { failed } from './outcome.ts'

/** The part of the lease a job's worker needs. */
export interface WorkerLease {
  readonly id: string
  /** Bytes of input that may ride the lease. */
  inlineBytes: () => number
  /** Takes orders at the end of this tick. */
  queue: (offer: number, orders: ClientOrder[]) => void
  cancel: (attempts: AttemptRef[]) => void
  /** The job does not take this outcome. */
  discard: (outcome: AttemptOutcome) => void
  /** The job is done with the lease; resolves when its last attempt is settled. */
  withdraw: (offer: number) => Promise<void>
}

const NO_BYTES = new Uint8Array(0)

export class RemoteWorker implements Worker {
  readonly kind = 'remote'
  readonly offer: WireOffer
  /** sha2-256 of the offer, part of every order's leaf. */
  readonly offerDigest: Uint8Array
  private readonly lease: WorkerLease
  private readonly events: WorkerEvents
  private credits = 0
  private over = false
  private outcomes: AttemptOutcome[] = []
  /** Inputs of this size gave outputs too large for the lease: such blocks get streams at once. */
  private streamFrom = Number.POSITIVE_INFINITY

  constructor (lease: WorkerLease, offer: WireOffer, offerDigest: Uint8Array, events: WorkerEvents) {
    this.lease = lease
    this.offer = offer
    this.offerDigest = offerDigest
    this.events = events
  }

  get id (): string {
    return this.lease.id
  }

  get slots (): number {
    return this.credits
  }

  get closed (): boolean {
    return this.over
  }

  dispatch (orders: Order[]): void {
    if (this.over) return
    const ready: ClientOrder[] = []
    for (const order of orders) {
      const problem = unfit(order)
      if (problem == null) ready.push(this.prepare(order))
      else this.tell([failed(order, 'protocol', problem)])
    }
    if (ready.length > 0) this.lease.queue(this.offer.offer, ready)
  }

  cancel (attempts: Array<{ block: number, attempt: number }>): void {
    if (!this.over) this.lease.cancel(attempts.map(({ block, attempt }) => ({ offer: this.offer.offer, block, attempt })))
  }

  async close (): Promise<void> {
    if (this.over) return
    this.over = true
    const untold = this.outcomes
    this.outcomes = []
    this.drop(untold)
    await this.lease.withdraw(this.offer.offer)
  }

  /** Outcomes for the job, gathered per tick. */
  tell (outcomes: AttemptOutcome[]): void {
    if (this.over) {
      this.drop(outcomes)
      return
    }
    if (this.outcomes.length > 0) {
      for (const outcome of outcomes) this.outcomes.push(outcome)
      return
    }
    this.outcomes = outcomes
    queueMicrotask(() => {
      const gathered = this.outcomes
      this.outcomes = []
      // close() and tellLost() take what is gathered with them, so nothing is left for a worker that is over
      if (gathered.length > 0) this.events.outcomes(gathered)
    })
  }

  /** Every outcome is either told to the job or dropped here. */
  private drop (outcomes: AttemptOutcome[]): void {
    for (const outcome of outcomes) this.lease.discard(outcome)
  }

  tellBeat (beat: Beat): void {
    if (!this.over) this.events.beat?.(beat)
  }

  tellSuspect (reason: string): void {
    if (!this.over) this.events.suspect?.(reason)
  }

  tellTrusted (): void {
    if (!this.over) this.events.trusted?.()
  }

  /** The worker takes this many orders now. */
  setSlots (slots: number, tell: boolean): void {
    this.credits = slots
    if (tell && !this.over) this.events.slots?.(slots)
  }

  /** The lease is gone; what was told before is delivered first. */
  tellLost (reason: string): void {
    if (this.over) return
    const gathered = this.outcomes
    this.outcomes = []
    if (gathered.length > 0) this.events.outcomes(gathered)
    this.over = true
    this.credits = 0
    this.events.lost(reason)
  }

  /** An output of an input of this size did not fit on the lease. */
  preferStreams (size: number): void {
    this.streamFrom = Math.min(this.streamFrom, size)
  }

  private prepare (order: Order): ClientOrder {
    const slice = order.slice == null ? undefined : encodeCanonical(order.slice)
    const bytes = order.bytes
    const large = bytes == null || bytes.length > this.lease.inlineBytes() || order.size >= this.streamFrom
    return {
      offer: this.offer.offer,
      block: order.block,
      attempt: order.attempt,
      size: order.size,
      digest: order.digest,
      slice,
      bytes: large ? NO_BYTES : bytes,
      weight: large ? 0 : bytes.length + (slice?.length ?? 0),
      large,
      source: order
    }
  }
}

/** What is wrong with an order of our own, before it reaches the wire. */
function unfit (order: Order): string | undefined {
  if (!Number.isInteger(order.block) || order.block < 0 || order.block > BLOCK_MAX) return `block ${order.block} is out of range`
  if (!Number.isInteger(order.attempt) || order.attempt < 1 || order.attempt > ATTEMPT_MAX) return `attempt ${order.attempt} is out of range`
  if (!Number.isInteger(order.size) || order.size < 0 || order.size > BLOCK_BYTES_MAX) return `a size of ${order.size} bytes is out of range`
  if (order.digest.length !== 32) return 'the digest is not a sha2-256'
  if (order.bytes == null && order.open == null) return 'the order has neither bytes nor a stream'
  if (order.bytes != null && order.bytes.length !== order.size) return `${order.bytes.length} bytes where ${order.size} are announced`
  if (order.slice == null) return undefined
  try {
    encodeCanonical(order.slice, { maxBytes: SLICE_BYTES_MAX })
    return undefined
  } catch (error) {
    return `the slice: ${(error as Error).message}`
  }
}
