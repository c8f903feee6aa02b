import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { peerIdFromString } from '@libp2p/peer-id'
import { Level } from 'level'
import { BackgroundLookups } from '../../../daemon/dht-registry/background.ts'
import { BACKGROUND_LOOKUPS_PARALLEL_MAX, BACKGROUND_LOOKUPS_PER_MINUTE_MAX, BACKGROUND_LOOKUPS_WAITING_MAX, BACKGROUND_RETRY_MS } from '../../../daemon/dht-registry/constants.ts'
import type { Advert, Observation, ProviderView } from '../../../daemon/dht-registry/index.ts'
import { Knowledge } from '../../../daemon/dht-registry/knowledge.ts'
import { AdvertMemory } from '../../../daemon/dht-registry/memory.ts'
import { Observations } from '../../../daemon/dht-registry/observations.ts'
import type { KnownAdvert } from '../../../daemon/dht-registry/table.ts'
import { silentLog } from '../../../daemon/log.ts'
import { advertOf, NOW, signer, type Signer } from './fixtures.ts'

const observed = (who: Pick<Signer, 'peer'>, fields: Partial<Observation> = {}): Observation => ({
  peer: peerIdFromString(who.peer), sequence: NOW + 1, expires: NOW + 90_000, price: '7', unit: 'credit', draining: false, load: { slots: 2, busy: 1, loopDelayMs: 3 }, ...fields
})

describe('dht-registry: observations of known peers', () => {
  let now = NOW
  let who: Signer
  let known: Knowledge
  let told: ProviderView[]
  let remembered: string[]
  beforeEach(async () => {
    now = NOW
    who = await signer()
    remembered = []
    known = new Knowledge({
      connected: () => new Set([who.peer]),
      memory: { remember: ({ peer }) => { remembered.push(peer) }, forget: peer => { remembered = remembered.filter(each => each !== peer) } },
      now: () => now
    })
    told = []
    known.events.addEventListener('advert', ({ detail }) => { told.push(detail) })
  })

  const learn = async (fields: Partial<Advert> = {}, source: KnownAdvert['source'] = 'direct'): Promise<void> => {
    known.remember({ peer: peerIdFromString(who.peer), advert: await advertOf(who, fields), source, seen: now, size: 100 }, Uint8Array.of(1))
  }
  const view = (): ProviderView => {
    const [first] = known.view()
    assert.ok(first != null)
    return first
  }

  it('change price, unit and draining, and say so; load comes without saying', async () => {
    await learn({ price: '1' })
    assert.deepEqual(view().facts, { price: { source: 'direct', seen: NOW } })
    now += 5
    assert.equal(known.observe(observed(who)), 'taken')
    assert.deepEqual([view().advert.price, view().facts], ['7', { price: { source: 'gossip', seen: NOW + 5 }, load: { slots: 2, busy: 1, loopDelayMs: 3, source: 'gossip', seen: NOW + 5 } }])
    assert.equal(told.at(-1)?.advert.price, '7')
    const { length } = told
    assert.equal(known.observe(observed(who, { sequence: NOW + 2, load: { slots: 2, busy: 2, loopDelayMs: 0 } })), 'taken')
    assert.equal(told.length, length)
    assert.equal(view().facts.load?.busy, 2)
    assert.equal(known.observe(observed(who, { sequence: NOW + 3, unit: 'other' })), 'taken')
    assert.equal(known.observe(observed(who, { sequence: NOW + 4, unit: 'other', draining: true })), 'taken')
    assert.equal(told.length, length + 2)
    assert.deepEqual([view().advert.unit, view().advert.draining, view().source, view().seen], ['other', true, 'direct', NOW])
  })

  it('are not taken when old, expired, of oneself, or of nobody known', async () => {
    assert.equal(known.observe(observed(who)), 'unknown')
    await learn()
    assert.equal(known.observe(observed(who, { sequence: NOW })), 'old', 'the advert says as much')
    assert.equal(known.observe(observed(who, { expires: NOW })), 'old')
    assert.equal(known.observe(observed(who, { sequence: NOW + 5 })), 'taken')
    assert.equal(known.observe(observed(who, { sequence: NOW + 5, price: '8' })), 'old')
    assert.equal(known.observe(observed(who, { sequence: NOW + 4 })), 'old')
    await learn({ sequence: NOW + 6 }, 'self')
    assert.equal(known.observe(observed(who, { sequence: NOW + 9 })), 'old')
  })

  it('give way to a newer advert, not to an older one, also once they expired: then only load is gone', async () => {
    await learn({ price: '1' })
    known.observe(observed(who, { sequence: NOW + 10 }))
    await learn({ price: '2', sequence: NOW + 5 })
    assert.equal(view().advert.price, '7', 'the observation is newer')
    await learn({ price: '3', sequence: NOW + 11 })
    assert.deepEqual([view().advert.price, view().facts.price.source, view().facts.load?.busy], ['3', 'direct', 1])
    known.observe(observed(who, { sequence: NOW + 20, price: '4' }))
    now += 90_000
    const { length } = told
    for (let sweep = 0; sweep < 2; sweep++) {
      assert.deepEqual([view().advert.price, view().facts.price.source, view().facts.load], ['4', 'gossip', undefined], 'the advert is known to be outdated')
      known.expire()
    }
    assert.equal(told.length, length, 'nothing changed that anybody decides by')
    assert.equal(known.observe(observed(who, { sequence: NOW + 15, expires: now + 1000 })), 'old', 'what was said before stays refused')
    await learn({ price: '5', sequence: NOW + 21 })
    assert.deepEqual([view().advert.price, view().facts.price.source], ['5', 'direct'])
  })

  it('keep a draining peer draining until its advert expires', async () => {
    await learn({ expires: NOW + 600_000 })
    known.observe(observed(who, { draining: true }))
    now += 599_999
    known.expire()
    assert.equal(view().advert.draining, true)
    now++
    known.expire()
    await learn({ sequence: NOW, expires: NOW + 700_000 })
    assert.equal(view().advert.draining, false, 'and is forgotten with it')
  })

  it('never keep an advert alive, and go with it', async () => {
    await learn({ expires: NOW + 100 })
    known.observe(observed(who))
    assert.equal(view().advert.expires, NOW + 100)
    now += 100
    assert.deepEqual(known.view(), [])
    assert.equal(known.observe(observed(who, { sequence: NOW + 50 })), 'unknown')
    let gone = 0
    known.events.addEventListener('gone', () => { gone++ })
    known.expire()
    assert.equal(gone, 1)
    assert.deepEqual(remembered, [])
  })

  it('show the newest of all that was said, in any order', async () => {
    const base = await advertOf(who)
    const event = fc.record({ kind: fc.constantFrom('advert' as const, 'observation' as const), sequence: fc.nat({ max: 8 }) })
    fc.assert(fc.property(fc.array(event, { maxLength: 30 }), events => {
      const fresh = new Knowledge({ connected: () => new Set(), memory: { remember: () => {}, forget: () => {} }, now: () => NOW })
      let [advert, newest] = [-1, -1]
      for (const { kind, sequence } of events) {
        const price = `${sequence}${kind === 'advert' ? 0 : 1}`
        if (kind === 'advert') fresh.remember({ peer: peerIdFromString(who.peer), advert: { ...base, sequence, price }, source: 'direct', seen: NOW, size: 1 })
        else fresh.observe(observed(who, { sequence, price }))
        if (kind === 'advert') advert = Math.max(advert, sequence)
        else if (advert >= 0 && sequence > advert) newest = Math.max(newest, sequence)
        const shown = fresh.view()[0]?.advert.price
        assert.equal(shown, advert < 0 ? undefined : newest > advert ? `${newest}1` : `${advert}0`)
      }
    }))
  })

  it('are bounded: the oldest goes', async () => {
    const observations = new Observations(2)
    const [a, b, c] = [await signer(), await signer(), await signer()]
    for (const each of [a, b, c]) observations.put({ ...observed(each), seen: NOW })
    assert.deepEqual([a, b, c].map(({ peer }) => observations.get(peer) != null), [false, true, true])
  })
})

describe('dht-registry: lookups in the background', () => {
  let now = 0
  const peers = async (count: number): Promise<Signer[]> => await Promise.all(Array.from({ length: count }, signer))

  it('ask each once for a while, a few at a time, within a budget, and hand over the newest that was observed', async () => {
    now = 0
    const asked: string[] = []
    const found: number[] = []
    let release = (): void => {}
    const gate = new Promise<void>(resolve => { release = resolve })
    const lookups = new BackgroundLookups({
      lookup: async peer => {
        asked.push(peer.toString())
        await gate
      },
      found: ({ sequence }) => { found.push(sequence) },
      now: () => now,
      log: silentLog
    })
    const all = await peers(BACKGROUND_LOOKUPS_PER_MINUTE_MAX + 20)
    const taken = all.filter(who => lookups.want(observed(who))).length
    assert.equal(taken, Math.min(BACKGROUND_LOOKUPS_PER_MINUTE_MAX, BACKGROUND_LOOKUPS_PARALLEL_MAX + BACKGROUND_LOOKUPS_WAITING_MAX))
    assert.equal(asked.length, BACKGROUND_LOOKUPS_PARALLEL_MAX)
    const [first] = all
    assert.ok(first != null)
    assert.equal(lookups.want(observed(first, { sequence: NOW + 50 })), true, 'it is under way')
    release()
    // Each of those that wait follows another; all are through once the last was handed over.
    while (found.length < taken) await new Promise(resolve => { setImmediate(resolve) })
    assert.equal(asked.length, taken)
    assert.equal(found[0], NOW + 50)
    now += BACKGROUND_RETRY_MS - 1
    assert.equal(lookups.want(observed(first)), false, 'tried not long ago')
    now = 60_000
    assert.equal(lookups.want(observed(first)), true)
    await lookups.stop()
  })

  it('end at a stop, and a failure is no more than that', async () => {
    const [a, b] = await peers(2)
    assert.ok(a != null && b != null)
    const found: number[] = []
    const lookups = new BackgroundLookups({
      lookup: async (_peer, signal) => await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(new Error('stopped')) }) }),
      found: ({ sequence }) => { found.push(sequence) },
      now: () => 0,
      log: silentLog
    })
    lookups.want(observed(a))
    lookups.want(observed(b))
    await lookups.stop()
    assert.deepEqual(found, [])
  })
})

describe('dht-registry: memory', () => {
  let path: string
  let db: Level<string, Uint8Array>
  before(async () => {
    path = await mkdtemp(join(tmpdir(), 'weft-memory-'))
    db = new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' })
  })
  after(async () => {
    await db.close()
    await rm(path, { recursive: true })
  })

  const store = (): ReturnType<typeof db.sublevel<string, Uint8Array>> => db.sublevel<string, Uint8Array>('adverts', { valueEncoding: 'view' })
  const peersOf = async (limits: { adverts?: number, bytes?: number } = {}): Promise<string[]> => (await new AdvertMemory({ db, log: silentLog, ...limits }).load()).map(({ peer }) => peer)
  beforeEach(async () => { await db.clear() })

  it('gives back what was remembered, the least recently seen first, within its limits, without what was forgotten or is damaged', async () => {
    const memory = new AdvertMemory({ db, log: silentLog, adverts: 4 })
    assert.deepEqual(await memory.load(), [])
    for (const [i, peer] of ['a', 'b', 'c', 'd', 'e'].entries()) memory.remember({ peer, sealed: Uint8Array.of(i), seen: NOW + i })
    memory.remember({ peer: 'a', sealed: Uint8Array.of(9), seen: NOW + 9 })
    memory.forget('c')
    await memory.settled()
    await store().put('x', Uint8Array.of(0xff))
    const again = await new AdvertMemory({ db, log: silentLog, adverts: 4 }).load()
    assert.deepEqual(again.map(({ peer, sealed, seen }) => [peer, sealed[0], seen]), [['b', 1, NOW + 1], ['d', 3, NOW + 3], ['a', 9, NOW + 9]])
    assert.deepEqual(await store().keys().all(), ['a', 'b', 'd'], 'the damaged is removed')
    assert.deepEqual(await peersOf({ bytes: 1 }), ['a'], 'the one known longest, though its advert is new')
    assert.deepEqual(await peersOf(), ['a'])
  })

  it('is written once for any number of pushes, and only with what is still wanted', async () => {
    let operations = 0
    let writes = 0
    const onWrite = (batch: unknown[]): void => {
      writes++
      operations += batch.length
    }
    const memory = new AdvertMemory({ db, log: silentLog, adverts: 4 })
    await memory.load()
    db.on('write', onWrite)
    for (let i = 0; i < 600; i++) memory.remember({ peer: `p${i % 6}`, sealed: Uint8Array.of(i % 256), seen: NOW + i })
    memory.remember({ peer: 'gone', sealed: Uint8Array.of(1), seen: NOW })
    memory.forget('gone')
    const start = performance.now()
    while (performance.now() < start + 5) await new Promise(resolve => { setImmediate(resolve) })
    assert.equal(writes, 0, 'not while they come')
    await memory.settled()
    db.off('write', onWrite)
    assert.deepEqual([writes, operations], [1, 4])
  })

  it('keeps those known longest, and those connected, when a crowd of newcomers fills it', async () => {
    const connected = new Set<string>()
    const memory = new AdvertMemory({ db, log: silentLog, adverts: 8, bytes: 800, connected: () => connected })
    await memory.load()
    const remember = (peer: string, size = 50): void => { memory.remember({ peer, sealed: new Uint8Array(size), seen: NOW }) }
    for (let i = 0; i < 8; i++) remember(`honest${i}`)
    connected.add('honest7')
    for (let i = 0; i < 100; i++) {
      connected.add(`sybil${i}`)
      remember(`sybil${i}`, i % 2 === 0 ? 50 : 400)
    }
    await memory.settled()
    const left = await peersOf()
    for (const peer of ['honest0', 'honest1', 'honest2', 'honest3', 'honest7']) assert.ok(left.includes(peer), `${peer} of ${left.join(' ')}`)
    assert.ok(left.length <= 8)
  })

  it('has room for who is connected, though a crowd came before', async () => {
    const connected = new Set(['honest'])
    const memory = new AdvertMemory({ db, log: silentLog, adverts: 8, connected: () => connected })
    await memory.load()
    for (let i = 0; i < 8; i++) memory.remember({ peer: `sybil${i}`, sealed: Uint8Array.of(1), seen: NOW })
    memory.remember({ peer: 'honest', sealed: Uint8Array.of(1), seen: NOW })
    memory.remember({ peer: 'sybil8', sealed: Uint8Array.of(1), seen: NOW })
    await memory.settled()
    assert.deepEqual((await peersOf()).toSorted(), ['honest', ...Array.from({ length: 7 }, (_, i) => `sybil${i}`)])
  })

  it('is empty without a database, and a failing one is no more than that', async () => {
    const none = new AdvertMemory({ log: silentLog })
    none.remember({ peer: 'a', sealed: Uint8Array.of(1), seen: NOW })
    assert.deepEqual(await none.load(), [])
    const closed = new Level<string, Uint8Array>(join(path, 'closed'), { keyEncoding: 'utf8', valueEncoding: 'view' })
    const memory = new AdvertMemory({ db: closed, log: silentLog })
    await closed.close()
    memory.remember({ peer: 'a', sealed: Uint8Array.of(1), seen: NOW })
    await memory.settled()
  })
})
