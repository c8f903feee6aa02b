/** Who stands behind the nodes, and what may be had of them. Pure. */
import { GATHERED_ROWS_MAX, PROVIDER_PEERS_MAX } from '../constants.ts'
import type { DiscoveredOption, Discovery, NetworkView, NodePage, NodeView, Provider, ProviderList } from '../network-types.ts'
import { BANDS, isAvailable, isWanted, type Conversion } from './filter.ts'
import { freshnessOf } from './freshness.ts'
import { amountText } from './money.ts'
import { groupBy, priceSpreadOf } from './spread.ts'

/** Nodes by operator, those with the most hosts first. */
export function providersOf (view: NetworkView): ProviderList {
  const providers = [...groupBy(view.nodes, ({ operator }) => operator).entries()].map(([operator, nodes]) => providerOf(operator, nodes))
    .toSorted((a, b) => b.hosts - a.hosts || (a.operator < b.operator ? -1 : 1))
  return {
    endpoint: '/providers',
    unified_access: true,
    providers: providers.slice(0, GATHERED_ROWS_MAX),
    left_out: Math.max(0, providers.length - GATHERED_ROWS_MAX),
    view: freshnessOf(view)
  }
}

function providerOf (operator: string, nodes: NodeView[]): Provider {
  const offering = nodes.filter(isAvailable)
  const prices = [...groupBy(nodes, ({ unit }) => unit).entries()].map(([unit, some]) => ({ unit, ...priceSpreadOf(some.map(({ price }) => price)) })).toSorted((a, b) => a.unit < b.unit ? -1 : 1)
  const connected = nodes.filter(node => node.connected).length
  return {
    name: shortName(operator),
    operator,
    type: 'peer_to_peer',
    status: offering.length === 0 ? 'not_offering' : connected === 0 ? 'not_connected' : 'live',
    hosts: nodes.length,
    connected,
    available_resources: sum(offering, ({ resources, facts: { load } }) => Math.max(0, load == null ? resources.slots : load.slots - load.busy)),
    resource_types: [...new Set(nodes.flatMap(({ resourceTypes }) => resourceTypes))].toSorted(),
    cpu_cores: sum(nodes, ({ resources }) => resources.cores),
    memory_gb: gigabytes(sum(nodes, ({ resources }) => resources.memoryBytes)),
    converters: new Set(nodes.flatMap(node => node.converters.map(({ id }) => id))).size,
    price_range: prices.map(({ unit, min, max }) => rangeText(min, max, unit)).join(', '),
    prices,
    payment: [],
    latency_band: BANDS.find(band => nodes.some(({ latencyBand }) => latencyBand === band)) ?? 'unknown',
    verification: 'results_checked_against_source',
    peers: nodes.map(({ peer }) => peer).toSorted().slice(0, PROVIDER_PEERS_MAX),
    age_ms: Math.min(...nodes.map(({ ageMs }) => ageMs))
  }
}

/** A page of nodes as offers one may choose from. */
export function discoveryOf ({ nodes, conversion = {}, total, cursor, view }: NodePage): Discovery {
  return { endpoint: '/discover', options: nodes.map(node => optionOf(node, conversion)), total, ...(cursor != null ? { cursor } : {}), view }
}

function optionOf (node: NodeView, conversion: Conversion): DiscoveredOption {
  const { operator, peer, price, unit, latencyBand, rttMs, resources, converters, ageMs, facts } = node
  return {
    provider: operator,
    node: peer,
    resource_type: node.resourceTypes[0] ?? '',
    price,
    unit,
    price_per_hour: priceText(price, unit),
    latency_band: latencyBand,
    ...(rttMs != null ? { rtt_ms: rttMs } : {}),
    cpu_cores: resources.cores,
    slots: resources.slots,
    memory_gb: gigabytes(resources.memoryBytes),
    converters: converters.filter(converter => isWanted(converter, conversion)).map(({ id, version, from, to, bytesPerSecond, pricePerGib }) =>
      ({ converter: id, version, from, to, bytes_per_second: bytesPerSecond, ...(pricePerGib != null ? { price_per_gib: pricePerGib } : {}) })),
    age_ms: ageMs,
    price_age_ms: facts.price.ageMs
  }
}

export const priceText = (price: string, unit: string): string => price === '0' ? 'free' : `${amountText(price, unit)}/hr`

/** Two decimals are enough to choose by. */
export const gigabytes = (bytes: number): number => Math.round(bytes / 1e7) / 100

function rangeText (min: string, max: string, unit: string): string {
  return min === max ? priceText(min, unit) : `${amountText(min, unit)} to ${priceText(max, unit)}`
}

/** The method says nothing, and the end of a key tells it from others. */
const shortName = (operator: string): string => operator.startsWith('did:key:') ? `…${operator.slice(-8)}` : operator

const sum = <T>(items: T[], of: (item: T) => number): number => items.reduce((total, item) => total + of(item), 0)
