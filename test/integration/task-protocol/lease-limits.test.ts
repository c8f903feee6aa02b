import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { silentLog } from '../../../daemon/log.ts'
import { FRAME_BYTES_MAX, INLINE_BYTES_MAX, OFFER_BUDGET_BYTES } from '../../../daemon/task-protocol/constants.ts'
import type { StoredBlock } from '../../../daemon/store/index.ts'
import { createTaskClient, type TaskClient, type Worker } from '../../../daemon/task-protocol/index.ts'
import { FrameStream } from '../../../daemon/task-protocol/frames.ts'
import { leaseMessage, type LeaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { runTask } from '../../../daemon/task-protocol/task-client.ts'
import { taskMessage } from '../../../daemon/task-protocol/task-messages.ts'
import { header, MESSAGE_FRAME } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Transfer } from '../../../daemon/task-protocol/transfer.ts'
import { BatchSigner } from '../../../daemon/trust/index.ts'
import { attach, offerOf, reasons, text, upper, orderOf, randomBytes, Recorder, requester, sha256, stopAll, streamedOrder, worker, type RequesterSide, type WorkerSide } from './harness.ts'

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
    // a beat may leave before the engine has said anything
    await recorder.until(() => recorder.beats.some(({ progress }) => (progress[0]?.done ?? 0) > 0))
    const beat = recorder.beats.find(({ progress }) => (progress[0]?.done ?? 0) > 0)!
    assert.deepEqual(beat.progress, [{ block: 3, attempt: 1, done: 1 }])
    assert.equal(beat.active, 1)
    to.executor.release()
    await recorder.count(1)
  })
})
