import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import { DHT_STREAMS_MAX } from '../../../daemon/network/constants.ts'
import { BATCH_MAX, CHUNK_BYTES, INLINE_SLOTS, LEASE_WRITE_BYTES_MAX, WRITE_BUFFER_BYTES } from '../../../daemon/task-protocol/constants.ts'
import { creditFrame } from '../../../daemon/task-protocol/transfer-parser.ts'
import { Attacker, DHT, encodeDht, KAD } from './attacker.ts'
import { HostileRequester, LEASE, TASK } from './requester.ts'
import { memory, queuedFor, streamsFrom, until, World } from './world.ts'

const MIB = 1 << 20

/** Who asks and never reads: what is not read must not pile up at who answers. */
describe('hostile: readers that do not read', () => {
  let world: World
  let attacker: Attacker

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })
  beforeEach(async () => {
    attacker = await Attacker.start()
    await attacker.join(world.victim)
  })
  afterEach(async () => {
    await attacker[Symbol.asyncDispose]()
    await until('its streams are gone', () => streamsFrom(world.victim.network, attacker.peer).size === 0)
    await world.stillServes()
  })

  /** The most that waited in the victim's streams with the attacker while `attack` ran. */
  async function queued (orders: number, attack: (more: () => boolean) => Promise<void>): Promise<number> {
    let most = 0
    const look = setInterval(() => { most = Math.max(most, queuedFor(world.victim.network, attacker.peer)) }, 1)
    try {
      await world.during(orders, attack)
    } finally {
      clearInterval(look)
    }
    return most
  }

  it('of the DHT', async () => {
    const question = encodeDht({ type: DHT.findNode, key: randomBytes(32) })
    const framed = Buffer.concat([Buffer.of(question.byteLength), question])
    const before = await memory()
    const most = await queued(4, async more => {
      const streams = await Promise.all(Array.from({ length: DHT_STREAMS_MAX }, async () => await attacker.stream(KAD)))
      for (const stream of streams) stream.pause()
      for (let sent = 0; sent < 150 || more(); sent++) {
        for (const stream of streams) if (stream.status === 'open') stream.send(framed)
        if (sent % 20 === 0) await new Promise(resolve => { setTimeout(resolve) })
      }
    })
    assert.ok(most < 4 * MIB, `${most} bytes wait`)
    assert.ok(await memory() - before < 24 * MIB)
  })

  it('of results on a lease: the lease ends, and its orders with it', async () => {
    const requester = await HostileRequester.start(attacker, 'echo')
    requester.stream.pause()
    const before = await memory()
    const large = randomBytes(60_000)
    let ordered = 0
    const most = await queued(4, async () => {
      while (streamsFrom(world.victim.network, attacker.peer).has(LEASE)) {
        // What fills the window first; then more than there are slots, whose refusals are not acknowledged.
        const [count, input] = ordered < INLINE_SLOTS ? [8, large] as const : [512, large.subarray(0, 1)] as const
        if (requester.stream.status === 'open' && requester.stream.writeBufferLength < MIB) requester.order(Array.from({ length: count }, () => ordered++), input)
        await new Promise(resolve => { setTimeout(resolve) })
      }
    })
    assert.ok(ordered > INLINE_SLOTS && ordered < 4 * BATCH_MAX, `ended after ${ordered} orders`)
    assert.ok(most <= LEASE_WRITE_BYTES_MAX + MIB, `${most} bytes wait`)
    await until('nothing of it is active', () => world.victim.server.load().leases === 1)
    await attacker.host.stop()
    assert.ok(await memory() - before < 32 * MIB)
  })

  it('of outputs, for which they gave all the credit there is', async () => {
    const requester = await HostileRequester.start(attacker, 'grow')
    const input = randomBytes(3 * MIB)
    const before = await memory()
    const most = await queued(4, async () => {
      const streams: Stream[] = []
      for (let block = 0; block < 3; block++) {
        const { stream, transfer, answer } = await requester.task(block, input)
        assert.equal(answer, 'accept')
        await transfer.send([input])
        await transfer.readMessage({ signal: AbortSignal.timeout(10_000) })
        stream.pause()
        stream.send(creditFrame(0xffff_ffff))
        streams.push(stream)
      }
      await until('the victim is stuck', () => streams.every(stream => stream.readBufferLength > 3 * MIB) && queuedFor(world.victim.network, attacker.peer) > 0)
    })
    assert.ok(most <= WRITE_BUFFER_BYTES + 3 * CHUNK_BYTES, `${most} bytes wait`)
    assert.ok(await memory() - before < 48 * MIB)
  })

  it('and requesters that order large blocks and send nothing: no more than their slots', async () => {
    const requester = await HostileRequester.start(attacker, 'grow')
    const input = randomBytes(1000)
    const answers: Array<string | undefined> = []
    await world.during(4, async () => {
      for (let block = 0; block < 12; block++) answers.push((await requester.task(block, input)).answer)
    })
    assert.equal(answers.filter(answer => answer === 'accept').length, world.victim.executor.slots + 1)
    assert.equal(answers.filter(answer => answer === 'refuse').length, 12 - world.victim.executor.slots - 1)
    assert.ok((streamsFrom(world.victim.network, attacker.peer).get(TASK) ?? 0) > 0)
  })
})
