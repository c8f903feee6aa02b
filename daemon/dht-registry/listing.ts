/** Who the DHT lists under a key. */
import type { PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { CID } from 'multiformats/cid'

export interface Listed { id: PeerId, multiaddrs: Multiaddr[] }

/** What kad-dht has beyond its published type: the records this node holds itself. */
interface Holder { providers?: { getProviders: (key: CID, options: { signal: AbortSignal }) => Promise<PeerId[]> } }

/**
 * Each provider once. Whole answers are read and what is held here is given after them, for kad-dht's own search ends as soon as it has eight and gives no
 * more than eight of its own; that of a node of ours (network/dht-limits.ts) asks on.
 */
export async function * listed (dht: Pick<KadDHT, 'findProviders'>, key: CID, signal: AbortSignal): AsyncGenerator<Listed> {
  const seen = new Set<string>()
  const isNew = ({ id }: { id: PeerId }): boolean => !seen.has(id.toString()) && seen.add(id.toString()) != null
  for await (const event of dht.findProviders(key, { signal })) {
    if (event.name === 'PROVIDER' || event.name === 'PEER_RESPONSE') yield * event.providers.filter(isNew)
  }
  const held = await (dht as Holder).providers?.getProviders(key, { signal }) ?? []
  yield * held.map(id => ({ id, multiaddrs: [] })).filter(isNew)
}
