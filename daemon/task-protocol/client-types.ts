/** What the requester's side is made of, and what it needs. */
import type { Connection } from '@libp2p/interface'
import type { LoopDelay, Monitor } from '../health/index.ts'
import type { Log } from '../log.ts'
import type { Network } from '../network/index.ts'
import type { BlockStore, StoredBlock } from '../store/index.ts'
import type { Identity } from '../trust/index.ts'
import type { AttemptOutcome, Order } from './index.ts'
import type { OrderRef, ResultRef } from './lease-model.ts'
import type { WireOrder } from './messages.ts'

export interface TaskClientComponents {
  network: Pick<Network, 'protocol' | 'greet'>
  store: Pick<BlockStore, 'sink'>
  identity: Pick<Identity, 'peerId' | 'nodeKey'>
  loopDelay: Pick<LoopDelay, 'worst'>
  /** Watches over the workers. @default without a beacon: beats on the leases are judged */
  monitor?: Pick<Monitor, 'watch'>
  log: Log
  /**
   * Takes a block that came into the store for an attempt nobody waits for any more: its job left, was told that the attempt is over, or
   * lost the lease. Must not throw. Blocks are named by content, so one that something else refers to must stay.
   *
   * @default such blocks stay until the store is swept
   */
  discard?: (stored: StoredBlock) => void
  generation: {
    /** Durable before the first lease is asked for; higher after every start of the process. */
    incarnation: number | bigint
    /** 1, 2, 3, ... within the incarnation. */
    next: () => number
  }
}

export interface TaskClientInit {
  /** Milliseconds between our beats until the worker asks for something else. @default HEARTBEAT_MS */
  heartbeatMs?: number
  /** Milliseconds a lease without a job is kept. @default LEASE_IDLE_MS */
  idleMs?: number
  /** Milliseconds for opening a lease and announcing an offer. @default ATTACH_TIMEOUT_MS */
  attachTimeoutMs?: number
  /** Bytes granted ahead to a worker that sends a large output. @default CREDIT_BYTES */
  creditBytes?: number
  /** Milliseconds without movement after which a transfer has stalled. @default STALL_MS */
  stallMs?: number
}

/** An order as it is kept until it is settled; its wire fields are encoded as they are. */
export interface ClientOrder extends OrderRef, WireOrder {
  source: Order
}

/** A result that is ready for its job. */
export interface ClientResult extends ResultRef {
  outcome: AttemptOutcome
}

/** A connection to a peer that passed hello. */
export interface Greeted { connection: Connection }
