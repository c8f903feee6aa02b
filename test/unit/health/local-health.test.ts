import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createLocalHealth, LATE_MS, LOCAL_HEALTH_FACTOR_MAX, LOCAL_HEALTH_MAX, LOCAL_HEALTH_MS, LOCAL_HEALTH_STEP } from '../../../daemon/health/index.ts'

describe('local health', () => {
  it('begins sound, suffers from late timers and refuted suspicions, recovers with timers in time', () => {
    const health = createLocalHealth()
    assert.equal(health.factor(), 1)
    health.timer(LATE_MS + 1, 0)
    assert.equal(health.score, 1)
    health.refuted(LOCAL_HEALTH_MS)
    assert.equal(health.factor(), 1 + 2 * LOCAL_HEALTH_STEP)
    health.timer(LATE_MS, 2 * LOCAL_HEALTH_MS)
    health.timer(0, 3 * LOCAL_HEALTH_MS)
    assert.equal(health.score, 0)
  })

  it('counts what happens at the same time once', () => {
    const health = createLocalHealth()
    for (let i = 0; i < 64; i++) health.timer(5000, 100 + i)
    assert.equal(health.score, 1)
    for (let i = 0; i < 64; i++) health.timer(0, 200 + i)
    assert.equal(health.score, 1)
  })

  it('stays within its bounds, whatever happens', () => {
    fc.assert(fc.property(fc.array(fc.record({ after: fc.nat(2000), lateMs: fc.nat(1000), refuted: fc.boolean() })), events => {
      const health = createLocalHealth()
      let now = 0
      for (const { after, lateMs, refuted } of events) {
        now += after
        if (refuted) health.refuted(now)
        else health.timer(lateMs, now)
        assert.ok(health.score >= 0 && health.score <= LOCAL_HEALTH_MAX)
        assert.ok(health.factor() >= 1 && health.factor() <= LOCAL_HEALTH_FACTOR_MAX)
      }
    }))
  })

  it('a node planted not to doubt itself does not', () => {
    const health = createLocalHealth({ faults: new Set(['no-self-doubt']) })
    health.timer(5000, 0)
    assert.equal(health.factor(), 1)
  })
})
