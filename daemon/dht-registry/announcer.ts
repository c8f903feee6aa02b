/**
 * Puts this node's record and capability keys into the DHT: when they change, before they expire, and again when a small
 * network grows, since what was stored with two members should be stored with eight.
 */
import type { KadDHT } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import type { Log } from '../log.ts'
import { pause } from '../network/index.ts'
import { ANNOUNCE_INTERVAL_MIN_MS, ANNOUNCE_PARALLEL_MAX, DHT_OPERATION_TIMEOUT_MS } from './constants.ts'
import type { Edge } from './finder.ts'

export interface Announcement {
  key: Uint8Array
  record: Uint8Array
  /** The conversions offered, each once. */
  capabilities: Edge[]
}

export interface AnnouncerComponents {
  dht: Pick<KadDHT, 'put' | 'provide' | 'cancelReprovide'>
  /** Under which keys a conversion is announced now. Never throws. */
  keysFor: (edge: Edge, signal: AbortSignal) => Promise<CID[]>
  /** Whether the DHT knows anybody; while not, nothing is announced, and whoever joins is a reason to. */
  hasPeers: () => boolean
  log: Log
}

export class Announcer {
  readonly #components: AnnouncerComponents
  readonly #intervalMs: number
  #current: Announcement | undefined
  /** What is announced of each conversion, by `from to`. */
  readonly #provided = new Map<string, CID[]>()
  #dirty = false
  #running: Promise<void> | undefined
  #stop = new AbortController()
  /** Ends the pause after an announcement: there is something new. */
  #wake = new AbortController()

  constructor (components: AnnouncerComponents, intervalMs: number = ANNOUNCE_INTERVAL_MIN_MS) {
    this.#components = components
    this.#intervalMs = intervalMs
  }

  /** Announces in the background; an announcement under way is followed by this one. */
  set (announcement: Announcement): void {
    const offered = new Set(announcement.capabilities.map(nameOf))
    this.#current = announcement
    for (const name of this.#provided.keys()) if (!offered.has(name)) this.#provide(name, [])
    this.#wake.abort()
    this.again()
  }

  /** Announces the same once more. */
  again (): void {
    if (this.#current == null || this.#stop.signal.aborted) return
    this.#dirty = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      // Somebody may have joined between the last look and here.
      if (this.#dirty && this.#components.hasPeers()) this.again()
    })
  }

  async stop (): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run (): Promise<void> {
    const { signal } = this.#stop
    while (this.#dirty && this.#current != null && !signal.aborted) {
      if (!this.#components.hasPeers()) return
      this.#dirty = false
      this.#wake = new AbortController()
      await this.#announce(this.#current, signal)
      await pause(this.#intervalMs, AbortSignal.any([signal, this.#wake.signal]))
    }
  }

  async #announce ({ key, record, capabilities }: Announcement, signal: AbortSignal): Promise<void> {
    const { dht } = this.#components
    const work = [
      async (limit: AbortSignal) => { await drained(dht.put(key, record, { signal: limit })) },
      ...capabilities.map(edge => async (limit: AbortSignal) => { await this.#announceEdge(edge, limit) })
    ]
    const queue = work.values()
    await Promise.all(Array.from({ length: ANNOUNCE_PARALLEL_MAX }, async () => {
      for (const operation of queue) {
        if (signal.aborted) return
        await this.#carryOut(operation, AbortSignal.any([signal, AbortSignal.timeout(DHT_OPERATION_TIMEOUT_MS)]))
      }
    }))
  }

  async #announceEdge (edge: Edge, signal: AbortSignal): Promise<void> {
    const { dht, keysFor } = this.#components
    const keys = await keysFor(edge, signal)
    const isOffered = this.#current?.capabilities.some(({ from, to }) => from === edge.from && to === edge.to) === true
    // It may have been withdrawn in the meantime.
    if (!isOffered) return
    this.#provide(nameOf(edge), keys)
    for (const key of keys) await drained(dht.provide(key, { signal }))
  }

  /** From now on a conversion is announced under these keys: others are no longer renewed. */
  #provide (name: string, keys: CID[]): void {
    for (const cid of this.#provided.get(name) ?? []) {
      if (keys.some(key => key.equals(cid))) continue
      this.#components.dht.cancelReprovide(cid).catch(error => { this.#components.log.debug({ reason: (error as Error).message }, 'a capability could not be withdrawn') })
    }
    if (keys.length === 0) this.#provided.delete(name)
    else this.#provided.set(name, keys)
  }

  /** A failure costs one announcement; the next one is at most ADVERT_RENEW_MS away. */
  async #carryOut (operation: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await operation(signal)
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#components.log.debug({ reason: (error as Error).message }, 'an announcement in the DHT failed')
    }
  }
}

function nameOf ({ from, to }: Edge): string {
  return `${from} ${to}`
}

async function drained (events: AsyncIterable<unknown>): Promise<void> {
  for await (const event of events) void event
}
