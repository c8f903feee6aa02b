import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { INLINE_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import type { AttemptOutcome, Order } from '../../../daemon/task-protocol/index.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { attach, offerOf, reasons, text, upper, orderOf, Recorder, requester, sha256, stopAll, streamedOrder, worker, type RequesterSide, type WorkerSide } from './harness.ts'

for (const transport of ['memory', 'tcp'] as const) {
  describe(`lease and task over ${transport}`, () => {
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

    it('small blocks ride the lease, with digests and receipts', async () => {
      const handle = await attach(from, to, offerOf('upper'), recorder)
      assert.equal(handle.kind, 'remote')
      assert.equal(handle.id, to.network.identity.peerId.toString())
      assert.equal(handle.slots, 3)
      const inputs = [0, 1, 2, 3, 4, 5].map(i => text(100 * i, i + 1))
      handle.dispatch(inputs.map((bytes, block) => orderOf(block, bytes)))
      const outcomes = await recorder.count(6)
      for (const outcome of outcomes) {
        assert.ok(outcome.ok && 'bytes' in outcome.output)
        assert.deepEqual(Buffer.from(outcome.output.bytes), upper(inputs[outcome.block]!))
        assert.deepEqual(Buffer.from(outcome.digest), Buffer.from(sha256(outcome.output.bytes)))
        assert.deepEqual([outcome.units, outcome.cpuMs, outcome.wallMs, outcome.attempt], [7, 1, 3, 1])
        assert.equal(outcome.receipt?.receipt.signature.length, 64)
      }
      await handle.close()
    })

    it('inline converters answer in batches under one receipt', async () => {
      const handle = await attach(from, to, offerOf('echo'), recorder)
      handle.dispatch(Array.from({ length: 50 }, (_, block) => orderOf(block, text(block))))
      handle.dispatch(Array.from({ length: 50 }, (_, i) => orderOf(50 + i, text(i))))
      const outcomes = await recorder.count(100)
      assert.deepEqual(outcomes.map(({ block }) => block), Array.from({ length: 100 }, (_, i) => i))
      const [first, last] = [outcomes[0]!, outcomes[99]!]
      assert.ok(first.ok && last.ok && first.receipt?.receipt.leaves === 100 && first.receipt.receipt === last.receipt?.receipt)
    })

    it('inline converters that answer later work, too, and can be cancelled', async () => {
      const handle = await attach(from, to, offerOf('nap'), recorder)
      handle.dispatch([orderOf(0, text(5)), orderOf(1, text(6))])
      handle.cancel([{ block: 1, attempt: 1 }])
      const outcomes = await recorder.count(2)
      assert.deepEqual(outcomes.map(outcome => [outcome.block, outcome.ok || outcome.reason]).toSorted(), [[0, true], [1, 'cancelled']])
    })

    it('merges a block\'s slice over the parameters of its job', async () => {
      const handle = await attach(from, to, offerOf('upper', { parameters: { rows: 'all', header: true } }), recorder)
      handle.dispatch([orderOf(0, text(3)), orderOf(1, text(3), { slice: { rows: [0, 5] } })])
      await recorder.count(2)
      // two engines: either may begin first
      const seen = to.executor.started.map(({ parameters }) => parameters).toSorted((a, b) => String(b.rows).localeCompare(String(a.rows)))
      assert.deepEqual(seen, [{ rows: 'all', header: true }, { rows: [0, 5], header: true }])
    })

    it('large blocks get a stream each, into the store', async () => {
      const handle = await attach(from, to, offerOf('upper'), recorder)
      const inputs = [text(1_200_000), text(INLINE_BYTES_MAX + 1), text(70_000), text(2_200_000), text(2)]
      handle.dispatch(inputs.map((bytes, block) => block === 1 ? orderOf(block, bytes) : streamedOrder(block, bytes)))
      const outcomes = await recorder.count(inputs.length)
      for (const outcome of outcomes) {
        assert.ok(outcome.ok && 'stored' in outcome.output)
        const stored = await readFile(outcome.output.stored.path)
        assert.deepEqual(stored, upper(inputs[outcome.block]!))
        assert.deepEqual(Buffer.from(outcome.digest), Buffer.from(sha256(stored)))
        assert.equal(outcome.receipt?.receipt.leaves, 1)
      }
      await handle.close()
      assert.deepEqual(await readdir(to.folder), [], 'every workspace is gone')
      assert.deepEqual(await readdir(join(from.folder, 'incoming')), [], 'no unfinished block is left')
    })

    it('an output too large for the lease comes by stream, and the next of its kind at once', async () => {
      const handle = await attach(from, to, offerOf('grow'), recorder)
      const bytes = text(40_000)
      handle.dispatch([orderOf(0, bytes)])
      await recorder.count(1)
      assert.equal(to.executor.runs, 2)
      handle.dispatch([orderOf(1, bytes)])
      const outcomes = await recorder.count(2)
      assert.equal(to.executor.runs, 3)
      for (const outcome of outcomes) assert.ok(outcome.ok && 'stored' in outcome.output && outcome.size === 160_000)
    })

    it('the converter\'s own failure is told with code and details, inline and by stream', async () => {
      const handle = await attach(from, to, offerOf('bad'), recorder)
      handle.dispatch([orderOf(0, text(10)), streamedOrder(1, text(100_000))])
      const outcomes = await recorder.count(2)
      for (const outcome of outcomes) {
        assert.ok(!outcome.ok)
        assert.deepEqual([outcome.reason, outcome.code, outcome.message, outcome.details], ['conversion', 'bad-input', 'line 3 is wrong', { line: 3 }])
      }
    })

    it('typed refusals: unsupported converter, version and parameters', async () => {
      from.network.knows(to.network)
      for (const [offer, message] of [
        [offerOf('unknown'), /no converter 'unknown'/],
        [offerOf('upper', { version: '2' }), /version 2/],
        [offerOf('upper', { parameters: { refuse: true } }), /bad parameter 'refuse'/]
      ] as const) {
        const answer = await from.client.attach(to.network.identity.peerId, offer, recorder, { signal: AbortSignal.timeout(5000) })
        assert.ok(!answer.ok && answer.reason === 'unsupported')
        assert.match(answer.message, message)
      }
    })

    it('typed refusals: expired, and nonsense for a price', async () => {
      from.network.knows(to.network)
      const signal = AbortSignal.timeout(5000)
      const expired = await from.client.attach(to.network.identity.peerId, offerOf('upper', { deadline: Date.now() - CLOCK_SKEW_MS - 1 }), recorder, { signal })
      assert.ok(!expired.ok && expired.reason === 'expired')
      const price = await from.client.attach(to.network.identity.peerId, offerOf('upper', { price: '-1' }), recorder, { signal })
      assert.ok(!price.ok && price.reason === 'protocol')
    })

    it('a deadline that passes while the lease is open refuses the order', async () => {
      // passed already, but by no more than our clock and theirs may differ
      const deadline = Date.now() - CLOCK_SKEW_MS + 300
      const handle = await attach(from, to, offerOf('echo', { deadline }), recorder)
      while (Date.now() <= deadline + CLOCK_SKEW_MS) await new Promise(resolve => setTimeout(resolve, 20))
      handle.dispatch([orderOf(0, text(1)), streamedOrder(1, text(100_000))])
      assert.deepEqual(reasons(await recorder.count(2)), ['expired', 'expired'])
    })

    it('orders of ours that cannot be sent come back as protocol, the rest go', async () => {
      const handle = await attach(from, to, offerOf('echo'), recorder)
      const good = orderOf(0, text(3))
      const bad: Order[] = [
        { ...good, block: -1 }, { ...good, attempt: 0 }, { ...good, attempt: 70_000 }, { ...good, digest: Buffer.alloc(3) }, { ...good, size: 2 }, { ...good, bytes: undefined }, { ...good, slice: { big: 'x'.repeat(20_000) } }, { ...good, slice: { not: undefined as any } }
      ]
      handle.dispatch([...bad, good])
      const outcomes = await recorder.count(bad.length + 1)
      assert.deepEqual(reasons(outcomes).toSorted(), ['ok', ...bad.map(() => 'protocol')])
    })

    it('an input that is not what its digest says fails as transfer, inline and by stream', async () => {
      const handle = await attach(from, to, offerOf('upper'), recorder)
      const wrong = { digest: sha256(text(9)) }
      handle.dispatch([orderOf(0, text(10), wrong), streamedOrder(1, text(100_000), wrong), streamedOrder(2, text(100_000), { size: 99_999 }), streamedOrder(3, text(100_000), { size: 100_001 })])
      const outcomes = await recorder.count(4)
      assert.deepEqual(reasons(outcomes), ['transfer', 'transfer', 'transfer', 'transfer'])
      handle.dispatch([orderOf(4, text(10))])
      await recorder.count(5)
      assert.ok(recorder.all[4]!.ok)
    })

    it('an input that cannot be read here fails that attempt only', async () => {
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([{ ...streamedOrder(0, text(100_000)), async * open () { yield await Promise.reject<Uint8Array>(new Error('input vanished')) } }])
      const [outcome] = await recorder.count(1)
      assert.ok(!outcome!.ok && outcome!.reason === 'transfer')
      assert.match((outcome as { message: string }).message, /input vanished/)
      handle.dispatch([streamedOrder(1, text(100_000))])
      await recorder.count(2)
      assert.ok(recorder.all[1]!.ok)
    })

    it('an output above the limit of the job is refused', async () => {
      const handle = await attach(from, to, offerOf('upper', { outputBytes: 90_000 }), recorder)
      handle.dispatch([streamedOrder(0, text(100_000)), orderOf(1, text(100))])
      const outcomes = await recorder.count(2)
      assert.deepEqual(outcomes.map(outcome => [outcome.block, outcome.ok || outcome.reason]).toSorted(), [[0, 'output-limit'], [1, true]])
    })

    it('cancels what waits, what runs on the lease and what runs on a stream', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10)), streamedOrder(1, text(100_000)), orderOf(2, text(10)), orderOf(3, text(10))])
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      handle.cancel([0, 1, 2, 3].map(block => ({ block, attempt: 1 })))
      const outcomes = await recorder.count(4)
      assert.deepEqual(reasons(outcomes), ['cancelled', 'cancelled', 'cancelled', 'cancelled'])
      while (to.executor.active > 0 || to.server.load().active > 0) await new Promise(resolve => setImmediate(resolve))
      handle.dispatch([orderOf(5, text(1)), orderOf(6, text(1))])
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      to.executor.release()
      await recorder.count(6)
      assert.deepEqual(reasons(recorder.all).slice(4), ['ok', 'ok'])
    })

    it('two jobs share one lease and take turns; one leaving disturbs the other not', async () => {
      const other = new Recorder()
      const [one, two] = await Promise.all([attach(from, to, offerOf('hold', { job: 'a' }), recorder), attach(from, to, offerOf('upper', { job: 'b' }), other)])
      assert.equal(to.server.load().leases, 1)
      one.dispatch(Array.from({ length: 10 }, (_, block) => orderOf(block, text(10))))
      two.dispatch(Array.from({ length: 3 }, (_, block) => orderOf(block, text(10))))
      while (to.executor.active < 2) await new Promise(resolve => setImmediate(resolve))
      await one.close()
      assert.deepEqual(reasons(await other.count(3)), ['ok', 'ok', 'ok'])
      assert.equal(recorder.all.length, 0, 'a closed worker tells nothing more')
      one.dispatch([orderOf(99, text(1))])
      one.cancel([{ block: 99, attempt: 1 }])
      await two.close()
      assert.equal(recorder.lostReason, undefined)
    })

    it('two requesters share a worker: neither waits for all of the other', async () => {
      const rival = await requester(transport)
      try {
        const theirs = new Recorder()
        const order: string[] = []
        const record = (name: string, recorder: Recorder) => ({ outcomes: (list: AttemptOutcome[]) => { order.push(...list.map(() => name)); recorder.outcomes(list) }, lost: recorder.lost })
        const mine = await attach(from, to, offerOf('upper'), record('a', recorder))
        const other = await attach(rival, to, offerOf('upper'), record('b', theirs))
        mine.dispatch(Array.from({ length: 40 }, (_, block) => orderOf(block, text(1000))))
        other.dispatch(Array.from({ length: 20 }, (_, block) => orderOf(block, text(1000))))
        await Promise.all([recorder.count(40), theirs.count(20)])
        assert.ok(order.lastIndexOf('b') < 55, `b was last served at ${order.lastIndexOf('b')} of 60`)
      } finally {
        await stopAll(rival)
      }
    })
  })
}
