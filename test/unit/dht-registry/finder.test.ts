import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { FIND_NAMED_PER_PEER_MAX } from '../../../daemon/dht-registry/constants.ts'
import { findProviders, Turns, type FinderComponents } from '../../../daemon/dht-registry/finder.ts'
import type { ProviderView } from '../../../daemon/dht-registry/index.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { silentLog } from '../../../daemon/log.ts'
import { advertOf, NOW, signer } from './fixtures.ts'

const EDGE = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

async function view (fields: Partial<ProviderView> = {}, advert: { draining?: boolean } = {}): Promise<ProviderView> {
  const who = await signer()
  return { peer: peerIdFromString(who.peer), advert: await advertOf(who, advert), source: 'direct', seen: NOW, connected: true, facts: { price: { source: 'direct', seen: NOW } }, ...fields }
}

/** Answers of so many peers that name a few each. */
function answersOf (named: PeerId[]): object[] {
  return Array.from({ length: Math.ceil(named.length / FIND_NAMED_PER_PEER_MAX) }, (_, i) => ({
    name: 'PEER_RESPONSE',
    from: { toString: () => `answering ${i}` },
    providers: named.slice(i * FIND_NAMED_PER_PEER_MAX, (i + 1) * FIND_NAMED_PER_PEER_MAX).map(id => ({ id, multiaddrs: [] }))
  }))
}

/** A world in which the DHT names `named`, and `answering` give their advert when asked. */
async function world (known: ProviderView[], named: PeerId[], answering: ProviderView[], changes: Partial<FinderComponents> = {}): Promise<{ components: FinderComponents, asked: string[], keys: string[] }> {
  const asked: string[] = []
  const keys: string[] = []
  const self = peerIdFromString((await signer()).peer)
  const components = {
    network: { libp2p: { peerId: self, peerStore: { merge: async () => {} } }, joined: async () => true, dhtPeers: () => 2 },
    dht: {
      async * findProviders (cid: { toString: () => string }) {
        keys.push(cid.toString())
        yield * answersOf([...named, self])
      }
    },
    known: () => known,
    lookup: async (peer: PeerId) => {
      asked.push(peer.toString())
      const found = answering.find(answer => answer.peer.equals(peer))
      if (found == null) throw new Error('no answer')
      return found
    },
    depths: new Map(),
    log: silentLog,
    ...changes
  } as unknown as FinderComponents
  return { components, asked, keys }
}

async function found (components: FinderComponents, signal = AbortSignal.timeout(5000)): Promise<ProviderView[]> {
  const views: ProviderView[] = []
  for await (const each of findProviders(components, EDGE, signal)) views.push(each)
  return views
}

describe('dht-registry: finder', () => {
  it('gives connected ones at once, asks known and named ones, each once, and looks under the capability key', async () => {
    const [near, far, named, silent] = [await view(), await view({ connected: false }), await view(), await view()]
    const answering = [{ ...far, connected: true }, named]
    const { components, asked, keys } = await world([far, near], [near.peer, named.peer, named.peer, far.peer, silent.peer], answering)
    const views = await found(components)
    assert.equal(views[0], near)
    assert.deepEqual(new Set(views.map(({ peer }) => peer.toString())), new Set([near, far, named].map(({ peer }) => peer.toString())))
    assert.equal(views.length, 3)
    assert.deepEqual(asked.sort(), [far, named, silent].map(({ peer }) => peer.toString()).sort())
    assert.deepEqual(keys, [(await capabilityKey(EDGE)).toString()])
  })

  it('leaves out who does not offer it, drains, or cannot be reached', async () => {
    const [drains, unreachable, liar] = [await view({}, { draining: true }), await view({ connected: false }), await view()]
    liar.advert.converters = []
    const { components } = await world([drains], [unreachable.peer, liar.peer], [unreachable, liar])
    assert.deepEqual(await found(components), [])
  })

  it('gives what it found when the DHT fails or nobody is there', async () => {
    const near = await view()
    const failing = await world([near], [], [], { dht: { findProviders () { throw new Error('broken') } } } as unknown as Partial<FinderComponents>)
    assert.deepEqual(await found(failing.components), [near])
    const alone = await world([near], [], [])
    Object.assign(alone.components.network, { joined: async () => false })
    assert.deepEqual(await found(alone.components), [near])
    assert.deepEqual(alone.keys, [])
  })

  it('ends when the signal fires, whatever still runs, and when the reader stops', async () => {
    const [near, slow] = [await view(), await view()]
    const hang = async (_peer: PeerId, { signal }: { signal: AbortSignal }): Promise<never> => await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
    const { components } = await world([near], [slow.peer], [], { lookup: hang })
    assert.deepEqual(await found(components, AbortSignal.timeout(20)), [near])
    for await (const each of findProviders(components, EDGE, AbortSignal.timeout(5000))) {
      assert.equal(each, near)
      break
    }
  })

  it('asks a bounded number at once and in all', async () => {
    const { peer: sample } = await signer()
    const liars = await Promise.all(Array.from({ length: 300 }, async () => peerIdFromString((await signer()).peer)))
    let active = 0
    let most = 0
    let asked = 0
    const { components } = await world([], liars, [], {
      lookup: async () => {
        asked++
        most = Math.max(most, ++active)
        await new Promise(resolve => { setImmediate(resolve) })
        active--
        return undefined
      }
    })
    assert.deepEqual(await found(components), [])
    assert.equal(most, 8)
    assert.equal(asked, 256)
    assert.ok(sample.length > 0)
  })

  it('takes so many of one answer, and asks those of others before it is through with them', async () => {
    const honest = await view()
    const invented = await Promise.all(Array.from({ length: 100 }, async () => peerIdFromString((await signer()).peer)))
    const dht = {
      async * findProviders () {
        yield { name: 'PEER_RESPONSE', from: 'liar', providers: invented.map(id => ({ id, multiaddrs: [] })) }
        yield { name: 'PEER_RESPONSE', from: 'other', providers: [{ id: honest.peer, multiaddrs: [] }] }
      }
    }
    const asked: string[] = []
    const lookup = async (peer: PeerId): Promise<ProviderView | undefined> => {
      asked.push(peer.toString())
      await new Promise(resolve => { setImmediate(resolve) })
      return peer.equals(honest.peer) ? honest : undefined
    }
    const { components } = await world([], [], [], { dht, lookup } as unknown as Partial<FinderComponents>)
    assert.deepEqual(await found(components), [honest])
    assert.equal(asked.length, FIND_NAMED_PER_PEER_MAX + 1)
    assert.ok(asked.indexOf(honest.peer.toString()) < FIND_NAMED_PER_PEER_MAX / 2)
  })

  it('asks a peer again where another says it is, but not where it did not answer, and not after it did', async () => {
    const honest = await view()
    const [dead, alive] = [multiaddr('/ip4/192.0.2.1/tcp/1'), multiaddr('/ip4/192.0.2.1/tcp/2')]
    const told: string[] = []
    const dht = {
      async * findProviders () {
        for (const [from, at] of [['liar', dead], ['second liar', dead], ['honest', alive], ['late', multiaddr('/ip4/192.0.2.1/tcp/3')]]) yield { name: 'PEER_RESPONSE', from, providers: [{ id: honest.peer, multiaddrs: [at] }] }
      }
    }
    const { components } = await world([], [], [], {
      dht,
      lookup: async () => {
        await new Promise(resolve => { setImmediate(resolve) })
        return told.at(-1) === alive.toString() ? honest : undefined
      }
    } as unknown as Partial<FinderComponents>)
    components.network.libp2p.peerStore.merge = async (_peer, { multiaddrs }) => {
      told.push(String(multiaddrs?.[0]))
      return undefined as never
    }
    assert.deepEqual(await found(components), [honest])
    assert.deepEqual(told, [dead, alive].map(String))
  })

  it('looks under the common key if those of a large network gave nobody', async () => {
    const honest = await view()
    const invented = await Promise.all(Array.from({ length: 20 }, async () => peerIdFromString((await signer()).peer)))
    const root = (await capabilityKey(EDGE)).toString()
    const keys: string[] = []
    const dht = {
      async * findProviders (key: { toString: () => string }) {
        keys.push(key.toString())
        yield * answersOf(key.toString() === root ? [honest.peer] : invented)
      }
    }
    const { components } = await world([], [], [honest], { dht, depths: new Map([[`${EDGE.from} ${EDGE.to}`, 4]]) } as unknown as Partial<FinderComponents>)
    components.network.dhtPeers = () => 1000
    assert.deepEqual(await found(components), [honest])
    assert.ok(keys[0] !== root && keys.at(-1) === root)
    keys.length = 0
    components.network.dhtPeers = () => 10
    components.depths.set(`${EDGE.from} ${EDGE.to}`, 4)
    assert.deepEqual(await found(components), [honest])
    assert.deepEqual(keys, [root], 'in a small network there is only that')
  })

  it('gives each who named somebody a turn', async () => {
    const { peer } = await signer()
    const turns = new Turns()
    const id = peerIdFromString(peer)
    for (const from of ['a', 'a', 'a', 'b', 'c', 'c']) turns.add({ id, multiaddrs: [], from })
    const order: string[] = []
    for (let next = turns.next(); next != null; next = turns.next()) order.push(next.from)
    assert.equal(order.join(''), 'abcaca')
  })
})
