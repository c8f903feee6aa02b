/** What the network, and this node, can do by measurement. Pure. */
import { GATHERED_ROWS_MAX } from '../constants.ts'
import type { Capabilities, CapabilityVector, NetworkView, NodeView } from '../network-types.ts'
import { freshnessOf } from './freshness.ts'
import { gigabytes, priceText } from './providers.ts'
import { groupBy, keyOf, priceSpreadOf, spreadOf } from './spread.ts'

/** As `LatencyBand` of the network measures it. */
const LATENCY_BANDS = { lan: '0-3ms', metro: '3-10ms', regional: '10-30ms', global: '30-100ms', far: 'above 100ms' }

export function capabilitiesOf (view: NetworkView): Capabilities {
  const network = profilesOf(view.nodes, view.unit)
  const self = view.nodes.find(node => node.self)
  return {
    endpoint: '/capabilities',
    description: 'Measured throughput per converter, in bytes of input per second and slot',
    resource_profiles: network.profiles,
    ...(self != null ? { this_node: { peer: self.peer, resource_profiles: profilesOf([self], view.unit).profiles } } : {}),
    latency_bands: LATENCY_BANDS,
    left_out: network.leftOut,
    view: freshnessOf(view)
  }
}

function profilesOf (nodes: NodeView[], unit: string): { profiles: Record<string, CapabilityVector>, leftOut: number } {
  const profiles: Record<string, CapabilityVector> = {}
  let leftOut = 0
  for (const [type, offering] of groupBy(nodes.flatMap(node => node.resourceTypes.map(type => ({ type, node }))), ({ type }) => type)) {
    const vector = vectorOf(offering.map(({ node }) => node), unit)
    leftOut += Math.max(0, vector.converters.length - GATHERED_ROWS_MAX)
    profiles[type] = { ...vector, converters: vector.converters.slice(0, GATHERED_ROWS_MAX) }
  }
  return { profiles, leftOut }
}

function vectorOf (nodes: NodeView[], unit: string): CapabilityVector {
  const total = (of: (resources: NodeView['resources']) => number): number => nodes.reduce((sum, { resources }) => sum + of(resources), 0)
  const prices = nodes.filter(node => node.unit === unit).map(({ price }) => price)
  return {
    nodes: nodes.length,
    cpu_cores: total(({ cores }) => cores),
    slots: total(({ slots }) => slots),
    memory_gb: gigabytes(total(({ memoryBytes }) => memoryBytes)),
    ...(prices.length > 0 ? { typical_price: priceText(priceSpreadOf(prices).median, unit) } : {}),
    converters: [...groupBy(nodes.flatMap(({ peer, converters }) => converters.map(converter => ({ peer, converter }))), ({ converter: { id, from, to } }) => keyOf(id, from, to)).values()]
      .map(offers => {
        const { id, from, to } = offers[0]!.converter
        const measured = offers.map(({ converter }) => converter.bytesPerSecond).filter(rate => rate > 0)
        const spread = spreadOf(measured)
        return { converter: id, from, to, nodes: new Set(offers.map(({ peer }) => peer)).size, measured: measured.length, ...(spread != null ? { bytes_per_second: spread } : {}) }
      })
      .toSorted((a, b) => b.nodes - a.nodes || (a.converter < b.converter ? -1 : a.converter > b.converter ? 1 : 0))
  }
}
