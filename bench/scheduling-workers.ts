/**
 * A process with many workers: each is a libp2p node with the production task server over TCP, and an executor whose work is to wait as long as the block
 * says. Started by `startWorkers`; told nothing but how many.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { sleepMs } from '../daemon/block-convert/probe/converters.ts'
import { createLoopDelay } from '../daemon/health/index.ts'
import { silentLog } from '../daemon/log.ts'
import { createTaskServer } from '../daemon/task-protocol/index.ts'
import type { TaskServerComponents } from '../daemon/task-protocol/server-types.ts'
import { plainNetwork } from '../test/fixtures/plain-network.ts'

export interface WorkerAddress { peerId: string, address: string }

/** One block as its worker saw it. UTC milliseconds. */
export interface Ran { worker: string, from: number, to: number, declaredMs: number }

/** Processes the workers are spread over: one event loop with all of them would be the limit. */
const PROCESSES = 4

export interface Workers {
  addresses: WorkerAddress[]
  /** What ran since it was last asked. */
  ran: () => Promise<Ran[]>
  stop: () => Promise<void>
}

export async function startWorkers (count: number): Promise<Workers> {
  const children: ChildProcess[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(async child => {
      if (child.exitCode != null || child.signalCode != null) return
      const ended = once(child, 'exit')
      if (child.connected) child.disconnect()
      await ended
    }))
  }
  try {
    const parts = Array.from({ length: Math.min(PROCESSES, count) }, (_, i) => Math.floor((count + i) / Math.min(PROCESSES, count)))
    const addresses = await Promise.all(parts.map(async part => {
      const child = fork(import.meta.filename, [String(part)])
      children.push(child)
      return await answer<WorkerAddress[]>(child)
    }))
    return {
      addresses: addresses.flat(),
      ran: async () => (await Promise.all(children.map(async child => {
        const told = answer<Ran[]>(child)
        child.send('ran')
        return await told
      }))).flat(),
      stop
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function answer<T> (child: ChildProcess): Promise<T> {
  const gone = new AbortController()
  try {
    const [message] = await Promise.race([
      once(child, 'message', { signal: gone.signal }) as Promise<[T]>,
      once(child, 'exit', { signal: gone.signal }).then(([code]) => { throw new Error(`a process of workers ended with ${String(code)}`) })
    ])
    return message
  } finally {
    gone.abort()
  }
}

async function startWorker (folder: string, ran: Ran[]): Promise<{ address: WorkerAddress, stop: () => Promise<void> }> {
  const network = await plainNetwork({ transport: 'tcp' })
  const worker = network.identity.peerId.toString()
  const loopDelay = createLoopDelay()
  loopDelay.start()
  let free = true
  const waiting: Array<() => void> = []
  const executor: TaskServerComponents['executor'] = {
    slots: 1,
    async run (task, options = {}) {
      if (free) free = false
      else await new Promise<void>(resolve => waiting.push(resolve))
      const from = Date.now()
      try {
        options.onBegin?.()
        const bytes = 'bytes' in task.input ? task.input.bytes : new Uint8Array()
        const digest = hash('sha256', bytes, 'buffer')
        const declaredMs = sleepMs(Number(task.parameters['milliseconds']), Number(task.parameters['jitter']), digest)
        // Whole milliseconds at least: a timer's lateness is not the scheduler's.
        await delay(declaredMs, undefined, { signal: options.signal })
        ran.push({ worker, from, to: Date.now(), declaredMs })
        return { ok: true, output: { bytes: digest }, units: 1, cpuMs: 0, wallMs: Date.now() - from }
      } catch {
        // Only the signal ends a wait early.
        return { ok: false, reason: 'cancelled', message: 'cancelled', cpuMs: 0, wallMs: Date.now() - from }
      } finally {
        const next = waiting.shift()
        if (next == null) free = true
        else next()
      }
    },
    runInline: () => ({ ok: false, reason: 'unavailable', message: 'engines only', cpuMs: 0, wallMs: 0 }),
    // Nothing is ever written: blocks come with their orders, and results are bytes.
    workspace: async () => ({ path: folder, dispose: async () => {} })
  }
  const server = createTaskServer({ network: network as unknown as TaskServerComponents['network'], executor, identity: network.identity, loopDelay, log: silentLog })
  await server.start()
  return {
    address: { peerId: worker, address: network.libp2p.getMultiaddrs()[0]?.toString() ?? '' },
    stop: async () => {
      await server.stop()
      await network.stop()
      loopDelay.stop()
    }
  }
}

if (import.meta.main) {
  const folder = await mkdtemp(join(tmpdir(), 'weft-bench-workers-'))
  const ran: Ran[] = []
  const all = await Promise.all(Array.from({ length: Number(process.argv[2]) }, async () => await startWorker(folder, ran)))
  process.send?.(all.map(({ address }) => address))
  process.on('message', () => { process.send?.(ran.splice(0)) })
  process.once('disconnect', () => {
    void (async () => {
      await Promise.all(all.map(async ({ stop }) => { await stop() }))
      await rm(folder, { recursive: true, force: true })
      process.exit(0)
    })()
  })
}
