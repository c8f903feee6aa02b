/** A token bucket: so much per second, so much at once. Time is an argument. */
export class TokenBucket {
  #level: number | undefined
  #at = 0

  /**
   * Takes `cost` if it is there.
   *
   * @param now monotonic milliseconds
   * @param perSecond refilled per second; it and `burst` may change between calls
   * @param burst most it holds, and what it holds at first
   */
  take (cost: number, now: number, perSecond: number, burst: number): boolean {
    const level = this.#level == null ? burst : Math.min(burst, this.#level + Math.max(0, now - this.#at) / 1000 * perSecond)
    this.#at = now
    const enough = cost <= level
    this.#level = enough ? level - cost : level
    return enough
  }
}

/** What one of `count` may take per second of a total shared alike, but never more than `most`. */
export function fairShare (total: number, count: number, most: number): number {
  return Math.min(most, total / Math.max(1, count))
}
