import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { tableConverters } from '../../../../../daemon/block-convert/tables/converters.ts'
import { tableDistance } from '../../../../../daemon/block-convert/tables/distance.ts'
import { inspectForm } from '../../../../../daemon/block-convert/tables/inspect.ts'
import { readFooter } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { prepareParquet } from '../../../../../daemon/block-convert/tables/parquet/inputs.ts'
import { CONVERTED } from '../../../../../daemon/block-convert/tables/parquet/logical.ts'
import { parquetMerger } from '../../../../../daemon/block-convert/tables/parquet/merge.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { withFolder } from '../cases.ts'
import { Duck, read } from '../readers/duck.ts'
import { blocksOf, inputAt, type Block } from './blocks.ts'
import { craft, plain, type CraftedChunk, type CraftedElement } from './craft.ts'
import { DuckValues } from './duck-values.ts'

const parquet = { format: 'parquet' } as const

/** A block through the engine, as an executor would run it. */
async function convert ({ path, params }: Pick<Block, 'path' | 'params'>, output: string): Promise<number> {
  const converter = tableConverters.find(({ id }) => id === 'table/parquet-parquet')!
  const { units } = await converter.convert({ path, size: 0 }, { ...params }, { output, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} })
  return units!
}

const refused = (code: string, message: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof ConversionError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  assert.ok(!error.message.includes('\n'), error.message)
  return true
}

describe('parquet-inputs', () => {
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

  it('unites files of different columns and types, and gives what DuckDB gives by name', async () => await withFolder(async folder => {
    const paths = [
      await duck.copy("select i::integer id, 'a' || i as name, {x: i, y: date '2020-01-01' + i::int} s from range(500) t(i)", 'one.parquet', 'format parquet'),
      await duck.copy('select (i / 4.0)::decimal(9,2) price, i::bigint id, null as blank from range(700) t(i)', 'two.parquet', 'format parquet, row_group_size 2048'),
      await duck.copy("select {y: timestamp '2020-01-01 00:00:00', z: [i]} s, i::utinyint price, i::float as f from range(200) t(i)", 'three.parquet', 'format parquet, parquet_version v2'),
      await duck.copy('select 1 id where false', 'empty.parquet', 'format parquet'),
      await duck.copy("select i::decimal(20,0) id, 'x' as name, {x: i::int, y: null::date} s, 5::decimal(4,3) price, 6::integer blank, 1.5::float f from range(300) t(i)", 'four.parquet', 'format parquet, row_group_size 2048')
    ]
    const { columns, notes } = await prepareParquet(paths.map(inputAt))
    assert.deepEqual(columns, [
      { name: 'id', type: 'DECIMAL(20,0)' }, { name: 'name', type: 'VARCHAR' }, { name: 's', type: 'STRUCT("x" BIGINT, "y" TIMESTAMP, "z" BIGINT[])' },
      { name: 'price', type: 'DECIMAL(10,3)' }, { name: 'blank', type: 'INTEGER' }, { name: 'f', type: 'FLOAT' }
    ])
    assert.deepEqual(notes.map(({ code, columns }) => [code, columns]), [['columns-united', ['id', 'name', 's', 'price', 'blank', 'f']], ['types-united', ['id', 's', 'price']]])
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'zstd' } }
    const blocks = await blocksOf(paths, params, 4000, folder)
    assert.ok(blocks.some(({ recipe }) => recipe.slice?.rows != null && recipe.slice.present != null))
    assert.deepEqual(blocks.find(({ recipe }) => recipe.origin.input === 0)!.recipe.slice?.present, [0, 1, 2])
    assert.deepEqual(blocks.find(({ recipe }) => recipe.origin.input === 2)!.recipe.slice?.present, [2, 3, 5])
    assert.equal(blocks.find(({ recipe }) => recipe.origin.input === 4)!.recipe.slice?.present, undefined)
    const merger = parquetMerger(params)
    const out = [...merger.start() as Iterable<Uint8Array>]
    for (const block of blocks) {
      const output = join(folder, `out${block.recipe.index}`)
      assert.equal(await convert(block, output), block.recipe.units)
      assert.deepEqual(await tableDistance({ path: block.path, size: 0 }, { path: output, size: 0 }, block.recipe, block.params), { value: 0, compared: block.recipe.units })
      out.push(...merger.add({ path: output, size: 0 }) as Iterable<Uint8Array>)
    }
    out.push(...merger.end() as Iterable<Uint8Array>)
    const merged = join(folder, 'merged.parquet')
    writeFileSync(merged, Buffer.concat(out))
    assert.deepEqual(await inspectForm({ path: merged, size: 0 }, params, true), { units: 1700 })
    const byName = `(select ${columns.map(({ name, type }) => `cast("${name}" as ${type}) as "${name}"`).join(', ')} from (${paths.map(path => `select * from '${path}'`).join(' union all by name ')}))`
    assert.deepEqual(read(merged, parquet, columns), await values.rows(byName, columns))
  }))

  it('recompresses one file, and joins many', async () => await withFolder(async folder => {
    const paths = []
    for (let i = 0; i < 3; i++) paths.push(await duck.copy(`select i::bigint id, [i, null] l from range(${i * 1000}, ${i * 1000 + 1000}) t(i)`, `join${i}.parquet`, `format parquet, compression ${['snappy', 'gzip', 'uncompressed'][i]}`))
    const { columns, notes } = await prepareParquet(paths.map(inputAt))
    assert.deepEqual(notes, [])
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'gzip' } }
    const blocks = await blocksOf(paths, params, 1 << 20, folder)
    assert.equal(blocks.length, 3)
    for (const block of blocks) {
      const output = join(folder, `gz${block.recipe.index}`)
      await convert(block, output)
      assert.deepEqual(await inspectForm({ path: output, size: 0 }, params, false), { units: 1000 })
      assert.deepEqual(await tableDistance({ path: block.path, size: 0 }, { path: output, size: 0 }, block.recipe, block.params), { value: 0, compared: 1000 })
    }
  }))

  it('says which files cannot be united, and why', async () => {
    const text = await duck.copy("select 'x' a", 'text.parquet', 'format parquet')
    const number = await duck.copy('select 1::bigint a', 'number.parquet', 'format parquet')
    const upper = await duck.copy('select 1::bigint "A"', 'upper.parquet', 'format parquet')
    await assert.rejects(prepareParquet([inputAt(text), inputAt(number)]), refused('unsupported', /^column 'a' is VARCHAR in '.*text\.parquet' and BIGINT in '.*number\.parquet', and no type holds both exactly/))
    await assert.rejects(prepareParquet([inputAt(number), inputAt(upper)]), refused('unsupported', /differ only in case/))
  })

  it('keeps nanoseconds in all files if one of them needs them', async () => await withFolder(async folder => {
    const paths = ['fine', 'coarse'].map((name, i) => {
      const path = join(folder, `${name}.parquet`)
      const element: CraftedElement = { name: 't', type: 'INT64', logical: { fields: [{ id: 8, type: 12, value: { fields: [{ id: 1, type: 1, value: true }, { id: 2, type: 12, value: { fields: [{ id: 3, type: 12, value: { fields: [] } }] } }] } }] } }
      const list: CraftedElement[] = [{ name: 'l', children: 1, converted: CONVERTED.LIST }, { ...element, name: 'array', repetition: 'REPEATED' }]
      const chunk: CraftedChunk = { type: 'INT64', pages: [{ repetitions: [0], definitions: [2], values: plain.int64([i === 0 ? 1001n : 2000n]) }], maxRepetition: 1, maxDefinition: 2 }
      writeFileSync(path, craft([element, ...list], 2, [{ rows: 1, chunks: [{ type: 'INT64', pages: [{ definitions: [1], values: plain.int64([1000n]) }] }, chunk] }]))
      return path
    })
    const { columns, notes } = await prepareParquet(paths.map(inputAt))
    assert.deepEqual(columns, [{ name: 't', type: 'TIMESTAMPTZ' }, { name: 'l', type: 'TIMESTAMP_NS[]' }])
    assert.deepEqual(notes.map(note => note.message), ["column 'l': timestamps in nanoseconds with a time zone, which microseconds do not hold, are kept as timestamps in UTC without zone"])
    assert.deepEqual(await prepareParquet(paths.toReversed().map(inputAt)), { columns, notes }, 'in whatever order')
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'snappy' } }
    const blocks = await blocksOf(paths, params, 1 << 20, folder)
    const rows = blocks.map(({ path }) => read(path, parquet, columns)[0])
    assert.deepEqual(rows, [[1, '[1001]'], [1, '[2000]']])
    for (const block of blocks) {
      const output = join(folder, `ns${block.recipe.index}`)
      await convert(block, output)
      assert.deepEqual(read(output, parquet, columns, { side: 'result' })[0], rows[block.recipe.index])
    }
  }))

  it('refuses intervals that Parquet cannot hold, wherever they are', async () => await withFolder(async folder => {
    const good = await duck.copy("select i, [i] l, {a: map {1: i}} s from (select unnest([interval '2 years 3 days 4 milliseconds', interval '0 days', null]) i)", 'intervals.parquet', 'format parquet')
    const { columns } = await prepareParquet([inputAt(good)])
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'snappy' } }
    assert.equal(await convert({ path: good, params }, join(folder, 'good')), 3)
    // Arrow has such intervals; here the source's parameters are only a way to the writer.
    const { writeParquet } = await import('../../../../../daemon/block-convert/tables/parquet/sql.ts')
    const { withEngine } = await import('../../../../../daemon/block-convert/tables/engine/duckdb.ts')
    for (const [i, value] of ["interval '-1 day'", "interval '-13 months'", "interval '-1 second'", "interval '1 microsecond'", "interval '1000001 microseconds'", "interval '1194 hours'"].entries()) {
      for (const [j, row] of [[value, 'null', 'null'], ['null', `[null, ${value}]`, 'null'], ['null', 'null', `{a: map {1: ${value}}}`]].entries()) {
        const from = `(select ${row.map((literal, c) => `cast(${literal} as ${columns[c]!.type}) as c${c}`).join(', ')})`
        const output = join(folder, `bad${i}-${j}`)
        const init = { folder, input: good, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} }
        await assert.rejects(withEngine(output, columns, init, async connection => await writeParquet({ connection, params, path: good, size: 0, folder, output, threads: 1, signal: init.signal }, from, 'snappy')),
          refused('unsupported', new RegExp(`^column '${columns[j]!.name}' holds an interval that is negative`)), `${value} ${j}`)
      }
    }
  }))

  it('blames a damaged file instead of the engine that cannot read it', async () => await withFolder(async folder => {
    const path = await duck.copy('select i::bigint a, md5(i::varchar) b, [i] l from range(3000) t(i)', 'whole.parquet', 'format parquet, compression zstd')
    const { columns } = await prepareParquet([inputAt(path)])
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'snappy' } }
    const whole = readFileSync(path)
    const { rowGroups } = readFooter(new RandomAccess({ path, size: 0 }))
    for (const [c, name] of ['a', 'b', 'l.list.element'].entries()) {
      const { start, end } = rowGroups[0]!.chunks[c]!
      const bytes = Buffer.from(whole)
      // within the compressed values, behind the header
      bytes.fill(0x55, start + Math.floor((end - start) / 2), end)
      const damaged = join(folder, `damaged${c}.parquet`)
      writeFileSync(damaged, bytes)
      const [block] = await blocksOf([damaged], params, 1 << 20, folder)
      await assert.rejects(convert(block!, join(folder, `none${c}`)), refused('bad-input', new RegExp(`^column '${name}': `)))
    }
  }))

  it('refuses what the engine cannot read before anything is sent', async () => await withFolder(async folder => {
    const refuse = async (chunk: CraftedChunk, message: RegExp): Promise<void> => {
      const path = join(folder, 'exotic.parquet')
      writeFileSync(path, craft([{ name: 'x', type: chunk.type }], 1, [{ rows: 1, chunks: [chunk] }]))
      const { columns } = await prepareParquet([inputAt(path)])
      await assert.rejects(blocksOf([path], { columns, source: parquet, target: { format: 'ndjson' } }, 1 << 20, folder), refused('unsupported', message))
    }
    const page = { definitions: [1], values: plain.int32([1]) }
    await refuse({ type: 'INT32', pages: [page], codec: 'LZO' }, /exotic\.parquet, row group 1, column 'x': pages compressed with LZO cannot be read/)
  }))

  it('tells of geometry described in metadata', async () => await withFolder(async folder => {
    const path = join(folder, 'geo.parquet')
    const entry = { fields: [{ id: 1, type: 8, value: Buffer.from('geo') }, { id: 2, type: 8, value: Buffer.from('{}') }] }
    writeFileSync(path, craft([{ name: 'geometry', type: 'BYTE_ARRAY' }], 1, [], footer => { footer.fields.push({ id: 5, type: 9, value: { elements: 12, values: [entry] } }) }))
    const { columns, notes } = await prepareParquet([inputAt(path)])
    assert.deepEqual(columns, [{ name: 'geometry', type: 'BLOB' }])
    assert.deepEqual(notes.map(note => note.code), ['metadata-dropped'])
  }))

  it('takes files without row groups, with empty ones, and with pages without rows', async () => await withFolder(async folder => {
    const path = join(folder, 'empty.parquet')
    const chunk = (values: number[], ...more: CraftedChunk['pages']): CraftedChunk => ({ type: 'INT32', pages: [...more, { definitions: values.map(() => 1), values: plain.int32(values) }] })
    const nothing = { definitions: [], values: new Uint8Array(0) }
    writeFileSync(path, craft([{ name: 'x', type: 'INT32' }], 1, [{ rows: 0, chunks: [chunk([])] }, { rows: 2, chunks: [chunk([1, 2], nothing, nothing)] }, { rows: 0, chunks: [chunk([])] }, { rows: 1, chunks: [chunk([3])] }]))
    const columns = [{ name: 'x', type: 'INTEGER' }]
    const params: TableParameters = { columns, source: parquet, target: { format: 'parquet', compression: 'snappy' } }
    const blocks = await blocksOf([path], params, 1 << 20, folder)
    assert.deepEqual(blocks.map(({ recipe }) => recipe.units), [3])
    assert.equal(await convert(blocks[0]!, join(folder, 'out')), 3)
    assert.deepEqual(read(join(folder, 'out'), parquet, columns), [[1], [2], [3]])
    writeFileSync(path, craft([{ name: 'x', type: 'INT32' }], 1, []))
    assert.deepEqual(await blocksOf([path], params, 1 << 20, folder), [])
  }))
})
