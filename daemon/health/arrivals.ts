import { GAPS_MAX, GAPS_MIN, TAIL_SCALE_MS_MIN, TAIL_SHARE } from './constants.ts'

interface Tail {
  /** The gap, in milliseconds, from which on the tail is modelled. */
  from: number
  /** Part of the gaps beyond it. */
  share: number
  /** Mean excess over `from`, in milliseconds. */
  scale: number
}

/**
 * The gaps between arrivals of one peer, and how improbable a longer one is.
 *
 * The suspicion level φ(t) = -log10 P(gap > t) is that of Hayashibara, Défago, Yared and Katayama, "The φ Accrual Failure Detector" (SRDS 2004).
 * They fit a normal distribution, whose tail is far too thin for arrivals that are regular but for rare long gaps (a busy core, a collection
 * of garbage): it accuses at the first. Here the longest quarter of the gaps gives an exponential tail instead (peaks over a threshold, the
 * generalised Pareto distribution with shape 0): P(gap > u + x) = share · e^(-x / mean excess over u).
 */
export class Arrivals {
  readonly #gaps = new Float64Array(GAPS_MAX)
  #count = 0
  #next = 0
  #tail: Tail | undefined

  /** Enough to judge by. */
  get known (): boolean {
    return this.#count >= GAPS_MIN
  }

  /** A gap in milliseconds; the oldest is forgotten. A negative one, or one that is no number, counts as 0. */
  add (gapMs: number): void {
    this.#gaps[this.#next] = gapMs > 0 ? gapMs : 0
    this.#next = (this.#next + 1) % GAPS_MAX
    this.#count = Math.min(this.#count + 1, GAPS_MAX)
    this.#tail = undefined
  }

  /** φ of a gap of `gapMs` so far: 1 means that one gap in ten is longer, 2 one in a hundred. 0 until gaps are known. */
  phi (gapMs: number): number {
    if (!this.known) return 0
    const { from, share, scale } = this.#fit()
    if (gapMs >= from) return -Math.log10(share) + (gapMs - from) / (scale * Math.LN10)
    let longer = 0
    for (let i = 0; i < this.#count; i++) if (this.#gaps[i]! > gapMs) longer++
    return Math.min(-Math.log10(share), -Math.log10(longer / this.#count))
  }

  /** The gap in milliseconds at which `phi` is reached; infinite until gaps are known. For levels beyond the tail's beginning. */
  limit (phi: number): number {
    if (!this.known) return Number.POSITIVE_INFINITY
    const { from, share, scale } = this.#fit()
    return from + scale * Math.max(0, phi * Math.LN10 + Math.log(share))
  }

  #fit (): Tail {
    if (this.#tail != null) return this.#tail
    const sorted = this.#gaps.slice(0, this.#count).sort()
    const beyond = Math.ceil(this.#count * TAIL_SHARE)
    const from = sorted[this.#count - beyond - 1]!
    let excess = 0
    for (let i = this.#count - beyond; i < this.#count; i++) excess += sorted[i]! - from
    this.#tail = { from, share: beyond / this.#count, scale: Math.max(TAIL_SCALE_MS_MIN, excess / beyond) }
    return this.#tail
  }
}
