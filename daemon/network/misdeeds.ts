/**
 * What peers did wrong lately. Kept apart from connections: gossipsub's own score starts afresh with each one, so that who is shut out would only
 * have to come back.
 */
export interface MisdeedsInit {
  halfLifeMs: number
  /** Peers remembered; the one that misbehaved the longest ago goes first. */
  max: number
}

/** Below this a peer is forgotten. */
const NOTHING = 0.05

export class Misdeeds {
  readonly #init: MisdeedsInit
  /** The latest to misbehave last. */
  readonly #peers = new Map<string, { points: number, at: number }>()

  constructor (init: MisdeedsInit) {
    this.#init = init
  }

  get size (): number {
    return this.#peers.size
  }

  /** @param now monotonic milliseconds */
  add (peer: string, points: number, now: number): void {
    const sum = this.points(peer, now) + points
    this.#peers.delete(peer)
    this.#peers.set(peer, { points: sum, at: now })
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= this.#init.max) break
      this.#peers.delete(oldest)
    }
  }

  points (peer: string, now: number): number {
    const entry = this.#peers.get(peer)
    if (entry == null) return 0
    const left = entry.points * 2 ** (-Math.max(0, now - entry.at) / this.#init.halfLifeMs)
    if (left >= NOTHING) return left
    this.#peers.delete(peer)
    return 0
  }
}

/** gossipsub's score of a peer: nothing up to what is tolerated, then falling with the square. */
export function scoreOf (points: number, tolerated: number): number {
  return points <= tolerated ? 0 : -((points - tolerated) ** 2)
}
