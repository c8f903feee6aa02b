/** How often something may be done. Pure: time and chance are arguments, milliseconds of any one clock. */
import { PUBLISH_INTERVAL_MIN_MS, PUBLISH_JITTER, PUBLISHERS_PER_SECOND } from './constants.ts'

/**
 * Milliseconds until the next periodic bulletin: max(10 s, publishers / 5 per second), and a little more or less.
 *
 * @param publishers of the topic, this one included
 * @param random from 0 to 1
 */
export function publishInterval (publishers: number, random: number, minMs: number = PUBLISH_INTERVAL_MIN_MS): number {
  const intervalMs = Math.max(minMs, publishers / PUBLISHERS_PER_SECOND * 1000)
  return intervalMs * (1 - PUBLISH_JITTER + 2 * PUBLISH_JITTER * random)
}

/** Tokens of a moment, from which those of any later one follow. */
export interface Bucket { tokens: number, at: number }

export interface BucketLimits { burst: number, perSecond: number }

export function full ({ burst }: BucketLimits, now: number): Bucket {
  return { tokens: burst, at: now }
}

/** What is in it now. A clock that went back adds nothing. */
export function refilled ({ tokens, at }: Bucket, { burst, perSecond }: BucketLimits, now: number): Bucket {
  return { tokens: Math.min(burst, tokens + Math.max(0, now - at) / 1000 * perSecond), at: now }
}

/** With one token less; undefined if there is none: then keep what `refilled` gives, so that a clock set back does not stop it. */
export function spent (bucket: Bucket, limits: BucketLimits, now: number): Bucket | undefined {
  const { tokens } = refilled(bucket, limits, now)
  return tokens < 1 ? undefined : { tokens: tokens - 1, at: now }
}

/** Milliseconds until there is a token. */
export function waitMs (bucket: Bucket, limits: BucketLimits, now: number): number {
  const { tokens } = refilled(bucket, limits, now)
  return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / limits.perSecond * 1000)
}
