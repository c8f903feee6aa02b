import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Admission, type Header } from '../../../daemon/market/admission.ts'
import { Budget } from '../../../daemon/market/budget.ts'
import { NEIGHBOURS_MAX, PUBLISHERS_KNOWN_MAX, VERIFICATIONS_BURST, VERIFICATIONS_PER_SECOND_MAX } from '../../../daemon/market/index.ts'

const EXPIRES = 1e9
const message = (sequence: number, digest = `d${sequence}`, peer = 'p'): Header => ({ peer, sequence, digest })
const verified = (sequence: number, peer = 'p', expires = EXPIRES): { peer: string, sequence: number, expires: number, digest: string } => ({ peer, sequence, expires, digest: `d${sequence}` })

describe('market: admission', () => {
  it('drops what is not newer before any check, and knows the same bytes again', () => {
    const admission = new Admission()
    assert.equal(admission.standing(message(5)), 'verify')
    assert.equal(admission.verified(verified(5), 0), true)
    assert.equal(admission.standing(message(4)), 'stale')
    assert.equal(admission.standing(message(5, 'other')), 'stale')
    assert.equal(admission.standing(message(5)), 'again')
    assert.equal(admission.standing(message(6)), 'verify')
    assert.equal(admission.verified(verified(5), 0), false, 'it was overtaken while it was checked')
  })

  it('is not poisoned by headers nobody signed: the floor is the highest verified, in any order', () => {
    const event = fc.record({ peer: fc.constantFrom('a', 'b'), sequence: fc.nat({ max: 8 }), good: fc.boolean() })
    fc.assert(fc.property(fc.array(event, { maxLength: 60 }), events => {
      const admission = new Admission()
      const highest = new Map<string, number>()
      for (const { peer, sequence, good } of events) {
        const floor = highest.get(peer) ?? -1
        const admittance = admission.standing(message(sequence, `d${sequence}`, peer))
        assert.equal(admittance, sequence > floor ? 'verify' : sequence === floor ? 'again' : 'stale')
        if (admittance !== 'verify' || !good) continue
        assert.equal(admission.verified(verified(sequence, peer), 0), true)
        highest.set(peer, sequence)
      }
    }))
  })

  it('spends the budget of the neighbour for what needs a check, and for nothing else', () => {
    const admission = new Admission()
    admission.verified(verified(5), 0)
    for (let i = 0; i < 10 * VERIFICATIONS_BURST; i++) assert.ok(admission.affords(message(5 - i % 2, 'd5'), 'a', 0))
    for (let i = 0; i < 2 * VERIFICATIONS_BURST; i++) admission.affords(message(6), 'a', 0)
    assert.equal(admission.affords(message(6), 'a', 0), false)
    assert.equal(admission.affords(message(6), 'b', 0), true, 'another neighbour can afford the same message')
  })

  it('remembers a bounded number of publishers, those that protect nothing going first', () => {
    const admission = new Admission(2)
    admission.verified(verified(1, 'a', 10), 0)
    admission.verified(verified(1, 'b', 100), 0)
    admission.verified(verified(1, 'c', 100), 50)
    assert.deepEqual(['a', 'b', 'c'].map(peer => admission.standing(message(1, 'd1', peer))), ['verify', 'again', 'again'])
    admission.verified(verified(1, 'd', 100), 50)
    assert.equal(admission.size, 2)
    // What the budget lets in fits for as long as it can hold.
    assert.ok(PUBLISHERS_KNOWN_MAX >= (90 + 300) * VERIFICATIONS_PER_SECOND_MAX + VERIFICATIONS_BURST)
  })
})

describe('market: budget of verifications', () => {
  /** How many of each neighbour are checked when they send at these rates per second for some seconds. */
  function run (rates: Record<string, number>, seconds: number): Record<string, number> {
    const budget = new Budget()
    const checked: Record<string, number> = {}
    const sent: Record<string, number> = {}
    for (let now = 0; now < seconds * 1000; now += 10) {
      for (const [from, rate] of Object.entries(rates)) {
        while ((sent[from] ?? 0) < (now + 10) * rate / 1000) {
          sent[from] = (sent[from] ?? 0) + 1
          if (budget.spend(from, now)) checked[from] = (checked[from] ?? 0) + 1
        }
      }
    }
    return checked
  }

  it('is never exceeded, whoever sends how much when', () => {
    fc.assert(fc.property(fc.array(fc.record({ from: fc.nat({ max: 400 }), step: fc.nat({ max: 40 }) }), { maxLength: 1500 }), sends => {
      const budget = new Budget()
      let [now, checked] = [0, 0]
      for (const { from, step } of sends) {
        now += step
        if (budget.spend(String(from), now)) checked++
        assert.ok(checked <= VERIFICATIONS_BURST + now / 1000 * VERIFICATIONS_PER_SECOND_MAX + 1e-6)
      }
    }), { numRuns: 50 })
  })

  it('leaves honest neighbours theirs beside one that floods, and beside many', () => {
    const [seconds, honest] = [60, 1]
    for (const flooders of [1, 5]) {
      const rates = { a: honest, b: honest, c: honest, ...Object.fromEntries(Array.from({ length: flooders }, (_, i) => [`flood${i}`, 1000])) }
      const checked = run(rates, seconds)
      for (const name of ['a', 'b', 'c']) assert.equal(checked[name], honest * seconds, `${name} beside ${flooders}: ${JSON.stringify(checked)}`)
      const all = Object.values(checked).reduce((sum, count) => sum + count, 0)
      assert.ok(all <= VERIFICATIONS_BURST + seconds * VERIFICATIONS_PER_SECOND_MAX)
      assert.ok(all > seconds * VERIFICATIONS_PER_SECOND_MAX / 2, 'and half of it is for whoever comes')
    }
  })

  it('goes on when the clock is set back', () => {
    const budget = new Budget()
    const later = 3_600_000
    while (budget.spend('a', later)) { /* until it is spent */ }
    let checked = 0
    for (let now = 0; now <= 10_000; now += 100) if (budget.spend('a', now)) checked++
    assert.ok(checked >= 90, `${checked} in ten seconds`)
  })

  it('is not renewed by coming back under new names', () => {
    const budget = new Budget()
    let checked = 0
    for (let i = 0; i < 10 * NEIGHBOURS_MAX; i++) if (budget.spend(`name${i}`, 0)) checked++
    assert.equal(checked, VERIFICATIONS_BURST)
  })
})
