/** The beacon from the main thread: starts its thread with the first lease, ends it some time after the last. */
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { LinkFaults } from '../link-faults.ts'
import { ControlMemory, LeaseMemory, toLocal, type Arrival } from './beacon-memory.ts'
import { BEACON_ID_BYTES, BEACON_KEY_BYTES } from './beacon-packet.ts'
import type { BeaconOrder, BeaconSocketInit } from './beacon-socket.ts'
import type { BeaconNews } from './beacon-thread.ts'
import {
  BEACON_HEAP_MB, BEACON_IDLE_MS, BEACON_LEASES_MAX, BEACON_MS, BEACON_RESTART_MS, BEACON_RESTART_MS_MAX, BEACON_STACK_MB, BEACON_YOUNG_HEAP_MB, PROGRESS_MS
} from './constants.ts'

/** How to send beacons to a node: told over the lease. */
export interface BeaconOffer {
  /** UDP port at the address of the connection. */
  port: number
  /** 8 bytes by which the receiver knows the lease. */
  id: Uint8Array
  /** 32 bytes that authenticate what is sent to it. */
  key: Uint8Array
}

export interface BeaconLog {
  debug: (fields: object, message: string) => void
  warn: (fields: object, message: string) => void
}

export interface BeaconInit {
  /** Addresses to bind, the first that can be had. */
  addresses: string[]
  /** UDP port. @default 0: any */
  port?: number
  /** Lateness of the main loop, for our own beacons. */
  loopDelay: { worst: () => number }
  log: BeaconLog
  /** @default BEACON_IDLE_MS */
  idleMs?: number
}

/** The beacon of one lease. */
export interface BeaconLink {
  /** Resolves once the socket is bound; not at all if it never is. */
  readonly offer: Promise<BeaconOffer>
  /** Sends to the peer from now on. */
  peer: (host: string, offer: BeaconOffer) => void
  /** What was heard since the last call, oldest first. */
  take: () => Arrival[]
  /** Orders at work for this lease, for our beacons. */
  active: (orders: number) => void
  close: () => void
}

interface Entry {
  open: BeaconOrder & { type: 'open' }
  peer: BeaconOrder | undefined
  offered: (port: number) => void
}

export class Beacon {
  readonly #init: BeaconInit
  readonly #control = new ControlMemory()
  readonly #entries = new Map<string, Entry>()
  #worker: Worker | undefined
  #port: number | undefined
  #incarnation = 0
  #failures = 0
  #progress: NodeJS.Timeout | undefined
  #idle: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined
  #stopped = false
  #faults: LinkFaults = {}
  /** Threads that have not ended yet. */
  readonly #ending = new Set<Promise<unknown>>()

  constructor (init: BeaconInit) {
    this.#init = init
  }

  /** The UDP port, while the thread is at work. */
  get port (): number | undefined {
    return this.#port
  }

  get leases (): number {
    return this.#entries.size
  }

  get sendFailures (): number {
    return this.#control.sendFailures
  }

  /** Milliseconds the thread is, or lately was, late at `now` (`performance.now()`); infinite without one at work. */
  delay (now: number): number {
    const ticks = this.#control.ticks
    return ticks == null ? Number.POSITIVE_INFINITY : Math.max(ticks.lateMs, now - toLocal(ticks.at) - BEACON_MS, 0)
  }

  /** `whose` is the peer's id. Undefined beyond BEACON_LEASES_MAX or after `stop`. */
  open (whose: string): BeaconLink | undefined {
    if (this.#stopped || this.#entries.size >= BEACON_LEASES_MAX) return undefined
    const [id, key, memory] = [randomBytes(BEACON_ID_BYTES), randomBytes(BEACON_KEY_BYTES), new LeaseMemory()]
    const name = id.toString('hex')
    const { promise: offer, resolve } = Promise.withResolvers<BeaconOffer>()
    const entry: Entry = {
      open: { type: 'open', id: name, key, memory: memory.buffer, whose },
      peer: undefined,
      offered: port => { resolve({ port, id, key }) }
    }
    this.#entries.set(name, entry)
    clearTimeout(this.#idle)
    if (this.#worker != null) this.#post(entry.open)
    else if (this.#restart == null) this.#start()
    if (this.#port != null) entry.offered(this.#port)
    let taken = 0
    return {
      offer,
      peer: (host, { port, id: peerId, key: peerKey }) => {
        if (!this.#entries.has(name)) return
        entry.peer = { type: 'peer', id: name, host, port, peerId, peerKey }
        this.#post(entry.peer)
      },
      take () {
        const heard = memory.heard
        if (heard === taken) return []
        const arrivals = memory.since(taken)
        taken = heard
        return arrivals
      },
      active (orders) { memory.active = orders },
      close: () => {
        if (!this.#entries.delete(name)) return
        this.#post({ type: 'close', id: name })
        if (this.#entries.size === 0) this.#rest()
      }
    }
  }

  /** Test networks: what becomes of datagrams from now on. */
  setFaults (faults: LinkFaults): void {
    this.#faults = faults
    this.#post({ type: 'faults', faults })
  }

  /** Resolves when the thread is gone. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.#entries.clear()
    this.#end()
    await Promise.all(this.#ending)
  }

  #post (order: BeaconOrder): void {
    this.#worker?.postMessage(order)
  }

  #rest (): void {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => { this.#end() }, this.#init.idleMs ?? BEACON_IDLE_MS)
    this.#idle.unref()
  }

  #start (): void {
    this.#restart = undefined
    this.#incarnation++
    let worker: Worker
    try {
      worker = this.#thread()
    } catch (error) {
      // The machine gives no more threads: a lease must not fail for that, nor the daemon.
      this.#retry((error as Error).message)
      return
    }
    this.#worker = worker
    this.#count()
    const gone = Promise.withResolvers<void>()
    this.#ending.add(gone.promise)
    worker.on('message', (news: BeaconNews) => {
      if (this.#worker !== worker) return
      if (news.type === 'bound') this.#bound(news.port)
      else this.#failed(worker, news.message)
    })
    worker.on('error', error => { this.#failed(worker, error instanceof Error ? error.message : String(error)) })
    worker.on('exit', () => {
      this.#ending.delete(gone.promise)
      gone.resolve()
      this.#failed(worker, 'its thread ended')
    })
    // After the listeners: one for messages would hold the process again.
    worker.unref()
    this.#post({ type: 'faults', faults: this.#faults })
    for (const { open, peer } of this.#entries.values()) {
      this.#post(open)
      if (peer != null) this.#post(peer)
    }
  }

  /** Throws where no thread can be had. */
  #thread (): Worker {
    const workerData: BeaconSocketInit = { control: this.#control.buffer, addresses: this.#init.addresses, port: this.#init.port ?? 0, incarnation: this.#incarnation }
    // Beside this file, stripped of its types on the fly or beforehand.
    return new Worker(new URL(import.meta.url.endsWith('.ts') ? './beacon-thread.ts' : './beacon-thread.js', import.meta.url), {
      name: 'beacon',
      workerData,
      // Options for the main script would be refused for this one.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: BEACON_HEAP_MB, maxYoungGenerationSizeMb: BEACON_YOUNG_HEAP_MB, stackSizeMb: BEACON_STACK_MB }
    })
  }

  #bound (port: number): void {
    this.#port = port
    this.#failures = 0
    this.#init.log.debug({ port }, 'the beacon is at work')
    for (const { offered } of this.#entries.values()) offered(port)
  }

  /** Until it is back, the leases are judged by their beats. */
  #failed (worker: Worker, message: string): void {
    if (this.#worker !== worker) return
    this.#end()
    this.#retry(message)
  }

  #retry (message: string): void {
    const afterMs = Math.min(BEACON_RESTART_MS * 2 ** this.#failures++, BEACON_RESTART_MS_MAX)
    this.#init.log.warn({ error: message, afterMs }, 'the beacon failed: peers are judged by their beats, which takes longer, until it is started again')
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      if (this.#entries.size > 0) this.#start()
    }, afterMs)
    this.#restart.unref()
  }

  #end (): void {
    clearTimeout(this.#idle)
    clearTimeout(this.#restart)
    clearInterval(this.#progress)
    this.#restart = undefined
    this.#progress = undefined
    this.#port = undefined
    this.#control.reset()
    const worker = this.#worker
    this.#worker = undefined
    worker?.postMessage({ type: 'stop' } satisfies BeaconOrder)
    // It ends by itself; this is for one that hangs, or has not come so far as to listen.
    void worker?.terminate()
  }

  /** Shows that the main loop goes round. */
  #count (): void {
    clearInterval(this.#progress)
    this.#control.progressed(this.#init.loopDelay.worst())
    this.#progress = setInterval(() => { this.#control.progressed(this.#init.loopDelay.worst()) }, PROGRESS_MS)
    this.#progress.unref()
  }
}
