import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { fairShare, full, refilled, spent, TokenBucket, waitMs } from '../../../daemon/network/rate.ts'

describe('network: rates', () => {
  it('never gives more than the burst and what was refilled', () => {
    fc.assert(fc.property(fc.array(fc.record({ wait: fc.integer({ min: 0, max: 500 }), cost: fc.integer({ min: 0, max: 30 }) }), { maxLength: 100 }), steps => {
      const bucket = new TokenBucket()
      let now = 0
      let taken = 0
      for (const { wait, cost } of steps) {
        now += wait
        if (bucket.take(cost, now, 10, 20)) taken += cost
        assert.ok(taken <= 20 + now / 100 + 1e-6)
      }
    }))
  })

  it('gives what is asked for at the rate it refills', () => {
    const bucket = new TokenBucket()
    for (let i = 0; i < 100; i++) assert.ok(bucket.take(1, i * 100, 10, 1), String(i))
    assert.ok(!bucket.take(1, 9900, 10, 1))
  })

  it('is shared alike, up to what one may take', () => {
    assert.equal(fairShare(512, 0, 64), 64)
    assert.equal(fairShare(512, 8, 64), 64)
    assert.equal(fairShare(512, 128, 64), 4)
  })

  it('leaves what is to be kept', () => {
    const bucket = new TokenBucket()
    for (let i = 0; i < 6; i++) assert.ok(bucket.take(1, 0, 1, 10, 4))
    assert.ok(!bucket.take(1, 0, 1, 10, 4))
    assert.ok(bucket.take(1, 0, 1, 10))
  })

  it('never give more than the burst and the rate, whatever the times', () => {
    const limits = { burst: 3, perSecond: 2 }
    fc.assert(fc.property(fc.array(fc.integer({ min: -500, max: 2000 }), { maxLength: 200 }), steps => {
      let [bucket, now, taken] = [full(limits, 0), 0, 0]
      for (const step of steps) {
        now += step
        const left = spent(bucket, limits, now)
        assert.equal(left == null, waitMs(bucket, limits, now) > 0)
        if (left == null) {
          const wait = waitMs(bucket, limits, now)
          bucket = refilled(bucket, limits, now)
          assert.ok(spent(bucket, limits, now + wait) != null, 'the wait is long enough')
          continue
        }
        bucket = left
        taken++
      }
      const forward = steps.reduce((sum, step) => sum + Math.max(0, step), 0)
      assert.ok(taken <= limits.burst + forward / 1000 * limits.perSecond + 1e-6)
    }))
  })
})
