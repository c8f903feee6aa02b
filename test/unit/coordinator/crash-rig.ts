/**
 * Jobs whose daemon dies. A first life of the coordinator runs on a disk that writes down what it is told to keep, in order; a later life begins
 * with any beginning of that, as if the power had gone just then, on a disk of its own.
 */
import { hash } from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ConversionError, type BlockRecipe, type SplitBatch, type Toolbox } from '../../../daemon/block-convert/index.ts'
import { createCoordinator, type Coordinator, type JobEvent, type JobReport, type JobRequest, type WorkerSource } from '../../../daemon/coordinator/index.ts'
import type { Clock } from '../../../daemon/coordinator/clock.ts'
import type { CoordinatorInit } from '../../../daemon/coordinator/coordinator.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openDataDir, type BlockStore, type DataDir, type Journal, type StoredBlock } from '../../../daemon/store/index.ts'
import { bytesOf, inProcessToolbox, result, ScriptedWorker, type Work } from './fakes.ts'

/** What a disk was told to keep, in the order in which it does. */
export type Op =
  | { type: 'put', key: string, value: Uint8Array }
  | { type: 'del', key: string }
  | { type: 'block', digest: Uint8Array, bytes: Uint8Array }
  | { type: 'no-block', digest: Uint8Array }
  | { type: 'output', bytes: Uint8Array }

export interface Life {
  dir: DataDir
  coordinator: Coordinator
  events: JobEvent[]
  /** Blocks given to workers. */
  given: number[]
  /** What this life found on the disk, and told it to keep. */
  ops: Op[]
  /** What the store was told of which blocks are needed. */
  needs: (digest: Uint8Array) => boolean
  stop: () => Promise<void>
}

export interface LifeOptions {
  work?: Work
  init?: CoordinatorInit
  /** Blocks before which the schema is widened. */
  widenAt?: number[]
  /** What the splitter waits for before it tells of a change. @default some turns of the event loop */
  beforeWiden?: () => Promise<void>
  /** Names of the workers. */
  workers?: string[]
  /** Changes the disk before the life begins. */
  before?: (dir: DataDir) => Promise<void>
  clock?: Clock
  /** What is different about the toolbox. */
  toolbox?: Partial<Toolbox>
}

/** Turns of the event loop for which the splitter keeps a change of the schema to itself: mostly some blocks are done by then, and some under way. */
const WIDEN_AFTER_TURNS = 40

async function someTurns (): Promise<void> {
  for (let turns = 0; turns < WIDEN_AFTER_TURNS; turns++) await new Promise(setImmediate)
}

/** What a worker makes of a block. */
export function converted (slice: Record<string, unknown> | undefined, input: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify(slice ?? {})}:`), input, Buffer.from('\n')])
}

export const honest: Work = async ({ slice }, input) => result(converted(slice, input))

export class CrashRig {
  readonly base: string
  readonly input: string
  readonly output: string
  #lives = 0

  private constructor (base: string) {
    this.base = base
    this.input = join(base, 'files', 'in.bin')
    this.output = join(base, 'files', 'out.copy')
  }

  static async make (): Promise<CrashRig> {
    const rig = new CrashRig(await mkdtemp(join(tmpdir(), 'weft-crash-')))
    await mkdir(dirname(rig.input))
    return rig
  }

  async remove (): Promise<void> {
    await rm(this.base, { recursive: true, force: true })
  }

  /** Writes the input: `blocks` blocks of `bytes` bytes, each different. */
  async write (blocks: number, bytes: number): Promise<void> {
    await writeFile(this.input, Buffer.concat(Array.from({ length: blocks }, (_, i) => Buffer.alloc(bytes, `${i}.`))))
  }

  /** What the output is to be. */
  async wanted (blockBytes: number, widenAt: number[] = []): Promise<Uint8Array> {
    const data = await readFile(this.input)
    const slice = widenAt.length === 0 ? undefined : { widened: widenAt.length }
    const parts: Uint8Array[] = []
    for (let at = 0; at < data.length; at += blockBytes) parts.push(converted(slice, data.subarray(at, at + blockBytes)))
    return Buffer.concat(parts)
  }

  request (blockBytes: number, changes: Partial<JobRequest> = {}): JobRequest {
    return { inputs: [this.input], to: 'copy', output: this.output, blockBytes, place: 'remote', ...changes }
  }

  /** A life on a disk that keeps the first ops; the output is there if they say so, and a part of one if not. */
  async life (ops: Op[] = [], { work = honest, init = {}, widenAt = [], beforeWiden = someTurns, workers = ['a', 'b'], before, toolbox = {}, clock }: LifeOptions = {}): Promise<Life> {
    const dir = await openDataDir(join(this.base, `data${this.#lives++}`))
    await this.#replay(dir, ops)
    await before?.(dir)
    const kept = [...ops]
    const given: number[] = []
    let needs: (digest: Uint8Array) => boolean = () => { throw new Error('the store was never told') }
    const store = recorded(dir, kept, needed => { needs = needed })
    const source: WorkerSource = {
      async workers (offer, _edge, _request, sink) {
        for (const id of workers) {
          sink.found(new ScriptedWorker(id, 2, offer, sink.events(id), async (order, input, worker) => {
            given.push(order.block)
            return await work(order, input, worker)
          }))
        }
        sink.settled(workers.length)
      }
    }
    const coordinator = createCoordinator({
      toolbox: { ...tagging(widenAt, beforeWiden, kept), ...toolbox },
      store,
      workers: source,
      log: silentLog,
      ...(clock == null ? {} : { clock }),
      removePartials: async path => {
        await rm(partialOf(path), { force: true })
        return 1
      }
    }, init)
    const events: JobEvent[] = []
    coordinator.events.addEventListener('job', ({ detail }) => { events.push(detail) })
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> => (stopped ??= coordinator.stop().then(async () => { await dir.close() }))
    return { dir, coordinator, events, given, ops: kept, needs: digest => needs(digest), stop }
  }

  /** One job from its submission to its end, and the disk at every moment of it. */
  async run (request: JobRequest, options: LifeOptions = {}): Promise<{ report: JobReport, ops: Op[] }> {
    const life = await this.life([], options)
    await life.coordinator.start()
    const report = await (await life.coordinator.submit(request)).done
    await life.stop()
    return { report, ops: life.ops }
  }

  async #replay (dir: DataDir, ops: Op[]): Promise<void> {
    const journal = dir.journal('jobs')
    await rm(this.output, { force: true })
    await rm(partialOf(this.output), { force: true })
    let written = false
    for (const op of ops) {
      if (op.type === 'put') await journal.append(op.key, op.value)
      else if (op.type === 'del') await journal.remove(op.key)
      else if (op.type === 'no-block') await dir.blocks.delete(op.digest)
      else if (op.type === 'output') {
        await writeFile(this.output, op.bytes)
        written = true
      } else {
        const sink = await dir.blocks.sink()
        await sink.write(op.bytes)
        await sink.finish()
      }
    }
    if (!written && ops.length > 0) await writeFile(partialOf(this.output), 'half of it')
  }
}

const partialOf = (path: string): string => join(dirname(path), '.out.copy.partial')

/** Resolves to the report of the one job there is, when it has ended; undefined if there is none. */
export async function ended ({ coordinator }: Life): Promise<JobReport | undefined> {
  const [job] = coordinator.list()
  return job == null ? undefined : await coordinator.get(job.job)?.done
}

/** The disk just after the nth entry of a result, or one of those that follow before anything else is kept. */
export function afterResults (ops: Op[], n: number): Op[] {
  let seen = 0
  const at = ops.findIndex(op => op.type === 'put' && op.key.startsWith('blk/') && ++seen === n)
  if (at < 0) throw new Error(`there were only ${seen} results`)
  return ops.slice(0, at + 1)
}

function recorded (dir: DataDir, ops: Op[], protect: (needed: (digest: Uint8Array) => boolean) => void): Pick<DataDir, 'blocks' | 'journal' | 'scratch'> {
  const put = (key: Uint8Array | string, value: Uint8Array): void => { ops.push({ type: 'put', key: String(key), value: Uint8Array.from(value) }) }
  const keep = async (stored: StoredBlock): Promise<StoredBlock> => {
    ops.push({ type: 'block', digest: stored.digest, bytes: await readFile(stored.path) })
    return stored
  }
  const blocks: BlockStore = Object.assign(Object.create(dir.blocks) as BlockStore, {
    sink: async () => {
      const sink = await dir.blocks.sink()
      return { write: sink.write.bind(sink), abort: sink.abort.bind(sink), finish: async () => await keep(await sink.finish()) }
    },
    get: dir.blocks.get.bind(dir.blocks),
    sweep: dir.blocks.sweep.bind(dir.blocks),
    explained: dir.blocks.explained.bind(dir.blocks),
    protect: (useOf: Parameters<BlockStore['protect']>[0]) => { protect(digest => useOf(digest) === 'needed') },
    delete: async (digest: Uint8Array) => {
      ops.push({ type: 'no-block', digest })
      await dir.blocks.delete(digest)
    }
  })
  return {
    scratch: dir.scratch,
    blocks,
    journal: name => {
      const inner: Journal = dir.journal(name)
      return {
        append: async (key, value) => {
          put(key, value)
          await inner.append(key, value)
        },
        appendThen: (key, value, done) => {
          put(key, value)
          inner.appendThen(key, value, done)
        },
        remove: async key => {
          ops.push({ type: 'del', key })
          await inner.remove(key)
        },
        entries: prefix => inner.entries(prefix),
        stats: () => inner.stats(),
        close: async () => { await inner.close() }
      }
    }
  }
}

/** Blocks of the bytes asked for; results show the schema they were made under. */
function tagging (widenAt: number[], beforeWiden: () => Promise<void>, ops: Op[]): Toolbox {
  const inner = inProcessToolbox()
  const expected = async (recipe: BlockRecipe, inputs: Array<{ path: string }>): Promise<Uint8Array> => {
    const [part] = recipe.parts
    if (part == null || 'bytes' in part) throw new Error('not a block of this splitter')
    const data = await readFile(inputs[0]!.path)
    return converted(recipe.slice, data.subarray(part.offset, part.offset + part.length))
  }
  return {
    ...inner,
    async * split (inputs, _conversion, target): AsyncGenerator<SplitBatch> {
      const data = await readFile(inputs[0]!.path)
      let widened = 0
      for (let at = 0, index = 0; at < data.length; at += target.bytes, index++) {
        if (widenAt.includes(index)) {
          await beforeWiden()
          yield { recipes: [], notes: [], widen: { widened: ++widened } }
        }
        const bytes = data.subarray(at, at + target.bytes)
        yield { recipes: [{ index, parts: [{ input: 0, offset: at, length: bytes.length }], size: bytes.length, digest: hash('sha256', bytes, 'buffer'), origin: { input: 0, line: index + 1 } }], notes: [] }
      }
    },
    async inspect (part, recipe) {
      const found = Buffer.from(await bytesOf(part))
      const head = `${JSON.stringify(recipe.slice ?? {})}:`
      if (!found.toString('latin1', 0, head.length).startsWith(head)) throw new ConversionError('bad-input', 'of another schema')
      // What the output is checked against as a whole.
      return { units: found.length }
    },
    distance: async (inputs, recipe, part) => ({ value: Buffer.from(await bytesOf(part)).equals(await expected(recipe, inputs)) ? 0 : 1, compared: 1 }),
    async output (path, conversion, options) {
      const handle = await open(partialOf(path), 'w')
      await handle.close()
      const writer = await inner.output(path, conversion, options)
      return {
        ...writer,
        async commit () {
          await writer.commit()
          ops.push({ type: 'output', bytes: await readFile(path) })
        }
      }
    }
  }
}
