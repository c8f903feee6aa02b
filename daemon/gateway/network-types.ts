/**
 * The network as this node sees it, and the answers made from that one view. Fields of `/discover`, `/providers`, `/capabilities` and
 * `/prices/spot` have the names of compute.md; everything else is named as in the rest of the API.
 *
 * Money: decimal text, 10^-6 of the unit beside it, per resource hour unless said otherwise. Units are never compared with one another.
 */

/** Bands of the measured round trip: below 3 ms, 10 ms, 30 ms, 100 ms, and beyond. `unknown`: not measured, for instance not connected. */
export type LatencyBandName = 'lan' | 'metro' | 'regional' | 'global' | 'far' | 'unknown'

/** Where something known of a node came from. */
export type FactSource = 'self' | 'direct' | 'dht' | 'gossip' | 'memory'

export interface OfferedConverter {
  id: string
  version: string
  from: string
  to: string
  /** Measured bytes of input per second and slot; 0 = not measured, or not told (DHT). */
  bytesPerSecond: number
  /** What converting a gibibyte costs at the posted price and the measured speed; absent where that is not measured. */
  pricePerGib?: string
}

export interface NodeView {
  peer: string
  operator: string
  self: boolean
  connected: boolean
  /** Where its advert came from. */
  source: string
  /** Milliseconds since the advert was had. */
  ageMs: number
  addresses: string[]
  /** Kinds of resource it offers: 'CPU', or nothing. */
  resourceTypes: string[]
  /** All 0 where only a summary is known (`source` is 'dht'). */
  resources: { cores: number, memoryBytes: number, diskBytes: number, slots: number }
  converters: OfferedConverter[]
  /** In an answer to a question for a conversion: the best measured speed of that, in bytes per second and slot; 0 = not measured. */
  speed?: number
  price: string
  unit: string
  draining: boolean
  /** What changes more often than an advert, with where it came from and its age in milliseconds. */
  facts: {
    price: { source: FactSource, ageMs: number }
    /** `loopDelayMs`, the worst lateness of its event loop, is not told of this node itself. */
    load?: { slots: number, busy: number, loopDelayMs?: number, source: FactSource, ageMs: number }
  }
  /** Measured round trip in milliseconds, 0 for this node itself; absent if not measured. */
  rttMs?: number
  latencyBand: LatencyBandName
  /** What it says it takes. `hours`: minutes of the UTC week from Monday 00:00, empty for always; `open`: whether that is now. */
  policy: { hours: Array<[from: number, to: number]>, maxLeases: number, everyone: boolean, open: boolean }
}

export interface NetworkView {
  /** UTC milliseconds. */
  at: number
  /** What this node counts prices in: `max_price` is meant in it, unless a unit is given. */
  unit: string
  nodes: NodeView[]
}

export const SORTS = ['peer', 'price', 'speed', 'latency', 'age'] as const
export type SortKey = typeof SORTS[number]
/** Without a direction: cheapest, fastest, nearest, freshest first. `speed_asc` is slowest first. */
export type Sort = SortKey | `${SortKey}_asc` | `${SortKey}_desc`

/** Filters of `GET /nodes` and `GET /discover`, named as in the query. A node must pass all of them. */
export interface NodeFilter {
  /** 'CPU', in any case; others are not offered by anybody yet. */
  resource_type?: string
  /** Converter id. */
  converter?: string
  /** Media types or extensions. */
  from?: string
  to?: string
  /** At most this. Free nodes pass in every unit. */
  max_price?: string
  /** Of `max_price`. @default the unit of this node */
  unit?: string
  /** This band or a nearer one; nodes whose round trip was not measured do not pass. */
  latency_band?: LatencyBandName
  /** 10^9 bytes. */
  min_memory_gb?: number
  /** No node offers GPUs yet: above 0, nobody passes. */
  gpu_hours?: number
  /** Neither draining nor outside its hours. */
  available?: boolean
  /** @default 'peer' */
  sort?: Sort
  limit?: number
  /** From the page before, with the same `sort`. */
  cursor?: string
}

/** How fresh the view is that an answer was made from. */
export interface Freshness {
  /** UTC milliseconds. */
  at: number
  /** Nodes known, this one included, and those connected. */
  known: number
  connected: number
  /** Milliseconds since adverts and prices of other nodes were had; absent where there is no other. */
  adverts?: { median: number, oldest: number }
  prices?: { median: number, oldest: number }
}

export interface NodePage {
  nodes: NodeView[]
  /** The conversion that was asked for, in media types; absent where none was. */
  conversion?: { from?: string, to?: string, converter?: string }
  /** Nodes that pass the filter, on all pages. */
  total: number
  /** Absent on the last page. */
  cursor?: string
  view: Freshness
}

export interface DiscoveredOption {
  /** did:key of the operator. */
  provider: string
  node: string
  resource_type: string
  price: string
  unit: string
  /** For people: '0.25 credit/hr'. */
  price_per_hour: string
  latency_band: LatencyBandName
  rtt_ms?: number
  cpu_cores: number
  slots: number
  memory_gb: number
  /** Those that were asked for. */
  converters: Array<{ converter: string, version: string, from: string, to: string, bytes_per_second: number, price_per_gib?: string }>
  age_ms: number
  price_age_ms: number
}

export interface Discovery { endpoint: '/discover', options: DiscoveredOption[], total: number, cursor?: string, view: Freshness }

/** Of several offers, in one unit. The median of an even number is the lower of the two in the middle: a price somebody asks. */
export interface PriceSpread { count: number, min: string, median: string, max: string }

export interface Provider {
  name: string
  operator: string
  type: 'peer_to_peer'
  status: 'live' | 'not_connected' | 'not_offering'
  hosts: number
  connected: number
  /** Slots that take work and are not known to be busy. */
  available_resources: number
  resource_types: string[]
  cpu_cores: number
  memory_gb: number
  converters: number
  /** For people; one range per unit, separated by commas. */
  price_range: string
  prices: Array<{ unit: string } & PriceSpread>
  /** Ways to pay. None yet: prices are posted, nothing is charged. */
  payment: string[]
  /** Of the nearest of its nodes. */
  latency_band: LatencyBandName
  verification: 'results_checked_against_source'
  peers: string[]
  /** Of its freshest advert. */
  age_ms: number
}

export interface ProviderList { endpoint: '/providers', unified_access: true, providers: Provider[], left_out: number, view: Freshness }

export interface Spread { min: number, median: number, max: number }

export interface CapabilityVector {
  nodes: number
  cpu_cores: number
  slots: number
  memory_gb: number
  /** Median posted price in this node's unit, for people. */
  typical_price?: string
  /** Measured throughput in bytes of input per second and slot, over the nodes that measured it. */
  converters: Array<{ converter: string, from: string, to: string, nodes: number, measured: number, bytes_per_second?: Spread }>
}

export interface Capabilities {
  endpoint: '/capabilities'
  description: string
  /** By resource type, over the network. */
  resource_profiles: Record<string, CapabilityVector>
  /** The same of this node alone; absent if it takes no work. */
  this_node?: { peer: string, resource_profiles: Record<string, CapabilityVector> }
  latency_bands: Record<string, string>
  /** Converters not listed for want of room. */
  left_out: number
  view: Freshness
}

export interface SpotPrices {
  /** The unit of `p2p_market`: this node's. */
  unit: string
  /** Median posted price per resource hour by resource type, in whole units, rounded to what a number holds; for comparing, not for paying. */
  p2p_market: Record<string, number>
  /** Nothing is known of prices outside this network. */
  traditional: Record<string, number>
  resources: Array<{ resource_type: string, unit: string } & PriceSpread>
  /** By converter: what nodes that have it ask per resource hour, and per gibibyte where its speed was measured. */
  converters: Array<{ converter: string, from: string, to: string, unit: string, per_gib?: PriceSpread } & PriceSpread>
  left_out: number
  view: Freshness
}

/** A connected member. */
export interface PeerInfo {
  peer: string
  operator: string
  agent: string
  roles: string[]
  address: string
  direction: 'inbound' | 'outbound'
  /** UTC milliseconds. */
  since: number
  rttMs?: number
  band: LatencyBandName
}

/** Somebody this node does not talk to: a peer id, or the did:key of an operator. */
export interface BanInfo { subject: string, reason: string, /** UTC milliseconds. */ since: number }

export interface PostedPrice { price: string, unit: string }
