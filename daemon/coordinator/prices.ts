/** Which prices a job accepts, and whose blocks come first. Pure. Prices are 10^-6 of a unit per resource hour; units are never compared. */

/** What a worker asks. */
export interface Asked {
  /** Decimal. */
  price: string
  unit: string
}

/** What a job pays at most. */
export interface PriceLimit {
  /** @default any price */
  maxPrice?: bigint
  /** What the requester counts in. */
  unit: string
}

/** Prices as the configuration has them; longer ones are nobody's money. */
const PRICE = /^(0|[1-9]\d{0,18})$/

/** undefined if it is not a whole number from 0, of at most 19 digits. */
export function parsePrice (text: string): bigint | undefined {
  return PRICE.test(text) ? BigInt(text) : undefined
}

export function limitOf (maxPrice: string | undefined, unit: string): PriceLimit {
  return maxPrice == null ? { unit } : { maxPrice: parsePrice(maxPrice) ?? 0n, unit }
}

/** Why this is not paid, in words; undefined if it is. */
export function tooDear ({ price, unit }: Asked, limit: PriceLimit): string | undefined {
  if (limit.maxPrice == null) return undefined
  if (unit !== limit.unit) return `it asks ${priceInWords(price, unit)}, the limit is in ${limit.unit}, and units are not compared`
  const amount = parsePrice(price)
  if (amount != null && amount <= limit.maxPrice) return undefined
  return `it asks ${priceInWords(price, unit)}, the limit is ${limit.maxPrice}`
}

/** What a job without a worker is told when it was for the price. */
export function nobodyWithin ({ maxPrice, unit }: PriceLimit, leftOut: number): string {
  return `nobody offers this conversion for at most ${priceInWords(String(maxPrice ?? ''), unit)}: ${leftOut} ${leftOut === 1 ? 'provider was' : 'providers were'} left out for the price`
}

/** For people. */
export const priceInWords = (price: string, unit: string): string => `${price} micro${unit} per resource hour`

/** Something with a price, or none because it costs nothing. */
export interface Priced { readonly asked: Asked | undefined }

/**
 * The same, cheapest first, those of equal price in the order given; with the rank of each: equal ranks, equal prices. What is asked in
 * another unit cannot be compared and comes last.
 */
export function cheapestFirst<T extends Priced> (workers: readonly T[], unit: string): Array<{ worker: T, rank: number }> {
  const amounts = new Map<T, bigint | undefined>()
  for (const worker of workers) {
    const { asked } = worker
    amounts.set(worker, asked == null ? 0n : asked.unit === unit ? parsePrice(asked.price) : undefined)
  }
  const compare = (a: bigint | undefined, b: bigint | undefined): number => a === b ? 0 : a == null ? 1 : b == null ? -1 : a < b ? -1 : 1
  let rank = 0
  let before: bigint | undefined
  return workers.toSorted((a, b) => compare(amounts.get(a), amounts.get(b))).map((worker, i) => {
    const amount = amounts.get(worker)
    if (i > 0 && amount !== before) rank++
    before = amount
    return { worker, rank }
  })
}
