import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import { CHUNK_BYTES, CREDIT_BYTES } from '../../../daemon/task-protocol/constants.ts'
import { TransferError } from '../../../daemon/task-protocol/errors.ts'
import { creditFrame, DATA_FRAME, endFrame, header, MESSAGE_FRAME } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Transfer, type ByteSink } from '../../../daemon/task-protocol/transfer.ts'
import { plainNetwork, streamPair, type PlainNetwork } from '../../fixtures/plain-network.ts'
import { Collector, failsWith, MIB, pieces, sha256, STALL_MS } from './transfer-kit.ts'

for (const transport of ['memory', 'tcp'] as const) {
  describe(`transfer over ${transport}`, () => {
    let a: PlainNetwork
    let b: PlainNetwork
    let pair: Awaited<ReturnType<typeof streamPair>>
    let near: Transfer
    let far: Transfer

    before(async () => {
      a = await plainNetwork({ transport })
      b = await plainNetwork({ transport })
    })

    after(async () => {
      await a.stop()
      await b.stop()
    })

    beforeEach(async () => {
      pair = await streamPair(a, b)
      // with the stall limit of every day, as on a busy machine nothing may move for a while
      near = new Transfer(pair.outbound, { connection: pair.connection })
      far = new Transfer(pair.inbound, { connection: pair.remote })
    })

    afterEach(() => {
      const done = new Error('the test is over')
      pair.outbound.abort(done)
      pair.inbound.abort(done)
    })

    /** Both ends of another stream, with a stall limit short enough to wait for. */
    async function hasty (): Promise<{ near: Transfer, far: Transfer }> {
      pair.outbound.abort(new Error('another is used'))
      pair = await streamPair(a, b)
      return { near: new Transfer(pair.outbound, { connection: pair.connection, stallMs: STALL_MS }), far: new Transfer(pair.inbound, { connection: pair.remote, stallMs: STALL_MS }) }
    }

    /** A stream of ours that speaks frames by hand. */
    async function byHand (): Promise<{ raw: Stream, transfer: Transfer }> {
      const made = await streamPair(a, b, '/test/hand/1.0.0')
      return { raw: made.outbound, transfer: new Transfer(made.inbound, { stallMs: STALL_MS }) }
    }

    for (const [size, cut] of [[0, 1], [1, 1], [1000, 7], [CHUNK_BYTES, CHUNK_BYTES], [3 * CHUNK_BYTES + 5, 100_000], [CREDIT_BYTES + MIB + 1, MIB]] as const) {
      it(`moves ${size} bytes in pieces of ${cut}`, async () => {
        const bytes = randomBytes(size)
        const sink = new Collector()
        const [sent, received] = await Promise.all([near.send(pieces(bytes, cut)), far.receive(sink, { limit: size })])
        assert.equal(sink.size, size)
        assert.deepEqual(Buffer.from(sent.digest), sha256(bytes))
        assert.deepEqual(sink.hash.digest(), sha256(bytes))
        assert.deepEqual({ ...received, digest: Buffer.from(received.digest) }, { total: size, digest: sha256(bytes) })
      })
    }

    it('moves both ways at once, with messages between', async () => {
      const there = randomBytes(5 * MIB)
      const back = randomBytes(3 * MIB)
      const sinkFar = new Collector()
      const sinkNear = new Collector()
      near.sendMessage(Buffer.from('first'))
      far.sendMessage(Buffer.from('welcome'))
      await Promise.all([near.send(pieces(there, 50_000)), far.receive(sinkFar, { limit: there.length }), far.send(pieces(back, 70_000)), near.receive(sinkNear, { limit: back.length })])
      near.sendMessage(Buffer.from('last'))
      assert.deepEqual(sinkFar.hash.digest(), sha256(there))
      assert.deepEqual(sinkNear.hash.digest(), sha256(back))
      assert.equal(Buffer.from(await far.readMessage()).toString(), 'first')
      assert.equal(Buffer.from(await far.readMessage()).toString(), 'last')
      assert.equal(Buffer.from(await near.readMessage()).toString(), 'welcome')
    })

    it('gives the sink no more than a chunk at a time, in order, waiting for each', async () => {
      const bytes = randomBytes(3 * MIB)
      let busy = false
      const got: Buffer[] = []
      const sink: ByteSink = {
        async write (chunk) {
          assert.equal(busy, false)
          busy = true
          await new Promise(resolve => setImmediate(resolve))
          got.push(Buffer.from(chunk))
          busy = false
        }
      }
      await Promise.all([near.send(pieces(bytes, 300_000)), far.receive(sink, { limit: bytes.length })])
      assert.deepEqual(sha256(Buffer.concat(got)), sha256(bytes))
    })

    it('hands several pieces to a sink that takes them at once', async () => {
      const bytes = randomBytes(2 * MIB)
      const hash = createHash('sha256')
      const sink: ByteSink = { async write (chunk) { hash.update(chunk) }, async writev (chunks) { for (const chunk of chunks) hash.update(chunk) } }
      await Promise.all([near.send(pieces(bytes, 10_000)), far.receive(sink, { limit: bytes.length })])
      assert.deepEqual(hash.digest(), sha256(bytes))
    })

    it('bears a writer that takes longer than the stall limit, as long as something comes', async () => {
      async function * slow (): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < 8; i++) {
          await new Promise(resolve => setTimeout(resolve, STALL_MS / 4))
          yield randomBytes(1000)
        }
      }
      const sink = new Collector()
      const { near, far } = await hasty()
      await Promise.all([near.send(slow()), far.receive(sink, { limit: 8000 })])
      assert.equal(sink.size, 8000)
    })

    it('does not take its own standstill for that of the other side', async () => {
      const bytes = randomBytes(1000)
      const gate = Promise.withResolvers<void>()
      const sink = new Collector()
      const { near, far } = await hasty()
      const receiving = far.receive(sink, { limit: bytes.length })
      const sending = near.send((async function * () {
        await gate.promise
        yield bytes
      })())
      // of this thread's standing still twice the limit is no stall; the timer that looks comes before what waits in the socket
      for (const until = performance.now() + 2 * STALL_MS; performance.now() < until;);
      setTimeout(() => { gate.resolve() })
      await Promise.all([sending, receiving])
      assert.equal(sink.size, bytes.length)
    })

    it('stalled: a sender that stops', async () => {
      let stop = (): void => {}
      async function * stuck (): AsyncGenerator<Uint8Array> {
        yield randomBytes(1000)
        await new Promise<void>(resolve => { stop = resolve })
      }
      const { near, far } = await hasty()
      const sending = near.send(stuck())
      const failed = failsWith(['reset', 'early-end'], sending)
      await failsWith('stalled', far.receive(new Collector(), { limit: 4000 }))
      await new Promise<void>(resolve => near.signal.aborted ? resolve() : near.signal.addEventListener('abort', () => resolve(), { once: true }))
      stop()
      await failed
    })

    it('stalled: a receiver that takes nothing', async () => {
      const { near, far } = await hasty()
      await failsWith('stalled', near.send([randomBytes(1000)]))
      await failsWith('reset', far.receive(new Collector(), { limit: 4000 }))
    })

    it('reset by the sender', async () => {
      const sink = new Collector()
      const receiving = failsWith('reset', far.receive(sink, { limit: 100 * MIB }))
      async function * then (): AsyncGenerator<Uint8Array> {
        yield randomBytes(MIB)
        near.abort(new TransferError('aborted', 'changed my mind'))
        yield randomBytes(MIB)
      }
      await failsWith('aborted', near.send(then()))
      await receiving
    })

    it('reset by the receiver', async () => {
      const endless = (function * () { for (;;) yield Buffer.alloc(CHUNK_BYTES) })()
      const sending = failsWith('reset', near.send(endless))
      const sink: ByteSink = { async write () { far.abort(new TransferError('aborted', 'enough')) } }
      await failsWith('aborted', far.receive(sink, { limit: 1000 * MIB }))
      await sending
    })

    it('early end: the sender closes without its marker', async () => {
      const { raw, transfer } = await byHand()
      raw.send(creditFrame(1))
      const receiving = failsWith('early-end', transfer.receive(new Collector(), { limit: 100 }))
      raw.send(header(DATA_FRAME, 10))
      raw.send(randomBytes(10))
      await raw.close()
      await receiving
    })

    it('early end: the sender closes inside a frame', async () => {
      const { raw, transfer } = await byHand()
      const receiving = failsWith('early-end', transfer.receive(new Collector(), { limit: 100 }))
      raw.send(header(DATA_FRAME, 10))
      raw.send(randomBytes(5))
      await raw.close()
      await receiving
    })

    it('early end: the receiver closes while we send', async () => {
      const endless = (function * () { for (;;) yield Buffer.alloc(CHUNK_BYTES) })()
      pair.inbound.send(creditFrame(MIB))
      const sending = failsWith(['early-end', 'reset'], near.send(endless))
      await pair.inbound.close()
      await sending
    })

    it('wrong digest, and wrong length, in the end marker', async () => {
      for (const [digest, total] of [[Buffer.alloc(32), 10], [sha256(Buffer.alloc(10)), 11]] as const) {
        const { raw, transfer } = await byHand()
        const receiving = failsWith('wrong-digest', transfer.receive(new Collector(), { limit: 100 }))
        raw.send(header(DATA_FRAME, 10))
        raw.send(Buffer.alloc(10))
        raw.send(endFrame(digest, total))
        await receiving
        // the stream lives on, so that the receiver can say what was wrong
        transfer.sendMessage(Buffer.from('wrong'))
      }
    })

    it('too long', async () => {
      const sending = near.send([randomBytes(1001)])
      await failsWith('too-long', far.receive(new Collector(), { limit: 1000 }))
      await sending
    })

    it('protocol: more than was granted', async () => {
      const { raw, transfer } = await byHand()
      const stuck = Promise.withResolvers<void>()
      const receiving = failsWith('protocol', transfer.receive({ write: () => stuck.promise }, { limit: 100 * MIB }))
      const failing = failsWith('protocol', transfer.readMessage())
      const chunk = Buffer.alloc(MIB)
      for (let sent = 0; sent <= CREDIT_BYTES && raw.status === 'open'; sent += MIB) {
        raw.send(header(DATA_FRAME, MIB))
        raw.send(chunk)
      }
      await failing
      stuck.resolve()
      await receiving
      assert.ok(transfer.bufferedMax.received <= CREDIT_BYTES)
    })

    for (const [what, bytes] of [
      ['an unknown frame', Buffer.from('0900000001ff', 'hex')],
      ['an empty data frame', Buffer.from('0200000000', 'hex')],
      ['a data frame beyond its limit', Buffer.from('0200100001', 'hex')],
      ['a message beyond its limit', Buffer.from('01ffffffff', 'hex')],
      ['a credit of another length', Buffer.from('0400000003010101', 'hex')],
      ['an end marker of another length', Buffer.from('0300000001ff', 'hex')],
      ['data without any credit', Buffer.concat([header(DATA_FRAME, 1), Buffer.alloc(1)])],
      ['data after the end', Buffer.concat([endFrame(sha256(Buffer.alloc(0)), 0), header(DATA_FRAME, 1), Buffer.alloc(1)])],
      ['a second end', Buffer.concat([endFrame(sha256(Buffer.alloc(0)), 0), endFrame(sha256(Buffer.alloc(0)), 0)])],
      ['too many messages', Buffer.concat(Array.from({ length: 9 }, () => Buffer.concat([header(MESSAGE_FRAME, 1), Buffer.alloc(1)])))]
    ] as const) {
      it(`protocol: ${what}`, async () => {
        const { raw, transfer } = await byHand()
        const closed = new Promise(resolve => transfer.signal.addEventListener('abort', resolve, { once: true }))
        raw.send(bytes)
        await closed
        assert.equal(transfer.error?.code, 'protocol')
      })
    }

    it('keeps nothing of what still comes once it is given up, and resets a stream the other side does not close', async () => {
      const { raw, transfer } = await byHand()
      const credited = new Promise(resolve => raw.addEventListener('message', resolve, { once: true }))
      const receiving = failsWith('too-long', transfer.receive(new Collector(), { limit: 10 }))
      await credited
      raw.send(header(DATA_FRAME, 100))
      raw.send(Buffer.alloc(100))
      await receiving
      const reset = new Promise(resolve => raw.addEventListener('close', resolve, { once: true }))
      const finishing = transfer.finish()
      // more messages than may wait, and more data than was granted: a fault while somebody listens
      for (let i = 0; i < 20; i++) raw.send(Buffer.concat([header(MESSAGE_FRAME, 1), Buffer.alloc(1)]))
      for (let sent = 0; sent <= CREDIT_BYTES; sent += MIB) raw.send(Buffer.concat([header(DATA_FRAME, MIB), Buffer.alloc(MIB)]))
      await finishing
      await reset
      assert.equal(transfer.error?.code, 'stalled')
      await failsWith('stalled', transfer.readMessage())
    })

    it('local: the sink fails, the source fails; a message can still say so', async () => {
      const sending = near.send(pieces(randomBytes(3 * MIB), MIB))
      const sent = sending.then(() => undefined, () => undefined)
      const sink: ByteSink = { async write () { throw new Error('disk full') } }
      const error = await failsWith('local', far.receive(sink, { limit: 3 * MIB }))
      assert.match(error.message, /disk full/)
      far.sendMessage(Buffer.from('disk full here'))
      assert.equal(Buffer.from(await near.readMessage()).toString(), 'disk full here')
      await sent
      async function * broken (): AsyncGenerator<Uint8Array> {
        yield await Promise.reject<Uint8Array>(new Error('file vanished'))
      }
      await failsWith('local', far.send(broken()))
      far.sendMessage(Buffer.from('file vanished here'))
      assert.equal(Buffer.from(await near.readMessage()).toString(), 'file vanished here')
    })

    it('aborted: our signal fires, whatever we wait for', async () => {
      for (const act of [
        (signal: AbortSignal) => near.send([randomBytes(10)], { signal }),
        (signal: AbortSignal) => near.receive(new Collector(), { limit: 10, signal }),
        (signal: AbortSignal) => near.readMessage({ signal })
      ]) {
        const controller = new AbortController()
        const acting = failsWith('aborted', act(controller.signal))
        controller.abort()
        await acting
        await failsWith('aborted', act(controller.signal))
      }
      assert.equal(near.error, undefined)
    })

    it('rejects what is still asked of a stream that has failed', async () => {
      near.abort(new TransferError('aborted', 'over'))
      await failsWith('aborted', near.readMessage())
      await failsWith('aborted', near.send([randomBytes(1)]))
      await failsWith('aborted', near.receive(new Collector(), { limit: 1 }))
      assert.ok(near.signal.aborted)
    })

    it('delivers the messages that came before the other side closed', async () => {
      far.sendMessage(Buffer.from('bye'))
      await far.close()
      await new Promise<void>(resolve => near.signal.addEventListener('abort', () => resolve(), { once: true }))
      assert.equal(Buffer.from(await near.readMessage()).toString(), 'bye')
      await failsWith('early-end', near.readMessage())
    })
  })
}
