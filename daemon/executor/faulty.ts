/**
 * An executor that misbehaves, for test networks: the faults a worker's profile names.
 *
 * - `wrong`: honest work on an input in which one value was changed (or, where the input is binary, one byte of a text
 *   result): the result is whole and well-formed, and wrong. `wrong:0.1` lies about a tenth of the blocks.
 * - `slow`: every block takes ten times as long, and holds its slot for it. `slow:3` makes it three times.
 * - `silent`: blocks are taken and never answered, while everything else goes on as usual. `silent:0.1` does it to a tenth of them.
 * - `drop`: the work is done and its result lost, or all connections are reset instead, as often the one as the other. `drop:0.2`
 *   does it to a fifth of the blocks, without a number to a tenth.
 *
 * Conversions that answer within the call (`runInline` without a signal) are always answered: nothing could end the wait.
 */
import { open, rename, copyFile, constants } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { converterById } from '../block-convert/index.ts'
import type { EngineOutcome, EngineTask, Executor } from './index.ts'
import { formOf, LIE_WINDOW_BYTES, planLie, type LieForm } from './lie.ts'
import { Slots } from './slots.ts'

/** How many times as long a block takes without a factor of its own. */
const SLOW_FACTOR = 10

/** Milliseconds a slow block takes at least, so that a slow no-op is slow too. */
const SLOW_MS_MIN = 20

/** Share of blocks dropped without a number of its own: enough to be seen, few enough for a job to end. */
const DROP_SHARE = 0.1

export interface Faults {
  /** Probability of a lie per block. */
  wrong: number
  /** Probability that a block is never answered. */
  silent: number
  /** Probability that a result is lost or the connections are reset. */
  drop: number
  /** Times as long as honest work; 1 is not slow. */
  slow: number
}

/** Reads the faults of a profile; those that are not the executor's (`overprice`, `crash-loop`) are left to others. Throws RangeError. */
export function readFaults (faults: string[]): Faults {
  const result: Faults = { wrong: 0, silent: 0, drop: 0, slow: 1 }
  for (const fault of faults) {
    const [name = '', value] = fault.split(':')
    if (name === 'wrong') result.wrong = numberIn(fault, value, 1, 0, 1)
    if (name === 'silent') result.silent = numberIn(fault, value, 1, 0, 1)
    if (name === 'drop') result.drop = numberIn(fault, value, DROP_SHARE, 0, 1)
    if (name === 'slow') result.slow = numberIn(fault, value, SLOW_FACTOR, 1, 1e6)
  }
  return result
}

function numberIn (fault: string, value: string | undefined, initial: number, min: number, max: number): number {
  if (value == null) return initial
  const number = Number(value)
  if (value.trim() === '' || !(number >= min && number <= max)) throw new RangeError(`fault '${fault}': the number must be from ${min} to ${max}`)
  return number
}

/**
 * The executor with the given faults; the executor itself if it has none of them. `random` gives numbers in [0, 1) and
 * makes the faults repeatable; `reset` resets this node's connections. Throws RangeError for a fault it cannot read.
 */
export function withFaults (executor: Executor, faults: string[], random: () => number, reset: () => void = () => {}): Executor {
  const read = readFaults(faults)
  return read.wrong === 0 && read.slow === 1 && read.silent === 0 && read.drop === 0 ? executor : new FaultyExecutor(executor, read, random, reset)
}

class FaultyExecutor implements Executor {
  readonly #inner: Executor
  readonly #faults: Faults
  readonly #random: () => number
  readonly #reset: () => void
  readonly #stopping = new AbortController()
  /** A slow block holds one of these for its whole time: the slots inside are free once the honest work is done. */
  #slots: Slots

  constructor (inner: Executor, faults: Faults, random: () => number, reset: () => void) {
    this.#inner = inner
    this.#faults = faults
    this.#random = random
    this.#reset = reset
    this.#slots = new Slots(inner.slots)
  }

  get slots (): number {
    return this.#inner.slots
  }

  get busy (): number {
    return this.#faults.slow > 1 ? this.#slots.taken : this.#inner.busy
  }

  get waiting (): number {
    return this.#faults.slow > 1 ? this.#slots.waiting : this.#inner.waiting
  }

  get guests (): Executor['guests'] {
    return this.#inner.guests
  }

  limitGuests (limit: Executor['guests']): void {
    this.#inner.limitGuests(limit)
    this.#slots.limitGuests(limit.paused ? 0 : limit.slots)
  }

  freeBytes (): number {
    return this.#inner.freeBytes()
  }

  get isolation (): Executor['isolation'] {
    return this.#inner.isolation
  }

  async start (): Promise<void> {
    await this.#inner.start()
    this.#slots = new Slots(this.#inner.slots)
    this.limitGuests(this.#inner.guests)
  }

  async stop (): Promise<void> {
    this.#slots.close()
    this.#stopping.abort()
    await this.#inner.stop()
  }

  async workspace (): ReturnType<Executor['workspace']> {
    return await this.#inner.workspace()
  }

  async run (task: EngineTask, options: Parameters<Executor['run']>[1] = {}): Promise<EngineOutcome> {
    if (this.#draw(this.#faults.silent)) return await this.#unanswered(options.signal)
    return await this.#dropped(this.#run(task, options), options.signal)
  }

  async #run (task: EngineTask, options: NonNullable<Parameters<Executor['run']>[1]>): Promise<EngineOutcome> {
    const work = async (): Promise<EngineOutcome> => {
      if (!this.#lies()) return await this.#inner.run(task, options)
      const types = converterById(task.converter)
      const { input, lied } = await this.#wrongInput(task, formOf(types?.from ?? ''), types?.from !== 'application/octet-stream')
      const outcome = await this.#inner.run({ ...task, input }, options)
      return lied || !outcome.ok ? outcome : await this.#wrongOutput(outcome, formOf(types?.to ?? ''))
    }
    if (this.#faults.slow === 1) return await work()
    const slot = await this.#slots.take(options.signal, options.guest)
    if (!slot.ok) return { ok: false, reason: slot.reason, message: slot.message, cpuMs: 0, wallMs: 0 }
    try {
      return await this.#slowed(work(), options.signal)
    } finally {
      slot.release()
    }
  }

  runInline (converter: string, parameters: Parameters<Executor['runInline']>[1], input: Uint8Array, signal?: AbortSignal): Promise<EngineOutcome> | EngineOutcome {
    if (signal != null && this.#draw(this.#faults.silent)) return this.#unanswered(signal)
    const outcome = this.#inner.runInline(converter, parameters, this.#lies() ? this.#wrongBytes(input, 'bytes') ?? input : input, signal)
    const slowed = this.#faults.slow === 1 ? outcome : this.#slowed(outcome, signal)
    return signal == null || this.#faults.drop === 0 ? slowed : this.#dropped(slowed, signal)
  }

  #lies (): boolean {
    return this.#draw(this.#faults.wrong)
  }

  #draw (probability: number): boolean {
    return probability > 0 && this.#random() < probability
  }

  /** Waits until nobody wants an answer any more. */
  async #unanswered (signal?: AbortSignal): Promise<EngineOutcome> {
    const started = performance.now()
    const over = signal == null ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal])
    if (!over.aborted) await new Promise<void>(resolve => { over.addEventListener('abort', () => { resolve() }, { once: true }) })
    return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: performance.now() - started }
  }

  async #dropped (work: Promise<EngineOutcome> | EngineOutcome, signal?: AbortSignal): Promise<EngineOutcome> {
    const outcome = await work
    if (!outcome.ok || !this.#draw(this.#faults.drop)) return outcome
    if (this.#draw(0.5)) this.#reset()
    return await this.#unanswered(signal)
  }

  async #slowed (work: Promise<EngineOutcome> | EngineOutcome, signal?: AbortSignal): Promise<EngineOutcome> {
    const started = performance.now()
    const outcome = await work
    if (!outcome.ok) return outcome
    const wait = Math.max(SLOW_MS_MIN, outcome.wallMs * (this.#faults.slow - 1))
    try {
      await delay(wait, undefined, { signal })
    } catch {
      // The delay is only ever ended early by the signal.
      return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: outcome.cpuMs, wallMs: performance.now() - started }
    }
    return { ...outcome, wallMs: outcome.wallMs + wait }
  }

  #wrongBytes (bytes: Uint8Array, form: LieForm): Uint8Array | undefined {
    const from = Math.max(0, bytes.byteLength - LIE_WINDOW_BYTES)
    const lie = planLie(bytes.subarray(from), form, from === 0, this.#random)
    if (lie == null) return undefined
    const changed = Uint8Array.from(bytes)
    changed[from + lie.at] = lie.byte
    return changed
  }

  /** `structured`: a binary input with a structure of its own would only break, so it is left alone. */
  async #wrongInput ({ input, workspace }: EngineTask, form: LieForm, structured: boolean): Promise<{ input: EngineTask['input'], lied: boolean }> {
    if (form === 'bytes' && structured) return { input, lied: false }
    if ('bytes' in input) {
      const changed = this.#wrongBytes(input.bytes, form)
      return changed == null ? { input, lied: false } : { input: { bytes: changed }, lied: true }
    }
    // The caller's file stays as it is: it may be looked at again.
    const path = join(workspace.path, 'lie')
    await copyFile(input.path, path, constants.COPYFILE_FICLONE)
    return { input: { path, size: input.size }, lied: await this.#wrongFile(path, input.size, form) }
  }

  async #wrongOutput (outcome: Extract<EngineOutcome, { ok: true }>, form: LieForm): Promise<EngineOutcome> {
    const { output } = outcome
    if ('bytes' in output) return { ...outcome, output: { bytes: this.#wrongBytes(output.bytes, form) ?? output.bytes } }
    // A new file under the old name, in case an engine still holds the old one.
    const path = `${output.path}.lie`
    await copyFile(output.path, path, constants.COPYFILE_FICLONE)
    await this.#wrongFile(path, output.size, form)
    await rename(path, output.path)
    return outcome
  }

  async #wrongFile (path: string, size: number, form: LieForm): Promise<boolean> {
    const file = await open(path, 'r+')
    try {
      const from = Math.max(0, size - LIE_WINDOW_BYTES)
      const tail = Buffer.alloc(size - from)
      const { bytesRead } = await file.read(tail, 0, tail.byteLength, from)
      const lie = planLie(tail.subarray(0, bytesRead), form, from === 0, this.#random)
      if (lie == null) return false
      await file.write(Uint8Array.of(lie.byte), 0, 1, from + lie.at)
      return true
    } finally {
      await file.close()
    }
  }
}
