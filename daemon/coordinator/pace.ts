/**
 * How long blocks take on the workers of a job, as quantiles of what was measured lately. Pure.
 *
 * A result's pace is milliseconds per byte of input: the greater of what its engine says it took (never more than we waited) and what we waited per
 * byte the worker had out when the block was given, so that neither waiting behind other blocks nor a slow link counts as a slow block, and
 * neither is overlooked. Workers of this node and peers are measured apart: only the bytes of the latter travel.
 */
import { LATE_CAUTION, LATE_FACTOR, LATE_MS_MIN, LATE_QUANTILE, PACE_RESULTS } from './constants.ts'

type Kind = 'local' | 'remote'

/** The newest values, and quantiles of them. */
class Recent {
  readonly #values: number[] = []
  #next = 0
  #sorted: number[] | undefined

  get count (): number { return this.#values.length }

  add (value: number): void {
    this.#values[this.#next] = value
    this.#next = (this.#next + 1) % PACE_RESULTS
    this.#sorted = undefined
  }

  quantile (share: number): number {
    this.#sorted ??= this.#values.toSorted((a, b) => a - b)
    return this.#sorted[Math.min(this.#sorted.length - 1, Math.floor(share * this.#sorted.length))] ?? 0
  }
}

export class Pace {
  readonly #of: Record<Kind, Recent> = { local: new Recent(), remote: new Recent() }

  /** Any result was measured: without one nothing can be said to be slow. */
  get known (): boolean { return this.#of.local.count + this.#of.remote.count > 0 }

  add (kind: Kind, result: { bytes: number, queuedBytes: number, tripMs: number, engineMs: number }): void {
    const bytes = Math.max(1, result.bytes)
    this.#of[kind].add(Math.max(result.engineMs / bytes, result.tripMs / Math.max(bytes, result.queuedBytes)))
  }

  /** Milliseconds a block of this size mostly takes, once begun. */
  typicalMs (kind: Kind, bytes: number): number {
    return this.#measured(kind).quantile(0.5) * Math.max(1, bytes)
  }

  /**
   * Milliseconds from its order after which an attempt is late, given how long all that its worker had to do for it takes by the worker's own
   * speed: slower than LATE_QUANTILE of its siblings *and* than its own worker leads one to expect, with some patience (J. Dean and L. A. Barroso,
   * "The Tail at Scale", CACM 2013: a second request after the 95th percentile of what is expected).
   */
  lateMs (kind: Kind, bytes: number, ownMs: number): number {
    const siblings = this.#measured(kind)
    const factor = LATE_FACTOR * (1 + LATE_CAUTION / Math.max(1, siblings.count))
    return factor * Math.max(LATE_MS_MIN, ownMs, siblings.quantile(LATE_QUANTILE) * Math.max(1, bytes))
  }

  #measured (kind: Kind): Recent {
    const own = this.#of[kind]
    return own.count > 0 ? own : this.#of[kind === 'local' ? 'remote' : 'local']
  }
}
