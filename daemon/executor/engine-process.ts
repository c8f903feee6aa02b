import { spawn, type ChildProcess } from 'node:child_process'
import { lstatSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { CANCEL_GRACE_MS, CHANNEL_FD, LAST_WORDS_BYTES, OUTPUT_NAME, START_TIMEOUT_MS, WATCH_MS, FOLDER_MODE } from './constants.ts'
import { EngineStartError } from './errors.ts'
import type { EngineFailure, EngineLimits } from './index.ts'
import { launch, type Isolation, type ProcessLimits } from './isolation.ts'
import { encodeFrame, FrameReader, readFromEngine, type EngineAnswer, type FromEngine, type TaskMessage } from './messages.ts'
import { signalTree } from './process-tree.ts'
import { usageOfTree } from './usage.ts'
import { lastLine, verdictOfDeath, type KillReason } from './verdict.ts'

export type Task = Omit<TaskMessage, 'type' | 'id'>

export interface TaskOptions {
  limits: EngineLimits
  signal?: AbortSignal
  onProgress?: (done: number) => void
}

/** How a task on a process ended. */
export type TaskEnd = { cpuMs: number, wallMs: number } & (EngineAnswer | { ok: false, reason: EngineFailure, message: string })

interface Running {
  id: number
  started: number
  /** Milliseconds it was stopped by `pause`. */
  pausedMs: number
  cpuBefore: number
  cpuNow: number
  peakBytes: number
  /** Milliseconds without progress; of a standstill of our own loop only a bounded part counts, of `pause` nothing. */
  quietMs: number
  watched: number
  done: number
  options: TaskOptions
  stopWatching: () => void
  end: (end: TaskEnd) => void
}

/** One engine process with its folder, channel and watchdog. It has at most one task at a time. */
export class EngineProcess {
  readonly limits: ProcessLimits
  /** Its folder as the daemon sees it. */
  readonly folder: string
  /** Its folder as it sees it. */
  readonly innerFolder: string
  /** Tasks it was given. */
  tasks = 0
  /** Resolves when the process and all it started are gone, and its folder is removed. Never rejects. */
  readonly closed: Promise<void>
  readonly #child: ChildProcess
  readonly #channel: Socket
  readonly #reader = new FrameReader()
  #lastWords = ''
  #running: Running | undefined
  #killed: KillReason | undefined
  #alive = true
  #pausedAt: number | undefined
  #onReady: (() => void) | undefined

  /** Makes the folder, starts the process and waits until it is ready. Rejects with EngineStartError. */
  static async start (isolation: Isolation, limits: ProcessLimits, folder: string, signal: AbortSignal): Promise<EngineProcess> {
    await mkdir(folder, { mode: FOLDER_MODE })
    const process = new EngineProcess(isolation, limits, folder)
    await process.#ready(signal)
    return process
  }

  private constructor (isolation: Isolation, limits: ProcessLimits, folder: string) {
    this.limits = limits
    this.folder = folder
    // Built as it stands beside this file: .ts from the sources, .js from a package.
    const entry = join(import.meta.dirname, `child${import.meta.filename.endsWith('.ts') ? '.ts' : '.js'}`)
    const { file, args, env, folder: inner } = launch(isolation, limits, folder, [entry])
    this.innerFolder = inner
    // A group of its own: an interrupt from the terminal is for the daemon, which decides what becomes of its engines.
    this.#child = spawn(file, args, { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
    this.#channel = this.#child.stdio[CHANNEL_FD] as Socket
    this.#channel.on('data', (chunk: Uint8Array) => { this.#receive(chunk) })
    // A write to a process that just died (EPIPE, ECONNRESET); its end is told by 'close'.
    this.#channel.on('error', () => {})
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.on('data', (chunk: Buffer) => { this.#lastWords = (this.#lastWords + chunk.toString()).slice(-LAST_WORDS_BYTES) })
    }
    this.#child.on('error', error => { this.#lastWords += `\nerror: ${error.message}` })
    this.closed = new Promise(resolve => {
      // 'close' comes when every holder of the channel and the outputs is gone, so after the last of its descendants.
      this.#child.once('close', (code, killedBy) => {
        this.#alive = false
        this.#died(code, killedBy)
        rm(folder, { recursive: true, force: true }).then(resolve, () => {
          // What a dead engine made unremovable stays until the scratch folder is emptied at the next start.
          resolve()
        })
      })
    })
  }

  get alive (): boolean {
    return this.#alive && this.#killed == null
  }

  get pid (): number | undefined {
    return this.#child.pid
  }

  /** Resident bytes of the process and its descendants. */
  residentBytes (): number {
    return this.#child.pid == null ? 0 : usageOfTree(this.#child.pid).rssBytes
  }

  /** Kills the process and all it started; a task it has ends with the reason. */
  kill (reason: KillReason): void {
    if (!this.#alive || this.#killed != null) return
    this.#killed = reason
    if (this.#running != null) this.#measure(this.#running)
    const { pid } = this.#child
    if (pid == null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch (error) {
      // ESRCH: it ended by itself a moment ago, 'close' is on its way.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Stops the process and all it started, so that they use no CPU; that time counts against no limit. Again does nothing. */
  pause (): void {
    const { pid } = this.#child
    if (!this.alive || pid == null || this.#pausedAt != null) return
    this.#watch()
    if (!this.alive) return
    this.#pausedAt = performance.now()
    signalTree(pid, 'SIGSTOP')
  }

  /** Lets it go on after `pause`. */
  resume (): void {
    const { pid } = this.#child
    if (this.#pausedAt == null || pid == null) return
    const now = performance.now()
    if (this.#running != null) {
      this.#running.pausedMs += now - Math.max(this.#pausedAt, this.#running.started)
      this.#running.watched = now
    }
    this.#pausedAt = undefined
    if (this.#alive) signalTree(pid, 'SIGCONT')
  }

  /** Runs a task. Never rejects. After an end that is not an answer the process is gone; see `alive`. */
  async run (task: Task, options: TaskOptions): Promise<TaskEnd> {
    const frame = encodeFrame({ ...task, type: 'task', id: ++this.tasks })
    // What it said over an earlier task must not explain the end of this one.
    this.#lastWords = ''
    return await new Promise(resolve => {
      const now = performance.now()
      const cpuBefore = this.#child.pid == null ? 0 : usageOfTree(this.#child.pid).cpuMs
      const timer = setInterval(() => { this.#watch() }, WATCH_MS)
      const onAbort = (): void => { this.#cancel() }
      const running: Running = {
        id: this.tasks,
        started: now,
        pausedMs: 0,
        cpuBefore,
        cpuNow: cpuBefore,
        peakBytes: 0,
        quietMs: 0,
        watched: now,
        done: 0,
        options,
        stopWatching: () => {
          clearInterval(timer)
          options.signal?.removeEventListener('abort', onAbort)
        },
        end: resolve
      }
      this.#running = running
      if (!this.#alive) {
        this.#died(this.#child.exitCode, this.#child.signalCode)
        return
      }
      this.#channel.write(frame)
      options.signal?.addEventListener('abort', onAbort)
      if (options.signal?.aborted === true) onAbort()
    })
  }

  #receive (chunk: Uint8Array): void {
    try {
      for (const message of this.#reader.push(chunk)) this.#handle(readFromEngine(message))
    } catch (error) {
      this.kill({ reason: 'crash', message: `the engine process said something else than a message: ${error instanceof Error ? error.message : String(error)}` })
    }
  }

  #handle (message: FromEngine): void {
    if (message.type === 'ready') {
      this.#onReady?.()
      return
    }
    const running = this.#running
    // Progress and answers that crossed a cancel or a kill are of no task any more.
    if (running == null || message.id !== running.id || this.#killed != null) return
    if (message.type === 'progress') {
      if (message.done <= running.done) return
      running.done = message.done
      running.quietMs = 0
      running.options.onProgress?.(message.done)
    } else {
      this.#finish(running, { ...message.answer, cpuMs: message.cpuMs })
    }
  }

  #finish (running: Running, end: (EngineAnswer | { ok: false, reason: EngineFailure, message: string }) & { cpuMs: number }): void {
    running.stopWatching()
    this.#running = undefined
    running.end({ ...end, wallMs: this.#workedMs(running, performance.now()) })
  }

  #died (code: number | null, signal: NodeJS.Signals | null): void {
    const running = this.#running
    if (running == null) return
    const verdict = verdictOfDeath({
      killed: this.#killed,
      code,
      signal,
      lastWords: this.#lastWords,
      peakBytes: running.peakBytes,
      memoryBytes: running.options.limits.memoryBytes
    })
    this.#finish(running, { ok: false, ...verdict, cpuMs: running.cpuNow - running.cpuBefore })
  }

  #measure (running: Running): void {
    if (this.#child.pid == null) return
    const usage = usageOfTree(this.#child.pid)
    running.peakBytes = Math.max(running.peakBytes, usage.rssBytes)
    running.cpuNow = Math.max(running.cpuNow, usage.cpuMs)
  }

  #watch (): void {
    const running = this.#running
    if (running == null || this.#killed != null || this.#pausedAt != null) return
    const { limits } = running.options
    const now = performance.now()
    // If our own loop stood still, the engine's progress is waiting in the channel: that time does not count whole.
    running.quietMs += Math.min(now - running.watched, 2 * WATCH_MS)
    running.watched = now
    this.#measure(running)
    if (running.peakBytes > limits.memoryBytes) {
      this.kill({ reason: 'out-of-memory', message: `the engine used ${running.peakBytes} bytes of memory, its limit is ${limits.memoryBytes}` })
    } else if (running.quietMs > limits.stallMs) {
      this.kill({ reason: 'hang', message: `the engine made no progress for ${limits.stallMs} ms` })
    } else if (this.#workedMs(running, now) > limits.wallMs) {
      this.kill({ reason: 'hang', message: `the engine was not done after ${limits.wallMs} ms` })
    } else if (this.#outputBytes() > limits.outputBytes) {
      this.kill({ reason: 'output-limit', message: `the engine wrote more than ${limits.outputBytes} bytes` })
    }
  }

  /** Milliseconds a task took so far, pauses left out. */
  #workedMs ({ started, pausedMs }: Running, now: number): number {
    const pausing = this.#pausedAt == null ? 0 : now - Math.max(this.#pausedAt, started)
    return now - started - pausedMs - pausing
  }

  #outputBytes (): number {
    return lstatSync(join(this.folder, OUTPUT_NAME), { throwIfNoEntry: false })?.size ?? 0
  }

  /** Asks the task to end; what does not end soon is killed, because somebody else waits for the slot. */
  #cancel (): void {
    const running = this.#running
    if (running == null) return
    this.#channel.write(encodeFrame({ type: 'cancel', id: running.id }))
    // One that is stopped cannot answer.
    const timer = setTimeout(() => { this.kill({ reason: 'cancelled', message: 'cancelled' }) }, this.#pausedAt == null ? CANCEL_GRACE_MS : 0)
    const { stopWatching, end } = running
    running.stopWatching = () => {
      clearTimeout(timer)
      stopWatching()
    }
    running.end = ({ cpuMs, wallMs }) => { end({ ok: false, reason: 'cancelled', message: 'cancelled', cpuMs, wallMs }) }
  }

  async #ready (signal: AbortSignal): Promise<void> {
    const timeout = AbortSignal.timeout(START_TIMEOUT_MS)
    const stop = AbortSignal.any([signal, timeout])
    const kill = (): void => { this.kill({ reason: 'unavailable', message: 'stopped while starting' }) }
    const ready = new Promise<boolean>(resolve => { this.#onReady = () => { resolve(true) } })
    stop.addEventListener('abort', kill)
    if (stop.aborted) kill()
    const started = await Promise.race([ready, this.closed.then(() => false)])
    stop.removeEventListener('abort', kill)
    if (started && this.alive) return
    await this.closed
    if (signal.aborted) throw new EngineStartError('the executor is stopping')
    const why = timeout.aborted ? `not ready after ${START_TIMEOUT_MS} ms` : lastLine(this.#lastWords)
    throw new EngineStartError(`an engine process did not start: ${why}`)
  }
}
