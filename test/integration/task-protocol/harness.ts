/** A requester and a worker on a plain network, with an executor that does what the test says. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Stream, StreamHandler } from '@libp2p/interface'
import type { EngineOutcome, EngineTask, RunOptions, Workspace } from '../../../daemon/executor/index.ts'
import type { Monitor } from '../../../daemon/health/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openBlockStore } from '../../../daemon/store/block-store.ts'
import type { BlockStore } from '../../../daemon/store/index.ts'
import { createTaskClient, createTaskServer, type AttemptOutcome, type Beat, type Offer, type Order, type TaskClient, type TaskServer, type Worker, type WorkerEvents } from '../../../daemon/task-protocol/index.ts'
import type { ServedConverters, ServerPolicy, TaskServerInit } from '../../../daemon/task-protocol/server-types.ts'
import type { TaskClientInit } from '../../../daemon/task-protocol/client-types.ts'
import { plainNetwork, type PlainNetwork } from '../../fixtures/plain-network.ts'

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

/** Converters: `upper` (engine), `echo` (inline, at once), `nap` (inline, later), `grow` (engine, output 4 times the input), `hold` (engine, until cancelled). */
export const converters: ServedConverters = {
  find: (id, version) => {
    if (version !== '1' || !['upper', 'echo', 'nap', 'grow', 'hold', 'bad'].includes(id)) return undefined
    return {
      runs: id === 'echo' || id === 'nap' ? 'inline' : 'process',
      validate: parameters => {
        if ('refuse' in parameters) throw new Error(`bad parameter 'refuse'`)
        return parameters
      }
    }
  }
}

export interface FakeExecutor {
  readonly slots: number
  runs: number
  active: number
  /** Converter ids, in the order in which engines began. */
  started: Array<{ converter: string, parameters: Record<string, unknown> }>
  cancelled: number
  /** Tasks that wait for a slot. */
  readonly waiting: number
  readonly busy: number
  /** Bytes free on its disk. */
  free: number
  freeBytes: () => number
  /** Engines of `hold` finish when this is called. */
  release: () => void
  run: (task: EngineTask, options?: RunOptions) => Promise<EngineOutcome>
  runInline: (converter: string, parameters: Record<string, unknown>, input: Uint8Array, signal?: AbortSignal) => Promise<EngineOutcome> | EngineOutcome
  workspace: () => Promise<Workspace>
}

export async function fakeExecutor (folder: string, slots = 2): Promise<FakeExecutor> {
  let free = slots
  const queue: Array<() => void> = []
  let gate = Promise.withResolvers<void>()
  const take = async (signal?: AbortSignal): Promise<void> => {
    if (free > 0) {
      free--
      return
    }
    await new Promise<void>(resolve => {
      queue.push(resolve)
      signal?.addEventListener('abort', () => {
        const at = queue.indexOf(resolve)
        if (at < 0) return
        queue.splice(at, 1)
        free--
        resolve()
      }, { once: true })
    })
  }
  const give = (): void => {
    const next = queue.shift()
    if (next == null) free++
    else next()
  }
  const bytesOf = async (input: EngineTask['input']): Promise<Uint8Array> => 'bytes' in input ? input.bytes : await readFile(input.path)
  const executor: FakeExecutor = {
    slots,
    runs: 0,
    active: 0,
    started: [],
    cancelled: 0,
    get waiting () { return queue.length },
    get busy () { return slots - free },
    free: Number.MAX_SAFE_INTEGER,
    freeBytes: () => executor.free,
    release () {
      gate.resolve()
      gate = Promise.withResolvers<void>()
    },
    async run (task, options = {}) {
      await take(options.signal)
      executor.runs++
      executor.active++
      executor.started.push({ converter: task.converter, parameters: task.parameters })
      try {
        if (options.signal?.aborted === true) {
          executor.cancelled++
          return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 }
        }
        options.onBegin?.()
        options.onProgress?.(1)
        if (task.converter === 'hold') {
          const cancelled = new Promise<true>(resolve => options.signal?.addEventListener('abort', () => resolve(true), { once: true }))
          if (await Promise.race([gate.promise, cancelled]) === true) {
            executor.cancelled++
            return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 }
          }
        }
        const input = await bytesOf(task.input)
        if (task.converter === 'bad') return { ok: false, reason: 'conversion', code: 'bad-input', message: 'line 3 is wrong', details: { line: 3 }, cpuMs: 1, wallMs: 1 }
        const output = task.converter === 'grow' ? Buffer.concat([input, input, input, input]) : Buffer.from(Buffer.from(input).toString('latin1').toUpperCase(), 'latin1')
        const path = join(task.workspace.path, 'output')
        await writeFile(path, output)
        return { ok: true, output: { path, size: output.length }, units: 7, cpuMs: 1.4, wallMs: 2.6 }
      } finally {
        executor.active--
        give()
      }
    },
    runInline (converter, _parameters, input, signal) {
      if (converter === 'echo') return { ok: true, output: { bytes: input }, units: 1, cpuMs: 0, wallMs: 0 }
      return new Promise(resolve => {
        const timer = setTimeout(() => resolve({ ok: true, output: { bytes: input }, cpuMs: 0, wallMs: 20 }), 20)
        signal?.addEventListener('abort', () => {
          clearTimeout(timer)
          executor.cancelled++
          resolve({ ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: 0 })
        }, { once: true })
      })
    },
    async workspace () {
      const path = await mkdtemp(join(folder, 'block-'))
      return { path, dispose: async () => { await rm(path, { recursive: true, force: true }) } }
    }
  }
  return executor
}

export interface Side { network: PlainNetwork, folder: string }

export interface RequesterSide extends Side { client: TaskClient, store: BlockStore }
export interface WorkerSide extends Side {
  server: TaskServer
  executor: FakeExecutor
  /** Sees every stream before the server does. */
  onStream: ((protocol: string, stream: Stream) => void) | undefined
}

const loopDelay = { worst: () => 0 }

export async function requester (transport: 'memory' | 'tcp', init: TaskClientInit & { monitor?: Monitor } = {}): Promise<RequesterSide> {
  const network = await plainNetwork({ transport })
  const folder = await mkdtemp(join(tmpdir(), 'weft-requester-'))
  const store = await openBlockStore(folder)
  let counter = 0
  const client = createTaskClient({ network, store, identity: network.identity, loopDelay, monitor: init.monitor, log: silentLog, generation: { incarnation: 1, next: () => ++counter } }, init)
  await client.start()
  return { network, folder, client, store }
}

export async function worker (transport: 'memory' | 'tcp', init: TaskServerInit & { monitor?: Monitor, policy?: ServerPolicy, engineSlots?: number, strangers?: boolean } = {}): Promise<WorkerSide> {
  const network = await plainNetwork({ transport, strangers: init.strangers })
  const folder = await mkdtemp(join(tmpdir(), 'weft-worker-'))
  const executor = await fakeExecutor(folder, init.engineSlots)
  const side: Partial<WorkerSide> = {}
  const watched = {
    ...network,
    libp2p: {
      handle: (protocol: string, handler: StreamHandler, options: object) => network.libp2p.handle(protocol, (stream, connection) => {
        side.onStream?.(protocol, stream)
        return handler(stream, connection)
      }, options),
      unhandle: network.libp2p.unhandle.bind(network.libp2p)
    }
  }
  const server = createTaskServer({ network: watched as any, executor, converters, identity: network.identity, loopDelay, monitor: init.monitor, log: silentLog, policy: init.policy }, init)
  await server.start()
  return Object.assign(side, { network, folder, server, executor, onStream: undefined })
}

export async function stopAll (...sides: Array<RequesterSide | WorkerSide>): Promise<void> {
  for (const side of sides) await ('client' in side ? side.client.stop() : side.server.stop())
  for (const side of sides) await side.network.stop()
  for (const side of sides) await rm(side.folder, { recursive: true, force: true })
}

export function offerOf (converter: string, fields: Partial<Offer> = {}): Offer {
  return { job: `job-${converter}`, converter, version: '1', parameters: {}, deadline: 0, outputBytes: 1 << 30, price: '0', unit: 'credit', ...fields }
}

export function orderOf (block: number, bytes: Uint8Array, fields: Partial<Order> = {}): Order {
  return { block, attempt: 1, size: bytes.length, digest: sha256(bytes), bytes, ...fields }
}

/** An order whose input comes as a stream of 100 kB pieces. */
export function streamedOrder (block: number, bytes: Uint8Array, fields: Partial<Order> = {}): Order {
  return {
    ...orderOf(block, bytes, fields),
    bytes: undefined,
    async * open () {
      for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
    },
    ...fields
  }
}

/** Collects what a worker tells, and lets a test wait for it. */
export class Recorder implements WorkerEvents {
  readonly all: AttemptOutcome[] = []
  readonly beats: Beat[] = []
  readonly slotChanges: number[] = []
  readonly doubts: string[] = []
  lostReason: string | undefined
  private waiters: Array<{ ready: () => boolean, resolve: () => void }> = []

  outcomes = (outcomes: AttemptOutcome[]): void => {
    this.all.push(...outcomes)
    this.look()
  }

  lost = (reason: string): void => {
    if (this.lostReason != null) throw new Error('lost was told twice')
    this.lostReason = reason
    this.look()
  }

  beat = (beat: Beat): void => {
    this.beats.push(beat)
    this.look()
  }

  suspect = (reason: string): void => {
    if (this.doubts.length % 2 !== 0) throw new Error('suspect was told twice')
    this.doubts.push(reason)
    this.look()
  }

  trusted = (): void => {
    if (this.doubts.length % 2 === 0) throw new Error('trusted was told of somebody who was')
    this.doubts.push('trusted')
    this.look()
  }

  slots = (slots: number): void => {
    this.slotChanges.push(slots)
    this.look()
  }

  until (ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve()
    return new Promise(resolve => { this.waiters.push({ ready, resolve }) })
  }

  async count (n: number): Promise<AttemptOutcome[]> {
    await this.until(() => this.all.length >= n)
    return this.all
  }

  private look (): void {
    const ready = this.waiters.filter(waiter => waiter.ready())
    this.waiters = this.waiters.filter(waiter => !ready.includes(waiter))
    for (const waiter of ready) waiter.resolve()
  }
}

export async function attach (from: RequesterSide, to: { network: PlainNetwork }, offer: Offer, recorder: WorkerEvents): Promise<Worker> {
  from.network.knows(to.network)
  const answer = await from.client.attach(to.network.identity.peerId, offer, recorder, { signal: AbortSignal.timeout(5000) })
  if (!answer.ok) throw new Error(`refused: ${answer.reason}: ${answer.message}`)
  return answer.worker
}

export { randomBytes }

export const upper = (bytes: Uint8Array): Buffer => Buffer.from(Buffer.from(bytes).toString('latin1').toUpperCase(), 'latin1')
export const text = (length: number, seed = 7): Buffer => Buffer.from(Array.from({ length }, (_, i) => 97 + (i * seed + (i >> 8)) % 26))
export const reasons = (outcomes: AttemptOutcome[]): string[] => outcomes.map(outcome => outcome.ok ? 'ok' : outcome.reason)

/** Replaces bytes on their way out of one stream of the worker's: the first send for which `change` gives something. */
export function tamper (side: WorkerSide, protocols: string[], change: (data: Uint8Array, stream: Stream) => Uint8Array | undefined): void {
  side.onStream = (name, stream) => {
    if (!protocols.some(protocol => name.includes(`/${protocol}/`))) return
    const send = stream.send.bind(stream)
    stream.send = data => {
      const bytes = data.subarray()
      return send(change(bytes, stream) ?? bytes)
    }
  }
}
