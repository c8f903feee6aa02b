import assert from 'node:assert/strict'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import { VALUE_RECORD_OLD_MS } from '../../../daemon/network/constants.ts'
import { withQuota, type Datastore } from '../../../daemon/network/quota.ts'

type Key = Parameters<Datastore['get']>[0]

const keyOf = (path: string): Key => ({ toString: () => path }) as Key
const provider = (cid: string, peer: string): Key => keyOf(`/dht/provider/${cid}/${peer}`)
const value = (key: string): Key => keyOf(`/dht/record/${key}`)
const VALUE = Uint8Array.of(1)

function record (age: number): Uint8Array {
  return new DhtRecord(Uint8Array.of(1), VALUE, new Date(Date.now() - age)).serialize().subarray()
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
  it('limits the provider records of one peer and of all, but not one\'s own', async () => {
    const store = withQuota(memory(), 'self', { providers: 4, providersPerPeer: 2 })
    for (const cid of ['a', 'b']) await store.put(provider(cid, 'p'), VALUE)
    await assert.rejects(async () => await store.put(provider('c', 'p'), VALUE), { name: 'DhtQuotaError' })
    await store.put(provider('a', 'p'), VALUE)
    for (const cid of ['a', 'b']) await store.put(provider(cid, 'q'), VALUE)
    await assert.rejects(async () => await store.put(provider('a', 'r'), VALUE), { name: 'DhtQuotaError' })
    for (const cid of ['a', 'b', 'c', 'd', 'e']) await store.put(provider(cid, 'self'), VALUE)
  })

  it('gives room back when a record is deleted', async () => {
    const store = withQuota(memory(), 'self', { providersPerPeer: 1 })
    await store.put(provider('a', 'p'), VALUE)
    await store.delete(provider('a', 'p'))
    await store.put(provider('b', 'p'), VALUE)
    await assert.rejects(async () => await store.put(provider('a', 'p'), VALUE), { name: 'DhtQuotaError' })
  })

  it('counts what was stored before', async () => {
    const inner = memory()
    await inner.put(provider('a', 'p'), VALUE)
    const store = withQuota(inner, 'self', { providersPerPeer: 1 })
    await assert.rejects(async () => await store.put(provider('b', 'p'), VALUE), { name: 'DhtQuotaError' })
  })

  it('lets old values go before it refuses new ones, and replaces freely', async () => {
    const store = withQuota(memory(), 'self', { values: 2 })
    await store.put(value('old'), record(VALUE_RECORD_OLD_MS + 1000))
    await store.put(value('new'), record(0))
    await store.put(value('newer'), record(0))
    assert.equal(await store.has(value('old')), false)
    await store.put(value('new'), record(0))
    await assert.rejects(async () => await store.put(value('newest'), record(0)), { name: 'DhtQuotaError' })
  })

  it('leaves other keys alone', async () => {
    const store = withQuota(memory(), 'self', { values: 0, providers: 0 })
    await store.put(keyOf('/peers/x'), VALUE)
    assert.deepEqual(await store.get(keyOf('/peers/x')), VALUE)
  })
})
