import { PAGE_MAX } from '../constants.ts'
import type { NetworkView, NodeFilter, NodePage, NodeView } from '../network-types.ts'
import { conversionOf, passes } from './filter.ts'
import { freshnessOf } from './freshness.ts'
import { orderOf, speedOf } from './order.ts'

/**
 * A page of the nodes that pass a filter, in its order. `from` and `to` of the filter are media types. Pure.
 *
 * @throws ApiError 400 for a cursor that is none, or of another sort
 */
export function selectNodes (view: NetworkView, filter: NodeFilter): NodePage {
  const order = orderOf(filter, view)
  const after = filter.cursor == null ? undefined : order.decode(filter.cursor)
  const matching = view.nodes.filter(node => passes(node, filter, view.unit)).map(node => ({ node, place: order.placeOf(node) }))
  const rest = (after == null ? matching : matching.filter(({ place }) => order.compare(place, after) > 0)).sort((a, b) => order.compare(a.place, b.place))
  const page = rest.slice(0, Math.min(filter.limit ?? PAGE_MAX, PAGE_MAX))
  const last = page.at(-1)
  const conversion = conversionOf(filter)
  return {
    nodes: page.map(({ node }): NodeView => conversion == null ? node : { ...node, speed: speedOf(node, conversion) }),
    ...(conversion != null ? { conversion } : {}),
    total: matching.length,
    ...(last != null && page.length < rest.length ? { cursor: order.encode(last.place) } : {}),
    view: freshnessOf(view)
  }
}
