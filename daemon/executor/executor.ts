import { randomUUID } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { converterById } from '../block-convert/index.ts'
import {
  CPU_WINDOW_MS, ENGINE_BASE_BYTES, ENGINE_MEMORY_MIN, ENGINE_MEMORY_SHARE, FOLDER_MODE, IDLE_MS_DEFAULT, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN,
  OUTPUT_BYTES_DEFAULT, OUTPUT_NAME, STALL_MS_DEFAULT, WALL_MS_DEFAULT
} from './constants.ts'
import type { EngineProcess, TaskEnd } from './engine-process.ts'
import { FrameError } from './errors.ts'
import type { EngineFailure, EngineLimits, EngineOutcome, EngineTask, Executor, ExecutorInit, GuestLimit, RunOptions, Workspace } from './index.ts'
import { runInline } from './inline.ts'
import { detectIsolation, type Isolation, type ProcessLimits } from './isolation.ts'
import { Pool } from './pool.ts'
import { Slots } from './slots.ts'
import { clear, collect, stage } from './staging.ts'

export interface ExecutorComponents {
  /** A folder on the file system of the block store; the executor works in a folder of its own inside it. */
  scratch: string
}

type Failed = Extract<EngineOutcome, { ok: false }>

/**
 * An executor; nothing runs before `start`, which rejects with IsolationError if the sandbox is required and missing. It
 * may be started again after `stop`. A task may lower the limits given here, never raise them.
 */
export function createExecutor (components: ExecutorComponents, init: ExecutorInit = {}): EngineExecutor {
  return new EngineExecutor(components, init)
}

class EngineExecutor implements Executor {
  readonly slots: number
  readonly limits: EngineLimits
  readonly #scratch: string
  readonly #init: ExecutorInit
  #isolation: Isolation = {}
  /** What the last task ran under: the best guess for the next. */
  #usual: ProcessLimits
  #open: { folder: string, slots: Slots, pool: Pool } | undefined
  #guestLimit: GuestLimit
  /** Engines at work for others. */
  readonly #guestEngines = new Set<EngineProcess>()

  constructor ({ scratch }: ExecutorComponents, init: ExecutorInit) {
    this.#scratch = scratch
    this.#init = init
    this.slots = init.slots ?? availableParallelism()
    if (!Number.isInteger(this.slots) || this.slots < 1) throw new RangeError(`an executor needs at least one slot, not ${this.slots}`)
    this.limits = {
      memoryBytes: Math.min(MEMORY_BYTES_DEFAULT, Math.max(MEMORY_BYTES_MIN, Math.floor(totalmem() / 2 / this.slots))),
      stallMs: STALL_MS_DEFAULT,
      wallMs: WALL_MS_DEFAULT,
      outputBytes: OUTPUT_BYTES_DEFAULT,
      ...init.limits
    }
    this.#usual = this.#processLimits(this.limits)
    this.#guestLimit = { slots: this.slots, paused: false }
  }

  get busy (): number {
    return this.#open?.slots.taken ?? 0
  }

  get waiting (): number {
    return this.#open?.slots.waiting ?? 0
  }

  get guests (): GuestLimit {
    return { ...this.#guestLimit }
  }

  limitGuests ({ slots, paused }: GuestLimit): void {
    if (!Number.isInteger(slots) || slots < 0) throw new RangeError(`${slots} slots for others`)
    this.#guestLimit = { slots: Math.min(slots, this.slots), paused }
    for (const engine of this.#guestEngines) {
      if (paused) engine.pause()
      else engine.resume()
    }
    this.#open?.slots.limitGuests(paused ? 0 : this.#guestLimit.slots)
  }

  freeBytes (): number {
    const { bavail, bsize } = statfsSync(this.#scratch)
    return bavail * bsize
  }

  get isolation (): { bwrap: boolean, rlimits: boolean } {
    return { bwrap: this.#isolation.bwrap != null, rlimits: this.#isolation.prlimit != null }
  }

  /** Host process ids of the engine processes there are. */
  pids (): number[] {
    return this.#open?.pool.pids() ?? []
  }

  async start (): Promise<void> {
    if (this.#open != null) return
    const folder = join(this.#scratch, `executor-${randomUUID()}`)
    const engines = join(folder, 'engines')
    await mkdir(engines, { recursive: true, mode: FOLDER_MODE })
    await mkdir(join(folder, 'workspaces'), { mode: FOLDER_MODE })
    try {
      this.#isolation = await detectIsolation(this.#init.sandbox ?? 'auto', this.limits, engines, this.#init.niceness)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
    this.#open = { folder, slots: new Slots(this.slots), pool: new Pool(this.#isolation, engines, this.slots, this.#init.idleMs ?? IDLE_MS_DEFAULT) }
    this.limitGuests(this.#guestLimit)
  }

  async stop (): Promise<void> {
    const open = this.#open
    if (open == null) return
    this.#open = undefined
    open.slots.close()
    await open.pool.close()
    await rm(open.folder, { recursive: true, force: true })
  }

  /** Rejects if the executor is not running, or with the system's error if the folder cannot be made. */
  async workspace (): Promise<Workspace> {
    const open = this.#open
    if (open == null) throw new Error('the executor is not running')
    open.pool.warm(this.#usual)
    const path = join(open.folder, 'workspaces', randomUUID())
    await mkdir(path, { mode: FOLDER_MODE })
    return { path, dispose: async () => { await rm(path, { recursive: true, force: true }) } }
  }

  async run (task: EngineTask, options: RunOptions = {}): Promise<EngineOutcome> {
    const open = this.#open
    if (open == null) return failure('unavailable', 'the executor is not running')
    if (converterById(task.converter, task.version) == null) {
      return { ...failure('conversion', `this build has no converter ${task.converter} ${task.version}`), code: 'unknown-type' }
    }
    const slot = await open.slots.take(options.signal, options.guest)
    if (!slot.ok) return failure(slot.reason, slot.message)
    try {
      options.onBegin?.()
      return await this.#runInSlot(open.pool, task, options)
    } catch (error) {
      return failure('unavailable', error instanceof Error ? error.message : String(error))
    } finally {
      slot.release()
    }
  }

  runInline (...args: Parameters<Executor['runInline']>): ReturnType<Executor['runInline']> {
    return runInline(...args)
  }

  async #runInSlot (pool: Pool, task: EngineTask, options: RunOptions): Promise<EngineOutcome> {
    const limits = lower(this.limits, task.limits)
    this.#usual = this.#processLimits(limits)
    const taking = pool.take(this.#usual)
    const engine = await unlessAborted(taking, options.signal)
    if (engine == null) {
      // A process that is still starting is for the next task; why it might not start is told to that one.
      taking.then(started => { pool.give(started) }, () => {})
      return failure('cancelled', 'cancelled while an engine process was starting')
    }
    if (options.guest === true) {
      this.#guestEngines.add(engine)
      if (this.#guestLimit.paused) engine.pause()
    }
    try {
      return await this.#runOn(engine, task, limits, options)
    } finally {
      // The next task may be this node's own.
      if (this.#guestEngines.delete(engine)) engine.resume()
      if (engine.alive && !await clear(engine.folder)) engine.kill({ reason: 'unavailable', message: 'its folder could not be emptied' })
      // A killed process must be gone before its slot is free, or there would be more of them than slots.
      if (!engine.alive) await engine.closed
      pool.give(engine)
    }
  }

  async #runOn (engine: EngineProcess, task: EngineTask, limits: EngineLimits, options: RunOptions): Promise<EngineOutcome> {
    const input = await stage(task, engine.folder, engine.innerFolder)
    let end: TaskEnd
    try {
      end = await engine.run({
        converter: task.converter,
        version: task.version,
        parameters: task.parameters,
        input,
        output: join(engine.innerFolder, OUTPUT_NAME),
        threads: task.threads ?? 1,
        memoryBytes: Math.max(ENGINE_MEMORY_MIN, Math.floor((limits.memoryBytes - ENGINE_BASE_BYTES) * ENGINE_MEMORY_SHARE)),
        cpuWindowMs: Math.min(CPU_WINDOW_MS, limits.stallMs / 3)
      }, { limits, ...options })
    } catch (error) {
      // The task never left: its parameters are no DAG-CBOR, or too large.
      const why = error instanceof Error ? error.message : String(error)
      return { ...failure('conversion', error instanceof FrameError ? why : `parameters cannot be encoded: ${why}`), code: 'bad-parameters' }
    }
    if (!end.ok) return end
    const { cpuMs, wallMs } = end
    const units = end.units === undefined ? {} : { units: end.units }
    const tooLarge = (size: number): Failed => ({ ok: false, reason: 'output-limit', message: `the output has ${size} bytes, its limit is ${limits.outputBytes}`, cpuMs, wallMs })
    if (end.bytes != null) {
      return end.bytes.byteLength > limits.outputBytes ? tooLarge(end.bytes.byteLength) : { ok: true, output: { bytes: end.bytes }, ...units, cpuMs, wallMs }
    }
    try {
      const output = await collect(task.workspace, engine.folder)
      if (output == null) return { ok: false, reason: 'conversion', code: 'engine', message: 'the converter wrote no output', cpuMs, wallMs }
      return output.size > limits.outputBytes ? tooLarge(output.size) : { ok: true, output, ...units, cpuMs, wallMs }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      engine.kill({ reason: 'crash', message: error.message })
      return { ok: false, reason: 'conversion', code: 'engine', message: error.message, cpuMs, wallMs }
    }
  }

  /**
   * Limits of a process are those of its tasks, rounded up so that jobs with slightly different ones share processes; the
   * watchdog and the look at the output hold the exact ones.
   */
  #processLimits (limits: EngineLimits): ProcessLimits {
    return {
      memoryBytes: rounded(limits.memoryBytes, this.limits.memoryBytes),
      outputBytes: rounded(limits.outputBytes, this.limits.outputBytes)
    }
  }
}

/** The next power of two, unless `most` is less. */
function rounded (wanted: number, most: number): number {
  return Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))))
}

function failure (reason: EngineFailure, message: string): Failed {
  return { ok: false, reason, message, cpuMs: 0, wallMs: 0 }
}

function lower (ours: EngineLimits, asked: Partial<EngineLimits> = {}): EngineLimits {
  return {
    memoryBytes: Math.min(ours.memoryBytes, asked.memoryBytes ?? Infinity),
    stallMs: Math.min(ours.stallMs, asked.stallMs ?? Infinity),
    wallMs: Math.min(ours.wallMs, asked.wallMs ?? Infinity),
    outputBytes: Math.min(ours.outputBytes, asked.outputBytes ?? Infinity)
  }
}

/** The value, or undefined if the signal fires first. */
async function unlessAborted<T> (promise: Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
  if (signal == null) return await promise
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
  const onAbort = (): void => { resolve(undefined) }
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
