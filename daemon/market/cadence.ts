/** How often something may be done. Pure: chance is an argument. */
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
