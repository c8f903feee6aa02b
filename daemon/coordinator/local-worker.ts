/** The local executor as a worker: takes orders like a leased peer, without a wire. */
import { converterById, type Parameters, type Toolbox } from '../block-convert/index.ts'
import type { Executor, EngineOutcome } from '../executor/index.ts'
import { StoreFullError, type BlockStore } from '../store/index.ts'
import type { AttemptOutcome, Offer, Order, Worker, WorkerEvents } from '../task-protocol/index.ts'
import { hash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { conversionCode } from './job-errors.ts'

/** Orders of a built-in converter in flight: it is done within the same tick, so this only sizes the batches. */
const INLINE_SLOTS = 128
/** Orders beyond the engines there are, so that the next block's input is ready when an engine is free. */
const PREFETCH_SLOTS = 1

/** An order that can say where its bytes are, so that a thread may fetch them instead of this one. */
export interface LocalOrder extends Order {
  /** Writes the input to a new file and verifies it. Throws ConversionError. */
  materialise?: (path: string) => Promise<void>
}

export interface LocalWorkerComponents {
  executor: Pick<Executor, 'slots' | 'workspace' | 'run' | 'runInline'>
  toolbox: Pick<Toolbox, 'hash'>
  blocks: Pick<BlockStore, 'adopt' | 'explained'>
}

type EngineFailed = Extract<EngineOutcome, { ok: false }>

/**
 * A worker over this node's executor, for one job. Its id is `local`.
 *
 * @example
 * ```ts
 * sink.found(createLocalWorker({ executor, toolbox, blocks }, offer, sink.events('local')))
 * ```
 */
export function createLocalWorker (components: LocalWorkerComponents, offer: Offer, events: WorkerEvents): Worker {
  return new LocalWorker(components, offer, events)
}

class LocalWorker implements Worker {
  readonly id = 'local'
  readonly kind = 'local'
  readonly slots: number
  readonly #components: LocalWorkerComponents
  readonly #offer: Offer
  readonly #events: WorkerEvents
  readonly #inline: boolean
  readonly #running = new Map<string, AbortController>()
  readonly #tasks = new Set<Promise<void>>()
  #gathered: AttemptOutcome[] = []
  #closed = false

  constructor (components: LocalWorkerComponents, offer: Offer, events: WorkerEvents) {
    this.#components = components
    this.#offer = offer
    this.#events = events
    this.#inline = converterById(offer.converter, offer.version)?.runs === 'inline'
    this.slots = this.#inline ? INLINE_SLOTS : components.executor.slots + PREFETCH_SLOTS
  }

  dispatch (orders: Order[]): void {
    for (const order of orders) {
      if (this.#closed) this.#tell(failure(order, 'cancelled', 'the worker was closed'))
      else if (this.#inline && order.bytes != null) this.#runHere(order, order.bytes)
      else this.#start(order, async signal => await this.#runEngine(order, signal))
    }
  }

  cancel (attempts: Array<{ block: number, attempt: number }>): void {
    for (const attempt of attempts) this.#running.get(nameOf(attempt))?.abort()
  }

  async close (): Promise<void> {
    this.#closed = true
    for (const controller of this.#running.values()) controller.abort()
    await Promise.all(this.#tasks)
  }

  /** Built-in converters on small bytes: no process, no file, mostly not even a promise. */
  #runHere (order: Order, bytes: Uint8Array): void {
    const outcome = this.#components.executor.runInline(this.#offer.converter, this.#parameters(order), bytes)
    if (!(outcome instanceof Promise)) this.#tell(this.#inlineOutcome(order, outcome))
    else {
      this.#start(order, async signal => {
        const done = this.#inlineOutcome(order, await outcome)
        return signal.aborted ? failure(order, 'cancelled', 'cancelled') : done
      })
    }
  }

  #inlineOutcome (order: Order, outcome: EngineOutcome): AttemptOutcome {
    if (!outcome.ok) return engineFailure(order, outcome)
    if (!('bytes' in outcome.output)) return failure(order, 'crash', 'a built-in converter wrote a file')
    return good(order, outcome, hash('sha256', outcome.output.bytes, 'buffer'), outcome.output.bytes.byteLength, outcome.output)
  }

  #start (order: Order, work: (signal: AbortSignal) => Promise<AttemptOutcome>): void {
    const name = nameOf(order)
    const controller = new AbortController()
    this.#running.set(name, controller)
    const task = work(controller.signal)
      .catch(async (error: unknown) => fromThrown(order, await this.#components.blocks.explained(error)))
      .then(outcome => {
        this.#running.delete(name)
        this.#tasks.delete(task)
        this.#tell(outcome)
      })
    this.#tasks.add(task)
  }

  async #runEngine (order: Order, signal: AbortSignal): Promise<AttemptOutcome> {
    const { executor, toolbox, blocks } = this.#components
    const workspace = await executor.workspace()
    try {
      let input: { path: string, size: number } | { bytes: Uint8Array }
      if (order.bytes != null) input = { bytes: order.bytes }
      else {
        input = { path: join(workspace.path, 'input'), size: order.size }
        await fetchInput(order, input.path, signal)
      }
      if (signal.aborted) return failure(order, 'cancelled', 'cancelled')
      const { converter, version, outputBytes } = this.#offer
      const outcome = await executor.run({ converter, version, parameters: this.#parameters(order), input, workspace, limits: { outputBytes } }, { signal })
      if (!outcome.ok) {
        // Engines work on the disk of the store, too; what they say of it is told in the same words.
        const told = await blocks.explained(new Error(outcome.message)) as Error
        return engineFailure(order, { ...outcome, message: told.message })
      }
      const { output } = outcome
      if ('bytes' in output) return good(order, outcome, hash('sha256', output.bytes, 'buffer'), output.bytes.byteLength, output)
      const { digest, size } = await toolbox.hash(output.path)
      return good(order, outcome, digest, size, { stored: await blocks.adopt(output.path, digest, size) })
    } finally {
      await workspace.dispose()
    }
  }

  #parameters (order: Order): Parameters {
    return order.slice == null ? this.#offer.parameters : { ...this.#offer.parameters, ...order.slice }
  }

  /** Gathered per tick, like those of a peer. */
  #tell (outcome: AttemptOutcome): void {
    if (this.#gathered.push(outcome) > 1) return
    queueMicrotask(() => {
      const outcomes = this.#gathered
      this.#gathered = []
      this.#events.outcomes(outcomes)
    })
  }
}

async function fetchInput (order: LocalOrder, path: string, signal: AbortSignal): Promise<void> {
  if (order.materialise != null) await order.materialise(path)
  else if (order.open != null) await pipeline(order.open(signal), createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal })
  else throw new Error('the order brings no input')
}

function nameOf ({ block, attempt }: { block: number, attempt: number }): string {
  return `${block}/${attempt}`
}

function good (order: Order, outcome: Extract<EngineOutcome, { ok: true }>, digest: Uint8Array, size: number, output: Extract<AttemptOutcome, { ok: true }>['output']): AttemptOutcome {
  return { ok: true, block: order.block, attempt: order.attempt, digest, size, output, units: outcome.units, cpuMs: outcome.cpuMs, wallMs: outcome.wallMs }
}

function failure (order: Order, reason: 'cancelled' | 'crash' | 'unavailable' | 'store', message: string): AttemptOutcome {
  return { ok: false, block: order.block, attempt: order.attempt, reason, message }
}

function engineFailure (order: Order, { reason, message, code, details }: EngineFailed): AttemptOutcome {
  return { ok: false, block: order.block, attempt: order.attempt, reason, message, code, details }
}

/** What is thrown here comes of fetching the input, or of the scratch space or the store. */
function fromThrown (order: Order, error: unknown): AttemptOutcome {
  const said = error instanceof Error ? error.message : String(error)
  // The store itself refused. The system's own ENOSPC may be over with the next engine's files, so that is tried again.
  if (error instanceof StoreFullError && error.cause == null) return failure(order, 'store', said)
  const code = conversionCode(error)
  if (code == null) return failure(order, 'unavailable', said)
  return { ok: false, block: order.block, attempt: order.attempt, reason: 'conversion', message: said, code, details: (error as { details?: Record<string, unknown> }).details }
}
