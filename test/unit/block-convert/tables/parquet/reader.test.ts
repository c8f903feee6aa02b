import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { BATCH_ROWS } from '../../../../../daemon/block-convert/tables/parquet/limits.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { readBatches } from '../../../../../daemon/block-convert/tables/readers/index.ts'
import { decodeRuns } from '../../../../../daemon/block-convert/tables/parquet/reader-runs.ts'
import type { Column } from '../../../../../daemon/block-convert/tables/schema.ts'
import { dialect, Duck, EVERY_TYPE, FLIGHTS, read } from '../readers/duck.ts'

const parquet = { format: 'parquet' } as const

describe('readers/parquet', () => {
  let duck: Duck
  let every: string
  let columns: Column[]
  before(async () => {
    duck = await Duck.open()
    every = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
    columns = await parquetColumns(every)
  })
  after(() => duck.close())

  it('reads every type as DuckDB writes it to CSV and NDJSON', async () => {
    const rows = read(every, parquet, columns)
    assert.equal(rows.length, 5)
    const csv = await duck.copy(`select * from '${every}'`, 'every.csv', "format csv, header true, nullstr ''")
    const ndjson = await duck.copy(`select * from '${every}'`, 'every.ndjson', 'format json')
    assert.deepEqual(read(ndjson, { format: 'ndjson' }, columns, { side: 'result' }), rows)
    assert.deepEqual(read(csv, { format: 'csv', dialect }, columns, { side: 'result' }), rows)
  })

  it('gives the canonical forms of values.ts', () => {
    const at = (name: string): unknown[] => read(every, parquet, columns).map(row => row[columns.findIndex(column => column.name === name)])
    assert.deepEqual(at('i64'), [4, -9223372036854775808n, null, 9223372036854775807n, 9007199254740993n])
    assert.deepEqual(at('u64'), [8, 0, null, 18446744073709551615n, 9007199254740993n])
    assert.deepEqual(at('u32'), [7, 0, null, 4294967295, 1])
    assert.deepEqual(at('d'), [0.1, -0, null, 1.7976931348623157e308, 5e-324])
    assert.deepEqual(at('d38'), [125, -99999999999999999999999999999999999999n, null, 99999999999999999999999999999999999999n, 0])
    assert.deepEqual(at('dt'), [18263, -735160, null, 3789755, 2147483647])
    assert.deepEqual(at('tm'), [3723500000, 0, null, 86399999999, 43200000000])
    assert.deepEqual(at('ts'), [1577934245600000, -62135596800000000n, null, 9223372036854775806n, 9223372036854775807n])
    assert.deepEqual(at('tsn'), [1577934245123456789n, -2208902400000000000n, null, 9223372036854775806n, 1])
    assert.deepEqual(at('j'), ['{"a":[1,2.5,"x\\n"]}'.replace('2.5', '25e-1'), '[]', null, '{"k":null,"z":0,"big":12345678901234567890}', '"text"'])
    assert.deepEqual(at('bl'), ['b\x00\xff\\', '', null, '\'"\x7f~', 'plain'])
    assert.deepEqual(at('u')[4], '12345678-1234-1234-1234-123456789abc')
  })

  it('reads NaN and infinities', async () => {
    const path = await duck.copy("select unnest(['nan'::double, 'inf'::double, '-inf'::double, null]) d, unnest(['nan'::float, 'inf'::float, '-inf'::float, null]) f", 'floats.parquet', 'format parquet')
    const types = await parquetColumns(path)
    const rows = read(path, parquet, types)
    assert.deepEqual(rows, [[NaN, NaN], [Infinity, Infinity], [-Infinity, -Infinity], [null, null]])
    const csv = await duck.copy(`select * from '${path}'`, 'floats.csv', "format csv, header true, nullstr ''")
    assert.deepEqual(read(csv, { format: 'csv', dialect }, types, { side: 'result' }), rows)
  })

  it('reads every encoding and compression DuckDB writes', async () => {
    const query = `select i::bigint id, (i * 37 % 1000)::integer n, (i % 7)::utinyint small, (i * 0.25)::double x, (i / 3.0)::float y, 'name ' || i % 50 as word, md5(i::varchar) as hash, repeat('ü', (i % 300)::int) long,
      case when i % 3 > 0 then i::decimal(18, 2) / 4 end amount, i::decimal(38, 3) wide, date '2000-01-01' + (i % 1000)::int as day, timestamp '2000-01-01 00:00:00' + interval (i) second ts, i % 2 = 0 flag,
      case when i > 2000 then i end late, md5(i::varchar)::blob b, uuid() u from range(2500) t(i)`
    const first = await duck.copy(query, 'first.parquet', 'format parquet')
    const types = await parquetColumns(first)
    const rows = read(first, parquet, types)
    const seen = new Set<string>()
    const options = ['', 'row_group_size 2048', 'parquet_version v2', 'parquet_version v2, compression zstd, row_group_size 2048', 'parquet_version v2, dictionary_size_limit 1', 'dictionary_size_limit 1, compression zstd', 'compression gzip', 'compression brotli', 'compression lz4_raw', 'compression uncompressed']
    for (const option of options) {
      const path = await duck.copy(`select * from '${first}'`, 'again.parquet', `format parquet${option === '' ? '' : `, ${option}`}`)
      assert.deepEqual(read(path, parquet, types), rows, option)
      for (const [encoding, codec] of await duck.rows(`select distinct unnest(string_split(encodings, ', ')), compression from parquet_metadata('${path}')`)) seen.add(String(encoding)).add(String(codec))
    }
    for (const name of ['PLAIN', 'RLE_DICTIONARY', 'DELTA_BINARY_PACKED', 'DELTA_LENGTH_BYTE_ARRAY', 'BYTE_STREAM_SPLIT', 'SNAPPY', 'ZSTD', 'GZIP', 'BROTLI', 'LZ4_RAW', 'UNCOMPRESSED']) {
      assert.ok(seen.has(name), `${name} was not among ${[...seen].join(', ')}`)
    }
    // a third opinion on the plain types
    const objects = await parquetReadObjects({ file: new Uint8Array(readFileSync(first)).buffer, columns: ['id', 'n', 'x', 'word', 'late'] })
    assert.deepEqual(rows.map(row => [row[0], row[1], row[3], row[5], row[13]]), objects.map(row => [Number(row.id), row.n, row.x, row.word, row.late == null ? null : Number(row.late)]))
  })

  it('reads what another program wrote as hyparquet does', async () => {
    const types = await parquetColumns(FLIGHTS)
    const start = 300_000
    const rows = read(FLIGHTS, parquet, types, { rows: [start, start + 5000] })
    const objects = await parquetReadObjects({ file: new Uint8Array(readFileSync(FLIGHTS)).buffer, compressors, rowStart: start, rowEnd: start + 5000 })
    assert.deepEqual(rows, objects.map(row => [(row.date as Date).getTime() * 1000, Number(row.delay), Number(row.distance), row.origin, row.destination]))
  })

  it('gives batches of a fixed size across row groups, and any range of rows', async () => {
    const path = await duck.copy('select i::bigint a, case when i % 5 > 0 then i::varchar end s from range(20000) t(i)', 'range.parquet', 'format parquet, row_group_size 2048')
    const types = await parquetColumns(path)
    const sizes = [...readBatches({ path, size: 0 }, { format: 'parquet', compression: 'snappy' }, types)].map(batch => batch.rows)
    assert.deepEqual(sizes, [BATCH_ROWS, BATCH_ROWS, BATCH_ROWS, BATCH_ROWS, 20000 - 4 * BATCH_ROWS])
    fc.assert(fc.property(fc.nat(21000), fc.nat(9000), (from, count) => {
      const rows = read(path, parquet, types, { rows: [from, from + count] })
      assert.equal(rows.length, Math.max(0, Math.min(20000, from + count) - from))
      rows.forEach(([a, s], i) => {
        assert.equal(a, from + i)
        assert.equal(s, (from + i) % 5 > 0 ? String(from + i) : null)
      })
    }), { numRuns: 30 })
  })

  it('refuses other columns', () => {
    for (const wrong of [columns.slice(1), [...columns, { name: 'z', type: 'BIGINT' }], columns.map((column, i) => i === 3 ? { ...column, type: 'BIGINT' } : column), columns.map((column, i) => i === 3 ? { ...column, name: 'I32' } : column)]) {
      assert.throws(() => read(every, parquet, wrong, { side: 'result' }), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input' && /column \d+ is/.test(error.message))
    }
  })

  it('answers every mutation with rows or a ConversionError', async () => {
    const query = `select * from '${every}' union all select * from '${every}'`
    const files = [
      await duck.copy(query, 'm1.parquet', 'format parquet'),
      await duck.copy(query, 'm2.parquet', 'format parquet, parquet_version v2'),
      await duck.copy(query, 'm3.parquet', 'format parquet, parquet_version v2, dictionary_size_limit 1, compression uncompressed'),
      await duck.copy(query, 'm4.parquet', 'format parquet, compression lz4_raw'),
      await duck.copy("select 'v' || i % 40 as v, i % 5 as n from range(5000) t(i)", 'm5.parquet', 'format parquet, compression uncompressed')
    ].map(path => new Uint8Array(readFileSync(path)))
    const types = [columns, columns, columns, columns, [{ name: 'v', type: 'VARCHAR' }, { name: 'n', type: 'BIGINT' }]]
    let refused = 0
    fc.assert(fc.property(
      fc.nat(files.length - 1),
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 }))), { minLength: 1, maxLength: 3 }),
      (which, changes) => {
        const mutant = files[which]!.slice()
        for (const [at, value] of changes) mutant[at % mutant.length] = value
        try {
          read({ bytes: mutant }, parquet, types[which]!)
        } catch (error) {
          assert.ok(error instanceof ConversionError, String((error as Error).stack))
          assert.ok(error.code === 'bad-input' || error.code === 'unsupported', error.code)
          refused++
        }
      }), { numRuns: 800 })
    assert.ok(refused > 250, `${refused} were refused`)
  })
})

describe('readers/parquet-runs', () => {
  const refused = (work: () => unknown): void => { assert.throws(work, (error: unknown) => error instanceof ConversionError && error.code === 'bad-input') }

  it('decodes runs and bit-packed groups', () => {
    // 5 times 3; then 8 values 0..7 packed in 3 bits each (the example of the format's specification)
    const bytes = new Uint8Array([0x0a, 3, 0x03, 0x88, 0xc6, 0xfa])
    assert.deepEqual([...decodeRuns(bytes, 0, bytes.length, 3, 13)], [3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7])
    assert.deepEqual([...decodeRuns(bytes, 0, bytes.length, 3, 9)], [3, 3, 3, 3, 3, 0, 1, 2, 3])
    assert.deepEqual([...decodeRuns(new Uint8Array(0), 0, 0, 0, 3)], [0, 0, 0])
  })

  it('decodes any width', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 24 }), fc.array(fc.nat(), { minLength: 1, maxLength: 100 }), (width, numbers) => {
      const values = numbers.map(n => n % 2 ** width)
      const groups = Math.ceil(values.length / 8)
      let bits = 0n
      values.forEach((value, i) => { bits |= BigInt(value) << BigInt(i * width) })
      const bytes = new Uint8Array(1 + groups * width)
      bytes[0] = groups << 1 | 1
      for (let i = 0; i < groups * width; i++) bytes[i + 1] = Number((bits >> BigInt(8 * i)) & 0xffn)
      assert.deepEqual([...decodeRuns(bytes, 0, bytes.length, width, values.length)], values)
    }))
  })

  it('refuses runs that go too far, and ends that come too early', () => {
    refused(() => decodeRuns(new Uint8Array([0x14, 1]), 0, 2, 1, 9))
    refused(() => decodeRuns(new Uint8Array([0xfe, 0xff, 0xff, 0xff, 0x0f, 1]), 0, 6, 1, 100))
    refused(() => decodeRuns(new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), 0, 7, 1, 100))
    refused(() => decodeRuns(new Uint8Array([0x03, 1]), 0, 2, 2, 8))
    refused(() => decodeRuns(new Uint8Array([0x10]), 0, 1, 1, 8))
    refused(() => decodeRuns(new Uint8Array(4), 0, 4, 1, 8))
    refused(() => decodeRuns(new Uint8Array(4), 0, 5, 1, 8))
    refused(() => decodeRuns(new Uint8Array(4), 0, 4, 25, 8))
  })
})
