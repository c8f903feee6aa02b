/**
 * Puts this node's record and capability keys into the DHT: when they change, before they expire, and again when a small
 * network grows, since what was stored with two members should be stored with eight.
 */
import type { KadDHT } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import type { Log } from '../log.ts'
import { pause } from '../network/index.ts'
import { ANNOUNCE_INTERVAL_MIN_MS, ANNOUNCE_PARALLEL_MAX, DHT_OPERATION_TIMEOUT_MS } from './constants.ts'

export interface Announcement {
  key: Uint8Array
  record: Uint8Array
  capabilities: CID[]
}

export interface AnnouncerComponents {
  dht: Pick<KadDHT, 'put' | 'provide' | 'cancelReprovide'>
  /** Whether the DHT knows anybody; while not, nothing is announced, and whoever joins is a reason to. */
  hasPeers: () => boolean
  log: Log
}

export class Announcer {
  readonly #components: AnnouncerComponents
  readonly #intervalMs: number
  #current: Announcement | undefined
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
    const withdrawn = (this.#current?.capabilities ?? []).filter(cid => !announcement.capabilities.some(other => other.equals(cid)))
    this.#current = announcement
    for (const cid of withdrawn) {
      this.#components.dht.cancelReprovide(cid).catch(error => { this.#components.log.debug({ reason: (error as Error).message }, 'a capability could not be withdrawn') })
    }
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
      (limit: AbortSignal) => dht.put(key, record, { signal: limit }),
      ...capabilities.map(cid => (limit: AbortSignal) => dht.provide(cid, { signal: limit }))
    ]
    const queue = work.values()
    await Promise.all(Array.from({ length: ANNOUNCE_PARALLEL_MAX }, async () => {
      for (const operation of queue) {
        if (signal.aborted) return
        await this.#carryOut(operation, AbortSignal.any([signal, AbortSignal.timeout(DHT_OPERATION_TIMEOUT_MS)]))
      }
    }))
  }

  /** A failure costs one announcement; the next one is at most ADVERT_RENEW_MS away. */
  async #carryOut (operation: (signal: AbortSignal) => AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
    try {
      for await (const event of operation(signal)) void event
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#components.log.debug({ reason: (error as Error).message }, 'an announcement in the DHT failed')
    }
  }
}
