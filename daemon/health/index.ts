/**
 * Is a worker alive? Heartbeats in, a verdict out. A node doubts itself first: if its own event loop lagged, it
 * extends its timeouts instead of accusing others. Pure: time is an argument.
 */
export type Liveness = 'alive' | 'suspect' | 'dead'

export interface Detector {
  /** A sign of life (any authenticated byte) at `now` (monotonic milliseconds). */
  beat: (now: number) => void
  /** The verdict at `now`; `ownDelayMs` is how late our own event loop was, at most, since the last beat. */
  verdict: (now: number, ownDelayMs: number) => Liveness
  /** When to look again, monotonic milliseconds. */
  nextLook: (now: number) => number
}

export interface LoopDelay {
  start: () => void
  stop: () => void
  /** Worst lateness of this process's event loop over the last `windowMs`, milliseconds. */
  worst: () => number
}

export { createDetector, limitAt, verdictAt, type DetectorLimits } from './detector.ts'
export { createLoopDelay, type LoopDelayInit } from './loop-delay.ts'
export * from './constants.ts'
