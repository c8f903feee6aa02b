import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { PlantedFault } from '../../../daemon/coordinator/machine-types.ts'
import { runLaws } from './machine-laws.ts'

const PLANTED: PlantedFault[] = ['hedge-same-worker', 'hedge-unbounded', 'hedge-loser-kept', 'breaker-never-opens', 'breaker-canary-flood', 'suspect-fed', 'lost-requeue-hedged', 'poison-forever', 'double-accept', 'lost-requeue']
/** Runs within which each must show. */
const RUNS = 600

describe('coordinator/machine: laws of copies, breakers and ends', function () {
  this.timeout(60_000)

  it('hold whatever workers do', () => {
    let [hedged, stolen, done, failed] = [0, 0, 0, 0]
    fc.assert(fc.property(fc.integer({ min: 1, max: 1_000_000 }), seed => {
      const result = runLaws(seed)
      assert.equal(result.broken, undefined)
      hedged += result.hedged
      stolen += result.stolen
      if (result.end === 'done') done++
      else failed++
    }), { numRuns: 400 })
    // Runs in which little happens would prove little.
    assert.ok(hedged > 100 && stolen > 10 && done > 100 && failed > 10, `${hedged} copies, ${stolen} steals, ${done} done, ${failed} failed`)
  })

  for (const fault of PLANTED) {
    it(`find the planted fault '${fault}'`, () => {
      let found: string | undefined
      for (let seed = 1; seed <= RUNS && found == null; seed++) found = runLaws(seed, fault).broken
      assert.ok(found != null, `not found in ${RUNS} runs`)
    })
  }
})
