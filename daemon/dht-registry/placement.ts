/** Finds out under which keys this node is to be listed for a conversion. */
import type { KadDHT } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import type { Log } from '../log.ts'
import { CONVERTERS_MAX, SHARD_LOOK_PEERS_MIN } from './constants.ts'
import type { Edge } from './finder.ts'
import { capabilityKey } from './keys.ts'
import { listed } from './listing.ts'
import { answerOf, listedIn, numberOf, placeOf, shardOf, step, walkFrom, type Place } from './shards.ts'

export interface PlacementComponents {
  dht: Pick<KadDHT, 'findProviders'>
  /** Peers in the DHT's routing table. */
  dhtPeers: () => number
  log: Log
}

export class Placement {
  readonly #components: PlacementComponents
  readonly #place: Place
  /** Of this node's home for each conversion it offers. */
  readonly #depths = new Map<string, number>()

  /** @param self this node's peer id as text */
  constructor (components: PlacementComponents, self: string) {
    this.#components = components
    this.#place = placeOf(self)
  }

  /** Never throws: a home that could not be looked up stays where it was. */
  async keys (edge: Edge, signal: AbortSignal): Promise<CID[]> {
    const name = `${edge.from} ${edge.to}`
    const known = this.#depths.get(name) ?? 0
    const depth = known === 0 && this.#components.dhtPeers() < SHARD_LOOK_PEERS_MIN ? 0 : await this.#home(edge, known, signal)
    if (this.#depths.size >= CONVERTERS_MAX && !this.#depths.has(name)) this.#depths.clear()
    this.#depths.set(name, depth)
    return await Promise.all(listedIn(this.#place, depth).map(async shard => await capabilityKey(edge, numberOf(shard))))
  }

  async #home (edge: Edge, known: number, signal: AbortSignal): Promise<number> {
    try {
      let walk = walkFrom(known)
      while (!walk.done) {
        const ranks: number[] = []
        const key = await capabilityKey(edge, numberOf(shardOf(this.#place, walk.depth)))
        for await (const { id } of listed(this.#components.dht, key, signal)) ranks.push(placeOf(id.toString()).rank)
        walk = step(walk, answerOf(ranks))
      }
      return walk.depth
    } catch (error) {
      this.#components.log.debug({ reason: (error as Error).message }, 'the shard of a capability was not looked up')
      return known
    }
  }
}
