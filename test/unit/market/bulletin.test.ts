import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { openBulletin, peekBulletin, sealBulletin } from '../../../daemon/market/bulletin.ts'
import { BULLETIN_BYTES_MAX, BULLETIN_VALIDITY_MS, BulletinError, type Bulletin } from '../../../daemon/market/index.ts'
import { topicOf } from '../../../daemon/market/topics.ts'
import { placeOf } from '../../../daemon/network/index.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { bulletinOf, forge, forgeBytes, NETWORK, NOW, signer, type Signer } from './fixtures.ts'

describe('market: bulletins', () => {
  let who: Signer
  let other: Signer
  before(async () => { [who, other] = [await signer(), await signer()] })

  const refused = async (sealed: Uint8Array, code: BulletinError['code'], now = NOW): Promise<void> => {
    await assert.rejects(openBulletin(sealed, { network: NETWORK, now }), (error: unknown) => error instanceof BulletinError && error.code === code)
  }

  it('open, and read unverified, to what was sealed, in some 330 bytes', async () => {
    const bulletin = bulletinOf(who)
    const sealed = await sealBulletin(who.nodeKey, bulletin)
    const { bulletin: found, peer } = await openBulletin(sealed, { network: NETWORK, now: NOW })
    assert.deepEqual(found, bulletin)
    assert.ok(peer.equals(who.peerId))
    assert.deepEqual(peekBulletin(sealed), bulletin)
    assert.ok(sealed.byteLength < 400, `${sealed.byteLength} bytes`)
  })

  it('are refused when they are about somebody else, for another network, or signed for another purpose', async () => {
    await refused(await forge(other, bulletinOf(who)), 'signer')
    await refused(await forge(who, bulletinOf(who), 'weft/advert/1'), 'signer')
    await refused(await sealBulletin(who.nodeKey, bulletinOf(who, { network: 'other' })), 'network')
  })

  it('are refused when expired, ahead of the clock, with a sequence from the future, or holding too long', async () => {
    const good = await sealBulletin(who.nodeKey, bulletinOf(who))
    await refused(good, 'expired', NOW + BULLETIN_VALIDITY_MS)
    await openBulletin(good, { network: NETWORK, now: NOW + BULLETIN_VALIDITY_MS - 1 })
    await refused(good, 'ahead', NOW - CLOCK_SKEW_MS - 1)
    await openBulletin(good, { network: NETWORK, now: NOW - CLOCK_SKEW_MS })
    await refused(await sealBulletin(who.nodeKey, bulletinOf(who, { sequence: NOW + CLOCK_SKEW_MS + 1 })), 'ahead')
    await refused(await sealBulletin(who.nodeKey, bulletinOf(who, { expires: NOW + BULLETIN_VALIDITY_MS + 1 })), 'validity')
    await refused(await sealBulletin(who.nodeKey, bulletinOf(who, { issued: NOW + 2, expires: NOW + 1 })), 'validity')
  })

  it('are refused when malformed, too large or deeply nested, verified or not', async () => {
    const good = bulletinOf(who)
    const broken: Array<Record<string, unknown>> = [
      { version: 2 }, { extra: 1 }, { peer: 5 }, { price: '-1' }, { price: '01' }, { price: '1'.repeat(31) }, { price: 1 }, { draining: 0 }, { sequence: -1 }, { sequence: 1.5 },
      { sequence: 2n ** 60n }, { issued: 8.65e15, expires: 8.65e15 + 1 }, { unit: 'a\u0007b' }, { unit: 'x'.repeat(257) }, { load: [] }, { load: {} }, { load: { ...good.load, more: 1 } }, { load: { ...good.load, busy: -1 } }
    ]
    for (const fields of broken) {
      const sealed = await forge(who, { ...good, ...fields })
      await refused(sealed, 'malformed')
      assert.throws(() => peekBulletin(sealed), { code: 'malformed' })
    }
    for (const value of [null, 1, 'x', [], new Uint8Array(4), {}]) await refused(await forge(who, value), 'malformed')
    for (const payload of [new Uint8Array(3000).fill(0x81), Uint8Array.of(0xa2, 0x61, 0x62, 1, 0x61, 0x61, 1)]) {
      const sealed = await forgeBytes(who, payload)
      await refused(sealed, 'malformed')
      assert.throws(() => peekBulletin(sealed), { code: 'malformed' })
    }
    await refused(new Uint8Array(BULLETIN_BYTES_MAX + 1), 'too-large')
    assert.throws(() => peekBulletin(new Uint8Array(BULLETIN_BYTES_MAX + 1)), { code: 'too-large' })
    assert.throws(() => peekBulletin(new Uint8Array()), { code: 'malformed' })
    await assert.rejects(sealBulletin(who.nodeKey, bulletinOf(who, { price: 'x' })), { code: 'malformed' })
  })

  it('fail only with their own error, whatever byte is changed or comes', async () => {
    const sealed = await sealBulletin(who.nodeKey, bulletinOf(who))
    const peeked = (bytes: Uint8Array): void => {
      try {
        peekBulletin(bytes)
      } catch (error) {
        assert.ok(error instanceof BulletinError, String(error))
      }
    }
    await fc.assert(fc.asyncProperty(fc.nat({ max: sealed.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const mutated = Uint8Array.from(sealed)
      mutated[at] = (mutated[at] ?? 0) ^ change
      peeked(mutated)
      await assert.rejects(openBulletin(mutated, { network: NETWORK, now: NOW }), BulletinError)
    }), { numRuns: 200 })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), peeked), { numRuns: 500 })
  })

  it('equal the test vectors', async () => {
    const vectors = JSON.parse(readFileSync(new URL('../../fixtures/vectors/bulletin.json', import.meta.url), 'utf8')) as {
      now: number
      bulletin: { value: Bulletin, envelope: string }
      topics: Array<{ peer: string, rank: number, family: string, depth: number, topic: string }>
    }
    const sealed = Uint8Array.from(Buffer.from(vectors.bulletin.envelope, 'hex'))
    const { bulletin } = await openBulletin(sealed, { network: vectors.bulletin.value.network, now: vectors.now })
    assert.deepEqual(bulletin, vectors.bulletin.value)
    for (const { peer, rank, family, depth, topic } of vectors.topics) {
      assert.equal(placeOf(peer).rank, rank)
      assert.equal(topicOf(family, depth, placeOf(peer).hash), topic)
    }
    assert.ok(vectors.topics.length > 2)
  })
})
