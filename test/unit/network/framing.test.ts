import assert from 'node:assert/strict'
import type { Stream } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import fc from 'fast-check'
import { guardLengths, messagesOf } from '../../../daemon/network/framing.ts'
import { format } from '../../../daemon/network/logger.ts'
import { pause, settledOrAborted } from '../../../daemon/network/wait.ts'

const signal = (): AbortSignal => AbortSignal.timeout(5000)

describe('network: framing', () => {
  it('carries messages up to the limit', async () => {
    const [a, b] = await streamPair()
    const [out, into] = [messagesOf(a, 1000), messagesOf(b, 1000)]
    await out.write(new Uint8Array(), { signal: signal() })
    await out.write(new Uint8Array(1000).fill(7), { signal: signal() })
    assert.equal((await into.read({ signal: signal() })).byteLength, 0)
    assert.deepEqual(await into.read({ signal: signal() }), new Uint8Array(1000).fill(7))
    await out.write(new Uint8Array(1001), { signal: signal() })
    await assert.rejects(into.read({ signal: signal() }), { name: 'InvalidDataLengthError' })
  })

  it('gives up on a length that does not end, an early end, and silence', async () => {
    const [a, b] = await streamPair()
    const into = messagesOf(b, 1000)
    a.send(new Uint8Array(100).fill(0xff))
    await assert.rejects(into.read({ signal: signal() }), { name: 'MessageLengthError' })
    const [c, d] = await streamPair()
    const next = messagesOf(d, 1000)
    c.send(Uint8Array.of(10, 1, 2))
    await c.close()
    await assert.rejects(next.read({ signal: signal() }), { name: 'UnexpectedEOFError' })
    const [, f] = await streamPair()
    await assert.rejects(messagesOf(f, 1000).read({ signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' })
  })
})

describe('network: guard of others\' streams', () => {
  /** A stream as far as the guard looks at it. */
  class FakeStream extends EventTarget {
    aborted: Error | undefined
    abort (error: Error): void { this.aborted ??= error }
    receive (data: Uint8Array): void { this.dispatchEvent(Object.assign(new Event('message'), { data })) }
  }

  const guarded = (max: number): FakeStream => {
    const stream = new FakeStream()
    guardLengths(stream as unknown as Stream, max)
    return stream
  }

  it('lets messages within the limit pass, however they are cut', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.integer({ min: 1, max: 50 }), (messages, cut) => {
      const stream = guarded(300)
      const all = messages.flatMap(message => [...message.length < 128 ? [message.length] : [(message.length & 0x7f) | 0x80, message.length >> 7], ...message])
      for (let at = 0; at < all.length; at += cut) stream.receive(Uint8Array.from(all.slice(at, at + cut)))
      assert.equal(stream.aborted, undefined)
    }))
  })

  it('resets on a length beyond the limit or without end', () => {
    const long = guarded(300)
    long.receive(Uint8Array.of(0xac))
    long.receive(Uint8Array.of(0x02, 1))
    assert.equal(long.aborted, undefined)
    const longer = guarded(300)
    longer.receive(Uint8Array.of(0xad, 0x02))
    assert.equal(longer.aborted?.name, 'MessageLengthError')
    const endless = guarded(300)
    endless.receive(new Uint8Array(4).fill(0xff))
    assert.equal(endless.aborted?.name, 'MessageLengthError')
  })
})

describe('network: small things', () => {
  it('formats libp2p\'s log messages', () => {
    assert.equal(format('%p said %s %d%% %e', ['peer', 'x', 5, new TypeError('no')]), 'peer said x 5% TypeError: no')
    assert.equal(format('%b %c', [Uint8Array.of(255)]), 'ff %c')
    assert.equal(format(new Error('boom'), ['more']), 'Error: boom more')
  })

  it('waits no longer than its signal', async () => {
    const never = new Promise<never>(() => {})
    await assert.rejects(settledOrAborted(never, AbortSignal.timeout(5)), { name: 'TimeoutError' })
    await assert.rejects(settledOrAborted(never, AbortSignal.abort(new Error('gone'))), /gone/)
    assert.equal(await settledOrAborted(Promise.resolve(1), signal()), 1)
    await assert.rejects(settledOrAborted(Promise.reject(new Error('no')), signal()), /no/)
    const stop = new AbortController()
    const paused = pause(60_000, stop.signal)
    stop.abort()
    await paused
  })
})
