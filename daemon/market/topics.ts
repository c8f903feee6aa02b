/**
 * Which topics a node publishes on and hears. A family has one topic, `prices/<family>/0`, until it has more than SHARD_PUBLISHERS_MAX publishers.
 * Then a publisher tells a topic of its own shard (a prefix of the hash of its peer id), and the common one only if it is drawn by another part of
 * that hash, with a chance that halves with every halving. So each topic carries about as many publishers, everybody hears a fair sample of all on the
 * common one, and how rare the draw of those heard is says how many there are: nobody has to count. Pure.
 */
import { prefixOf, shardNumber, type Place } from '../network/index.ts'
import { SHARD_DEPTH_MAX, SHARD_PUBLISHERS_MAX, SHARD_SAMPLE_MIN, SUBSCRIPTIONS_MAX } from './constants.ts'

/** `prices/<family>/<shard>`. Shards are numbered through all depths: 0 is the common one, then 1 and 2, then 3 to 6, ... */
export function topicOf (family: string, depth: number, hash: number): string {
  return `prices/${family}/${shardNumber(depth, prefixOf(hash, depth))}`
}

/** Halvings that leave at most SHARD_PUBLISHERS_MAX publishers in each shard, by the ranks of those heard on the common topic. */
export function depthFor (ranks: number[]): number {
  if (ranks.length < SHARD_SAMPLE_MIN) return 0
  const publishers = ranks.length * 2 ** lowest(ranks)
  return Math.min(SHARD_DEPTH_MAX, Math.max(0, Math.ceil(Math.log2(publishers / SHARD_PUBLISHERS_MAX))))
}

/** The rank all have at least: half of them have exactly this one. The lower quartile, so that a few that do not keep to it change nothing. */
function lowest (ranks: number[]): number {
  return ranks.toSorted((a, b) => a - b)[ranks.length >> 2] ?? 0
}

/** Where a node tells of itself, in each of its families. */
export function publishTopics (families: string[], { hash, rank }: Place, depthOf: (family: string) => number): string[] {
  return families.flatMap(family => {
    const depth = depthOf(family)
    return [...(rank >= depth ? [topicOf(family, 0, 0)] : []), ...(depth > 0 ? [topicOf(family, depth, hash)] : [])]
  })
}

export interface Subscription { topic: string, family: string, common: boolean }

/** What a node hears: the common topic of each family, and with what is left of the four its own shards. Families in order of interest. */
export function subscriptions (families: string[], { hash }: Place, depthOf: (family: string) => number, max: number = SUBSCRIPTIONS_MAX): Subscription[] {
  const common = families.map(family => ({ topic: topicOf(family, 0, 0), family, common: true }))
  const own = families.filter(family => depthOf(family) > 0).map(family => ({ topic: topicOf(family, depthOf(family), hash), family, common: false }))
  return [...common, ...own].slice(0, max)
}
