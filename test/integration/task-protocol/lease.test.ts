import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Stream } from '@libp2p/interface'
import { DEAD_AFTER_MS, HEARTBEAT_MS } from '../../../daemon/health/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { FRAME_BYTES_MAX, INLINE_BYTES_MAX, OFFER_BUDGET_BYTES } from '../../../daemon/task-protocol/constants.ts'
import type { StoredBlock } from '../../../daemon/store/index.ts'
import { createTaskClient, type AttemptOutcome, type Order, type TaskClient, type Worker } from '../../../daemon/task-protocol/index.ts'
import { FrameStream } from '../../../daemon/task-protocol/frames.ts'
import { leaseMessage, type LeaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { runTask } from '../../../daemon/task-protocol/task-client.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { endFrame, header, MESSAGE_FRAME } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Transfer } from '../../../daemon/task-protocol/transfer.ts'
import { CLOCK_SKEW_MS } from '../../../daemon/trust/index.ts'
import { BatchSigner } from '../../../daemon/trust/index.ts'
import { multiaddr } from '../../fixtures/plain-network.ts'
import { peerProcess } from './child.ts'
import { attach, offerOf, orderOf, randomBytes, Recorder, requester, sha256, stopAll, streamedOrder, worker, type RequesterSide, type WorkerSide } from './harness.ts'

const upper = (bytes: Uint8Array): Buffer => Buffer.from(Buffer.from(bytes).toString('latin1').toUpperCase(), 'latin1')
const text = (length: number, seed = 7): Buffer => Buffer.from(Array.from({ length }, (_, i) => 97 + (i * seed + (i >> 8)) % 26))
const reasons = (outcomes: AttemptOutcome[]): string[] => outcomes.map(outcome => outcome.ok ? 'ok' : outcome.reason)

/** Replaces bytes on their way out of one stream of the worker's: the first send for which `change` gives something. */
function tamper (side: WorkerSide, protocols: string[], change: (data: Uint8Array, stream: Stream) => Uint8Array | undefined): void {
  side.onStream = (name, stream) => {
    if (!protocols.some(protocol => name.includes(`/${protocol}/`))) return
    const send = stream.send.bind(stream)
    stream.send = data => {
      const bytes = data.subarray()
      return send(change(bytes, stream) ?? bytes)
    }
  }
}

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
      const inputs = [text(3_000_000), text(INLINE_BYTES_MAX + 1), text(70_000), text(5_500_000), text(2)]
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
      assert.deepEqual(to.server.load(), { leases: 1, active: 0, draining: true })
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

    it('a wrong output is noticed: bytes changed on a lease, whole batch or digest, on a stream', async () => {
      tamper(to, ['lease', 'task'], data => {
        const at = Buffer.from(data).indexOf('HONEST')
        return at < 0 ? undefined : Buffer.concat([data.subarray(0, at), Buffer.from('FORGED'), data.subarray(at + 6)])
      })
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([orderOf(0, Buffer.from('honest work')), streamedOrder(1, Buffer.concat([text(100_000), Buffer.from('honest')]))])
      assert.deepEqual(reasons(await recorder.count(2)), ['transfer', 'transfer'])
      assert.deepEqual((await readdir(from.folder)).filter(name => name !== 'incoming'), [], 'nothing wrong reaches the store')
      assert.deepEqual(await readdir(join(from.folder, 'incoming')), [])
    })

    it('early end: a task stream closed in the middle of its output is a failure of that attempt only', async () => {
      let broken = 0
      tamper(to, ['task'], (data, stream) => {
        if (broken === 0 && data.length > 50_000) {
          broken++
          void stream.close()
          return data.subarray(0, 1000)
        }
        return undefined
      })
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([streamedOrder(0, text(300_000))])
      assert.deepEqual(reasons(await recorder.count(1)), ['transfer'])
      handle.dispatch([streamedOrder(1, text(300_000))])
      assert.deepEqual(reasons(await recorder.count(2)), ['transfer', 'ok'])
    })

    it('a forged end marker is a failure, too', async () => {
      tamper(to, ['task'], data => data.length === 45 && data[0] === 3 ? endFrame(Buffer.alloc(32), 100_000) : undefined)
      const handle = await attach(from, to, offerOf('upper'), recorder)
      handle.dispatch([streamedOrder(0, text(100_000))])
      assert.deepEqual(reasons(await recorder.count(1)), ['transfer'])
    })

    it('orders without a lease, and orders not signed, are refused on a task stream', async () => {
      from.network.knows(to.network)
      const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
      const ask = async (counter: number): Promise<string> => {
        const transfer = new Transfer(await connection.newStream('/weft/test/task/1.0.0'))
        const { digest, size, block, attempt } = orderOf(0, text(10))
        transfer.sendMessage(taskMessage.encode({
          type: 'order', incarnation: 1, counter, trace: '', signature: Buffer.alloc(64, 1),
          offer: { ...offerOf('upper'), parameters: Buffer.from('a0', 'hex'), offer: 1 },
          order: { offer: 1, block, attempt, size, digest, bytes: Buffer.alloc(0) }
        }))
        const answer = taskMessage.decode(await transfer.readMessage())
        await transfer.close()
        return answer?.type === 'refuse' ? `${answer.reason}: ${answer.message}` : String(answer?.type)
      }
      assert.match(await ask(1), /protocol: no lease/)
      await attach(from, to, offerOf('upper'), recorder)
      assert.match(await ask(1), /protocol: the order is not signed/)
    })

    it('orders not signed end the lease', async () => {
      from.network.knows(to.network)
      const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
      const closed = Promise.withResolvers<Error | undefined>()
      const frames: FrameStream<LeaseMessage> = new FrameStream(await connection.newStream('/weft/test/lease/1.0.0'), leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
        onMessage: message => {
          if (message.type === 'grant') frames.send({ ...offerOf('hold'), parameters: Buffer.from('a0', 'hex'), offer: 1, type: 'offer' })
          if (message.type !== 'accept-offer') return
          const { digest, size, bytes } = orderOf(0, text(10))
          frames.send({ type: 'orders', orders: [{ offer: 1, block: 0, attempt: 1, size, digest, bytes: bytes! }], signature: Buffer.alloc(64, 1) })
        },
        onClose: error => { closed.resolve(error) }
      })
      frames.send({ type: 'request', incarnation: 1, counter: 1 })
      assert.ok(await closed.promise instanceof Error)
      while (to.server.load().active > 0 || to.executor.active > 0) await new Promise(resolve => setImmediate(resolve))
      assert.equal(to.server.load().leases, 0)
    })

    it('a newer lease of the same requester replaces the older one; an older is refused', async () => {
      const handle = await attach(from, to, offerOf('hold'), recorder)
      handle.dispatch([orderOf(0, text(10))])
      while (to.executor.active < 1) await new Promise(resolve => setImmediate(resolve))
      const twin = (incarnation: number) => createTaskClient({ network: from.network, store: from.store, identity: from.network.identity, loopDelay: { worst: () => 0 }, log: silentLog, generation: { incarnation, next: () => 5 } })
      const older = twin(0)
      const refused = await older.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
      assert.ok(!refused.ok && refused.reason === 'protocol')
      assert.equal(recorder.lostReason, undefined)
      const newer = twin(2)
      const again = new Recorder()
      const answer = await newer.attach(to.network.identity.peerId, offerOf('upper'), again, { signal: AbortSignal.timeout(5000) })
      assert.ok(answer.ok)
      await recorder.until(() => recorder.lostReason != null)
      while (to.executor.cancelled < 1) await new Promise(resolve => setImmediate(resolve))
      answer.worker.dispatch([orderOf(0, text(10))])
      assert.ok((await again.count(1))[0]!.ok)
      await newer.stop()
      await older.stop()
    })
  })
}

describe('lease and task, policies and limits', () => {
  const sides: Array<RequesterSide | WorkerSide> = []
  afterEach(async () => { await stopAll(...sides.splice(0)) })

  async function made (init: Parameters<typeof worker>[1]): Promise<[RequesterSide, WorkerSide]> {
    const from = await requester('memory')
    const to = await worker('memory', init)
    sides.push(from, to)
    from.network.knows(to.network)
    return [from, to]
  }

  it('policy: a peer, and an offer, can be refused', async () => {
    const [from, to] = await made({ policy: { lease: () => ({ reason: 'policy', message: 'not for you', retryAfterMs: 0 }) } })
    const answer = await from.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.deepEqual(answer, { ok: false, reason: 'policy', message: 'not for you' })
    const [other, paid] = await made({ policy: { offer: (_peer, { price }) => BigInt(price) > 5n ? undefined : { reason: 'policy', message: 'too cheap', retryAfterMs: 0 } } })
    const cheap = await other.client.attach(paid.network.identity.peerId, offerOf('upper', { price: '5' }), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.deepEqual(cheap, { ok: false, reason: 'policy', message: 'too cheap' })
    await attach(other, paid, offerOf('upper', { price: '6' }), new Recorder())
  })

  it('busy: no more leases than allowed, with a hint when to ask again', async () => {
    const [from, to] = await made({ maxLeases: 1 })
    await attach(from, to, offerOf('upper'), new Recorder())
    const rival = await requester('memory')
    sides.push(rival)
    rival.network.knows(to.network)
    const answer = await rival.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.ok(!answer.ok && answer.reason === 'busy' && (answer.retryAfterMs ?? 0) > 0)
    await from.client.stop()
    while (to.server.load().leases > 0) await new Promise(resolve => setImmediate(resolve))
    await attach(rival, to, offerOf('upper'), new Recorder())
  })

  /** A lease stream of a requester that says what it likes. */
  async function byHand (from: RequesterSide, to: WorkerSide, onMessage: (message: LeaseMessage) => void = () => {}): Promise<{ frames: FrameStream<LeaseMessage>, closed: Promise<Error | undefined> }> {
    const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
    const closed = Promise.withResolvers<Error | undefined>()
    const frames: FrameStream<LeaseMessage> = new FrameStream(await connection.newStream('/weft/test/lease/1.0.0', { maxOutboundStreams: 4 }), leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
      onMessage,
      onClose: error => { closed.resolve(error) }
    })
    return { frames, closed: closed.promise }
  }

  it('resets task streams of a requester that neither has a lease nor closes them', async () => {
    const [from, to] = await made({ stallMs: 200 })
    const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
    const stream = await connection.newStream('/weft/test/task/1.0.0')
    const closed = new Promise<void>(resolve => stream.addEventListener('close', () => { resolve() }, { once: true }))
    const transfer = new Transfer(stream)
    const { digest, size, block, attempt } = orderOf(0, text(10))
    transfer.sendMessage(taskMessage.encode({
      type: 'order', incarnation: 1, counter: 1, trace: '', signature: Buffer.alloc(64, 1),
      offer: { ...offerOf('upper'), parameters: Buffer.from('a0', 'hex'), offer: 1 },
      order: { offer: 1, block, attempt, size, digest, bytes: Buffer.alloc(0) }
    }))
    assert.equal(taskMessage.decode(await transfer.readMessage())?.type, 'refuse')
    for (let i = 0; i < 20; i++) stream.send(Buffer.concat([header(MESSAGE_FRAME, 1000), randomBytes(1000)]))
    await closed
  })

  it('a flood of offers is refused unread, and then ends the lease', async () => {
    const [from, to] = await made({})
    const answers: LeaseMessage[] = []
    const { frames, closed } = await byHand(from, to, message => { if (message.type !== 'beat') answers.push(message) })
    frames.send({ type: 'request', incarnation: 1, counter: 1 })
    for (let offer = 1; offer <= 100; offer++) frames.send({ ...offerOf('no-such-converter'), parameters: Buffer.alloc(100_000), offer, type: 'offer' })
    const rival = new Recorder()
    const other = await requester('memory')
    sides.push(other)
    const handle = await attach(other, to, offerOf('upper'), rival)
    for (let offer = 101; offer <= 1000; offer++) frames.send({ ...offerOf('no-such-converter'), parameters: Buffer.alloc(100_000), offer, type: 'offer' })
    assert.ok(await closed instanceof Error)
    const refused = answers.filter(answer => answer.type === 'refuse-offer').map(answer => answer.reason)
    assert.deepEqual([...new Set(refused)], ['unsupported', 'busy'])
    assert.ok(refused.filter(reason => reason === 'unsupported').length <= OFFER_BUDGET_BYTES / 100_000 + 20)
    handle.dispatch([orderOf(0, text(10))])
    assert.ok((await rival.count(1))[0]!.ok)
  })

  it('a second lease of one generation ends, the first goes on', async () => {
    const [from, to] = await made({})
    const accepted = Promise.withResolvers<void>()
    const first = await byHand(from, to, message => { if (message.type === 'accept-offer') accepted.resolve() })
    first.frames.send({ type: 'request', incarnation: 1, counter: 1 })
    const second = await byHand(from, to)
    second.frames.send({ type: 'request', incarnation: 1, counter: 1 })
    assert.ok(await second.closed instanceof Error)
    first.frames.send({ ...offerOf('upper'), parameters: Buffer.from('a0', 'hex'), offer: 1, type: 'offer' })
    await accepted.promise
    assert.equal(to.server.load().leases, 1)
  })

  it('a worker that never confirms a cancel gets a new lease for the next job', async () => {
    const from = await requester('memory')
    const silent = await worker('memory')
    sides.push(from, silent)
    await silent.server.stop()
    let leases = 0
    const ordered = Promise.withResolvers<void>()
    await silent.network.libp2p.handle('/weft/test/lease/1.0.0', stream => {
      leases++
      const frames: FrameStream<LeaseMessage> = new FrameStream(stream, leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
        onMessage: message => {
          if (message.type === 'request') frames.send({ ...message, type: 'grant', processSlots: 1, inlineSlots: 1, heartbeatMs: 500, inlineBytes: INLINE_BYTES_MAX })
          else if (message.type === 'offer') frames.send({ type: 'accept-offer', offer: message.offer, pool: 'process' })
          else if (message.type === 'orders') ordered.resolve()
          else if (message.type === 'beat') frames.send(message)
        },
        onClose: () => {}
      })
    })
    const handle = await attach(from, silent, offerOf('upper'), new Recorder())
    handle.dispatch([orderOf(0, text(10))])
    await ordered.promise
    await handle.close()
    await attach(from, silent, offerOf('upper'), new Recorder())
    assert.equal(leases, 2)
  }).timeout(10_000)

  it('a worker that answers no order on a task stream loses that attempt', async () => {
    const [from, to] = await made({})
    await to.server.stop()
    await to.network.libp2p.handle('/weft/test/task/1.0.0', () => { /* takes the stream and says nothing */ })
    const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
    const order = orderOf(0, text(10))
    const outcome = await runTask({
      connection,
      protocol: '/weft/test/task/1.0.0',
      generation: { incarnation: 1, counter: 1 },
      offer: { ...offerOf('upper'), parameters: Buffer.from('a0', 'hex'), offer: 1 },
      offerDigest: sha256(Buffer.alloc(0)),
      order: { offer: 1, block: 0, attempt: 1, size: order.size, digest: order.digest, slice: undefined, bytes: Buffer.alloc(0), weight: 0, large: true, source: order },
      signer: new BatchSigner(from.network.identity.nodeKey),
      workerKey: to.network.identity.peerId.publicKey!.raw,
      store: from.store,
      onBytes: () => {},
      answerMs: 100,
      signal: new AbortController().signal
    })
    assert.deepEqual(reasons([outcome]), ['transfer'])
  })

  it('what a peer says of its refusal reaches no terminal as control characters', async () => {
    const [from, to] = await made({ policy: { lease: () => ({ reason: 'policy', message: 'a\u001b[2Jb\u009b1mc', retryAfterMs: 0 }) } })
    const answer = await from.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.deepEqual(answer, { ok: false, reason: 'policy', message: 'a [2Jb 1mc' })
  })

  it('a stranger gets nothing: no lease, no task', async () => {
    const [from, to] = await made({ strangers: true })
    const answer = await from.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.ok(!answer.ok && answer.reason === 'lost')
    const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
    const transfer = new Transfer(await connection.newStream('/weft/test/task/1.0.0'))
    await assert.rejects(transfer.readMessage(), { code: 'reset' })
    assert.equal(to.server.load().leases, 0)
  })

  it('a peer that does not serve is a refusal, not an exception', async () => {
    const [from, to] = await made({})
    await to.server.stop()
    const answer = await from.client.attach(to.network.identity.peerId, offerOf('upper'), new Recorder(), { signal: AbortSignal.timeout(5000) })
    assert.ok(!answer.ok && answer.reason === 'lost')
  })

  for (const [what, leave] of [
    ['its job has left', async (_client, handle) => { void handle.close() }],
    ['its lease has ended', async client => { await client.stop() }]
  ] as Array<[string, (client: TaskClient, handle: Worker) => Promise<void>]>) {
    it(`a large result that is stored when ${what} is given to discard`, async () => {
      const [from, to] = await made({})
      const finishing = Promise.withResolvers<void>()
      const gate = Promise.withResolvers<void>()
      const discarded = Promise.withResolvers<StoredBlock>()
      const store = {
        async sink () {
          const sink = await from.store.sink()
          return {
            write: (chunk: Uint8Array) => sink.write(chunk),
            abort: () => sink.abort(),
            async finish () {
              finishing.resolve()
              await gate.promise
              return await sink.finish()
            }
          }
        }
      }
      const client = createTaskClient({ network: from.network, store, identity: from.network.identity, loopDelay: { worst: () => 0 }, log: silentLog, generation: { incarnation: 1, next: () => 1 }, discard: stored => { discarded.resolve(stored) } })
      try {
        const recorder = new Recorder()
        const answer = await client.attach(to.network.identity.peerId, offerOf('upper'), recorder, { signal: AbortSignal.timeout(5000) })
        assert.ok(answer.ok)
        answer.worker.dispatch([streamedOrder(0, text(100_000))])
        await finishing.promise
        await leave(client, answer.worker)
        gate.resolve()
        const stored = await discarded.promise
        assert.deepEqual(await readFile(stored.path), upper(text(100_000)))
        assert.equal(recorder.all.length, 0)
      } finally {
        await client.stop()
      }
    })
  }

  it('beats carry load and progress', async () => {
    const [from, to] = await made({ heartbeatMs: 50 })
    const recorder = new Recorder()
    const handle = await attach(from, to, offerOf('hold'), recorder)
    handle.dispatch([orderOf(3, text(10))])
    await recorder.until(() => recorder.beats.some(({ progress }) => progress.length > 0))
    const beat = recorder.beats.find(({ progress }) => progress.length > 0)!
    assert.deepEqual(beat.progress, [{ block: 3, attempt: 1, done: 1 }])
    assert.equal(beat.active, 1)
    to.executor.release()
    await recorder.count(1)
  })
})

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
      assert.match(recorder.lostReason!, /^silent for \d+ ms$/)
      assert.ok(performance.now() - before > DEAD_AFTER_MS - 2 * HEARTBEAT_MS)
    } finally {
      await peer.kill()
      await stopAll(from)
    }
  })
})
