import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { IDLE_MEMORY_SHARE, TASKS_PER_PROCESS_MAX } from './constants.ts'
import { EngineProcess } from './engine-process.ts'
import type { Isolation, ProcessLimits } from './isolation.ts'

/**
 * The engine processes there are. A process lives under the limits it was started with, so it is only reused for tasks
 * with the same ones.
 */
export class Pool {
  readonly #isolation: Isolation
  readonly #folder: string
  readonly #size: number
  readonly #idleMs: number
  /** Most recently used last: those at the front are the first to go. */
  readonly #idle: Array<{ process: EngineProcess, timer: NodeJS.Timeout }> = []
  readonly #processes = new Set<EngineProcess>()
  readonly #stop = new AbortController()
  readonly #starting = new Set<Promise<EngineProcess>>()
  #warming: { limits: ProcessLimits, process: Promise<EngineProcess> } | undefined

  /** At most `size` processes at a time, provided no more than that are taken; their folders are made in `folder`. */
  constructor (isolation: Isolation, folder: string, size: number, idleMs: number) {
    this.#isolation = isolation
    this.#folder = folder
    this.#size = size
    this.#idleMs = idleMs
  }

  /** Host process ids, for status and tests. */
  pids (): number[] {
    return [...this.#processes].flatMap(process => process.pid ?? [])
  }

  /** Starts a first process if there is none, so that its imports are done when a task comes. */
  warm (limits: ProcessLimits): void {
    if (this.#processes.size > 0 || this.#starting.size > 0 || this.#stop.signal.aborted) return
    const process = this.#start(limits)
    this.#warming = { limits, process }
    const untaken = (): boolean => {
      if (this.#warming?.process !== process) return false
      this.#warming = undefined
      return true
    }
    process.then(
      started => { if (untaken()) this.give(started) },
      // Whoever took it is told why it failed; if nobody did, the next task tries again and is told.
      () => untaken()
    )
  }

  /** A process of one's own until it is given back. Rejects with EngineStartError. */
  async take (limits: ProcessLimits): Promise<EngineProcess> {
    const at = this.#idle.findLastIndex(({ process }) => same(process.limits, limits))
    const [found] = at < 0 ? [] : this.#idle.splice(at, 1)
    if (found != null) {
      clearTimeout(found.timer)
      return found.process
    }
    const warming = this.#warming
    if (warming != null && same(warming.limits, limits)) {
      this.#warming = undefined
      return await warming.process
    }
    if (this.#processes.size + this.#starting.size >= this.#size) this.#retire(this.#idle[0]?.process)
    return await this.#start(limits)
  }

  /** Gives a process back; it is kept warm if it is fit for another task. */
  give (process: EngineProcess): void {
    const worn = process.tasks >= TASKS_PER_PROCESS_MAX || process.residentBytes() > process.limits.memoryBytes * IDLE_MEMORY_SHARE
    if (!process.alive || worn || this.#stop.signal.aborted) {
      this.#retire(process)
      return
    }
    const timer = setTimeout(() => { this.#retire(process) }, this.#idleMs)
    timer.unref()
    this.#idle.push({ process, timer })
  }

  /** Kills every process; what they run ends as `unavailable`. Resolves when all are gone. */
  async close (): Promise<void> {
    this.#stop.abort()
    for (const { timer } of this.#idle.splice(0)) clearTimeout(timer)
    const kill = (): void => {
      for (const process of this.#processes) process.kill({ reason: 'unavailable', message: 'the executor is stopping' })
    }
    kill()
    await Promise.allSettled(this.#starting)
    // One that became ready in the very moment of the stop.
    kill()
    await Promise.all([...this.#processes].map(async process => { await process.closed }))
  }

  async #start (limits: ProcessLimits): Promise<EngineProcess> {
    const starting = EngineProcess.start(this.#isolation, limits, join(this.#folder, randomUUID()), this.#stop.signal)
    this.#starting.add(starting)
    try {
      const process = await starting
      this.#processes.add(process)
      void process.closed.then(() => { this.#forget(process) })
      return process
    } finally {
      this.#starting.delete(starting)
    }
  }

  #retire (process: EngineProcess | undefined): void {
    if (process == null) return
    process.kill({ reason: 'unavailable', message: 'retired' })
    this.#removeIdle(process)
  }

  #forget (process: EngineProcess): void {
    this.#processes.delete(process)
    this.#removeIdle(process)
  }

  #removeIdle (process: EngineProcess): void {
    const at = this.#idle.findIndex(idle => idle.process === process)
    if (at >= 0) clearTimeout(this.#idle.splice(at, 1)[0]?.timer)
  }
}

function same (a: ProcessLimits, b: ProcessLimits): boolean {
  return a.memoryBytes === b.memoryBytes && a.outputBytes === b.outputBytes
}
