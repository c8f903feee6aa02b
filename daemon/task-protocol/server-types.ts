/** What the worker's side is made of, and what it needs. */
import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Parameters } from '../block-convert/index.ts'
import type { Executor } from '../executor/index.ts'
import type { LoopDelay } from '../health/index.ts'
import type { Log } from '../log.ts'
import type { Network } from '../network/index.ts'
import type { Identity } from '../trust/index.ts'
import type { OrderRef, Refusal, ResultRef } from './lease-model.ts'
import type { OfferVerdict } from './lease-worker-events.ts'
import type { WireOffer, WireOrder, WireResult } from './messages.ts'

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
  executor: Pick<Executor, 'run' | 'runInline' | 'workspace' | 'slots'>
  /** @default the converters of this build */
  converters?: ServedConverters
  identity: Pick<Identity, 'peerId' | 'nodeKey'>
  loopDelay: Pick<LoopDelay, 'worst'>
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
}
