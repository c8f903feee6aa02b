import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { CSV, JSON_ARRAY, NDJSON, PARQUET } from '../../../../../daemon/block-convert/tables/constants.ts'
import { withEngine } from '../../../../../daemon/block-convert/tables/engine/duckdb.ts'
import { tableDistance } from '../../../../../daemon/block-convert/tables/distance.ts'
import { inspectTable } from '../../../../../daemon/block-convert/tables/inspect.ts'
import { jsonForm } from '../../../../../daemon/block-convert/tables/json/target.ts'
import { longText, writeElements, writeNdjson } from '../../../../../daemon/block-convert/tables/json/write.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { prepareTable } from '../../../../../daemon/block-convert/tables/prepare.ts'
import type { Column, TableParameters, TargetForm } from '../../../../../daemon/block-convert/tables/schema.ts'
import { readSettings } from '../../../../../daemon/block-convert/tables/settings.ts'
import { withFolder, writeInput } from '../cases.ts'
import { Duck, read, recipe } from '../readers/duck.ts'

/** What the engine writes for a query; its columns are named c0, c1, ... */
async function written (query: string, columns: Column[], target: TargetForm = { format: 'ndjson' }): Promise<string> {
  return await withFolder(async folder => {
    const output = `${folder}/out`
    const params: TableParameters = { columns, source: { format: 'parquet' }, target }
    const init = { folder, input: `${folder}/in`, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} }
    const rows = await withEngine(output, columns, init, async connection => {
      const task = { connection, params, path: init.input, size: 0, folder, output, threads: 1, signal: init.signal }
      return await (target.format === 'json' ? writeElements : writeNdjson)(task, `(${query})`)
    })
    const result = { path: output, size: (await stat(output)).size }
    assert.deepEqual(await inspectTable(result, recipe({ units: rows }), params), { units: rows })
    return await readFile(output, 'utf8')
  })
}

const named = (...types: string[]): Column[] => types.map((type, i) => ({ name: String.fromCharCode(97 + i), type }))

async function refused (work: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String((error as Error).stack))
    assert.equal(error.code, 'unsupported')
    assert.match(error.message, message)
    return true
  })
}

describe('tables: writing JSON', () => {
  it('gives every key, in the order of the columns', async () => {
    assert.equal(await written('select 1 c0, NULL::varchar c1', [{ name: 'a "b"', type: 'INTEGER' }, { name: 'é\n', type: 'VARCHAR' }]), '{"a \\"b\\"":1,"é\\n":null}\n')
    assert.equal(await written('select \'x"\\\' || chr(0) || chr(10) c0', named('VARCHAR')), '{"a":"x\\"\\\\\\u0000\\n"}\n')
  })

  it('writes long texts piece by piece, as the short ones', async () => {
    const duck = await Duck.open()
    try {
      const texts = fc.array(fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '\u0001', 'é', '😀', '\u2028'), maxLength: 400 }), { minLength: 1, maxLength: 5 })
      await fc.assert(fc.asyncProperty(texts, async values => {
        const rows = await duck.rows(`select ${longText('s', 3)} from (values ${values.map(value => `('${value}')`).join(', ')}) t(s)`)
        assert.deepEqual(rows.map(([json]) => JSON.parse(String(json)) as unknown), values)
      }), { numRuns: 30 })
      assert.deepEqual(await duck.rows(`select ${longText('NULL::varchar')}, ${longText("''")}, ${longText("chr(0) || 'x'", 1)}`), [['null', '""', '"\\u0000x"']])
    } finally {
      duck.close()
    }
  })

  it('puts a comma and a line end between the elements of an array\'s part', async () => {
    for (const [rows, text] of [[0, ''], [1, '{"a":0}'], [3, '{"a":0},\n{"a":1},\n{"a":2}']] as const) assert.equal(await written(`select i c0 from range(${rows}) t(i)`, named('BIGINT'), { format: 'json' }), text)
  })

  it('has a rule for NaN and infinities', async () => {
    const query = `select * from (values ('nan'::double, 1.5::float, ['inf'::double, 2, NULL], {'x': '-inf'::float}, map {'k': 'nan'::double, 'l': 1}), ('-0.0'::double, NULL, [], NULL, map {})) t(c0, c1, c2, c3, c4)`
    const columns = named('DOUBLE', 'FLOAT', 'DOUBLE[]', 'STRUCT("x" FLOAT)', 'MAP(VARCHAR, DOUBLE)')
    const last = '{"a":-0.0,"b":null,"c":[],"d":null,"e":{}}\n'
    assert.equal(await written(query, columns), `{"a":"NaN","b":1.5,"c":["Infinity",2.0,null],"d":{"x":"-Infinity"},"e":{"k":"NaN","l":1.0}}\n${last}`)
    assert.equal(await written(query, columns, { format: 'ndjson', nonfinite: 'null' }), `{"a":null,"b":1.5,"c":[null,2.0,null],"d":{"x":null},"e":{"k":null,"l":1.0}}\n${last}`)
    await refused(written(query, columns, { format: 'ndjson', nonfinite: 'error' }), /column 'a' holds NaN or an infinity.*nonfinite=text/)
    await refused(written('select [\'nan\'::double] c0', named('DOUBLE[]'), { format: 'ndjson', nonfinite: 'error' }), /column 'a' holds NaN/)
  })

  it('keeps numbers as they are', async () => {
    const query = 'select 0.25::decimal(2,2) c0, -0.5::decimal(38,38) c1, 12345678901234567890.123456789::decimal(38,9) c2, [0.5::decimal(9,9), NULL] c3, 18446744073709551615::ubigint c4'
    assert.equal(await written(query, named('DECIMAL(2,2)', 'DECIMAL(38,38)', 'DECIMAL(38,9)', 'DECIMAL(9,9)[]', 'UBIGINT')),
      `{"a":0.25,"b":-0.5${'0'.repeat(37)},"c":12345678901234567890.123456789,"d":[0.500000000,null],"e":18446744073709551615}\n`)
    assert.equal(await written('select \'{"x": 0.12345678901234567890,\n"y": [-0, 1.10]}\'::json c0, {\'j\': \'1e400\'::json} c1', named('JSON', 'STRUCT("j" JSON)')), '{"a":{"x": 0.12345678901234567890, "y": [-0, 1.10]},"b":{"j":1e400}}\n')
  })

  it('refuses what is marked as JSON and is none', async () => {
    for (const value of ['nan', '[1,]', '{"a":Infinity}', '{"a":1', '', '{"a\\"":1, }']) await refused(written(`select '${value}'::varchar c0`, named('JSON')), /column 'a' holds a value that is marked as JSON but is none/)
    assert.equal(await written('select \'{"nan":"inf,]\\"nan"}\'::json c0', named('JSON')), '{"a":{"nan":"inf,]\\"nan"}}\n')
  })

  it('tells what JSON has no values for', () => {
    const settings = readSettings({}, 'parquet', 'json')
    const form = (types: string[], source: 'parquet' | 'ndjson' = 'parquet'): ReturnType<typeof jsonForm> => jsonForm('json', settings, named(...types), { format: source })
    assert.deepEqual(form(['DATE', 'BLOB[]', 'STRUCT("x" MAP(DATE, DOUBLE))', 'VARCHAR']).notes.map(({ code, columns }) => [code, columns]), [['type-as-text', ['a', 'b', 'c']], ['map-as-object', ['c']], ['nonfinite', ['c']]])
    assert.deepEqual(form(['DOUBLE', 'BIGINT[]'], 'ndjson'), { target: { format: 'json' }, notes: [] })
    assert.throws(() => form(['MAP(BIGINT[], VARCHAR)']), /column 'a' is MAP\(BIGINT\[\], VARCHAR\): JSON has only texts for the keys of a map/)
    assert.deepEqual(jsonForm('ndjson', readSettings({ nonfinite: 'null' }, 'parquet', 'ndjson'), [], { format: 'parquet' }).target, { format: 'ndjson', nonfinite: 'null' })
  })

  it('is read as it was meant, of every type and depth', async () => {
    const duck = await Duck.open()
    try {
      const leaves: Array<[string, string[]]> = [
        ['BIGINT', ['1', '-9223372036854775808']], ['UBIGINT', ['18446744073709551615']], ['DOUBLE', ['0.1', "'nan'", "'-inf'", "'-0.0'", '1e300']], ['FLOAT', ['0.1', "'inf'"]], ['DECIMAL(38,10)', ['12345678901234567.0123456789']], ['BOOLEAN', ['true', 'false']],
        ['VARCHAR', ["'a\"b\\'", "'NaN'", "'é東'", "''"]], ['DATE', ["'2020-02-29'", "'0044-03-15 (BC)'", "'infinity'"]], ['TIME', ["'23:59:59.999999'"]], ['TIMESTAMP', ["'2020-01-02 03:04:05.6'", "'-infinity'"]], ['TIMESTAMP_NS', ["'2020-01-02 03:04:05.123456789'"]],
        ['TIMESTAMPTZ', ["'2020-01-02 03:04:05+00'"]], ['INTERVAL', ["'1 year 2 months 3 days 04:05:06.7'", "'0 days'", "'36 hours'"]], ['BLOB', ["'\\x00\\xFF\"a\\x5C'"]], ['UUID', ["'0d134be7-39d5-44d1-8178-0a810e5c2c4d'"]], ['JSON', ["'{\"a\": [1, 2.50]}'", "'\"x\"'"]]
      ]
      const leaf = fc.constantFrom(...leaves).chain(([type, values]) => fc.record({ type: fc.constant(type), value: fc.constant(fc.constantFrom('NULL', ...values.map(value => `(${value})::${type}`))) }))
      interface Typed { type: string, value: fc.Arbitrary<string> }
      const typed = fc.letrec<{ type: Typed }>(tie => ({
        type: fc.oneof({ maxDepth: 3 }, leaf, tie('type').map(item => ({ type: `${item.type}[]`, value: fc.oneof(fc.constant('NULL'), fc.array(item.value, { maxLength: 3 }).map(items => `[${items.join(', ')}]`)) })),
          fc.tuple(tie('type'), tie('type')).map(([a, b]) => ({ type: `STRUCT("x y" ${a.type}, "q""" ${b.type})`, value: fc.oneof(fc.constant('NULL'), fc.tuple(a.value, b.value).map(([x, y]) => `{'x y': ${x}, 'q"': ${y}}`)) })),
          fc.tuple(leaf.filter(({ type }) => type !== 'JSON'), tie('type')).map(([key, item]) => ({ type: `MAP(${key.type}, ${item.type})`, value: fc.oneof(fc.constant('NULL'), fc.tuple(key.value.filter(text => text !== 'NULL'), item.value).map(([k, v]) => `map {${k}: ${v}}`), fc.constant('map {}')) })))
      })).type
      await fc.assert(fc.asyncProperty(typed.chain(({ type, value }) => fc.record({ type: fc.constant(type), values: fc.array(value, { minLength: 1, maxLength: 4 }) })), async ({ type, values }) => {
        const query = values.map(value => `select cast(${value} as ${type}) c0`).join(' union all ')
        // Another way to the same values: another format, another reader.
        const path = await duck.copy(query, 'typed.parquet', 'format parquet')
        const columns = await parquetColumns(path)
        const expected = read(path, { format: 'parquet' }, columns, { side: 'source' })
        assert.deepEqual(read({ bytes: Buffer.from(await written(query, columns)) }, { format: 'ndjson' }, columns, { side: 'result' }), expected)
        assert.deepEqual(read({ bytes: Buffer.from(await written(query, columns, { format: 'json' })) }, { format: 'json' }, columns, { side: 'result' }), expected)
      }), { numRuns: 15 })
    } finally {
      duck.close()
    }
  }).timeout(60_000)

  it('equals its source as the check sees it, whatever becomes of NaN', async () => {
    const duck = await Duck.open()
    try {
      const path = await duck.copy('select * from (values (\'nan\'::double, [1.5, \'inf\'::double], {\'s\': \'NaN "Infinity"\', \'f\': \'-inf\'::float}), (2.5, NULL, NULL)) t(d, l, s)', 'nan.parquet', 'format parquet')
      const columns = await parquetColumns(path)
      const numbered = columns.map(({ name }, i) => `${name} c${i}`).join(', ')
      for (const nonfinite of ['text', 'null'] as const) {
        const target: TargetForm = { format: 'ndjson', nonfinite }
        const text = await written(`select ${numbered} from (values ('nan'::double, [1.5, 'inf'::double], {'s': 'NaN "Infinity"', 'f': '-inf'::float}), (2.5, NULL, NULL)) t(d, l, s)`, columns, target)
        const params: TableParameters = { columns, source: { format: 'parquet' }, target }
        assert.deepEqual(await tableDistance({ path, size: 0 }, { bytes: Buffer.from(text) }, recipe(), params), { value: 0, compared: 2 })
        const other = await tableDistance({ path, size: 0 }, { bytes: Buffer.from(text.replace('1.5', '1.25')) }, recipe(), params)
        assert.match(other.difference!, /^row 1, column "l"/)
      }
    } finally {
      duck.close()
    }
  })

  it('gets its notes into the job', async () => withFolder(async folder => {
    const json = await writeInput(folder, 'in.json', '[{"d":0.5,"day":"x"}]', JSON_ARRAY)
    assert.deepEqual((await prepareTable([json], { from: JSON_ARRAY, to: NDJSON }, { 'type:day': 'DATE' })).notes.map(note => note.code), ['type-as-text'])
    const csv = await writeInput(folder, 'in.csv', 'd\nx\n', CSV)
    assert.deepEqual((await prepareTable([csv], { from: CSV, to: JSON_ARRAY }, { 'type:d': 'DOUBLE', nonfinite: 'null' })).notes.map(note => note.code), ['nonfinite'])
    assert.deepEqual((await prepareTable([csv], { from: CSV, to: PARQUET }, {})).notes, [])
  }))
})
