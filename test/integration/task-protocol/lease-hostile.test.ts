import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { silentLog } from '../../../daemon/log.ts'
import { FRAME_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import { createTaskClient } from '../../../daemon/task-protocol/index.ts'
import { FrameStream } from '../../../daemon/task-protocol/frames.ts'
import { leaseMessage, type LeaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { endFrame } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Transfer } from '../../../daemon/task-protocol/transfer.ts'
import { attach, offerOf, reasons, tamper, text, orderOf, Recorder, requester, stopAll, streamedOrder, worker, type RequesterSide, type WorkerSide } from './harness.ts'

for (const transport of ['memory', 'tcp'] as const) {
  describe(`a peer out of order, over ${transport}`, () => {
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

    it('a lease stream on which no lease is asked for ends, though it beats', async () => {
      const patient = to
      to = await worker(transport, { requestMs: 50 })
      from.network.knows(to.network)
      const { connection } = await from.network.greet(to.network.identity.peerId, { signal: AbortSignal.timeout(5000) })
      const closed = Promise.withResolvers<Error | undefined>()
      const frames: FrameStream<LeaseMessage> = new FrameStream(await connection.newStream('/weft/test/lease/1.0.0'), leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
        onMessage: () => {},
        onClose: error => { closed.resolve(error) }
      })
      let beats = 0
      const beating = setInterval(() => { frames.send({ type: 'beat', sequence: ++beats, active: 0, loopDelayMs: 0, progress: [] }) }, 20)
      assert.ok(await closed.promise instanceof Error)
      clearInterval(beating)
      await stopAll(patient)
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
