import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import fc from 'fast-check'
import { toString as textOf } from 'uint8arrays/to-string'
import { VALUE_RECORD_OLD_MS } from '../../../daemon/network/constants.ts'
import { withQuota, yields, type Datastore } from '../../../daemon/network/quota.ts'

type Key = Parameters<Datastore['get']>[0]

const keyOf = (path: string): Key => ({ toString: () => path }) as Key
const provider = (cid: string, peer: string): Key => keyOf(`/dht/provider/${cid}/${peer}`)
const value = (name: string): Key => keyOf(`/dht/record/${textOf(new TextEncoder().encode(name), 'base32')}`)
const nobody = (): undefined => undefined

const somebody = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))

/** How far the key of a record is from a node, all of its bits. */
function distance (name: string, self: PeerId): string {
  const [a, b] = [new TextEncoder().encode(name), self.toMultihash().bytes].map(bytes => createHash('sha256').update(bytes).digest()) as [Buffer, Buffer]
  return Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0))).toString('hex')
}
const VALUE = Uint8Array.of(1)

function record (age: number): Uint8Array {
  return new DhtRecord(Uint8Array.of(1), VALUE, new Date(Date.now() - age)).serialize().subarray()
}

/** Puts a value, for which there may be no room. */
async function offer (store: Datastore, name: string): Promise<void> {
  try {
    await store.put(value(name), record(0))
  } catch (error) {
    assert.equal((error as Error).name, 'DhtQuotaError')
  }
}

/** As much of a datastore as kad-dht uses. */
function memory (): Datastore {
  const entries = new Map<string, Uint8Array>()
  const matching = (prefix = ''): Array<[string, Uint8Array]> => [...entries].filter(([key]) => key.startsWith(prefix))
  return {
    put: async (key: Key, bytes: Uint8Array) => { entries.set(key.toString(), bytes) },
    get: async (key: Key) => entries.get(key.toString()),
    has: async (key: Key) => entries.has(key.toString()),
    delete: async (key: Key) => { entries.delete(key.toString()) },
    async * query ({ prefix }: { prefix?: string }) { for (const [key, bytes] of matching(prefix)) yield { key: keyOf(key), value: bytes } },
    async * queryKeys ({ prefix }: { prefix?: string }) { for (const [key] of matching(prefix)) yield keyOf(key) }
  } as unknown as Datastore
}

describe('network: DHT quota', () => {
  let self: PeerId

  before(async () => { self = await somebody() })

  it('limits the provider records of one peer and of all, but not one\'s own', async () => {
    const store = withQuota(memory(), self, nobody, { providers: 4, providersPerPeer: 2 })
    for (const cid of ['a', 'b']) await store.put(provider(cid, 'p'), VALUE)
    await assert.rejects(async () => await store.put(provider('c', 'p'), VALUE), { name: 'DhtQuotaError' })
    await store.put(provider('a', 'p'), VALUE)
    for (const cid of ['a', 'b']) await store.put(provider(cid, 'q'), VALUE)
    await assert.rejects(async () => await store.put(provider('a', 'r'), VALUE), { name: 'DhtQuotaError' })
    for (const cid of ['a', 'b', 'c', 'd', 'e']) await store.put(provider(cid, self.toString()), VALUE)
  })

  it('gives room back when a record is deleted', async () => {
    const store = withQuota(memory(), self, nobody, { providersPerPeer: 1 })
    await store.put(provider('a', 'p'), VALUE)
    await store.delete(provider('a', 'p'))
    await store.put(provider('b', 'p'), VALUE)
    await assert.rejects(async () => await store.put(provider('a', 'p'), VALUE), { name: 'DhtQuotaError' })
  })

  it('counts what was stored before', async () => {
    const inner = memory()
    await inner.put(provider('a', 'p'), VALUE)
    const store = withQuota(inner, self, nobody, { providersPerPeer: 1 })
    await assert.rejects(async () => await store.put(provider('b', 'p'), VALUE), { name: 'DhtQuotaError' })
  })

  it('lets old values go before it refuses new ones, and replaces freely', async () => {
    const stranger = await somebody()
    const store = withQuota(memory(), self, () => stranger, { values: 2 })
    await store.put(value('old'), record(VALUE_RECORD_OLD_MS + 1000))
    await store.put(value('new'), record(0))
    await store.put(value('newer'), record(0))
    assert.equal(await store.has(value('old')), false)
    await store.put(value('new'), record(0))
  })

  it('when full of values, keeps those nearest to this node, in whatever order they come, and its own', async () => {
    const stranger = await somebody()
    const names = Array.from({ length: 40 }, (_, i) => `/ns/${i}`)
    const nearest = names.toSorted((a, b) => distance(a, self) < distance(b, self) ? -1 : 1)
    for (const order of [names, nearest, nearest.toReversed()]) {
      let sender: PeerId | undefined = stranger
      const store = withQuota(memory(), self, () => sender, { values: 8 })
      for (const name of order) await offer(store, name)
      const kept: string[] = []
      for (const name of names) if (await store.has(value(name))) kept.push(name)
      assert.deepEqual(kept.sort(), nearest.slice(0, 8).sort())
      sender = undefined
      await store.put(value(nearest.at(-1) ?? ''), record(0))
      assert.equal(await store.has(value(nearest[7] ?? '')), false)
    }
  })

  it('filled by one member in the names of others, has room for everybody\'s own, and for nobody\'s twice', async () => {
    const flooder = await somebody()
    let sender = flooder
    const store = withQuota(memory(), self, () => sender, { values: 16 })
    for (let i = 0; i < 100; i++) await offer(store, `/ns/${(await somebody()).toString()}`)
    const honest = await Promise.all(Array.from({ length: 16 }, somebody))
    for (const peer of honest) {
      sender = peer
      await store.put(value(`/ns/${peer.toString()}`), record(0))
    }
    sender = flooder
    for (let i = 0; i < 100; i++) await assert.rejects(async () => await store.put(value(`/ns/${i}`), record(0)), { name: 'DhtQuotaError' })
    for (const peer of honest) assert.equal(await store.has(value(`/ns/${peer.toString()}`)), true)
  })

  it('what a record\'s own peer brings again is its own, also when somebody else brought it first or after', async () => {
    const [peer, other] = await Promise.all([somebody(), somebody()])
    let sender = other
    const inner = memory()
    await inner.put(value(`/ns/${peer.toString()}`), record(0))
    const store = withQuota(inner, self, () => sender, { values: 1 })
    for (sender of [other, peer, other]) await store.put(value(`/ns/${peer.toString()}`), record(0))
    for (let i = 0; i < 32; i++) await assert.rejects(async () => await store.put(value(`/ns/${i}`), record(0)), { name: 'DhtQuotaError' })
  })

  it('orders what makes room for what without a tie that goes both ways', () => {
    const stored = fc.record({ own: fc.boolean(), distance: fc.nat(8) })
    fc.assert(fc.property(stored, stored, stored, (a, b, c) => {
      assert.ok(!(yields(a, b) && yields(b, a)))
      assert.ok(!yields(a, b) || !yields(b, c) || yields(a, c))
    }))
  })

  it('leaves other keys alone', async () => {
    const store = withQuota(memory(), self, nobody, { values: 0, providers: 0 })
    await store.put(keyOf('/peers/x'), VALUE)
    assert.deepEqual(await store.get(keyOf('/peers/x')), VALUE)
  })
})
