import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { HEARTBEAT_MS, LEASE_LIMITS } from '../../../daemon/health/index.ts'
import { multiaddr } from '../../fixtures/plain-network.ts'
import { peerProcess } from './child.ts'
import { attach, offerOf, reasons, text, orderOf, randomBytes, Recorder, requester, stopAll, streamedOrder, worker, type RequesterSide, type WorkerSide } from './harness.ts'

for (const transport of ['memory', 'tcp'] as const) {
  describe(`the end of a lease over ${transport}`, () => {
    let from: RequesterSide
    let to: WorkerSide
    let recorder: Recorder

    beforeEach(async () => {
      recorder = new Recorder()
      from = await requester(transport, { stallMs: 2000 })
      to = await worker(transport, { stallMs: 2000 })
    })

    afterEach(async () => {
      await stopAll(from, to)
    })

    it('drain: refuses new work, finishes and delivers what runs', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10)), streamedOrder(1, text(100_000))])
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      let drained = false
      const draining = to.server.drain({ signal: AbortSignal.timeout(10_000) }).then(() => { drained = true })
      await recorder.until(() => recorder.slotChanges.includes(0))
      assert.equal(handle.slots, 0)
      assert.equal(drained, false)
      const late = await from.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
      assert.ok(!late.ok && late.reason === 'draining' && (late.retryAfterMs ?? 0) > 0)
      to.executor.release()
      await draining
      assert.deepEqual(reasons(await recorder.count(2)), ['ok', 'ok'])
      const load = to.server.load()
      assert.deepEqual([load.leases, load.active, load.draining], [1, 0, true])
      const rival = await requester(transport)
      try {
        rival.network.knows(to.network)
        const refused = await rival.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
        assert.ok(!refused.ok && refused.reason === 'draining')
      } finally {
        await stopAll(rival)
      }
    })

    it('drain gives up when its signal fires', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      while (to.executor.active < 1) await new Promise(resolve => setImmediate(resolve))
      await assert.rejects(to.server.drain({ signal: AbortSignal.timeout(50) }))
    })

    it('a worker that stops is lost at once; its engines are cancelled', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10)), streamedOrder(1, text(100_000))])
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      await to.server.stop()
      await recorder.until(() => recorder.lostReason != null)
      assert.equal(to.executor.cancelled, 2)
      assert.deepEqual(await readdir(to.folder), [])
      assert.equal(handle.slots, 0)
      handle.dispatch([orderOf(9, text(1))])
      await handle.close()
      assert.equal(recorder.all.length, 0)
      await to.server.start()
      const again = new Recorder()
      const fresh = await attach(from, to, offerOf('upper'), again)
      fresh.dispatch([orderOf(0, text(10))])
      assert.ok((await again.count(1))[0]!.ok)
    })

    it('a requester that goes has its engines cancelled', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10)), streamedOrder(1, text(100_000))])
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      await from.network.libp2p.hangUp(to.network.identity.peerId)
      await recorder.until(() => recorder.lostReason != null)
      while (to.executor.active > 0 || to.server.load().leases > 0) await new Promise(resolve => setImmediate(resolve))
      assert.equal(to.executor.cancelled, 2)
    })

    it('closes an idle lease, and opens a new one for the next job', async () => {
      await stopAll(from)
      from = await requester(transport, { idleMs: 20 })
      const handle = await attach(from, to, offerOf('upper'), recorder)
      await handle.close()
      while (to.server.load().leases > 0) await new Promise(resolve => setTimeout(resolve, 5))
      assert.equal(recorder.lostReason, undefined)
      const again = await attach(from, to, offerOf('upper'), recorder)
      again.dispatch([orderOf(0, text(10))])
      assert.ok((await recorder.count(1))[0]!.ok)
    })

    it('an attach that is given up leaves nothing behind', async () => {
      from.network.knows(to.network)
      const controller = new AbortController()
      const attaching = from.client.attach(to.network.identity.peerId, offerOf('upper'), recorder, { signal: controller.signal })
      controller.abort()
      const answer = await attaching
      assert.ok(!answer.ok && answer.reason === 'cancelled')
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      assert.ok((await recorder.count(1))[0]!.ok)
    })
  })
}

describe('lease and task, a worker in a process of its own', () => {
  it('killed: the job is told within a second, streams and all', async () => {
    const peer = await peerProcess('worker')
    const from = await requester('tcp')
    try {
      const connection = await from.network.libp2p.dial(multiaddr(peer.address))
      const recorder = new Recorder()
      const answer = await from.client.attach(connection.remotePeer, offerOf('hold'), recorder, { signal: AbortSignal.timeout(5000) })
      assert.ok(answer.ok)
      answer.worker.dispatch([orderOf(0, text(10)), streamedOrder(1, randomBytes(3_000_000)), orderOf(2, text(10))])
      await recorder.until(() => recorder.beats.some(({ active }) => active >= 2))
      await peer.kill()
      await recorder.until(() => recorder.lostReason != null)
      // The closed connection told, not the silence after it.
      assert.doesNotMatch(recorder.lostReason!, /silent/)
      assert.equal(recorder.all.length, 0)
    } finally {
      await peer.kill()
      await stopAll(from)
    }
  })

  it('stopped without a word: the job is told after the detection limit, not before', async () => {
    const peer = await peerProcess('worker')
    const from = await requester('tcp')
    try {
      const connection = await from.network.libp2p.dial(multiaddr(peer.address))
      const recorder = new Recorder()
      const answer = await from.client.attach(connection.remotePeer, offerOf('hold'), recorder, { signal: AbortSignal.timeout(5000) })
      assert.ok(answer.ok)
      answer.worker.dispatch([orderOf(0, text(10))])
      await recorder.until(() => recorder.beats.some(({ active }) => active === 1))
      const before = performance.now()
      peer.pause()
      await recorder.until(() => recorder.lostReason != null)
      assert.match(recorder.lostReason!, /^silent for \d+ ms \(lease\)/)
      assert.ok(performance.now() - before > LEASE_LIMITS.dead.floorMs - 2 * HEARTBEAT_MS)
    } finally {
      await peer.kill()
      await stopAll(from)
    }
  })
})
