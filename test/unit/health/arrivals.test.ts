import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Arrivals } from '../../../daemon/health/arrivals.ts'
import { GAPS_MAX, GAPS_MIN, TAIL_SCALE_MS_MIN } from '../../../daemon/health/constants.ts'

function of (gaps: number[]): Arrivals {
  const arrivals = new Arrivals()
  for (const gap of gaps) arrivals.add(gap)
  return arrivals
}

describe('gaps between arrivals', () => {
  it('says nothing before enough are known', () => {
    const few = of(new Array(GAPS_MIN - 1).fill(200))
    assert.equal(few.known, false)
    assert.equal(few.phi(1e9), 0)
    assert.equal(few.limit(8), Number.POSITIVE_INFINITY)
  })

  it('regular gaps: the tail begins at them and has the least scale', () => {
    const regular = of(new Array(100).fill(200))
    const quarter = -Math.log10(0.25)
    assert.ok(Math.abs(regular.phi(200) - quarter) < 1e-9)
    // e^(-x / scale) is a tenth at scale · ln 10
    assert.ok(Math.abs(regular.phi(200 + TAIL_SCALE_MS_MIN * Math.LN10) - quarter - 1) < 1e-9)
  })

  it('one long gap in a hundred moves the limit by its share of the tail', () => {
    const gaps: number[] = new Array(GAPS_MAX).fill(200)
    gaps[10] = 1800
    const before = of(new Array(GAPS_MAX).fill(200)).limit(8)
    const after = of(gaps).limit(8)
    // the mean excess of the longest 16: 100 ms, instead of the least 10
    assert.ok(Math.abs((after - 200) / (before - 200) - 10) < 1e-9, `${before} ${after}`)
  })

  it('forgets the oldest', () => {
    assert.equal(of([...new Array(50).fill(5000), ...new Array(GAPS_MAX).fill(200)]).limit(8), of(new Array(GAPS_MAX).fill(200)).limit(8))
  })

  it('takes nonsense for no gap', () => {
    assert.equal(of([...new Array(GAPS_MIN).fill(0)]).limit(8), of([Number.NaN, -5, ...new Array(GAPS_MIN - 2).fill(0)]).limit(8))
  })

  it('phi grows with the gap, and limit is where it is reached', () => {
    const gap = fc.double({ min: 0, max: 10_000, noNaN: true })
    fc.assert(fc.property(fc.array(gap, { minLength: GAPS_MIN, maxLength: 2 * GAPS_MAX }), gap, gap, fc.double({ min: 1, max: 20, noNaN: true }), (gaps, a, b, phi) => {
      const arrivals = of(gaps)
      const [low, high] = [Math.min(a, b), Math.max(a, b)]
      assert.ok(arrivals.phi(low) <= arrivals.phi(high))
      assert.ok(arrivals.phi(low) >= 0)
      assert.ok(Math.abs(arrivals.phi(arrivals.limit(phi)) - phi) < 1e-6)
    }))
  })
})
