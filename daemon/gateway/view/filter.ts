/** Which nodes pass a filter. Pure. */
import type { LatencyBandName, NodeFilter, NodeView, OfferedConverter } from '../network-types.ts'
import { compareAmounts } from './money.ts'

/** The nearest first. */
export const BANDS: readonly LatencyBandName[] = ['lan', 'metro', 'regional', 'global', 'far']

export type Conversion = Pick<NodeFilter, 'from' | 'to' | 'converter'>

/** One that a filter asks for; any, where it asks for none. `from` and `to` are media types. */
export function isWanted ({ id, from, to }: OfferedConverter, filter: Conversion): boolean {
  return (filter.from == null || from === filter.from) && (filter.to == null || to === filter.to) && (filter.converter == null || id === filter.converter)
}

/** The part of a filter that asks for a conversion; undefined where it asks for none. */
export function conversionOf ({ from, to, converter }: Conversion): Conversion | undefined {
  if (from == null && to == null && converter == null) return undefined
  return { ...(from != null ? { from } : {}), ...(to != null ? { to } : {}), ...(converter != null ? { converter } : {}) }
}

/** @param unit - what `max_price` is counted in where the filter does not say */
export function passes (node: NodeView, filter: NodeFilter, unit: string): boolean {
  if (conversionOf(filter) != null && !node.converters.some(converter => isWanted(converter, filter))) return false
  if (filter.resource_type != null && !node.resourceTypes.includes(filter.resource_type.toUpperCase())) return false
  if (filter.max_price != null && !isWithinPrice(node, filter.max_price, filter.unit ?? unit)) return false
  if (filter.max_price == null && filter.unit != null && node.unit !== filter.unit) return false
  if (filter.latency_band != null && !isWithinBand(node.latencyBand, filter.latency_band)) return false
  if (filter.min_memory_gb != null && node.resources.memoryBytes < filter.min_memory_gb * 1e9) return false
  if (filter.gpu_hours != null && filter.gpu_hours > 0) return false
  return filter.available !== true || isAvailable(node)
}

export const isAvailable = ({ draining, policy }: NodeView): boolean => !draining && policy.open

/** What costs nothing costs nothing in every unit; other amounts of another unit say nothing. */
function isWithinPrice ({ price, unit }: NodeView, most: string, unitOfMost: string): boolean {
  return price === '0' || (unit === unitOfMost && compareAmounts(price, most) <= 0)
}

function isWithinBand (band: LatencyBandName, widest: LatencyBandName): boolean {
  const at = BANDS.indexOf(band)
  return at >= 0 && at <= BANDS.indexOf(widest)
}
