import assert from 'node:assert/strict'
import fc from 'fast-check'
import { datagramDelay, isSound, Lane, readLinkFaults, retransmitDelay, type LinkFault } from '../../daemon/link-faults.ts'
import { prng } from '../fixtures/csv.ts'

const fault = fc.record<LinkFault>({
  blockOut: fc.boolean(),
  blockIn: fc.boolean(),
  delayMs: fc.double({ min: 0, max: 5000, noNaN: true }),
  jitterMs: fc.double({ min: 0, max: 5000, noNaN: true }),
  loss: fc.double({ min: 0, max: 1, noNaN: true }),
  bytesPerSecond: fc.integer({ min: 1, max: 1e9 })
}, { requiredKeys: [] })

describe('link faults', () => {
  it('a stream stays in order and is never early, whatever the faults', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fault, fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 100 }))), fc.integer(), (pieces, seed) => {
      const lane = new Lane()
      const random = prng(seed)
      let now = 0
      let before = 0
      for (const [how, bytes, pause] of pieces) {
        now += pause
        const due = lane.due(bytes, how, now, random)
        assert.ok(due >= now && due >= before)
        if (how.bytesPerSecond != null) assert.ok(due - now >= 1000 * bytes / how.bytesPerSecond - 1e-6)
        before = due
      }
    }))
  })

  it('a rate is kept: n pieces take the time of their bytes', () => {
    const lane = new Lane()
    let due = 0
    for (let i = 0; i < 10; i++) due = lane.due(125_000, { bytesPerSecond: 1_250_000 }, 5, Math.random)
    assert.equal(due, 1005)
  })

  it('a delay varies by its jitter and no more', () => {
    const random = prng(1)
    const delays = Array.from({ length: 1000 }, () => datagramDelay({ delayMs: 80, jitterMs: 20 }, 'out', random) ?? NaN)
    assert.ok(delays.every(ms => ms >= 60 && ms <= 100))
    assert.ok(Math.min(...delays) < 65 && Math.max(...delays) > 95)
  })

  it('datagrams are lost as often as told, those of a blocked peer always, and others never', () => {
    const random = prng(2)
    const lost = Array.from({ length: 10_000 }, () => datagramDelay({ loss: 0.05 }, 'out', random)).filter(ms => ms == null).length
    assert.ok(lost > 400 && lost < 600, `${lost} of 10000`)
    assert.equal(datagramDelay({ blockOut: true }, 'out', random), undefined)
    assert.equal(datagramDelay({ blockOut: true, loss: 1, delayMs: 5 }, 'in', random), 0)
    assert.equal(datagramDelay({ blockIn: true }, 'in', random), undefined)
    assert.equal(datagramDelay({ blockIn: true }, 'out', random), 0)
    assert.equal(datagramDelay(undefined, 'out', random), 0)
  })

  it('a lost segment costs a stream one round trip where others follow, a timeout where none does', () => {
    // Every draw says "lost", but for further losses.
    const lostOnce = (): () => number => {
      const draws = [0.999, 0, 0.999]
      return () => draws.shift() ?? 0.999
    }
    assert.equal(retransmitDelay(100, { loss: 0.5 }, lostOnce()), 200)
    assert.equal(retransmitDelay(1_000_000, { loss: 0.01, delayMs: 40 }, () => 0.5), 80)
    assert.equal(retransmitDelay(100, { loss: 0 }, () => 0), 0)
    // All lost for ever: bounded.
    assert.equal(retransmitDelay(100, { loss: 1 }, () => 0), 60_000)
  })

  it('a table survives being written and read', () => {
    fc.assert(fc.property(fc.dictionary(fc.string({ minLength: 1 }).filter(key => key !== '__proto__'), fault), table => {
      const written = JSON.parse(JSON.stringify(table)) as unknown
      assert.deepEqual(readLinkFaults(written), written)
    }))
    for (const bad of [null, [], { a: 1 }, { a: { delayMs: -1 } }, { a: { delayMs: '80' } }, { a: { loss: 2 } }, { a: { blockIn: 1 } }, { a: { bytesPerSecond: 0 } }, { a: { speed: 1 } }]) {
      assert.throws(() => readLinkFaults(bad), RangeError, JSON.stringify(bad))
    }
  })

  it('nothing wrong is nothing to do', () => {
    for (const sound of [undefined, {}, { blockIn: false, delayMs: 0, loss: 0 }]) assert.ok(isSound(sound))
    for (const bad of [{ blockOut: true }, { blockIn: true }, { delayMs: 1 }, { jitterMs: 1 }, { loss: 0.1 }, { bytesPerSecond: 1 }]) assert.ok(!isSound(bad))
  })
})
