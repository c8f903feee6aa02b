import assert from 'node:assert/strict'
import type { Level } from 'level'
import { silentLog } from '../../../daemon/log.ts'
import { PEERS_STORED_MAX } from '../../../daemon/network/constants.ts'
import { PeerDatastore } from '../../../daemon/network/peer-datastore.ts'

/** Of a database what the datastore calls; its writes fail on demand. */
class FakeLevel {
  readonly content = new Map<string, Uint8Array>()
  full = false

  #check (): void {
    if (this.full) throw new Error('IO error: 000003.log: No space left on device')
  }

  async put (key: string, value: Uint8Array): Promise<void> {
    this.#check()
    this.content.set(key, value)
  }

  async get (key: string): Promise<Uint8Array | undefined> {
    return this.content.get(key)
  }

  async del (key: string): Promise<void> {
    this.#check()
    this.content.delete(key)
  }
}

describe('network/peer-datastore', () => {
  /** All that is asked of a key is its text. */
  const key = (name: string | number): Parameters<PeerDatastore['get']>[0] => ({ toString: () => `/peers/${name}` }) as never
  const make = (): { level: FakeLevel, store: PeerDatastore } => {
    const level = new FakeLevel()
    return { level, store: new PeerDatastore(level as unknown as Level<string, Uint8Array>, silentLog) }
  }

  it('keeps in memory what the disk does not take, until it does', async () => {
    const { level, store } = make()
    await store.put(key('a'), Uint8Array.of(1))
    level.full = true
    await store.put(key('a'), Uint8Array.of(2))
    await store.put(key('b'), Uint8Array.of(3))
    assert.deepEqual([await store.get(key('a')), await store.get(key('b')), await store.has(key('b'))], [Uint8Array.of(2), Uint8Array.of(3), true])
    assert.deepEqual(level.content.get('/peers/a'), Uint8Array.of(1))
    level.full = false
    await store.put(key('a'), Uint8Array.of(4))
    assert.deepEqual(level.content.get('/peers/a'), Uint8Array.of(4))
    assert.deepEqual(await store.get(key('a')), Uint8Array.of(4))
  })

  it('deleting never fails, and leaves nothing in memory', async () => {
    const { level, store } = make()
    level.full = true
    await store.put(key('a'), Uint8Array.of(1))
    await store.delete(key('a'))
    assert.equal(await store.has(key('a')), false)
    await assert.rejects(store.get(key('a')), { name: 'NotFoundError' })
  })

  it('keeps a bounded number, the newest', async () => {
    const { level, store } = make()
    level.full = true
    for (let i = 0; i < PEERS_STORED_MAX + 3; i++) await store.put(key(i), Uint8Array.of(1))
    assert.equal(await store.has(key(2)), false)
    assert.equal(await store.has(key(3)), true)
  })

  it('an abort is the caller\'s own, not the disk\'s', async () => {
    const { store } = make()
    await assert.rejects(store.put(key('a'), Uint8Array.of(1), { signal: AbortSignal.abort(new Error('stop')) }), /stop/)
  })
})
