import assert from 'node:assert/strict'
import fc from 'fast-check'
import { KeptResults, type KeptFault, type KeptLimits } from '../../../daemon/task-protocol/kept-results.ts'

const LIMITS: KeptLimits = { keepMs: 1000, memoryBytes: 100, diskBytes: 1000, entries: 5 }

interface Kept { requester: string, identity: string }

/** Random puts and takes; what is wrong with what came out. */
function problemsOf (actions: Array<[requester: number, identity: number, bytes: number, disk: boolean, take: boolean, wait: number]>, faults: KeptFault[] = []): string[] {
  const kept = new KeptResults<Kept & { gone?: true }>(LIMITS, new Set(faults))
  const problems: string[] = []
  const live = new Map<Kept & { gone?: true }, { until: number, bytes: number, disk: boolean }>()
  let now = 0
  const out = (value: Kept & { gone?: true }): void => {
    if (value.gone === true) problems.push('given out twice')
    value.gone = true
    live.delete(value)
  }
  for (const [who, what, bytes, disk, take, wait] of actions) {
    now += wait
    const requester = `r${who}`
    const identity = `i${what}`
    if (take) {
      const value = kept.take(requester, identity, now)
      if (value == null) continue
      if (value.requester !== requester) problems.push(`${requester} was given what is ${value.requester}'s`)
      if (value.identity !== identity) problems.push(`${value.identity} for ${identity}`)
      if (now > (live.get(value)?.until ?? now)) problems.push('kept for too long')
      out(value)
    } else {
      const value = { requester, identity }
      live.set(value, { until: now + LIMITS.keepMs, bytes, disk })
      for (const gone of kept.put(requester, identity, { value, bytes, place: disk ? 'disk' : 'memory' }, now)) out(gone)
      const sum = (of: boolean): number => [...live.values()].filter(entry => entry.disk === of).reduce((all, entry) => all + entry.bytes, 0)
      const { memory, disk: onDisk } = kept.bytes
      if (memory !== sum(false) || onDisk !== sum(true)) problems.push(`counts ${memory} and ${onDisk} bytes of ${sum(false)} and ${sum(true)}`)
      if (memory > LIMITS.memoryBytes || onDisk > LIMITS.diskBytes || kept.size > LIMITS.entries) problems.push('beyond its limits')
    }
    if (kept.size !== live.size) problems.push(`${kept.size} kept, ${live.size} not given back`)
  }
  for (const value of kept.clear()) out(value)
  if (live.size > 0 || kept.size > 0) problems.push('not all was given back')
  return problems
}

const actions = fc.array(fc.tuple(fc.nat(2), fc.nat(3), fc.nat(60), fc.boolean(), fc.boolean(), fc.nat(400)), { minLength: 1, maxLength: 60 })

describe('kept results', () => {
  it('go to whom and for what they were kept, once, in time, within the limits, and each is given back', () => {
    fc.assert(fc.property(actions, list => { assert.deepEqual(problemsOf(list), []) }), { numRuns: 500 })
  })

  for (const fault of ['redelivery-wrong-block', 'redelivery-any-requester', 'redelivery-kept-for-ever'] as KeptFault[]) {
    it(`show the planted fault ${fault}`, () => {
      const runs = fc.sample(actions, { numRuns: 200, seed: 5 })
      const found = runs.filter(list => problemsOf(list, [fault]).length > 0).length
      assert.ok(found >= 4, `${found} of ${runs.length}`)
    })
  }

  it('the oldest of the place that is full goes first, others stay', () => {
    const kept = new KeptResults<string>(LIMITS)
    kept.put('r', 'file', { value: 'file', bytes: 900, place: 'disk' }, 0)
    kept.put('r', 'a', { value: 'a', bytes: 60, place: 'memory' }, 1)
    assert.deepEqual(kept.put('r', 'b', { value: 'b', bytes: 60, place: 'memory' }, 2), ['a'])
    assert.equal(kept.take('r', 'file', 3), 'file')
  })

  it('one requester that fills every limit costs another nothing', () => {
    const kept = new KeptResults<string>(LIMITS)
    kept.put('honest', 'file', { value: 'file', bytes: 400, place: 'disk' }, 0)
    kept.put('honest', 'small', { value: 'small', bytes: 40, place: 'memory' }, 0)
    for (let i = 0; i < 20; i++) kept.put('greedy', `i${i}`, { value: 'greedy', bytes: i % 2 === 0 ? 60 : 600, place: i % 2 === 0 ? 'memory' : 'disk' }, i)
    for (let i = 0; i < 20; i++) kept.put('greedy', `j${i}`, { value: 'greedy', bytes: 0, place: 'memory' }, i)
    assert.deepEqual([kept.take('honest', 'file', 20), kept.take('honest', 'small', 20)], ['file', 'small'])
  })

  it('one beyond all limits is not kept', () => {
    const kept = new KeptResults<string>(LIMITS)
    assert.deepEqual(kept.put('r', 'a', { value: 'a', bytes: 101, place: 'memory' }, 0), ['a'])
    assert.equal(kept.size, 0)
  })
})
