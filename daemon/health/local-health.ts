import { LATE_MS, LOCAL_HEALTH_MAX, LOCAL_HEALTH_MS, LOCAL_HEALTH_STEP } from './constants.ts'
import type { DetectorFault, LocalHealth } from './index.ts'

/**
 * How sound this node itself is: the local health multiplier of Dadgar, Phillips and Currey, "Lifeguard: Local Health Awareness for More Accurate
 * Failure Detection" (arXiv 1707.00788, section IV-A). What shows that the fault is here (an own timer that fired late, and
 * with it the beats of our own, or a suspicion of ours that was refuted) raises a score, timers in time lower it; every limit is multiplied by
 * 1 + LOCAL_HEALTH_STEP × score. One for the whole node, because the cause is the node's. Pure: times are monotonic milliseconds.
 */
export function createLocalHealth (init: { faults?: ReadonlySet<DetectorFault> } = {}): LocalHealth {
  let score = 0
  let changed = Number.NEGATIVE_INFINITY
  const blind = init.faults?.has('no-self-doubt') === true
  const change = (by: 1 | -1, now: number): void => {
    if (now - changed < LOCAL_HEALTH_MS) return
    const next = Math.min(Math.max(score + by, 0), LOCAL_HEALTH_MAX)
    if (next === score) return
    score = next
    changed = now
  }
  return {
    timer (lateMs, now) {
      change(lateMs > LATE_MS ? 1 : -1, now)
    },
    refuted (now) {
      change(1, now)
    },
    get score () { return score },
    factor: () => blind ? 1 : 1 + LOCAL_HEALTH_STEP * score
  }
}
