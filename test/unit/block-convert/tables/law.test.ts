/**
 * The law of every converter: merge(map(convert, split(x))) holds the same rows as convert(x), and both as x, wherever the block
 * borders fall. Rows are read by the independent readers. WEFT_LAW_RUNS raises the number of random tables.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { tables } from '../../../../daemon/block-convert/tables/index.ts'
import { CSV, JSON_ARRAY, NDJSON, PARQUET } from '../../../../daemon/block-convert/tables/constants.ts'
import { tableConverters } from '../../../../daemon/block-convert/tables/converters.ts'
import { readTableParameters, type TableParameters } from '../../../../daemon/block-convert/tables/schema.ts'
import type { BlockRecipe, Conversion, Input } from '../../../../daemon/block-convert/index.ts'
import { conversionOf, convertBlocks, csvCase, inputOf, ndjsonCase, rowsOf, withFolder, writeInput } from './cases.ts'
import { jsonCase, valuesCase } from './json/cases.ts'

/** Each run converts several blocks by a fresh engine, some 20 ms each. */
const RUNS = Number(process.env.WEFT_LAW_RUNS ?? 4)

/** Splits into at most about this many blocks: borders move with the random size, the cost stays bounded. */
const BLOCKS = 4

/** The blocks of a conversion and what it is in the end: with all changes of the schema that came up. */
async function split (inputs: Input[], conversion: Conversion, bytes: number): Promise<{ recipes: BlockRecipe[], conversion: Conversion, widened: number }> {
  const recipes: BlockRecipe[] = []
  let widen: Record<string, unknown> = {}
  let widened = 0
  for await (const item of tables.split(inputs, conversion, { bytes })) {
    if (!('note' in item)) recipes.push(item)
    else if ('widen' in item) {
      widen = item.widen
      widened++
    }
  }
  return { recipes, conversion: { ...conversion, parameters: { ...conversion.parameters, ...widen } }, widened }
}

interface Law { path: string, params: TableParameters, widened: number }

/** `forget`: the parameters as if fewer samples had been looked at. */
async function law (folder: string, inputs: Input[], id: string, share: number, settings: Record<string, string> = {}, forget?: (params: TableParameters) => Promise<void>): Promise<Law> {
  const converter = tableConverters.find(candidate => candidate.id === id)!
  const prepared = (await tables.prepare(inputs, converter, settings, {})).parameters as unknown as TableParameters
  await forget?.(prepared)
  const size = inputs.reduce((sum, input) => sum + input.size, 0)
  const cut = await split(inputs, conversionOf(id, prepared), Math.max(1, Math.ceil(size * Math.max(share, 1 / BLOCKS))))
  const whole = await split(inputs, conversionOf(id, prepared), Number.MAX_SAFE_INTEGER)
  assert.deepEqual(cut.conversion.parameters, whole.conversion.parameters)
  const params = readTableParameters(cut.conversion.parameters)
  const source: unknown[][] = []
  for (const input of inputs) source.push(...await rowsOf(input.path, params.source, params.columns, { side: 'source' }))
  const path = await convertBlocks(folder, inputs, cut.conversion, cut.recipes)
  for (const output of [path, await convertBlocks(folder, inputs, whole.conversion, whole.recipes)]) assert.deepEqual(await rowsOfWhole(output, params), source)
  return { path, params, widened: cut.widened }
}

async function rowsOfWhole (path: string, params: TableParameters): Promise<unknown[][]> {
  return await rowsOf(path, params.target, params.columns, { side: 'result' })
}

const share = fc.double({ min: 0, max: 1, noNaN: true })
const TARGETS = ['csv', 'ndjson', 'json', 'parquet'] as const
const target = fc.constantFrom(...TARGETS)
const MEDIA = { csv: CSV, ndjson: NDJSON, json: JSON_ARRAY, parquet: PARQUET }

describe('tables: the law of splitting, converting and merging', function () {
  this.timeout(10_000 * Math.max(RUNS, 12))

  it('holds from CSV to Parquet, and from that Parquet on to all others', async () => {
    await fc.assert(fc.asyncProperty(csvCase, share, share, target, async (table, first, second, to) => withFolder(async folder => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const settings = { delimiter: table.dialect.delimiter, quote: table.dialect.quote, header: String(table.dialect.header) }
      const { path } = await law(folder, [input], 'table/csv-parquet', first, settings)
      await law(folder, [await inputOf(path, PARQUET)], `table/parquet-${to}`, second)
    })), { numRuns: RUNS })
  })

  it('holds from CSV to NDJSON and JSON', async () => {
    await fc.assert(fc.asyncProperty(csvCase, share, fc.boolean(), async (table, at, lines) => withFolder(async folder => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const { delimiter, quote, header } = table.dialect
      await law(folder, [input], `table/csv-${lines ? 'ndjson' : 'json'}`, at, { delimiter, quote, header: String(header) })
    })), { numRuns: RUNS })
  })

  it('holds from NDJSON to Parquet and to CSV', async () => {
    await fc.assert(fc.asyncProperty(ndjsonCase, share, fc.boolean(), async (content, at, toCsv) => withFolder(async folder => {
      const input = await writeInput(folder, 'in.ndjson', content, NDJSON)
      await law(folder, [input], toCsv ? 'table/ndjson-csv' : 'table/ndjson-parquet', at)
    })), { numRuns: RUNS })
  })

  it('holds from JSON in every shape to all others, and from what comes out to all others', async () => {
    await fc.assert(fc.asyncProperty(jsonCase, share, target, target, async ({ content, format }, at, to, then) => withFolder(async folder => {
      // A CSV cannot hold NUL in a text or a name; that it says so is tested elsewhere.
      fc.pre(!/\\u0000/.test(content))
      const { path } = await law(folder, [await writeInput(folder, 'in', content, MEDIA[format])], `table/${format}-${to}`, at)
      await law(folder, [await inputOf(path, MEDIA[to])], `table/${to}-${then}`, at, to === 'csv' ? { delimiter: ',', header: 'true' } : {})
    })), { numRuns: 2 * RUNS })
  })

  it('holds for JSON whose types become wider on the way', async () => {
    let widened = 0
    await fc.assert(fc.asyncProperty(jsonCase, share, target, async ({ content, format, records }, at, to) => withFolder(async folder => {
      fc.pre(!/\\u0000/.test(content))
      const first = await writeInput(folder, 'first', records[0]!, MEDIA[format])
      const result = await law(folder, [await writeInput(folder, 'in', content, MEDIA[format])], `table/${format}-${to}`, at, {}, async params => {
        const converter = tableConverters.find(candidate => candidate.id === `table/${format}-${to}`)!
        const { columns } = (await tables.prepare([first], converter, {}, {})).parameters as unknown as TableParameters
        for (const column of params.columns) column.type = columns.find(({ name }) => name === column.name)!.type
      })
      widened += result.widened
      // One that surely has: few random tables may all happen to have none.
    })), { numRuns: 2 * RUNS, examples: [[{ content: '[{"a":1},{"a":"x"}]', format: 'json', records: ['{"a":1}', '{"a":"x"}'] }, 0, 'parquet']] })
    assert.ok(widened > 0, 'no table had a type to widen')
  })

  it('holds for arrays of values, for rounded fractions and for nested values as text', async () => {
    await fc.assert(fc.asyncProperty(valuesCase, jsonCase, share, target, async (values, { content, format }, at, to) => withFolder(async folder => {
      fc.pre(!/\\u0000/.test(content) && !/\\u0000/.test(values))
      await law(folder, [await writeInput(folder, 'values', values, JSON_ARRAY)], `table/json-${to}`, at)
      await law(folder, [await writeInput(folder, 'in', content, MEDIA[format])], `table/${format}-${to}`, at, { fractions: 'double', nested: 'json' })
    })), { numRuns: RUNS })
  })

  it('holds for several inputs', async () => withFolder(async folder => {
    const inputs = [await writeInput(folder, 'a.csv', 'x,y\n1,a\n2,\n', CSV), await writeInput(folder, 'b.csv', 'x,y\r\n', CSV), await writeInput(folder, 'c.csv', '"x",y\n3,"b\nc"', CSV)]
    const { path, params } = await law(folder, inputs, 'table/csv-parquet', 0)
    assert.deepEqual(await rowsOfWhole(path, params), [[1, 'a'], [2, null], [3, 'b\nc']])
    const contents = ['[{"x":1},{"y":"a"}]', ' [ ] ', '{"x":2}\n{"z":[1]}', '{"y":null}', '[\n{"x":3}\n]']
    const jsons = await Promise.all(contents.map(async (content, i) => await writeInput(folder, `${i}.json`, content, JSON_ARRAY)))
    for (const at of [0, 1]) {
      const { path, params } = await law(folder, jsons, 'table/json-json', at)
      assert.deepEqual(await rowsOfWhole(path, params), [[1, null, null], [null, 'a', null], [2, null, null], [null, null, '[1]'], [null, null, null], [3, null, null]])
    }
  }))

  it('holds for tables without rows', async () => withFolder(async folder => {
    for (const [name, content, id] of [['a.csv', 'x,y\n', 'table/csv-parquet'], ['b.csv', 'x', 'table/csv-ndjson'], ['c.csv', 'x', 'table/csv-json']] as const) {
      const { path, params } = await law(folder, [await writeInput(folder, name, content, CSV)], id, 0.5)
      assert.deepEqual(await rowsOfWhole(path, params), [])
    }
    const { path, params } = await law(folder, [await writeInput(folder, 'a.json', '[]', JSON_ARRAY)], 'table/json-json', 1, { 'type:a': 'BIGINT' })
    assert.deepEqual(await rowsOfWhole(path, params), [])
  }))

  it('keeps slices of one row group in order', async () => withFolder(async folder => {
    const path = join(folder, 'in.csv')
    await writeFile(path, 'n,file_row_number\n' + Array.from({ length: 5000 }, (_, i) => `${i},${i % 7}\n`).join(''))
    const { path: parquet } = await law(folder, [await inputOf(path, CSV)], 'table/csv-parquet', 1)
    const input = await inputOf(parquet, PARQUET)
    const converter = tableConverters.find(candidate => candidate.id === 'table/parquet-csv')!
    const params = (await tables.prepare([input], converter, {}, {})).parameters as unknown as TableParameters
    const { recipes } = await split([input], conversionOf(converter.id, params), 1000)
    assert.ok(recipes.length > 1, 'one row group must give several slices')
    await law(folder, [input], 'table/parquet-csv', 0.1)
  }))
})
