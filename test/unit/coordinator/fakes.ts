/** A toolbox without threads and an executor without processes, over the real converters; and workers that do as they are told. */
import { createHash, hash } from 'node:crypto'
import { mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  ConversionError, converterById, describeInput, familyOf, findConverter, mediaTypeOf, readRecipeBytes,
  type BlockSource, type Conversion, type OutputWriter, type Toolbox
} from '../../../daemon/block-convert/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openDataDir, type DataDir } from '../../../daemon/store/index.ts'
import type { CoordinatorInit } from '../../../daemon/coordinator/coordinator.ts'
import { createCoordinator, createLocalWorker, type Coordinator, type JobEvent, type WorkerSource } from '../../../daemon/coordinator/index.ts'
import type { EngineOutcome, Executor } from '../../../daemon/executor/index.ts'
import type { AttemptOutcome, Offer, Order, Worker, WorkerEvents } from '../../../daemon/task-protocol/index.ts'

export async function bytesOf (source: BlockSource): Promise<Uint8Array> {
  return 'bytes' in source ? source.bytes : await readFile(source.path)
}

export function inProcessToolbox (): Toolbox {
  return {
    describe: async (path, from) => await describeInput(path, from),
    async prepare (inputs, to, settings) {
      const converter = findConverter(inputs[0]!.mediaType, mediaTypeOf(to))
      if (converter == null) throw new ConversionError('unknown-type', 'no converter')
      const { id, version, from, equivalence } = converter
      const { parameters, notes } = await familyOf(id).prepare(inputs, converter, settings, {})
      return { conversion: { converter: { id, version, from, to: converter.to, equivalence }, parameters }, inputs, notes, copies: [] }
    },
    release: async () => {},
    async * split (inputs, conversion, target, { signal }) {
      for await (const item of familyOf(conversion.converter.id).split(inputs, conversion, target)) {
        signal.throwIfAborted()
        yield 'note' in item ? { recipes: [], notes: [item.note], ...('widen' in item ? { widen: item.widen } : {}) } : { recipes: [item], notes: [] }
      }
    },
    async materialise (inputs, recipe, path) {
      const bytes = await readRecipeBytes(recipe, inputs)
      if (Buffer.compare(hash('sha256', bytes, 'buffer'), recipe.digest) !== 0) throw new ConversionError('input-changed', `'${inputs[0]!.path}' changed`)
      await writeFile(path, bytes)
    },
    async hash (path) {
      const bytes = await readFile(path)
      return { digest: hash('sha256', bytes, 'buffer'), size: bytes.length }
    },
    inspect: async (result, recipe, conversion) => await familyOf(conversion.converter.id).inspect(result, recipe, conversion),
    async distance (inputs, recipe, result, conversion) {
      return await familyOf(conversion.converter.id).distance({ bytes: await readRecipeBytes(recipe, inputs) }, result, recipe, conversion)
    },
    output: async (finalPath, conversion, { overwrite }) => await fileWriter(finalPath, conversion, overwrite),
    async close () {}
  }
}

const partialOf = (finalPath: string): string => join(dirname(finalPath), `.${basename(finalPath)}.partial`)

async function removePartials (finalPath: string): Promise<number> {
  await rm(partialOf(finalPath), { force: true })
  return 1
}

async function fileWriter (finalPath: string, conversion: Conversion, overwrite: boolean): Promise<OutputWriter> {
  const family = familyOf(conversion.converter.id)
  const partial = partialOf(finalPath)
  let handle = await open(partial, 'w')
  return {
    async add (parts: BlockSource[]) { for (const part of parts) await handle.write(await bytesOf(part)) },
    async finish (expected: { units?: number, blocks: number }) {
      await handle.close()
      const { units } = await family.inspectWhole(partial, expected, conversion)
      const bytes = await readFile(partial)
      return { size: bytes.length, digest: createHash('sha256').update(bytes).digest(), units }
    },
    async commit () {
      if (!overwrite && await stat(finalPath).then(() => true, () => false)) throw Object.assign(new Error('exists'), { code: 'EEXIST' })
      await rename(partial, finalPath)
    },
    async reset () {
      await handle.close()
      handle = await open(partial, 'w')
    },
    async abort () {
      await handle.close().catch(() => { /* it was closed by finish */ })
      await rm(partial, { force: true })
    }
  }
}

/** Runs converters in this process. */
export function inProcessExecutor (scratch: string, slots = 2): Pick<Executor, 'slots' | 'workspace' | 'run' | 'runInline'> {
  const convert = async (id: string, parameters: Record<string, unknown>, input: BlockSource, output: string, signal: AbortSignal): Promise<EngineOutcome> => {
    try {
      const result = await converterById(id)!.convert(input, parameters, { output, threads: 1, memoryBytes: 1 << 30, signal, progress () {} })
      const made = result.bytes == null ? { path: output, size: (await stat(output)).size } : { bytes: result.bytes }
      return { ok: true, output: made, units: result.units, cpuMs: 1, wallMs: 1 }
    } catch (error) {
      if (signal.aborted) return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 }
      const { name, code, message, details } = error as ConversionError
      return { ok: false, reason: name === 'ConversionError' ? 'conversion' : 'crash', message, code, details, cpuMs: 0, wallMs: 0 }
    }
  }
  return {
    slots,
    async workspace () {
      const path = await mkdtemp(join(scratch, 'work-'))
      return { path, dispose: async () => { await rm(path, { recursive: true, force: true }) } }
    },
    run: async (task, options) => await convert(task.converter, task.parameters, task.input, join(task.workspace.path, 'output'), options?.signal ?? new AbortController().signal),
    runInline: (id, parameters, input) => convert(id, parameters, { bytes: input }, '', new AbortController().signal)
  }
}

export type Work = (order: Order, input: Uint8Array, worker: ScriptedWorker) => Promise<Partial<AttemptOutcome>>

/** A peer in a test: answers orders as `work` says, which may never resolve. */
export class ScriptedWorker implements Worker {
  readonly kind = 'remote'
  readonly id: string
  readonly slots: number
  readonly events: WorkerEvents
  readonly offer: Offer
  readonly received: Order[] = []
  readonly cancelled: Array<{ block: number, attempt: number }> = []
  closed = false
  readonly #work: Work

  constructor (id: string, slots: number, offer: Offer, events: WorkerEvents, work: Work) {
    this.id = id
    this.slots = slots
    this.offer = offer
    this.events = events
    this.#work = work
  }

  dispatch (orders: Order[]): void {
    for (const order of orders) {
      this.received.push(order)
      void this.#run(order)
    }
  }

  async #run (order: Order): Promise<void> {
    const { block, attempt } = order
    try {
      const chunks: Uint8Array[] = []
      if (order.bytes != null) chunks.push(order.bytes)
      else for await (const chunk of order.open!(new AbortController().signal)) chunks.push(chunk)
      const outcome = await this.#work(order, Buffer.concat(chunks), this)
      if (!this.closed) this.events.outcomes([{ block, attempt, ...outcome } as AttemptOutcome])
    } catch (error) {
      if (!this.closed) this.events.outcomes([{ ok: false, block, attempt, reason: 'transfer', message: (error as Error).message }])
    }
  }

  cancel (attempts: Array<{ block: number, attempt: number }>): void {
    this.cancelled.push(...attempts)
  }

  async close (): Promise<void> {
    this.closed = true
  }
}

export function result (bytes: Uint8Array): Partial<AttemptOutcome> {
  return { ok: true, digest: hash('sha256', bytes, 'buffer'), size: bytes.byteLength, output: { bytes }, cpuMs: 1, wallMs: 1 }
}

export interface Bench {
  root: string
  dir: DataDir
  coordinator: Coordinator
  events: JobEvent[]
  /** Files of the user's. */
  file: (name: string, data: Uint8Array | string) => Promise<string>
  path: (name: string) => string
  /** A coordinator over the same data, as after a restart. */
  again: (workers?: WorkerSource, init?: CoordinatorInit) => Coordinator
  close: () => Promise<void>
}

export async function bench (root: string, makeSource?: (local: (offer: Offer, events: WorkerEvents) => Worker) => WorkerSource, toolbox: Toolbox = inProcessToolbox()): Promise<Bench> {
  const dir = await openDataDir(join(root, 'data'))
  const executor = inProcessExecutor(dir.scratch)
  const local = (offer: Offer, events: WorkerEvents): Worker => createLocalWorker({ executor, toolbox, blocks: dir.blocks }, offer, events)
  const source: WorkerSource = makeSource?.(local) ?? localSource(local)
  const make = (workers: WorkerSource, init?: CoordinatorInit): Coordinator => createCoordinator({ toolbox, store: dir, workers, log: silentLog, removePartials }, init)
  const coordinator = make(source)
  const events: JobEvent[] = []
  coordinator.events.addEventListener('job', ({ detail }) => { events.push(detail) })
  await coordinator.start()
  return {
    root,
    dir,
    coordinator,
    events,
    path: name => join(root, name),
    file: async (name, data) => {
      await writeFile(join(root, name), data)
      return join(root, name)
    },
    again: (workers = source, init = undefined) => make(workers, init),
    close: async () => {
      await coordinator.stop()
      await dir.close()
    }
  }
}

export function localSource (local: (offer: Offer, events: WorkerEvents) => Worker): WorkerSource {
  return {
    async workers (offer, _edge, { place }, sink) {
      if (place !== 'remote') sink.found(local(offer, sink.events('local')))
      sink.settled(place === 'remote' ? 0 : 1)
    }
  }
}
