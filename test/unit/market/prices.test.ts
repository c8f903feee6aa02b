import assert from 'node:assert/strict'
import fc from 'fast-check'
import { publishInterval } from '../../../daemon/market/cadence.ts'
import { BULLETIN_VALIDITY_MS, PUBLISH_INTERVAL_MIN_MS, pricePerGib, SHARD_PUBLISHERS_MAX } from '../../../daemon/market/index.ts'

describe('market: prices', () => {
  it('per gibibyte follow from price and speed, rounded up', () => {
    assert.equal(pricePerGib('3600000000', 1024 ** 3), '1000000')
    assert.equal(pricePerGib('3600000001', 1024 ** 3), '1000001')
    assert.equal(pricePerGib('0', 5), '0')
    assert.equal(pricePerGib('1', 1e12), '1')
    assert.equal(pricePerGib('999999999999999999999999999999', 1), (999999999999999999999999999999n * 2n ** 30n / 3600n + 1n).toString())
  })

  it('are not known where nothing was measured', () => {
    for (const speed of [0, 0.5, -1, NaN, Infinity]) assert.equal(pricePerGib('1', speed), undefined)
  })

  it('never fall short of what the time costs, by less than one', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 19n }), fc.integer({ min: 1, max: 1e12 }), (price, speed) => {
      const perGib = BigInt(pricePerGib(price.toString(), speed) ?? -1n)
      const perHour = BigInt(speed) * 3600n
      assert.ok(perGib * perHour >= price * 2n ** 30n)
      assert.ok((perGib - 1n) * perHour < price * 2n ** 30n)
    }))
  })
})

describe('market: cadence', () => {
  it('is every ten seconds, and slower with many, within a fifth', () => {
    assert.equal(publishInterval(1, 0.5), PUBLISH_INTERVAL_MIN_MS)
    assert.equal(publishInterval(50, 0.5), PUBLISH_INTERVAL_MIN_MS)
    assert.equal(publishInterval(200, 0.5), 40_000)
    assert.equal(publishInterval(1, 0), 8000)
    assert.equal(Math.round(publishInterval(1, 1)), 12_000)
    assert.ok(publishInterval(SHARD_PUBLISHERS_MAX, 1) < BULLETIN_VALIDITY_MS, 'a full topic renews its bulletins before they expire')
  })
})
