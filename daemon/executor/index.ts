/**
 * Runs converters: child processes under rlimits (and bwrap where present), never on the libp2p event loop. A crash, a
 * hang or an out-of-memory kill of an engine costs one block attempt and is reported as such.
 *
 * @example
 * ```ts
 * const executor = createExecutor({ scratch: '/home/me/.local/share/weft/scratch' }, { slots: 2 })
 * await executor.start()
 * const outcome = await executor.run({ converter: 'table/csv-parquet', ... }, { signal })
 * ```
 */
import type { Parameters } from '../block-convert/index.ts'

export interface EngineTask {
  converter: string
  version: string
  /** The job's parameters merged with the block's slice. */
  parameters: Parameters
  /** A file inside `workspace.path`, or small bytes. */
  input: { path: string, size: number } | { bytes: Uint8Array }
  /** Folder made by `executor.workspace()`; the engine's output appears in it. */
  workspace: Workspace
  /** Threads for the engine. @default 1 */
  threads?: number
  limits?: Partial<EngineLimits>
}

export interface EngineLimits {
  /** Resident bytes of the engine process; above it the process is killed (`out-of-memory`). */
  memoryBytes: number
  /** Wall-clock milliseconds without any progress report before the engine counts as hung. */
  stallMs: number
  /** Wall-clock milliseconds for the whole attempt. */
  wallMs: number
  /** Bytes of output (RLIMIT_FSIZE). */
  outputBytes: number
}

/** A private folder for one attempt, removed by `dispose`. */
export interface Workspace {
  path: string
  dispose: () => Promise<void>
}

export type EngineFailure =
  | 'crash'           // the process died by itself
  | 'hang'            // no progress for stallMs, or wallMs passed; killed
  | 'out-of-memory'   // killed by the watchdog or the kernel, or an allocation failed
  | 'output-limit'    // the output grew past its limit
  | 'cancelled'       // the signal fired
  | 'conversion'      // the converter said so: see `code` and `details` (a ConversionError)
  | 'unavailable'     // shutting down, or the process could not be started

export type EngineOutcome =
  | { ok: true, output: { path: string, size: number } | { bytes: Uint8Array }, units?: number, cpuMs: number, wallMs: number }
  | { ok: false, reason: EngineFailure, message: string, code?: string, details?: Record<string, unknown>, cpuMs: number, wallMs: number }

/** What engines may do for others now. Work of this node itself is not limited by it. */
export interface GuestLimit {
  /** Engine processes that may work for others at once, from 0 to the executor's slots. */
  slots: number
  /** Stops the engines that work for others: they keep their memory and use no CPU until it is lifted. */
  paused: boolean
}

export interface RunOptions {
  signal?: AbortSignal
  onProgress?: (done: number) => void
  /** It is work for others: `limitGuests` holds for it. @default false */
  guest?: boolean
  /** It has its slot: from now on it is at work, and was not before. */
  onBegin?: () => void
}

export interface Executor {
  /** Engine processes that may run at once. */
  readonly slots: number
  /** Tasks running now. */
  readonly busy: number
  /** Tasks that wait for a slot. */
  readonly waiting: number
  /** What holds for work for others. */
  readonly guests: GuestLimit
  /** How converters are isolated on this machine, for `status` and adverts. */
  readonly isolation: { bwrap: boolean, rlimits: boolean }
  start: () => Promise<void>
  /** Kills what runs (`unavailable`) and removes every workspace. */
  stop: () => Promise<void>
  workspace: () => Promise<Workspace>
  /**
   * Limits work for others from now on. Of what runs beyond the new slots nothing is stopped; `paused` stops it all at once, and what it
   * misses meanwhile counts against no limit of time.
   */
  limitGuests: (limit: GuestLimit) => void
  /** Bytes free where workspaces lie. Throws the system's error. */
  freeBytes: () => number
  /** Waits for a slot in order of arrival. Never rejects for what an engine does. */
  run: (task: EngineTask, options?: RunOptions) => Promise<EngineOutcome>
  /** Runs an `inline` converter on small bytes in this process without any queueing; the hot path of small blocks. */
  runInline: (converter: string, parameters: Parameters, input: Uint8Array, signal?: AbortSignal) => Promise<EngineOutcome> | EngineOutcome
}

export interface ExecutorInit {
  /** @default the machine's cores */
  slots?: number
  /** `auto`: bwrap where present; `require`: refuse to start without it; `off`: rlimits only. @default 'auto' */
  sandbox?: 'auto' | 'require' | 'off'
  limits?: Partial<EngineLimits>
  /** Milliseconds an idle engine process is kept warm. @default 30000 */
  idleMs?: number
  /** How far engines stand back behind other processes (`nice`), where that program is present. @default 0 */
  niceness?: number
}

export {
  createAvailability, decideAvailability, type Availability, type AvailabilityComponents, type AvailabilityPolicy, type AvailabilityService, type MachineSample
} from './availability.ts'
export { NICENESS } from './constants.ts'
export { createExecutor, type ExecutorComponents } from './executor.ts'
export { withFaults } from './faulty.ts'
export { IsolationError } from './errors.ts'
export { withThroughput, type MeasuredExecutor } from './throughput.ts'
export { selfMeasure, type SelfMeasureComponents } from './self-measure.ts'
