import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import type { ProviderView, Registry } from '../../../daemon/dht-registry/index.ts'
import { content, eventually, startNode, type TestNode } from './node.ts'

const CSV_PARQUET = { from: 'text/csv', to: 'application/vnd.apache.parquet' }

async function found (registry: Registry, edge = CSV_PARQUET): Promise<ProviderView[]> {
  const views: ProviderView[] = []
  for await (const view of registry.find(edge, { signal: AbortSignal.timeout(10_000) })) views.push(view)
  return views
}

/** Searches until the DHT has spread what was published. */
async function foundEventually (registry: Registry, count: number, edge = CSV_PARQUET): Promise<ProviderView[]> {
  const until = performance.now() + 15_000
  while (true) {
    const views = await found(registry, edge)
    if (views.length === count) return views
    if (performance.now() > until) throw new Error(`found ${views.length} providers, not ${count}`)
    await pause(20)
  }
}

const peersOf = (views: ProviderView[]): string[] => views.map(({ peer }) => peer.toString()).sort()
const idOf = (node: TestNode): string => node.identity.peerId.toString()

describe('integration: finding providers', () => {
  it('finds a peer by conversion, knowing a bootstrap node only', async () => {
    await using boot = await startNode()
    await using worker = await startNode({ bootstrap: [boot.address] })
    await using other = await startNode({ bootstrap: [boot.address] })
    await worker.registry.publish(content())
    await other.registry.publish(content([['image/png', 'image/jpeg']]))
    // A first requester tells when the keys are in the DHT; the second one has never heard of the worker.
    await using scout = await startNode({ bootstrap: [boot.address], dhtMode: 'client' })
    await foundEventually(scout.registry, 1)
    await using requester = await startNode({ bootstrap: [boot.address], dhtMode: 'client' })
    assert.equal(requester.network.peers().some(({ peer }) => peer.equals(worker.identity.peerId)), false)
    const views = await found(requester.registry)
    assert.deepEqual(peersOf(views), [idOf(worker)])
    const [view] = views
    assert.equal(view?.connected, true)
    assert.equal(view.source, 'direct')
    assert.deepEqual(view.advert.converters[0], { id: 'table/text/csv-application/vnd.apache.parquet', version: '1.0.0', ...CSV_PARQUET, bytesPerSecond: 1e8 })
    assert.equal(view.advert.operator, worker.identity.operator)
    assert.deepEqual(await found(requester.registry, { from: 'text/csv', to: 'image/png' }), [])
  })

  it('gives each provider once, leaves itself out, and ends when the reader stops or the signal fires', async () => {
    await using boot = await startNode()
    await using a = await startNode({ bootstrap: [boot.address] })
    await using b = await startNode({ bootstrap: [boot.address] })
    await using c = await startNode({ bootstrap: [boot.address] })
    for (const node of [a, b, c]) await node.registry.publish(content())
    assert.deepEqual(peersOf(await foundEventually(a.registry, 2)), [idOf(b), idOf(c)].sort())
    for await (const view of a.registry.find(CSV_PARQUET, { signal: AbortSignal.timeout(5000) })) {
      assert.ok(view.connected)
      break
    }
    for await (const view of a.registry.find(CSV_PARQUET, { signal: AbortSignal.abort() })) assert.ok(view.connected)
  })

  it('ends at once when there is nobody to ask', async () => {
    await using alone = await startNode()
    await alone.registry.publish(content())
    assert.deepEqual(await found(alone.registry), [])
    assert.deepEqual(alone.registry.view().map(({ source, connected }) => ({ source, connected })), [{ source: 'self', connected: true }])
  })

  it('tells neighbours at once what changed, and when it leaves', async () => {
    await using a = await startNode()
    await using b = await startNode({ bootstrap: [a.address] })
    await eventually('greeted', a.network.events, ['peer'], () => a.network.peers()[0])
    await b.registry.publish(content())
    const first = await eventually('advert', a.registry.events, ['advert'], () => a.registry.view()[0])
    assert.equal(first.advert.draining, false)
    await b.registry.publish({ ...content(), draining: true })
    const second = await eventually('newer advert', a.registry.events, ['advert'], () => a.registry.view().find(({ advert }) => advert.draining))
    assert.ok(second.advert.sequence > first.advert.sequence)
    assert.deepEqual(await found(a.registry), [], 'a draining provider takes no work')
    const gone = eventually('goodbye', a.registry.events, ['gone'], () => a.registry.view().length === 0)
    await b.registry.stop()
    await gone
    assert.equal(a.network.peers().length, 1, 'the connection is still there')
  })

  it('tells a neighbour that comes later', async () => {
    await using a = await startNode()
    await a.registry.publish(content())
    await using b = await startNode({ bootstrap: [a.address] })
    const view = await eventually('advert', b.registry.events, ['advert'], () => b.registry.view()[0])
    assert.ok(view.peer.equals(a.identity.peerId))
  })

  it('shows a vanished provider as not connected, finds it no more, and finds it again when it is back', async () => {
    await using boot = await startNode()
    await using requester = await startNode({ bootstrap: [boot.address] })
    await using worker = await startNode({ bootstrap: [boot.address] })
    await worker.registry.publish(content())
    await foundEventually(requester.registry, 1)
    const lost = eventually('lost', requester.network.events, ['gone'], () => requester.network.peers().every(({ peer }) => !peer.equals(worker.identity.peerId)))
    // Without goodbye, as when it is killed.
    await worker.network.stop()
    await lost
    assert.deepEqual(requester.registry.view().map(({ connected }) => connected), [false])
    assert.deepEqual(await found(requester.registry), [])
    await using back = await worker.restart()
    await back.registry.publish(content())
    assert.deepEqual(peersOf(await foundEventually(requester.registry, 1)), [idOf(worker)])
  })

  it('looks a peer up: itself, a neighbour, one it has to dial, nobody', async () => {
    await using boot = await startNode()
    await using a = await startNode({ bootstrap: [boot.address] })
    await using b = await startNode({ bootstrap: [boot.address] })
    const signal = AbortSignal.timeout(10_000)
    await a.registry.publish(content())
    assert.equal((await a.registry.lookup(a.identity.peerId, { signal }))?.source, 'self')
    assert.equal(await b.registry.lookup(boot.identity.peerId, { signal }), undefined)
    await eventually('joined', b.network.events, ['peer'], () => b.network.peers()[0])
    assert.equal((await b.registry.lookup(a.identity.peerId, { signal }))?.advert.peer, idOf(a))
    await using stranger = await startNode()
    assert.equal(await b.registry.lookup(stranger.identity.peerId, { signal }), undefined)
  })

  it('gives a higher sequence after every restart', async () => {
    await using a = await startNode()
    await a.registry.publish(content())
    const before = a.registry.view()[0]?.advert.sequence ?? 0
    await using again = await a.restart()
    await again.registry.publish(content())
    assert.ok((again.registry.view()[0]?.advert.sequence ?? 0) > before)
  })

  it('refuses to publish while stopped', async () => {
    await using a = await startNode()
    await a.registry.stop()
    await assert.rejects(a.registry.publish(content()), /not started/)
  })
})
