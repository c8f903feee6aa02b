/** What travels between the simulated nodes, and how they behave. */
import type { OfferRef, OrderRef, RequesterMessage, ResultRef, WorkerMessage } from '../../daemon/task-protocol/lease-model.ts'
import type { LeaseFault } from '../../daemon/task-protocol/lease-model.ts'
import type { PlantedFault } from '../../daemon/coordinator/machine-types.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import type { Value } from './disk.ts'

export type Fault = PlantedFault | LeaseFault

export const FAULTS: Fault[] = [
  'double-accept', 'wrong-merge-order', 'lost-requeue', 'stale-generation-obeyed', 'journal-before-block', 'rename-before-check', 'stale-epoch', 'any-price', 'declared-slots', 'credit-leak', 'lost-cancel'
]

export interface SimOffer extends OfferRef { job: string }
export interface SimOrder extends OrderRef { size: number }
export interface SimResult extends ResultRef { value: Value, message?: string, code?: string, wallMs: number }

export type ToWorker = RequesterMessage<SimOrder, SimOffer>
export type ToRequester = WorkerMessage<SimResult>

/** What workers ask, in steps of what jobs pay at most; sometimes in a unit nobody else counts in. */
export const UNIT = 'credit'
export const PRICES = ['0', '10', '40', '60', '1000'] as const
export const PRICE_LIMITS = ['0', '10', '50'] as const

/** How a worker behaves. */
export interface Conduct {
  slots: number
  asked: Asked
  /** Bytes per millisecond and slot. */
  speed: number
  /** Share of results that are wrong, and how. */
  lies: number
  lie: Value
  /** Share of attempts whose engine crashes, and of those that never end. */
  crashes: number
  hangs: number
}

/** Blocks above this ride a task stream, bytes. */
export const LARGE_BYTES = 1000

/** Silence after which either end of a lease gives the other up, and how often they look, milliseconds. */
export const SILENCE_MS = 1500
export const BEAT_MS = 500
