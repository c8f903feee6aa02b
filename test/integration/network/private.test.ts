import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { tls } from '@libp2p/tls'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { HELLO_BYTES_MAX, STREAM_WINDOW_INITIAL_BYTES } from '../../../daemon/network/constants.ts'
import { decodeHello, decodeVerdict, encodeHello, encodeVerdict, VERDICT } from '../../../daemon/network/messages.ts'
import { proofOf, SECRET_BYTES } from '../../../daemon/network/proof.ts'
import { DAG_CBOR_PAYLOAD, didOf, encodeCanonical, seal } from '../../../daemon/trust/index.ts'
import { eventually, NETWORK, startNode, type TestNode } from '../registry/node.ts'

const HELLO = `/weft/${NETWORK}/hello/1.0.0`
/** Every protocol a daemon of this network answers, hello apart. */
const SERVED = ['kad/1.0.0', 'advert/1.0.0'].map(name => `/weft/${NETWORK}/${name}`)

interface Stranger extends AsyncDisposable { host: Libp2p, key: PrivateKey }

async function stranger (): Promise<Stranger> {
  const key = await generateKeyPair('Ed25519')
  const host = await createLibp2p({
    privateKey: key,
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES } })],
    connectionMonitor: { enabled: false }
  })
  return { host, key, [Symbol.asyncDispose]: async () => { await host.stop() } }
}

/** Hello as any program may say it; `prove` makes the proof from both nonces. Gives the node's own proof. */
async function sayHello (from: Stranger, to: TestNode, prove: (own: Uint8Array, theirs: Uint8Array, theirProof: Uint8Array) => Uint8Array): Promise<{ connection: Connection, proof: Uint8Array }> {
  const connection = await from.host.dial(multiaddr(to.address))
  const signal = AbortSignal.timeout(5000)
  const messages = lpStream(await connection.newStream(HELLO, { signal }), { maxDataLength: HELLO_BYTES_MAX })
  const now = Date.now()
  const peer = peerIdFromPrivateKey(from.key).toString()
  const delegation = await seal(from.key, 'weft/delegation/1', DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1, operator: didOf(from.key.publicKey), peer, issued: now, expires: now + 60_000 }))
  const nonce = randomBytes(32)
  await messages.write(encodeHello({ version: 1, network: NETWORK, agent: 'stranger', roles: [], nonce, delegation }), { signal })
  const theirs = decodeHello((await messages.read({ signal })).subarray())
  const verdict = decodeVerdict((await messages.read({ signal })).subarray())
  assert.equal(verdict.code, VERDICT.ok)
  await messages.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: prove(nonce, theirs.nonce, verdict.proof) }), { signal })
  return { connection, proof: verdict.proof }
}

/** Bytes that come back on a stream of this protocol before it ends. */
async function answered (connection: Connection, protocol: string): Promise<number> {
  let received = 0
  const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
  if (stream == null) return 0
  stream.addEventListener('message', ({ data }) => { received += data.byteLength })
  const closed = pEvent(stream, 'close', { signal: AbortSignal.timeout(5000) })
  // FIND_NODE for the DHT; ask for adverts: both are answered to a member.
  stream.send(protocol.includes('kad') ? Uint8Array.of(6, 0x08, 0x04, 0x12, 0x02, 0x01, 0x02) : Uint8Array.of(2, 0x08, 0x00))
  await closed
  return received
}

describe('integration: a private network', () => {
  const secret = randomBytes(SECRET_BYTES)

  it('joins nodes that have its secret', async () => {
    await using a = await startNode({ secret })
    await using b = await startNode({ secret, bootstrap: [a.address] })
    await eventually('b greets a', b.network.events, ['peer'], () => b.network.peers()[0])
    await eventually('a greets b', a.network.events, ['peer'], () => a.network.peers()[0])
  })

  for (const [what, other] of [['another secret', { secret: randomBytes(SECRET_BYTES) }], ['no secret', {}]] as const) {
    it(`keeps apart a node with ${what}, whoever dials`, async () => {
      await using a = await startNode({ secret })
      await using b = await startNode({ ...other })
      const signal = AbortSignal.timeout(5000)
      await b.network.libp2p.peerStore.merge(a.identity.peerId, { multiaddrs: [multiaddr(a.address)] })
      await a.network.libp2p.peerStore.merge(b.identity.peerId, { multiaddrs: [multiaddr(b.address)] })
      // A node without a secret takes anybody; the one with a secret must not.
      await assert.rejects(a.network.greet(b.identity.peerId, { signal }), /does not know the secret|refused|closed/)
      await b.network.greet(a.identity.peerId, { signal }).catch(() => undefined)
      assert.deepEqual(a.network.peers(), [])
    })
  }

  const wrong: Array<[string, (key: PrivateKey, node: TestNode) => (own: Uint8Array, theirs: Uint8Array, theirProof: Uint8Array) => Uint8Array]> = [
    ['no proof', () => () => new Uint8Array()],
    ['a guessed proof', () => () => randomBytes(32)],
    ['the node\'s own proof, sent back', () => (_own, _theirs, proof) => proof],
    ['a proof of an earlier hello', (key, node) => {
      const old = proofOf(secret, { network: NETWORK, prover: peerIdFromPrivateKey(key).toString(), verifier: node.identity.peerId.toString(), proverNonce: randomBytes(32), verifierNonce: randomBytes(32) })
      return () => old
    }],
    ['a member\'s proof passed on', (_key, node) => (own, theirs) => proofOf(secret, { network: NETWORK, prover: '12D3KooWsomebodyElse', verifier: node.identity.peerId.toString(), proverNonce: own, verifierNonce: theirs })],
    ['the proof of another network', (key, node) => (own, theirs) => proofOf(secret, { network: 'other', prover: peerIdFromPrivateKey(key).toString(), verifier: node.identity.peerId.toString(), proverNonce: own, verifierNonce: theirs })],
    ['a proof that is longer', (key, node) => (own, theirs) => Buffer.concat([proofOf(secret, { network: NETWORK, prover: peerIdFromPrivateKey(key).toString(), verifier: node.identity.peerId.toString(), proverNonce: own, verifierNonce: theirs }), Buffer.of(0)])]
  ]
  for (const [what, prove] of wrong) {
    it(`serves nothing to a peer with ${what}`, async () => {
      await using a = await startNode({ secret, helloTimeoutMs: 2000 })
      await using other = await stranger()
      const { connection } = await sayHello(other, a, prove(other.key, a))
      for (const protocol of SERVED) assert.equal(await answered(connection, protocol), 0, protocol)
      if (connection.status === 'open') await pEvent(connection, 'close', { timeout: 5000 })
      assert.deepEqual(a.network.peers(), [])
    })
  }

  it('serves a stranger that proves the secret, and proves it to that one', async () => {
    await using a = await startNode({ secret })
    await using other = await stranger()
    const self = peerIdFromPrivateKey(other.key).toString()
    let nonces: [Uint8Array, Uint8Array] | undefined
    const { proof } = await sayHello(other, a, (own, theirs) => {
      nonces = [own, theirs]
      return proofOf(secret, { network: NETWORK, prover: self, verifier: a.identity.peerId.toString(), proverNonce: own, verifierNonce: theirs })
    })
    await eventually('the stranger is a member', a.network.events, ['peer'], () => a.network.peers()[0])
    assert.deepEqual(Uint8Array.from(proof), proofOf(secret, { network: NETWORK, prover: a.identity.peerId.toString(), verifier: self, proverNonce: nonces![1], verifierNonce: nonces![0] }))
  })

  it('refuses a secret of the wrong size', async () => {
    await assert.rejects(startNode({ secret: randomBytes(16) }), /32 bytes, this one has 16/)
  })
})
