/** What is asked on the network now. Pure. */
import { GATHERED_ROWS_MAX } from '../constants.ts'
import type { NetworkView, NodeView, OfferedConverter, SpotPrices } from '../network-types.ts'
import { isAvailable } from './filter.ts'
import { freshnessOf } from './freshness.ts'
import { inUnits } from './money.ts'
import { groupBy, keyOf, priceSpreadOf } from './spread.ts'

/** Prices of the nodes that take work now, by resource and by converter, each unit by itself. */
export function spotPricesOf (view: NetworkView): SpotPrices {
  const offering = view.nodes.filter(isAvailable)
  const resources = [...groupBy(offering.flatMap(node => node.resourceTypes.map(resource_type => ({ resource_type, node }))), ({ resource_type, node }) => keyOf(resource_type, node.unit)).values()]
    .map(offers => ({ resource_type: offers[0]!.resource_type, unit: offers[0]!.node.unit, ...priceSpreadOf(offers.map(({ node }) => node.price)) }))
    .toSorted((a, b) => compare(a.resource_type, b.resource_type) || b.count - a.count || compare(a.unit, b.unit))
  const converters = offersByConversion(offering).map(rowOf)
    .toSorted((a, b) => b.count - a.count || compare(a.converter, b.converter) || compare(a.unit, b.unit) || compare(a.from, b.from) || compare(a.to, b.to))
  return {
    unit: view.unit,
    p2p_market: Object.fromEntries(resources.filter(({ unit }) => unit === view.unit).map(({ resource_type, median }) => [resource_type, Number(inUnits(median))])),
    traditional: {},
    resources: resources.slice(0, GATHERED_ROWS_MAX),
    converters: converters.slice(0, GATHERED_ROWS_MAX),
    left_out: Math.max(0, resources.length - GATHERED_ROWS_MAX) + Math.max(0, converters.length - GATHERED_ROWS_MAX),
    view: freshnessOf(view)
  }
}

interface Offer { node: NodeView, converter: OfferedConverter }

/** By conversion and unit. A node with two versions of a converter is still one offer, of the faster. */
function offersByConversion (nodes: NodeView[]): Offer[][] {
  const groups = new Map<string, Offer[]>()
  for (const node of nodes) {
    for (const converter of node.converters) {
      const name = keyOf(converter.id, converter.from, converter.to, node.unit)
      const group = groups.get(name)
      const last = group?.at(-1)
      if (group == null) groups.set(name, [{ node, converter }])
      else if (last?.node !== node) group.push({ node, converter })
      else if (converter.bytesPerSecond > last.converter.bytesPerSecond) last.converter = converter
    }
  }
  return [...groups.values()]
}

function rowOf (offers: Offer[]): SpotPrices['converters'][number] {
  const { node: { unit }, converter: { id, from, to } } = offers[0]!
  const perGib = offers.flatMap(({ converter: { pricePerGib } }) => pricePerGib ?? [])
  return { converter: id, from, to, unit, ...priceSpreadOf(offers.map(({ node }) => node.price)), ...(perGib.length > 0 ? { per_gib: priceSpreadOf(perGib) } : {}) }
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
