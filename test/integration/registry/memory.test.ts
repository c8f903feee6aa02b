import assert from 'node:assert/strict'
import type { Observation } from '../../../daemon/dht-registry/index.ts'
import { content, eventually, startNode, type TestNode } from './node.ts'

const CSV_PARQUET = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

const observed = (of: TestNode, fields: Partial<Observation> = {}): Observation => ({
  peer: of.identity.peerId, sequence: Date.now() + 1000, expires: Date.now() + 90_000, price: '7', unit: 'credit', draining: false, load: { slots: 2, busy: 1, loopDelayMs: 0 }, ...fields
})

describe('integration: what is known without being told', () => {
  it('peers known before a restart are known after it, as remembered, and found again when they answer', async () => {
    await using worker = await startNode()
    await using requester = await startNode({ bootstrap: [worker.address] })
    await worker.registry.publish({ ...content(), price: '5' })
    await eventually('the advert', requester.registry.events, ['advert'], () => requester.registry.view()[0])
    // Without a goodbye: then it would be forgotten.
    await worker.network.stop()
    await using again = await requester.restart({})
    const [view] = again.registry.view()
    assert.equal(view?.source, 'memory')
    assert.deepEqual([view.connected, view.advert.price, view.facts.price.source], [false, '5', 'memory'])
    await using back = await worker.restart()
    await back.registry.publish(content())
    await again.network.libp2p.peerStore.merge(back.identity.peerId, { multiaddrs: back.network.libp2p.getMultiaddrs() })
    for await (const found of again.registry.find(CSV_PARQUET, { signal: AbortSignal.timeout(10_000) })) {
      assert.equal(found.source, 'direct')
      return
    }
    assert.fail('a remembered provider that answers is found')
  })

  it('peers that said goodbye are not remembered', async () => {
    await using worker = await startNode()
    await using requester = await startNode({ bootstrap: [worker.address] })
    await worker.registry.publish(content())
    await eventually('the advert', requester.registry.events, ['advert'], () => requester.registry.view()[0])
    const gone = eventually('goodbye', requester.registry.events, ['gone'], () => requester.registry.view().length === 0)
    await worker.stop()
    await gone
    await using again = await requester.restart({})
    assert.deepEqual(again.registry.view(), [])
  })

  it('an observation of somebody unknown has it looked up, and then counts', async () => {
    await using worker = await startNode()
    await worker.registry.publish(content())
    await using requester = await startNode({ bootstrap: [worker.address] })
    await eventually('greeted', requester.network.events, ['peer'], () => requester.network.peers()[0])
    const shown = (): string | undefined => requester.registry.view().find(({ peer }) => peer.equals(worker.identity.peerId))?.advert.price
    // Whether its advert came first or is asked for now.
    requester.registry.observe(observed(worker))
    await eventually('the price', requester.registry.events, ['advert'], () => shown() === '7')
    assert.equal(requester.registry.observe(observed(requester)), false, 'nobody tells a node about itself')
    assert.equal(requester.registry.observe(observed(worker, { sequence: 1 })), false)
  })
})
