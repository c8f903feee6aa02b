import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { LOCAL_GROUP } from '../../../daemon/network/address.ts'
import { Admissions, type Admission } from '../../../daemon/network/admission.ts'
import { GROUP_CONNECTIONS_MAX, GROUP_STRANGERS_MAX, INBOUND_MAX, MEMBER_STAY_MS, NEWCOMER_PLACES, PEER_CONNECTIONS_KEPT, PEER_CONNECTIONS_MAX, PLACES_SCARCE, STRANGERS_MAX } from '../../../daemon/network/constants.ts'

const LIMITS = { all: 12, strangers: 8, scarce: 4, group: 5, groupStrangers: 3, local: 10, newcomers: 2, kept: 2, stayMs: 100 }

const YES: Admission<never> = { admitted: true }

/** Admissions with a clock that is set by hand, and connections with work on them. */
function setUp (membersCount: boolean, limits: ConstructorParameters<typeof Admissions>[1] = LIMITS): {
  admissions: Admissions<string>
  busy: Set<string>
  clock: { now: number }
  admit: (key: string, group: string) => Admission<string>
  join: (key: string, group: string, peer?: string) => Admission<string>
} {
  const admissions = new Admissions<string>(membersCount, limits)
  const busy = new Set<string>()
  const clock = { now: 0 }
  const admit = (key: string, group: string): Admission<string> => admissions.admit(key, group, { now: clock.now, busy: one => busy.has(one) })
  return {
    admissions,
    busy,
    clock,
    admit,
    join: (key, group, peer = key) => {
      const decision = admit(key, group)
      if (decision.admitted) admissions.greeted(key, peer, clock.now)
      return decision
    }
  }
}

describe('network: inbound connections', () => {
  it('before hello are limited by group; the oldest makes room', () => {
    const { admissions, admit } = setUp(true)
    for (const key of ['a1', 'a2', 'a3']) assert.deepEqual(admit(key, 'a'), YES)
    assert.deepEqual(admit('a4', 'a'), { admitted: true, evict: 'a1' })
    admissions.closed('a2')
    assert.deepEqual(admit('a5', 'a'), YES)
  })

  it('of a group are limited while places are scarce, but not before', () => {
    const { admit, join, busy } = setUp(true, { ...LIMITS, scarce: 8 })
    for (let i = 0; i < 7; i++) assert.deepEqual(join(`a${i}`, 'a'), YES, 'many members behind one address')
    for (let i = 0; i < 7; i++) busy.add(`a${i}`)
    join('b', 'b')
    assert.deepEqual(admit('a8', 'a'), { admitted: false, reason: '5 connections from a' })
    assert.deepEqual(admit('c', 'c'), YES)
  })

  it('of a lab behind one address all find a place in an open network', () => {
    const { join } = setUp(true, {})
    for (let i = 0; i < 40; i++) assert.deepEqual(join(`a${i}`, 'a'), YES)
    assert.ok(GROUP_CONNECTIONS_MAX < 40 && PLACES_SCARCE < INBOUND_MAX)
  })

  it('of members of a private network do not count towards their group', () => {
    const { admit, join } = setUp(false)
    for (let i = 0; i < LIMITS.all; i++) assert.deepEqual(join(`a${i}`, 'a'), YES)
    assert.deepEqual(admit('b', 'b'), { admitted: true, evict: 'a11' }, 'there is no other limit')
  })

  it('make room for a newcomer from elsewhere at the cost of the largest group of strangers', () => {
    const { admit } = setUp(true)
    for (let i = 0; i < 3; i++) admit(`a${i}`, 'a')
    for (let i = 0; i < 3; i++) admit(`b${i}`, 'b')
    for (let i = 0; i < 2; i++) admit(`c${i}`, 'c')
    const decision = admit('d', 'd')
    assert.ok(decision.admitted)
    assert.ok(['a0', 'b0'].includes(decision.evict ?? ''))
  })

  it('that a member has to spare go first, whoever is busy', () => {
    const { admit, join, busy } = setUp(false)
    for (let i = 0; i < 8; i++) join(`old${i}`, 'a')
    for (let i = 0; i < 4; i++) join(`x${i}`, 'b', 'x')
    busy.add('x3')
    assert.deepEqual(admit('n1', 'c'), { admitted: true, evict: 'x2' })
    assert.deepEqual(admit('n2', 'c'), { admitted: true, evict: 'x1' })
    assert.equal((admit('n3', 'c') as { evict?: string }).evict, 'n1', 'each keeps two, and newcomers have their places')
  })

  it('of many identities with several connections each do not keep a newcomer out', () => {
    const { admit, admissions, clock } = setUp(true, {})
    const peers = INBOUND_MAX / PEER_CONNECTIONS_MAX
    for (let i = 0; i < INBOUND_MAX; i++) {
      assert.ok(admit(`x${i}`, LOCAL_GROUP).admitted)
      admissions.greeted(`x${i}`, `peer ${i % peers}`, clock.now)
    }
    for (let i = 0; i < peers * (PEER_CONNECTIONS_MAX - PEER_CONNECTIONS_KEPT); i++) {
      assert.match((admit(`n${i}`, LOCAL_GROUP) as { evict?: string }).evict ?? '', /^x/)
      admissions.greeted(`n${i}`, `member ${i}`, clock.now)
    }
    assert.equal(admit('late', LOCAL_GROUP).admitted, false, 'everybody has had no time yet')
    clock.now = MEMBER_STAY_MS
    assert.ok(admit('late', LOCAL_GROUP).admitted)
  })

  it('of idle members are yielded by the largest group, the youngest first; never one with work', () => {
    const { admit, join, busy, clock } = setUp(false)
    for (let i = 0; i < 5; i++) join(`b${i}`, 'b')
    for (let i = 0; i < 7; i++) {
      clock.now = i
      join(`a${i}`, 'a')
    }
    busy.add('a6')
    assert.deepEqual(admit('n', 'n'), { admitted: true, evict: 'a5' }, 'at once for a newcomer of a smaller group')
    for (const key of ['a0', 'a1', 'a2', 'a3', 'a4', 'b0', 'b1', 'b2', 'b3', 'b4', 'n']) busy.add(key)
    assert.deepEqual(admit('n2', 'n'), { admitted: true, evict: 'n' })
    const { admit: other, join: work, busy: all } = setUp(false)
    for (let i = 0; i < LIMITS.all; i++) {
      work(`a${i}`, 'a')
      all.add(`a${i}`)
    }
    assert.deepEqual(other('n', 'n'), { admitted: false, reason: '12 connections' })
  })

  it('of members stay for a while before they yield to their like, and who has been there for long stays', () => {
    const { admit, join, clock } = setUp(false)
    for (let i = 0; i < LIMITS.all; i++) join(`a${i}`, 'a')
    assert.equal(admit('n', 'a').admitted, false)
    const gone = new Set<string>()
    for (let i = 0; i < 50; i++) {
      clock.now += LIMITS.stayMs
      const decision = join(`n${i}`, 'a')
      assert.ok(decision.admitted)
      gone.add(decision.evict ?? '')
    }
    for (let i = 0; i < LIMITS.all - LIMITS.newcomers; i++) assert.ok(!gone.has(`a${i}`), `a${i}`)
  })

  it('leave newcomers places enough for hello to end', () => {
    const { admit, join, clock } = setUp(true, {})
    for (let i = 0; i < INBOUND_MAX; i++) join(`m${i}`, LOCAL_GROUP)
    clock.now = MEMBER_STAY_MS
    for (let i = 0; i < NEWCOMER_PLACES; i++) assert.match((admit(`n${i}`, LOCAL_GROUP) as { evict?: string }).evict ?? '', /^m/)
    for (let i = 0; i < 100; i++) assert.match((admit(`f${i}`, LOCAL_GROUP) as { evict?: string }).evict ?? '', /^[nf]/, 'a flood of strangers takes no more of the members\'')
    assert.ok(GROUP_STRANGERS_MAX < STRANGERS_MAX)
  })

  it('keep every limit, close none with work on it, and no flood of strangers closes many', () => {
    type Step = { kind: 'open', group: string } | { kind: 'greet' | 'close' | 'work', pick: number } | { kind: 'wait' }
    const group = fc.constantFrom('a', 'b', 'c', LOCAL_GROUP)
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('open' as const), group }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('greet' as const, 'close' as const, 'work' as const), pick: fc.nat() }) },
      fc.record({ kind: fc.constant('wait' as const) })
    )
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, membersCount) => {
      const { admissions, busy, clock, admit } = setUp(membersCount)
      const open = new Map<string, { group: string, stranger: boolean }>()
      let next = 0
      for (const one of steps) {
        if (one.kind === 'wait') {
          clock.now += LIMITS.stayMs
        } else if (one.kind === 'open') {
          const key = String(next++)
          const strangers = [...open.values()].filter(({ stranger }) => stranger)
          const decision = admit(key, one.group)
          if (!decision.admitted) continue
          if (decision.evict !== undefined) {
            const evicted = open.get(decision.evict)
            assert.ok(evicted != null && !busy.has(decision.evict))
            if (!evicted.stranger) assert.ok(Math.min(strangers.length, strangers.filter(({ group: of }) => of === one.group).length) < LIMITS.newcomers, 'strangers have their places')
            open.delete(decision.evict)
          }
          open.set(key, { group: one.group, stranger: true })
        } else if (open.size > 0) {
          const key = [...open.keys()][one.pick % open.size] as string
          const entry = open.get(key) as { group: string, stranger: boolean }
          if (one.kind === 'close') {
            admissions.closed(key)
            busy.delete(key)
            open.delete(key)
          } else if (one.kind === 'greet') {
            admissions.greeted(key, `peer ${one.pick % 5}`, clock.now)
            open.set(key, { ...entry, stranger: false })
          } else if (!entry.stranger) {
            busy.add(key)
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
      const { admit } = setUp(true)
      for (const [i, group] of groups.entries()) admit(`${i}`, group)
      assert.equal(admit('last', 'elsewhere').admitted, true)
    }))
  })
})
