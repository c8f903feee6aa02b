import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, PeerId, PrivateKey, Stream, StreamHandler } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { silentLog } from '../../../daemon/log.ts'
import { leaseMessage } from '../../../daemon/task-protocol/messages.ts'
import { createTaskServer, type TaskServer } from '../../../daemon/task-protocol/index.ts'

/** The requester's end of a lease stream, spoken by hand. */
class FakeStream extends EventTarget {
  status = 'open'
  readableEnded = false
  writeBufferLength = 0
  sent = 0
  send (): boolean {
    this.sent++
    return true
  }

  async close (): Promise<void> { this.status = 'closed' }
  abort (error: Error): void { this.over('aborted', error) }
  over (status: string, error: Error): void {
    this.status = status
    this.dispatchEvent(Object.assign(new Event('close'), { error }))
  }

  request (counter: number): void {
    const body = leaseMessage.encode({ type: 'request', incarnation: 1, counter })
    this.dispatchEvent(Object.assign(new Event('message'), { data: Buffer.concat([Uint8Array.of(body.length), body]) }))
  }
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('lease server', () => {
  let key: PrivateKey
  let server: TaskServer
  const handlers: StreamHandler[] = []
  const hellos = new Map<Connection, PromiseWithResolvers<void>>()

  before(async () => { key = await generateKeyPair('Ed25519') })

  beforeEach(async () => {
    handlers.length = 0
    const network = {
      protocol: (name: string) => name,
      requireGreeted: (connection: Connection) => hellos.get(connection)!.promise,
      libp2p: { handle: async (_: string, handler: StreamHandler) => { handlers.push(handler) }, unhandle: async () => {} }
    }
    const executor = { slots: 1, run: () => assert.fail(), runInline: () => assert.fail(), workspace: () => assert.fail() }
    server = createTaskServer({ network: network as never, executor: executor as never, converters: { find: () => undefined }, identity: { nodeKey: key, peerId: peerIdFromPrivateKey(key) }, loopDelay: { worst: () => 0 }, log: silentLog }, { maxLeases: 1 })
    await server.start()
  })

  afterEach(async () => { await server.stop() })

  function connect (remotePeer: PeerId): { stream: FakeStream, hello: PromiseWithResolvers<void> } {
    const stream = new FakeStream()
    const connection = { remotePeer } as unknown as Connection
    const hello = Promise.withResolvers<void>()
    hellos.set(connection, hello)
    void handlers[0]!(stream as unknown as Stream, connection)
    return { stream, hello }
  }

  it('grants nothing on a stream that was reset during hello: such a lease would never end', async () => {
    const peer = peerIdFromPrivateKey(key)
    const { stream, hello } = connect(peer)
    stream.request(1)
    stream.over('reset', new Error('reset by the requester'))
    hello.resolve()
    await settled()
    assert.equal(server.load().leases, 0)
    assert.equal(stream.sent, 0)
    const stranger = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const other = connect(stranger)
    other.hello.resolve()
    other.stream.request(1)
    await settled()
    assert.equal(server.load().leases, 1, 'the only lease there may be is free')
    other.stream.over('reset', new Error('reset by the requester'))
    assert.equal(server.load().leases, 0)
  })

  it('a hello that fails does not take the peer from another connection that is being served', async () => {
    const peer = peerIdFromPrivateKey(key)
    const good = connect(peer)
    const bad = connect(peer)
    good.hello.resolve()
    await settled()
    bad.hello.reject(new Error('no hello'))
    await settled()
    assert.equal(bad.stream.status, 'aborted')
    good.stream.request(1)
    await settled()
    assert.equal(server.load().leases, 1)
    good.stream.over('reset', new Error('reset by the requester'))
    assert.equal(server.load().leases, 0)
  })
})
