import assert from 'node:assert/strict'
import fc from 'fast-check'
import { lexicalRule } from '../../../../daemon/block-convert/tables/lexical.ts'
import { daysOf, textParser } from '../../../../daemon/block-convert/tables/value-text.ts'
import { canonicalInteger, firstDifference, INVALID, showValue } from '../../../../daemon/block-convert/tables/values.ts'
import { parseType } from '../../../../daemon/block-convert/tables/types.ts'

const check = (type: string, side: 'source' | 'result', good: Record<string, unknown>, bad: string[]): void => {
  const parse = textParser(type, side)
  for (const [text, value] of Object.entries(good)) assert.deepEqual(parse(text), value, `${type} ${text}`)
  for (const text of bad) assert.equal(parse(text), INVALID, `${type} ${JSON.stringify(text)}`)
}

describe('values', () => {
  it('reads sources by the lexical rules', () => {
    check('BIGINT', 'source', { 0: 0, '-0': 0, 7: 7, '-12': -12, '9007199254740991': 9007199254740991, '9007199254740992': 9007199254740992n, '9223372036854775807': 9223372036854775807n, '-9223372036854775808': -9223372036854775808n },
      ['007', '+5', '1.0', '1e3', '', '-', ' 1', '1 ', '9223372036854775808', '-9223372036854775809', '1_000', '٣'])
    check('DECIMAL(5,2)', 'source', { 0: 0, '1.5': 150, '1.50': 150, '-999.99': -99999, '0.01': 1, '-0.00': 0 }, ['1000', '1.234', '.5', '1.', '01.5', '+1', '1e1', '', '-', '--1', '1.2.3'])
    check('DECIMAL(2,2)', 'source', { '0.25': 25, '-0.99': -99, 0: 0 }, ['1', '1.5', '00.25', '.25'])
    check('DECIMAL(38,10)', 'source', { '1234567890123456789012345678.0123456789': 12345678901234567890123456780123456789n, '0.0000000001': 1 }, ['12345678901234567890123456789'])
    check('BOOLEAN', 'source', { true: true, False: false, TRUE: true }, ['t', '1', 'tRUE', 'yes', ''])
    check('DATE', 'source', { '1970-01-01': 0, '2000-02-29': 11016, '1969-12-31': -1, '9999-12-31': 2932896 }, ['1900-02-29', '2000-13-01', '2000-00-01', '2000-01-00', '2000-1-1', '2000/01/01', '20000101', '12000-01-01', 'infinity', '2000-01-0x'])
    check('TIME', 'source', { '00:00:00': 0, '23:59:59.999999': 86399999999, '01:02:03.5': 3723500000 }, ['24:00:01', '1:02:03', '01:02', '01:02:60', '01:02:03.', '01:02:03.1234567'])
    check('TIMESTAMP', 'source', { '1970-01-01 00:00:00': 0, '2020-01-02T03:04:05.6': 1577934245600000, '1969-12-31 23:59:59.999999': -1 },
      ['2020-01-02', '2020-01-02 03:04', '2020-01-02x03:04:05', '2020-01-02 03:04:05Z', '2020-01-02 24:00:00', '2020-01-02 03:04:05.1234567', ' 2020-01-02 03:04:05'])
    check('DOUBLE', 'source', { '1.5': 1.5, '-0': -0, 1e3: 1000, '1E-3': 0.001, 5: 5 }, ['+1', '1.', '.5', '1e', '0x10', '1e999', '', '1 '])
    check('VARCHAR', 'source', { ' a ': ' a ', '': '' }, [])
  })

  it('agrees with the rules the splitter proves', () => {
    const pieces = fc.string({ unit: fc.constantFrom('0', '1', '9', '12', '-', '.', ':', ' ', 'T', 'e', '+', '2020-02-29', '23:59:59', '9223372036854775807', 'true', '+00:30', 'Z', 'nan', 'inf'), maxLength: 5 })
    for (const type of ['BIGINT', 'DECIMAL(5,2)', 'DECIMAL(2,2)', 'DECIMAL(38,3)', 'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ', 'DOUBLE', 'BOOLEAN']) {
      const rule = lexicalRule(type)
      const parse = textParser(type, 'source')
      fc.assert(fc.property(pieces, text => {
        if (rule(text)) assert.notEqual(parse(text), INVALID, `${type} ${text}`)
      }), { numRuns: 500 })
    }
  })

  it('reads what DuckDB writes', () => {
    check('DOUBLE', 'result', { nan: NaN, inf: Infinity, '-inf': -Infinity, '1e+20': 1e20, '9.0': 9 }, ['1,5', 'infinit'])
    check('FLOAT', 'result', { 0.1: Math.fround(0.1), '3.4028235e+38': 3.4028234663852886e38 }, ['x'])
    check('DATE', 'result', { '0044-03-15 (BC)': -735160, '12345-12-31': 3789755, infinity: 2147483647, '-infinity': -2147483647 }, ['44-03-15', '0044-03-15 BC'])
    check('TIMESTAMP', 'result', { '0044-03-15 (BC) 12:00:00': -63517780800000000n, infinity: 9223372036854775807n, '294247-01-10 04:00:54.775806': 9223372036854775806n, '2020-01-01 00:00:00': 1577836800000000 }, ['2020-01-01 00:00:00+00', 'x'])
    check('TIMESTAMPTZ', 'result', { '1970-01-01 00:00:00+00': 0, '1970-01-01 01:30:00+01:30': 0, '1969-12-31 20:00:00-04': 0, '0044-03-15 (BC) 00:00:00+00': -63517824000000000n, '1970-01-01T00:00:00Z': 0 }, ['1970-01-01 00:00:00'])
    check('TIMESTAMP_NS', 'result', { '1970-01-01 00:00:00.000000001': 1, '2020-01-02 03:04:05.123456789': 1577934245123456789n }, ['x'])
    check('UTINYINT', 'result', { 255: 255 }, ['256', '-1'])
    check('UBIGINT', 'result', { '18446744073709551615': 18446744073709551615n }, ['18446744073709551616', '-1'])
    check('BLOB', 'result', { 'a\\x00\\xFF\\x5Cb': 'a\x00\xff\\b', '': '' }, ['\\', '\\xZZ', 'ü', '\\n'])
    check('UUID', 'result', { '0d134be7-39d5-44d1-8178-0a810e5c2c4d': '0d134be7-39d5-44d1-8178-0a810e5c2c4d' }, ['0d134be739d544d181780a810e5c2c4d'])
    check('JSON', 'result', { '{"a": 1.0}': '{"a":1}', null: null }, ['{', ''])
  })

  it('counts days as Date does', () => {
    fc.assert(fc.property(fc.integer({ min: -2_000_000, max: 4_000_000 }), days => {
      const date = new Date(days * 86_400_000)
      assert.equal(daysOf(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()), days)
    }))
  })

  it('has one form per integer', () => {
    fc.assert(fc.property(fc.bigInt({ min: -(2n ** 127n), max: 2n ** 127n }), value => {
      const canonical = canonicalInteger(value)
      assert.equal(BigInt(canonical), value)
      assert.equal(typeof canonical === 'number', Number.isSafeInteger(Number(value)))
    }))
  })

  it('tells NaN equal, the zeros not', () => {
    assert.equal(firstDifference('DOUBLE', [NaN, 1, 0], [NaN, 1, -0], 0, 3), 2)
    assert.equal(firstDifference('BIGINT', [1, 2n ** 60n, null], [1, 2n ** 60n, null], 0, 3), -1)
    assert.equal(firstDifference('VARCHAR', ['a', ''], ['a', null], 0, 2), 1)
  })

  it('shows values in words', () => {
    const cases: Array<[unknown, string, string]> = [
      [null, 'BIGINT', 'NULL'], [12, 'BIGINT', '12'], ['a"b', 'VARCHAR', '"a\\"b"'], [-5, 'DECIMAL(5,2)', '-0.05'], [12345n, 'DECIMAL(5,2)', '123.45'], [7, 'DECIMAL(5,0)', '7'], [-0, 'DOUBLE', '-0'],
      [11016, 'DATE', '2000-02-29'], [-735160, 'DATE', '-000043-03-15'], [2147483647, 'DATE', 'infinity'], [3723500000, 'TIME', '01:02:03.5'], [1577934245600000, 'TIMESTAMP', '2020-01-02 03:04:05.6'], [-1, 'TIMESTAMP', '1969-12-31 23:59:59.999999'],
      [1577934245123456789n, 'TIMESTAMP_NS', '2020-01-02 03:04:05.123456789'], [0, 'TIMESTAMPTZ', '1970-01-01 00:00:00+00'], [9223372036854775807n, 'TIMESTAMP', 'infinity'], ['\xff', 'BLOB', 'ff'], ['x'.repeat(100), 'VARCHAR', `"${'x'.repeat(60)}... (100 characters)"`]
    ]
    for (const [value, type, shown] of cases) assert.equal(showValue(value, type), shown)
  })

  it('refuses unknown types', () => {
    for (const name of ['INT', 'decimal(1,1)', 'DECIMAL', 'DECIMAL(39,1)', 'DECIMAL(3,4)', 'LIST']) assert.throws(() => parseType(name), /unknown column type/)
    assert.deepEqual(parseType('TIMESTAMP WITH TIME ZONE'), parseType('TIMESTAMPTZ'))
  })
})
