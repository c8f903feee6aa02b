/**
 * The law of Arrow's converters: whatever the file, its types and its blocks, the rows that come out are those that were put in. What they
 * are is said by the random columns themselves (columns.ts), not by a reader of ours. WEFT_LAW_RUNS raises the number of random tables.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { Int16, tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import type { Input } from '../../../../../daemon/block-convert/index.ts'
import { ARROW_FILE, ARROW_STREAM, CSV, PARQUET } from '../../../../../daemon/block-convert/tables/constants.ts'
import { tableConverters } from '../../../../../daemon/block-convert/tables/converters.ts'
import { tableDistance } from '../../../../../daemon/block-convert/tables/distance.ts'
import { tables } from '../../../../../daemon/block-convert/tables/index.ts'
import { readTableParameters, type TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { RecipeReader } from '../../../../../daemon/block-convert/source.ts'
import { conversionOf, convertBlocks, csvCase, inputOf, rowsOf, splitAll, withFolder, writeInput } from '../cases.ts'
import { build, expectedRows, tableCase } from './table.ts'
import { dictionaryKind, listKind, mapKind, nothing, scalars, structKind, type Cell, type Kind } from './columns.ts'

const RUNS = Number(process.env.WEFT_LAW_RUNS ?? 6)
const BLOCKS = 4

async function converted (folder: string, inputs: Input[], id: string, share: number, settings: Record<string, string> = {}): Promise<{ path: string, params: TableParameters }> {
  const converter = tableConverters.find(candidate => candidate.id === id)!
  const params = (await tables.prepare(inputs, converter, settings, {})).parameters as unknown as TableParameters
  const conversion = conversionOf(id, params)
  const size = inputs.reduce((sum, input) => sum + input.size, 0)
  const recipes = await splitAll(inputs, conversion, Math.max(1, Math.ceil(size * Math.max(share, 1 / BLOCKS))))
  return { path: await convertBlocks(folder, inputs, conversion, recipes), params }
}

const find = (name: string): Kind => scalars.find(kind => kind.name === name)!
const share = fc.double({ min: 0, max: 1, noNaN: true })

describe('arrow: the law of splitting, converting and merging', function () {
  this.timeout(Math.max(120_000, RUNS * 1000))

  it('keeps every value of every type, from any file to both containers and on to Parquet', async () => {
    await fc.assert(fc.asyncProperty(tableCase(), share, fc.boolean(), async (table, at, stream) => withFolder(async folder => {
      const media = table.options.container === 'file' ? ARROW_FILE : ARROW_STREAM
      const input = await writeInput(folder, 'in.arrow', table.bytes, media)
      const from = table.options.container === 'file' ? 'arrow' : 'arrows'
      const { path, params } = await converted(folder, [input], `table/${from}-${stream ? 'arrows' : 'arrow'}`, at)
      const expected = expectedRows(table)
      if (expected.length > 0) assert.deepEqual(params.columns.map(column => column.type), table.kinds.map((kind, i) => table.batches.some(batch => batch[i]!.some(cell => cell != null)) ? kind.table : params.columns[i]!.type))
      assert.deepEqual(await rowsOf(input.path, params.source, params.columns, { side: 'source' }), expected)
      assert.deepEqual(await rowsOf(path, params.target, params.columns, { side: 'result' }), expected)
      assert.equal(tableFromIPC(await readFile(path)).numRows, expected.length)
      // What was written is read again by what reads foreign files.
      const again = await inputOf(path, stream ? ARROW_STREAM : ARROW_FILE)
      const second = await converted(folder, [again], `table/${stream ? 'arrows' : 'arrow'}-arrow`, 1 - at)
      assert.deepEqual(await rowsOf(second.path, second.params.target, params.columns, { side: 'result' }), expected)
    })), { numRuns: RUNS })
  })

  it('keeps every type over Parquet and back', async () => {
    const kinds = scalars.filter(kind => !/INTERVAL|TIMESTAMP_S|TIMESTAMP_MS/.test(kind.table))
    const rows = fc.array(fc.tuple(...kinds.map(kind => fc.option(kind.cell, { freq: 4 }))), { minLength: 1, maxLength: 20 })
    await fc.assert(fc.asyncProperty(rows, async cells => withFolder(async folder => {
      const table = build(kinds, [cells as Cell[][]], { container: 'file' }, false)
      const input = await writeInput(folder, 'in.arrow', table.bytes, ARROW_FILE)
      const { path, params } = await converted(folder, [input], 'table/arrow-parquet', 1)
      const back = await converted(folder, [await inputOf(path, PARQUET)], 'table/parquet-arrow', 1)
      assert.deepEqual(await rowsOf(back.path, back.params.target, params.columns, { side: 'result' }), expectedRows(table))
    })), { numRuns: 3 })
  })

  it('keeps what CSV holds on the way to Arrow and back', async () => {
    await fc.assert(fc.asyncProperty(csvCase, share, async (table, at) => withFolder(async folder => {
      fc.pre(table.content !== '' && table.dialect.header && table.dialect.quote === '"')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const { path, params } = await converted(folder, [input], 'table/csv-arrow', at, { delimiter: table.dialect.delimiter, quote: '"', header: 'true' })
      const rows = await rowsOf(path, params.target, params.columns, { side: 'result' })
      const back = await converted(folder, [await inputOf(path, ARROW_FILE)], 'table/arrow-csv', 1 - at, { delimiter: table.dialect.delimiter })
      assert.deepEqual(back.params.columns, params.columns.map(({ name, type }) => ({ name, type })))
      fc.pre(!rows.flat().some(value => typeof value === 'string' && value.includes('\0')))
      assert.deepEqual(await rowsOf(back.path, back.params.target, back.params.columns, { side: 'result' }), rows)
    })), { numRuns: Math.ceil(RUNS / 3) })
  })

  it('holds for a record batch of more rows than the engine takes at once, in slices and with nulls everywhere', async () => withFolder(async folder => {
    const kinds = [find('int64'), find('utf8'), find('bool'), find('decimal128(38,10)'), listKind(structKind([find('utf8'), find('int8')]), 'list'), mapKind(find('utf8'), find('utf8View')), nothing]
    const sample = fc.sample(fc.tuple(...kinds.map(kind => fc.option(kind.cell, { freq: 3 }))), { numRuns: 300, seed: 1 })
    const rows = Array.from({ length: 5001 }, (_, i) => sample[i * 7 % 300]! as Cell[])
    const table = build(kinds, [rows, rows.slice(0, 100)], { container: 'stream' }, false)
    const input = await writeInput(folder, 'in.arrows', table.bytes, ARROW_STREAM)
    const { path, params } = await converted(folder, [input], 'table/arrows-arrow', 0.3)
    assert.deepEqual(await rowsOf(path, params.target, params.columns, { side: 'result' }), expectedRows(table))
  }))

  it('cuts large record batches anywhere, whatever their columns hold', async () => {
    const flat = fc.array(fc.tuple(fc.constantFrom(...scalars.filter(kind => kind.extension == null).map(({ name }) => name)), fc.nat(4).map(n => n === 0)), { minLength: 1, maxLength: 5 })
    await fc.assert(fc.asyncProperty(flat, fc.nat(400), fc.nat(), share, fc.constantFrom('file', 'stream'), async (picked, count, seed, at, container) => withFolder(async folder => {
      const kinds = picked.map(([name, encoded], i): Kind => encoded ? dictionaryKind(find(name), i, new Int16()) : find(name))
      const sample = fc.sample(fc.tuple(...kinds.map(kind => fc.option(kind.cell, { freq: 3 }))), { numRuns: 50, seed }) as Cell[][]
      const rows = Array.from({ length: 100 + count }, (_, i) => sample[(i + (i >> 5)) % 50]!)
      const table = build(kinds, [rows, rows.slice(0, 70)], { container: container as 'file' }, false)
      const input = await writeInput(folder, 'in.arrow', table.bytes, ARROW_FILE)
      const { path, params } = await converted(folder, [input], 'table/arrow-arrows', at / 2)
      const expected = expectedRows(table)
      assert.deepEqual(await rowsOf(path, params.target, params.columns, { side: 'result' }), expected)
      const conversion = conversionOf('table/arrow-arrows', params)
      const source: unknown[][] = []
      await using reader = new RecipeReader([input])
      for (const recipe of await splitAll([input], conversion, 2000)) source.push(...await rowsOf({ bytes: await reader.bytes(recipe) }, params.source, params.columns, { side: 'source', ...recipe.slice }))
      assert.deepEqual(source, expected)
    })), { numRuns: Math.ceil(RUNS / 2) })
  })

  it('compares each block with its own source, and tells where a value differs', async () => withFolder(async folder => {
    const numbers = find('int32')
    const rows = Array.from({ length: 3000 }, (_, i): Cell[] => [{ raw: [{ raw: BigInt(i), value: i }], value: [i] }])
    for (const [kinds, expected, block] of [
      // What can be cut is cut; of what cannot, each block has all bytes.
      [[numbers], [[undefined, 1216], [undefined, 1216], [undefined, 568]], [1216, 2432]],
      [[listKind(numbers, 'list')], [[[0, 600], 600], [[600, 1200], 600], [[1200, 1800], 600], [[1800, 2400], 600], [[2400, 3000], 600]], [600, 1200]]
    ] as const) {
      const cells = kinds[0] === numbers ? rows.map(([cell]): Cell[] => [(cell!.raw as Cell[])[0]!]) : rows
      const input = await writeInput(folder, 'in.arrow', build([...kinds], [cells], { container: 'file' }, false).bytes, ARROW_FILE)
      const converter = tableConverters.find(({ id }) => id === 'table/arrow-arrow')!
      const conversion = conversionOf(converter.id, (await tables.prepare([input], converter, {}, {})).parameters as unknown as TableParameters)
      const recipes = await splitAll([input], conversion, 5000)
      assert.deepEqual(recipes.map(({ slice, units }) => [slice?.rows, units]), expected)
      await using reader = new RecipeReader([input])
      const original = { bytes: await reader.bytes(recipes[1]!) }
      const params = readTableParameters({ ...conversion.parameters, ...recipes[1]!.slice })
      const [from, to] = block
      const good = build([...kinds], [cells.slice(from, to)], { container: 'stream' }, false).bytes
      assert.deepEqual(await tableDistance(original, { bytes: good }, recipes[1]!, params), { value: 0, compared: to - from })
      const bad = build([...kinds], [[...cells.slice(from, from + 500), ...cells.slice(from + 501, to + 1)]], { container: 'stream' }, false).bytes
      const { value, compared, difference } = await tableDistance(original, { bytes: bad }, recipes[1]!, params)
      assert.deepEqual([value, compared], [1, 500])
      assert.match(difference!, /^row 501, column "c 0": \[?\d+\]? became \[?\d+\]?$/)
    }
  }))
})
