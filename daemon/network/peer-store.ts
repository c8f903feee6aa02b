/**
 * What the peer store keeps: libp2p limits neither the addresses of a peer, which add up with everything anybody says, nor the number of peers.
 */
import type { Address, Peer, PeerData, PeerId, PeerStore } from '@libp2p/interface'
import { PEER_ADDRESSES_MAX, PEERS_STORED_MAX } from './constants.ts'

export interface PeerStoreLimits {
  /** Addresses of one peer. @default PEER_ADDRESSES_MAX */
  addresses?: number
  /** Peers that are not connected. @default PEERS_STORED_MAX */
  peers?: number
}

/**
 * What is kept of the addresses of a peer: those its own signature says first, as nobody else can add to them, then the latest told.
 */
export function keptAddresses (known: readonly Address[], told: readonly Address[], max: number): Address[] {
  const kept = new Map<string, Address>()
  for (const address of [...known.filter(({ isCertified }) => isCertified), ...told, ...known]) {
    if (kept.size >= max) break
    const key = address.multiaddr.toString()
    if (!kept.has(key)) kept.set(key, address)
  }
  return [...kept.values()]
}

/**
 * Replaces the methods that write, so that it holds for everybody who has the store already. Beyond the number of peers the one not written for
 * longest is deleted.
 *
 * @param isConnected peers that are never deleted
 */
export function boundPeerStore (store: PeerStore, isConnected: (peer: PeerId) => boolean, { addresses: max = PEER_ADDRESSES_MAX, peers: peersMax = PEERS_STORED_MAX }: PeerStoreLimits = {}): void {
  const [save, patch, merge] = [store.save, store.patch, store.merge].map(method => method.bind(store)) as [PeerStore['save'], PeerStore['patch'], PeerStore['merge']]
  /** The last write to each peer that is under way: two that count together would both find room. */
  const writing = new Map<string, Promise<unknown>>()
  /** Least recently written first. */
  const written = new Map<string, PeerId>()
  let loading: Promise<void> | undefined

  async function load (): Promise<void> {
    for (const { id } of await store.all()) written.set(id.toString(), id)
  }

  async function makeRoom (): Promise<void> {
    for (const [key, peer] of written) {
      if (written.size <= peersMax) return
      if (isConnected(peer)) continue
      written.delete(key)
      await store.delete(peer)
    }
  }

  async function inTurn (peer: PeerId, write: () => Promise<Peer>): Promise<Peer> {
    await (loading ??= load().catch(error => {
      loading = undefined
      throw error
    }))
    const key = peer.toString()
    const before = writing.get(key)
    const turn = (async () => {
      await before?.catch(() => { /* its own caller hears of it */ })
      return await write()
    })()
    writing.set(key, turn)
    try {
      const result = await turn
      written.delete(key)
      written.set(key, peer)
      await makeRoom()
      return result
    } finally {
      if (writing.get(key) === turn) writing.delete(key)
    }
  }

  const known = async (peer: PeerId): Promise<Address[]> => await store.get(peer).then(({ addresses }) => addresses, () => [/* nothing is known of it */])

  store.save = async (peer, data, options) => await inTurn(peer, async () => await save(peer, capped(data, max), options))
  store.patch = async (peer, data, options) => await inTurn(peer, async () => await patch(peer, capped(data, max), options))
  store.merge = async (peer, data, options) => await inTurn(peer, async () => {
    const told = toldBy(data)
    if (told.length === 0) return await merge(peer, data, options)
    const before = await known(peer)
    const fit = told.slice(0, max)
    const { multiaddrs: _multiaddrs, addresses: _addresses, ...rest } = data
    if (before.length + fit.length <= max) return await merge(peer, { ...rest, addresses: fit }, options)
    if (Object.keys(rest).length > 0) await merge(peer, rest, options)
    return await patch(peer, { addresses: keptAddresses(before, fit, max) }, options)
  })
}

function toldBy ({ addresses = [], multiaddrs = [] }: PeerData): Address[] {
  return [...addresses, ...multiaddrs.map(multiaddr => ({ multiaddr, isCertified: false }))]
}

/** One that replaces the addresses, with no more than are kept. */
function capped (data: PeerData, max: number): PeerData {
  if (data.addresses == null && data.multiaddrs == null) return data
  const { multiaddrs: _multiaddrs, addresses: _addresses, ...rest } = data
  return { ...rest, addresses: keptAddresses([], toldBy(data), max) }
}
