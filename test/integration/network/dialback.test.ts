import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { silentLog } from '../../../daemon/log.ts'
import { DIALBACK_BYTES_MAX, DIALBACK_PER_PEER_AND_MINUTE } from '../../../daemon/network/dialback-constants.ts'
import { decodeDialbackResponse, encodeDialbackRequest, type DialbackResponse } from '../../../daemon/network/dialback-messages.ts'
import { createDialback, type Dialback, type DialbackInit } from '../../../daemon/network/dialback.ts'
import { messagesOf } from '../../../daemon/network/framing.ts'
import { startNode, type NodeOptions, type TestNode } from '../registry/node.ts'

const limit = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(10_000) })

describe('network: dial-back', () => {
  const parts = new Set<AsyncDisposable>()
  const services: Dialback[] = []

  async function node (options: NodeOptions = {}, init: DialbackInit = {}): Promise<{ node: TestNode, dialback: Dialback }> {
    const made = await startNode(options)
    parts.add(made)
    const dialback = createDialback(made.network, silentLog, init)
    await dialback.start()
    services.push(dialback)
    return { node: made, dialback }
  }

  afterEach(async () => {
    for (const service of services.splice(0)) await service.stop()
    for (const part of parts) await part[Symbol.asyncDispose]()
    parts.clear()
  })

  /** A request of one's own making over a connection that passed hello. */
  async function raw (from: TestNode, to: TestNode, addresses: string[]): Promise<DialbackResponse> {
    const { connection } = await from.network.greet(to.identity.peerId, limit())
    const stream = await connection.newStream(from.network.protocol('dialback'), limit())
    const messages = messagesOf(stream, DIALBACK_BYTES_MAX)
    await messages.write(encodeDialbackRequest({ addresses }), limit())
    const response = decodeDialbackResponse(await messages.read(limit()))
    await stream.close(limit())
    return response
  }

  it('tells whether a neighbour gets through, and what its clock shows, over a connection of its own', async () => {
    const a = await node()
    const b = await node({ bootstrap: [a.node.address] }, { now: () => Date.now() + 90_000 })
    await a.node.network.libp2p.dial(multiaddr(b.node.address), limit())
    const connections = a.node.network.libp2p.getConnections().length
    const { peer, answers, observed, clockAheadMs, failure } = await a.dialback.ask(b.node.identity.peerId, limit())
    assert.deepEqual([failure, peer], [undefined, b.node.identity.peerId.toString()])
    assert.match(observed, /^\/ip4\/127\.0\.0\.1\/tcp\//)
    assert.deepEqual(answers, [{ address: a.node.address, outcome: 'reachable', reason: '' }])
    assert.ok(clockAheadMs != null && clockAheadMs >= 90_000 && clockAheadMs < 100_000, String(clockAheadMs))
    // The connection that was tried is no connection of libp2p's, at neither end.
    assert.equal(a.node.network.libp2p.getConnections().length, connections)
    assert.equal(b.node.network.peers().length, 1)
  })

  it('finds a closed port, and dials nobody but the asking IP address', async () => {
    const victim = createServer(() => { assert.fail('the victim was dialled') }).listen(0, '127.0.0.2')
    await once(victim, 'listening')
    try {
      const a = await node()
      const b = await node({ bootstrap: [a.node.address] })
      const closed = await closedPort()
      const { outcomes, status } = await raw(b.node, a.node, [`/ip4/127.0.0.1/tcp/${closed}`, `/ip4/127.0.0.2/tcp/${(victim.address() as AddressInfo).port}`, '/dns4/localhost/tcp/1', b.node.address])
      assert.equal(status, 0)
      assert.deepEqual(outcomes.map(({ outcome }) => outcome), ['refused', 'not-tried', 'not-tried', 'reachable'])
      assert.match(outcomes[1]?.reason ?? '', /another IP address than 127\.0\.0\.1/)
    } finally {
      victim.close()
      await once(victim, 'close')
    }
  })

  it('asks for the IP address it is seen at where it listens on none such', async () => {
    const a = await node()
    const b = await node({ bootstrap: [a.node.address], listen: ['/ip4/127.0.0.3/tcp/0'] })
    await b.node.network.greet(a.node.identity.peerId, limit())
    const { answers } = await b.dialback.ask(a.node.identity.peerId, limit())
    assert.deepEqual(answers.map(({ outcome }) => outcome), ['not-tried', 'refused'])
    assert.match(answers[1]?.address ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/)
  })

  it('serves a peer a few times per minute only', async () => {
    const a = await node()
    const b = await node({ bootstrap: [a.node.address] })
    for (let i = 0; i < DIALBACK_PER_PEER_AND_MINUTE; i++) await raw(b.node, a.node, [])
    // The minute may have passed in between, once.
    const later = [await b.dialback.ask(a.node.identity.peerId, limit())]
    for (let i = 0; i < DIALBACK_PER_PEER_AND_MINUTE && later.at(-1)?.failure == null; i++) later.push(await b.dialback.ask(a.node.identity.peerId, limit()))
    assert.match(later.at(-1)?.failure ?? '', /it is busy: more than \d+ requests per minute/)
  })

  it('says why there is no answer, and never rejects', async () => {
    const a = await node()
    const old = await startNode({ bootstrap: [a.node.address] })
    parts.add(old)
    await old.network.greet(a.node.identity.peerId, limit())
    const unknowing = await a.dialback.ask(old.identity.peerId, limit())
    assert.match(unknowing.failure ?? '', /older version/)
    await old.stop()
    const gone = await a.dialback.ask(old.identity.peerId, limit())
    assert.notEqual(gone.failure ?? '', '')
    assert.deepEqual(gone.answers, [])
    const aborted = await a.dialback.ask(old.identity.peerId, { signal: AbortSignal.abort(new Error('enough')) })
    assert.match(aborted.failure ?? '', /enough/)
  })

  it('is not served before hello, and resets what is no request', async () => {
    const secret = new Uint8Array(32).fill(7)
    const a = await node({ secret })
    const stranger = await startNode({})
    parts.add(stranger)
    const connection = await stranger.network.libp2p.dial(multiaddr(a.node.address), limit())
    const asked = async (): Promise<DialbackResponse> => {
      const stream = await connection.newStream(a.node.network.protocol('dialback'), limit())
      const messages = messagesOf(stream, DIALBACK_BYTES_MAX)
      await messages.write(encodeDialbackRequest({ addresses: [] }), limit())
      return decodeDialbackResponse(await messages.read(limit()))
    }
    await assert.rejects(asked())
    const b = await node({ secret, bootstrap: [a.node.address] })
    const { connection: member } = await b.node.network.greet(a.node.identity.peerId, limit())
    const stream = await member.newStream(a.node.network.protocol('dialback'), limit())
    const messages = messagesOf(stream, DIALBACK_BYTES_MAX)
    await messages.write(Uint8Array.of(10, 200, 1), limit())
    await assert.rejects(messages.read(limit()))
    // And goes on serving.
    assert.equal((await b.dialback.ask(a.node.identity.peerId, limit())).failure, undefined)
  })
})

async function closedPort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
