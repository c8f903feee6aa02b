/**
 * Who offers what: signed adverts, found by *conversion* through capability keys in the Kademlia DHT, by advert records,
 * by asking a peer directly (`advert/1.0.0`) and from memory. A missing record means nothing.
 *
 * @example
 * ```ts
 * await registry.publish({ converters, resources, prices, roles: ['worker'] })
 * for await (const provider of registry.find({ from: 'text/csv', to: 'application/vnd.apache.parquet' }, { signal })) { ... }
 * ```
 */
import type { PeerId } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

export interface ConverterAdvert {
  id: string
  version: string
  from: string
  to: string
  /** Measured bytes of input per second and slot; 0 = not measured yet. */
  bytesPerSecond: number
}

/** The content of an advert, before it is signed. */
export interface AdvertContent {
  resources: { cores: number, memoryBytes: number, diskBytes: number, slots: number }
  converters: ConverterAdvert[]
  /** 10^-6 of the unit per resource hour, decimal. */
  price: string
  unit: string
  roles: string[]
  draining: boolean
}

export interface Advert extends AdvertContent {
  version: 1
  network: string
  peer: string
  operator: string
  /** Operator's delegation to the node key (envelope bytes). */
  delegation: Uint8Array
  addresses: string[]
  /** Strictly increasing, also across restarts. */
  sequence: number
  /** UTC milliseconds. */
  issued: number
  expires: number
}

export interface ProviderView {
  peer: PeerId
  advert: Advert
  source: 'self' | 'direct' | 'dht' | 'gossip' | 'memory'
  /** UTC milliseconds when we last had it. */
  seen: number
  connected: boolean
}

export interface RegistryEvents {
  /** A new or newer advert is known. */
  advert: CustomEvent<ProviderView>
  /** A provider is gone: disconnected and its advert expired, or it said goodbye. */
  gone: CustomEvent<{ peer: PeerId }>
}

export interface Registry {
  readonly events: TypedEventTarget<RegistryEvents>
  start: () => Promise<void>
  stop: () => Promise<void>
  /** Signs and announces what this node offers: to connected peers at once, to the DHT, and again before it expires. */
  publish: (content: AdvertContent) => Promise<void>
  /** Providers of a conversion: known ones first, then whatever the DHT finds; each peer once. Ends when the search does. */
  find: (edge: { from: string, to: string }, options: { signal: AbortSignal }) => AsyncIterable<ProviderView>
  /** Everything known and not expired, this node included. */
  view: () => ProviderView[]
  /** The advert of one peer: asks it, then the DHT. */
  lookup: (peer: PeerId, options: { signal: AbortSignal }) => Promise<ProviderView | undefined>
}

export { createRegistry } from './registry.ts'
export { advertValidators, advertSelectors } from './records.ts'
