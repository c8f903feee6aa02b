import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { RPC } from '@libp2p/gossipsub/message'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { encode } from 'it-length-prefixed'
import { fetchRecord } from '../../../daemon/dht-registry/lookup.ts'
import { silentLog } from '../../../daemon/log.ts'
import { BULLETIN_VALIDITY_MS, createPriceGossip, sealBulletin, VERIFICATIONS_BURST, type BulletinContent, type HeardBulletin, type PriceGossip } from '../../../daemon/market/index.ts'
import { pause } from '../../../daemon/network/index.ts'
import { sayHello, stranger } from '../network/member.ts'
import { content as advertised, eventually, NETWORK, startNode, type TestNode } from '../registry/node.ts'

/** Enough for a price to go over several hops and several ways; the benchmark shows twenty. */
const NODES = 8
const TOPIC = 'prices/table/0'

interface Member extends AsyncDisposable { node: TestNode, gossip: PriceGossip, heard: Map<string, HeardBulletin>, peer: string }

function content (price: string, fields: Partial<BulletinContent> = {}): BulletinContent {
  return { families: ['table'], price, unit: 'credit', draining: false, load: { slots: 2, busy: 0, loopDelayMs: 1 }, ...fields }
}

async function member (bootstrap: string[], intervalMs?: number): Promise<Member> {
  const node = await startNode({ bootstrap })
  const gossip = createPriceGossip({ network: node.network, identity: node.identity, log: silentLog, families: ['table'], ...(intervalMs == null ? {} : { intervalMs }) })
  const heard = new Map<string, HeardBulletin>()
  gossip.events.addEventListener('bulletin', ({ detail }) => {
    heard.set(detail.peer, detail)
    node.registry.observe({ ...detail, peer: detail.peerId })
  })
  await gossip.start()
  return {
    node,
    gossip,
    heard,
    peer: node.identity.peerId.toString(),
    async [Symbol.asyncDispose] () {
      await gossip.stop()
      await node[Symbol.asyncDispose]()
    }
  }
}

/** Resolves once a member heard this price of another. */
async function hears (who: Member, of: Member, price: string): Promise<void> {
  await eventually(`price ${price} of ${of.peer}`, who.gossip.events, ['bulletin'], () => who.heard.get(of.peer)?.price === price)
}

/** Resolves once so many neighbours of a member listen: nothing says when they do. */
async function listeners (of: Member, count: number): Promise<void> {
  const until = performance.now() + 15_000
  while (of.node.network.gossip.subscribers(TOPIC).length < count) {
    if (performance.now() > until) throw new Error(`${of.node.network.gossip.subscribers(TOPIC).length} listeners, not ${count}`)
    await pause(10, AbortSignal.timeout(1000))
  }
}

describe('integration: price gossip over TCP', function () {
  this.timeout(60_000)

  it('carries a changed price to all nodes, each of which checked it once', async () => {
    await using all = new AsyncDisposableStack()
    const first = await member([])
    const members = [first]
    all.defer(async () => { await Promise.all(members.map(async each => { await each[Symbol.asyncDispose]() })) })
    for (let i = 1; i < NODES; i++) members.push(await member([...new Set([0, i >> 1, i - 1])].map(near => members[near]?.node.address ?? '')))
    await listeners(first, NODES - 1)
    const last = members.at(-1)
    assert.ok(last != null)
    await listeners(last, 1)
    for (const price of ['100', '7']) {
      last.gossip.publish(content(price))
      await Promise.all(members.filter(each => each !== last).map(async each => { await hears(each, last, price) }))
    }
    for (const { gossip, peer } of members) {
      if (peer === last.peer) continue
      assert.equal(gossip.tally.rejected, 0)
      assert.equal(gossip.tally.overBudget, 0)
      assert.ok(gossip.tally.verified <= gossip.tally.heard && gossip.tally.verified >= 2)
    }
  })

  it('changes what the registry shows and decides by, also of a peer that is no neighbour', async () => {
    await using hub = await member([])
    await using worker = await member([hub.node.address])
    await using requester = await member([hub.node.address])
    await worker.node.registry.publish({ ...advertised(), price: '100' })
    await requester.node.registry.lookup(worker.node.identity.peerId, { signal: AbortSignal.timeout(10_000) })
    await Promise.all([listeners(hub, 2), listeners(worker, 1)])
    const shown = (): string | undefined => requester.node.registry.view().find(({ peer }) => peer.equals(worker.node.identity.peerId))?.advert.price
    assert.equal(shown(), '100')
    const changed = eventually('the new price', requester.node.registry.events, ['advert'], () => shown() === '7')
    worker.gossip.publish(content('7'))
    await changed
    const view = requester.node.registry.view().find(({ peer }) => peer.equals(worker.node.identity.peerId))
    assert.equal(view?.facts.price.source, 'gossip')
    assert.equal(view.facts.load?.slots, 2)
  })

  it('hears a price from an honest neighbour though a faster one spent its budget before it relayed it', async () => {
    await using victim = await member([])
    await using honest = await member([victim.node.address])
    await listeners(honest, 1)
    await using attacker = await stranger()
    const { connection } = await sayHello(attacker, victim.node)
    const stream = await connection.newStream(`/weft/${NETWORK}/meshsub/1.2.0`)
    const now = Date.now()
    const sealed = async (key: PrivateKey, price: string): Promise<Uint8Array> => {
      const { families: _, ...said } = content(price)
      return await sealBulletin(key, { ...said, version: 1, network: NETWORK, peer: peerIdFromPrivateKey(key).toString(), sequence: now, issued: now, expires: now + BULLETIN_VALIDITY_MS })
    }
    const sybils = await Promise.all(Array.from({ length: 2 * VERIFICATIONS_BURST }, async () => await sealed(await generateKeyPair('Ed25519'), '1')))
    const bulletin = await sealed(honest.node.identity.nodeKey, '7')
    const { heard } = victim.gossip.tally
    for (const data of [...sybils, bulletin]) stream.send(encode.single(RPC.encode({ subscriptions: [], messages: [{ topic: `/weft/${NETWORK}/${TOPIC}`, data }] })).subarray())
    const until = performance.now() + 15_000
    while (victim.gossip.tally.heard < heard + sybils.length + 1) {
      assert.ok(performance.now() < until, 'all of it came')
      await pause(10, AbortSignal.timeout(1000))
    }
    assert.ok(victim.gossip.tally.overBudget > 0)
    await honest.node.network.gossip.publish(TOPIC, bulletin)
    await hears(victim, honest, '7')
  })

  it('makes peers known that were only heard of', async () => {
    await using hub = await member([])
    // Who has just joined may miss a bulletin; the next one comes soon.
    await using worker = await member([hub.node.address], 200)
    await worker.node.registry.publish(advertised())
    // The requester is told of the worker by gossip before it looks, and finds what is there.
    const signal = AbortSignal.timeout(15_000)
    while (await fetchRecord(hub.node.network.libp2p.services.dht, worker.node.identity.peerId, { network: NETWORK, now: Date.now }, signal) == null) await pause(10, signal)
    await using requester = await member([hub.node.address])
    await eventually('greeted', requester.node.network.events, ['peer'], () => requester.node.network.peers()[0])
    const learned = eventually('the worker', requester.node.registry.events, ['advert'], () => requester.node.registry.view().some(({ peer }) => peer.equals(worker.node.identity.peerId)))
    await Promise.all([listeners(hub, 2), listeners(worker, 1)])
    worker.gossip.publish(content('7'))
    await learned
  })
})
