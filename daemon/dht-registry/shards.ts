/**
 * Under which keys the providers of a conversion are listed, so that none lists many more than SHARD_PROVIDERS_MAX and nobody has to know how many
 * there are. Pure.
 *
 * Shards are the prefixes of the hash of a provider's peer id, of every length (depth) from none. A provider has a *home*: the prefix so long that at
 * most SHARD_PROVIDERS_MAX share it. It is listed there, and under each shorter prefix only if another part of its hash is drawn, with a chance that
 * halves with every step up. So every key lists about as many, the one without a prefix lists a fair sample of all, and the rank of the draw of
 * those listed says how many they stand for: one answer tells a newcomer how deep it has to go, and a searcher where there are more. While a
 * conversion has few providers, all of this is the one key without a prefix.
 */
import { prefixOf, shardNumber, type Place } from '../network/index.ts'
import { FIND_SHARDS_MAX, SHARD_DEPTH_MAX, SHARD_PROVIDERS_MAX, SHARD_PROVIDERS_MIN, SHARD_PROVIDERS_ROOM, SHARD_SAMPLE_MIN } from './constants.ts'

export { placeOf, type Place } from '../network/index.ts'

export interface Shard {
  depth: number
  /** `depth` bits. */
  prefix: number
}

export const ROOT: Shard = { depth: 0, prefix: 0 }

export function shardOf ({ hash }: Place, depth: number): Shard {
  return { depth, prefix: prefixOf(hash, depth) }
}

/** Shards are numbered through all depths: 0, then 1 and 2, then 3 to 6, ... */
export function numberOf ({ depth, prefix }: Shard): number {
  return shardNumber(depth, prefix)
}

/** Where a provider whose home has this depth is listed; its home first. */
export function listedIn (place: Place, depth: number): Shard[] {
  const steps = Math.min(depth, place.rank)
  return Array.from({ length: steps + 1 }, (_, step) => shardOf(place, depth - step))
}

/** What a key's answer says. */
export interface Answer {
  listed: number
  /** The rank that all listed have at least: how many steps their homes are below. */
  lowest: number
}

/** The lower quartile instead of the least rank: half of those that keep to the rule have exactly this one, and a few that do not change nothing. */
export function answerOf (ranks: number[]): Answer {
  const lowest = ranks.length < SHARD_SAMPLE_MIN ? 0 : ranks.toSorted((a, b) => a - b)[ranks.length >> 2] ?? 0
  return { listed: ranks.length, lowest }
}

/** About how many providers have the key's prefix. */
export function population ({ listed, lowest }: Answer): number {
  return listed * 2 ** lowest
}

/** A provider's search for its home: the depth to look at next, or where it is. */
export interface Walk {
  depth: number
  /** Less deep than this there is no room. */
  least: number
  /** Here too few share the prefix. */
  sparse?: number
  done: boolean
}

/** @param depth where its home was when it last looked */
export function walkFrom (depth: number): Walk {
  return { depth, least: 0, done: false }
}

/**
 * After a look at the key of `walk.depth`. Deeper where too many have its prefix: by entries that are there, even to where nobody is yet; by what their
 * ranks promise, only if there are enough, so that a crowd of liars under one key sends nobody to where nobody looks. Less deep if fewer than
 * SHARD_PROVIDERS_MIN have its prefix, and there is room. Each look narrows it down; it takes one as a rule, and seven at worst in a network that
 * keeps to the rule.
 */
export function step ({ depth, least, sparse }: Walk, answer: Answer): Walk {
  const count = population(answer)
  if (depth > least && count < SHARD_PROVIDERS_MIN) return { depth: (least + depth) >> 1, least, sparse: depth, done: false }
  if (sparse === depth + 1 && answer.listed > SHARD_PROVIDERS_ROOM) return { depth: sparse, least, done: true }
  const deeper = (providers: number): number => depth + Math.max(0, Math.ceil(Math.log2(providers / SHARD_PROVIDERS_MAX)))
  const wanted = Math.min(sparse == null ? SHARD_DEPTH_MAX : sparse - 1, deeper(count))
  if (wanted <= depth) return { depth, least, done: true }
  return { depth: wanted, least: Math.min(wanted, deeper(answer.listed)), ...(sparse == null ? {} : { sparse }), done: false }
}

/** How deep homes are, by the answer of one key. */
export function homeDepth ({ depth }: Shard, answer: Answer): number {
  return Math.min(SHARD_DEPTH_MAX, depth + Math.max(0, answer.lowest, Math.ceil(Math.log2(population(answer) / SHARD_PROVIDERS_MAX))))
}

/**
 * Which keys a search asks: the one without a prefix, or, where many were found before, one of their depth by chance, so that searches of a large
 * network spread. Below a key that stands for SHARD_PROVIDERS_MIN there may be more: all of them if they are few, otherwise some by chance.
 */
export class SearchPlan {
  readonly #random: () => number
  readonly #max: number
  readonly #asked = new Set<number>()
  readonly #waiting: Shard[]
  /** For the next search: how deep the homes are. */
  depth: number

  /**
   * @param depth that the last search found
   * @param random from 0 to 1
   */
  constructor (depth: number, random: () => number, max: number = FIND_SHARDS_MAX) {
    this.#random = random
    this.#max = max
    this.depth = depth
    this.#waiting = [this.#any(depth)]
  }

  next (): Shard | undefined {
    while (this.#asked.size < this.#max) {
      const shard = this.#waiting.shift()
      if (shard == null) return undefined
      if (this.#asked.has(numberOf(shard))) continue
      this.#asked.add(numberOf(shard))
      return shard
    }
    return undefined
  }

  answered (shard: Shard, answer: Answer): void {
    const isRoot = shard.depth === 0
    if (isRoot) this.depth = homeDepth(shard, answer)
    if (!isRoot && answer.listed < SHARD_SAMPLE_MIN) this.#waiting.unshift(this.#instead(shard))
    else if (population(answer) < SHARD_PROVIDERS_MIN || shard.depth === SHARD_DEPTH_MAX) return
    else if (2 ** (this.depth + 1) <= this.#max) this.#waiting.push(...childrenOf(shard))
    else for (let i = this.#waiting.length; i < this.#max; i++) this.#waiting.push(this.#any(this.depth - i % 2))
  }

  /** Fewer than expected: the key that lists a sample of all says what has changed; if it promised too much, half as deep. */
  #instead (shard: Shard): Shard {
    return this.#asked.has(numberOf(ROOT)) ? this.#any(shard.depth >> 1) : ROOT
  }

  #any (depth: number): Shard {
    return { depth, prefix: Math.min(2 ** depth - 1, Math.floor(this.#random() * 2 ** depth)) }
  }
}

function childrenOf ({ depth, prefix }: Shard): Shard[] {
  return [{ depth: depth + 1, prefix: 2 * prefix }, { depth: depth + 1, prefix: 2 * prefix + 1 }]
}
