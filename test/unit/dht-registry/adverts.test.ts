import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { openAdvert, sealAdvert } from '../../../daemon/dht-registry/adverts.ts'
import { ADVERT_BYTES_MAX, ADVERT_DOMAIN, ADVERT_VALIDITY_MS, CONVERTERS_MAX } from '../../../daemon/dht-registry/constants.ts'
import { AdvertError } from '../../../daemon/dht-registry/errors.ts'
import type { Advert } from '../../../daemon/dht-registry/index.ts'
import { capabilityKey, contentId, recordKey } from '../../../daemon/dht-registry/keys.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { advertOf, delegation, forge, forgeBytes, NETWORK, NOW, signer, type Signer } from './fixtures.ts'

describe('dht-registry: adverts', () => {
  let who: Signer
  let other: Signer
  before(async () => { [who, other] = [await signer(), await signer()] })

  const refused = async (sealed: Uint8Array, code: AdvertError['code'], now = NOW): Promise<void> => {
    await assert.rejects(openAdvert(sealed, { network: NETWORK, now }), (error: unknown) => error instanceof AdvertError && error.code === code)
  }

  it('open to what was sealed', async () => {
    const advert = await advertOf(who)
    const { advert: found, peer } = await openAdvert(await sealAdvert(who.node, advert), { network: NETWORK, now: NOW })
    assert.deepEqual({ ...found, delegation: [...found.delegation] }, { ...advert, delegation: [...advert.delegation] })
    assert.equal(peer.toString(), who.peer)
  })

  it('are refused when they are about somebody else, for another network, or signed for another purpose', async () => {
    await refused(await forge(other, ADVERT_DOMAIN, await advertOf(who)), 'signer')
    await refused(await sealAdvert(who.node, await advertOf(who, { network: 'other' })), 'network')
    await refused(await forge(who, 'weft/advert-record/1', await advertOf(who)), 'signer')
  })

  it('are refused when expired, ahead of the clock, with a sequence from the future, or holding too long', async () => {
    const good = await sealAdvert(who.node, await advertOf(who))
    await refused(good, 'expired', NOW + ADVERT_VALIDITY_MS)
    await refused(good, 'ahead', NOW - CLOCK_SKEW_MS - 1)
    await openAdvert(good, { network: NETWORK, now: NOW - CLOCK_SKEW_MS })
    await refused(await sealAdvert(who.node, await advertOf(who, { sequence: NOW + CLOCK_SKEW_MS + 1 })), 'ahead')
    await refused(await sealAdvert(who.node, await advertOf(who, { sequence: Number.MAX_SAFE_INTEGER })), 'ahead')
    await refused(await sealAdvert(who.node, await advertOf(who, { expires: NOW + ADVERT_VALIDITY_MS + 1 })), 'validity')
    await refused(await sealAdvert(who.node, await advertOf(who, { issued: NOW + 2, expires: NOW + 1 })), 'validity')
  })

  it('are refused without the delegation of the operator they name', async () => {
    await refused(await sealAdvert(who.node, await advertOf(who, { delegation: new Uint8Array() })), 'delegation')
    await refused(await sealAdvert(who.node, await advertOf(who, { delegation: await delegation(other) })), 'delegation')
    await refused(await sealAdvert(who.node, await advertOf(who, { delegation: await delegation({ ...other, peer: who.peer }) })), 'delegation')
    await refused(await sealAdvert(who.node, await advertOf(who, { delegation: await delegation(who, NOW - 10_000, NOW - 5000) })), 'delegation')
  })

  it('are refused when malformed, too large or deeply nested', async () => {
    const advert = await advertOf(who)
    const broken: Array<Record<string, unknown>> = [
      { version: 2 }, { extra: 1 }, { peer: 5 }, { price: '-1' }, { price: '01' }, { price: '1'.repeat(31) }, { price: 'x' }, { draining: 0 },
      { sequence: -1 }, { sequence: 1.5 }, { sequence: 2n ** 60n }, { issued: 8.65e15, expires: 8.65e15 + 1 }, { addresses: new Array<string>(17).fill('x') }, { addresses: 'x' },
      { unit: 'a\u0007b' }, { unit: 'x'.repeat(257) }, { delegation: 'x' }, { resources: {} }, { resources: [] }, { resources: { ...advert.resources, cores: -1 } },
      { converters: [{}] }, { converters: [[1, 2]] }, { converters: {} }, { converters: new Array(CONVERTERS_MAX + 1).fill(advert.converters[0]) }, { roles: [null] }
    ]
    for (const fields of broken) await refused(await forge(who, ADVERT_DOMAIN, { ...advert, ...fields }), 'malformed')
    for (const value of [null, 1, 'x', [], new Uint8Array(4), {}]) await refused(await forge(who, ADVERT_DOMAIN, value), 'malformed')
    await refused(new Uint8Array(ADVERT_BYTES_MAX + 1), 'too-large')
    await refused(await forgeBytes(who, ADVERT_DOMAIN, new Uint8Array(60_000).fill(0x81)), 'malformed')
    await refused(await forgeBytes(who, ADVERT_DOMAIN, Uint8Array.of(0xa2, 0x61, 0x62, 1, 0x61, 0x61, 1)), 'malformed')
    await assert.rejects(sealAdvert(who.node, await advertOf(who, { addresses: new Array<string>(1000).fill('x'.repeat(200)) })), { code: 'too-large' })
  })

  it('fail only with their own error, whatever byte is changed', async () => {
    const sealed = await sealAdvert(who.node, await advertOf(who))
    await fc.assert(fc.asyncProperty(fc.nat({ max: sealed.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const mutated = Uint8Array.from(sealed)
      mutated[at] = (mutated[at] ?? 0) ^ change
      await assert.rejects(openAdvert(mutated, { network: NETWORK, now: NOW }), AdvertError)
    }), { numRuns: 200 })
  })

  it('equal the test vectors', async () => {
    const vectors = JSON.parse(readFileSync(new URL('../../fixtures/vectors/advert.json', import.meta.url), 'utf8')) as {
      now: number
      advert: { value: Advert & { delegation: string }, envelope: string, cid: string }
      record: { key: string }
      capabilities: Array<{ from: string, to: string, cid: string }>
    }
    const sealed = Uint8Array.from(Buffer.from(vectors.advert.envelope, 'hex'))
    const { advert } = await openAdvert(sealed, { network: vectors.advert.value.network, now: vectors.now })
    assert.deepEqual({ ...advert, delegation: Buffer.from(advert.delegation).toString('hex') }, vectors.advert.value)
    assert.equal((await contentId(sealed)).toString(), vectors.advert.cid)
    assert.equal(new TextDecoder().decode(recordKey(advert.peer)), vectors.record.key)
    for (const { from, to, cid } of vectors.capabilities) assert.equal((await capabilityKey({ from, to })).toString(), cid)
    assert.ok(vectors.capabilities.length > 0)
  })
})
