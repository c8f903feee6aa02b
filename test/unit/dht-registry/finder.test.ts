import assert from 'node:assert/strict'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { findProviders, type FinderComponents } from '../../../daemon/dht-registry/finder.ts'
import type { ProviderView } from '../../../daemon/dht-registry/index.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { silentLog } from '../../../daemon/log.ts'
import { advertOf, NOW, signer } from './fixtures.ts'

const EDGE = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

async function view (fields: Partial<ProviderView> = {}, advert: { draining?: boolean } = {}): Promise<ProviderView> {
  const who = await signer()
  return { peer: peerIdFromString(who.peer), advert: await advertOf(who, advert), source: 'direct', seen: NOW, connected: true, facts: { price: { source: 'direct', seen: NOW } }, ...fields }
}

/** A world in which the DHT names `named`, and `answering` give their advert when asked. */
async function world (known: ProviderView[], named: PeerId[], answering: ProviderView[], changes: Partial<FinderComponents> = {}): Promise<{ components: FinderComponents, asked: string[], keys: string[] }> {
  const asked: string[] = []
  const keys: string[] = []
  const self = peerIdFromString((await signer()).peer)
  const components = {
    network: { libp2p: { peerId: self, peerStore: { merge: async () => {} } }, joined: async () => true },
    dht: {
      async * findProviders (cid: { toString: () => string }) {
        keys.push(cid.toString())
        yield { name: 'PROVIDER', providers: [...named, self].map(id => ({ id, multiaddrs: [] })) }
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
    assert.equal(asked, 255)
    assert.ok(sample.length > 0)
  })
})
