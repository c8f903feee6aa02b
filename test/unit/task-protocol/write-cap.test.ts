import assert from 'node:assert/strict'
import fc from 'fast-check'
import { WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES_MIN } from '../../../daemon/task-protocol/constants.ts'
import { drainedRate, newRate, RATE_SAMPLE_MS, writeCap } from '../../../daemon/task-protocol/write-cap.ts'

const MIB = 1 << 20

describe('write cap', () => {
  const table: Array<[rate: number | undefined, streams: number, cap: number]> = [
    [undefined, 1, 4 * MIB],
    [undefined, 0, 4 * MIB],
    [undefined, 2, 2 * MIB],
    [500 * MIB, 1, 4 * MIB],
    [16 * MIB, 1, 4 * MIB],
    [12 * MIB, 1, 3 * MIB],
    [12 * MIB, 3, MIB],
    [12 * MIB, 100, WRITE_BUFFER_BYTES_MIN],
    [1000, 1, WRITE_BUFFER_BYTES_MIN],
    [0, 1, WRITE_BUFFER_BYTES_MIN]
  ]
  for (const [rate, streams, cap] of table) {
    it(`${rate ?? 'no'} bytes per second, ${streams} streams: ${cap}`, () => { assert.equal(writeCap(rate, streams), cap) })
  }

  it('is never outside its bounds', () => {
    fc.assert(fc.property(fc.option(fc.double({ min: 0, noNaN: true }), { nil: undefined }), fc.nat(), (rate, streams) => {
      const cap = writeCap(rate, streams)
      assert.ok(cap >= WRITE_BUFFER_BYTES_MIN && cap <= WRITE_BUFFER_BYTES)
    }))
  })

  describe('the measured rate', () => {
    it('is that of a steady line', () => {
      let state = drainedRate(newRate(), 0, true, 0)
      for (let now = 10; now <= 1000; now += 10) state = drainedRate(state, 10_000, true, now)
      assert.ok(Math.abs(state.rate! - 1_000_000) < 1)
    })

    it('follows a line that becomes slower', () => {
      let state = drainedRate(newRate(), 0, true, 0)
      for (let now = 10; now <= 1000; now += 10) state = drainedRate(state, 10_000, true, now)
      for (let now = 1010; now <= 3000; now += 10) state = drainedRate(state, 1000, true, now)
      assert.ok(state.rate! < 120_000)
    })

    it('does not count the time in which nothing was queued', () => {
      let state = drainedRate(newRate(), 0, true, 0)
      state = drainedRate(state, 100_000, false, 100)
      assert.equal(state.rate, 1_000_000)
      state = drainedRate(state, 0, true, 100_000)
      state = drainedRate(state, 100_000, true, 100_100)
      assert.equal(state.rate, 1_000_000)
    })

    it('needs a sample of some length', () => {
      let state = drainedRate(newRate(), 0, true, 0)
      state = drainedRate(state, 1_000_000, true, RATE_SAMPLE_MS - 1)
      assert.equal(state.rate, undefined)
      state = drainedRate(state, 0, true, RATE_SAMPLE_MS)
      assert.equal(state.rate, 1_000_000 * 1000 / RATE_SAMPLE_MS)
    })
  })
})
