import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { streamPair } from '@libp2p/utils'
import { pEvent } from 'p-event'
import fc from 'fast-check'
import { FRAME_BYTES_MAX } from '../../../daemon/task-protocol/constants.ts'
import { ProtocolError } from '../../../daemon/task-protocol/errors.ts'
import { FrameParser, FrameStream, type FrameHandlers } from '../../../daemon/task-protocol/frames.ts'
import { leaseMessage, type LeaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { Writer } from '../../../daemon/task-protocol/wire.ts'
import { plain } from './vector.ts'

function frame (body: Uint8Array): Uint8Array {
  const writer = new Writer()
  writer.bytes(body)
  return writer.take()
}

function parse (bytes: Uint8Array, cuts: number[], max = 1 << 20): { frames: string[], partial: boolean } {
  const frames: string[] = []
  const parser = new FrameParser(max, (buffer, at, end) => { frames.push(Buffer.from(buffer.subarray(at, end)).toString('hex')) })
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const step = cuts.length === 0 ? bytes.length : cuts[i % cuts.length]!
    parser.push(bytes.subarray(at, at + step))
    at += step
  }
  return { frames, partial: parser.partial }
}

describe('frames', () => {
  it('are found again however the bytes are cut', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 9 }), (bodies, cuts) => {
      const { frames, partial } = parse(Buffer.concat(bodies.map(frame)), cuts)
      assert.deepEqual(frames, bodies.map(body => Buffer.from(body).toString('hex')))
      assert.equal(partial, false)
    }))
  })

  it('know when a stream stops in the middle of one', () => {
    const bytes = frame(randomBytes(300))
    for (const length of [1, 2, 100, 301]) assert.equal(parse(bytes.subarray(0, length), []).partial, true)
    assert.equal(parse(bytes, []).partial, false)
  })

  const bad: Array<[string, string, string]> = [
    ['longer than allowed', '8108', 'too-large'],
    ['of a length that never ends', 'ffffffffffffff', 'too-large'],
    ['of no bytes', '00', 'malformed'],
    ['with a length longer than needed', '8100', 'malformed']
  ]
  for (const [what, hex, code] of bad) {
    it(`are refused when ${what}`, () => {
      for (const cuts of [[], [1]]) assert.throws(() => parse(Buffer.from(hex, 'hex'), cuts, 1024), error => error instanceof ProtocolError && error.code === code)
    })
  }

  it('refuse a length of zeroes in endless bytes', () => {
    assert.throws(() => parse(Buffer.from('808080808080', 'hex'), []), ProtocolError)
  })

  describe('on a stream', () => {
    class Side {
      readonly messages: LeaseMessage[] = []
      readonly closed = Promise.withResolvers<Error | undefined>()
      readonly frames: FrameStream<LeaseMessage>
      private readonly arrived = new EventTarget()

      constructor (stream: ConstructorParameters<typeof FrameStream>[0], handlers: Partial<FrameHandlers<LeaseMessage>> = {}, writeBytes?: number) {
        this.frames = new FrameStream(stream, leaseMessage, { frameBytes: FRAME_BYTES_MAX, writeBytes }, {
          onMessage: message => {
            this.messages.push(message)
            this.arrived.dispatchEvent(new Event('message'))
          },
          onClose: error => { this.closed.resolve(error) },
          ...handlers
        })
      }

      async count (n: number): Promise<void> {
        while (this.messages.length < n) await pEvent(this.arrived, 'message')
      }
    }

    async function pair (): Promise<[Side, Side]> {
      const [a, b] = await streamPair()
      return [new Side(a), new Side(b)]
    }

    it('carry messages both ways, in order', async () => {
      const [a, b] = await pair()
      const sent: LeaseMessage[] = Array.from({ length: 500 }, (_, sequence) => ({ type: 'ack', sequence }))
      for (const message of sent) a.frames.send(message)
      b.frames.send({ type: 'withdraw', offer: 3 })
      await b.count(500)
      await a.count(1)
      assert.deepEqual(b.messages.map(plain), sent)
      assert.deepEqual(a.messages.map(plain), [{ type: 'withdraw', offer: 3 }])
    })

    it('gather what one tick sends into one write, what its microtasks send too', async () => {
      const [stream] = await streamPair()
      let sends = 0
      const send = stream.send.bind(stream)
      stream.send = data => {
        sends++
        return send(data)
      }
      const side = new Side(stream)
      for (let sequence = 0; sequence < 10; sequence++) side.frames.send({ type: 'ack', sequence })
      await Promise.resolve()
      await Promise.resolve()
      side.frames.send({ type: 'ack', sequence: 10 })
      await new Promise(resolve => setImmediate(resolve))
      assert.equal(sends, 1)
      side.frames.send({ type: 'ack', sequence: 11 })
      await new Promise(resolve => setImmediate(resolve))
      assert.equal(sends, 2)
    })

    it('deliver what arrived before anybody listened', async () => {
      const [a, b] = await streamPair()
      const side = new Side(a)
      side.frames.send({ type: 'ack', sequence: 1 })
      while (b.readBufferLength === 0) await new Promise(resolve => setImmediate(resolve))
      const late = new Side(b)
      await late.count(1)
    })

    it('end on both sides when one closes in good order', async () => {
      const [a, b] = await pair()
      a.frames.send({ type: 'ack', sequence: 1 })
      a.frames.close()
      assert.equal(await a.closed.promise, undefined)
      assert.equal(await b.closed.promise, undefined)
      assert.equal(b.messages.length, 1)
      b.frames.send({ type: 'ack', sequence: 2 }) // does nothing, and does not throw
    })

    it('end with an error when the other side resets', async () => {
      const [a, b] = await pair()
      a.frames.abort(new Error('enough'))
      assert.match(String(await a.closed.promise), /enough/)
      assert.ok(await b.closed.promise instanceof Error)
    })

    it('end although the stream was over before anybody listened', async () => {
      const [a, b] = await streamPair()
      const reset = new Promise(resolve => b.addEventListener('close', resolve, { once: true }))
      a.abort(new Error('gone already'))
      await reset
      assert.ok(await new Side(b).closed.promise instanceof Error)
      assert.ok(await new Side(a).closed.promise instanceof Error)
    })

    it('end with a ProtocolError when the stream stops inside a frame', async () => {
      const [a, b] = await streamPair()
      const side = new Side(b)
      a.send(frame(leaseMessage.encode({ type: 'ack', sequence: 300 })).subarray(0, 3))
      await a.close()
      const error = await side.closed.promise
      assert.ok(error instanceof ProtocolError && error.code === 'truncated')
    })

    it('are aborted by bytes that are no message, and by a handler that throws', async () => {
      const [a, b] = await streamPair()
      const side = new Side(b)
      a.send(Buffer.from('0501ff', 'hex'))
      a.send(Buffer.from('0102030405', 'hex'))
      assert.ok(await side.closed.promise instanceof ProtocolError)
      const [c, d] = await streamPair()
      const thrower = new Side(d, { onMessage () { throw new Error('no') } })
      new Side(c).frames.send({ type: 'ack', sequence: 1 })
      assert.match(String(await thrower.closed.promise), /no/)
    })

    it('deliver nothing after an abort in the middle of one read', async () => {
      const [a, b] = await streamPair()
      let seen = 0
      const side: Side = new Side(b, {
        onMessage () {
          seen++
          side.frames.abort(new Error('one is enough'))
        }
      })
      const sender = new Side(a)
      for (let sequence = 0; sequence < 5; sequence++) sender.frames.send({ type: 'ack', sequence })
      await side.closed.promise
      await sender.closed.promise
      assert.equal(seen, 1)
    })

    it('end the stream, not the process, on a message beyond its own limits', async () => {
      const [a, b] = await pair()
      a.frames.send({ type: 'ack', sequence: -1 })
      assert.ok(await a.closed.promise instanceof ProtocolError)
      assert.ok(await b.closed.promise instanceof Error)
    })

    it('cut off a peer that does not read', async () => {
      const [a] = await streamPair({ capacity: 1 })
      const side = new Side(a, {}, 100_000)
      const bytes = randomBytes(60_000)
      const send = (): void => { side.frames.send({ type: 'orders', signature: Buffer.alloc(64), orders: [{ offer: 1, block: 1, attempt: 1, size: bytes.length, digest: Buffer.alloc(32), bytes }] }) }
      a.writableNeedsDrain = true
      for (let i = 0; i < 4; i++) send()
      assert.match(String(await side.closed.promise), /does not read/)
    })
  })
})
