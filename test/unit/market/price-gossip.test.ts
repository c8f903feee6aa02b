import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PeerId } from '@libp2p/interface'
import { Level } from 'level'
import { silentLog } from '../../../daemon/log.ts'
import { openBulletin, sealBulletin } from '../../../daemon/market/bulletin.ts'
import { BULLETIN_VALIDITY_MS, CHANGE_BURST, createPriceGossip, VERIFICATIONS_BURST, type HeardBulletin, type PriceGossip, type PriceGossipInit } from '../../../daemon/market/index.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { bulletinOf, content, forge, GossipHub, NETWORK, NOW, signer, type Signer } from './fixtures.ts'

const TOPIC = 'prices/table/0'

describe('market: price gossip', () => {
  let hub: GossipHub
  const running: PriceGossip[] = []
  beforeEach(() => { hub = new GossipHub() })
  afterEach(async () => { for (const gossip of running.splice(0)) await gossip.stop() })

  interface Member { who: Signer, gossip: PriceGossip, heard: HeardBulletin[] }

  async function member (init: Partial<PriceGossipInit> = {}): Promise<Member> {
    const who = await signer()
    const gossip = createPriceGossip({ network: { name: NETWORK, gossip: hub.join(who.peerId) }, identity: who, log: silentLog, now: () => NOW, random: () => 0.5, ...init })
    const heard: HeardBulletin[] = []
    gossip.events.addEventListener('bulletin', ({ detail }) => { heard.push(detail) })
    running.push(gossip)
    await gossip.start()
    return { who, gossip, heard }
  }

  const judged = async ({ who }: Member, data: Uint8Array, from: PeerId): Promise<string> => await hub.judged(who.peerId, TOPIC, data, from)

  it('tells others at once what changed, and they say so', async () => {
    const [a, b] = [await member(), await member({ families: ['table'] })]
    a.gossip.publish(content())
    await hub.until(() => b.heard.length === 1)
    a.gossip.publish(content({ price: '7' }))
    await hub.until(() => b.heard.length === 2)
    const [first, second] = b.heard
    assert.deepEqual([first?.price, second?.price], ['250000', '7'])
    assert.ok(second != null && first != null && second.sequence > first.sequence, 'by sequence, though the clock stood still')
    assert.ok(second.peerId.equals(a.who.peerId))
    assert.deepEqual([second.seen, second.load, second.expires], [NOW, { slots: 2, busy: 0, loopDelayMs: 1 }, NOW + BULLETIN_VALIDITY_MS])
    assert.deepEqual(b.gossip.tally, { published: 0, heard: 2, verified: 2, overBudget: 0, stale: 0, rejected: 0 })
    assert.equal(a.gossip.tally.published, 2)
  })

  it('tells again soon what nobody listened to', async () => {
    const a = await member()
    a.gossip.publish(content())
    await hub.until(() => hub.published.length === 1)
    const b = await member({ families: ['table'] })
    await hub.until(() => b.heard.length === 1)
    assert.equal(b.heard[0]?.price, '250000')
  })

  it('tells load with the next periodic bulletin, and repeats what did not change', async () => {
    const [a, b] = [await member({ intervalMs: 5 }), await member({ families: ['table'] })]
    a.gossip.publish(content())
    await hub.until(() => b.heard.length >= 1)
    a.gossip.publish(content({ load: { slots: 2, busy: 2, loopDelayMs: 0 } }))
    await hub.until(() => b.heard.at(-1)?.load.busy === 2)
    const { length } = b.heard
    await hub.until(() => b.heard.length > length)
  })

  it('tells changes no faster than the bucket allows, and then the newest', async () => {
    let now = NOW
    const [a, b] = [await member({ now: () => now }), await member({ families: ['table'], now: () => now })]
    for (let price = 1; price <= 20; price++) {
      a.gossip.publish(content({ price: String(price) }))
      if (price <= CHANGE_BURST) await hub.until(() => b.heard.length === price)
    }
    assert.equal(b.heard.length, CHANGE_BURST)
    now += 5000
    a.gossip.publish(content({ price: '21' }))
    await hub.until(() => b.heard.length === CHANGE_BURST + 1)
    assert.equal(b.heard.at(-1)?.price, '21')
  })

  it('hears its own families and those asked for, four topics at most, and leaves them at the end', async () => {
    const a = await member({ families: ['image'] })
    assert.deepEqual(hub.topics(a.who.peerId), ['prices/image/0'])
    a.gossip.publish(content({ families: ['table', 'image', 'archive', 'text', 'tensor', 'not a/family'] }))
    assert.deepEqual(hub.topics(a.who.peerId), ['prices/image/0', 'prices/table/0', 'prices/archive/0', 'prices/text/0'])
    await hub.until(() => hub.published.length >= 5)
    assert.deepEqual(hub.published.map(({ topic }) => topic), ['table', 'image', 'archive', 'text', 'tensor'].map(family => `prices/${family}/0`))
    a.gossip.publish(content({ families: [] }))
    assert.deepEqual(hub.topics(a.who.peerId), ['prices/image/0'])
    await a.gossip.stop()
    assert.deepEqual(hub.topics(a.who.peerId), [])
  })

  it('hears what others leave free when there is no topic left', async () => {
    const who = await signer()
    const gossip = createPriceGossip({ network: { name: NETWORK, gossip: hub.join(who.peerId, 1) }, identity: who, log: silentLog, families: ['table', 'image'] })
    running.push(gossip)
    await gossip.start()
    assert.deepEqual(hub.topics(who.peerId), [TOPIC])
  })

  it('checks a signature once for all topics, and passes the same bytes on in each', async () => {
    const [a, b] = [await member(), await member({ families: ['table', 'image'] })]
    a.gossip.publish(content({ families: ['table', 'image'] }))
    await hub.until(() => hub.published.length === 2)
    assert.equal(b.heard.length, 1)
    assert.equal(b.gossip.tally.verified, 1)
    const [told] = hub.published
    assert.ok(told != null)
    assert.equal(await judged(b, told.data, a.who.peerId), 'accept')
    assert.equal(b.gossip.tally.verified, 1)
  })

  it('refuses what is forged, and ignores what is only late, early or old', async () => {
    const [b, who, other] = [await member({ families: ['table'] }), await signer(), await signer()]
    const from = other.peerId
    const good = await sealBulletin(who.nodeKey, bulletinOf(who))
    assert.equal(await judged(b, await forge(other, bulletinOf(who, { sequence: NOW + 1000 })), from), 'reject')
    assert.equal(await judged(b, Uint8Array.of(1, 2), from), 'reject')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { network: 'other' })), from), 'reject')
    const broken = Uint8Array.from(good)
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1
    assert.equal(await judged(b, broken, from), 'reject')
    assert.equal(b.gossip.tally.rejected, 4)
    assert.equal(b.gossip.tally.verified, 2, 'two of them could be told without a signature')
    assert.equal(await judged(b, good, from), 'accept', 'the forged header with a higher sequence changed nothing')
    assert.equal(await judged(b, good, from), 'accept')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { price: '1' })), from), 'ignore', 'the same sequence with other content')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { sequence: NOW - 1 })), from), 'ignore')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { sequence: NOW + 1, expires: NOW + 1, issued: NOW - 1 })), from), 'accept')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { sequence: NOW + 2, expires: NOW, issued: NOW - 1 })), from), 'untimely')
    assert.equal(await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who, { sequence: NOW + 1e6 })), from), 'untimely')
    assert.equal(await judged(b, await forge(b.who, bulletinOf(b.who)), from), 'ignore', 'about itself')
    assert.deepEqual(b.heard.map(({ sequence }) => sequence), [NOW, NOW + 1])
  })

  it('checks no more signatures of a flood than the budget has', async () => {
    const [b, flooder] = [await member({ families: ['table'] }), await signer()]
    const senders = await Promise.all(Array.from({ length: 2 * VERIFICATIONS_BURST }, async () => await signer()))
    for (const who of senders) await judged(b, await sealBulletin(who.nodeKey, bulletinOf(who)), flooder.peerId)
    const { verified, overBudget, heard } = b.gossip.tally
    assert.ok(verified <= VERIFICATIONS_BURST, `${verified}`)
    assert.equal(verified + overBudget, heard)
    const honest = await signer()
    const sealed = await sealBulletin(honest.nodeKey, bulletinOf(honest))
    assert.equal(await judged(b, sealed, flooder.peerId), 'later', 'not even judged, so that it may still come from others')
    assert.equal(await judged(b, sealed, honest.peerId), 'accept', 'another neighbour still has its share')
  })

  it('takes what is newer after a restart with the clock set back', async () => {
    const path = await mkdtemp(join(tmpdir(), 'weft-bulletins-'))
    const db = new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view' })
    try {
      const [b, who] = [await member({ families: ['table'] }), await signer()]
      const told = async (price: string, now: number): Promise<void> => {
        const gossip = createPriceGossip({ network: { name: NETWORK, gossip: hub.join(who.peerId) }, identity: who, log: silentLog, db, now: () => now })
        await gossip.start()
        const { length } = hub.published
        gossip.publish(content({ price }))
        await hub.until(() => hub.published.length > length)
        await gossip.stop()
      }
      await told('1', NOW + CLOCK_SKEW_MS - 1000)
      await told('2', NOW)
      assert.deepEqual(b.heard.map(({ price }) => price), ['1', '2'])
    } finally {
      await db.close()
      await rm(path, { recursive: true })
    }
  })

  it('goes on after a restart of the service, with what it had to tell', async () => {
    const [a, b] = [await member(), await member({ families: ['table'] })]
    a.gossip.publish(content())
    await hub.until(() => b.heard.length === 1)
    await a.gossip.stop()
    a.gossip.publish(content({ price: '9' }))
    assert.equal(b.heard.length, 1)
    await a.gossip.start()
    await hub.until(() => b.heard.length === 2)
    assert.equal(b.heard[1]?.price, '9')
    const last = hub.published.at(-1)
    assert.ok(last != null)
    assert.equal((await openBulletin(last.data, { network: NETWORK, now: NOW })).bulletin.peer, a.who.peerId.toString())
  })
})
