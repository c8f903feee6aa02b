/** The toolbox over piscina: short tasks in one pool, sessions (a split, an output) in pools of their own. */
import { mkdir, rm } from 'node:fs/promises'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { SESSION_THREADS_MAX, SESSIONS_PER_THREAD, THREAD_IDLE_MS, THREAD_YOUNG_HEAP_MB, TOOLBOX_QUEUE_MAX, TOOLBOX_THREADS } from './constants.ts'
import type { BlockRecipe, BlockSource, BlockTarget, Conversion, Distance, Input } from './index.ts'
import { packParts, unpackError, unpackRecipes, type Outcome, type OutputNews, type OutputOrder, type SplitNews, type SplitOrder } from './thread-messages.ts'
import type { OutputWriter, Prepared, SplitBatch, Toolbox, ToolboxInit } from './toolbox.ts'

export function createToolbox (init: ToolboxInit): Toolbox {
  return new ThreadToolbox(init)
}

/** An output order without its number. */
type Order = OutputOrder extends infer T ? T extends OutputOrder ? Omit<T, 'id'> : never : never

/** Threads start when needed and go away when idle, so a resting daemon pays nothing for them. */
function pool (threads: number, perThread: number): Piscina {
  return new Piscina({
    // Beside this file, stripped of its types on the fly or beforehand.
    filename: new URL(import.meta.url.endsWith('.ts') ? './toolbox-thread.ts' : './toolbox-thread.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: threads,
    concurrentTasksPerWorker: perThread,
    idleTimeout: THREAD_IDLE_MS,
    resourceLimits: { maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB },
    maxQueue: TOOLBOX_QUEUE_MAX,
    // Waiting on atomics would stop a thread's event loop, and with it ports and reads.
    atomics: 'disabled'
  })
}

class ThreadToolbox implements Toolbox {
  readonly #scratch: string
  readonly #tasks: Piscina
  readonly #splits: Piscina
  readonly #outputs: Piscina
  readonly #writers = new Set<ThreadOutput>()
  readonly #stopping = new AbortController()

  constructor (init: ToolboxInit) {
    this.#scratch = init.scratch
    this.#tasks = pool(init.threads ?? TOOLBOX_THREADS, 1)
    // Apart from one another: a job that holds an output must never wait for the split another job holds, and the reverse.
    this.#splits = pool(SESSION_THREADS_MAX, SESSIONS_PER_THREAD)
    this.#outputs = pool(SESSION_THREADS_MAX, SESSIONS_PER_THREAD)
  }

  describe (path: string, from?: string): Promise<Input> {
    return this.#run('describe', { path, from })
  }

  async prepare (inputs: Input[], to: string, settings: Record<string, string>): Promise<Prepared> {
    await mkdir(this.#scratch, { recursive: true })
    return await this.#run('prepare', { inputs, to, settings, scratch: this.#scratch })
  }

  async release ({ copies }: Prepared): Promise<void> {
    // What cannot be removed now goes with the scratch folder at the next start.
    await Promise.all(copies.map(async path => { await rm(path, { force: true }).catch(() => undefined) }))
  }

  materialise (inputs: Input[], recipe: BlockRecipe, path: string): Promise<void> {
    return this.#run('materialise', { inputs, recipe, path })
  }

  hash (path: string): Promise<{ digest: Uint8Array, size: number }> {
    return this.#run('hash', { path })
  }

  inspect (result: BlockSource, recipe: BlockRecipe, conversion: Conversion): Promise<{ units: number }> {
    return this.#run('inspect', { result, recipe, conversion })
  }

  async distance (inputs: Input[], recipe: BlockRecipe, result: BlockSource, conversion: Conversion): Promise<Distance> {
    await mkdir(this.#scratch, { recursive: true })
    return await this.#run('distance', { inputs, recipe, result, conversion, scratch: this.#scratch })
  }

  async * split (inputs: Input[], conversion: Conversion, target: BlockTarget, options: { signal: AbortSignal }): AsyncGenerator<SplitBatch> {
    const signal = AbortSignal.any([options.signal, this.#stopping.signal])
    signal.throwIfAborted()
    const { port1, port2 } = new MessageChannel()
    const inbox = new Inbox<SplitNews>(port2)
    const say = (order: SplitOrder): void => { port2.postMessage(order) }
    const stop = (): void => { inbox.fail(signal.reason) }
    signal.addEventListener('abort', stop)
    const session = this.#splits.run({ task: { inputs, conversion, target }, port: port1 }, { name: 'split', transferList: [port1] })
    // A thread that dies says nothing over the port. One that ends well has said so, in messages that may still be on their way.
    session.catch((error: Error) => { inbox.fail(error) })
    try {
      for (;;) {
        const news = await inbox.next()
        if (news == null) throw new Error('the thread that splits the input ended early')
        if (news.type === 'end') return
        if (news.type === 'error') throw unpackError(news.error)
        say({ type: 'more' })
        yield { recipes: unpackRecipes(news.batch), notes: news.notes, ...(news.widen != null ? { widen: news.widen } : {}) }
      }
    } finally {
      signal.removeEventListener('abort', stop)
      say({ type: 'stop' })
      port2.close()
      // Its outcome came over the port, or is the failure thrown above.
      await session.catch(() => undefined)
    }
  }

  async output (finalPath: string, conversion: Conversion, options: { overwrite: boolean }): Promise<OutputWriter> {
    this.#stopping.signal.throwIfAborted()
    const { port1, port2 } = new MessageChannel()
    const session = this.#outputs.run({ task: { finalPath, conversion, overwrite: options.overwrite }, port: port1 }, { name: 'output', transferList: [port1] })
    const writer = new ThreadOutput(port2, session, () => { this.#writers.delete(writer) })
    this.#writers.add(writer)
    await writer.opened()
    return writer
  }

  async close (): Promise<void> {
    this.#stopping.abort(new Error('the toolbox is closed'))
    await Promise.all(Array.from(this.#writers, writer => writer.abort()))
    await Promise.all([this.#tasks.destroy(), this.#splits.destroy(), this.#outputs.destroy()])
  }

  async #run<T> (name: string, task: unknown): Promise<T> {
    this.#stopping.signal.throwIfAborted()
    const outcome = await this.#tasks.run(task, { name }) as Outcome<T>
    if (!outcome.ok) throw unpackError(outcome.error)
    return outcome.value
  }
}

/** An output whose writer lives in a thread. Orders go out one at a time. */
class ThreadOutput implements OutputWriter {
  readonly #port: MessagePort
  readonly #inbox: Inbox<OutputNews>
  readonly #ended: () => void
  readonly #opening: Promise<unknown>
  #turn: Promise<unknown>
  #nextId = 1
  #over = false

  constructor (port: MessagePort, session: Promise<unknown>, ended: () => void) {
    this.#port = port
    this.#inbox = new Inbox(port)
    this.#ended = ended
    session.catch((error: Error) => { this.#inbox.fail(error) })
    this.#opening = this.#answer()
    // The first order's turn comes after the opening, which tells its own failure.
    this.#turn = this.#opening.then(() => undefined, () => undefined)
  }

  async opened (): Promise<void> {
    try {
      await this.#opening
    } catch (error) {
      this.#end()
      throw error
    }
  }

  async add (parts: BlockSource[]): Promise<void> {
    await this.#order({ type: 'add', parts: packParts(parts) })
  }

  async finish (expected: { units?: number, blocks: number }): Promise<{ size: number, digest: Uint8Array, units: number }> {
    return await this.#order({ type: 'finish', expected }) as { size: number, digest: Uint8Array, units: number }
  }

  async commit (): Promise<void> {
    await this.#order({ type: 'commit' })
    this.#end()
  }

  async reset (conversion?: Conversion): Promise<void> {
    await this.#order({ type: 'reset', conversion })
  }

  async abort (): Promise<void> {
    if (this.#over) return
    try {
      await this.#order({ type: 'abort' })
    } catch {
      // The thread is gone, and with it whoever could remove the file; `removePartials` does it at the next start.
    }
    this.#end()
  }

  #order (order: Order): Promise<unknown> {
    const result = this.#turn.then(async () => {
      if (this.#over) throw new Error('the output is closed')
      const message = { ...order, id: this.#nextId++ }
      this.#port.postMessage(message)
      return await this.#answer()
    })
    // The next order's turn comes whether this one failed or not; the failure reaches its own caller.
    this.#turn = result.then(() => undefined, () => undefined)
    return result
  }

  async #answer (): Promise<unknown> {
    const news = await this.#inbox.next()
    if (news == null) throw new Error('the thread that writes the output ended')
    if (!news.outcome.ok) throw unpackError(news.outcome.error)
    return news.outcome.value
  }

  #end (): void {
    this.#over = true
    this.#port.close()
    this.#ended()
  }
}

/** Messages of a port, pulled. Bounded by the protocol: the other side sends only what was asked for. */
class Inbox<T> {
  readonly #messages: T[] = []
  #failure: { error: unknown } | undefined
  #closed = false
  #wake: (() => void) | undefined

  constructor (port: MessagePort) {
    port.on('message', (message: T) => {
      this.#messages.push(message)
      this.#wake?.()
    })
    port.on('close', () => { this.close() })
  }

  fail (error: unknown): void {
    this.#failure ??= { error }
    this.#wake?.()
  }

  close (): void {
    this.#closed = true
    this.#wake?.()
  }

  /** The next message; undefined once the other side is gone and all it said was read. Throws what `fail` was given. */
  async next (): Promise<T | undefined> {
    for (;;) {
      if (this.#failure != null) throw this.#failure.error
      const message = this.#messages.shift()
      if (message != null) return message
      if (this.#closed) return undefined
      await new Promise<void>(resolve => { this.#wake = resolve })
      this.#wake = undefined
    }
  }
}
