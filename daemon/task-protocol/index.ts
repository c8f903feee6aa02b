/**
 * The wire between a requester and a worker: `lease/1.0.0` (one stream per pair: grant, heartbeats, small blocks,
 * results, receipts, cancel, drain) and `task/1.0.0` (one stream per large block attempt). Both sides live here. What a
 * peer fails to do is data (an `AttemptOutcome`), never an exception across this boundary.
 *
 * @example
 * ```ts
 * const client = createTaskClient(components, init)
 * const worker = await client.attach(peerId, offer, { outcomes, lost, beat }, { signal })
 * worker.dispatch([{ block: 0, attempt: 1, size, digest, bytes }])
 * ```
 */
import type { PeerId } from '@libp2p/interface'
import type { Parameters } from '../block-convert/index.ts'
import type { StoredBlock } from '../store/index.ts'
import type { Receipt } from '../trust/index.ts'

/** What is the same for every block of a job: announced once per lease, then referred to by orders. */
export interface Offer {
  /** CID of the job's spec, as text. */
  job: string
  converter: string
  version: string
  parameters: Parameters
  /** UTC milliseconds after which results are worth nothing; 0 = none. */
  deadline: number
  /** Most bytes of output a block may have. */
  outputBytes: number
  /** 10^-6 of `unit` per resource hour; 0 in this version. Decimal. */
  price: string
  unit: string
}

/** One attempt at one block. */
export interface Order {
  block: number
  /** From 1; unique per block. */
  attempt: number
  size: number
  /** sha2-256 of the input bytes. */
  digest: Uint8Array
  slice?: Parameters
  /** The input, when it is small enough to ride the lease (INLINE_BYTES_MAX). */
  bytes?: Uint8Array
  /** The input as a stream, for everything else. May be called once per attempt. */
  open?: (signal: AbortSignal) => AsyncIterable<Uint8Array>
}

/** Why an attempt did not give a result. The first group costs the worker nothing. */
export type FailureReason =
  | 'busy' | 'draining' | 'policy' | 'unsupported' | 'expired'             // typed refusals
  | 'crash' | 'hang' | 'out-of-memory' | 'output-limit' | 'unavailable'    // of the engine
  | 'conversion'                                                         // the converter said so: code and details
  | 'transfer'                                                           // reset, early end, wrong digest, stalled stream
  | 'store'                                                              // this node has no room for the result; never said by a peer
  | 'cancelled' | 'lost' | 'protocol'                                     // we cancelled; the peer went; the peer broke the protocol

export type AttemptOutcome =
  | {
    ok: true
    block: number
    attempt: number
    /** sha2-256 of the output, already verified against the received bytes. */
    digest: Uint8Array
    size: number
    output: { bytes: Uint8Array } | { stored: StoredBlock }
    units?: number
    cpuMs: number
    wallMs: number
    /** Absent for the local worker. */
    receipt?: {
      receipt: Receipt
      /** Of this result's leaf. */
      index: number
      /** Siblings from the leaf up to the root, made when asked for; see `verifyPath` of trust. */
      path: () => Uint8Array[]
    }
  }
  | {
    ok: false
    block: number
    attempt: number
    reason: FailureReason
    message: string
    /** ConversionError code when `reason` is `conversion`. */
    code?: string
    details?: Record<string, unknown>
    /** A hint of a refusing worker: milliseconds after which to ask again. */
    retryAfterMs?: number
  }

export interface Beat {
  /** Orders being worked on or queued at the worker. */
  active: number
  /** Milliseconds its event loop was late, at most, since the last beat. */
  loopDelayMs: number
  /** Monotonic progress per running block attempt. */
  progress: Array<{ block: number, attempt: number, done: number }>
}

/** A worker as a job sees it: the local executor and a leased peer look the same. */
export interface Worker {
  /** Peer id as text, or `local`. */
  readonly id: string
  readonly kind: 'local' | 'remote'
  /** Orders it wants in flight so that it never waits for the network; a worker's credits. */
  readonly slots: number
  /** Queues orders; never throws, never blocks. Each ends in exactly one outcome, unless `lost` is called first. */
  dispatch: (orders: Order[]) => void
  cancel: (attempts: Array<{ block: number, attempt: number }>) => void
  /** Ends this job's use of the worker; running attempts are cancelled. */
  close: () => Promise<void>
}

export interface WorkerEvents {
  /** Gathered per tick. */
  outcomes: (outcomes: AttemptOutcome[]) => void
  /** The connection closed, or heartbeats stayed away past the limit. No further outcome comes. Called at most once. */
  lost: (reason: string) => void
  beat?: (beat: Beat) => void
  /** The failure detector doubts that it is at work; said once until `trusted`. What it has stays with it. */
  suspect?: (reason: string) => void
  /** It was heard of again. */
  trusted?: () => void
  /** The worker changed how many orders it takes (drain: 0). */
  slots?: (slots: number) => void
}

/** The requester's side. */
export interface TaskClient {
  start: () => Promise<void>
  stop: () => Promise<void>
  /**
   * Takes (or shares) the lease with a peer and announces the offer. Resolves to a refusal as data.
   */
  attach: (peer: PeerId, offer: Offer, events: WorkerEvents, options: { signal: AbortSignal }) =>
    Promise<{ ok: true, worker: Worker } | { ok: false, reason: FailureReason, message: string, retryAfterMs?: number }>
}

/** The worker's side: serves leases and tasks with the executor. */
export interface TaskServer {
  start: () => Promise<void>
  /** Ends every lease; running engines are cancelled. */
  stop: () => Promise<void>
  /**
   * Takes no new orders, tells every requester, and hands back what has not begun; what runs longer than `deadlineMs` is stopped and handed back, too.
   * Whoever gets something back is not to blame this node. Resolves when nothing is left and everything was delivered, or when work is taken again;
   * rejects with the signal's reason.
   */
  drain: (options: { signal: AbortSignal, deadlineMs?: number }) => Promise<void>
  /** Takes orders again, after `drain`, and tells every requester. */
  resume: () => void
  /** How much it does for others from now on. Without slots, or paused, it takes nothing and hands back what has not begun; what is paused for longer it hands back, too. */
  setAvailability: (availability: WorkerAvailability) => void
  /** For status and metrics. */
  load: () => WorkerLoad
}

export interface WorkerAvailability {
  /** Engines for others. */
  slots: number
  /** Engines at work for others are stopped. */
  paused: boolean
  /** Why it is less than all, in words; requesters are told. */
  reason?: string
}

export interface WorkerLoad {
  leases: number
  /** Orders at work or waiting for an engine. */
  active: number
  draining: boolean
  /** Orders answered with what an earlier lease's order had become. */
  reused: number
  /** Finished results kept for requesters that are gone. */
  kept: number
  /** Conversions of lost leases that run on for a moment. */
  orphans: number
  /** Bytes of disk promised to orders. */
  diskReservedBytes: number
}

export { createTaskClient } from './client.ts'
export { createTaskServer } from './server.ts'
export { TASK_PROTOCOL, LEASE_PROTOCOL, SLICE_BYTES_MAX } from './constants.ts'

// The pure machines behind the two services, for the simulator.
export { createLeaseRequester } from './lease-requester.ts'
export { createLeaseWorker } from './lease-worker.ts'
export { compareGenerations } from './lease-model.ts'
export type {
  AttemptRef, Generation, LeaseFault, OfferRef, OrderRef, Pool, Refusal, RefusalReason, RequesterMessage, ResultRef, Slots, WorkerMessage
} from './lease-model.ts'
export type { LeaseRequester, LeaseRequesterInit, RequesterEffect, RequesterEvent, RequesterView } from './lease-requester-events.ts'
export type { LeaseWorker, LeaseWorkerInit, OfferVerdict, WorkerEffect, WorkerEvent, WorkerView } from './lease-worker-events.ts'
