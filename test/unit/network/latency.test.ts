import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { RTT_SAMPLES_MAX } from '../../../daemon/network/constants.ts'
import { bandOf, leastOf, withSample } from '../../../daemon/network/latency.ts'

describe('network: latency', () => {
  it('has its bands', () => {
    for (const [rtt, band] of [[0, 'lan'], [2.99, 'lan'], [3, 'metro'], [9.99, 'metro'], [10, 'regional'], [30, 'global'], [99, 'global'], [100, 'far'], [1e9, 'far'], [Infinity, 'far'], [undefined, 'unknown'], [NaN, 'unknown'], [-1, 'unknown']] as const) assert.equal(bandOf(rtt), band, String(rtt))
  })

  it('counts the least of the last few', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { maxLength: 20 }), values => {
      const samples = values.reduce<number[]>((all, value) => withSample(all, value), [])
      assert.ok(samples.length <= RTT_SAMPLES_MAX)
      const last = values.slice(-RTT_SAMPLES_MAX)
      assert.equal(leastOf(samples), last.length === 0 ? undefined : Math.min(...last))
    }))
  })
})
