import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Breaker, Breakers, type BreakerRules } from '../../../daemon/coordinator/breaker.ts'
import { BREAKER_FORGIVE, BREAKERS_MAX } from '../../../daemon/coordinator/constants.ts'

const RULES: BreakerRules = { failures: 3, ms: 1000, msMax: 60_000 }
const most = (): number => 1
const least = (): number => 0

function tripped (level: number): Breaker {
  const breaker = new Breaker(RULES)
  for (let i = 0; i < level; i++) breaker.trip('crash', 0, most)
  return breaker
}

describe('coordinator/breaker', () => {
  it('opens at the third failure in a row, for a while, and then lets one block through', () => {
    const breaker = new Breaker(RULES)
    assert.deepEqual([breaker.bad('crash', false, 0, most), breaker.bad('crash', false, 0, most)], [false, false])
    assert.equal(breaker.room(0), Infinity)
    assert.equal(breaker.bad('hang', false, 0, most), true)
    assert.deepEqual([breaker.state(999), breaker.room(999), breaker.state(1000), breaker.room(1000)], ['open', 0, 'half-open', 1])
    assert.equal(breaker.give(), true)
    assert.equal(breaker.room(1000), 0)
    assert.deepEqual(breaker.record('w', 1000), { worker: 'w', state: 'half-open', cause: 'hang', level: 1, retryAt: 1000 })
  })

  it('closes with the trial, and opens for twice as long if it fails', () => {
    const good = tripped(1)
    good.give()
    assert.equal(good.good(true), true)
    assert.equal(good.state(1000), 'closed')
    const bad = tripped(1)
    bad.give()
    assert.equal(bad.bad('crash', true, 1000, most), true)
    assert.equal(bad.retryAt, 3000)
  })

  it('takes nothing that was out before it opened for the trial', () => {
    const breaker = tripped(1)
    breaker.give()
    assert.equal(breaker.good(false), false)
    assert.equal(breaker.bad('crash', false, 1000, most), false)
    assert.deepEqual([breaker.state(1000), breaker.room(1000)], ['half-open', 0])
  })

  it('lets the next trial go when the last one was called off', () => {
    const breaker = tripped(1)
    breaker.give()
    breaker.back()
    assert.equal(breaker.room(1000), 1)
    breaker.back()
    assert.equal(breaker.room(1000), 1)
  })

  it('draws half of the while, and never passes the limit', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (level, drawn) => {
      const breaker = tripped(level - 1)
      breaker.trip('lost', 0, () => drawn)
      const full = Math.min(RULES.msMax, RULES.ms * 2 ** (level - 1))
      assert.ok(breaker.retryAt >= full / 2 && breaker.retryAt <= full, `${breaker.retryAt} of ${full}`)
    }))
  })

  it('bears one failure in three, and not one in two', () => {
    const after = (every: number): boolean => {
      const breaker = new Breaker(RULES)
      for (let i = 1; i <= 300; i++) {
        if (i % every === 0) breaker.bad('transfer', false, 0, least)
        else breaker.good(false)
      }
      return breaker.closed
    }
    assert.deepEqual([after(3), after(2)], [true, false])
  })

  it('forgives one doubling for so many good results in a row', () => {
    const breaker = tripped(3)
    breaker.give()
    for (let i = 0; i < 2 * BREAKER_FORGIVE; i++) breaker.good(i === 0)
    assert.equal(breaker.record('w', 0).level, 1)
  })
})

describe('coordinator/breaker: between jobs', () => {
  it('a later job of the converter begins with what an earlier one learned', () => {
    const breakers = new Breakers()
    breakers.set('csv', tripped(2).record('a', 0))
    breakers.set('png', tripped(1).record('b', 0))
    const [known, ...more] = breakers.of('csv')
    assert.deepEqual([known?.worker, more], ['a', []])
    const later = new Breaker(RULES, known)
    assert.deepEqual([later.state(1999), later.state(2000)], ['open', 'half-open'])
  })

  it('forgets who is as good as new, and the oldest where there are too many', () => {
    const breakers = new Breakers()
    for (let i = 0; i <= BREAKERS_MAX; i++) breakers.set('csv', tripped(1).record(`w${i}`, 0))
    const workers = [...breakers.of('csv')].map(({ worker }) => worker)
    assert.deepEqual([workers.length, workers[0]], [BREAKERS_MAX, 'w1'])
    breakers.set('csv', new Breaker(RULES).record('w1', 0))
    assert.equal([...breakers.of('csv')][0]?.worker, 'w2')
  })
})
