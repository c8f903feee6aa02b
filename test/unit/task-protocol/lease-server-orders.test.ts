/** Orders at a server whose requester speaks by hand: what an honest one never does. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey, Stream, StreamHandler } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { EngineOutcome } from '../../../daemon/executor/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { createTaskServer } from '../../../daemon/task-protocol/index.ts'
import { LeaseServer, type Admission } from '../../../daemon/task-protocol/lease-server.ts'
import { leaseMessage, type LeaseMessage, type WireOffer, type WireOrder } from '../../../daemon/task-protocol/messages.ts'
import { offerDigest, orderLeaf, signOrders } from '../../../daemon/task-protocol/receipts.ts'
import { Redelivery } from '../../../daemon/task-protocol/redelivery.ts'
import { BatchSigner, encodeCanonical } from '../../../daemon/trust/index.ts'

const GENERATION = { incarnation: 1, counter: 1 }
const OFFER: WireOffer = { offer: 1, job: 'job', converter: 'probe/echo', version: '1', parameters: encodeCanonical({}), deadline: 0, outputBytes: 1 << 20, price: '0', unit: 'credit' }

/** The requester's end of a lease stream. */
class HandStream extends EventTarget {
  status = 'open'
  readableEnded = false
  writeBufferLength = 0
  send (): boolean { return true }
  async close (): Promise<void> { this.status = 'closed' }
  abort (error: Error): void {
    this.status = 'aborted'
    this.dispatchEvent(Object.assign(new Event('close'), { error }))
  }

  /** In one read. */
  say (...messages: LeaseMessage[]): void {
    const frames = messages.map(message => {
      const body = leaseMessage.encode(message)
      const length = body.length < 128 ? [body.length] : [body.length & 127 | 128, body.length >> 7]
      return Buffer.concat([Uint8Array.from(length), body])
    })
    this.dispatchEvent(Object.assign(new Event('message'), { data: Buffer.concat(frames) }))
  }
}

const order = (bytes: Uint8Array, block = 1): WireOrder => ({ offer: 1, block, attempt: 1, size: bytes.length, digest: createHash('sha256').update(bytes).digest(), slice: undefined, bytes })
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('orders at a lease server', () => {
  let key: PrivateKey
  let folder: string
  let server: LeaseServer
  let stream: HandStream
  let redelivery: Redelivery
  /** What an inline converter gives. */
  let inline: () => Promise<EngineOutcome> | EngineOutcome
  let pool: 'inline' | 'process'
  let faults: unknown[]

  const onFault = (error: unknown): void => { faults.push(error) }

  before(async () => {
    key = await generateKeyPair('Ed25519')
    folder = await mkdtemp(join(tmpdir(), 'weft-lease-server-'))
  })
  after(async () => { await rm(folder, { recursive: true, force: true }) })

  beforeEach(async () => {
    faults = []
    const executor = { slots: 1, run: () => assert.fail(), runInline: () => inline(), workspace: () => assert.fail() }
    redelivery = new Redelivery({ executor: executor as never, log: silentLog })
    server = new LeaseServer({
      components: { executor: executor as never, network: undefined as never, identity: undefined as never, loopDelay: { worst: () => 0 }, log: silentLog },
      converters: { find: () => ({ runs: pool, validate: parameters => parameters }) },
      signer: new BatchSigner(key),
      peer: peerIdFromPrivateKey(key),
      slots: { process: 1, inline: 8 },
      redelivery,
      refuseLease: () => undefined,
      refuseOrder: () => undefined,
      reserve: () => () => {},
      retryAfterMs: () => 1000,
      took: () => {}
    })
  })

  async function lease (where: typeof pool): Promise<void> {
    pool = where
    stream = new HandStream()
    server.serve(stream as unknown as Stream, Promise.resolve())
    await turn()
    stream.say({ type: 'request', ...GENERATION })
    stream.say({ type: 'offer', ...OFFER })
  }

  afterEach(async () => {
    await server.stop()
    await redelivery.close()
  })

  const orders = (one: WireOrder): LeaseMessage => ({ type: 'orders', orders: [one], signature: signOrders(new BatchSigner(key), [orderLeaf(offerDigest(OFFER), one)]) })

  it('an inline result whose lease ended in the same read is forgotten, and breaks nothing', async () => {
    await lease('inline')
    inline = () => ({ ok: true, output: { bytes: Buffer.from('done') }, cpuMs: 0, wallMs: 0 })
    // of mocha's own listeners nothing is to be heard: what is looked for would end the test, not fail it
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', onFault)
    try {
      const one = order(randomBytes(10))
      stream.say(orders(one), orders(one), { type: 'ack', sequence: 99 })
      await turn()
      await turn()
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
    assert.equal(stream.status, 'aborted')
    assert.deepEqual(faults, [])
    assert.equal(redelivery.counts.kept, 0)
  })
  it('an attempt that is ordered again before its first stream ended holds its slot until it ends itself', async () => {
    await lease('process')
    const admit = (block: number): Admission => {
      const one = { ...order(Buffer.from('large'), block), bytes: new Uint8Array(0) }
      return server.admit(GENERATION, offerDigest(OFFER), one, signOrders(new BatchSigner(key), [orderLeaf(offerDigest(OFFER), one)]))
    }
    const first = admit(1)
    assert.ok(first.ok)
    first.finished()
    const again = admit(1)
    assert.ok(again.ok)
    first.finished()
    assert.equal(server.active, 1)
    const beyond = admit(2)
    assert.deepEqual([beyond.ok, beyond.ok || beyond.refusal.reason], [false, 'busy'])
    again.finished()
    assert.equal(server.active, 0)
    assert.ok(admit(2).ok)
  })

  it('a requester that lives and acknowledges nothing holds up no drain beyond its deadline', async () => {
    const handlers: StreamHandler[] = []
    const network = { protocol: (name: string) => name, requireGreeted: async () => {}, libp2p: { handle: async (_: string, handler: StreamHandler) => { handlers.push(handler) }, unhandle: async () => {} } }
    const watch = { liveness: 'alive', byte () {}, beat () {}, active () {}, offerBeacon () {}, end () {} }
    const whole = createTaskServer({
      network: network as never,
      executor: { slots: 1, runInline: () => ({ ok: true, output: { bytes: Buffer.from('done') }, cpuMs: 0, wallMs: 0 }) } as never,
      converters: { find: () => ({ runs: 'inline', validate: parameters => parameters }) },
      identity: { nodeKey: key, peerId: peerIdFromPrivateKey(key) },
      loopDelay: { worst: () => 0 },
      monitor: { watch: () => watch as never },
      log: silentLog
    }, { drainDeliverMs: 1 })
    await whole.start()
    try {
      stream = new HandStream()
      void handlers[0]!(stream as unknown as Stream, { remotePeer: peerIdFromPrivateKey(key) } as never)
      await turn()
      stream.say({ type: 'request', ...GENERATION })
      stream.say({ type: 'offer', ...OFFER })
      stream.say(orders(order(Buffer.from('small'))))
      await turn()
      assert.equal(whole.load().leases, 1)
      await whole.drain({ signal: new AbortController().signal, deadlineMs: 1 })
      assert.equal(whole.load().leases, 0)
      assert.equal(stream.status, 'closed')
    } finally {
      await whole.stop()
    }
  })
})
