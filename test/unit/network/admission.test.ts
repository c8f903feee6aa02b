import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { LOCAL_GROUP } from '../../../daemon/network/address.ts'
import { Admissions } from '../../../daemon/network/admission.ts'

const LIMITS = { all: 12, strangers: 8, group: 5, groupStrangers: 3, local: 10 }

describe('network: inbound connections', () => {
  it('of one group are limited, strangers more than members; the oldest stranger makes room', () => {
    const open = new Admissions<string>(true, LIMITS)
    for (const key of ['a1', 'a2', 'a3']) assert.deepEqual(open.admit(key, 'a'), { admitted: true })
    assert.deepEqual(open.admit('a4', 'a'), { admitted: true, evict: 'a1' })
    for (const key of ['a2', 'a3', 'a4']) open.greeted(key)
    for (const key of ['a5', 'a6']) assert.deepEqual(open.admit(key, 'a'), { admitted: true })
    assert.deepEqual(open.admit('a7', 'a'), { admitted: true, evict: 'a5' })
    for (const key of ['a6', 'a7']) open.greeted(key)
    assert.deepEqual(open.admit('a8', 'a'), { admitted: false, reason: '5 connections from a' })
    open.closed('a2')
    assert.deepEqual(open.admit('a8', 'a'), { admitted: true })
  })

  it('of members of a private network do not count towards their group', () => {
    const open = new Admissions<number>(false, LIMITS)
    for (let i = 0; i < LIMITS.all; i++) {
      assert.deepEqual(open.admit(i, 'a'), { admitted: true })
      open.greeted(i)
    }
    assert.deepEqual(open.admit(99, 'b'), { admitted: false, reason: '12 connections' })
  })

  it('make room for a newcomer from elsewhere at the cost of the largest group of strangers', () => {
    const open = new Admissions<string>(true, LIMITS)
    for (let i = 0; i < 3; i++) open.admit(`a${i}`, 'a')
    for (let i = 0; i < 3; i++) open.admit(`b${i}`, 'b')
    for (let i = 0; i < 2; i++) open.admit(`c${i}`, 'c')
    const decision = open.admit('d', 'd')
    assert.ok(decision.admitted)
    assert.ok(['a0', 'b0'].includes(decision.evict ?? ''))
  })

  it('share one larger limit where they come from this machine or laboratory', () => {
    const open = new Admissions<number>(true, LIMITS)
    for (let i = 0; i < LIMITS.local; i++) {
      assert.deepEqual(open.admit(i, LOCAL_GROUP), { admitted: true })
      open.greeted(i)
    }
    assert.equal(open.admit(99, LOCAL_GROUP).admitted, false)
    assert.equal(open.admit(99, 'a').admitted, true)
  })

  it('keep every limit, and no flood of strangers closes a member\'s', () => {
    type Step = { kind: 'open', group: string } | { kind: 'greet' | 'close', pick: number }
    const group = fc.constantFrom('a', 'b', 'c', LOCAL_GROUP)
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('open' as const), group }) },
      fc.record({ kind: fc.constantFrom('greet' as const, 'close' as const), pick: fc.nat() })
    )
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, membersCount) => {
      const admissions = new Admissions<number>(membersCount, LIMITS)
      const open = new Map<number, { group: string, stranger: boolean }>()
      let next = 0
      for (const one of steps) {
        if (one.kind === 'open') {
          const key = next++
          const decision = admissions.admit(key, one.group)
          if (!decision.admitted) continue
          if (decision.evict !== undefined) {
            assert.equal(open.get(decision.evict)?.stranger, true, 'only strangers make room')
            open.delete(decision.evict)
          }
          open.set(key, { group: one.group, stranger: true })
        } else if (open.size > 0) {
          const key = [...open.keys()][one.pick % open.size] as number
          if (one.kind === 'close') {
            admissions.closed(key)
            open.delete(key)
          } else {
            admissions.greeted(key)
            open.set(key, { ...open.get(key) as { group: string, stranger: boolean }, stranger: false })
          }
        }
        const all = [...open.values()]
        assert.equal(admissions.size, all.length)
        assert.ok(all.length <= LIMITS.all)
        assert.ok(all.filter(({ stranger }) => stranger).length <= LIMITS.strangers)
        for (const name of ['a', 'b', 'c']) {
          const of = all.filter(({ group: other }) => other === name)
          assert.ok(of.filter(({ stranger }) => stranger).length <= LIMITS.groupStrangers)
          if (membersCount) assert.ok(of.length <= LIMITS.group)
        }
      }
    }))
  })

  it('let a newcomer from another group in however many strangers there are', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', LOCAL_GROUP), { maxLength: 60 }), groups => {
      const open = new Admissions<number>(true, LIMITS)
      for (const [i, group] of groups.entries()) open.admit(i, group)
      assert.equal(open.admit(1000, 'elsewhere').admitted, true)
    }))
  })
})
