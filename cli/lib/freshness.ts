import type { Freshness } from '../../daemon/gateway/index.ts'
import { count, formatAge } from './units.ts'

/** How old it is what was printed: `from 20 nodes, 19 connected; prices 3 s old in the middle, 12 s at most`. */
export function freshnessText ({ known, connected, adverts, prices }: Freshness, of: 'adverts' | 'prices'): string {
  const ages = of === 'prices' ? prices : adverts
  return `${count(known, 'node')} known, ${connected} connected${ages == null ? '' : `; ${of} of others: ${formatAge(ages.median)} old in the middle, ${formatAge(ages.oldest)} at most`}`
}
