import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import fc from 'fast-check'
import { CHUNK_BYTES, CREDIT_BYTES, WRITE_CHUNKS_MAX } from '../../../daemon/task-protocol/constants.ts'
import { Inflow } from '../../../daemon/task-protocol/inflow.ts'
import { DATA_FRAME, endFrame, header } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Transfer, type ByteSink } from '../../../daemon/task-protocol/transfer.ts'

/** The far end of a stream, spoken by hand. */
class FakeStream extends EventTarget {
  status = 'open'
  readableEnded = false
  writeBufferLength = 0
  send (): boolean { return true }
  async close (): Promise<void> { this.status = 'closed' }
  abort (): void { this.status = 'aborted' }
  hear (data: Uint8Array): void { this.dispatchEvent(Object.assign(new Event('message'), { data })) }
}

function drained (inflow: Inflow, count: number): Buffer {
  const all: Buffer[] = []
  for (let chunks = inflow.lend(count); chunks.length > 0; chunks = inflow.lend(count)) {
    assert.ok(chunks.length <= count)
    all.push(Buffer.concat(chunks))
    inflow.giveBack()
  }
  return Buffer.concat(all)
}

describe('inflow', () => {
  it('gives the bytes back in order, however they are cut, taken and kept', () => {
    const bytes = randomBytes(3 * CHUNK_BYTES)
    fc.assert(fc.property(fc.array(fc.record({ cut: fc.integer({ min: 1, max: CHUNK_BYTES * 2 }), take: fc.nat({ max: 3 }) }), { minLength: 1, maxLength: 20 }), steps => {
      const inflow = new Inflow()
      inflow.grant(bytes.length)
      const got: Buffer[] = []
      let at = 0
      for (const { cut, take } of steps) {
        inflow.push(bytes.subarray(at, at + cut))
        at = Math.min(bytes.length, at + cut)
        if (take === 0) continue
        got.push(Buffer.concat(inflow.lend(take)))
        inflow.giveBack()
      }
      got.push(drained(inflow, 2))
      assert.ok(Buffer.concat(got).equals(bytes.subarray(0, at)))
    }), { numRuns: 50 })
  })

  it('copies: neither the line nor another flow changes what waits', () => {
    const [one, two] = [new Inflow(), new Inflow()]
    one.grant(10)
    two.grant(10)
    const read = Buffer.from('0123456789')
    one.push(read)
    read.fill('x')
    const [lent] = one.lend(1)
    two.push(read)
    assert.equal(Buffer.from(lent!).toString(), '0123456789')
    one.giveBack()
    assert.equal(drained(two, 1).toString(), 'xxxxxxxxxx')
  })

  it('never uses memory again that was lent and not given back', () => {
    const failing = new Inflow()
    failing.grant(1)
    failing.push(Buffer.from('a'))
    const [held] = failing.lend(1)
    const next = new Inflow()
    next.grant(CHUNK_BYTES * 40)
    next.push(Buffer.alloc(CHUNK_BYTES * 40, 'z'))
    assert.equal(Buffer.from(held!).toString(), 'a')
  })

  it('memory is that of the bytes, rounded up to a chunk, for the smallest and the largest pieces', () => {
    for (const cut of [1, 7, 4096, CHUNK_BYTES - 1, CHUNK_BYTES + 1]) {
      const inflow = new Inflow()
      inflow.grant(CREDIT_BYTES)
      const piece = Buffer.alloc(cut)
      let sent = 0
      for (; sent < 2 * CHUNK_BYTES; sent += cut) inflow.push(piece)
      assert.deepEqual(inflow.max, { bytes: sent, memory: Math.ceil(sent / CHUNK_BYTES) * CHUNK_BYTES })
    }
  })

  it('a peer that sends a byte per frame to a sink that does not take them costs a chunk per chunk of bytes, and the sink a write per MiB', async () => {
    const stream = new FakeStream()
    const transfer = new Transfer(stream as unknown as Stream)
    const total = 5 * CHUNK_BYTES
    const free = Promise.withResolvers<void>()
    const hash = createHash('sha256')
    const writes: number[] = []
    const sink: ByteSink = {
      async write (chunk) {
        writes.push(1)
        hash.update(chunk)
        await free.promise
      },
      async writev (chunks) {
        writes.push(chunks.length)
        for (const chunk of chunks) hash.update(chunk)
      }
    }
    const receiving = transfer.receive(sink, { limit: total })
    const frame = Buffer.concat([header(DATA_FRAME, 1), Buffer.from('A')])
    stream.hear(frame)
    while (writes.length === 0) await new Promise(resolve => setImmediate(resolve))
    const read = Buffer.alloc(frame.length * 10_000, frame)
    for (let sent = 1; sent < total; sent += 10_000) stream.hear(read.subarray(0, Math.min(10_000, total - sent) * frame.length))
    assert.equal(transfer.error, undefined)
    assert.equal(transfer.bufferedMax.received, total)
    // the chunk that was lent with one byte in it, and what came since
    assert.equal(transfer.bufferedMax.memory, CHUNK_BYTES + total)
    stream.hear(endFrame(createHash('sha256').update(Buffer.alloc(total, 'A')).digest(), total))
    free.resolve()
    assert.equal((await receiving).total, total)
    assert.deepEqual(hash.digest(), createHash('sha256').update(Buffer.alloc(total, 'A')).digest())
    assert.deepEqual(writes, [1, WRITE_CHUNKS_MAX, 1])
  })
})
