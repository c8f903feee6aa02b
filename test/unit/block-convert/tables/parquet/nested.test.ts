import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { tableDistance } from '../../../../../daemon/block-convert/tables/distance.ts'
import { inspectForm } from '../../../../../daemon/block-convert/tables/inspect.ts'
import { FILE, readFooter } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { CONVERTED, LOGICAL } from '../../../../../daemon/block-convert/tables/parquet/logical.ts'
import { parquetMerger } from '../../../../../daemon/block-convert/tables/parquet/merge.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { emptyParquet } from '../../../../../daemon/block-convert/tables/parquet/schema-writer.ts'
import { parquetFrom } from '../../../../../daemon/block-convert/tables/parquet/sql.ts'
import { getField, type ThriftList } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { withFolder } from '../cases.ts'
import { Duck, read, recipe } from '../readers/duck.ts'
import { blocksOf } from './blocks.ts'
import { craft, levels, logical, plain, type CraftedElement, type CraftedPage } from './craft.ts'
import { DuckValues } from './duck-values.ts'

const parquet = { format: 'parquet' } as const
const parameters = (columns: Column[]): TableParameters => ({ columns, source: parquet, target: { format: 'parquet', compression: 'snappy' } })

/** A column's type, and a literal of a value of it. */
interface Typed { type: string, value: fc.Arbitrary<string> }

const LEAVES: Typed[] = [
  { type: 'BIGINT', value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) },
  { type: 'TINYINT', value: fc.integer({ min: -128, max: 127 }).map(String) },
  { type: 'VARCHAR', value: fc.string({ unit: fc.constantFrom('a', 'é', '"', '\\', '東', ','), maxLength: 4 }).map(text => `'${text}'`) },
  { type: 'DOUBLE', value: fc.constantFrom("'nan'", "'-0'", '0.5', "'inf'", '1e300') },
  { type: 'DECIMAL(30,2)', value: fc.integer().map(n => `${n}.25`) },
  { type: 'BOOLEAN', value: fc.constantFrom('true', 'false') },
  { type: 'DATE', value: fc.constantFrom("'2020-01-02'", "'0001-01-01'") },
  { type: 'TIMESTAMP_NS', value: fc.constantFrom("'2020-01-02 03:04:05.123456789'") },
  { type: 'BLOB', value: fc.constantFrom("'\\x00\\xFF'", "''") },
  { type: 'UUID', value: fc.constantFrom("'12345678-1234-1234-1234-123456789abc'") },
  { type: 'INTERVAL', value: fc.constantFrom("'1 month 2 days 3 seconds'", "'0 days'") }
].map(({ type, value }) => ({ type, value: value.map(text => `(${text})::${type}`) }))

const nullable = (value: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.oneof({ weight: 5, arbitrary: value }, fc.constant('NULL'))

const typed: fc.Arbitrary<Typed> = fc.letrec<{ typed: Typed }>(tie => ({
  typed: fc.oneof({ maxDepth: 3, withCrossShrink: true }, fc.constantFrom(...LEAVES),
    tie('typed').map(({ type, value }) => ({ type: `${type}[]`, value: fc.array(nullable(value), { maxLength: 4 }).map(items => `[${items.join(', ')}]`) })),
    fc.array(tie('typed'), { minLength: 1, maxLength: 3 }).map(fields => ({
      type: `STRUCT(${fields.map(({ type }, i) => `"f ${i}" ${type}`).join(', ')})`,
      value: fc.tuple(...fields.map(({ value }) => nullable(value))).map(values => `{${values.map((value, i) => `'f ${i}': ${value}`).join(', ')}}`)
    })),
    tie('typed').map(({ type, value }) => ({ type: `MAP(BIGINT, ${type})`, value: fc.uniqueArray(fc.nat(99), { maxLength: 3 }).chain(keys => fc.tuple(...keys.map(() => nullable(value))).map(values => `map {${keys.map((key, i) => `${key}: ${values[i]}`).join(', ')}}`)) })))
})).typed

const table = fc.array(typed, { minLength: 1, maxLength: 3 }).chain(columns => fc.record({
  columns: fc.constant(columns),
  rows: fc.array(fc.tuple(...columns.map(({ value }) => nullable(value))), { minLength: 1, maxLength: 12 }),
  option: fc.constantFrom('', ', parquet_version v2', ', parquet_version v2, compression uncompressed, dictionary_size_limit 1', ', compression zstd')
}))

describe('parquet-nested', () => {
  let duck: Duck
  let values: DuckValues
  before(async () => {
    duck = await Duck.open()
    values = await DuckValues.open()
  })
  after(() => {
    duck.close()
    values.close()
  })

  it('reads any nesting as DuckDB does, checks it, and writes its schema for no rows', async () => {
    await fc.assert(fc.asyncProperty(table, async ({ columns, rows, option }) => {
      const select = rows.map(row => `select ${row.map((value, i) => `cast(${value} as ${columns[i]!.type}) as "c ${i}"`).join(', ')}`).join(' union all ')
      const path = await duck.copy(select, 'nested.parquet', `format parquet${option}`)
      const types = await parquetColumns(path)
      assert.deepEqual(types, columns.map(({ type }, i) => ({ name: `c ${i}`, type })))
      const wanted = await values.rows(`read_parquet('${path}')`, types)
      assert.deepEqual(read(path, parquet, types, { side: 'result' }), wanted)
      const compression = option.includes('zstd') ? 'zstd' : option.includes('uncompressed') ? 'uncompressed' : 'snappy'
      assert.deepEqual(await inspectForm({ path, size: 0 }, { ...parameters(types), target: { format: 'parquet', compression } }, true), { units: rows.length })
      const schema = (source: Uint8Array): ThriftList => getField(readFooter(new RandomAccess({ bytes: source })).tree, FILE.schema)!.value as ThriftList
      assert.deepEqual(schema(new Uint8Array(emptyParquet(types))), schema(new Uint8Array(readFileSync(path))))
      // any cut of it
      const from = Math.floor(rows.length / 3)
      assert.deepEqual(read(path, parquet, types, { rows: [from, rows.length - 1] }), wanted.slice(from, Math.max(from, rows.length - 1)))
    }), { numRuns: 25 })
  })

  it('agrees with a third reader', async () => {
    const path = await duck.copy("select case when i % 5 > 0 then [{a: i, b: [i::varchar, null]}, null] end l, map {i: 'x', i + 1: null} m from range(500) t(i)", 'third.parquet', 'format parquet, parquet_version v2')
    const own = read(path, parquet, await parquetColumns(path))
    const objects = await parquetReadObjects({ file: new Uint8Array(readFileSync(path)).buffer, compressors })
    for (const [i, row] of objects.entries()) {
      const list = row.l as Array<{ a: bigint, b: Array<string | null> } | null> | null
      const text = list == null ? null : `[${list.map(entry => entry == null ? 'null' : `[${entry.a},[${entry.b.map(value => JSON.stringify(value)).join(',')}]]`).join(',')}]`
      assert.equal(own[i]![0], text)
      assert.equal(own[i]![1], `[[${i},"x"],[${i + 1},null]]`)
    }
  })

  it('splits, converts and merges large nested tables without a difference', async () => await withFolder(async folder => {
    const query = "select i::bigint id, case when i % 7 > 0 then [j::int for j in range(i % 5)] end l, {a: i, b: case when i % 3 > 0 then [{c: md5(i::varchar)}] end} s, map {'k' || i: i * 0.5::double} m from range(12000) t(i)"
    const path = await duck.copy(query, 'large.parquet', 'format parquet, row_group_size 4096')
    const columns = await parquetColumns(path)
    const blocks = await blocksOf([path], parameters(columns), 24_000, folder)
    assert.ok(blocks.length > 8, `${blocks.length} blocks`)
    assert.ok(blocks.some(({ recipe }) => recipe.slice != null))
    const merger = parquetMerger(parameters(columns))
    const out = [...merger.start() as Iterable<Uint8Array>]
    for (const block of blocks) {
      const part = await duck.copy(`select ${columns.map(({ name }, i) => `c${i} as "${name}"`).join(', ')} from ${parquetFrom({ path: block.path, params: block.params })}`, `part${block.recipe.index}.parquet`, 'format parquet')
      assert.deepEqual(await tableDistance({ path: block.path, size: 0 }, { path: part, size: 0 }, block.recipe, block.params), { value: 0, compared: block.recipe.units })
      out.push(...merger.add({ path: part, size: 0 }) as Iterable<Uint8Array>)
    }
    out.push(...merger.end() as Iterable<Uint8Array>)
    const merged = join(folder, 'merged.parquet')
    writeFileSync(merged, Buffer.concat(out))
    assert.deepEqual(await inspectForm({ path: merged, size: 0 }, parameters(columns), true), { units: 12_000 })
    assert.equal(await duck.fingerprint(merged), await duck.fingerprint(path))
    // one changed value deep inside is found
    const wrong = await duck.copy(`select * replace ({a: s.a, b: case when id = 5432 then [{c: 'x'}] else s.b end} as s) from '${path}'`, 'wrong.parquet', 'format parquet')
    const { difference } = await tableDistance({ path, size: 0 }, { path: wrong, size: 0 }, recipe(), parameters(columns))
    assert.match(difference ?? '', /^row 5433, column "s": /)
  }))

  const group = (name: string, children: number, more: Partial<CraftedElement> = {}): CraftedElement => ({ name, children, ...more })
  const int = (name: string, more: Partial<CraftedElement> = {}): CraftedElement => ({ name, type: 'INT32', ...more })
  const REPEATED = { repetition: 'REPEATED' } as const

  it('reads lists and maps of every generation as DuckDB does', async () => await withFolder(async folder => {
    const entries = { repetitions: [0, 1, 0, 0, 0, 1, 1], values: plain.int32([1, 2, 3, 4, 5]) }
    const list = { converted: CONVERTED.LIST }
    // levels: 0 NULL, 1 empty, 2 an element (or a NULL element where it is optional), 3 a value
    const three = [3, 3, 0, 1, 3, 2, 3]
    const cases: Array<[string, CraftedElement[], string, number[], Uint8Array?]> = [
      ['three levels', [group('x', 1, list), group('list', 1, REPEATED), int('element')], 'INTEGER[]', three, plain.int32([1, 2, 3, 4])],
      ['three levels, newer annotation alone', [group('x', 1, { logical: logical(LOGICAL.LIST) }), group('bag', 1, REPEATED), int('item')], 'INTEGER[]', three, plain.int32([1, 2, 3, 4])],
      ['three levels, required element', [group('x', 1, list), group('list', 1, REPEATED), int('element', { repetition: 'REQUIRED' })], 'INTEGER[]', [2, 2, 0, 1, 2, 2, 2]],
      ['two levels', [group('x', 1, list), int('array', REPEATED)], 'INTEGER[]', [2, 2, 0, 1, 2, 2, 2]],
      ['two levels of structs', [group('x', 1, list), group('array', 2, REPEATED), int('a', { repetition: 'REQUIRED' }), int('b', { repetition: 'REQUIRED' })], 'STRUCT("a" INTEGER, "b" INTEGER)[]', [2, 2, 0, 1, 2, 2, 2]],
      ['a repeated field without annotation', [int('x', REPEATED)], 'INTEGER[]', [1, 1, 0, 0, 1, 1, 1]],
      ['a repeated group without annotation', [group('x', 2, REPEATED), int('a', { repetition: 'REQUIRED' }), int('b', { repetition: 'REQUIRED' })], 'STRUCT("a" INTEGER, "b" INTEGER)[]', [1, 1, 0, 0, 1, 1, 1]],
      ['a map', [group('x', 1, { converted: CONVERTED.MAP }), group('map', 2, { ...REPEATED, converted: CONVERTED.MAP_KEY_VALUE }), int('key', { repetition: 'REQUIRED' }), int('value', { repetition: 'REQUIRED' })], 'MAP(INTEGER, INTEGER)', [2, 2, 0, 1, 2, 2, 2]],
      ['a map, newer annotation alone', [group('x', 1, { logical: logical(LOGICAL.MAP) }), group('entries', 2, REPEATED), int('k', { repetition: 'REQUIRED' }), int('v', { repetition: 'REQUIRED' })], 'MAP(INTEGER, INTEGER)', [2, 2, 0, 1, 2, 2, 2]],
      ['a map annotated like its entries', [group('x', 1, { converted: CONVERTED.MAP_KEY_VALUE }), group('map', 2, REPEATED), int('key', { repetition: 'REQUIRED' }), int('value', { repetition: 'REQUIRED' })], 'MAP(INTEGER, INTEGER)', [2, 2, 0, 1, 2, 2, 2]],
      ['a map without values', [group('x', 1, { converted: CONVERTED.MAP }), group('key_value', 1, REPEATED), int('key', { repetition: 'REQUIRED' })], 'INTEGER[]', [2, 2, 0, 1, 2, 2, 2]],
      ['a struct of one field', [group('x', 1), group('y', 1, list), int('array', REPEATED)], 'STRUCT("y" INTEGER[])', [3, 3, 0, 1, 3, 3, 3]]
    ]
    for (const [i, [name, elements, type, definitions, stored]] of cases.entries()) {
      for (const v2 of [undefined, {}]) {
        // The engine remembers files by their path.
        const own = join(folder, `${i}-${v2 == null ? 1 : 2}`)
        mkdirSync(own)
        const page: CraftedPage = { ...entries, definitions, values: stored ?? entries.values, ...(v2 != null ? { v2 } : {}) }
        const leaves = elements.filter(element => element.type != null).length
        const path = join(own, 'in.parquet')
        const bytes = craft(elements, 1, [{ rows: 4, chunks: Array.from({ length: leaves }, () => ({ type: 'INT32', pages: [page], maxDefinition: Math.max(...definitions) })) }])
        writeFileSync(path, bytes)
        const columns = await parquetColumns(path)
        assert.deepEqual(columns, [{ name: 'x', type }], name)
        const [block] = await blocksOf([path], parameters(columns), 1 << 20, own)
        const rows = read(block!.path, parquet, columns)
        assert.equal(rows.length, 4, name)
        assert.deepEqual(rows, await values.rows(parquetFrom({ path: block!.path, params: block!.params }), columns), name)
        assert.deepEqual(read(path, parquet, columns), rows, name)
      }
    }
  }))

  it('refuses schemas that no value can have', async () => await withFolder(async folder => {
    const refuse = async (elements: CraftedElement[], code: string, message: RegExp, columns = 1): Promise<void> => {
      const path = join(folder, 'refused.parquet')
      writeFileSync(path, craft(elements, columns, []))
      await assert.rejects(parquetColumns(path), (error: unknown) => {
        assert.ok(error instanceof ConversionError, String(error))
        assert.equal(error.code, code, error.message)
        assert.match(error.message, message)
        return true
      })
    }
    const deep = (count: number): CraftedElement[] => [...Array.from({ length: count }, (_, i) => group(`g${i}`, 1)), int('x')]
    await refuse([group('x', 0)], 'unsupported', /no fields/)
    await refuse([group('x', 2), int('a'), int('A')], 'unsupported', /two fields 'A'/)
    await refuse([group('x', 2), int(''), int('A')], 'unsupported', /no name/)
    await refuse([group('x', 3), int('a')], 'bad-input', /ends within column 'x'/)
    await refuse([int('a'), int('b')], 'bad-input', /announces 1 columns/)
    await refuse([int('a'), int('b')], 'bad-input', /announces 3 columns/, 3)
    await refuse([group('x', -1), int('a')], 'bad-input', /-1 children/)
    await refuse([group('x', 2_000_000_000), int('a')], 'bad-input', /ends within/)
    await refuse(deep(5000), 'unsupported', /nested deeper than 60/)
    await refuse([group('x', 1, { logical: logical(LOGICAL.VARIANT) }), int('a')], 'unsupported', /variant/)
    await refuse([{ name: new Uint8Array([0xff]), type: 'INT32' }], 'unsupported', /not UTF-8/)
    await refuse([int('a\0b')], 'unsupported', /NUL/)
    await refuse(Array.from({ length: 10_001 }, (_, i) => int(`c${i}`)), 'unsupported', /10001 columns; at most 10000/, 10_001)
    await refuse([group('x', 9000), ...Array.from({ length: 9000 }, (_, i) => int(`field number ${i}`))], 'unsupported', /too many fields/)
    const path = join(folder, 'deep.parquet')
    writeFileSync(path, craft(deep(59), 1, []))
    assert.equal((await parquetColumns(path))[0]!.type.split('STRUCT').length, 60)
  }))

  it('refuses levels that contradict one another', async () => {
    const two = [group('x', 1, { converted: CONVERTED.LIST }), group('array', 2, REPEATED), int('a', { repetition: 'REQUIRED' }), int('b', { repetition: 'REQUIRED' })]
    const columns = [{ name: 'x', type: 'STRUCT("a" INTEGER, "b" INTEGER)[]' }]
    const good: CraftedPage = { repetitions: [0, 1, 0], definitions: [2, 2, 1], values: plain.int32([1, 2]) }
    const refuse = (a: CraftedPage, b: CraftedPage, message: RegExp, rows = 2): void => {
      const chunk = (page: CraftedPage) => ({ type: 'INT32' as const, pages: [page], maxDefinition: 3, maxRepetition: 1 })
      const bytes = craft(two, 1, [{ rows, chunks: [chunk(a), chunk(b)] }])
      assert.throws(() => read({ bytes }, parquet, columns), (error: unknown) => {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        assert.equal(error.code, 'bad-input')
        assert.match(error.message, message)
        return true
      })
    }
    refuse(good, { ...good, repetitions: [0, 0, 1], definitions: [2, 2, 2], values: plain.int32([1, 2, 3]) }, /other lengths/)
    refuse(good, { ...good, definitions: [2, 2, 0] }, /about what is missing/)
    refuse(good, { ...good, repetitions: [0, 0, 0], definitions: [2, 1, 1], values: plain.int32([1]) }, /other lengths/)
    refuse(good, { ...good, repetitions: [1, 1, 0] }, /begins within a list/)
    refuse(good, good, /more rows than its row group/, 1)
    refuse(good, good, /1 rows are missing/, 3)
    refuse(good, { ...good, definitions: [3, 2, 1] }, /level 3, at most 2/)
    refuse(good, { ...good, values: plain.int32([1]) }, /bytes of values/)
    refuse(good, { ...good, v2: { nulls: 70 } }, /nulls/)
    refuse({ ...good, entries: 2 }, good, /levels|rows|run of/)
    // an empty list with more entries behind it
    refuse({ ...good, definitions: [1, 2, 1], values: plain.int32([1]) }, { ...good, definitions: [1, 2, 1], values: plain.int32([1]) }, /beyond the end of its list/)
  })

  it('does not let a small file stand for more than memory holds', () => {
    // 16 million entries of a dictionary's one long text, in a page of a few bytes
    const entries = 4_000_000
    const text = 'x'.repeat(1000)
    const header: number[] = []
    for (let rest = entries * 2; ; rest = Math.floor(rest / 128)) {
      header.push(rest > 127 ? (rest & 127) | 128 : rest)
      if (rest <= 127) break
    }
    const elements = [{ name: 'x', children: 1, converted: CONVERTED.LIST }, { name: 'array', type: 'BYTE_ARRAY' as const, converted: CONVERTED.UTF8, ...REPEATED }]
    const bytes = craft(elements, 1, [{
      rows: 1,
      chunks: [{
        type: 'BYTE_ARRAY',
        maxDefinition: 2,
        maxRepetition: 1,
        pages: [
          { dictionary: true, entries: 1, values: plain.bytes([text]) },
          { entries, encoding: 'RLE_DICTIONARY', repetitions: [0, ...new Array<number>(entries - 1).fill(1)], definitions: new Array<number>(entries).fill(2), values: new Uint8Array([1, ...header, 0]) }
        ]
      }]
    }])
    assert.ok(bytes.length < 5000, `${bytes.length} bytes`)
    assert.throws(() => read({ bytes }, parquet, [{ name: 'x', type: 'VARCHAR[]' }]), (error: unknown) => error instanceof ConversionError && error.code === 'unsupported' && /nested values of more than/.test(error.message))
  })

  it('answers every mutation with rows or a ConversionError', async () => {
    const path = await duck.copy("select [{a: i, b: map {i: 'x'}}, null] l, {c: [[i], []], d: i::varchar} s from range(30) t(i)", 'mutants.parquet', 'format parquet, compression uncompressed')
    const again = await duck.copy(`select * from '${path}'`, 'mutants2.parquet', 'format parquet, parquet_version v2')
    const columns = await parquetColumns(path)
    const files = [path, again].map(file => new Uint8Array(readFileSync(file)))
    let refused = 0
    fc.assert(fc.property(fc.nat(1), fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 }))), { minLength: 1, maxLength: 3 }), (which, changes) => {
      const mutant = files[which]!.slice()
      for (const [at, value] of changes) mutant[at % mutant.length] = value
      try {
        read({ bytes: mutant }, parquet, columns, { side: 'result' })
      } catch (error) {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        assert.ok(error.code === 'bad-input' || error.code === 'unsupported', error.code)
        refused++
      }
    }), { numRuns: 800 })
    assert.ok(refused > 150, `${refused} were refused`)
  })

  it('packs levels as their runs say', () => {
    assert.deepEqual([...levels([1, 1, 0], 1)], [4, 1, 2, 0])
  })
})
