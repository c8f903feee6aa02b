import assert from 'node:assert/strict'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { Input } from '../../../../../daemon/block-convert/index.ts'
import { JSON_ARRAY, NDJSON, PARQUET, SAMPLE_HEAD_BYTES } from '../../../../../daemon/block-convert/tables/constants.ts'
import { NESTED_FIELDS_MAX } from '../../../../../daemon/block-convert/tables/json/shape.ts'
import { prepareTable } from '../../../../../daemon/block-convert/tables/prepare.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { withFolder, writeInput } from '../cases.ts'

async function prepared (contents: string[], settings: Record<string, string> = {}, from = JSON_ARRAY): Promise<TableParameters> {
  return await withFolder(async folder => {
    const inputs: Input[] = []
    for (const [i, content] of contents.entries()) inputs.push(await writeInput(folder, `${i}`, content, from))
    return (await prepareTable(inputs, { from, to: PARQUET }, settings)).parameters
  })
}

async function types (content: string | string[], settings: Record<string, string> = {}, from = JSON_ARRAY): Promise<Record<string, string>> {
  return Object.fromEntries((await prepared([content].flat(), settings, from)).columns.map(({ name, type }) => [name, type]))
}

/** The type of one key with these values. */
async function typeOf (values: string[], settings: Record<string, string> = {}): Promise<string | undefined> {
  return (await types(`[${values.map(value => `{"x":${value}}`).join(',')}]`, settings)).x
}

async function refused (work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String((error as Error).stack))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}

describe('tables: types of JSON', () => {
  it('takes numbers as the narrowest type that keeps each exactly', async () => {
    const cases: Array<[string[], string]> = [
      [['1', '-9223372036854775808', '0'], 'BIGINT'], [['1', '1.5'], 'DOUBLE'], [['1', '-0'], 'DOUBLE'], [['1e3', '5e-324', '0.30000000000000004'], 'DOUBLE'], [['1.50'], 'DOUBLE'], [['100000000000000000000'], 'DOUBLE'],
      [['9223372036854775808'], 'DECIMAL(38,0)'], [['9007199254740993', '0.5'], 'DECIMAL(38,1)'], [['0.1234567890123456789', '1'], 'DECIMAL(38,19)'],
      [['0.1234567890123456789', '1e3'], 'JSON'], [['0.1234567890123456789', '-0'], 'JSON'], [['1e400'], 'JSON'], [[`${'9'.repeat(30)}.${'9'.repeat(9)}`], 'JSON'], [['1', '"1"'], 'JSON']
    ]
    for (const [values, type] of cases) assert.equal(await typeOf(values), type, values.join(' '))
    assert.equal(await typeOf(['0.1234567890123456789', '1e3'], { fractions: 'double' }), 'DOUBLE')
    assert.equal(await typeOf(['1e400'], { fractions: 'double' }), 'JSON')
  })

  it('takes other values as what they are, mixtures as JSON', async () => {
    assert.deepEqual(await types('[{"s":"2020-01-01","b":true,"z":null,"m":1},{"n":[],"m":"x","e":{}}]'), { s: 'VARCHAR', b: 'BOOLEAN', z: 'JSON', m: 'JSON', n: 'JSON', e: 'JSON' })
    assert.deepEqual(await types('[{"a":1,"s":"x"}]', { types: 'text' }), { a: 'JSON', s: 'JSON' })
    assert.deepEqual((await prepared(['[{"a":1}]'], { 'type:a': 'DECIMAL(9,2)', 'type:rare': 'DATE' })).columns, [{ name: 'a', type: 'DECIMAL(9,2)', fixed: true }, { name: 'rare', type: 'DATE', fixed: true }])
  })

  it('takes objects and arrays of one shape as STRUCT and LIST', async () => {
    const cases: Array<[string[], string]> = [
      [['[1,2]', '[]', 'null', '[null,3.5]'], 'DOUBLE[]'], [['[[1],[]]'], 'BIGINT[][]'], [['["x"]', '[1]'], 'JSON'], [['["x",1]'], 'JSON'],
      [['{"a":1}', '{"b":"x","a":null}', '{}'], 'STRUCT("a" BIGINT, "b" VARCHAR)'], [['{"a":null,"b":[]}'], 'STRUCT("a" JSON, "b" JSON)'], [['{"a \\"b\\"":{"c":[{"d":true}]}}'], 'STRUCT("a ""b""" STRUCT("c" STRUCT("d" BOOLEAN)[]))'],
      [['{"a":1}', '{"a":"x"}'], 'JSON'], [['{"a":1,"A":2}'], 'JSON'], [['{"a":1}', '{"A":2}'], 'JSON'], [['{"a":1,"a":2}'], 'JSON'], [['{"":1}'], 'JSON'], [['{"\\u0000":1}'], 'JSON'], [['{"a":1}', '[1]'], 'JSON'],
      [['[{"a":1},{"a":1,"a":2}]'], 'JSON'], [['{}'], 'JSON'], [[`${'['.repeat(70)}1${']'.repeat(70)}`], 'JSON'], [[`{${Array.from({ length: NESTED_FIELDS_MAX + 1 }, (_, i) => `"${i}":1`).join(',')}}`], 'JSON'],
      [[`{${Array.from({ length: 500 }, (_, i) => `"${'x'.repeat(200)}${i}":1`).join(',')}}`], 'JSON'], [['{"a":9007199254740993.5}'], 'STRUCT("a" DECIMAL(38,1))']
    ]
    for (const [values, type] of cases) assert.equal(await typeOf(values), type, values.join(' ').slice(0, 200))
    assert.equal(await typeOf(['[1]'], { nested: 'json' }), 'JSON')
  })

  it('keeps keys in the order of their appearance, whatever they look like', async () => {
    assert.deepEqual((await prepared(['[{"b":1,"10":2,"__proto__":3},{"1":4}]'])).columns.map(({ name }) => name), ['b', '10', '__proto__', '1'])
  })

  it('unites the keys and types of all inputs', async () => {
    assert.deepEqual(await types(['[{"a":1}]', '[]', '{"a":1.5,"b":"x"}\n{"c":true}', ' ']), { a: 'DOUBLE', b: 'VARCHAR', c: 'BOOLEAN' })
    assert.deepEqual(await types(['{"a":1}\n{"b":2}', '', '{"a":"x"}'], {}, NDJSON), { a: 'JSON', b: 'BIGINT' })
  })

  it('has one column for an array of no objects', async () => {
    for (const [content, type] of [['[1,2]', 'BIGINT'], ['["a",null]', 'VARCHAR'], ['[[1,2],[3]]', 'BIGINT[]'], ['[1,"a"]', 'JSON'], ['[{"a":1},5]', 'JSON'], ['[null]', 'JSON']] as const) {
      const { columns, source } = await prepared([content])
      assert.deepEqual([columns, source], [[{ name: 'value', type }], { format: 'json', elements: 'values' }], content)
    }
  })

  it('sees what is far into a large file', async () => {
    const rows = (row: (i: number) => unknown): string[] => Array.from({ length: 20_000 }, (_, i) => JSON.stringify(row(i)))
    // Nested objects look like records from the midst of a file.
    const odd = rows(i => ({ id: i, name: `{"id":${i}},{"id"`, nest: [{ deep: 1 }, { deep: 2 }], ...(i > 10_000 ? { late: i / 2 } : {}) }))
    const wanted = { id: 'BIGINT', name: 'VARCHAR', nest: 'STRUCT("deep" BIGINT)[]', late: 'DOUBLE' }
    assert.deepEqual(await types(`[${odd.join(',')}]`), wanted)
    assert.deepEqual(await types(odd.map(row => JSON.stringify(JSON.parse(row), null, 1)).join('\n')), wanted)
    assert.deepEqual(await types(odd.join('\n'), {}, NDJSON), wanted)
    assert.deepEqual(await types(`[${Array.from({ length: 200_000 }, (_, i) => i < 100_000 ? i : i / 2).join(', ')}]`), { value: 'DOUBLE' })
  }).timeout(20_000)

  it('reads on until there is a record', async () => {
    const large = JSON.stringify({ list: Array.from({ length: SAMPLE_HEAD_BYTES }, (_, i) => i % 1000), last: true })
    assert.ok(large.length > 2 * SAMPLE_HEAD_BYTES)
    for (const [content, from] of [[large, JSON_ARRAY], [`[${large}]`, JSON_ARRAY], [`${large}\n{"last":false}\n`, NDJSON]] as const) assert.deepEqual(await types(content, {}, from), { list: 'BIGINT[]', last: 'BOOLEAN' })
  })

  it('refuses what has no columns, too many, or is no JSON', async () => {
    for (const empty of ['', '[]', ' \n']) await refused(prepared([empty]), 'bad-input', /is empty: no object, so no columns/)
    await refused(prepared(['[{"a":1},\n{"b":}]']), 'bad-input', /line 2: not JSON at character 6: a value expected/)
    await refused(prepared(['[{"a":1}']), 'bad-input', /line 1: not JSON at character 9/)
    await refused(prepared(['5']), 'bad-input', /an object or an array of objects expected/)
    await refused(prepared(['{"a":1}\n[1]\n'], {}, NDJSON), 'bad-input', /line 2: not an object; NDJSON has one object per line/)
    await refused(prepared([`{${Array.from({ length: 16_385 }, (_, i) => `"${i}":1`).join(',')}}`]), 'unsupported', /16385 different keys, at most 16384/)
    await refused(prepared(['[{"a":1,"A":2}]']), 'unsupported', /differ only in case/)
  })
})
