import assert from 'node:assert/strict'
import { silentLog } from '../../../daemon/log.ts'
import { createPriceGossip, type BulletinContent, type HeardBulletin, type PriceGossip } from '../../../daemon/market/index.ts'
import { content as advertised, eventually, startNode, type TestNode } from '../registry/node.ts'

const NODES = 20
const TOPIC = 'prices/table/0'

interface Member extends AsyncDisposable { node: TestNode, gossip: PriceGossip, heard: Map<string, HeardBulletin>, peer: string }

function content (price: string, fields: Partial<BulletinContent> = {}): BulletinContent {
  return { families: ['table'], price, unit: 'credit', draining: false, load: { slots: 2, busy: 0, loopDelayMs: 1 }, ...fields }
}

async function member (bootstrap: string[]): Promise<Member> {
  const node = await startNode({ bootstrap })
  const gossip = createPriceGossip({ network: node.network, identity: node.identity, log: silentLog, families: ['table'] })
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

describe('integration: price gossip over TCP', function () {
  this.timeout(60_000)

  it('carries a changed price to all of twenty nodes, each of which checked it once', async () => {
    await using all = new AsyncDisposableStack()
    const first = all.use(await member([]))
    const members = [first]
    for (let i = 1; i < NODES; i++) members.push(all.use(await member([first.node.address])))
    // Whoever tells something knows somebody who listens; the rest is for gossip.
    const last = members.at(-1)
    assert.ok(last != null)
    await eventually('a listener', last.node.network.events, ['peer'], () => last.node.network.peers()[0])
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
    const shown = (): string | undefined => requester.node.registry.view().find(({ peer }) => peer.equals(worker.node.identity.peerId))?.advert.price
    assert.equal(shown(), '100')
    const changed = eventually('the new price', requester.node.registry.events, ['advert'], () => shown() === '7')
    worker.gossip.publish(content('7'))
    await changed
    const view = requester.node.registry.view().find(({ peer }) => peer.equals(worker.node.identity.peerId))
    assert.equal(view?.facts.price.source, 'gossip')
    assert.equal(view.facts.load?.slots, 2)
  })

  it('makes peers known that were only heard of', async () => {
    await using hub = await member([])
    await using worker = await member([hub.node.address])
    await worker.node.registry.publish(advertised())
    await using requester = await member([hub.node.address])
    await eventually('greeted', requester.node.network.events, ['peer'], () => requester.node.network.peers()[0])
    const learned = eventually('the worker', requester.node.registry.events, ['advert'], () => requester.node.registry.view().some(({ peer }) => peer.equals(worker.node.identity.peerId)))
    await eventually('a listener', worker.node.network.events, ['peer'], () => worker.node.network.gossip.subscribers(TOPIC).length > 0)
    worker.gossip.publish(content('7'))
    await learned
  })
})
