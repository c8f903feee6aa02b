/** Time as a job sees it; tests bring their own. */
export interface Clock {
  /** Milliseconds that never go back, for waits. */
  monotonic: () => number
  /** UTC milliseconds, for records. */
  utc: () => number
}

export const systemClock: Clock = {
  monotonic: () => performance.now(),
  utc: () => Date.now()
}
