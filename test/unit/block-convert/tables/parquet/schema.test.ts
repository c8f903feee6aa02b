import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { readFooter, FILE, ELEMENT } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { emptyParquet, footerTail, parquetColumns, storedType } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import { serializeThrift } from '../../../../../daemon/block-convert/tables/parquet/thrift-writer.ts'
import { getField, setField, T, type ThriftList, type ThriftStruct } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'
import { SCALARS } from '../../../../../daemon/block-convert/tables/types.ts'
import { Duck, EVERY_TYPE, FLIGHTS } from '../readers/duck.ts'

const fails = (code: string, message: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof ConversionError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

describe('parquet-schema', () => {
  let duck: Duck
  before(async () => { duck = await Duck.open() })
  after(() => duck.close())

  it('names types as DuckDB does', async () => {
    const every = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
    const files = [
      every,
      FLIGHTS,
      await duck.copy(EVERY_TYPE, 'every2.parquet', 'format parquet, parquet_version v2'),
      await duck.copy("select timestamp_s '2020-01-01 00:00:00' s, timestamp_ms '2020-01-01 00:00:00' ms, 'a'::enum('a', 'b') e", 'times.parquet', 'format parquet')
    ]
    for (const path of files) assert.deepEqual(await parquetColumns(path), await duck.columns(path))
  })

  it('says exactly what it cannot represent', async () => {
    const cases: Array<[string, RegExp]> = [
      ['select [1] l', /'l'.*nested/],
      ['select {a: 1} s', /'s'.*nested/],
      ['select map {1: 2} m', /'m'.*nested/],
      ['select 1 a, interval 1 day i', /'i'.*intervals/],
      ["select timetz '01:02:03+00' t", /'t'.*time zone/]
    ]
    for (const [query, message] of cases) {
      const path = await duck.copy(query, 'unsupported.parquet', 'format parquet')
      await assert.rejects(parquetColumns(path), fails('unsupported', message))
    }
    const plain = await duck.copy('select 1 a', 'plain.parquet', 'format parquet')
    const file = new RandomAccess({ path: plain, size: 0 })
    const encrypted = file.read(0, file.size)
    encrypted.set(new TextEncoder().encode('PARE'), encrypted.length - 4)
    writeFileSync(duck.path('encrypted.parquet'), encrypted)
    await assert.rejects(parquetColumns(duck.path('encrypted.parquet')), fails('unsupported', /encrypted/))
  })

  it('refuses two columns of one name', async () => {
    const path = await duck.copy('select 1 a, 2 b', 'names.parquet', 'format parquet')
    const footer = readFooter(new RandomAccess({ path, size: 0 }))
    const schema = getField(footer.tree, FILE.schema)?.value as ThriftList
    setField(schema.values[2] as ThriftStruct, ELEMENT.name, T.BINARY, new TextEncoder().encode('A'))
    const tree = serializeThrift(footer.tree)
    const file = duck.path('twins.parquet')
    writeFileSync(file, Buffer.concat([new RandomAccess({ path, size: 0 }).read(0, footer.dataEnd), tree, footerTail(tree.length)]))
    await assert.rejects(parquetColumns(file), fails('unsupported', /two columns/))
  })

  it('tells what is no Parquet file, or only a part of one', async () => {
    const every = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
    const file = new RandomAccess({ path: every, size: 0 })
    const whole = file.read(0, file.size)
    const at = async (bytes: Uint8Array, message: RegExp): Promise<void> => {
      writeFileSync(duck.path('broken.parquet'), bytes)
      await assert.rejects(parquetColumns(duck.path('broken.parquet')), fails('bad-input', message))
    }
    await at(new Uint8Array(0), /only 0 bytes/)
    await at(whole.subarray(0, 100), /cut off/)
    await at(whole.subarray(0, whole.length - 1), /cut off/)
    await at(whole.subarray(1), /does not begin/)
    const long = whole.slice()
    new DataView(long.buffer).setUint32(long.length - 8, long.length, true)
    await at(long, /does not fit/)
    await assert.rejects(parquetColumns(duck.path('absent.parquet')), fails('input-unreadable', /no such file/))
    await assert.rejects(parquetColumns(duck.folder), fails('input-unreadable', /regular file/))
  })

  it('writes an empty file with the schema DuckDB would write', async () => {
    const columns = SCALARS.filter(kind => kind !== 'INTERVAL').map((kind): { name: string, type: string } => ({ name: `a ${kind} "ü"`, type: kind === 'DECIMAL' ? 'DECIMAL(38,4)' : kind })).concat([
      { name: 'd4', type: 'DECIMAL(4,2)' }, { name: 'd9', type: 'DECIMAL(9,0)' }, { name: 'd18', type: 'DECIMAL(18,18)' }
    ])
    const bytes = emptyParquet(columns)
    const path = duck.path('empty.parquet')
    writeFileSync(path, bytes)
    const stored = columns.map(({ name, type }) => ({ name, type: storedType(type) }))
    assert.deepEqual(await duck.columns(path), stored)
    assert.deepEqual(await parquetColumns(path), stored)
    assert.deepEqual(await duck.rows(`select count(*) from '${path}'`), [['0']])

    const select = columns.map(({ name, type }) => `null::${type} as "${name.replaceAll('"', '""')}"`).join(', ')
    const theirs = await duck.copy(`select ${select} where false`, 'theirs.parquet', 'format parquet')
    const schema = (source: string): ThriftList => getField(readFooter(new RandomAccess({ path: source, size: 0 })).tree, FILE.schema)?.value as ThriftList
    assert.deepEqual(schema(path), schema(theirs))
  })
})
