import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { pEvent } from 'p-event'
import { DHT_REQUEST_BYTES_MAX, DHT_STREAMS_MAX } from '../../../daemon/network/constants.ts'
import { Attacker, DHT, dhtPeer, encodeDht, KAD } from './attacker.ts'
import { memory, streamsFrom, until, World } from './world.ts'

const MIB = 1 << 20

/** Bytes sent in each round, as far as they are taken: what the victim would hold if nothing bounded it. */
const SENT_BYTES = 32 * MIB
const ROUNDS = 2

/** Bytes that may wait, the attacker's own included. */
const HELD_MAX = 24 * MIB

describe('hostile: messages of the DHT that take long', () => {
  let world: World

  before(async () => { world = await World.start() })
  after(async () => { await world[Symbol.asyncDispose]() })

  // The larger ones are more than a request may have; the smaller ones are not.
  for (const repeated of [700, 140]) {
    it(`that name their sender ${repeated} times, sent faster than they are dealt with: they do not pile up`, async () => {
      await using attacker = await Attacker.start()
      await attacker.join(world.victim)
      const key = Buffer.concat([Buffer.of(0x12, 0x20), randomBytes(32)])
      const message = encodeDht({ type: DHT.addProvider, key, providers: Array.from({ length: repeated }, () => dhtPeer(attacker.peer, ['/ip4/127.0.0.1/tcp/9'])) })
      assert.equal(message.byteLength <= DHT_REQUEST_BYTES_MAX, repeated === 140)
      const framed = Buffer.concat([Buffer.of((message.byteLength & 127) | 128, ((message.byteLength >> 7) & 127) | 128, message.byteLength >> 14), message])
      const before = await memory()
      let held = 0
      await world.during(4, async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const streams = await Promise.all(Array.from({ length: DHT_STREAMS_MAX }, async () => await attacker.stream(KAD)))
          await Promise.all(streams.map(async stream => {
            for (let sent = 0; sent < SENT_BYTES / DHT_STREAMS_MAX && stream.status === 'open'; sent += framed.byteLength) {
              if (!stream.send(framed)) await pEvent(stream, ['drain', 'close'], { rejectionEvents: [] })
            }
          }))
          held = Math.max(held, await memory() - before)
          for (const stream of streams) stream.abort(new Error('done'))
          await until('the streams are gone', () => streamsFrom(world.victim.network, attacker.peer).get(KAD) == null)
        }
      })
      assert.ok(held <= HELD_MAX, `${held} bytes are held`)
      await attacker.host.stop()
      await world.stillServes()
    })
  }
})
