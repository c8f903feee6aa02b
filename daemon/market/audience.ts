/** Who is heard on the common topic of each family, for estimating how many publishers there are. Pure: time is an argument. */
import { placeOf } from '../network/index.ts'
import { AUDIENCE_MAX, BULLETIN_VALIDITY_MS } from './constants.ts'
import { depthFor } from './topics.ts'

interface Heard { rank: number, at: number }

export class Audience {
  /** Of each family; the least recently heard first. */
  readonly #heard = new Map<string, Map<string, Heard>>()

  /** Families heard from now on; of others nothing is kept. */
  watch (families: string[]): void {
    for (const family of this.#heard.keys()) if (!families.includes(family)) this.#heard.delete(family)
    for (const family of families) if (!this.#heard.has(family)) this.#heard.set(family, new Map())
  }

  note (family: string, peer: string, now: number): void {
    const heard = this.#heard.get(family)
    if (heard == null) return
    const rank = heard.get(peer)?.rank ?? placeOf(peer).rank
    heard.delete(peer)
    heard.set(peer, { rank, at: now })
    if (heard.size <= AUDIENCE_MAX) return
    const [oldest] = heard.keys()
    if (oldest != null) heard.delete(oldest)
  }

  /** Publishers heard of late. */
  publishers (family: string, now: number): number {
    return this.#recent(family, now).length
  }

  /** Halvings of a family; of one that is not heard, as many as of the largest that is. */
  depth (family: string, now: number): number {
    if (this.#heard.has(family)) return depthFor(this.#recent(family, now))
    return Math.max(0, ...[...this.#heard.keys()].map(each => depthFor(this.#recent(each, now))))
  }

  #recent (family: string, now: number): number[] {
    const heard = this.#heard.get(family)
    if (heard == null) return []
    for (const [peer, { at }] of heard) {
      if (at > now - BULLETIN_VALIDITY_MS) break
      heard.delete(peer)
    }
    return [...heard.values()].map(({ rank }) => rank)
  }
}
