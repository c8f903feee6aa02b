import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ADVERT_BYTES_MAX, ADVERT_DOMAIN, ADVERT_VALIDITY_MS, EXCHANGE_BYTES_MAX, PUSHES_PER_MINUTE_MAX, RECORD_BYTES_MAX, RECORD_DOMAIN } from '../../../daemon/dht-registry/constants.ts'
import type { Advert } from '../../../daemon/dht-registry/index.ts'
import { contentId, recordKey } from '../../../daemon/dht-registry/keys.ts'
import { STATUS } from '../../../daemon/dht-registry/messages.ts'
import { CLOCK_SKEW_MS, encodeCanonical } from '../../../daemon/trust/index.ts'
import { advertOf, delegation, forge, forgeBytes, type Signer } from '../../unit/dht-registry/fixtures.ts'
import { Attacker, DHT, putValue, type DhtMessage } from './attacker.ts'
import { heldBy, memory, World } from './world.ts'

const MIB = 1 << 20
const HOUR = 3_600_000

async function signer (): Promise<Signer> {
  const key = await generateKeyPair('Ed25519')
  return { node: key, operator: key, peer: peerIdFromPrivateKey(key).toString() }
}

/** A good advert of now, with some fields changed. */
async function advert (who: Signer, fields: Partial<Advert> = {}): Promise<Advert> {
  const now = Date.now()
  return await advertOf(who, { sequence: now, issued: now, expires: now + ADVERT_VALIDITY_MS, delegation: await delegation(who, now, now + HOUR), ...fields })
}

/** The fields of a record, as its owner would sign them. */
async function record (who: Signer, fields: object = {}): Promise<object> {
  const { network, peer, operator, sequence, issued, expires, price, unit, draining } = await advert(who)
  return { v: 1, network, peer, operator, sequence, issued, expires, price, unit, draining, advert: await contentId(randomBytes(8)), converters: [], more: false, ...fields }
}

/** A map whose keys are not in the order of canonical DAG-CBOR; its two entries are swapped, which a decoder that is not strict does not see. */
function unordered (value: object): Uint8Array {
  const [first, second, ...rest] = Object.entries(value).map(([key, item]) => Buffer.concat([encodeCanonical(key), encodeCanonical(item)]))
    .sort((a, b) => a.byteLength - b.byteLength) as [Buffer, Buffer, ...Buffer[]]
  return Buffer.concat([Buffer.of(0xa0 + Object.keys(value).length), second, first, ...rest])
}

const nested = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0x81)

describe('hostile: records', () => {
  let world: World
  let attacker: Attacker

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })
  beforeEach(async () => {
    attacker = await Attacker.start()
    await attacker.join(world.victim)
  })
  afterEach(async () => {
    await attacker[Symbol.asyncDispose]()
    await world.stillServes()
  })

  it('put into the DHT: none of them is stored, and the newest good one stays', async () => {
    const owner = await signer()
    const key = recordKey(owner.peer)
    const other = await signer()
    const now = Date.now()
    const good = await forge(owner, RECORD_DOMAIN, await record(owner, { sequence: now }))
    assert.ok(await attacker.ask(putValue(key, good)), 'a good one is taken from anybody')
    const before = await heldBy(world.victim.network)

    const seal = async (fields: object): Promise<Uint8Array> => await forge(owner, RECORD_DOMAIN, await record(owner, { sequence: now + 1, ...fields }))
    const newer = await seal({})
    const put = (value: Uint8Array): DhtMessage => putValue(key, value)
    const attacks: Array<[string, DhtMessage]> = [
      ['older', put(await seal({ sequence: now - 1 }))],
      ['other content with the same sequence', put(await seal({ sequence: now, price: '7' }))],
      ['expired', put(await seal({ issued: now - 2 * HOUR, expires: now - HOUR }))],
      ['issued in the far future', put(await seal({ issued: now + HOUR, expires: now + 2 * HOUR }))],
      ['with a sequence of the far future', put(await seal({ sequence: now + CLOCK_SKEW_MS + HOUR }))],
      ['with the greatest sequence', put(await seal({ sequence: Number.MAX_SAFE_INTEGER }))],
      ['valid for too long', put(await seal({ expires: now + 2 * ADVERT_VALIDITY_MS }))],
      ['oversized', put(await seal({ converters: Array.from({ length: 64 }, (_, i) => [`c${i}`, '1', 'text/csv', 'application/json']) }))],
      ['as large as a message may be', put(await forgeBytes(owner, RECORD_DOMAIN, randomBytes(60_000)))],
      ['signed by somebody else', put(await forge(other, RECORD_DOMAIN, await record(owner, { sequence: now + 1 })))],
      ['about somebody else', put(await forge(other, RECORD_DOMAIN, await record(other, { sequence: now + 1 })))],
      ['signed as an advert', put(await forge(owner, ADVERT_DOMAIN, await record(owner, { sequence: now + 1 })))],
      ['of another network', put(await seal({ network: 'other' }))],
      ['with a field more', put(await seal({ extra: 1 }))],
      ['no envelope', put(randomBytes(200))],
      ['empty', put(new Uint8Array())],
      ['deeply nested', put(await forgeBytes(owner, RECORD_DOMAIN, nested(RECORD_BYTES_MAX - 300)))],
      ['not canonical', put(await forgeBytes(owner, RECORD_DOMAIN, unordered(await record(owner, { sequence: now + 1 }))))],
      ['with its last byte changed', put(Uint8Array.from(newer, (byte, i) => i === newer.byteLength - 1 ? byte ^ 1 : byte))],
      ['under somebody else\'s key', putValue(recordKey(other.peer), newer)],
      ['under a key with a suffix', putValue(Buffer.concat([key, Buffer.from('/x')]), newer)],
      ['as if it were a public key', putValue(Buffer.concat([Buffer.from('/pk/'), attacker.peer.toMultihash().bytes]), randomBytes(1000))],
      ['in a namespace nobody has', putValue(Buffer.from('/nobody/x'), randomBytes(1000))],
      ['in no namespace', putValue(randomBytes(32), randomBytes(1000))],
      ['without a record', { type: DHT.putValue, key }],
      ['with a record that is none', { type: DHT.putValue, key, record: randomBytes(500) }]
    ]
    await world.during(4, async more => {
      for (let round = 0; round < 1 || more(); round++) {
        for (const [what, message] of attacks) assert.equal(await attacker.ask(message), undefined, what)
      }
    })
    assert.deepEqual(await heldBy(world.victim.network), before)
    const kept = await attacker.ask({ type: DHT.getValue, key })
    assert.deepEqual(Uint8Array.from(DhtRecord.deserialize(kept?.record ?? new Uint8Array()).value), Uint8Array.from(good))
    assert.equal(world.victim.floors.sequence(owner.peer), now)
    assert.ok(await attacker.ask(putValue(key, newer)), 'and a newer one is still taken')
  })

  it('pushed as adverts: none of them is known, and the newest good one stays', async () => {
    const self: Signer = { node: attacker.key, operator: attacker.key, peer: attacker.peer.toString() }
    const other = await signer()
    const now = Date.now()
    const seal = async (fields: Partial<Advert> = {}): Promise<Uint8Array> => await forge(self, ADVERT_DOMAIN, await advert(self, { sequence: now + 1, ...fields }))
    const good = await seal({ sequence: now })
    assert.equal((await attacker.push(good))?.status, STATUS.ok)
    const rows: Array<[string, Uint8Array, RegExp]> = [
      ['older', await seal({ sequence: now - 1 }), /^stale/],
      ['other content with the same sequence', await seal({ sequence: now, price: '7' }), /^equivocation/],
      ['expired', await seal({ issued: now - 2 * HOUR, expires: now - HOUR }), /^expired/],
      ['issued in the far future', await seal({ issued: now + HOUR, expires: now + 2 * HOUR }), /^ahead/],
      ['with a sequence of the far future', await seal({ sequence: Number.MAX_SAFE_INTEGER }), /^ahead/],
      ['valid for too long', await seal({ expires: now + 2 * ADVERT_VALIDITY_MS }), /^validity/],
      ['about somebody else, by itself', await forge(self, ADVERT_DOMAIN, await advert(other)), /^signer/],
      ['of somebody else, good as it is', await forge(other, ADVERT_DOMAIN, await advert(other)), /^signer/],
      ['for an operator that did not delegate', await seal({ operator: 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK' }), /^delegation/],
      ['with somebody else\'s delegation', await seal({ delegation: await delegation(other, now, now + HOUR) }), /^delegation/],
      ['deeply nested', await forgeBytes(self, ADVERT_DOMAIN, nested(60_000)), /^malformed/],
      ['not canonical', await forgeBytes(self, ADVERT_DOMAIN, unordered(await advert(self))), /^malformed/],
      ['with control characters', await seal({ unit: 'a\u001b[2J' }), /^malformed/],
      ['too large', await forgeBytes(self, ADVERT_DOMAIN, new Uint8Array(ADVERT_BYTES_MAX - 100).fill(0x60)), /^(too-large|malformed)/],
      ['no envelope', randomBytes(1000), /^malformed/]
    ]
    await world.during(4, async () => {
      for (const [what, bytes, reason] of rows) {
        const answer = await attacker.push(bytes)
        assert.equal(answer?.status, STATUS.refused, what)
        assert.match(answer?.reason ?? '', reason, what)
      }
      assert.equal(await attacker.push(randomBytes(EXCHANGE_BYTES_MAX)), undefined, 'more than a message may have')
    })
    const known = world.victim.registry.view().filter(({ peer }) => peer.equals(attacker.peer))
    assert.deepEqual(known.map(({ advert: { sequence, price } }) => [sequence, price]), [[now, '0']])
    assert.deepEqual(world.victim.registry.view().filter(({ peer }) => peer.toString() === other.peer), [])
  })

  it('pushed as fast as they go: so many a minute are looked at, however large', async () => {
    const before = await memory()
    const large = randomBytes(ADVERT_BYTES_MAX)
    let looked = 0
    await world.during(8, async more => {
      for (let i = 0; i < 3 * PUSHES_PER_MINUTE_MAX || more(); i++) if ((await attacker.push(large))?.status === STATUS.refused) looked++
    })
    // A minute may end in between.
    assert.ok(looked <= 2 * PUSHES_PER_MINUTE_MAX, `${looked} were looked at`)
    assert.ok(await memory() - before < 16 * MIB)
  })
})
