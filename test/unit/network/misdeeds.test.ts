import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { Misdeeds, scoreOf } from '../../../daemon/network/misdeeds.ts'

describe('network: misdeeds', () => {
  it('add up, halve, and are forgotten', () => {
    const misdeeds = new Misdeeds({ halfLifeMs: 1000, max: 10 })
    misdeeds.add('a', 4, 0)
    assert.equal(misdeeds.points('a', 1000), 2)
    misdeeds.add('a', 2, 1000)
    assert.equal(misdeeds.points('a', 2000), 2)
    assert.equal(misdeeds.points('a', 60_000), 0)
    assert.equal(misdeeds.size, 0)
    assert.equal(misdeeds.points('b', 0), 0)
  })

  it('are kept of so many, the latest', () => {
    const misdeeds = new Misdeeds({ halfLifeMs: 1000, max: 3 })
    for (const peer of ['a', 'b', 'c', 'a', 'd']) misdeeds.add(peer, 1, 0)
    assert.equal(misdeeds.size, 3)
    assert.equal(misdeeds.points('b', 0), 0)
    assert.equal(misdeeds.points('a', 0), 2)
  })

  it('cost nothing while tolerated, and ever more beyond', () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 100, noNaN: true }), fc.double({ min: 0, max: 100, noNaN: true }), (a, b) => {
      if (a <= 2) assert.equal(scoreOf(a, 2), 0)
      if (a > b) assert.ok(scoreOf(a, 2) <= scoreOf(b, 2))
      assert.ok(scoreOf(a, 2) <= 0)
    }))
  })
})
