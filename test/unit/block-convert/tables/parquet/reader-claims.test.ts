import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { COLUMN, readFooter, type RowGroup } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { footerTail } from '../../../../../daemon/block-convert/tables/parquet/schema-writer.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import type { Column } from '../../../../../daemon/block-convert/tables/schema.ts'
import { serializeThrift } from '../../../../../daemon/block-convert/tables/parquet/thrift-writer.ts'
import { getField, setField, T, type ThriftStruct } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'
import { Duck, EVERY_TYPE, read } from '../readers/duck.ts'

const parquet = { format: 'parquet' } as const

/** The file with its footer changed by a function. */
function lie (path: string, change: (groups: RowGroup[], data: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(readFileSync(path))
  const footer = readFooter(new RandomAccess({ bytes }))
  const data = bytes.slice(0, footer.dataEnd)
  change(footer.rowGroups, data)
  const tree = serializeThrift(footer.tree)
  return new Uint8Array(Buffer.concat([data, tree, footerTail(tree.length)]))
}

describe('readers/parquet-claims', () => {
  let duck: Duck
  let path: string
  let columns: Column[]
  before(async () => {
    duck = await Duck.open()
    path = await duck.copy("select (i % 100 + 10)::bigint n, 'word ' || i % 50 as word, case when i % 5 > 0 then (i / 7.0)::double end x, i::decimal(38,2) wide from range(3000) t(i)", 'claims.parquet', 'format parquet, row_group_size 2048')
    columns = await parquetColumns(path)
  })
  after(() => duck.close())

  const statistics = (group: RowGroup, column: number): ThriftStruct => getField(group.chunks[column]!.metadata, COLUMN.statistics)?.value as ThriftStruct
  const found = (bytes: Uint8Array, message: RegExp): void => {
    assert.equal(read({ bytes }, parquet, columns).length, 3000, 'the values themselves are right')
    assert.throws(() => read({ bytes }, parquet, columns, { side: 'result' }), (error: unknown) => {
      assert.ok(error instanceof ConversionError, String(error))
      assert.equal(error.code, 'bad-input')
      assert.match(error.message, message)
      return true
    })
  }
  const int64 = (value: bigint): Uint8Array => new Uint8Array(new BigInt64Array([value]).buffer)

  it('finds nothing wrong with what DuckDB writes', async () => {
    assert.equal(read(path, parquet, columns, { side: 'result' }).length, 3000)
    const every = await duck.copy(`select * from (${EVERY_TYPE})`, 'every.parquet', 'format parquet')
    assert.equal(read(every, parquet, await parquetColumns(every), { side: 'result' }).length, 5)
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.option(fc.string({ unit: 'binary', maxLength: 400 }).map(s => s.replaceAll('\0', '').toWellFormed())), fc.option(fc.double()), fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))), { minLength: 1, maxLength: 30 }), fc.constantFrom('', ', parquet_version v2', ', dictionary_size_limit 1'), async (rows, option) => {
      const literal = (value: unknown): string => value === null ? 'null' : typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : `'${String(value)}'`
      const values = rows.map(([s, d, i]) => `(${literal(s)}::varchar, ${literal(d)}::double, ${literal(i)}::bigint, encode(${literal(s)}::varchar), ${literal(i)}::hugeint::decimal(38,0), (${literal(i)}::hugeint % 256)::double::float)`)
      const file = await duck.copy(`select * from (values ${values.join(', ')}) t(s, d, i, b, w, f)`, 'random.parquet', `format parquet${option}`)
      assert.equal(read(file, parquet, await parquetColumns(file), { side: 'result' }).length, rows.length)
    }), { numRuns: 60 })
  })

  it('finds bounds that exclude a value', () => {
    for (const [column, id, bytes] of [[0, 6, int64(11n)], [0, 5, int64(108n)], [0, 1, int64(108n)], [0, 2, int64(11n)], [1, 6, Buffer.from('word 1')], [1, 5, Buffer.from('word 8')], [2, 5, new Uint8Array(new Float64Array([1.5]).buffer)], [3, 5, new Uint8Array(16).fill(0, 0, 15).fill(9, 15)]] as Array<[number, number, Uint8Array]>) {
      found(lie(path, groups => {
        const struct = statistics(groups[0]!, column)
        setField(struct, id, T.BINARY, new Uint8Array(bytes))
        // without the other name of the same bound, which would give it away
        struct.fields = struct.fields.filter(field => field.id === id)
      }), /outside of the bounds/)
    }
    found(lie(path, groups => { setField(statistics(groups[1]!, 0), 1, T.BINARY, int64(500n)) }), /two different bounds/)
  })

  it('finds a wrong count of NULLs', () => {
    found(lie(path, groups => { setField(statistics(groups[0]!, 2), 3, T.I64, 0n) }), /0 NULLs are claimed, 410 are there/)
    found(lie(path, groups => { setField(statistics(groups[1]!, 0), 3, T.I64, 1n) }), /1 NULLs are claimed, 0 are there/)
  })

  it('finds a bloom filter that denies a value', () => {
    found(lie(path, (groups, data) => {
      const offset = Number(getField(groups[0]!.chunks[1]!.metadata, COLUMN.bloomOffset)?.value)
      const length = Number(getField(groups[0]!.chunks[1]!.metadata, COLUMN.bloomLength)?.value)
      assert.ok(offset > 0 && length > 32)
      data.fill(0, offset + length - 32, offset + length)
    }), /bloom filter denies/)
    found(lie(path, groups => { setField(groups[0]!.chunks[0]!.metadata, COLUMN.bloomLength, T.I32, -1) }), /no sensible size/)
  })
})
