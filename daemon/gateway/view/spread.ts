/** Least, middle and most of many. */
import type { PriceSpread, Spread } from '../network-types.ts'
import { compareAmounts } from './money.ts'

/** Of two in the middle the lower one: the median is always a value that was there. */
const middle = <T>(sorted: T[]): T => sorted[Math.floor((sorted.length - 1) / 2)] as T

/** Undefined of nothing. */
export function spreadOf (values: number[]): Spread | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  return { min: sorted[0] as number, median: middle(sorted), max: sorted.at(-1) as number }
}

/** @param amounts - of one unit, at least one */
export function priceSpreadOf (amounts: string[]): PriceSpread {
  const sorted = amounts.toSorted(compareAmounts)
  return { count: sorted.length, min: sorted[0] as string, median: middle(sorted), max: sorted.at(-1) as string }
}

/** Several names as one key: no name in an advert holds a control character. */
export const keyOf = (...names: string[]): string => names.join('\u0000')

export function groupBy<T> (items: Iterable<T>, keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group == null) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
