import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DEAD_AFTER_MS, HEARTBEAT_MS, LOOP_WINDOW_MS, SUSPECT_AFTER_MS, createDetector, limitAt, verdictAt } from '../../../daemon/health/index.ts'

describe('failure detector', () => {
  describe('limitAt', () => {
    const table: Array<[last: number, limit: number, ownDelay: number, at: number]> = [
      [0, 2000, 0, 2000],
      [1000, 2000, 0, 3000],
      [1000, 5000, 250, 6250],
      [1000, 5000, 60_000, 66_000],
      [1000, 2000, -50, 3000],
      [1000, 2000, Number.NaN, 3000],
      [0.5, 0.25, 0.125, 0.875]
    ]
    for (const [last, limit, ownDelay, at] of table) {
      it(`last ${last}, limit ${limit}, own delay ${ownDelay}: ${at}`, () => {
        assert.equal(limitAt(last, limit, ownDelay), at)
      })
    }
  })

  describe('verdictAt', () => {
    const limits = { suspectMs: 2000, deadMs: 5000, lookMs: 500 }
    const table: Array<[now: number, ownDelay: number, verdict: string]> = [
      [100, 0, 'alive'],
      [2099, 0, 'alive'],
      [2100, 0, 'suspect'],
      [5099, 0, 'suspect'],
      [5100, 0, 'dead'],
      [2100, 1, 'alive'],
      [2101, 1, 'suspect'],
      [5100, 3001, 'alive'],
      [5100, 3000, 'suspect'],
      [8099, 3000, 'suspect'],
      [8100, 3000, 'dead'],
      [50, 0, 'alive']
    ]
    for (const [now, ownDelay, verdict] of table) {
      it(`silent since 100, now ${now}, own delay ${ownDelay}: ${verdict}`, () => {
        assert.equal(verdictAt(now, 100, ownDelay, limits), verdict)
      })
    }
  })

  it('counts its creation as a sign of life, and every beat', () => {
    const detector = createDetector(1000)
    assert.equal(detector.verdict(1000 + SUSPECT_AFTER_MS - 1, 0), 'alive')
    assert.equal(detector.verdict(1000 + SUSPECT_AFTER_MS, 0), 'suspect')
    detector.beat(1000 + SUSPECT_AFTER_MS)
    assert.equal(detector.verdict(1000 + SUSPECT_AFTER_MS, 0), 'alive')
    assert.equal(detector.verdict(1000 + SUSPECT_AFTER_MS + DEAD_AFTER_MS, 0), 'dead')
  })

  it('takes a suspect back after a beat', () => {
    const detector = createDetector(0)
    assert.equal(detector.verdict(DEAD_AFTER_MS - 1, 0), 'suspect')
    detector.beat(DEAD_AFTER_MS - 1)
    assert.equal(detector.verdict(DEAD_AFTER_MS, 0), 'alive')
  })

  it('ignores a beat older than one it knows', () => {
    const detector = createDetector(0)
    detector.beat(4000)
    detector.beat(1000)
    assert.equal(detector.verdict(4000 + SUSPECT_AFTER_MS - 1, 0), 'alive')
  })

  it('accuses nobody on waking from a pause of its own', () => {
    const detector = createDetector(0)
    detector.beat(400)
    const pause = 60_000
    assert.equal(detector.verdict(400 + pause, pause), 'alive')
    // Still silent a whole limit after it woke up: dead, as the lateness is forgotten by then.
    assert.ok(LOOP_WINDOW_MS <= DEAD_AFTER_MS)
    assert.equal(detector.verdict(400 + pause + DEAD_AFTER_MS, 0), 'dead')
  })

  it('refuses limits out of order', () => {
    assert.throws(() => createDetector(0, { suspectMs: 5, deadMs: 5 }), RangeError)
    assert.throws(() => createDetector(0, { suspectMs: 0 }), RangeError)
    assert.throws(() => createDetector(0, { lookMs: 0 }), RangeError)
    assert.throws(() => createDetector(0, { deadMs: Number.NaN }), RangeError)
  })

  it('sees every change in time by looking when nextLook says', () => {
    fc.assert(fc.property(
      fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 30 }),
      fc.integer({ min: 0, max: 10_000 }),
      (beats, ownDelay) => {
        const detector = createDetector(0)
        const last = Math.max(0, ...beats)
        for (const at of beats) detector.beat(at)
        let now = last
        const seen = new Map<string, number>()
        while (!seen.has('dead')) {
          const verdict = detector.verdict(now, ownDelay)
          if (!seen.has(verdict)) seen.set(verdict, now)
          const next = detector.nextLook(now)
          assert.ok(next > now, 'looks forward')
          now = next
        }
        const slack = ownDelay > 0 ? HEARTBEAT_MS : 0
        assert.ok((seen.get('suspect') ?? Infinity) <= limitAt(last, SUSPECT_AFTER_MS, ownDelay) + slack)
        assert.ok((seen.get('dead') ?? Infinity) <= limitAt(last, DEAD_AFTER_MS, ownDelay) + slack)
      }
    ))
  })
})
