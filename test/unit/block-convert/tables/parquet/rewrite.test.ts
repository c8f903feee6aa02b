import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { Codec } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { CONVERTED } from '../../../../../daemon/block-convert/tables/parquet/logical.ts'
import { readableBlock } from '../../../../../daemon/block-convert/tables/parquet/rewrite.ts'
import { unsplit } from '../../../../../daemon/block-convert/tables/parquet/stream-split.ts'
import { parquetSource } from '../../../../../daemon/block-convert/tables/parquet/index.ts'
import type { Column, TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { withFolder } from '../cases.ts'
import { read } from '../readers/duck.ts'
import { blocksOf, inputAt } from './blocks.ts'
import { craft, plain, type CraftedChunk, type CraftedElement, type CraftedPage } from './craft.ts'
import { DuckValues } from './duck-values.ts'

const parquet = { format: 'parquet' } as const

/** The inverse of `unsplit`. */
function split (bytes: Uint8Array, width: number): Uint8Array {
  const count = bytes.length / width
  return Uint8Array.from({ length: bytes.length }, (_, i) => bytes[(i % count) * width + Math.floor(i / count)]!)
}

describe('parquet-rewrite', () => {
  let values: DuckValues
  before(async () => { values = await DuckValues.open() })
  after(() => { values.close() })

  /** Through splitting and unpacking to the engine, and by our own reader. */
  const check = async (folder: string, name: string, bytes: Uint8Array, wanted: unknown[][], rewritten: boolean): Promise<void> => {
    const path = join(folder, `${name}.parquet`)
    writeFileSync(path, bytes)
    const { columns } = await parquetSource.prepare([inputAt(path)], {} as never)
    const params: TableParameters = { columns, source: parquet, target: { format: 'ndjson' } }
    const [block] = await blocksOf([path], params, 1 << 20, folder)
    assert.deepEqual(read(block!.path, parquet, columns), wanted, name)
    const from = await parquetSource.from({ path: block!.path, params: block!.params, output: join(folder, `${name}.out`) } as never)
    assert.equal(from.includes('.unpacked'), rewritten, name)
    assert.deepEqual(await values.rows(from, columns), wanted, name)
  }

  it('unpacks the older LZ4, levels and dictionaries included', async () => await withFolder(async folder => {
    const elements: CraftedElement[] = [
      { name: 'l', children: 1, converted: CONVERTED.LIST }, { name: 'array', type: 'INT32', repetition: 'REPEATED' },
      { name: 'd', type: 'BYTE_ARRAY', converted: CONVERTED.UTF8 },
      { name: 'plain', type: 'INT64', repetition: 'REQUIRED' }
    ]
    const wanted = [['[1,2]', 'b', 7], [null, null, 8], ['[]', 'a', 9], ['[3]', 'b', 10]]
    for (const codec of ['LZ4', 'LZ4_RAW'] as Codec[]) {
      for (const v2 of [undefined, {}]) {
        const chunks: CraftedChunk[] = [
          { type: 'INT32', codec, maxDefinition: 2, pages: [{ repetitions: [0, 1, 0], definitions: [2, 2, 0], values: plain.int32([1, 2]), v2 }, { repetitions: [0, 0], definitions: [1, 2], values: plain.int32([3]), v2 }] },
          { type: 'BYTE_ARRAY', codec, pages: [{ dictionary: true, entries: 2, values: plain.bytes(['a', 'b']) }, { definitions: [1, 0, 1, 1], values: new Uint8Array([1, 3, 0b101]), encoding: 'RLE_DICTIONARY', v2 }] },
          { type: 'INT64', codec: 'ZSTD', pages: [{ entries: 4, values: plain.int64([7n, 8n, 9n, 10n]), v2 }] }
        ]
        await check(folder, `${codec}-${v2 == null ? 1 : 2}`, craft(elements, 3, [{ rows: 4, chunks }]), wanted, codec === 'LZ4')
      }
    }
  }))

  it('unpacks integers and fixed bytes split into streams', async () => await withFolder(async folder => {
    const elements: CraftedElement[] = [
      { name: 'i', type: 'INT32' }, { name: 'b', type: 'INT64' }, { name: 'f', type: 'FIXED_LEN_BYTE_ARRAY', length: 3 }, { name: 'd', type: 'DOUBLE' },
      { name: 'l', children: 1, converted: CONVERTED.LIST }, { name: 'array', type: 'INT64', repetition: 'REPEATED' }
    ]
    const wanted = [[1, null, 'abc', 0.5, '[1,-2]'], [-2, 9223372036854775807n, null, -1, '[]'], [null, -1, 'xyz', 0.25, '[3]']]
    for (const codec of ['UNCOMPRESSED', 'GZIP'] as Codec[]) {
      for (const v2 of [undefined, {}]) {
        const page = (definitions: number[], bytes: Uint8Array, width: number): CraftedPage => ({ definitions, values: split(bytes, width), encoding: 'BYTE_STREAM_SPLIT', v2 })
        const chunks: CraftedChunk[] = [
          { type: 'INT32', codec, pages: [page([1, 1, 0], plain.int32([1, -2]), 4)] },
          { type: 'INT64', codec, pages: [page([0, 1, 1], plain.int64([9223372036854775807n, -1n]), 8)] },
          { type: 'FIXED_LEN_BYTE_ARRAY', codec, pages: [page([1, 0, 1], Buffer.from('abcxyz'), 3)] },
          { type: 'DOUBLE', codec, pages: [page([1, 1, 1], new Uint8Array(new Float64Array([0.5, -1, 0.25]).buffer), 8)] },
          { type: 'INT64', codec, maxDefinition: 2, maxRepetition: 1, pages: [{ ...page([2, 2, 1, 2], plain.int64([1n, -2n, 3n]), 8), repetitions: [0, 1, 0, 0] }] }
        ]
        await check(folder, `split-${codec}-${v2 == null ? 1 : 2}`, craft(elements, 5, [{ rows: 3, chunks }]), wanted, true)
      }
    }
  }))

  it('puts streams together again', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(40), (width, count) => {
      const bytes = Uint8Array.from({ length: width * count }, (_, i) => i % 251)
      assert.deepEqual(unsplit(split(bytes, width), width), bytes)
    }))
    assert.throws(() => unsplit(new Uint8Array(7), 4), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input')
  })

  it('answers every mutation with a file or a ConversionError', async () => await withFolder(async folder => {
    const columns: Column[] = [{ name: 'l', type: 'INTEGER[]' }]
    const elements: CraftedElement[] = [{ name: 'l', children: 1, converted: CONVERTED.LIST }, { name: 'array', type: 'INT32', repetition: 'REPEATED' }]
    const page = { repetitions: [0, 1, 0], definitions: [2, 2, 0], encoding: 'BYTE_STREAM_SPLIT' as const, values: split(plain.int32([1, 2]), 4) }
    const sound = craft(elements, 1, [{ rows: 4, chunks: [{ type: 'INT32', codec: 'LZ4', maxDefinition: 2, pages: [page, { ...page, v2: {} }] }] }])
    let refused = 0
    let copies = 0
    const path = join(folder, 'mutant.parquet')
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 2 }), async changes => {
      const mutant = sound.slice()
      for (const [at, value] of changes) mutant[at] = value
      writeFileSync(path, mutant)
      try {
        const copy = await readableBlock(path, join(folder, `copy${copies++}`))
        if (changes.length === 0) assert.deepEqual(read(copy, parquet, columns), [['[1,2]'], [null], ['[1,2]'], [null]])
        assert.ok(readFileSync(copy).length < 10_000)
      } catch (error) {
        assert.ok(error instanceof ConversionError, String((error as Error).stack))
        assert.ok(error.code === 'bad-input' || error.code === 'unsupported', error.code)
        refused++
      }
    }), { numRuns: 300 })
    assert.ok(refused > 50, `${refused} were refused`)
  }))
})
