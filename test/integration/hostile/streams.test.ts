import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { STREAMS_MAX } from '../../../daemon/network/constants.ts'
import { Attacker, encodeDht, DHT } from './attacker.ts'
import { memory, streamsFrom, until, World } from './world.ts'

const MIB = 1 << 20
const IDENTIFY = '/ipfs/id/1.0.0'
const PING = '/ipfs/ping/1.0.0'

/** Streams opened of a protocol at once: more than a connection may have in all. */
const TRIED = STREAMS_MAX + 8

/** Streams one connection may have of a protocol, as the victim registered it. */
function allowed (world: World, protocol: string): number {
  const { components } = world.victim.network.libp2p as unknown as { components: { registrar: { getHandler: (protocol: string) => { options: { maxInboundStreams?: number } } } } }
  return components.registrar.getHandler(protocol).options.maxInboundStreams ?? 32
}

async function open (connection: Connection, protocol: string): Promise<Stream | undefined> {
  return await connection.newStream(protocol, { signal: AbortSignal.timeout(5000), maxOutboundStreams: 100_000 }).catch(() => undefined)
}

const count = (counts: Map<string, number>): number => [...counts.values()].reduce((sum, n) => sum + n, 0)

describe('hostile: streams', () => {
  let world: World
  let victim: World['victim']
  let attacker: Attacker

  before(async () => {
    world = await World.start()
    victim = world.victim
  })
  after(async () => { await world[Symbol.asyncDispose]() })
  beforeEach(async () => { attacker = await Attacker.start() })
  afterEach(async () => {
    await attacker[Symbol.asyncDispose]()
    await until('its streams are gone', () => count(streamsFrom(victim.network, attacker.peer)) === 0)
    await world.stillServes()
  })

  it('opened by the hundreds on every protocol and left there: so many per protocol and connection are held', async () => {
    const connections = [await attacker.join(victim), await attacker.join(victim)]
    const protocols = victim.network.libp2p.getProtocols()
    assert.ok(protocols.length >= 7, protocols.join(' '))
    // Every protocol on the first connection, and one on the next.
    const wanted = TRIED * (protocols.length + 1)
    const before = await memory()
    let most = 0
    let opened = 0
    await world.during(4, async more => {
      while (opened < wanted || more()) {
        for (const connection of connections) {
          for (const protocol of protocols) {
            if (opened >= wanted && !more()) return
            opened += (await Promise.all(Array.from({ length: TRIED }, async () => await open(connection, protocol)))).length
            const held = streamsFrom(victim.network, attacker.peer)
            most = Math.max(most, count(held))
            assert.ok((held.get(protocol) ?? 0) <= connections.length * allowed(world, protocol), `${held.get(protocol)} of ${protocol}`)
          }
        }
      }
    })
    assert.ok(most > STREAMS_MAX / 2, 'streams were held')
    assert.ok(most <= connections.length * STREAMS_MAX, `${most} streams`)
    assert.ok(await memory() - before < 16 * MIB)
  })

  const garbage: Array<[string, () => Uint8Array, resets: boolean]> = [
    ['a length without end', () => new Uint8Array(100_000).fill(0xff), true],
    ['a length of 2 GiB', () => Buffer.concat([Buffer.of(0xff, 0xff, 0xff, 0xff, 0x07), randomBytes(10_000)]), true],
    ['empty messages', () => new Uint8Array(50_000), false],
    ['random bytes', () => randomBytes(50_000), false]
  ]
  for (const [what, make, resets] of garbage) {
    it(`with ${what} on every protocol are reset, and the next is served`, async () => {
      const connection = await attacker.join(victim)
      const before = await memory()
      await world.during(4, async more => {
        for (let round = 0; round < 1 || more(); round++) {
          await Promise.all(victim.network.libp2p.getProtocols().map(async protocol => {
            const stream = await open(connection, protocol)
            if (stream == null) return
            const closed = pEvent(stream, 'close', { timeout: 5000 })
            try {
              stream.send(make())
            } catch {
              // It was reset already: so much the better.
            }
            // Identify and ping take no messages; what is no error to the others is for their readers to say.
            if (resets && protocol !== IDENTIFY && protocol !== PING) await closed
            else {
              stream.abort(new Error('done'))
              await closed
            }
          }))
        }
      })
      assert.ok(await memory() - before < 16 * MIB)
      await until('none is left', () => count(streamsFrom(victim.network, attacker.peer)) === 0)
      assert.ok(await attacker.ask({ type: DHT.ping }) != null, 'a good question is answered')
    })
  }

  it('written a byte at a time cost no more than their bytes', async () => {
    const connection = await attacker.join(victim)
    // A message as long as each reader takes, of which the end never comes.
    const message = Buffer.concat([Buffer.of(0x80, 0x80, 0x03), encodeDht({ type: DHT.findNode, key: randomBytes(4000) })])
    const before = await memory()
    await world.during(4, async () => {
      const streams = (await Promise.all(victim.network.libp2p.getProtocols().filter(protocol => protocol !== PING && protocol !== IDENTIFY).map(async protocol => await open(connection, protocol)))).filter(stream => stream != null)
      for (let at = 0; at < message.byteLength; at++) {
        for (const stream of streams) {
          if (stream.status === 'open') stream.send(message.subarray(at, at + 1))
        }
        if (at % 100 === 0) await new Promise(resolve => { setImmediate(resolve) })
      }
      const held = await memory() - before
      assert.ok(held < 16 * MIB, `${held} bytes are held`)
    })
  })
})
