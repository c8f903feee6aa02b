import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Level } from 'level'
import { ADVERT_VALIDITY_MS, RECORD_BYTES_MAX, RECORD_DOMAIN, RECORD_NAMESPACE } from '../../../daemon/dht-registry/constants.ts'
import { AdvertError } from '../../../daemon/dht-registry/errors.ts'
import { openFloors, type Floors } from '../../../daemon/dht-registry/floors.ts'
import { contentId, recordKey } from '../../../daemon/dht-registry/keys.ts'
import { advertSelectors, advertValidators, openRecord, sealRecord } from '../../../daemon/dht-registry/records.ts'
import type { Advert } from '../../../daemon/dht-registry/index.ts'
import { CLOCK_SKEW_MS, decodeCanonical, open } from '../../../daemon/trust/index.ts'
import { advertOf, forge, forgeBytes, NETWORK, NOW, signer, type Signer } from './fixtures.ts'

describe('dht-registry: records', () => {
  let who: Signer
  let other: Signer
  before(async () => { [who, other] = [await signer(), await signer()] })

  const sealed = async (by: Signer, fields: Partial<Advert> = {}): Promise<Uint8Array> => await sealRecord(by.node, await advertOf(by, fields), await contentId(Uint8Array.of(1)))
  const validator = (floors: Floors, now = NOW): (key: Uint8Array, value: Uint8Array) => Promise<void> => {
    const validate = advertValidators({ network: NETWORK, floors, now: () => now })[RECORD_NAMESPACE]
    assert.ok(validate != null)
    return validate
  }
  const select = async (...records: Uint8Array[]): Promise<number | undefined> => await advertSelectors()[RECORD_NAMESPACE]?.(recordKey(who.peer), records)

  it('say what the advert says, with as many converters as fit', async () => {
    const advert = await advertOf(who)
    const { record } = await openRecord(await sealed(who), { network: NETWORK, now: NOW })
    assert.deepEqual(record.converters, [['table/csv-parquet', '1.0.0', 'text/csv', 'application/vnd.apache.parquet']])
    assert.deepEqual([record.peer, record.sequence, record.price, record.more], [advert.peer, advert.sequence, advert.price, false])
    const many = await sealed(who, { converters: Array.from({ length: 300 }, (_, i) => ({ id: `family/converter-${i}`, version: '1.0.0', from: `application/x-${i}`, to: 'application/y', bytesPerSecond: 1 })) })
    assert.ok(many.byteLength <= RECORD_BYTES_MAX)
    const { record: cut } = await openRecord(many, { network: NETWORK, now: NOW })
    assert.ok(cut.more && cut.converters.length > 5)
    await assert.rejects(sealed(who, { unit: 'x'.repeat(3000) }), { code: 'too-large' })
  })

  it('are taken under the signer\'s key only', async () => {
    const validate = validator(await openFloors())
    await validate(recordKey(who.peer), await sealed(who))
    await assert.rejects(validate(recordKey(other.peer), await sealed(who)), { code: 'key' })
    await assert.rejects(validate(new TextEncoder().encode(`/${RECORD_NAMESPACE}/${who.peer}/more`), await sealed(who)), { code: 'key' })
    const foreign = await forge(other, RECORD_DOMAIN, decodeCanonical((await open(await sealed(who), RECORD_DOMAIN, { maxBytes: RECORD_BYTES_MAX })).payload))
    await assert.rejects(validate(recordKey(who.peer), foreign), { code: 'signer' })
    await assert.rejects(validate(recordKey(other.peer), foreign), { code: 'signer' })
  })

  it('are refused oversized, expired, from the future, malformed, deeply nested', async () => {
    const floors = await openFloors()
    const refused = async (value: Uint8Array, code: AdvertError['code'], now = NOW): Promise<void> => {
      await assert.rejects(validator(floors, now)(recordKey(who.peer), value), (error: unknown) => error instanceof AdvertError && error.code === code)
    }
    await refused(new Uint8Array(RECORD_BYTES_MAX + 1), 'too-large')
    await refused(await sealed(who), 'expired', NOW + ADVERT_VALIDITY_MS)
    await refused(await sealed(who), 'ahead', NOW - CLOCK_SKEW_MS - 1)
    await refused(await sealed(who, { sequence: NOW + CLOCK_SKEW_MS + 1 }), 'ahead')
    await refused(await sealed(who, { network: 'other' }), 'network')
    await refused(await forgeBytes(who, RECORD_DOMAIN, new Uint8Array(1500).fill(0x81)), 'malformed')
    const fields = decodeCanonical((await open(await sealed(who), RECORD_DOMAIN, { maxBytes: RECORD_BYTES_MAX })).payload) as object
    for (const change of [{ v: 2 }, { extra: 1 }, { advert: 'x' }, { converters: [['a', 'b', 'c']] }, { converters: [['a', 'b', 'c', 'd', 'e']] }, { more: 1 }, { price: 1 }]) {
      await refused(await forge(who, RECORD_DOMAIN, { ...fields, ...change }), 'malformed')
    }
    await refused(Uint8Array.of(1, 2, 3), 'malformed')
    assert.equal(floors.sequence(who.peer), 0, 'nothing refused raises the floor')
  })

  it('are refused below what was seen, and with other content at the same sequence', async () => {
    const validate = validator(await openFloors())
    const key = recordKey(who.peer)
    await validate(key, await sealed(who, { sequence: NOW - 1 }))
    await validate(key, await sealed(who, { sequence: NOW }))
    await validate(key, await sealed(who, { sequence: NOW }))
    await assert.rejects(validate(key, await sealed(who, { sequence: NOW - 1 })), { code: 'stale' })
    await assert.rejects(validate(key, await sealed(who, { sequence: NOW, price: '5' })), { code: 'equivocation' })
    await validate(recordKey(other.peer), await sealed(other, { sequence: 1 }))
  })

  it('keep their floor across a restart, and drop it when nothing older can be valid', async () => {
    const path = await mkdtemp(join(tmpdir(), 'weft-floors-'))
    const db = new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' })
    try {
      const key = recordKey(who.peer)
      const [old, current] = [await sealed(who, { sequence: NOW - 1 }), await sealed(who, { sequence: NOW })]
      await validator(await openFloors({ db, now: () => NOW }))(key, current)
      const again = await openFloors({ db, now: () => NOW })
      assert.equal(again.sequence(who.peer), NOW)
      await assert.rejects(validator(again)(key, old), { code: 'stale' })
      await assert.rejects(validator(again)(key, await sealed(who, { sequence: NOW, price: '5' })), { code: 'equivocation' })
      await validator(again)(key, current)
      const later = NOW + ADVERT_VALIDITY_MS + CLOCK_SKEW_MS
      assert.equal((await openFloors({ db, now: () => later })).sequence(who.peer), NOW)
      assert.equal((await openFloors({ db, now: () => later + 1 })).sequence(who.peer), 0)
      assert.equal((await openFloors({ db, now: () => NOW })).sequence(who.peer), 0, 'and it was removed from disk')
      await db.sublevel<string, Uint8Array>('advert-floors', { valueEncoding: 'view' }).put('x', Uint8Array.of(0xff))
      assert.equal((await openFloors({ db, now: () => NOW })).sequence('x'), 0, 'a damaged one is as good as absent')
    } finally {
      await db.close()
      await rm(path, { recursive: true })
    }
  })

  it('keep a bounded number of floors, the useless ones going first', async () => {
    let now = NOW
    const floors = await openFloors({ max: 2, now: () => now })
    const admit = async (peer: string): Promise<void> => { await floors.admit({ peer, kind: 'record', sequence: now, issued: now, digest: Uint8Array.of(1) }) }
    for (const peer of ['a', 'b', 'c']) await admit(peer)
    assert.deepEqual(['a', 'b', 'c'].map(peer => floors.sequence(peer) > 0), [false, true, true])
    now += ADVERT_VALIDITY_MS + CLOCK_SKEW_MS + 1
    await admit('c')
    await admit('d')
    assert.deepEqual(['b', 'c', 'd'].map(peer => floors.sequence(peer) > 0), [false, true, true])
  })

  it('keep the floors of those a node has to do with, however many identities are invented', async () => {
    const floors = await openFloors({ max: 128, now: () => NOW })
    const admit = async (peer: string): Promise<void> => { await floors.admit({ peer, kind: 'record', sequence: NOW, issued: NOW, digest: Uint8Array.of(1) }) }
    const ours = Array.from({ length: 10 }, (_, i) => `ours${i}`)
    floors.protect?.(() => ({ isConnected: peer => peer === 'ours0', isKnown: peer => peer.startsWith('ours') }))
    for (const peer of ours) await admit(peer)
    for (let i = 0; i < 1000; i++) await admit(`invented${i}`)
    for (const peer of ours) assert.equal(floors.sequence(peer), NOW, peer)
    const left = Array.from({ length: 1000 }, (_, i) => floors.sequence(`invented${i}`) > 0)
    assert.ok(left.filter(Boolean).length <= 128 - ours.length)
    assert.ok(left.lastIndexOf(false) < left.indexOf(true), 'the oldest went')
    for (let i = 0; i < 1000; i++) await admit(`ours-too${i}`)
    assert.equal(floors.sequence('ours0'), NOW, 'one that is connected stays whatever happens')
    assert.equal(floors.sequence('ours1'), 0, 'others give way to what is as near')
  })

  it('never go below the highest sequence admitted, in any order', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ peer: fc.constantFrom('a', 'b'), sequence: fc.nat({ max: 6 }), content: fc.nat({ max: 1 }), kind: fc.constantFrom('advert' as const, 'record' as const) })), async candidates => {
      const floors = await openFloors()
      const highest = new Map<string, number>()
      for (const { peer, sequence, content, kind } of candidates) {
        const before = highest.get(peer) ?? 0
        const taken = await floors.admit({ peer, kind, sequence, issued: NOW, digest: Uint8Array.of(content) }).then(() => true, () => false)
        if (taken) assert.ok(sequence >= before)
        if (sequence < before) assert.equal(taken, false)
        if (taken) highest.set(peer, sequence)
        assert.equal(floors.sequence(peer), highest.get(peer) ?? 0)
      }
    }))
  })

  it('are selected by highest sequence; of equal ones every reader takes the same', async () => {
    const [low, high] = [await sealed(who, { sequence: 5 }), await sealed(who, { sequence: 6 })]
    assert.equal(await select(low, high), 1)
    assert.equal(await select(high, low), 0)
    assert.equal(await select(Uint8Array.of(1), low), 1)
    assert.equal(await select(low, await forge(who, 'weft/advert/1', { sequence: 9 })), 0)
    const [x, y] = [await sealed(who, { sequence: 6, price: '1' }), await sealed(who, { sequence: 6, price: '2' })]
    const winner = async (...records: Uint8Array[]): Promise<Uint8Array | undefined> => records[await select(...records) ?? -1]
    assert.deepEqual(await winner(x, y), await winner(y, x))
  })

  it('equal the test vector', async () => {
    const vectors = JSON.parse(readFileSync(new URL('../../fixtures/vectors/advert.json', import.meta.url), 'utf8')) as {
      now: number
      advert: { value: Advert, cid: string }
      record: { key: string, envelope: string }
    }
    const { record } = await openRecord(Uint8Array.from(Buffer.from(vectors.record.envelope, 'hex')), { network: 'example', now: vectors.now })
    assert.equal(record.advert.toString(), vectors.advert.cid)
    assert.equal(record.sequence, vectors.advert.value.sequence)
    assert.equal(record.converters.length, vectors.advert.value.converters.length)
  })
})
