import type { Freshness, NetworkView } from '../network-types.ts'
import { spreadOf } from './spread.ts'

/** How old what is known of others is. This node knows itself. */
export function freshnessOf ({ at, nodes }: NetworkView): Freshness {
  const others = nodes.filter(({ self }) => !self)
  const ages = (list: number[]): { median: number, oldest: number } | undefined => {
    const spread = spreadOf(list)
    return spread == null ? undefined : { median: spread.median, oldest: spread.max }
  }
  const adverts = ages(others.map(({ ageMs }) => ageMs))
  const prices = ages(others.map(({ facts }) => facts.price.ageMs))
  return { at, known: nodes.length, connected: nodes.filter(({ connected }) => connected).length, ...(adverts != null ? { adverts } : {}), ...(prices != null ? { prices } : {}) }
}
