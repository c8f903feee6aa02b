import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { coercer } from '../../../../daemon/block-convert/tables/coerce.ts'
import { parseType } from '../../../../daemon/block-convert/tables/types.ts'
import { unifyTypes } from '../../../../daemon/block-convert/tables/unify.ts'
import { nestedText, type Parts } from '../../../../daemon/block-convert/tables/values.ts'
import { DuckValues } from './parquet/duck-values.ts'

/** SQL literals of some types, extremes among them. */
const LITERALS: Record<string, string[]> = {
  TINYINT: ['-128', '127'],
  SMALLINT: ['-32768', '32767'],
  INTEGER: ['-2147483648', '2147483647', '0'],
  BIGINT: ['-9223372036854775808', '9223372036854775807', '9007199254740993'],
  UTINYINT: ['255'],
  USMALLINT: ['65535'],
  UINTEGER: ['4294967295'],
  UBIGINT: ['18446744073709551615'],
  'DECIMAL(4,2)': ['-99.99', '0.01'],
  'DECIMAL(18,0)': ['999999999999999999'],
  'DECIMAL(30,10)': ['-12345678901234567890.0123456789'],
  FLOAT: ['0.1', "'nan'", "'-inf'", "'-0'", '3.4028235e38'],
  DOUBLE: ['0.1', '5e-324'],
  DATE: ["'2020-02-29'", "'0001-01-01'", "'infinity'", "'-infinity'", "'5000-01-01 (BC)'"],
  TIMESTAMP_S: ["'2020-02-29 01:02:03'", "'-infinity'"],
  TIMESTAMP_MS: ["'2020-02-29 01:02:03.456'", "'infinity'"],
  TIMESTAMP: ["'2020-02-29 01:02:03.456789'", "'infinity'"],
  VARCHAR: ["'x'"],
  BLOB: ["'\\x00'"]
}

const TYPES = Object.keys(LITERALS)

describe('coerce', () => {
  let duck: DuckValues
  before(async () => { duck = await DuckValues.open() })
  after(() => { duck.close() })

  const cast = async (value: string, from: string, to: string): Promise<{ before: unknown, after: unknown }> => {
    const [row] = await duck.rows(`(select cast(${value} as ${from}) as a, cast(cast(${value} as ${from}) as ${to}) as b)`, [{ name: 'a', type: from }, { name: 'b', type: to }])
    return { before: row![0], after: row![1] }
  }

  it('does to every value what the cast of the engine does', async () => {
    let pairs = 0
    for (const from of TYPES) {
      for (const other of TYPES) {
        const to = unifyTypes(from, other)
        if (to == null) continue
        pairs++
        const coerce = coercer(parseType(from), parseType(to)) ?? ((value: unknown) => value)
        for (const literal of [...LITERALS[from]!, 'null']) {
          const { before, after } = await cast(literal, from, to)
          assert.ok(Object.is(coerce(before), after), `${literal}::${from} as ${to}: ${String(coerce(before))} is not ${String(after)}`)
        }
      }
    }
    assert.ok(pairs > 100, `${pairs} pairs`)
  })

  it('goes into nested values, by the names of fields', async () => {
    const cases: Array<[string, string, string]> = [
      ['[1, null, -3]', 'INTEGER[]', 'DECIMAL(12,2)[]'],
      ['[[1], [], null]', 'TINYINT[][]', 'DECIMAL(5,1)[][]'],
      ["{a: 1, b: '2020-01-01'}", 'STRUCT("a" TINYINT, "b" DATE)', 'STRUCT("b" TIMESTAMP, "x" BLOB, "a" DECIMAL(9,3))'],
      ['{a: null}', 'STRUCT("a" TINYINT)', 'STRUCT("b" VARCHAR, "a" SMALLINT)'],
      ['null', 'STRUCT("a" TINYINT)', 'STRUCT("b" VARCHAR, "a" SMALLINT)'],
      ['map {1: [{a: 1}, null], 2: null}', 'MAP(INTEGER, STRUCT("a" INTEGER)[])', 'MAP(DECIMAL(11,1), STRUCT("a" BIGINT, "b" INTEGER)[])'],
      ['map {}', 'MAP(INTEGER, DATE)', 'MAP(BIGINT, TIMESTAMP)']
    ]
    for (const [literal, from, to] of cases) {
      const { before, after } = await cast(literal, from, to)
      const coerced = coercer(parseType(from), parseType(to))!(before == null ? null : parsed(before as string))
      assert.equal(coerced === null ? null : nestedText(coerced as Parts), after, literal)
    }
  })

  it('is nothing where nothing changes', () => {
    for (const [from, to] of [['BIGINT', 'BIGINT'], ['TINYINT', 'BIGINT'], ['FLOAT', 'DOUBLE'], ['INTEGER', 'DOUBLE'], ['TIMESTAMP_S', 'TIMESTAMP'], ['DECIMAL(4,2)', 'DECIMAL(9,2)'], ['UBIGINT', 'DECIMAL(20,0)'], ['INTEGER[]', 'BIGINT[]'], ['STRUCT("a" TINYINT)', 'STRUCT("a" BIGINT)'], ['MAP(VARCHAR, FLOAT)', 'MAP(VARCHAR, DOUBLE)']]) {
      assert.equal(coercer(parseType(from!), parseType(to!)), undefined, `${from} to ${to}`)
    }
  })

  it('refuses what would lose something', () => {
    for (const [from, to] of [['BIGINT', 'INTEGER'], ['UTINYINT', 'TINYINT'], ['INTEGER', 'FLOAT'], ['BIGINT', 'DECIMAL(18,0)'], ['BIGINT', 'DOUBLE'], ['BIGINT', 'VARCHAR'], ['DECIMAL(9,4)', 'DECIMAL(9,2)'], ['DECIMAL(9,2)', 'DECIMAL(9,3)'], ['TIMESTAMP', 'DATE'], ['TIMESTAMP', 'TIMESTAMP_NS'], ['STRUCT("a" TINYINT, "b" TINYINT)', 'STRUCT("a" TINYINT)'], ['TINYINT[]', 'TINYINT']]) {
      assert.throws(() => coercer(parseType(from!), parseType(to!)), (error: unknown) => error instanceof ConversionError && error.code === 'unsupported', `${from} to ${to}`)
    }
    const coerce = coercer(parseType('DATE'), parseType('TIMESTAMP'))!
    assert.throws(() => coerce(2147483646), /too far away/)
  })

  it('scales integers of any size', () => {
    fc.assert(fc.property(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), fc.integer({ min: 1, max: 19 }), (value, scale) => {
      const coerce = coercer(parseType('BIGINT'), { kind: 'DECIMAL', precision: 38, scale })!
      const canonical = Number.isSafeInteger(Number(value)) ? Number(value) : value
      const scaled = coerce(canonical) as number | bigint
      assert.equal(BigInt(scaled), value * 10n ** BigInt(scale))
      assert.equal(typeof scaled, Number.isSafeInteger(Number(scaled)) ? 'number' : 'bigint')
    }))
  })
})

/** Parts from the canonical text of nested values without texts in them. */
function parsed (text: string): Parts {
  return JSON.parse(text) as Parts
}
