import assert from 'node:assert/strict'
import fc from 'fast-check'
import { textParser } from '../../../../../daemon/block-convert/tables/value-text.ts'
import { INVALID, nestedText } from '../../../../../daemon/block-convert/tables/values.ts'

function check (type: string, good: Record<string, unknown>, bad: string[], side: 'source' | 'result' = 'result'): void {
  const parse = textParser(type, side)
  for (const [text, parts] of Object.entries(good)) assert.equal(parse(text), parts === null ? null : nestedText(parts as never), `${type} ${text}`)
  for (const text of bad) assert.equal(parse(text), INVALID, `${type} ${text}`)
}

describe('tables: nested values from JSON text', () => {
  it('reads lists, structs and maps', () => {
    check('BIGINT[]', { '[1, null,-2]': [1, null, -2], '[]': [], '[9007199254740993]': [9007199254740993n], null: null }, ['1', '{}', '["1"]', '[1.5]', '[1', '[1] x', '[1,]', '', '[true]'])
    check('STRUCT("a" BIGINT, "b" VARCHAR)', { '{"b":"x","a":1}': [1, 'x'], '{}': [null, null], '{"a":null}': [null, null] }, ['{"c":1}', '{"a":1,"a":1}', '{"A":1}', '[]', '{"a":1'])
    check('MAP(VARCHAR, DOUBLE[])', { '{"k":[1.5,"NaN"],"":null}': [['k', [1.5, NaN]], ['', null]], '{}': [] }, ['[]', '{"k":1}', '{"k":["nan"]}'])
    check('MAP(DATE, BOOLEAN)', { '{"2020-01-01":true}': [[18262, true]] }, ['{"x":true}', '{"2020-01-01":1}'])
    check('MAP(BIGINT[], BIGINT)', {}, ['{"[1]":1}'])
  })

  it('reads leaves by their own forms', () => {
    const leaf = (type: string, text: string): unknown => textParser(`${type}[]`, 'result')(`[${text}]`)
    for (const [type, text, value] of [
      ['DECIMAL(5,2)', '1.5', 150], ['DECIMAL(2,2)', '0.25', 25], ['FLOAT', '0.10000000149011612', Math.fround(0.1)], ['DOUBLE', '"-Infinity"', -Infinity], ['DOUBLE', '-0.0', -0], ['DATE', '"infinity"', 2147483647], ['TIME', '"01:02:03.5"', 3723500000],
      ['TIMESTAMP_NS', '"1970-01-01 00:00:00.000000001"', 1], ['TIMESTAMPTZ', '"1970-01-01 00:00:00+00"', 0], ['BLOB', '"\\\\x00a"', '\0a'], ['UUID', '"0d134be7-39d5-44d1-8178-0a810e5c2c4d"', '0d134be7-39d5-44d1-8178-0a810e5c2c4d'],
      ['JSON', '{"a": 1.0}', '{"a":1}'], ['JSON', 'null', null], ['INTERVAL', '"1 month -00:00:01"', '1/0/-1000000'], ['BOOLEAN', 'false', false], ['STRUCT("x" BIGINT)', '{"x":1}', [1]]
    ] as const) assert.equal(leaf(type, text), nestedText([value as never]), `${type} ${text}`)
    for (const [type, text] of [['DOUBLE', '"inf"'], ['BIGINT', '"1"'], ['VARCHAR', '1'], ['DATE', '18262'], ['BOOLEAN', '"true"'], ['BIGINT', '"NaN"'], ['INTERVAL', '""']] as const) assert.equal(leaf(type, text), INVALID, `${type} ${text}`)
    check('DOUBLE[]', { '[1.5]': [1.5] }, ['["NaN"]'], 'source')
  })

  it('reads intervals', () => {
    const parse = textParser('INTERVAL', 'result')
    const good = {
      '00:00:00': '0/0/0', '1 year': '12/0/0', '-1 year -3 months -1 day -01:00:00': '-15/-1/-3600000000', '2 years 1 day': '24/1/0', '36:00:00.000001': '0/0/129600000001', '-178956970 years -8 months': '-2147483648/0/0',
      '-2147483648 days': '0/-2147483648/0', '-2562047788:00:54.775808': '0/0/-9223372036854775808'
    }
    for (const [text, value] of Object.entries(good)) assert.equal(parse(text), value, text)
    for (const text of ['', ' ', '1', '1 month 1 year', '1 year ', ' 1 day', '00:00', '1:00:00', '00:00:00.1234567', 'x', '1 day 1 day']) assert.equal(parse(text), INVALID, text)
  })

  it('answers every text with a value or INVALID', () => {
    const parse = textParser('STRUCT("a" BIGINT[], "b" MAP(VARCHAR, STRUCT("c" DOUBLE)))', 'result')
    const text = '{"a":[1,null],"b":{"k":{"c":1.5}}}'
    assert.notEqual(parse(text), INVALID)
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(text.length - 1), fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '1', 'e', '-', ' ')), { minLength: 1, maxLength: 3 }), changes => {
      const chars = [...text]
      for (const [at, char] of changes) chars[at] = char
      const value = parse(chars.join(''))
      assert.ok(value === INVALID || value === null || typeof value === 'string')
    }), { numRuns: 1000 })
    assert.equal(textParser('JSON[]', 'result')(`[${'['.repeat(100_000)}`), INVALID)
  })
})
