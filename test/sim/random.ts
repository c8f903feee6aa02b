/** A seeded source of randomness: the same seed gives the same run, on every machine. */
export class Random {
  #state: number

  constructor (seed: number) {
    // Neighbouring seeds must not give neighbouring runs.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0
    for (let i = 0; i < 4; i++) this.next()
  }

  /** Uniform in [0, 1) (mulberry32). */
  readonly next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  chance (share: number): boolean {
    return this.next() < share
  }

  /** Uniform in [low, high). */
  between (low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  /** Integer in [low, high]. */
  integer (low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  pick<T> (list: readonly T[]): T {
    return list[this.integer(0, list.length - 1)] as T
  }
}
