import assert from 'node:assert/strict'
import { FAULTS } from './model.ts'
import { simulate, type SimResult } from './scenario.ts'

/** Seeds that must run without a violation. */
const SEEDS = 400
/** Seeds within which each planted fault must show. */
const FAULT_SEEDS = 2000

function told ({ seed, violation, story, lastEvents }: SimResult): string {
  return `${lastEvents?.join('\n')}\n\n${story?.join('\n') ?? ''}\n\nseed ${seed}: ${violation}\nreplay: npm run sim -- --seed ${seed}`
}

describe('sim', function () {
  this.timeout(120_000)

  it(`${SEEDS} seeds keep every invariant`, () => {
    const ends: Record<string, number> = {}
    const sums = { late: 0, rejected: 0, redone: 0, redispatched: 0, hedged: 0, suspicions: 0, resumed: 0, kept: 0, refused: 0, reused: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const result = simulate({ seed })
      assert.equal(result.violation, undefined, told(result))
      for (const [state, count] of Object.entries(result.jobs)) ends[state] = (ends[state] ?? 0) + count
      for (const name of Object.keys(sums) as Array<keyof typeof sums>) sums[name] += result[name]
    }
    console.log(`      ${Object.entries(ends).map(([state, count]) => `${count} ${state}`).join(', ')}`)
    console.log(`      ${Object.entries(sums).map(([name, count]) => `${count} ${name}`).join(', ')}`)
    // A simulation in which little happens would prove little.
    const total = Object.values(ends).reduce((sum, count) => sum + count, 0)
    assert.ok((ends.done ?? 0) > 0.6 * total, 'most jobs end well')
    assert.ok((ends.cancelled ?? 0) > 0)
    for (const [name, count] of Object.entries(sums)) assert.ok(count > 20, `${count} ${name}`)
  })

  it('runs many nodes', () => {
    const result = simulate({ seed: 9, nodes: 60 })
    assert.equal(result.violation, undefined, told(result))
    assert.ok(result.steps > 10_000)
  })

  it('replays a seed exactly', () => {
    for (const seed of [3, 51, 164, 264]) {
      const [once, again] = [simulate({ seed }), simulate({ seed })]
      assert.equal(once.traceHash, again.traceHash)
      assert.deepEqual(once, again)
    }
    assert.notEqual(simulate({ seed: 3 }).traceHash, simulate({ seed: 4 }).traceHash)
    const [once, again] = [simulate({ seed: 1, fault: 'wrong-merge-order' }), simulate({ seed: 1, fault: 'wrong-merge-order' })]
    assert.deepEqual(once, again)
  })

  it('tells the story of a block', () => {
    const { violation, story } = simulate({ seed: 1, fault: 'wrong-merge-order' })
    assert.ok(violation != null && story != null)
    for (const part of ['is submitted', 'joins with slots', 'gets it as attempt 1', 'result of attempt', 'is durable']) {
      assert.ok(story.some(line => line.includes(part)), `'${part}' is not in\n${story.join('\n')}`)
    }
  })

  for (const fault of FAULTS) {
    it(`finds the planted fault '${fault}'`, () => {
      let found: SimResult | undefined
      for (let seed = 1; seed <= FAULT_SEEDS && found == null; seed++) {
        const result = simulate({ seed, fault })
        if (result.violation != null) found = result
      }
      assert.ok(found != null, `${fault} was not found in ${FAULT_SEEDS} seeds`)
      console.log(`      in seed ${found.seed}: ${found.violation?.split('\n')[0]?.slice(0, 100)}`)
    })
  }
})
