/**
 * How much the DHT stores for others. kad-dht itself limits neither the provider records of a peer nor the number of
 * records in all.
 */
import { Record as DhtRecord } from '@libp2p/kad-dht'
import type { Libp2pInit } from 'libp2p'
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

/**
 * A datastore for kad-dht (with its default key prefix) that refuses records beyond the limits; this node's own provider
 * records always fit. Records stored earlier are counted at the first use.
 *
 * @param self this node's peer id, as text
 */
export function withQuota (inner: Datastore, self: string, limits: QuotaLimits = {}): Datastore {
  const ledger = new Ledger(inner, self, limits)
  return override(inner, {
    put: async (key, value, options) => {
      await ledger.admit(key.toString())
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
  readonly #self: string
  readonly #limits: Required<QuotaLimits>
  readonly #providers = new Set<string>()
  readonly #perPeer = new Map<string, number>()
  readonly #values = new Set<string>()
  #loaded: Promise<void> | undefined
  #sweeping: Promise<void> | undefined
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor (inner: Datastore, self: string, limits: QuotaLimits) {
    this.#inner = inner
    this.#self = self
    this.#limits = { providers: PROVIDER_RECORDS_MAX, providersPerPeer: PROVIDER_RECORDS_PER_PEER_MAX, values: VALUE_RECORDS_MAX, ...limits }
  }

  /** @throws DhtQuotaError */
  async admit (key: string): Promise<void> {
    await (this.#loaded ??= this.#load())
    if (key.startsWith(PROVIDER_PREFIX)) this.#admitProvider(key)
    else if (key.startsWith(VALUE_PREFIX)) await this.#admitValue(key)
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
    if (peer !== this.#self) {
      if ((this.#perPeer.get(peer) ?? 0) >= this.#limits.providersPerPeer) throw new DhtQuotaError(`${peer} has ${this.#limits.providersPerPeer} provider records here`)
      if (this.#providers.size >= this.#limits.providers) throw new DhtQuotaError(`${this.#limits.providers} provider records are stored here`)
    }
    this.#add(key)
  }

  async #admitValue (key: string): Promise<void> {
    if (this.#values.has(key)) return
    if (this.#values.size >= this.#limits.values) await this.#sweep()
    if (this.#values.size >= this.#limits.values) throw new DhtQuotaError(`${this.#limits.values} records are stored here`)
    this.#add(key)
  }

  #add (key: string): void {
    if (key.startsWith(VALUE_PREFIX)) {
      this.#values.add(key)
    } else if (key.startsWith(PROVIDER_PREFIX)) {
      this.#providers.add(key)
      const peer = peerOf(key)
      this.#perPeer.set(peer, (this.#perPeer.get(peer) ?? 0) + 1)
    }
  }

  async #load (): Promise<void> {
    for await (const key of this.#inner.queryKeys({ prefix: '/dht' })) this.#add(key.toString())
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
