/**
 * How many signatures are checked, and for whom. In all VERIFICATIONS_PER_SECOND_MAX; half of that in equal shares to the neighbours that send
 * anything, the other half to whoever comes first: one that floods cannot use what is left for the others. Pure: time is an argument.
 */
import { full, refilled, spent, type Bucket, type BucketLimits } from '../network/index.ts'
import { NEIGHBOUR_IDLE_MS, NEIGHBOURS_MAX, VERIFICATIONS_BURST, VERIFICATIONS_PER_SECOND_MAX, VERIFICATIONS_SHARED } from './constants.ts'

const ALL: BucketLimits = { burst: VERIFICATIONS_BURST, perSecond: VERIFICATIONS_PER_SECOND_MAX }
const COMMON: BucketLimits = { burst: VERIFICATIONS_BURST * (1 - VERIFICATIONS_SHARED), perSecond: VERIFICATIONS_PER_SECOND_MAX * (1 - VERIFICATIONS_SHARED) }

export class Budget {
  #all: Bucket | undefined
  #common: Bucket | undefined
  /** The shares of those that sent something of late, the least recent first. */
  readonly #shares = new Map<string, Bucket>()

  /** Whether the signature of a message of a neighbour is checked. */
  spend (from: string, now: number): boolean {
    const [all, common, share] = [refilled(this.#all ?? full(ALL, now), ALL, now), refilled(this.#common ?? full(COMMON, now), COMMON, now), this.#share(from, now)]
    this.#all = spent(all, ALL, now) ?? all
    this.#common = common
    if (this.#all === all) return false
    const left = spent(share, this.#limits(), now)
    if (left != null) {
      this.#shares.set(from, left)
      return true
    }
    this.#common = spent(common, COMMON, now) ?? common
    if (this.#common !== common) return true
    this.#all = all
    return false
  }

  /** Of one neighbour, now that there are so many. */
  #limits (): BucketLimits {
    const count = Math.max(1, this.#shares.size)
    return { burst: Math.max(1, VERIFICATIONS_BURST * VERIFICATIONS_SHARED / count), perSecond: VERIFICATIONS_PER_SECOND_MAX * VERIFICATIONS_SHARED / count }
  }

  #share (from: string, now: number): Bucket {
    // A newcomer starts with one: coming back under new names must not bring a burst each time.
    const share = this.#shares.get(from) ?? { tokens: 1, at: now }
    this.#shares.delete(from)
    this.#shares.set(from, share)
    for (const [peer, { at }] of this.#shares) {
      if (this.#shares.size <= NEIGHBOURS_MAX && at > now - NEIGHBOUR_IDLE_MS) break
      if (peer !== from) this.#shares.delete(peer)
    }
    const current = refilled(share, this.#limits(), now)
    this.#shares.set(from, current)
    return current
  }
}
