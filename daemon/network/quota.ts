/**
 * How much the DHT stores for others. kad-dht itself limits neither the provider records of a peer nor the number of
 * records in all.
 */
import { createHash } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import type { Libp2pInit } from 'libp2p'
import { fromString } from 'uint8arrays/from-string'
import { PROVIDER_RECORDS_MAX, PROVIDER_RECORDS_PER_PEER_MAX, VALUE_RECORDS_MAX, VALUE_RECORD_OLD_MS } from './constants.ts'
import { DhtQuotaError } from './errors.ts'
import { override } from './override.ts'

export type Datastore = NonNullable<Libp2pInit['datastore']>
type Key = Parameters<Datastore['get']>[0]

export interface QuotaLimits {
  /** @default PROVIDER_RECORDS_MAX */
  providers?: number
  /** @default PROVIDER_RECORDS_PER_PEER_MAX */
  providersPerPeer?: number
  /** @default VALUE_RECORDS_MAX */
  values?: number
}

const PROVIDER_PREFIX = '/dht/provider/'
const VALUE_PREFIX = '/dht/record/'

/** A value stored for others, as far as it matters who makes room for whom. */
export interface Stored {
  /** Brought by the peer its key names: nobody else can have it put there, and each peer has one. */
  own: boolean
  /** How far its key is from this node: the first 48 bits of the XOR of their DHT ids. */
  distance: number
}

/** Whether `a` makes room for `b`: what others brought before what its peer brought, then what is farther away, as others are to hold that. */
export function yields (a: Stored, b: Stored): boolean {
  return a.own === b.own ? a.distance > b.distance : b.own
}

/** The first 48 bits of where something lies in the DHT. */
function place (bytes: Uint8Array): number[] {
  return [...createHash('sha256').update(bytes).digest().subarray(0, 6)]
}

/**
 * A datastore for kad-dht (with its default key prefix) that refuses records beyond the limits; this node's own always fit. When it is full of values,
 * the one that yields to all others goes. Records stored earlier are counted at the first use.
 *
 * @param self this node
 * @param sender whose request is being dealt with; undefined for what this node stores itself
 */
export function withQuota (inner: Datastore, self: PeerId, sender: () => PeerId | undefined, limits: QuotaLimits = {}): Datastore {
  const ledger = new Ledger(inner, self, limits)
  return override(inner, {
    put: async (key, value, options) => {
      await ledger.admit(key, sender() ?? self)
      return await inner.put(key, value, options)
    },
    delete: async (key, options) => {
      await inner.delete(key, options)
      ledger.remove(key.toString())
    }
  })
}

class Ledger {
  readonly #inner: Datastore
  readonly #self: PeerId
  readonly #place: number[]
  readonly #limits: Required<QuotaLimits>
  readonly #providers = new Set<string>()
  readonly #perPeer = new Map<string, number>()
  readonly #values = new Map<string, Stored & { key: Key }>()
  #loaded: Promise<void> | undefined
  #sweeping: Promise<void> | undefined
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor (inner: Datastore, self: PeerId, limits: QuotaLimits) {
    this.#inner = inner
    this.#self = self
    this.#place = place(self.toMultihash().bytes)
    this.#limits = { providers: PROVIDER_RECORDS_MAX, providersPerPeer: PROVIDER_RECORDS_PER_PEER_MAX, values: VALUE_RECORDS_MAX, ...limits }
  }

  /** @throws DhtQuotaError */
  async admit (key: Key, sender: PeerId): Promise<void> {
    await (this.#loaded ??= this.#load())
    const path = key.toString()
    if (path.startsWith(PROVIDER_PREFIX)) this.#admitProvider(path)
    else if (path.startsWith(VALUE_PREFIX)) await this.#admitValue(key, sender)
  }

  remove (key: string): void {
    this.#values.delete(key)
    if (!this.#providers.delete(key)) return
    const peer = peerOf(key)
    const left = (this.#perPeer.get(peer) ?? 1) - 1
    if (left > 0) this.#perPeer.set(peer, left)
    else this.#perPeer.delete(peer)
  }

  #admitProvider (key: string): void {
    if (this.#providers.has(key)) return
    const peer = peerOf(key)
    if (peer !== this.#self.toString()) {
      if ((this.#perPeer.get(peer) ?? 0) >= this.#limits.providersPerPeer) throw new DhtQuotaError(`${peer} has ${this.#limits.providersPerPeer} provider records here`)
      if (this.#providers.size >= this.#limits.providers) throw new DhtQuotaError(`${this.#limits.providers} provider records are stored here`)
    }
    this.#addProvider(key)
  }

  async #admitValue (key: Key, sender: PeerId): Promise<void> {
    const path = key.toString()
    const name = nameOf(path)
    const own = new TextDecoder().decode(name).endsWith(`/${sender.toString()}`)
    const known = this.#values.get(path)
    if (known != null) {
      known.own ||= own
      return
    }
    const stored = { key, own, distance: this.#distance(name) }
    if (this.#values.size >= this.#limits.values) await this.#sweep()
    while (this.#values.size >= this.#limits.values) {
      const worst = this.#worst()
      if (worst == null || (!yields(worst, stored) && !sender.equals(this.#self))) throw new DhtQuotaError(`${this.#limits.values} records are stored here, and this one would be the first to go`)
      this.#values.delete(worst.key.toString())
      await this.#inner.delete(worst.key)
    }
    this.#values.set(path, stored)
  }

  #worst (): Stored & { key: Key } | undefined {
    let worst: Stored & { key: Key } | undefined
    for (const stored of this.#values.values()) if (worst == null || yields(stored, worst)) worst = stored
    return worst
  }

  #distance (name: Uint8Array): number {
    return place(name).reduce((sum, byte, i) => sum * 256 + (byte ^ (this.#place[i] ?? 0)), 0)
  }

  #addProvider (key: string): void {
    this.#providers.add(key)
    const peer = peerOf(key)
    this.#perPeer.set(peer, (this.#perPeer.get(peer) ?? 0) + 1)
  }

  async #load (): Promise<void> {
    for await (const key of this.#inner.queryKeys({ prefix: '/dht' })) {
      const path = key.toString()
      if (path.startsWith(PROVIDER_PREFIX)) this.#addProvider(path)
      // Who brought it is forgotten: its peer will bring it again.
      else if (path.startsWith(VALUE_PREFIX)) this.#values.set(path, { key, own: false, distance: this.#distance(nameOf(path)) })
    }
  }

  /** Removes values nobody renewed. At most once per VALUE_RECORD_OLD_MS / 8: a flood must not make us search again and again. */
  async #sweep (): Promise<void> {
    if (this.#sweeping == null && performance.now() - this.#sweptAt < VALUE_RECORD_OLD_MS / 8) return
    await (this.#sweeping ??= this.#removeOld().finally(() => {
      this.#sweeping = undefined
      this.#sweptAt = performance.now()
    }))
  }

  async #removeOld (): Promise<void> {
    const old: Key[] = []
    for await (const { key, value } of this.#inner.query({ prefix: VALUE_PREFIX })) {
      const received = DhtRecord.deserialize(value).timeReceived
      if (received == null || Date.now() - received.getTime() > VALUE_RECORD_OLD_MS) old.push(key)
    }
    for (const key of old) {
      await this.#inner.delete(key)
      this.remove(key.toString())
    }
  }
}

/** `/dht/provider/<hash>/<peer>` */
function peerOf (key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** `/dht/record/<name in base32>` */
function nameOf (key: string): Uint8Array {
  return fromString(key.slice(VALUE_PREFIX.length), 'base32')
}
