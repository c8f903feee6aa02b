import assert from 'node:assert/strict'
import fc from 'fast-check'
import { InPlace, inPlaceOf } from '../../../../../daemon/block-convert/tables/readers/in-place.ts'
import { parseType } from '../../../../../daemon/block-convert/tables/types.ts'
import { textParser } from '../../../../../daemon/block-convert/tables/value-text.ts'

describe('readers/in-place', () => {
  const number = fc.oneof(
    fc.tuple(fc.maxSafeInteger(), fc.nat(12)).map(([n, places]) => (n / 10 ** places).toFixed(places)),
    fc.string({ unit: fc.constantFrom('0', '1', '9', '12345678', '-', '.', 'e'), maxLength: 6 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)
  )
  const moment = fc.tuple(fc.date({ min: new Date('1700-01-01'), max: new Date('2400-12-31'), noInvalidDate: true }), fc.constantFrom('', '.5', '.123456', '.1234567', '.', 'Z'), fc.constantFrom('T', ' ', 'x'))
    .map(([date, end, separator]) => date.toISOString().slice(0, 19).replace('T', separator) + end)
  const day = fc.string({ unit: fc.constantFrom('0', '1', '2', '3', '9', '-'), minLength: 8, maxLength: 11 })

  it('gives what the parsers of values give, or nothing', () => {
    for (const [name, texts] of [['BIGINT', number], ['DECIMAL(18,2)', number], ['DECIMAL(15,5)', number], ['DECIMAL(38,10)', number], ['DOUBLE', number], ['DATE', fc.oneof(moment.map(text => text.slice(0, 10)), day)], ['TIMESTAMP', fc.oneof(moment, day)]] as Array<[string, fc.Arbitrary<string>]>) {
      const type = parseType(name)
      const how = inPlaceOf(type)
      assert.ok(how > 0)
      const parse = textParser(name, 'source')
      let hits = 0
      fc.assert(fc.property(texts, text => {
        const inPlace = new InPlace()
        const value = inPlace.read(how, type, `x${text},`, 1)
        if (value === undefined || inPlace.end !== text.length + 1) return
        hits++
        assert.ok(Object.is(value, parse(text)), `${name} ${text}: ${value} ${String(parse(text))}`)
      }), { numRuns: 1000 })
      assert.ok(hits > 50, `${name}: ${hits}`)
    }
  })
})
