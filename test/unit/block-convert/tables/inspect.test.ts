import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { inspectWholeTable } from '../../../../daemon/block-convert/tables/inspect-whole.ts'
import { inspectTable } from '../../../../daemon/block-convert/tables/inspect.ts'
import { parquetColumns } from '../../../../daemon/block-convert/tables/parquet/schema.ts'
import { READ_BYTES } from '../../../../daemon/block-convert/tables/parquet/limits.ts'
import type { Column, TableParameters, TargetForm } from '../../../../daemon/block-convert/tables/schema.ts'
import { RecordCounter } from '../../../../daemon/block-convert/tables/text-inspect.ts'
import { dialect, Duck, EVERY_TYPE, recipe, text } from './readers/duck.ts'

const fails = (message: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof ConversionError, String(error))
  assert.equal(error.code, 'bad-input')
  assert.match(error.message, message)
  return true
}
const csvForm: TargetForm = { format: 'csv', dialect }
const params = (columns: Column[], target: TargetForm): TableParameters => ({ columns, source: { format: 'ndjson' }, target })
const two: Column[] = [{ name: 'a', type: 'BIGINT' }, { name: 'b', type: 'VARCHAR' }]

describe('inspect', () => {
  let duck: Duck
  before(async () => { duck = await Duck.open() })
  after(() => duck.close())

  it('counts the rows of every format', async () => {
    const query = 'select i::bigint a, case when i % 4 = 0 then \'x "y"\nz\' else i::varchar end b from range(9000) t(i)'
    const results: Array<[string, TargetForm]> = [
      [await duck.copy(query, 'r.parquet', 'format parquet, row_group_size 2048'), { format: 'parquet', compression: 'snappy' }],
      [await duck.copy(query, 'v2.parquet', 'format parquet, parquet_version v2, compression zstd'), { format: 'parquet', compression: 'zstd' }],
      [await duck.copy(query, 'r.csv', "format csv, header true, nullstr ''"), csvForm],
      [await duck.copy(query, 'bare.csv', "format csv, header false, nullstr ''"), { format: 'csv', dialect: { ...dialect, header: false } }],
      [await duck.copy(query, 'r.ndjson', 'format json'), { format: 'ndjson' }]
    ]
    const lines = readFileSync(results.at(-1)![0], 'utf8').trimEnd().split('\n')
    const part = Buffer.from(lines.join(',\n'))
    const whole = duck.path('whole.json')
    writeFileSync(whole, `[\n${part.toString()}\n]\n`)
    assert.deepEqual(await inspectTable({ bytes: part }, recipe({ units: 9000 }), params(two, { format: 'json' })), { units: 9000 })
    await assert.rejects(inspectTable({ bytes: part }, recipe({ units: 9001 }), params(two, { format: 'json' })), fails(/9000 rows instead of 9001/))
    assert.deepEqual(await inspectWholeTable(whole, { units: 9000, blocks: 1 }, params(two, { format: 'json' })), { units: 9000 })
    await assert.rejects(inspectWholeTable(whole, { units: 8999, blocks: 1 }, params(two, { format: 'json' })), fails(/9000 rows instead of 8999/))
    for (const [path, target] of results) {
      assert.deepEqual(await inspectTable({ path, size: 0 }, recipe({ units: 9000 }), params(two, target)), { units: 9000 })
      assert.deepEqual(await inspectTable({ bytes: readFileSync(path) }, recipe(), params(two, target)), { units: 9000 })
      assert.deepEqual(await inspectWholeTable(path, { units: 9000, blocks: 1 }, params(two, target)), { units: 9000 })
      await assert.rejects(inspectTable({ path, size: 0 }, recipe({ units: 9001 }), params(two, target)), fails(/9000 rows instead of 9001/))
      await assert.rejects(inspectWholeTable(path, { units: 8999, blocks: 1 }, params(two, target)), fails(/9000 rows instead of 8999/))
      await assert.rejects(inspectWholeTable(path, { blocks: 0 }, params(two, target)), fails(/no blocks/))
    }
  })

  it('counts the NULLs of a single column', async () => {
    const one = [{ name: 'a', type: 'BIGINT' }]
    const path = await duck.copy('select case when i % 2 = 0 then i end::bigint a from range(10) t(i)', 'nulls.csv', "format csv, header true, nullstr ''")
    assert.deepEqual(await inspectTable({ path, size: 0 }, recipe({ units: 10 }), params(one, csvForm)), { units: 10 })
  })

  it('refuses texts that are cut off or have another header', async () => {
    const at = async (csv: string, message: RegExp): Promise<void> => { await assert.rejects(inspectTable(text(csv), recipe(), params(two, csvForm)), fails(message)) }
    await at('a,b\n1,x', /no line end/)
    await at('a,b\n1,"x\n', /inside a quoted field/)
    await at('a,c\n1,x\n', /header/)
    await at('', /header/)
    await assert.rejects(inspectTable(text('{"a":1'), recipe(), params(two, { format: 'ndjson' })), fails(/no line end/))
    assert.deepEqual(await inspectTable(text(''), recipe({ units: 0 }), params(two, { format: 'ndjson' })), { units: 0 })
  })

  it('refuses JSON that is not one object a line with what belongs between', async () => {
    const json: TargetForm = { format: 'json' }
    const part = async (content: string, rows?: number): Promise<unknown> => await inspectTable(text(content), recipe(rows == null ? {} : { units: rows }), params(two, json))
    const whole = async (content: string): Promise<unknown> => {
      writeFileSync(duck.path('w.json'), content)
      return await inspectWholeTable(duck.path('w.json'), { blocks: 1 }, params(two, json))
    }
    assert.deepEqual([await part('', 0), await part('{"a":1}', 1), await part('{"a":1},\n{"a":2}', 2)], [{ units: 0 }, { units: 1 }, { units: 2 }])
    assert.deepEqual([await whole('[]\n'), await whole('[\n{"a":1}\n]\n'), await whole('[\n{"a":1},\n{}\n]\n')], [{ units: 0 }, { units: 1 }, { units: 2 }])
    for (const wrong of ['{"a":1}\n', '{"a":1},\n', '{"a":1},', '[\n{"a":1}\n]\n', '{"a":1}\n{"a":2}', '{"a":1},\n\n{"a":2}', '{"a":1},\n[2]', '{"a":1', 'x', '\n', '{"a":1},\n"b":2}']) await assert.rejects(part(wrong), fails(/./), wrong)
    for (const wrong of ['', '[]', '[\n\n]\n', '[\n]\n', '{"a":1}', '[\n{"a":1}\n]', '[{"a":1}]\n', '[\n{"a":1},\n]\n', '[\n{"a":1}\n{"a":2}\n]\n', '[\n{"a":1}']) await assert.rejects(whole(wrong), fails(/./), wrong)
    for (const wrong of ['[1]\n', '{"a":1}\n\n', '{"a":1},\n', 'x\n', '{"a":1}\n{"a"\n']) await assert.rejects(inspectTable(text(wrong), recipe(), params(two, { format: 'ndjson' })), fails(/./), wrong)
  })

  it('counts JSON lines longer than what is read at once', async () => {
    const line = (bytes: number): string => `{"b":"${'x'.repeat(bytes - 8)}"}`
    const cases = [[line(READ_BYTES + 10), line(READ_BYTES + 10)], ['{}', line(2 * READ_BYTES), '{}'], ...[-3, -2, -1, 0, 1].map(more => [line(READ_BYTES + more), '{}'])]
    for (const lines of cases) {
      assert.deepEqual(await inspectTable(text(lines.join(',\n')), recipe(), params(two, { format: 'json' })), { units: lines.length })
      assert.deepEqual(await inspectTable(text(`${lines.join('\n')}\n`), recipe(), params(two, { format: 'ndjson' })), { units: lines.length })
    }
  })

  it('counts records wherever the pieces end', () => {
    fc.assert(fc.property(fc.array(fc.array(fc.string({ unit: fc.constantFrom('a', '"', '\n', ','), maxLength: 6 }), { minLength: 1, maxLength: 3 }), { maxLength: 10 }), fc.integer({ min: 1, max: 9 }), (rows, size) => {
      const bytes = Buffer.from(rows.map(row => `${row.map(field => `"${field.replaceAll('"', '""')}"`).join(',')}\n`).join(''))
      const escaped = Buffer.from(rows.map(row => `${row.map(field => `"${field.replaceAll('"', '\\"')}"`).join(',')}\n`).join(''))
      for (const [data, escape] of [[bytes, -1], [escaped, 92]] as Array<[Buffer, number]>) {
        const counter = new RecordCounter(34, escape)
        for (let i = 0; i < data.length; i += size) counter.add(data.subarray(i, i + size))
        assert.equal(counter.records, rows.length)
        assert.equal(counter.open, false)
      }
    }), { numRuns: 200 })
  })

  it('refuses Parquet of another schema or compression', async () => {
    const path = await duck.copy("select 1::bigint a, 'x' b", 'plain.parquet', 'format parquet, compression gzip')
    const at = async (columns: Column[], compression: 'gzip' | 'snappy', message: RegExp): Promise<void> => {
      await assert.rejects(inspectTable({ path, size: 0 }, recipe(), params(columns, { format: 'parquet', compression })), fails(message))
    }
    await at(two, 'snappy', /GZIP instead of snappy/)
    await at([two[1]!, two[0]!], 'gzip', /column 1 is 'a' BIGINT instead of 'b' VARCHAR/)
    await at([two[0]!], 'gzip', /column 2 is 'b' VARCHAR instead of no column/)
    await at([{ name: 'a', type: 'INTEGER' }, two[1]!], 'gzip', /'a' BIGINT instead of 'a' INTEGER/)
  })

  it('notices Parquet files that are cut off or patched together', async () => {
    const path = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
    const columns = await parquetColumns(path)
    const bytes = new Uint8Array(readFileSync(path))
    const inspect = async (data: Uint8Array): Promise<unknown> => await inspectTable({ bytes: data }, recipe({ units: 5 }), params(columns, { format: 'parquet', compression: 'snappy' }))
    assert.deepEqual(await inspect(bytes), { units: 5 })
    for (const length of [0, 8, 100, bytes.length - 9, bytes.length - 1]) await assert.rejects(inspect(bytes.slice(0, length)), fails(/./))
    // a piece of data missing in the middle, the footer as it was
    const gap = new Uint8Array(Buffer.concat([bytes.subarray(0, 200), bytes.subarray(260)]))
    await assert.rejects(inspect(gap), fails(/./))
    const zeros = bytes.slice().fill(0, 100, 160)
    await assert.rejects(inspect(zeros), fails(/./))
    writeFileSync(duck.path('trailing.parquet'), Buffer.concat([bytes, new Uint8Array(10)]))
    await assert.rejects(inspectWholeTable(duck.path('trailing.parquet'), { units: 5, blocks: 1 }, params(columns, { format: 'parquet', compression: 'snappy' })), fails(/cut off/))
  })

  it('answers every mutation with a count or bad-input', async () => {
    const path = await duck.copy(`select * from (${EVERY_TYPE}) union all select * from (${EVERY_TYPE})`, 'mutants.parquet', 'format parquet')
    const columns = await parquetColumns(path)
    const bytes = new Uint8Array(readFileSync(path))
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 }), async changes => {
      const mutant = bytes.slice()
      for (const [at, value] of changes) mutant[at] = value
      try {
        assert.deepEqual(await inspectTable({ bytes: mutant }, recipe({ units: 10 }), params(columns, { format: 'parquet', compression: 'snappy' })), { units: 10 })
      } catch (error) {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        assert.ok(error.code === 'bad-input' || error.code === 'unsupported')
      }
    }), { numRuns: 800 })
  })
})
