import assert from 'node:assert/strict'
import { FAULTS } from './model.ts'
import { simulate, type SimResult } from './scenario.ts'

/** Seeds that must run without a violation. */
const SEEDS = 500
/** Seeds within which each planted fault must show. */
const FAULT_SEEDS = 500

function told ({ seed, violation, lastEvents }: SimResult): string {
  return `${lastEvents?.join('\n')}\n\nseed ${seed}: ${violation}\nreplay: npm run sim -- --seed ${seed}`
}

describe('sim', function () {
  this.timeout(120_000)

  it(`${SEEDS} seeds keep every invariant`, () => {
    const ends: Record<string, number> = {}
    let late = 0
    let rejected = 0
    let redone = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const result = simulate({ seed })
      assert.equal(result.violation, undefined, told(result))
      for (const [state, count] of Object.entries(result.jobs)) ends[state] = (ends[state] ?? 0) + count
      late += result.late
      rejected += result.rejected
      redone += result.redone
    }
    console.log(`      ${Object.entries(ends).map(([state, count]) => `${count} ${state}`).join(', ')}; ${late} late results, ${rejected} rejected, ${redone} redone`)
    // A simulation in which little happens would prove little.
    const total = Object.values(ends).reduce((sum, count) => sum + count, 0)
    assert.ok((ends.done ?? 0) > 0.6 * total, 'most jobs end well')
    assert.ok((ends.cancelled ?? 0) > 0 && (ends.interrupted ?? 0) > 0)
    assert.ok(late > 50 && rejected > 50 && redone > 500)
  })

  it('replays a seed exactly', () => {
    for (const seed of [3, 51, 164, 2264]) {
      const [once, again] = [simulate({ seed }), simulate({ seed })]
      assert.equal(once.traceHash, again.traceHash)
      assert.deepEqual(once, again)
    }
    assert.notEqual(simulate({ seed: 3 }).traceHash, simulate({ seed: 4 }).traceHash)
    const [once, again] = [simulate({ seed: 2, fault: 'lost-requeue' }), simulate({ seed: 2, fault: 'lost-requeue' })]
    assert.deepEqual(once, again)
  })

  for (const fault of FAULTS) {
    it(`finds the planted fault '${fault}'`, () => {
      const found: SimResult[] = []
      for (let seed = 1; seed <= FAULT_SEEDS; seed++) {
        const result = simulate({ seed, fault })
        if (result.violation != null) found.push(result)
      }
      const first = found[0]
      assert.ok(first != null, `${fault} was not found in ${FAULT_SEEDS} seeds`)
      console.log(`      in ${found.length} of ${FAULT_SEEDS} seeds, first in ${first.seed}: ${first.violation?.slice(0, 100)}`)
    })
  }
})
