/** A conversion with very many providers, without a network: who is listed where, by the production rules. Seeded. */
import { numberOf, listedIn, placeOf, shardOf, SearchPlan, step, walkFrom, type Answer, type Place, type Shard } from '../../../daemon/dht-registry/shards.ts'
import { FIND_KEY_CANDIDATES_MAX, SHARD_SAMPLE_MIN } from '../../../daemon/dht-registry/constants.ts'

const RANKS = 33

interface Key { listed: number, ranks: Uint32Array }

export interface Provider { place: Place, depth: number, isListed: boolean }

export class ShardModel {
  readonly providers: Provider[] = []
  readonly keys = new Map<number, Key>()
  /** Looks at keys, and entries made, by providers; of each key, by its number. */
  readonly looks = new Map<number, number>()
  readonly entries = new Map<number, number>()
  #looked = 0

  add (seed: number, count: number): void {
    const from = this.providers.length
    for (let i = from; i < from + count; i++) this.providers.push({ place: placeOf(`${seed}/${i}`), depth: 0, isListed: false })
  }

  /** The last ones leave; their entries are gone, as once they have expired. */
  remove (count: number): void {
    for (const provider of this.providers.splice(this.providers.length - count)) this.#list(provider, -1)
  }

  /** Everybody announces once, in order. Returns how many changed their home. */
  announce (): number {
    let moved = 0
    for (const provider of this.providers) {
      let walk = walkFrom(provider.depth)
      while (!walk.done) walk = step(walk, this.look(shardOf(provider.place, walk.depth), this.looks))
      if (walk.depth !== provider.depth || !provider.isListed) {
        if (provider.isListed) this.#list(provider, -1)
        if (walk.depth !== provider.depth) moved++
        provider.depth = walk.depth
        this.#list(provider, 1)
      }
      for (const shard of listedIn(provider.place, provider.depth)) bump(this.entries, numberOf(shard))
    }
    return moved
  }

  look (shard: Shard, count?: Map<number, number>): Answer {
    this.#looked++
    if (count != null) bump(count, numberOf(shard))
    const key = this.keys.get(numberOf(shard))
    if (key == null || key.listed < SHARD_SAMPLE_MIN) return { listed: key?.listed ?? 0, lowest: 0 }
    let [lowest, below] = [0, key.ranks[0] ?? 0]
    while (below <= key.listed >> 2) below += key.ranks[++lowest] ?? 0
    return { listed: key.listed, lowest }
  }

  /** Looks in all. */
  get looked (): number {
    return this.#looked
  }

  /** Entries of the fullest key. */
  get fullest (): number {
    return Math.max(0, ...[...this.keys.values()].map(({ listed }) => listed))
  }

  /** What one search asks, which ends once it has so many candidates. */
  search (plan: SearchPlan, count?: Map<number, number>, candidates = Infinity): Set<number> {
    const asked = new Set<number>()
    let found = 0
    for (let shard = plan.next(); shard != null && found < candidates; shard = plan.next()) {
      asked.add(numberOf(shard))
      const answer = this.look(shard, count)
      found += Math.min(answer.listed, FIND_KEY_CANDIDATES_MAX)
      plan.answered(shard, answer)
    }
    return asked
  }

  #list (provider: Provider, change: 1 | -1): void {
    provider.isListed = change === 1
    for (const shard of listedIn(provider.place, provider.depth)) {
      const number = numberOf(shard)
      const key = this.keys.get(number) ?? { listed: 0, ranks: new Uint32Array(RANKS) }
      key.listed += change
      key.ranks[provider.place.rank] = (key.ranks[provider.place.rank] ?? 0) + change
      if (key.listed === 0) this.keys.delete(number)
      else this.keys.set(number, key)
    }
  }
}

function bump (counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
