import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PrivateKey, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { HELLO_BYTES_MAX, PEER_CONNECTIONS_MAX, STREAM_WINDOW_INITIAL_BYTES } from '../../../daemon/network/constants.ts'
import { decodeVerdict, encodeHello, encodeVerdict, VERDICT, type Hello } from '../../../daemon/network/messages.ts'
import { encodeCanonical, DAG_CBOR_PAYLOAD, didOf, loadOrCreateIdentity, seal } from '../../../daemon/trust/index.ts'
import { eventually, NETWORK, startNode, type TestNode } from '../registry/node.ts'

const HELLO = `/weft/${NETWORK}/hello/1.0.0`
const KAD = `/weft/${NETWORK}/kad/1.0.0`
const ADVERT = `/weft/${NETWORK}/advert/1.0.0`

/** A libp2p peer that speaks only what a test makes it say. */
interface Stranger extends AsyncDisposable { host: Libp2p, key: PrivateKey }

async function stranger (options: { key?: PrivateKey, encrypter?: typeof tls | typeof noise, listen?: boolean } = {}): Promise<Stranger> {
  const key = options.key ?? await generateKeyPair('Ed25519')
  const host = await createLibp2p({
    privateKey: key,
    addresses: { listen: options.listen === true ? ['/ip4/127.0.0.1/tcp/0'] : [] },
    transports: [tcp()],
    connectionEncrypters: [(options.encrypter ?? tls)()],
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES } })],
    connectionMonitor: { enabled: false },
    services: { identify: identify() }
  })
  return { host, key, [Symbol.asyncDispose]: async () => { await host.stop() } }
}

async function delegationFor (key: PrivateKey, peer = peerIdFromPrivateKey(key).toString()): Promise<Uint8Array> {
  const now = Date.now()
  return await seal(key, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(key.publicKey), peer, issued: now, expires: now + 60_000 }))
}

async function helloOf (key: PrivateKey, fields: Partial<Hello> = {}): Promise<Hello> {
  return { version: 1, network: NETWORK, agent: 'stranger', roles: [], nonce: randomBytes(32), delegation: await delegationFor(key), ...fields }
}

async function dial (from: Stranger, to: TestNode): Promise<Connection> {
  return await from.host.dial(multiaddr(to.address))
}

/** Says hello and returns the other side's verdict. */
async function sayHello (connection: Connection, hello: Hello): Promise<{ code: number, reason: string }> {
  const signal = AbortSignal.timeout(5000)
  const messages = lpStream(await connection.newStream(HELLO, { signal }), { maxDataLength: HELLO_BYTES_MAX })
  await messages.write(encodeHello(hello), { signal })
  await messages.read({ signal })
  const verdict = decodeVerdict((await messages.read({ signal })).subarray())
  await messages.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: new Uint8Array() }), { signal })
  return verdict
}

/** Opens a stream, sends bytes, and resolves to what comes back before the stream ends. */
async function probe (connection: Connection, protocol: string, bytes: Uint8Array): Promise<number> {
  let received = 0
  let stream: Stream
  try {
    stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) })
  } catch {
    return 0
  }
  stream.addEventListener('message', ({ data }) => { received += data.byteLength })
  const closed = pEvent(stream, 'close', { signal: AbortSignal.timeout(5000) })
  stream.send(bytes)
  await closed
  return received
}

async function closedWithin (connection: Connection, ms: number): Promise<void> {
  if (connection.status === 'open') await pEvent(connection, 'close', { timeout: ms })
}

/** kad-dht's FIND_NODE for a key, length-prefixed. */
const FIND_NODE = Uint8Array.of(6, 0x08, 0x04, 0x12, 0x02, 0x01, 0x02)
/** advert/1.0.0: ask. */
const ASK = Uint8Array.of(2, 0x08, 0x00)

describe('integration: hello', () => {
  it('greets both ways, tells who is there, and says when the last connection closed', async () => {
    await using a = await startNode({ roles: ['worker'] })
    await using b = await startNode({ bootstrap: [a.address] })
    const seenByB = await eventually('b greets a', b.network.events, ['peer'], () => b.network.peers()[0])
    assert.ok(seenByB.peer.equals(a.identity.peerId))
    assert.equal(seenByB.hello.network, NETWORK)
    assert.deepEqual(seenByB.hello.roles, ['worker'])
    assert.equal(seenByB.hello.operator, a.identity.operator)
    const seenByA = await eventually('a greets b', a.network.events, ['peer'], () => a.network.peers()[0])
    await a.network.requireGreeted(seenByA.connection)
    const gone = pEvent(a.network.events as EventTarget, 'gone', { timeout: 5000 })
    await b.stop()
    assert.ok(((await gone) as CustomEvent<{ peer: unknown }>).detail.peer?.toString() === b.identity.peerId.toString())
    assert.deepEqual(a.network.peers(), [])
    await assert.rejects(a.network.requireGreeted(seenByA.connection), { name: 'HelloError', code: 'closed' })
  })

  it('works over the transport within one process', async () => {
    await using a = await startNode({ listen: ['/memory/hello-a'] })
    await using b = await startNode({ listen: ['/memory/hello-b'], bootstrap: ['/memory/hello-a'] })
    await eventually('both greet', b.network.events, ['peer'], () => b.network.peers()[0])
    await eventually('both greet', a.network.events, ['peer'], () => a.network.peers()[0])
  })

  it('serves no DHT and no advert stream to a peer that never says hello, and closes the connection', async () => {
    await using a = await startNode({ helloTimeoutMs: 400 })
    await using other = await stranger()
    const connection = await dial(other, a)
    const started = performance.now()
    const [dht, advert] = await Promise.all([probe(connection, KAD, FIND_NODE), probe(connection, ADVERT, ASK), closedWithin(connection, 5000)])
    assert.deepEqual([dht, advert], [0, 0])
    assert.ok(performance.now() - started >= 350, 'it had its time')
    assert.deepEqual(a.network.peers(), [])
  })

  it('serves them to the same peer once it said hello', async () => {
    await using a = await startNode()
    await using other = await stranger()
    const connection = await dial(other, a)
    const early = lpStream(await connection.newStream(ADVERT))
    await early.write(ASK.subarray(1))
    assert.equal((await sayHello(connection, await helloOf(other.key))).code, VERDICT.ok)
    assert.ok((await early.read({ signal: AbortSignal.timeout(5000) })).byteLength > 0)
    const messages = lpStream(await connection.newStream(KAD))
    await messages.write(FIND_NODE.subarray(1))
    assert.ok((await messages.read({ signal: AbortSignal.timeout(5000) })).byteLength > 0)
    assert.equal(a.network.peers().length, 1)
  })

  for (const [what, bytes] of [
    ['a length without end', new Uint8Array(1000).fill(0xff)],
    ['a length beyond any message', Uint8Array.of(0xff, 0xff, 0x7f, 1)]
  ] as Array<[string, Uint8Array]>) {
    it(`resets the DHT stream of a member that sends ${what}`, async () => {
      await using a = await startNode()
      await using other = await stranger()
      const connection = await dial(other, a)
      await sayHello(connection, await helloOf(other.key))
      assert.equal(await probe(connection, KAD, bytes), 0)
      assert.equal(connection.status, 'open')
    })
  }

  it('lets only a few streams wait for hello', async () => {
    await using a = await startNode({ helloTimeoutMs: 2000 })
    await using other = await stranger()
    const connection = await dial(other, a)
    const kad = await Promise.all(Array.from({ length: 16 }, async () => await connection.newStream(KAD)))
    const ended = Promise.any([...kad, ...await Promise.all(Array.from({ length: 4 }, async () => await connection.newStream(ADVERT)))].map(async stream => { await pEvent(stream, 'close', { timeout: 1500 }) }))
    await ended
    assert.equal(connection.status, 'open')
  })

  describe('of peers that are refused', () => {
    let a: TestNode

    before(async () => { a = await startNode() })
    after(async () => { await a[Symbol.asyncDispose]() })

    for (const [what, fields, code, reason] of [
      ['another network', { network: 'other' }, VERDICT.network, /network other/],
      ['another version', { version: 2 }, VERDICT.version, /version 2/],
      ['no delegation', { delegation: new Uint8Array() }, VERDICT.delegation, /delegation/],
      ['a nonce of the wrong size', { nonce: new Uint8Array(5) }, VERDICT.malformed, /nonce/],
      ['control characters in its agent', { agent: 'a\u001b[2J' }, VERDICT.malformed, /control/]
    ] as Array<[string, Partial<Hello>, number, RegExp]>) {
      it(`refuses a peer with ${what}, tells it why and disconnects`, async () => {
        await using other = await stranger()
        const connection = await dial(other, a)
        const verdict = await sayHello(connection, await helloOf(other.key, fields))
        assert.equal(verdict.code, code)
        assert.match(verdict.reason, reason)
        await closedWithin(connection, 3000)
        assert.deepEqual(a.network.peers(), [])
      })
    }

    it('refuses the delegation of somebody else', async () => {
      await using other = await stranger()
      const victim = await generateKeyPair('Ed25519')
      const connection = await dial(other, a)
      assert.equal((await sayHello(connection, await helloOf(other.key, { delegation: await delegationFor(victim) }))).code, VERDICT.delegation)
      await closedWithin(connection, 3000)
    })

    for (const [what, bytes] of [
      ['more bytes than a hello has', Uint8Array.of(0xff, 0xff, 0x7f, 1, 2, 3)],
      ['a message longer than its limit', Uint8Array.from([0x81, 0x20, ...new Uint8Array(4097)])],
      ['what is no hello', Uint8Array.of(3, 0xff, 0xff, 0xff)],
      ['a length without end', new Uint8Array(20).fill(0xff)]
    ] as Array<[string, Uint8Array]>) {
      it(`disconnects a peer that sends ${what}`, async () => {
        await using other = await stranger()
        const connection = await dial(other, a)
        const stream = await connection.newStream(HELLO)
        stream.send(bytes)
        await closedWithin(connection, 3000)
        assert.deepEqual(a.network.peers(), [])
      })
    }
  })

  it('disconnects a peer that sends much before it says hello', async () => {
    await using a = await startNode()
    await using other = await stranger()
    const connection = await dial(other, a)
    const streams = await Promise.all([KAD, ADVERT].map(async protocol => await connection.newStream(protocol)))
    for (const stream of streams) stream.send(new Uint8Array(200 * 1024))
    await closedWithin(connection, 3000)
  })

  it('does not mind connections that are reset or speak something else', async () => {
    await using a = await startNode()
    const [, , host, , port] = a.address.split('/')
    const sockets = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const socket = connect(Number(port), host)
      socket.on('error', () => { /* what the node does to such a connection is its business */ })
      await pEvent(socket, 'connect')
      if (i % 3 === 0) socket.resetAndDestroy()
      else if (i % 3 === 1) socket.end('GET / HTTP/1.1\r\n\r\n')
      else socket.write(randomBytes(1000), () => { socket.resetAndDestroy() })
      return socket
    }))
    await Promise.all(sockets.map(async socket => { if (!socket.closed) await pEvent(socket, 'close', { timeout: 12_000 }) }))
    await using b = await startNode({ bootstrap: [a.address] })
    await eventually('still greets', b.network.events, ['peer'], () => b.network.peers()[0])
  })

  it('does not pass a peer whose operator is banned while it takes its time to answer', async () => {
    await using a = await startNode()
    await using other = await stranger()
    const connection = await dial(other, a)
    const signal = AbortSignal.timeout(5000)
    const messages = lpStream(await connection.newStream(HELLO, { signal }), { maxDataLength: HELLO_BYTES_MAX })
    await messages.write(encodeHello(await helloOf(other.key)), { signal })
    await messages.read({ signal })
    assert.equal(decodeVerdict((await messages.read({ signal })).subarray()).code, VERDICT.ok)
    await a.network.ban(didOf(other.key.publicKey), 'wrong results')
    let passed = false
    a.network.events.addEventListener('peer', () => { passed = true })
    await messages.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: new Uint8Array() }), { signal })
    await closedWithin(connection, 3000)
    assert.equal(passed, false)
    assert.deepEqual(a.network.peers(), [])
  })

  for (const encrypter of [tls, noise]) {
    it(`reaches a peer though others' ids were put to its address, over ${encrypter === tls ? 'TLS' : 'Noise'}`, async () => {
      await using a = await startNode()
      await using other = await stranger({ encrypter, listen: true })
      const signal = AbortSignal.timeout(10_000)
      for (let i = 0; i < 3; i++) {
        const forged = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
        await a.network.libp2p.peerStore.merge(forged, { multiaddrs: other.host.getMultiaddrs().map(address => address.decapsulate('/p2p')) })
        await assert.rejects(a.network.greet(forged, { signal }), encrypter === tls ? /Unexpected Peer/ : /does not match expected/)
        await assert.rejects(a.network.greet(forged, { signal }), /did not answer lately/)
      }
      await a.network.libp2p.peerStore.merge(other.host.peerId, { multiaddrs: other.host.getMultiaddrs() })
      await assert.rejects(a.network.greet(other.host.peerId, { signal }), { code: 'unsupported' }, 'it is reached, and speaks no hello')
    })
  }

  it('takes hello once per connection', async () => {
    await using a = await startNode()
    await using other = await stranger()
    const connection = await dial(other, a)
    await sayHello(connection, await helloOf(other.key))
    const again = await connection.newStream(HELLO)
    await pEvent(again, 'close', { timeout: 3000 })
    assert.equal(connection.status, 'open')
    assert.equal(a.network.peers().length, 1)
  })

  it('gives up on a peer it dialled that speaks no hello, and greet says so', async () => {
    await using a = await startNode()
    await using other = await stranger({ listen: true })
    await a.network.libp2p.peerStore.merge(other.host.peerId, { multiaddrs: other.host.getMultiaddrs() })
    await assert.rejects(a.network.greet(other.host.peerId, { signal: AbortSignal.timeout(5000) }), { name: 'HelloError', code: 'unsupported' })
    await eventually('disconnected', a.network.libp2p, ['peer:disconnect'], () => a.network.libp2p.getConnections().length === 0)
  })

  it('closes connections of one peer beyond their number, so that others still get in', async () => {
    await using a = await startNode()
    await using other = await stranger()
    const connections: Connection[] = []
    for (let i = 0; i < PEER_CONNECTIONS_MAX; i++) {
      const connection = await other.host.dial(multiaddr(a.address), { force: true })
      assert.equal((await sayHello(connection, await helloOf(other.key))).code, VERDICT.ok)
      connections.push(connection)
    }
    const excess = await other.host.dial(multiaddr(a.address), { force: true })
    await closedWithin(excess, 3000)
    assert.ok(connections.every(({ status }) => status === 'open'))
    // one that goes makes room
    await connections.pop()?.close()
    await eventually('it is gone', a.network.libp2p, ['connection:close'], () => a.network.libp2p.getConnections(other.host.peerId).length < PEER_CONNECTIONS_MAX)
    const next = await other.host.dial(multiaddr(a.address), { force: true })
    assert.equal((await sayHello(next, await helloOf(other.key))).code, VERDICT.ok)
  })

  it('accepts Noise, and no key but Ed25519', async () => {
    await using a = await startNode()
    await using other = await stranger({ encrypter: noise })
    const connection = await dial(other, a)
    assert.equal(connection.encryption, '/noise')
    assert.equal((await sayHello(connection, await helloOf(other.key))).code, VERDICT.ok)
    await using old = await stranger({ key: await generateKeyPair('secp256k1'), encrypter: noise })
    const refused = await dial(old, a).then(async connection => { await closedWithin(connection, 3000) }, () => { /* refused at once */ })
    assert.equal(refused, undefined)
    assert.equal(a.network.libp2p.getConnections(old.host.peerId).length, 0)
  })

  it('counts two connections of one peer as one peer', async () => {
    await using a = await startNode()
    await using b = await startNode()
    const events: string[] = []
    for (const type of ['peer', 'gone'] as const) a.network.events.addEventListener(type, () => { events.push(type) })
    const force = { force: true, signal: AbortSignal.timeout(5000) }
    const connections = [
      ...await Promise.all([a.network.libp2p.dial(multiaddr(b.address), force), b.network.libp2p.dial(multiaddr(a.address), force)]),
      await b.network.libp2p.dial(multiaddr(a.address), force)
    ]
    for (const connection of connections) {
      const owner = connection.remotePeer.equals(a.identity.peerId) ? b : a
      await owner.network.requireGreeted(connection)
    }
    const own = a.network.libp2p.getConnections(b.identity.peerId)
    assert.ok(own.length >= 2)
    for (const connection of own) await a.network.requireGreeted(connection)
    assert.deepEqual(events, ['peer'])
    assert.equal(a.network.peers().length, 1)
    await own[0]?.close()
    assert.deepEqual(events, ['peer'])
    for (const connection of own.slice(1)) await connection.close()
    await eventually('gone', a.network.events, ['gone'], () => a.network.peers().length === 0)
    assert.deepEqual(events, ['peer', 'gone'])
  })

  it('greets a peer by its id alone when the DHT knows where it is', async () => {
    await using boot = await startNode()
    await using a = await startNode({ bootstrap: [boot.address] })
    await using b = await startNode({ bootstrap: [boot.address], dhtMode: 'client' })
    for (const node of [a, b]) await eventually('joined', node.network.events, ['peer'], () => node.network.peers()[0])
    assert.equal(await b.network.joined({ signal: AbortSignal.timeout(5000) }), true)
    const { hello } = await b.network.greet(a.identity.peerId, { signal: AbortSignal.timeout(5000) })
    assert.equal(hello.operator, a.identity.operator)
  })

  it('names no identity it does not have', async () => {
    const identity = await loadOrCreateIdentity({ readFile: async () => undefined, writeSecret: async () => {} }, { network: NETWORK })
    await using a = await startNode()
    await assert.rejects(a.network.greet(identity.peerId, { signal: AbortSignal.timeout(2000) }))
  })
})
