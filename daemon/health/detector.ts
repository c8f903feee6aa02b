import { DEAD_AFTER_MS, HEARTBEAT_MS, SUSPECT_AFTER_MS } from './constants.ts'
import type { Detector, Liveness } from './index.ts'

/** Silences, in milliseconds, after which a verdict changes. */
export interface DetectorLimits {
  /** @default SUSPECT_AFTER_MS */
  suspectMs: number
  /** @default DEAD_AFTER_MS */
  deadMs: number
  /** How often to look again while a verdict hangs on the own loop's lateness. @default HEARTBEAT_MS */
  lookMs: number
}

/**
 * The instant (monotonic milliseconds) at which a peer last heard at `last` passes a limit of `limitMs` of silence. The
 * own loop's lateness is added whole: while our loop stood still the peer's beats may have been waiting in our socket.
 * A lateness that is negative or not a number counts as none.
 */
export function limitAt (last: number, limitMs: number, ownDelayMs: number): number {
  return last + limitMs + (ownDelayMs > 0 ? ownDelayMs : 0)
}

/** The verdict at `now` on a peer last heard at `last`: a limit counts as passed at its very instant. */
export function verdictAt (now: number, last: number, ownDelayMs: number, limits: DetectorLimits): Liveness {
  if (now >= limitAt(last, limits.deadMs, ownDelayMs)) return 'dead'
  return now >= limitAt(last, limits.suspectMs, ownDelayMs) ? 'suspect' : 'alive'
}

/**
 * A failure detector for one peer.
 *
 * @param now - monotonic milliseconds; counts as the first sign of life
 *
 * @example
 * ```ts
 * const detector = createDetector(performance.now())
 * detector.beat(performance.now())
 * if (detector.verdict(performance.now(), loopDelay.worst()) === 'dead') ...
 * ```
 */
export function createDetector (now: number, limits: Partial<DetectorLimits> = {}): Detector {
  const all: DetectorLimits = {
    suspectMs: limits.suspectMs ?? SUSPECT_AFTER_MS,
    deadMs: limits.deadMs ?? DEAD_AFTER_MS,
    lookMs: limits.lookMs ?? HEARTBEAT_MS
  }
  if (!(all.suspectMs > 0 && all.deadMs > all.suspectMs && all.lookMs > 0)) {
    throw new RangeError(`a detector needs 0 < suspectMs < deadMs and lookMs > 0, not ${JSON.stringify(all)}`)
  }
  let last = now
  return {
    beat (at) {
      // Beats of several channels may be handed over out of order; an older one proves nothing new.
      if (at > last) last = at
    },
    verdict: (at, ownDelayMs) => verdictAt(at, last, ownDelayMs, all),
    nextLook (at) {
      if (at < last + all.suspectMs) return last + all.suspectMs
      // Past a limit only our own lateness keeps the verdict back, and that may fade at any moment.
      const again = at + all.lookMs
      return at < last + all.deadMs ? Math.min(last + all.deadMs, again) : again
    }
  }
}
