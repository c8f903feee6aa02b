/** Token buckets: so much per second, so much at once. Pure: time is an argument, milliseconds of any one clock. */

/** Tokens of a moment, from which those of any later one follow. */
export interface Bucket { tokens: number, at: number }

export interface BucketLimits {
  /** Most it holds, and what it holds at first. */
  burst: number
  perSecond: number
}

/** What a sum of fractions may miss of a whole. */
const ROUNDING = 1e-9

export function full ({ burst }: BucketLimits, now: number): Bucket {
  return { tokens: burst, at: now }
}

/** What is in it now. A clock that went back adds nothing. */
export function refilled ({ tokens, at }: Bucket, { burst, perSecond }: BucketLimits, now: number): Bucket {
  return { tokens: Math.min(burst, tokens + Math.max(0, now - at) / 1000 * perSecond), at: now }
}

/** With `cost` less; undefined if it is not there: then keep what `refilled` gives, so that a clock set back does not stop it. */
export function spent (bucket: Bucket, limits: BucketLimits, now: number, cost = 1): Bucket | undefined {
  const { tokens } = refilled(bucket, limits, now)
  return tokens < cost - ROUNDING ? undefined : { tokens: Math.max(0, tokens - cost), at: now }
}

/** Milliseconds until there is a token. */
export function waitMs (bucket: Bucket, limits: BucketLimits, now: number): number {
  const { tokens } = refilled(bucket, limits, now)
  return tokens >= 1 - ROUNDING ? 0 : Math.ceil((1 - tokens) / limits.perSecond * 1000)
}

/** A bucket that keeps its own state. */
export class TokenBucket {
  #bucket: Bucket | undefined

  /**
   * Takes `cost` if it is there.
   *
   * @param now monotonic milliseconds
   * @param perSecond refilled per second; it and `burst` may change between calls
   * @param burst most it holds, and what it holds at first
   * @param keep what must be left
   */
  take (cost: number, now: number, perSecond: number, burst: number, keep = 0): boolean {
    const limits = { burst, perSecond }
    const bucket = refilled(this.#bucket ?? full(limits, now), limits, now)
    const left = spent(bucket, limits, now, cost)
    const enough = left != null && left.tokens >= keep
    this.#bucket = enough ? left : bucket
    return enough
  }
}

/** What one of `count` may take per second of a total shared alike, but never more than `most`. */
export function fairShare (total: number, count: number, most: number): number {
  return Math.min(most, total / Math.max(1, count))
}
