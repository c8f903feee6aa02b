/** What travels between the simulated nodes, and how they behave. */
import type { OfferRef, OrderRef, RequesterMessage, ResultRef, WorkerMessage } from '../../daemon/task-protocol/lease-model.ts'
import type { LeaseFault } from '../../daemon/task-protocol/lease-model.ts'
import type { KeptFault, KeptLimits } from '../../daemon/task-protocol/kept-results.ts'
import type { PlantedFault } from '../../daemon/coordinator/machine-types.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import type { DetectorFault } from '../../daemon/health/index.ts'
import type { Value } from './disk.ts'

export type Fault = PlantedFault | LeaseFault | KeptFault | DetectorFault

/** Where each fault is planted: always in production code. */
export const FAULT_PLACES: Record<Fault, 'machine' | 'lease' | 'merge' | 'journal' | 'detector'> = {
  'no-self-doubt': 'detector',
  'never-dead': 'detector',
  'suspect-without-refutation': 'detector',
  'stale-beat-counts': 'detector',
  'progress-ignored': 'detector',
  'drain-takes-new': 'lease',
  'handback-lost': 'lease',
  'resume-forgotten': 'lease',
  'orphan-delivered': 'lease',
  'drain-keeps-queue': 'lease',
  'redelivery-wrong-block': 'lease',
  'redelivery-any-requester': 'lease',
  'redelivery-kept-for-ever': 'lease',
  'hedge-same-worker': 'machine',
  'hedge-unbounded': 'machine',
  'hedge-loser-kept': 'machine',
  'breaker-never-opens': 'machine',
  'breaker-canary-flood': 'machine',
  'suspect-fed': 'machine',
  'lost-requeue-hedged': 'machine',
  'poison-forever': 'machine',
  'double-accept': 'machine',
  'wrong-merge-order': 'merge',
  'lost-requeue': 'machine',
  'stale-generation-obeyed': 'lease',
  'journal-before-block': 'journal',
  'rename-before-check': 'merge',
  'stale-epoch': 'machine',
  'any-price': 'machine',
  'declared-slots': 'machine',
  'credit-leak': 'lease',
  'lost-cancel': 'lease'
}

export const FAULTS = Object.keys(FAULT_PLACES) as Fault[]

export interface SimOffer extends OfferRef { job: string }
/** `input` names what is converted: the same for all who convert it. */
export interface SimOrder extends OrderRef { size: number, poison: boolean, input: string }
export interface SimResult extends ResultRef { value: Value, message?: string, code?: string, wallMs: number, retryAfterMs?: number, input?: string }

export type ToWorker = RequesterMessage<SimOrder, SimOffer>
export type ToRequester = WorkerMessage<SimResult>

/** What workers ask, in steps of what jobs pay at most; sometimes in a unit nobody else counts in. */
export const UNIT = 'credit'
export const PRICES = ['0', '10', '40', '60', '1000'] as const
export const PRICE_LIMITS = ['0', '10', '50'] as const

/** How a worker behaves. */
export interface Conduct {
  /** Orders it takes from one requester at a time. */
  slots: number
  /** Orders it works on at a time, of all requesters together; more wait. */
  engines: number
  /** Leases it grants at a time, and jobs it takes at a time; more are refused with a hint. */
  leasesMax: number
  jobsMax: number
  asked: Asked
  /** Bytes per millisecond and engine. */
  speed: number
  /** Share of results that are wrong, and how. */
  lies: number
  lie: Value
  /** Share of attempts whose engine crashes, and of those that never end. */
  crashes: number
  hangs: number
  /** Share of attempts that take ten times as long as the others. */
  stragglers: number
  /** Sends beacons. */
  beacons: boolean
}

/** Blocks above this ride a task stream, bytes. */
export const LARGE_BYTES = 1000

/** What a worker keeps of results that nobody took, and how long it goes on with what nobody waits for. */
export const KEPT_LIMITS: KeptLimits = { keepMs: 8000, memoryBytes: 400, diskBytes: 30_000, entries: 12 }
export const ORPHAN_MS = 4000

/** Hint with a refusal for lack of room, milliseconds. */
export const HINT_MS = 400
