import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Address, Peer, PeerData, PeerId, PeerStore } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { boundPeerStore, keptAddresses } from '../../../daemon/network/peer-store.ts'

const somebody = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
const at = (port: number, isCertified = false): Address => ({ multiaddr: multiaddr(`/ip4/192.0.2.1/tcp/${port}`), isCertified })
const ports = (addresses: Address[]): number[] => addresses.map(({ multiaddr: address }) => Number(address.toString().split('/').at(-1)))

/** As much of libp2p's store as is used: merge adds, patch replaces; both take a moment. */
function memory (): { store: PeerStore, peers: Map<string, { id: PeerId, addresses: Address[], metadata: string[] }> } {
  const peers = new Map<string, { id: PeerId, addresses: Address[], metadata: string[] }>()
  const write = async (id: PeerId, { addresses, multiaddrs, metadata = {} }: PeerData, before: Address[]): Promise<Peer> => {
    await new Promise(resolve => { setImmediate(resolve) })
    const told = [...addresses ?? [], ...(multiaddrs ?? []).map(address => ({ multiaddr: address, isCertified: false }))]
    const old = peers.get(id.toString())
    const all = addresses == null && multiaddrs == null ? old?.addresses ?? [] : [...before, ...told]
    const entry = { id, addresses: [...new Map(all.map(address => [address.multiaddr.toString(), address])).values()], metadata: [...old?.metadata ?? [], ...Object.keys(metadata)] }
    peers.set(id.toString(), entry)
    return entry as unknown as Peer
  }
  const store = {
    all: async () => [...peers.values()],
    get: async (id: PeerId) => peers.get(id.toString()) ?? await Promise.reject(new Error('not found')),
    delete: async (id: PeerId) => { peers.delete(id.toString()) },
    save: async (id: PeerId, data: PeerData) => await write(id, data, []),
    patch: async (id: PeerId, data: PeerData) => await write(id, data, []),
    merge: async (id: PeerId, data: PeerData) => await write(id, data, peers.get(id.toString())?.addresses ?? [])
  } as unknown as PeerStore
  return { store, peers }
}

describe('network: peer store', () => {
  it('keeps no more addresses than the limit: certified ones, then what was told last', () => {
    assert.deepEqual(ports(keptAddresses([at(1), at(2, true)], [at(3), at(4)], 3)), [2, 3, 4])
    assert.deepEqual(ports(keptAddresses([at(1), at(2)], [at(2)], 3)), [2, 1])
    const addresses = fc.array(fc.record({ port: fc.integer({ min: 1, max: 30 }), certified: fc.boolean() }), { maxLength: 40 }).map(list => list.map(({ port, certified }) => at(port, certified)))
    fc.assert(fc.property(addresses, addresses, fc.integer({ min: 1, max: 16 }), (known, told, max) => {
      const kept = ports(keptAddresses(known, told, max))
      const all = new Set(ports([...known, ...told]))
      assert.equal(kept.length, Math.min(max, all.size))
      assert.equal(new Set(kept).size, kept.length)
      const certified = new Set(ports(known.filter(({ isCertified }) => isCertified)))
      assert.equal(kept.filter(port => certified.has(port)).length >= Math.min(max, certified.size), true)
    }))
  })

  it('holds the limit when many write at once, and loses nothing but addresses', async () => {
    const { store, peers } = memory()
    boundPeerStore(store, () => false, { addresses: 4 })
    const peer = await somebody()
    await Promise.all(Array.from({ length: 50 }, async (_, i) => await store.merge(peer, { multiaddrs: [at(i).multiaddr], metadata: { [`m${i}`]: new Uint8Array() } })))
    assert.deepEqual(ports(peers.get(peer.toString())?.addresses ?? []).sort((a, b) => a - b), [46, 47, 48, 49])
    assert.equal(peers.get(peer.toString())?.metadata.length, 50)
    await store.merge(peer, { metadata: { x: new Uint8Array() } })
    assert.equal(peers.get(peer.toString())?.addresses.length, 4)
    await store.merge(peer, { multiaddrs: Array.from({ length: 100 }, (_, i) => at(i).multiaddr) })
    assert.equal(peers.get(peer.toString())?.addresses.length, 4)
    await store.patch(peer, { addresses: Array.from({ length: 100 }, (_, i) => at(i, true)) })
    await store.save(peer, { multiaddrs: Array.from({ length: 100 }, (_, i) => at(i).multiaddr) })
    assert.equal(peers.get(peer.toString())?.addresses.length, 4)
  })

  it('keeps so many peers: those connected, and those written for last; also of what was there before', async () => {
    const { store, peers } = memory()
    const all = await Promise.all(Array.from({ length: 10 }, somebody))
    for (const peer of all.slice(0, 6)) await store.merge(peer, { multiaddrs: [at(1).multiaddr] })
    boundPeerStore(store, peer => peer.equals(all[0]), { peers: 3 })
    for (const peer of all.slice(6)) await store.merge(peer, { multiaddrs: [at(1).multiaddr] })
    assert.deepEqual([...peers.keys()], [all[0], all[8], all[9]].map(String))
    await store.merge(all[8] as PeerId, { multiaddrs: [at(2).multiaddr] })
    await store.merge(all[1] as PeerId, { multiaddrs: [at(2).multiaddr] })
    assert.deepEqual(new Set(peers.keys()), new Set([all[0], all[8], all[1]].map(String)))
  })

  it('goes on after a write that failed', async () => {
    const { store } = memory()
    store.patch = async () => { throw new Error('closed') }
    boundPeerStore(store, () => false)
    const peer = await somebody()
    const results = await Promise.allSettled([store.patch(peer, {}), store.merge(peer, { multiaddrs: [at(1).multiaddr] })])
    assert.deepEqual(results.map(({ status }) => status), ['rejected', 'fulfilled'])
  })
})
