import assert from 'node:assert/strict'
import type { Connection, Stream } from '@libp2p/interface'
import { silentLog } from '../../../daemon/log.ts'
import { PING } from '../../../daemon/network/constants.ts'
import { Prober } from '../../../daemon/network/probe.ts'
import { plainNetwork, type PlainNetwork } from '../../fixtures/plain-network.ts'

describe('network: probes of connections', () => {
  const ends: Array<() => Promise<void>> = []

  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  /** A connection to a node that treats pings like this, and probes on it. */
  async function probed (onPing: ((stream: Stream) => void) | undefined, init: { intervalMs: number, timeoutMs: number }): Promise<{ connection: Connection, far: PlainNetwork }> {
    const [near, far] = [await plainNetwork({ transport: 'tcp' }), await plainNetwork({ transport: 'tcp' })]
    ends.push(async () => { await near.stop() }, async () => { await far.stop() })
    if (onPing != null) await far.libp2p.handle(PING, onPing, { maxInboundStreams: 64 })
    near.knows(far)
    const { connection } = await near.greet(far.identity.peerId, { signal: AbortSignal.timeout(10_000) })
    const prober = new Prober({ connections: () => [connection], log: silentLog }, init)
    prober.start()
    ends.push(async () => { await prober.stop() })
    return { connection, far }
  }

  it('keeps a connection whose other end answers by resetting the stream, closing it or echoing', async () => {
    const treatments = [
      (stream: Stream): void => { stream.abort(new Error('busy')) },
      (stream: Stream): void => { void stream.close() },
      (stream: Stream): void => { stream.addEventListener('message', ({ data }) => { stream.send(data) }) }
    ]
    for (const treatment of treatments) {
      let pings = 0
      const thrice = Promise.withResolvers<void>()
      const { connection } = await probed(stream => {
        treatment(stream)
        if (++pings === 3) thrice.resolve()
      }, { intervalMs: 5, timeoutMs: 10_000 })
      await thrice.promise
      assert.equal(connection.status, 'open')
    }
  })

  it('lets go of one whose other end says nothing', async () => {
    const { connection } = await probed(() => {}, { intervalMs: 5, timeoutMs: 50 })
    const closed = Promise.withResolvers<unknown>()
    connection.addEventListener('close', event => { closed.resolve((event as Event & { error?: Error }).error?.message) })
    await closed.promise
    assert.notEqual(connection.status, 'open')
  })
})
