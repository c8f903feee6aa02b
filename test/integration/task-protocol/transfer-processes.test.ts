import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { CHUNK_BYTES, CREDIT_BYTES, WRITE_BUFFER_BYTES } from '../../../daemon/task-protocol/constants.ts'
import { Transfer, type ByteSink } from '../../../daemon/task-protocol/transfer.ts'
import { multiaddr, plainNetwork, streamPair, type PlainNetwork } from '../../fixtures/plain-network.ts'
import { peerProcess } from './child.ts'
import { failsWith, MIB, pieces } from './transfer-kit.ts'

/** Milliseconds between looks at a sender, and how often in a row it must not have gone on to stand still. */
const LOOK_MS = 20
const STILL_LOOKS = 50

describe('transfer, between processes', () => {
  let a: PlainNetwork

  before(async () => { a = await plainNetwork({ transport: 'tcp' }) })
  after(async () => { await a.stop() })

  for (const role of ['sender', 'receiver'] as const) {
    it(`a ${role} killed in the middle is a typed failure`, async () => {
      const peer = await peerProcess(role)
      try {
        const connection = await a.libp2p.dial(multiaddr(peer.address))
        const transfer = new Transfer(await connection.newStream('/test/endless/1.0.0'), { connection })
        let moved = 0
        const halfway = Promise.withResolvers<void>()
        const count = (chunk: Uint8Array): void => {
          moved += chunk.length
          if (moved > 20 * MIB) halfway.resolve()
        }
        const acting = failsWith(['early-end', 'reset'], role === 'sender'
          ? transfer.receive({ async write (chunk) { count(chunk) } }, { limit: Number.MAX_SAFE_INTEGER })
          : transfer.send((function * () { for (;;) yield Buffer.alloc(CHUNK_BYTES) })(), { tap: count }))
        await halfway.promise
        await peer.kill()
        await acting
      } finally {
        await peer.kill()
      }
    })
  }

  it('many times the credit against a reader that pauses until the sender stands still: both buffers stay within their bounds', async () => {
    const b = await plainNetwork({ transport: 'tcp' })
    try {
      const { outbound, inbound, connection, remote } = await streamPair(a, b)
      const near = new Transfer(outbound, { connection })
      const far = new Transfer(inbound, { connection: remote })
      const block = randomBytes(4 * MIB)
      const total = 6 * CREDIT_BYTES
      function * source (): Generator<Uint8Array> {
        let left = total
        while (left > 0) {
          for (const piece of pieces(block, CHUNK_BYTES)) {
            if (left === 0) return
            yield piece.subarray(0, Math.min(left, piece.length))
            left -= Math.min(left, piece.length)
          }
        }
      }
      let taken = 0
      let paused = false
      let sentWhilePaused = 0
      let sent = 0
      const sink: ByteSink = {
        async write (chunk) {
          taken += chunk.length
          if (paused || taken < 2 * CREDIT_BYTES) return
          paused = true
          // Until nothing has been sent for a good while: what is under way has arrived then, however slow the machine.
          for (let still = 0, before = -1; still < STILL_LOOKS || far.bufferedMax.received <= CREDIT_BYTES / 2; still = sent === before ? still + 1 : 0) {
            before = sent
            await new Promise(resolve => setTimeout(resolve, LOOK_MS))
          }
          sentWhilePaused = sent - taken
        }
      }
      const [flow] = await Promise.all([near.send(source(), { tap: chunk => { sent += chunk.length } }), far.receive(sink, { limit: total })])
      assert.equal(flow.total, total)
      assert.equal(taken, total)
      assert.ok(paused)
      // one read may come on top of what the sink is at
      assert.ok(far.bufferedMax.received <= CREDIT_BYTES, `receiver held ${far.bufferedMax.received}`)
      assert.ok(far.bufferedMax.received > CREDIT_BYTES / 2, `the pause filled the receiver only to ${far.bufferedMax.received}`)
      assert.ok(near.bufferedMax.sent <= WRITE_BUFFER_BYTES + CHUNK_BYTES + 5, `sender queued ${near.bufferedMax.sent}`)
      assert.ok(sentWhilePaused <= CREDIT_BYTES + CHUNK_BYTES, `${sentWhilePaused} bytes were ahead of the sink after the pause`)
    } finally {
      await b.stop()
    }
  }).timeout(60_000)
})
