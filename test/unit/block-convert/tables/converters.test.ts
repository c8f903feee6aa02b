import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '@duckdb/node-api'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import type { BlockSource, ConvertContext } from '../../../../daemon/block-convert/index.ts'
import { DUCKDB_VERSION } from '../../../../daemon/block-convert/tables/constants.ts'
import { TABLE_TYPES } from '../../../../daemon/block-convert/tables/formats.ts'
import { tableConverters } from '../../../../daemon/block-convert/tables/converters.ts'
import { identifier, literal, withEngine, type EngineInit } from '../../../../daemon/block-convert/tables/engine/duckdb.ts'
import { readTableParameters, type Column, type SourceForm, type TableParameters, type TargetForm } from '../../../../daemon/block-convert/tables/schema.ts'
import { rowsOf, withFolder } from './cases.ts'

const CSV_FORM = { format: 'csv', dialect: { delimiter: ',', quote: '"', escape: '"', header: true } } as const
const NDJSON_FORM = { format: 'ndjson' } as const
const PARQUET_FORM = { format: 'parquet', compression: 'snappy' } as const
const FORMATS = { csv: CSV_FORM, ndjson: NDJSON_FORM, parquet: PARQUET_FORM }

function params (columns: Column[], source: keyof typeof FORMATS, target: keyof typeof FORMATS): TableParameters {
  const form = source === 'parquet' ? { format: 'parquet' } as const : FORMATS[source]
  return { columns, source: form as SourceForm, target: FORMATS[target] as TargetForm }
}

async function convert (folder: string, input: BlockSource, wanted: TableParameters, context: Partial<ConvertContext> = {}): Promise<{ output: string, units?: number }> {
  const converter = tableConverters.find(candidate => candidate.id === `table/${wanted.source.format}-${wanted.target.format}`)!
  const workspace = join(folder, `work-${(await readdir(folder)).length}`)
  await mkdir(workspace)
  const output = join(workspace, 'out')
  const { units } = await converter.convert(input, { ...wanted }, { output, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {}, ...context })
  return { output, units }
}

async function refused (work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof ConversionError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  })
}

async function runSql (sql: string, output: string, columns: Column[], init: EngineInit): Promise<number> {
  return await withEngine(output, columns, init, async connection => Number((await connection.runAndReadAll(sql)).getRows()[0]?.[0] ?? 0))
}

/** A Parquet file made by the engine itself, outside of any converter. */
async function parquet (folder: string, select: string): Promise<BlockSource> {
  const path = join(folder, `made-${(await readdir(folder)).length}.parquet`)
  await runSql(`COPY (${select}) TO ${literal(path)} (FORMAT parquet)`, path, [], { folder, input: path, threads: 1, memoryBytes: 1e9, signal: new AbortController().signal, progress: () => {} })
  return { path, size: (await stat(path)).size }
}

describe('tables: converters', function () {
  this.timeout(60_000)

  it('are there in every direction, versioned with the engine that is installed', () => {
    assert.equal(version(), `v${DUCKDB_VERSION}`)
    const names = ['csv', 'ndjson', 'json', 'parquet', 'arrow', 'arrows']
    assert.deepEqual(tableConverters.map(converter => converter.id), names.flatMap(from => names.map(to => `table/${from}-${to}`)))
    for (const converter of tableConverters) assert.match(converter.version, /^\d+\+duckdb-1\.5\.5$/)
    assert.deepEqual(new Set(tableConverters.flatMap(converter => [converter.from, converter.to])), new Set(TABLE_TYPES.map(({ mediaType }) => mediaType)))
  })

  it('write the same bytes again with one thread', async () => withFolder(async folder => {
    const csv = Buffer.from('a,b\n' + Array.from({ length: 20_000 }, (_, i) => `${i},name${i * 7919 % 1000}\n`).join(''))
    const columns = [{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'VARCHAR' }]
    for (const target of ['parquet', 'ndjson'] as const) {
      const first = await convert(folder, { bytes: csv }, params(columns, 'csv', target))
      const second = await convert(folder, { bytes: csv }, params(columns, 'csv', target))
      assert.equal(first.units, 20_000)
      assert.ok((await readFile(first.output)).equals(await readFile(second.output)), target)
    }
  }))

  it('write values as they say', async () => withFolder(async folder => {
    const source = await parquet(folder, `SELECT * FROM (VALUES
      (1::BIGINT, 1.50::DECIMAL(18,2), 0.1::DOUBLE, 0.1::FLOAT, true, DATE '2020-01-02', TIME '03:04:05.5', TIMESTAMP '2020-01-02 03:04:05', TIMESTAMPTZ '2020-01-02 03:04:05+02', 'é"', '{"x": [1]}'::JSON, '\\xAA'::BLOB, 255::UTINYINT),
      (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL)) t(i, n, d, f, b, day, clock, moment, instant, s, j, x, u)`)
    const columns = Object.entries({ i: 'BIGINT', n: 'DECIMAL(18,2)', d: 'DOUBLE', f: 'FLOAT', b: 'BOOLEAN', day: 'DATE', clock: 'TIME', moment: 'TIMESTAMP', instant: 'TIMESTAMPTZ', s: 'VARCHAR', j: 'JSON', x: 'BLOB', u: 'UTINYINT' })
      .map(([name, type]) => ({ name, type }))
    const csv = await convert(folder, source, params(columns, 'parquet', 'csv'))
    assert.equal(await readFile(csv.output, 'utf8'), 'i,n,d,f,b,day,clock,moment,instant,s,j,x,u\n' +
      '1,1.50,0.1,0.1,true,2020-01-02,03:04:05.5,2020-01-02 03:04:05,2020-01-02 01:04:05+00,"é""","{""x"": [1]}",\\xAA,255\n,,,,,,,,,"",,,\n')
    const ndjson = await convert(folder, source, params(columns, 'parquet', 'ndjson'))
    assert.equal((await readFile(ndjson.output, 'utf8')).split('\n')[0], '{"i":1,"n":1.50,"d":0.1,"f":0.10000000149011612,"b":true,"day":"2020-01-02","clock":"03:04:05.5",' +
      '"moment":"2020-01-02 03:04:05","instant":"2020-01-02 01:04:05+00","s":"é\\"","j":{"x": [1]},"x":"\\\\xAA","u":255}')
    const original = await rowsOf((source as { path: string }).path, { format: 'parquet' }, columns)
    assert.deepEqual(await rowsOf(csv.output, CSV_FORM, columns, { side: 'result' }), original)
    assert.deepEqual(await rowsOf(ndjson.output, NDJSON_FORM, columns, { side: 'result' }), original)
  }))

  it('refuse what the target cannot hold, naming the column', async () => withFolder(async folder => {
    const nan = await parquet(folder, 'SELECT 1::DOUBLE AS "a b" UNION ALL SELECT \'nan\'::DOUBLE')
    const strict = { ...params([{ name: 'a b', type: 'DOUBLE' }], 'parquet', 'ndjson'), target: { format: 'ndjson', nonfinite: 'error' } } satisfies TableParameters
    await refused(convert(folder, nan, strict), 'unsupported', /column 'a b' holds NaN or an infinity/)
    const lenient = await convert(folder, nan, params([{ name: 'a b', type: 'DOUBLE' }], 'parquet', 'ndjson'))
    assert.equal(await readFile(lenient.output, 'utf8'), '{"a b":1.0}\n{"a b":"NaN"}\n')
    assert.equal((await convert(folder, nan, params([{ name: 'a b', type: 'DOUBLE' }], 'parquet', 'csv'))).units, 2)
    await refused(convert(folder, { bytes: Buffer.from('{"s":"a\\u0000b"}\n') }, params([{ name: 's', type: 'VARCHAR' }], 'ndjson', 'csv')), 'unsupported', /column 's' holds a NUL character/)
  }))

  it('keep the sign of zero in Parquet, also where values repeat', async () => withFolder(async folder => {
    const path = join(folder, 'zeros.parquet')
    const zeros = 'SELECT a, [a] AS l FROM (SELECT CASE WHEN i % 2 = 0 THEN 0.0::DOUBLE ELSE \'-0.0\'::DOUBLE END AS a FROM range(200) t(i))'
    await runSql(`COPY (${zeros}) TO ${literal(path)} (FORMAT parquet, DICTIONARY_SIZE_LIMIT 0)`, path, [], { folder, input: path, threads: 1, memoryBytes: 1e9, signal: new AbortController().signal, progress: () => {} })
    const columns = [{ name: 'a', type: 'DOUBLE' }, { name: 'l', type: 'DOUBLE[]' }]
    const { output } = await convert(folder, { path, size: (await stat(path)).size }, params(columns, 'parquet', 'parquet'))
    const values = await rowsOf(output, { format: 'parquet' }, columns)
    assert.equal(values.length, 200)
    values.forEach(([a, list], i) => {
      assert.ok(Object.is(a, i % 2 === 0 ? 0 : -0), `row ${i}`)
      assert.equal(list, i % 2 === 0 ? '[0]' : '[-0]')
    })
  }))

  it('take names and values for what they are, never for SQL', async () => withFolder(async folder => {
    const name = '"; DROP TABLE x; -- \'); COPY (SELECT 1) TO \'/tmp/weft-pwned'
    const columns = [{ name, type: 'VARCHAR' }, { name: 'b}\': \'', type: 'BIGINT' }]
    const row = { [name]: 'x\'); SELECT error(\'no', 'b}\': \'': 5 }
    const { output } = await convert(folder, { bytes: Buffer.from(JSON.stringify(row) + '\n') }, params(columns, 'ndjson', 'parquet'))
    assert.deepEqual(await rowsOf(output, { format: 'parquet' }, columns), [[row[name], 5]])
    assert.equal(identifier('a"b'), '"a""b"')
    assert.equal(literal('a\'b'), '\'a\'\'b\'')
    assert.throws(() => literal('a\0b'), ConversionError)
    const bad = { ...params(columns, 'ndjson', 'parquet'), columns: [{ name: 'a', type: 'BIGINT); DROP TABLE x' }] }
    await refused(convert(folder, { bytes: Buffer.from('{}') }, bad), 'bad-parameters', /unknown column type/)
  }))

  it('give the engine its folder and its input, and nothing else', async () => withFolder(async folder => {
    const secret = join(folder, 'secret.csv')
    const work = join(folder, 'work')
    await mkdir(work)
    await writeFile(secret, '1\n')
    await writeFile(join(work, 'in.csv'), '1\n')
    await symlink(secret, join(work, 'link.csv'))
    const run = (sql: string): Promise<number> => runSql(sql, join(work, 'out'), [], { folder: work, input: join(work, 'in.csv'), threads: 1, memoryBytes: 1e8, signal: new AbortController().signal, progress: () => {} })
    const copy = (from: string, to: string): string => `COPY (SELECT * FROM read_csv('${from}', columns = {a: 'BIGINT'}, header = false, auto_detect = false)) TO '${to}' (FORMAT csv)`
    assert.equal(await run(copy(join(work, 'in.csv'), join(work, 'out'))), 1)
    for (const sql of [
      copy(secret, join(work, 'x')), copy(join(work, 'link.csv'), join(work, 'x')), copy(join(work, '..', 'secret.csv'), join(work, 'x')), copy(join(work, 'in.csv'), join(folder, 'x')),
      'SET threads = 8', 'SET enable_external_access = true', 'SET allowed_directories = [\'/\']', 'LOAD httpfs', 'INSTALL httpfs', `ATTACH '${join(folder, 'x.db')}'`
    ]) await refused(run(sql), 'engine', /Permission Error|configuration has been locked|Cannot change|disabled/)
  }))

  it('say what kind of failure it was', async () => withFolder(async folder => {
    const columns = [{ name: 'a', type: 'BIGINT' }]
    await refused(convert(folder, { bytes: Buffer.from('{"a":1}\n{"a":\n') }, params(columns, 'ndjson', 'parquet')), 'bad-input', /malformed JSON near line \d of the block/)
    await refused(convert(folder, { bytes: Buffer.from('PAR1 no parquet at all') }, params(columns, 'parquet', 'csv')), 'bad-input', /./)
    await refused(convert(folder, { bytes: Buffer.from('a\nx\n') }, params(columns, 'csv', 'parquet')), 'engine', /the table engine failed/)
  }))

  it('stop at once when they are told to', async () => withFolder(async folder => {
    const stop = new AbortController()
    const path = join(folder, 'out')
    const endless = runSql(`COPY (SELECT a FROM range(1000000000000) t(a) WHERE a % 7 = 8) TO ${literal(path)} (FORMAT csv)`, path, [], { folder, input: path, threads: 1, memoryBytes: 1e8, signal: stop.signal, progress: () => {} })
    setImmediate(() => { stop.abort(new Error('enough')) })
    await assert.rejects(endless, /enough/)
    await assert.rejects(convert(folder, { bytes: Buffer.from('a\n1\n') }, params([{ name: 'a', type: 'BIGINT' }], 'csv', 'parquet'), { signal: AbortSignal.abort(new Error('before')) }), /before/)
  }))
})

describe('tables: parameters', () => {
  const good = params([{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'DECIMAL(18,2)' }], 'csv', 'parquet')

  it('come back as they went, with defaults', () => {
    assert.deepEqual(readTableParameters(structuredClone(good)), good)
    assert.deepEqual(readTableParameters({ ...good, target: { format: 'parquet' } }), good)
    assert.deepEqual(readTableParameters({ ...good, lineEnds: 'mixed' }), { ...good, lineEnds: 'mixed' })
  })

  it('are refused with the key that is wrong', () => {
    const wrong: Array<[unknown, RegExp]> = [
      [null, /'parameters' must be an object/], [{ ...good, colums: [] }, /'colums' is unknown; did you mean 'columns'/], [{ ...good, columns: [] }, /'columns' must be a list/],
      [{ ...good, columns: [{ name: 'a' }] }, /'columns\[0\]\.type'/], [{ ...good, columns: [{ name: 'a', type: 'TEXT' }] }, /unknown column type 'TEXT'/],
      [{ ...good, columns: [{ name: 'a', type: 'DECIMAL(40,2)' }] }, /unknown column type/], [{ ...good, columns: [...good.columns, { name: 'A', type: 'DATE' }] }, /'columns\[2\]\.name' names 'A' twice/],
      [{ ...good, source: { format: 'xls' } }, /'source\.format' must be/], [{ ...good, source: { format: 'csv' } }, /'source\.dialect' must be an object/],
      [{ ...good, source: { format: 'csv', dialect: { ...CSV_FORM.dialect, delimiter: 'xy' } } }, /'source\.dialect\.delimiter'/], [{ ...good, source: { format: 'csv', dialect: { ...CSV_FORM.dialect, escape: '' } } }, /'source\.dialect\.escape'/],
      [{ ...good, target: { format: 'parquet', compression: 'lzo' } }, /'target\.compression'/],
      [{ ...good, rows: [2, 1] }, /'rows' must be two row numbers/], [{ ...good, rows: [0, 1.5] }, /'rows'/]
    ]
    for (const [value, message] of wrong) {
      assert.throws(() => readTableParameters(value), (error: unknown) => error instanceof ConversionError && error.code === 'bad-parameters' && message.test(error.message), String(message))
    }
  })

  it('must fit the edge they are given to', () => {
    const edge = tableConverters.find(converter => converter.id === 'table/csv-parquet')!
    assert.throws(() => edge.validate({ ...params(good.columns, 'ndjson', 'parquet') }), /'source\.format' must be csv/)
    assert.throws(() => edge.validate({ ...good, rows: [0, 5] }), /'rows' is for Parquet and Arrow blocks only/)
  })

  it('tell which parts may meet in one output', () => {
    const edge = tableConverters.find(converter => converter.id === 'table/csv-parquet')!
    const same = edge.mergeClass({ ...good, source: { format: 'csv', dialect: { ...CSV_FORM.dialect, delimiter: ';' } } })
    assert.equal(edge.mergeClass({ ...good }), same)
    assert.notEqual(edge.mergeClass({ ...good, columns: good.columns.toReversed() }), same)
    assert.notEqual(edge.mergeClass({ ...good, target: { format: 'parquet', compression: 'zstd' } }), same)
  })
})
