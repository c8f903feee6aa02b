import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import type { ProviderView } from '../../../daemon/dht-registry/index.ts'
import { following, openSequence } from '../../../daemon/dht-registry/sequence.ts'
import { AdvertTable, type KnownAdvert } from '../../../daemon/dht-registry/table.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { advertOf, NOW, signer } from './fixtures.ts'

const connected = new Set<string>()

async function entry (fields: { sequence?: number, source?: ProviderView['source'], expires?: number, size?: number, peer?: string } = {}): Promise<KnownAdvert> {
  const { source = 'direct', size = 100, peer = (await signer()).peer, ...advert } = fields
  return { peer: peerIdFromString(peer), advert: await advertOf({ ...await signer(), peer }, advert), source, seen: NOW, size }
}

describe('dht-registry: table', () => {
  beforeEach(() => { connected.clear() })
  const table = (limits = {}): AdvertTable => new AdvertTable(peer => connected.has(peer.toString()), limits)

  it('keeps the newer of two adverts, and the fuller of two with one sequence', async () => {
    const known = table()
    const { peer } = await signer()
    assert.equal(known.put(await entry({ peer, sequence: 5, source: 'dht' })), true)
    assert.equal(known.put(await entry({ peer, sequence: 5, source: 'direct' })), true)
    assert.equal(known.put(await entry({ peer, sequence: 5, source: 'dht' })), false)
    assert.equal(known.put(await entry({ peer, sequence: 4 })), false)
    assert.equal(known.get(peer)?.source, 'direct')
    assert.equal(known.put(await entry({ peer, sequence: 6, source: 'dht' })), true)
    assert.equal(known.values().length, 1)
  })

  it('stays within its number: unconnected ones go first, oldest first, never oneself', async () => {
    const known = table({ adverts: 3 })
    const self = await entry({ source: 'self' })
    const [a, b, c, d] = [await entry(), await entry(), await entry(), await entry()]
    connected.add(a.peer.toString())
    for (const each of [self, a, b, c]) known.put(each)
    assert.deepEqual(known.values(), [self, a, c])
    connected.add(c.peer.toString())
    known.put(d)
    assert.deepEqual(known.values(), [self, c, d])
  })

  it('stays within its bytes', async () => {
    const known = table({ bytes: 250 })
    const [a, b, c] = [await entry(), await entry(), await entry()]
    for (const each of [a, b, c]) known.put(each)
    assert.deepEqual(known.values(), [b, c])
    known.delete(b.peer)
    known.put(a)
    assert.deepEqual(known.values(), [c, a])
  })

  it('returns what expired', async () => {
    const known = table()
    const [a, b] = [await entry({ expires: NOW + 10 }), await entry({ expires: NOW + 20 })]
    known.put(a)
    known.put(b)
    assert.deepEqual(known.expire(NOW + 9), [])
    assert.deepEqual(known.expire(NOW + 10), [a])
    assert.deepEqual(known.values(), [b])
  })
})

describe('dht-registry: own sequence', () => {
  it('follows the clock, and goes on by one when the clock does not', async () => {
    const sequence = await openSequence()
    assert.equal(await sequence.next(NOW), NOW)
    assert.equal(await sequence.next(NOW), NOW + 1)
    assert.equal(await sequence.next(NOW - 1000), NOW + 2)
    assert.equal(await sequence.next(NOW + 5000), NOW + 5000)
  })

  it('leaves a time that was wrong behind: nobody took what was dated that far ahead', () => {
    assert.equal(following(NOW + CLOCK_SKEW_MS, NOW), NOW + CLOCK_SKEW_MS + 1)
    assert.equal(following(NOW + CLOCK_SKEW_MS + 1, NOW), NOW)
  })
})
