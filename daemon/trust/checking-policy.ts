/**
 * Which results are compared in full with their source. Pure: the draw is an argument. It is made only after the result
 * (with its receipt) is there, so a worker cannot know which of its blocks will be looked at.
 */

/** Share of a worker's later results that are compared under `sample`; its first is compared always. */
export const SAMPLE_SHARE = 0.05

export interface CheckingPolicy {
  /** `none`: only the checks that are always on; `sample`: the first result of each worker and a share of the others; `all`: every result. */
  mode: 'none' | 'sample' | 'all'
  /** Share drawn under `sample`, from 0 to 1. @default SAMPLE_SHARE */
  share?: number
}

/** What is known of a worker within the job. */
export interface CheckingHistory {
  /** Results of it drawn for a full comparison so far. */
  drawn: number
  /** It was caught with a wrong result: everything of it is compared, whatever the mode. */
  distrusted: boolean
}

/**
 * Whether this result is compared with its source. Draws from `random` (uniform in [0, 1)) only if the answer depends on it.
 */
export function shouldCheck (policy: CheckingPolicy, history: CheckingHistory, random: () => number): boolean {
  if (history.distrusted || policy.mode === 'all') return true
  if (policy.mode === 'none') return false
  return history.drawn === 0 || random() < (policy.share ?? SAMPLE_SHARE)
}
