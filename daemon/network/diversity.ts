/** How many entries of the DHT's routing table one address group may hold. kad-dht itself asks nothing. */
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'
import { groupOf, LOCAL_GROUP } from './address.ts'
import { ROUTING_GROUP_MAX } from './constants.ts'

/** What kad-dht's routing table offers beyond its published type. */
export interface RoutingTable extends TypedEventTarget<{ 'peer:add': CustomEvent<PeerId>, 'peer:remove': CustomEvent<PeerId> }> {
  size: number
  add: (peer: PeerId, options?: unknown) => Promise<void>
}

/**
 * Lets in at most ROUTING_GROUP_MAX peers of a public address group; loopback and private addresses are one laboratory and have no limit.
 *
 * @param addressOf where a peer is connected: what it says about itself proves nothing. Undefined if it is not
 */
export function diversify (table: RoutingTable, addressOf: (peer: PeerId) => Multiaddr | undefined): void {
  if (typeof table.add !== 'function') throw new Error('this version of @libp2p/kad-dht is not the one diversity.ts was written for')
  const groups = new Map<string, string>()
  const add = table.add
  table.addEventListener('peer:add', ({ detail: peer }) => { groups.set(peer.toString(), groupAt(addressOf(peer))) })
  table.addEventListener('peer:remove', ({ detail: peer }) => { groups.delete(peer.toString()) })
  table.add = async (peer, options) => {
    if (!admits(groups, peer.toString(), groupAt(addressOf(peer)))) return
    await add.call(table, peer, options)
  }
}

/** Who is not connected yet is pinged before it enters, and then counted where it is. */
function groupAt (address: Multiaddr | undefined): string {
  return address == null ? LOCAL_GROUP : groupOf(address)
}

/** @param groups of the peers in the table */
export function admits (groups: ReadonlyMap<string, string>, peer: string, group: string): boolean {
  if (groups.has(peer) || group === LOCAL_GROUP) return true
  let held = 0
  for (const other of groups.values()) if (other === group) held++
  return held < ROUTING_GROUP_MAX
}
