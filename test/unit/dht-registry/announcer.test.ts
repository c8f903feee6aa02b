import assert from 'node:assert/strict'
import type { KadDHT } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import { Announcer, type Announcement } from '../../../daemon/dht-registry/announcer.ts'
import type { Edge } from '../../../daemon/dht-registry/finder.ts'
import { capabilityKey } from '../../../daemon/dht-registry/keys.ts'
import { silentLog } from '../../../daemon/log.ts'

/** A DHT that notes what it is asked, and says when it was asked `count` times. */
class FakeDht {
  readonly calls: string[] = []
  fail = false
  #waiting: Array<[number, () => void]> = []

  put (_key: Uint8Array, record: Uint8Array): AsyncIterable<string> { return this.#answer(`put ${record[0] ?? ''}`) }
  provide (cid: CID): AsyncIterable<string> { return this.#answer(`provide ${cid.toString().slice(-4)}`) }
  async cancelReprovide (cid: CID): Promise<void> { this.#note(`cancel ${cid.toString().slice(-4)}`) }

  async asked (count: number): Promise<void> {
    if (this.calls.length < count) await new Promise<void>(resolve => { this.#waiting.push([count, resolve]) })
  }

  async * #answer (call: string): AsyncGenerator<string> {
    this.#note(call)
    yield 'done'
  }

  #note (call: string): void {
    this.calls.push(call)
    for (const [count, resolve] of this.#waiting) if (this.calls.length >= count) resolve()
    if (this.fail) throw new Error('no route')
  }
}

describe('dht-registry: announcer', () => {
  let dht: FakeDht
  let announcer: Announcer
  let peers = true
  /** Under which shards an edge is announced. */
  let shards = [0]
  const keysFor = async (edge: Edge): Promise<CID[]> => await Promise.all(shards.map(async shard => await capabilityKey(edge, shard)))
  let one: Announcement
  let cids: Array<CID | undefined>
  let two: Announcement
  beforeEach(async () => {
    dht = new FakeDht()
    peers = true
    shards = [0]
    announcer = new Announcer({ dht: dht as unknown as KadDHT, keysFor, hasPeers: () => peers, log: silentLog }, 1)
    const [csv, json] = [{ from: 'text/csv', to: 'x/y' }, { from: 'application/json', to: 'x/y' }]
    cids = [(await keysFor(csv))[0], (await keysFor(json))[0]]
    one = { key: new Uint8Array(), record: Uint8Array.of(1), capabilities: [csv, json] }
    two = { key: new Uint8Array(), record: Uint8Array.of(2), capabilities: [json] }
  })
  afterEach(async () => { await announcer.stop() })

  const short = (cid: CID | undefined): string => cid?.toString().slice(-4) ?? ''

  it('puts the record and every capability', async () => {
    announcer.set(one)
    await dht.asked(3)
    assert.deepEqual(dht.calls, ['put 1', `provide ${short(cids[0])}`, `provide ${short(cids[1])}`])
  })

  it('withdraws what is no longer offered, and announces the newest', async () => {
    announcer.set(one)
    await dht.asked(3)
    announcer.set(two)
    await dht.asked(6)
    assert.deepEqual(dht.calls.slice(3), [`cancel ${short(cids[0])}`, 'put 2', `provide ${short(cids[1])}`])
  })

  it('waits until the DHT has somebody, and announces again when told', async () => {
    peers = false
    announcer.set(two)
    await new Promise(resolve => { setImmediate(resolve) })
    assert.deepEqual(dht.calls, [])
    peers = true
    announcer.again()
    await dht.asked(2)
    announcer.again()
    await dht.asked(4)
  })

  it('no longer renews keys of a shard it left', async () => {
    announcer.set(two)
    await dht.asked(2)
    shards = [2, 0]
    announcer.again()
    await dht.asked(5)
    shards = [2]
    announcer.again()
    await dht.asked(8)
    const home = short((await keysFor({ from: 'application/json', to: 'x/y' }))[0])
    assert.deepEqual(dht.calls.slice(2), ['put 2', `provide ${home}`, `provide ${short(cids[1])}`, 'put 2', `cancel ${short(cids[1])}`, `provide ${home}`])
  })

  it('does not let something new wait for the interval between announcements', async () => {
    const slow = new Announcer({ dht: dht as unknown as KadDHT, keysFor, hasPeers: () => true, log: silentLog }, 60_000)
    slow.set(one)
    await dht.asked(3)
    slow.set(two)
    await dht.asked(6)
    slow.again()
    await slow.stop()
  })

  it('goes on after a failure', async () => {
    dht.fail = true
    announcer.set(one)
    await dht.asked(3)
    dht.fail = false
    announcer.again()
    await dht.asked(6)
  })

  it('announces nothing once stopped', async () => {
    announcer.set(two)
    await dht.asked(2)
    await announcer.stop()
    announcer.again()
    assert.equal(dht.calls.length, 2)
  })
})
