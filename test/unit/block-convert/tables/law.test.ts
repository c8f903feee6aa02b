/**
 * The law of every converter: merge(map(convert, split(x))) holds the same rows as convert(x), and both as x, wherever the block
 * borders fall. Rows are read by the independent readers. WEFT_LAW_RUNS raises the number of random tables.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { tables } from '../../../../daemon/block-convert/tables/index.ts'
import { CSV, NDJSON, PARQUET } from '../../../../daemon/block-convert/tables/constants.ts'
import { tableConverters } from '../../../../daemon/block-convert/tables/converters.ts'
import type { TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import type { Input } from '../../../../daemon/block-convert/index.ts'
import { conversionOf, convertBlocks, csvCase, inputOf, ndjsonCase, rowsOf, splitAll, withFolder, writeInput } from './cases.ts'

/** Each run converts several blocks by a fresh engine, some 20 ms each. */
const RUNS = Number(process.env.WEFT_LAW_RUNS ?? 12)

/** Splits into at most about this many blocks: borders move with the random size, the cost stays bounded. */
const BLOCKS = 4

async function law (folder: string, inputs: Input[], id: string, share: number, settings: Record<string, string> = {}): Promise<{ path: string, params: TableParameters }> {
  const converter = tableConverters.find(candidate => candidate.id === id)!
  const params = (await tables.prepare(inputs, converter, settings, {})).parameters as unknown as TableParameters
  const conversion = conversionOf(id, params)
  const size = inputs.reduce((sum, input) => sum + input.size, 0)
  const recipes = await splitAll(inputs, conversion, Math.max(1, Math.ceil(size * Math.max(share, 1 / BLOCKS))))
  const merged = await convertBlocks(folder, inputs, conversion, recipes)
  const whole = await convertBlocks(folder, inputs, conversion, await splitAll(inputs, conversion, Number.MAX_SAFE_INTEGER))
  const source: unknown[][] = []
  for (const input of inputs) source.push(...await rowsOf(input.path, params.source, params.columns, { side: 'source' }))
  assert.deepEqual(await rowsOf(merged, params.target, params.columns, { side: 'result' }), source)
  assert.deepEqual(await rowsOf(whole, params.target, params.columns, { side: 'result' }), source)
  return { path: merged, params }
}

const share = fc.double({ min: 0, max: 1, noNaN: true })

describe('tables: the law of splitting, converting and merging', function () {
  this.timeout(120_000)

  it('holds from CSV to Parquet, and from that Parquet on to NDJSON and CSV', async () => {
    await fc.assert(fc.asyncProperty(csvCase, share, share, async (table, first, second) => withFolder(async folder => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const settings = { delimiter: table.dialect.delimiter, quote: table.dialect.quote, header: String(table.dialect.header) }
      const { path } = await law(folder, [input], 'table/csv-parquet', first, settings)
      const parquet = await inputOf(path, PARQUET)
      await law(folder, [parquet], second < 0.5 ? 'table/parquet-ndjson' : 'table/parquet-csv', second)
    })), { numRuns: RUNS })
  })

  it('holds from CSV to NDJSON', async () => {
    await fc.assert(fc.asyncProperty(csvCase, share, async (table, at) => withFolder(async folder => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const { delimiter, quote, header } = table.dialect
      await law(folder, [input], 'table/csv-ndjson', at, { delimiter, quote, header: String(header) })
    })), { numRuns: RUNS })
  })

  it('holds from NDJSON to Parquet and to CSV', async () => {
    await fc.assert(fc.asyncProperty(ndjsonCase, share, fc.boolean(), async (content, at, toCsv) => withFolder(async folder => {
      const input = await writeInput(folder, 'in.ndjson', content, NDJSON)
      await law(folder, [input], toCsv ? 'table/ndjson-csv' : 'table/ndjson-parquet', at)
    })), { numRuns: RUNS })
  })

  it('holds for several inputs', async () => withFolder(async folder => {
    const inputs = [await writeInput(folder, 'a.csv', 'x,y\n1,a\n2,\n', CSV), await writeInput(folder, 'b.csv', 'x,y\r\n', CSV), await writeInput(folder, 'c.csv', '"x",y\n3,"b\nc"', CSV)]
    const { path, params } = await law(folder, inputs, 'table/csv-parquet', 0)
    assert.deepEqual(await rowsOf(path, params.target, params.columns), [[1, 'a'], [2, null], [3, 'b\nc']])
  }))

  it('holds for tables without rows', async () => withFolder(async folder => {
    for (const [name, content, id] of [['a.csv', 'x,y\n', 'table/csv-parquet'], ['b.csv', 'x', 'table/csv-ndjson']] as const) {
      const { path, params } = await law(folder, [await writeInput(folder, name, content, CSV)], id, 0.5)
      assert.deepEqual(await rowsOf(path, params.target, params.columns), [])
    }
  }))

  it('keeps slices of one row group in order', async () => withFolder(async folder => {
    const path = join(folder, 'in.csv')
    await writeFile(path, 'n,file_row_number\n' + Array.from({ length: 5000 }, (_, i) => `${i},${i % 7}\n`).join(''))
    const { path: parquet } = await law(folder, [await inputOf(path, CSV)], 'table/csv-parquet', 1)
    const input = await inputOf(parquet, PARQUET)
    const converter = tableConverters.find(candidate => candidate.id === 'table/parquet-csv')!
    const params = (await tables.prepare([input], converter, {}, {})).parameters as unknown as TableParameters
    const recipes = await splitAll([input], conversionOf(converter.id, params), 1000)
    assert.ok(recipes.length > 1, 'one row group must give several slices')
    await law(folder, [input], 'table/parquet-csv', 0.1)
  }))
})
