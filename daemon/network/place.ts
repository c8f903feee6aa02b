/** Where a peer belongs when many are spread over shards (of topics, of keys): drawn from its id, so that nobody has to be asked. Pure. */
import { createHash } from 'node:crypto'

/** The two parts of the hash of a peer id that are used. */
export interface Place {
  /** The first 32 bits: its prefixes are the shards. */
  hash: number
  /** Leading zeros of the next 32 bits: a draw that each further step halves. */
  rank: number
}

/** @param peer peer id as text */
export function placeOf (peer: string): Place {
  const digest = createHash('sha256').update(peer).digest()
  return { hash: digest.readUInt32BE(0), rank: Math.clz32(digest.readUInt32BE(4)) }
}

/** Number of the shard of `depth` bits with this prefix, counted through all depths: 0, then 1 and 2, then 3 to 6, ... */
export function shardNumber (depth: number, prefix: number): number {
  return 2 ** depth - 1 + prefix
}

/** The first `depth` bits of a hash. */
export function prefixOf (hash: number, depth: number): number {
  return depth === 0 ? 0 : hash >>> (32 - depth)
}
