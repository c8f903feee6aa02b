/**
 * Who offers what: signed adverts, found by *conversion* through capability keys in the Kademlia DHT, by advert records,
 * by asking a peer directly (`advert/1.0.0`) and from memory. A missing record means nothing.
 *
 * @example
 * ```ts
 * const floors = await openFloors({ db: dataDir.db })
 * const network = await createNetwork({ ..., validators: advertValidators({ network: name, floors }), selectors: advertSelectors() })
 * const registry = createRegistry({ network, identity, floors, db: dataDir.db, log })
 * await network.start()
 * await registry.start()
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

/** When and for how much a node works; it refuses the rest anyway, so that these only save others a question. */
export interface PolicyHints {
  /**
   * Minutes of the UTC week (0 = Monday 00:00) between which it takes work, the end excluded: `from` below 10080, `to` greater than `from` by a
   * week at most, so beyond 10080 where it wraps. Empty: always.
   */
  hours: Array<[from: number, to: number]>
  /** Requesters it works for at once. */
  maxLeases: number
  /** Works for whoever passed hello; otherwise for those it trusts. */
  everyone: boolean
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
  policy: PolicyHints
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

/** Where something known of a peer came from. */
export type Source = 'self' | 'direct' | 'dht' | 'gossip' | 'memory'

/** How busy a peer said it was. */
export interface Load { slots: number, busy: number, /** Worst lateness of its event loop, milliseconds. */ loopDelayMs: number }

/** What is said of a peer between two adverts (gossip): verified by whoever passes it on to the registry. */
export interface Observation {
  peer: PeerId
  /** Of the statement; follows the clock like the sequence of adverts and is compared with it. */
  sequence: number
  /** UTC milliseconds. */
  expires: number
  price: string
  unit: string
  draining: boolean
  load: Load
}

export interface ProviderView {
  peer: PeerId
  /** With the newest price and draining known, wherever they came from. */
  advert: Advert
  source: Source
  /** UTC milliseconds when we last had the advert. */
  seen: number
  connected: boolean
  /** Age and origin of what changes more often than the advert. UTC milliseconds. */
  facts: { price: { source: Source, seen: number }, load?: Load & { source: Source, seen: number } }
}

export interface RegistryEvents {
  /** A new or newer advert is known, this node's included; also when a peer comes back and tells the same one. */
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
  /**
   * Providers of a conversion that are connected, other than this node and not draining: known ones first, then whatever
   * the DHT finds and answers; each peer once. Ends when the search does (FIND_TIMEOUT_MS at the latest) or the signal
   * fires; never throws.
   */
  find: (edge: { from: string, to: string }, options: { signal: AbortSignal }) => AsyncIterable<ProviderView>
  /**
   * Takes newer price, draining and load of a peer whose advert is known; emits `advert` if price or draining changed. False if the peer is
   * unknown (then it is looked up in the background, within a budget), or the observation is not newer than what is known.
   */
  observe: (observation: Observation) => boolean
  /** Everything known and not expired, this node included. */
  view: () => ProviderView[]
  /**
   * The advert of one peer: asks it, then the DHT. What comes from the DHT (`source: 'dht'`) is a summary: no resources,
   * speeds, addresses, policy and delegation.
   */
  lookup: (peer: PeerId, options: { signal: AbortSignal }) => Promise<ProviderView | undefined>
}

export { createRegistry, type RegistryInit } from './registry.ts'
export { advertValidators, advertSelectors, type ValidatorInit } from './records.ts'
export { openFloors, type Floors, type FloorsInit } from './floors.ts'
export { AdvertError, ExchangeError } from './errors.ts'
