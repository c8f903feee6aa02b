import assert from 'node:assert/strict'
import fc from 'fast-check'
import { KINDS, planOf, steadyOf } from '../../../scripts/chaos/plan.ts'

const options = fc.record({ seed: fc.nat(), minutes: fc.integer({ min: 1, max: 30 }), nodes: fc.integer({ min: 5, max: 12 }), requesters: fc.integer({ min: 1, max: 3 }) })

describe('a plan of chaos', () => {
  it('is the same for the same seed, and another one for another', () => {
    const of = (seed: number): ReturnType<typeof planOf> => planOf({ seed, minutes: 5, nodes: 8, requesters: 3 })
    assert.deepEqual(of(1), of(1))
    assert.notDeepEqual(of(1), of(2))
  })

  it('has every sort of fault, and kills requesters, in half an hour', () => {
    const plan = planOf({ seed: 1, minutes: 30, nodes: 8, requesters: 3 })
    for (const kind of KINDS) assert.ok(plan.filter(one => one.kind === kind).length > 20, kind)
    assert.ok(plan.some(({ kind, node }) => kind === 'kill' && node === 'n0'))
  })

  it('never disturbs a node twice at a time, more than half of the nodes, or anybody after the end; steady nodes never end', () => {
    fc.assert(fc.property(options, all => {
      const plan = planOf(all)
      const steady = steadyOf(all)
      for (const [i, one] of plan.entries()) {
        const meanwhile = plan.slice(0, i).filter(other => other.at + other.forMs > one.at)
        assert.ok(!meanwhile.some(({ node }) => node === one.node))
        assert.ok(meanwhile.length + 1 <= all.nodes / 2)
        assert.ok(one.at + one.forMs <= all.minutes * 60_000)
        assert.ok(!steady.includes(one.node) || !['kill', 'leave'].includes(one.kind))
      }
    }))
  })
})
