/** What the worker's side is made of, and what it needs. */
import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Parameters } from '../block-convert/index.ts'
import type { Executor } from '../executor/index.ts'
import type { LoopDelay, Monitor } from '../health/index.ts'
import type { Log } from '../log.ts'
import type { Network } from '../network/index.ts'
import type { BatchSigner, Identity } from '../trust/index.ts'
import type { OrderRef, Refusal, ResultRef, Slots } from './lease-model.ts'
import type { OfferVerdict } from './lease-worker-events.ts'
import type { WireOffer, WireOrder, WireResult } from './messages.ts'
import type { Redelivery } from './redelivery.ts'

/** A converter as far as the server must know it. */
export interface ServedConverter {
  runs: 'process' | 'inline'
  /** Throws for parameters it does not accept; returns them with defaults filled in. */
  validate: (parameters: Parameters) => Parameters
}

/** The node's own rules on whom it works for, on what and for how much. Return a refusal to refuse. */
export interface ServerPolicy {
  lease?: (peer: PeerId) => Refusal | undefined
  /** `price` is a decimal. */
  offer?: (peer: PeerId, offer: WireOffer) => Refusal | undefined
}

export interface ServedConverters {
  /** The converter of exactly that version, or undefined. */
  find: (id: string, version: string) => ServedConverter | undefined
}

export interface TaskServerComponents {
  network: Pick<Network, 'protocol' | 'requireGreeted'> & { libp2p: Pick<Libp2p, 'handle' | 'unhandle'> }
  /** Without `freeBytes` no order is refused for want of disk; without the others it is taken to be always available. */
  executor: Pick<Executor, 'run' | 'runInline' | 'workspace' | 'slots'> & Partial<Pick<Executor, 'busy' | 'waiting' | 'guests' | 'freeBytes'>>
  /** @default the converters of this build */
  converters?: ServedConverters
  identity: Pick<Identity, 'peerId' | 'nodeKey'>
  loopDelay: Pick<LoopDelay, 'worst'>
  /** Watches over the requesters. @default without a beacon: beats on the leases are judged */
  monitor?: Pick<Monitor, 'watch'>
  log: Log
  /** @default everyone who passed hello, every offer */
  policy?: ServerPolicy
}

export interface TaskServerInit {
  /** Orders for engines one requester may have here at once. @default the executor's slots + PREFETCH_SLOTS */
  slots?: number
  /** Orders for inline converters one requester may have here at once. @default INLINE_SLOTS */
  inlineSlots?: number
  /** Leases served at a time. @default LEASES_MAX */
  maxLeases?: number
  /** Milliseconds a conversion runs on after its lease was lost. @default ORPHAN_MS */
  orphanMs?: number
  /** Milliseconds a finished result waits for its requester to come back. @default KEEP_FINISHED_MS */
  keepFinishedMs?: number
  /** Milliseconds engines may be stopped before what they have is handed back. @default PAUSE_HAND_BACK_MS */
  pauseHandBackMs?: number
  /** Milliseconds from a drain's deadline for what is finished or handed back to be taken. @default DRAIN_DELIVER_MS */
  drainDeliverMs?: number
  /** Milliseconds between beats, ours and theirs. @default HEARTBEAT_MS */
  heartbeatMs?: number
  /** Milliseconds a lease stream may be open before a lease is asked for on it. @default LEASE_REQUEST_MS */
  requestMs?: number
  /** Bytes granted ahead to a requester that sends a large input. @default CREDIT_BYTES */
  creditBytes?: number
  /** Milliseconds without movement after which a transfer has stalled. @default STALL_MS */
  stallMs?: number
}

/** An offer as it was judged. */
export interface ServedOffer extends WireOffer {
  /** sha2-256 of the offer, part of every order's leaf. */
  digest: Uint8Array
  /** Validated; empty if the verdict is a refusal. */
  values: Parameters
  verdict: OfferVerdict
  /** Its inline converter answers at once, so that no cancel can ever reach it. Known after the first order. */
  synchronous: boolean
}

export interface ServedOrder extends OrderRef, WireOrder {}

/** A result with what its receipt needs. */
export interface ServedResult extends ResultRef, WireResult {
  /** Leaf hash; absent unless ok. */
  leaf?: Uint8Array
  /** Of the conversion; of results of engines. */
  identity?: () => string
}

/** What the leases of one requester need of the server. */
export interface LeaseServerContext {
  components: TaskServerComponents
  converters: ServedConverters
  signer: BatchSigner
  peer: PeerId
  slots: Slots
  redelivery: Redelivery
  heartbeatMs?: number
  /** @default LEASE_REQUEST_MS */
  requestMs?: number
  /** Why a lease may not be granted now; undefined if it may. */
  refuseLease: () => Refusal | undefined
  /** Why there is no room for one more order for an engine; undefined if there is. */
  refuseOrder: (order: OrderRef & Pick<WireOrder, 'size'>, offer: Pick<WireOffer, 'outputBytes'>) => Refusal | undefined
  /** Keeps disk for an order; the function returned gives it back. */
  reserve: (order: Pick<WireOrder, 'size'>, offer: Pick<WireOffer, 'outputBytes'>) => () => void
  /** Milliseconds after which one who was refused should ask again. */
  retryAfterMs: () => number
  /** An order was at work for so many milliseconds. */
  took: (ms: number) => void
}
