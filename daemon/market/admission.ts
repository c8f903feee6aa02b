/**
 * Which bulletins are worth a signature check, and what is known of each publisher. The floor of a publisher rises only by what was verified: a
 * header that anybody can write decides what is looked at, never what is believed. Pure: time is an argument.
 */
import { Budget } from './budget.ts'
import { PUBLISHERS_KNOWN_MAX } from './constants.ts'

export interface Header {
  /** What it claims. */
  peer: string
  sequence: number
  /** Of the whole message, hexadecimal. */
  digest: string
}

export interface Verified {
  peer: string
  sequence: number
  /** UTC milliseconds. */
  expires: number
  digest: string
}

/** `verify`: worth a check; `again`: the same bytes were verified (on another topic); `stale`: not newer than what is known of its publisher. */
export type Standing = 'verify' | 'again' | 'stale'

export class Admission {
  readonly #budget = new Budget()
  readonly #max: number
  /** The newest of each publisher, least recently raised first. */
  readonly #floors = new Map<string, Omit<Verified, 'peer'>>()

  constructor (max: number = PUBLISHERS_KNOWN_MAX) {
    this.#max = max
  }

  /** Costs nothing. */
  standing ({ peer, sequence, digest }: Header): Standing {
    const floor = this.#floors.get(peer)
    if (floor == null || sequence > floor.sequence) return 'verify'
    return sequence === floor.sequence && digest === floor.digest ? 'again' : 'stale'
  }

  /**
   * Whether a message is looked at now: one that needs a check, if the budget of the neighbour that sent it has one, which it then spends.
   *
   * @param from the neighbour
   */
  affords (header: Header, from: string, now: number): boolean {
    return this.standing(header) !== 'verify' || this.#budget.spend(from, now)
  }

  /** Takes what passed every check. False if something newer was verified in the meantime. */
  verified ({ peer, sequence, expires, digest }: Verified, now: number): boolean {
    if (sequence <= (this.#floors.get(peer)?.sequence ?? -1)) return false
    this.#floors.delete(peer)
    this.#floors.set(peer, { sequence, expires, digest })
    if (this.#floors.size > this.#max) this.#makeRoom(now)
    return true
  }

  /** Publishers remembered. */
  get size (): number {
    return this.#floors.size
  }

  /** Whatever has expired goes first, since nothing older can be valid; then the one not raised for longest. */
  #makeRoom (now: number): void {
    for (const [peer, { expires }] of this.#floors) if (expires <= now) this.#floors.delete(peer)
    if (this.#floors.size <= this.#max) return
    const [oldest] = this.#floors.keys()
    if (oldest != null) this.#floors.delete(oldest)
  }
}
