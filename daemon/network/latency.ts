/** Bands of round trips, and the least of the last few. */
import { RTT_SAMPLES_MAX } from './constants.ts'
import type { LatencyBand } from './index.ts'

/** Upper ends of the bands in milliseconds, exclusive. */
const BANDS: ReadonlyArray<[band: LatencyBand, below: number]> = [['lan', 3], ['metro', 10], ['regional', 30], ['global', 100], ['far', Infinity]]

/** @param rttMs measured round trip in milliseconds; undefined if there is none */
export function bandOf (rttMs: number | undefined): LatencyBand {
  if (rttMs == null || !(rttMs >= 0)) return 'unknown'
  return BANDS.find(([, below]) => rttMs < below)?.[0] ?? 'far'
}

/** The last few measurements: what a loaded machine adds to one of them does not count. */
export function withSample (samples: readonly number[], rttMs: number): number[] {
  return [...samples, rttMs].slice(-RTT_SAMPLES_MAX)
}

export function leastOf (samples: readonly number[]): number | undefined {
  return samples.length === 0 ? undefined : Math.min(...samples)
}
