import assert from 'node:assert/strict'
import { pEvent } from 'p-event'
import { Attacker } from './attacker.ts'
import { memory, World } from './world.ts'

const MIB = 1 << 20
const PING = '/ipfs/ping/1.0.0'

/** Bytes the attacker sends: what the victim would hold if nothing bounded it. */
const SENT_BYTES = 32 * MIB

describe('hostile: ping', () => {
  it('of a peer that sends without end and reads no echo: what is not echoed does not pile up', async () => {
    await using world = await World.start()
    await using attacker = await Attacker.start()
    await attacker.join(world.victim)
    const before = await memory()
    await world.during(4, async () => {
      const stream = await attacker.stream(PING)
      // It takes one window of echoes, and then no more.
      stream.pause()
      const chunk = new Uint8Array(64 << 10)
      for (let sent = 0; sent < SENT_BYTES && stream.status === 'open'; sent += chunk.byteLength) {
        if (!stream.send(chunk)) await pEvent(stream, ['drain', 'close'], { rejectionEvents: [], timeout: 10_000 })
      }
      const held = await memory() - before
      assert.ok(held < 16 * MIB, `${held} bytes are held`)
    })
    await world.stillServes()
  })
})
