import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Libp2p } from '@libp2p/interface'
import { Record as DhtRecord } from '@libp2p/kad-dht'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { reader, writer } from 'protons-runtime'
import { ADVERT_DOMAIN, EXCHANGE_BYTES_MAX, PUSHES_PER_MINUTE_MAX } from '../../../daemon/dht-registry/constants.ts'
import { recordKey } from '../../../daemon/dht-registry/keys.ts'
import { decodeResponse, encodeRequest, REQUEST, STATUS, type Response } from '../../../daemon/dht-registry/messages.ts'
import { openRecord } from '../../../daemon/dht-registry/records.ts'
import { STREAM_WINDOW_INITIAL_BYTES } from '../../../daemon/network/constants.ts'
import { encodeHello, encodeVerdict, VERDICT } from '../../../daemon/network/messages.ts'
import { DAG_CBOR_PAYLOAD, encodeCanonical, seal, type Identity } from '../../../daemon/trust/index.ts'
import { content, NETWORK, startNode, type TestNode } from './node.ts'

/** Replays an owner's old, well-signed adverts in every way a third peer has. */
describe('integration: replayed adverts', () => {
  it('leave every reader at the newer record, also after a restart (PUT_VALUE)', async () => {
    await using holder = await startNode({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    const bootstrap = [holder.address]
    await using reader = await startNode({ bootstrap })
    await using attacker = await startNode({ bootstrap })
    await using owner = await startNode({ bootstrap })
    await owner.registry.publish({ ...content(), price: '1' })
    const first = await recordOf(attacker, owner, sequence => sequence > 0)
    await owner.registry.publish({ ...content(), price: '2' })
    const second = await recordOf(attacker, owner, sequence => sequence > first.sequence)
    for (const node of [holder, reader]) await recordOf(node, owner, sequence => sequence === second.sequence)
    const known = owner.identity.peerId
    await owner.stop()

    await replay(attacker, owner, first.value)
    await using late = await startNode({ bootstrap })
    assert.deepEqual(await heldBy(late, owner, holder), second.sequence)
    assert.deepEqual(await heldBy(late, owner, reader), second.sequence)
    const seen = await late.registry.lookup(known, { signal: AbortSignal.timeout(15_000) })
    assert.equal(seen?.advert.sequence, second.sequence)
    assert.equal(seen.advert.price, '2')
    assert.equal(seen.source, 'dht')

    await using holderAgain = await holder.restart({ listen: [holder.address.replace(/\/p2p\/.*/, '')] })
    await using readerAgain = await reader.restart()
    for (const node of [holderAgain, readerAgain]) assert.equal(node.floors.sequence(known.toString()), second.sequence)
    await replay(attacker, owner, first.value)
    await using later = await startNode({ bootstrap })
    assert.deepEqual(await heldBy(later, owner, holderAgain), second.sequence)
    assert.equal((await later.registry.lookup(known, { signal: AbortSignal.timeout(15_000) }))?.advert.sequence, second.sequence)
  })

  it('are refused when pushed, by the owner\'s key and by others, also after a restart', async () => {
    await using reader = await startNode({ listen: ['/ip4/127.0.0.1/tcp/0'] })
    await using owner = await startNode({ bootstrap: [reader.address] })
    await owner.registry.publish({ ...content(), price: '1' })
    const old = await advertOf(owner)
    await owner.registry.publish({ ...content(), price: '2' })
    const current = await advertOf(owner)
    const sequence = owner.registry.view()[0]?.advert.sequence ?? 0
    await reader.registry.lookup(owner.identity.peerId, { signal: AbortSignal.timeout(5000) })
    await owner.stop()
    await using other = await startNode()

    const attempt = async (target: TestNode): Promise<void> => {
      await using asOwner = await impostor(owner.identity, target)
      assert.match((await asOwner.push(old)).reason, /^stale/)
      assert.equal((await asOwner.push(current)).status, STATUS.ok)
      await using asOther = await impostor(other.identity, target)
      for (const advert of [old, current]) assert.match((await asOther.push(advert)).reason, /^signer/)
      const view = target.registry.view().find(({ peer }) => peer.equals(owner.identity.peerId))
      assert.equal(view?.advert.sequence, sequence)
      assert.equal(view.advert.price, '2')
    }
    await attempt(reader)
    await using again = await reader.restart()
    await attempt(again)
  })
})

describe('integration: hostile adverts', () => {
  it('are refused with a reason, and nothing of them is known', async () => {
    await using target = await startNode()
    await using other = await startNode({ name: NETWORK })
    await using peer = await impostor(other.identity, target)
    await other.registry.publish(content())
    const good = await advertOf(other)
    const nested = await seal(other.identity.nodeKey, ADVERT_DOMAIN, DAG_CBOR_PAYLOAD, new Uint8Array(60_000).fill(0x81))
    const foreign = await seal(other.identity.operatorKey, ADVERT_DOMAIN, DAG_CBOR_PAYLOAD, encodeCanonical({ v: 1 }))
    for (const [advert, reason] of [[nested, /^malformed/], [foreign, /^malformed/], [new Uint8Array(10), /^malformed/], [new Uint8Array(), /^malformed/], [good.subarray(1), /^malformed/]] as Array<[Uint8Array, RegExp]>) {
      const response = await peer.push(advert)
      assert.equal(response.status, STATUS.refused)
      assert.match(response.reason, reason)
    }
    await assert.rejects(peer.push(new Uint8Array(EXCHANGE_BYTES_MAX)), 'more than a message may have')
    assert.match((await peer.request(9)).reason, /unknown type/)
    assert.deepEqual(target.registry.view(), [])
    assert.equal((await peer.push(good)).status, STATUS.ok)
    assert.equal(target.registry.view().length, 1)
  })

  it('are taken at a bounded rate', async () => {
    await using target = await startNode()
    await using other = await startNode()
    await using peer = await impostor(other.identity, target)
    const statuses: number[] = []
    // Two minutes' worth, in case a minute ends in between.
    for (let i = 0; i < 2 * PUSHES_PER_MINUTE_MAX + 1 && statuses.at(-1) !== STATUS.busy; i++) statuses.push((await peer.push(Uint8Array.of(i))).status)
    assert.ok(statuses.includes(STATUS.busy))
    assert.ok(statuses.filter(status => status === STATUS.refused).length >= PUSHES_PER_MINUTE_MAX)
  })
})

interface Found { sequence: number, value: Uint8Array }

/** The record a node gets from the DHT, once it is as wanted. */
async function recordOf (node: TestNode, owner: TestNode, wanted: (sequence: number) => boolean): Promise<Found> {
  const until = performance.now() + 15_000
  while (performance.now() < until) {
    try {
      for await (const event of node.network.libp2p.services.dht.get(recordKey(owner.identity.peerId), { signal: AbortSignal.timeout(5000) })) {
        if (event.name !== 'VALUE') continue
        const { record } = await openRecord(event.value, { network: NETWORK, now: Date.now() })
        if (wanted(record.sequence)) return { sequence: record.sequence, value: event.value }
      }
    } catch (error) {
      // While the newer record spreads, those who hold the older one are being corrected.
      if (performance.now() > until) throw error
    }
    await pause(20)
  }
  throw new Error('the record did not appear')
}

/** Sends PUT_VALUE with an old record to everybody near its key; all of them refuse. */
async function replay (attacker: TestNode, owner: TestNode, value: Uint8Array): Promise<void> {
  let refused = 0
  for await (const event of attacker.network.libp2p.services.dht.put(recordKey(owner.identity.peerId), value, { signal: AbortSignal.timeout(10_000) })) {
    if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') assert.fail(`${event.from.toString()} took it`)
    if (event.name === 'QUERY_ERROR') refused++
  }
  assert.ok(refused > 0, 'somebody was asked')
}

/** The sequence one holder has stored, asked for with GET_VALUE. */
async function heldBy (asker: TestNode, owner: TestNode, holder: TestNode): Promise<number> {
  const signal = AbortSignal.timeout(10_000)
  const { connection } = await asker.network.greet(holder.identity.peerId, { signal })
  const messages = lpStream(await connection.newStream(`/weft/${NETWORK}/kad/1.0.0`, { signal }))
  await messages.write(writer().uint32(8).uint32(1).uint32(18).bytes(recordKey(owner.identity.peerId)).finish(), { signal })
  const answer = reader(await messages.read({ signal }))
  while (answer.pos < answer.len) {
    const tag = answer.uint32()
    if (tag === 26) return (await openRecord(DhtRecord.deserialize(answer.bytes()).value, { network: NETWORK, now: Date.now() })).record.sequence
    answer.skipType(tag & 7)
  }
  throw new Error('it holds no record')
}

/** A node's sealed advert, as it gives it to those who ask. */
async function advertOf (node: TestNode): Promise<Uint8Array> {
  await using asker = await startNode()
  await using peer = await impostor(asker.identity, node)
  return (await peer.request(REQUEST.ask)).advert
}

interface Impostor extends AsyncDisposable {
  host: Libp2p
  request: (type: number, advert?: Uint8Array) => Promise<Response>
  push: (advert: Uint8Array) => Promise<Response>
}

/** A bare libp2p peer with some node's keys, greeted by `target`. */
async function impostor (identity: Identity, target: TestNode): Promise<Impostor> {
  const signal = AbortSignal.timeout(10_000)
  const host = await createLibp2p({
    privateKey: identity.nodeKey,
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: STREAM_WINDOW_INITIAL_BYTES } })],
    connectionMonitor: { enabled: false }
  })
  const connection = await host.dial(multiaddr(target.address), { signal })
  const hello = lpStream(await connection.newStream(`/weft/${NETWORK}/hello/1.0.0`, { signal }))
  await hello.write(encodeHello({ version: 1, network: NETWORK, agent: 'impostor', roles: [], nonce: randomBytes(32), delegation: identity.delegation }), { signal })
  await hello.read({ signal })
  await hello.write(encodeVerdict({ code: VERDICT.ok, reason: '', proof: new Uint8Array() }), { signal })
  await hello.read({ signal })
  const request = async (type: number, advert: Uint8Array = new Uint8Array()): Promise<Response> => {
    const stream = await connection.newStream(`/weft/${NETWORK}/advert/1.0.0`, { signal })
    const messages = lpStream(stream)
    await messages.write(encodeRequest({ type, advert }), { signal })
    const response = decodeResponse((await messages.read({ signal })).subarray())
    await stream.close({ signal })
    return response
  }
  return { host, request, push: async advert => await request(REQUEST.push, advert), [Symbol.asyncDispose]: async () => { await host.stop() } }
}
