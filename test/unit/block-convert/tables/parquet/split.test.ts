import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { parquetMetadata } from 'hyparquet'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { BlockRecipe, Input } from '../../../../../daemon/block-convert/index.ts'
import { tableDistance } from '../../../../../daemon/block-convert/tables/distance.ts'
import { readFooter } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { SLICES_MAX } from '../../../../../daemon/block-convert/tables/parquet/limits.ts'
import { parquetMerger } from '../../../../../daemon/block-convert/tables/parquet/merge.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { splitParquet } from '../../../../../daemon/block-convert/tables/parquet/split.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { Duck, FLIGHTS, read, recipe } from '../readers/duck.ts'

const input = (path: string): Input => {
  const { size, mtimeMs } = statSync(path)
  return { path, mediaType: 'application/vnd.apache.parquet', size, mtimeMs }
}
const parameters = (columns: Column[]): TableParameters => ({ columns, source: { format: 'parquet' }, target: { format: 'ndjson' } })

async function split (paths: string[], bytes: number, columns?: Column[]): Promise<BlockRecipe[]> {
  const recipes: BlockRecipe[] = []
  for await (const block of splitParquet(paths.map(input), parameters(columns ?? await parquetColumns(paths[0]!)), { bytes })) recipes.push(block)
  return recipes
}

function derive (block: BlockRecipe, files: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(block.parts.map(part => 'bytes' in part ? part.bytes : files[part.input]!.subarray(part.offset, part.offset + part.length))))
}

const rowsOf = (block: BlockRecipe): [number, number] | undefined => block.slice?.rows as [number, number] | undefined

describe('parquet-split', () => {
  let duck: Duck
  before(async () => { duck = await Duck.open() })
  after(() => duck.close())

  it('names the file whose footer is damaged', () => {
    const path = duck.path('damaged.parquet')
    // A list of type 0 as the first field of the footer.
    writeFileSync(path, Buffer.concat([Buffer.from('PAR1'), Buffer.from([0x19, 0xf0, 0x01, 0x00]), Buffer.from([4, 0, 0, 0]), Buffer.from('PAR1')]))
    assert.throws(() => readFooter(new RandomAccess({ path, size: 0 })), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input' && error.message.startsWith(`${path} is not a sound Parquet file: malformed Thrift data`))
  })

  it('cuts flights-3m.parquet into blocks that everybody reads', async () => {
    const columns = await parquetColumns(FLIGHTS)
    const blocks = await split([FLIGHTS], 1 << 20)
    assert.ok(blocks.length >= 12, `${blocks.length} blocks`)
    const bytes = new Uint8Array(readFileSync(FLIGHTS))
    const parts: string[] = []
    let rows = 0
    for (const [i, block] of blocks.entries()) {
      assert.equal(block.index, i)
      assert.equal(block.origin.line, rows + 1)
      rows += block.units!
      const [from, to] = rowsOf(block)!
      assert.equal(to - from, block.units)
      if (from > 0) continue
      const derived = derive(block, [bytes])
      assert.equal(derived.length, block.size)
      assert.deepEqual(new Uint8Array(createHash('sha256').update(derived).digest()), block.digest)
      assert.equal(parquetMetadata(derived.buffer as ArrayBuffer).num_rows, BigInt(readFooter(new RandomAccess({ bytes: derived })).rows))
      const path = duck.path(`flights${i}.parquet`)
      writeFileSync(path, derived)
      parts.push(path)
    }
    assert.equal(rows, 3_000_000)

    const merger = parquetMerger(parameters(columns))
    const merged = duck.path('flights.parquet')
    const out = [...merger.start() as Iterable<Uint8Array>]
    for (const path of parts) out.push(...merger.add({ path, size: 0 }) as Iterable<Uint8Array>)
    out.push(...merger.end() as Iterable<Uint8Array>)
    writeFileSync(merged, Buffer.concat(out))
    assert.equal(await duck.fingerprint(merged), await duck.fingerprint(FLIGHTS))
    const last = blocks.at(-1)!
    const original = { bytes: derive(last, [bytes]) }
    const tail = await duck.copy(`select * from '${FLIGHTS}' offset ${3_000_000 - last.units!}`, 'tail.ndjson', 'format json')
    assert.deepEqual(await tableDistance(original, { path: tail, size: 0 }, last, parameters(columns)), { value: 0, compared: last.units })
  })

  it('yields every row once and in order, whatever the sizes', async () => {
    const paths: string[] = []
    for (const [i, [rows, size]] of [[5000, 2048], [3, 2048], [0, 2048], [4500, 4096]].entries()) {
      paths.push(await duck.copy(`select j::bigint id, repeat(md5(j::varchar), 1 + j % 3) s from range(${i * 100_000}, ${i * 100_000 + rows!}) t(j)`, `rows${i}.parquet`, `format parquet, row_group_size ${size}`))
    }
    const columns = await parquetColumns(paths[0]!)
    const files = paths.map(path => new Uint8Array(readFileSync(path)))
    const wanted = paths.flatMap(path => read(path, { format: 'parquet' }, columns).map(row => row[0]))
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 300_000 }), async target => {
      const blocks = await split(paths, target)
      const got: unknown[] = []
      for (const [i, block] of blocks.entries()) {
        assert.equal(block.index, i)
        const rows = read({ bytes: derive(block, files) }, { format: 'parquet' }, columns, { rows: rowsOf(block) })
        assert.equal(rows.length, block.units)
        got.push(...rows.map(row => row[0]))
        assert.equal(read(paths[block.origin.input]!, { format: 'parquet' }, columns, { rows: [block.origin.line - 1, block.origin.line] })[0]![0], rows[0]![0])
        const whole = block.slice == null && block.parts.length === 3
        if (whole) assert.ok(block.size <= target + 4000)
      }
      assert.deepEqual(got, wanted)
    }), { numRuns: 8 })
  })

  it('caps the slices of one row group, and never makes one without rows', async () => {
    const path = await duck.copy('select md5(i::varchar) s from range(100000) t(i)', 'big.parquet', 'format parquet')
    assert.equal((await split([path], 1000)).length, SLICES_MAX)
    const few = await duck.copy("select repeat('abc' || i, 100000) s from range(3) t(i)", 'few.parquet', 'format parquet')
    assert.deepEqual((await split([few], 1)).map(block => [block.units, block.slice]), [[1, { rows: [0, 1] }], [1, { rows: [1, 2] }], [1, { rows: [2, 3] }]])
  })

  it('gives no block for no rows', async () => {
    const path = await duck.copy('select 1::bigint a where false', 'none.parquet', 'format parquet')
    assert.deepEqual(await split([path], 1 << 20), [])
  })

  it('refuses inputs that changed', async () => {
    const a = await duck.copy('select 1::bigint a', 'a.parquet', 'format parquet')
    const b = await duck.copy('select 1::bigint a, 2 b', 'b.parquet', 'format parquet')
    const fails = (code: string) => (error: unknown): boolean => error instanceof ConversionError && error.code === code
    // columns that nobody knew of when the job was prepared
    await assert.rejects(split([a, b], 1 << 20), fails('input-changed'))
    await assert.rejects(split([a], 1 << 20, [{ name: 'a', type: 'INTEGER' }]), fails('input-changed'))
    const params = parameters([{ name: 'a', type: 'BIGINT' }])
    for (const change of [{ size: 1 }, { mtimeMs: 1 }]) {
      await assert.rejects(splitParquet([{ ...input(a), ...change }], params, { bytes: 1 }).next(), fails('input-changed'))
    }
    await assert.rejects(splitParquet([{ ...input(a), path: duck.path('gone') }], params, { bytes: 1 }).next(), fails('input-unreadable'))
  })

  it('honours the rows of a slice in the comparison', async () => {
    const path = await duck.copy('select i::bigint a from range(10000) t(i)', 'slice.parquet', 'format parquet')
    const some = await duck.copy(`select * from '${path}' offset 4000 limit 5000`, 'slice.ndjson', 'format json')
    const params = parameters([{ name: 'a', type: 'BIGINT' }])
    const compare = async (rows: [number, number]): Promise<unknown> => await tableDistance({ path, size: 0 }, { path: some, size: 0 }, recipe({ slice: { rows } }), params)
    assert.deepEqual(await compare([4000, 9000]), { value: 0, compared: 5000 })
    assert.deepEqual(await compare([4000, 9001]), { value: 1, compared: 5000, difference: 'the result ends after 5000 rows, the source goes on' })
    assert.deepEqual(await compare([4001, 9001]), { value: 1, compared: 0, difference: 'row 1, column "a": 4001 became 4000' })
  })
})
