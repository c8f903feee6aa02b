import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ConversionError } from '../../../../daemon/block-convert/errors.ts'
import { tableDistance } from '../../../../daemon/block-convert/tables/distance.ts'
import { parquetColumns } from '../../../../daemon/block-convert/tables/parquet/schema.ts'
import type { Column, TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import { dialect, Duck, EVERY_TYPE, recipe, text } from './readers/duck.ts'

const columns: Column[] = [{ name: 'id', type: 'BIGINT' }, { name: 'qty', type: 'BIGINT' }, { name: 'name', type: 'VARCHAR' }, { name: 'x', type: 'DOUBLE' }]
const params: TableParameters = { columns, source: { format: 'csv', dialect }, target: { format: 'ndjson' } }
const csv = 'id,qty,name,x\n1,12,a,0.5\n2,,"",-0\n3,7,"b ""c""",\n'
const good = '{"id":1,"qty":12,"name":"a","x":0.5}\n{"id":2,"qty":null,"name":"","x":-0.0}\n{"id":3,"qty":7,"name":"b \\"c\\"","x":null}\n'

describe('distance', () => {
  const compare = async (result: string, original = csv): Promise<unknown> => await tableDistance(text(original), text(result), recipe({ origin: { input: 0, line: 2 } }), params)

  it('is 0 for the same rows', async () => {
    assert.deepEqual(await compare(good), { value: 0, compared: 3 })
    assert.deepEqual(await compare('', 'id,qty,name,x\n'), { value: 0, compared: 0 })
  })

  it('names the first difference by row, column and both values', async () => {
    const cases: Array<[string, string, number, string]> = [
      ['"qty":12', '"qty":13', 0, 'row 1, column "qty": 12 became 13'],
      ['"qty":null', '"qty":0', 1, 'row 2, column "qty": NULL became 0'],
      ['"name":""', '"name":null', 1, 'row 2, column "name": "" became NULL'],
      ['-0.0', '0.0', 1, 'row 2, column "x": -0 became 0'],
      ['"b \\"c\\""', '"b c"', 2, 'row 3, column "name": "b \\"c\\"" became "b c"'],
      ['{"id":3', '{"id":4', 2, 'row 3, column "id": 3 became 4']
    ]
    for (const [from, to, compared, difference] of cases) {
      assert.ok(good.includes(from))
      assert.deepEqual(await compare(good.replace(from, to)), { value: 1, compared, difference })
    }
  })

  it('notices rows too many, too few, swapped or twice', async () => {
    const lines = good.trimEnd().split('\n')
    assert.deepEqual(await compare(lines.slice(0, 2).join('\n')), { value: 1, compared: 2, difference: 'the result ends after 2 rows, the source goes on' })
    assert.deepEqual(await compare([...lines, lines[0]].join('\n')), { value: 1, compared: 3, difference: "the result goes on after the source's 3 rows" })
    assert.deepEqual(await compare([lines[1], lines[0], lines[2]].join('\n')), { value: 1, compared: 0, difference: 'row 1, column "id": 1 became 2' })
    assert.deepEqual(await compare(''), { value: 1, compared: 0, difference: 'the result ends after 0 rows, the source goes on' })
  })

  it('takes an unreadable result for a difference, an unreadable original for an error', async () => {
    const broken = await compare(good.replace('"qty":12', '"qty":1.5')) as { value: number, difference: string }
    assert.equal(broken.value, 1)
    assert.match(broken.difference, /cannot be read: .*column 'qty': "1.5" is not BIGINT/)
    await assert.rejects(compare(good, csv.replace('12', '012')), (error: unknown) => {
      assert.ok(error instanceof ConversionError)
      assert.equal(error.code, 'contradiction')
      assert.equal(error.details.line, 2)
      assert.equal(error.details.original, true)
      return true
    })
  })

  it('finds one changed value among many batches', async () => {
    const rows = 20_000
    const line = (i: number, value: number): string => `{"id":${i},"qty":${value},"name":"n${i}","x":0.5}\n`
    const original = `id,qty,name,x\n${Array.from({ length: rows }, (_, i) => `${i},${i % 7},n${i},0.5\n`).join('')}`
    await fc.assert(fc.asyncProperty(fc.nat(rows - 1), async at => {
      const result = Array.from({ length: rows }, (_, i) => line(i, i === at ? 9 : i % 7)).join('')
      assert.deepEqual(await compare(result, original), { value: 1, compared: at, difference: `row ${at + 1}, column "qty": ${at % 7} became 9` })
    }), { numRuns: 5 })
  })

  it('compares every pair of formats', async () => {
    const duck = await Duck.open()
    try {
      // infinite numbers and dates are left out: JSON has none
      const query = `select * from (${EVERY_TYPE})`
      const parquet = await duck.copy(query, 'every.parquet', 'format parquet')
      const other = await duck.copy(query.replaceAll("'0d134be7", "'0d134be8"), 'other.parquet', 'format parquet')
      const types = await parquetColumns(parquet)
      const forms = {
        parquet: { path: parquet, form: { format: 'parquet', compression: 'snappy' } as const },
        csv: { path: await duck.copy(`select * from '${parquet}'`, 'every.csv', "format csv, header true, nullstr ''"), form: { format: 'csv', dialect } as const },
        ndjson: { path: await duck.copy(`select * from '${parquet}'`, 'every.ndjson', 'format json'), form: { format: 'ndjson' } as const }
      }
      for (const to of ['csv', 'ndjson'] as const) {
        const pair: TableParameters = { columns: types, source: forms.parquet.form, target: forms[to].form }
        const result = { path: forms[to].path, size: 0 }
        assert.deepEqual(await tableDistance({ path: parquet, size: 0 }, result, recipe(), pair), { value: 0, compared: 5 })
        const differs = await tableDistance({ path: other, size: 0 }, result, recipe(), pair)
        assert.equal(differs.difference, 'row 1, column "u": 0d134be8-39d5-44d1-8178-0a810e5c2c4d became 0d134be7-39d5-44d1-8178-0a810e5c2c4d')
      }
      const real = await duck.copy("select i::bigint id, case when i % 3 > 0 then i end::bigint qty, 'n' || i as name, i / 8.0::double x from range(5000) t(i)", 'real.parquet', 'format parquet')
      const texts = {
        csv: { path: await duck.copy(`select * from '${real}'`, 'real.csv', "format csv, header true, nullstr ''"), form: { format: 'csv', dialect } as const },
        ndjson: { path: await duck.copy(`select * from '${real}'`, 'real.ndjson', 'format json'), form: { format: 'ndjson' } as const },
        parquet: { path: real, form: { format: 'parquet', compression: 'snappy' } as const }
      }
      for (const from of Object.values(texts)) {
        for (const to of Object.values(texts)) {
          const pair: TableParameters = { columns, source: from.form, target: to.form }
          assert.deepEqual(await tableDistance({ path: from.path, size: 0 }, { bytes: readFileSync(to.path) }, recipe(), pair), { value: 0, compared: 5000 }, `${from.path} ${to.path}`)
        }
      }
    } finally {
      duck.close()
    }
  })
})
