/**
 * The law of converters for CSV in all its dialects: whatever the block borders, the rows that come out are those that were written, under
 * the types of the last epoch. WEFT_LAW_RUNS raises the number of random tables.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parse } from 'csv-parse/sync'
import type { SplitItem } from '../../../../../daemon/block-convert/index.ts'
import { RecipeReader } from '../../../../../daemon/block-convert/source.ts'
import { CSV } from '../../../../../daemon/block-convert/tables/constants.ts'
import type { Field } from '../../../../../daemon/block-convert/tables/csv/dialect.ts'
import { splitCsv } from '../../../../../daemon/block-convert/tables/csv/split.ts'
import { lexicalRule } from '../../../../../daemon/block-convert/tables/lexical.ts'
import { readTableParameters } from '../../../../../daemon/block-convert/tables/parameters.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { textParser } from '../../../../../daemon/block-convert/tables/value-text.ts'
import { conversionOf, convertBlocks, rowsOf, withFolder, writeInput } from '../cases.ts'
import { dialectCase, type DialectCase } from './cases.ts'

const RUNS = Number(process.env.WEFT_LAW_RUNS ?? 6)

function parametersOf ({ dialect, ragged, names, types }: DialectCase): TableParameters {
  return {
    columns: names.map((name, i) => ({ name, type: types[i]! })),
    source: { format: 'csv', dialect, ...(ragged != null ? { ragged } : {}) },
    target: { format: 'parquet', compression: 'snappy' }
  }
}

/** The rows as canonical values of these types. */
function canonical (rows: Field[][], { columns }: TableParameters): unknown[][] {
  const parsers = columns.map(({ type }) => textParser(type, 'source'))
  return rows.map(row => row.map((value, i) => value == null ? null : parsers[i]!(value)))
}

/** The parameters with the overrides found, and the blocks under them, as the interpreter makes them. */
function epochs (params: TableParameters, items: SplitItem[]): { last: TableParameters, recipes: Array<Extract<SplitItem, { index: number }>> } {
  const widen = items.reduce<Record<string, unknown>>((all, item) => 'widen' in item ? { ...all, ...item.widen } : all, {})
  return { last: readTableParameters({ ...params, ...widen }), recipes: items.flatMap(item => 'note' in item ? [] : [item]) }
}

describe('tables: the law, for CSV in all its dialects', function () {
  this.timeout(10_000 * RUNS)

  it('gives the rows that were written, whatever the blocks, to the independent reader', async () => withFolder(async folder => {
    await fc.assert(fc.asyncProperty(dialectCase, fc.integer({ min: 1, max: 80 }), async (table, bytes) => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const params = parametersOf(table)
      const items = await Array.fromAsync(splitCsv([input], params, { bytes }))
      const { last, recipes } = epochs(params, items)
      await using reader = new RecipeReader([input])
      const rows: unknown[][] = []
      for (const recipe of recipes) {
        const part = await rowsOf({ bytes: await reader.bytes(recipe) }, last.source, last.columns, { side: 'source' })
        assert.equal(part.length, recipe.units)
        rows.push(...part)
      }
      assert.deepEqual(rows, canonical(table.rows, last))
    }), { numRuns: 15 * RUNS })
  }))

  it('makes a column wider before the block that needs it, along the chain, and never DOUBLE', async () => withFolder(async folder => {
    await fc.assert(fc.asyncProperty(dialectCase, fc.integer({ min: 1, max: 80 }), async (table, bytes) => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const params = parametersOf(table)
      let types = [...table.types]
      const changes = types.map(() => 0)
      let row = 0
      for await (const item of splitCsv([input], params, { bytes })) {
        if ('widen' in item) {
          const overrides = item.widen.types as Record<string, string>
          const wider = types.map((type, i) => overrides[i] ?? type)
          wider.forEach((type, i) => {
            if (type === types[i]) return
            changes[i]!++
            assert.match(type, /^(DECIMAL\(38,\d+\)|VARCHAR)$/)
            // What came before is valid as it stands.
            for (const before of table.rows.slice(0, row)) if (before[i] != null) assert.ok(lexicalRule(type)(before[i]), `${before[i]} as ${type}`)
          })
          types = wider
        } else if (!('note' in item)) {
          for (const values of table.rows.slice(row, row + item.units!)) values.forEach((value, i) => { assert.ok(value == null || lexicalRule(types[i]!)(value), `${value} as ${types[i]}`) })
          row += item.units!
        }
      }
      assert.equal(row, table.rows.length)
      for (const count of changes) assert.ok(count <= 2)
    }), { numRuns: 8 * RUNS })
  }))

  it('holds through the engine, to Parquet and to CSV', async () => {
    await fc.assert(fc.asyncProperty(dialectCase, fc.boolean(), async (table, toCsv) => withFolder(async folder => {
      fc.pre(table.content !== '')
      const input = await writeInput(folder, 'in.csv', table.content, CSV)
      const params = parametersOf(table)
      if (toCsv) params.target = { format: 'csv', dialect: { delimiter: ';', quote: '\'', escape: '\\', header: true } }
      const items = await Array.fromAsync(splitCsv([input], params, { bytes: Math.ceil(table.content.length / 3) }))
      const { last, recipes } = epochs(params, items)
      const path = await convertBlocks(folder, [input], conversionOf(toCsv ? 'table/csv-csv' : 'table/csv-parquet', last), recipes)
      assert.deepEqual(await rowsOf(path, last.target, last.columns, { side: 'result' }), canonical(table.rows, last))
    })), { numRuns: RUNS })
  })

  it('means by its cases what another parser reads', () => {
    fc.assert(fc.property(dialectCase, table => {
      const { delimiter, quote, escape, comment, header } = table.dialect
      // It tells comments and quotes apart only where a field begins; it knows no escape but one before a quote or itself; and it divides records by the first line end it meets.
      const read = parse(table.content, {
        delimiter, quote: quote === '' ? null : quote, escape: quote === '' ? null : escape, comment: comment ?? null, comment_no_infix: true,
        record_delimiter: ['\r\n', '\n', '\r'], relax_column_count: true, relax_quotes: true, skip_empty_lines: table.names.length > 1,
        cast: (value, { quoting }) => value === '' && !quoting ? null : value
      }) as unknown as Field[][]
      const width = table.names.length
      const rows = read.slice(header ? 1 : 0)
        .filter(row => table.ragged !== 'skip' || row.length === width)
        .map(row => Array.from({ length: width }, (_, i) => row[i] ?? null))
      assert.deepEqual(rows, table.rows)
    }), { numRuns: 15 * RUNS })
  })
})
