import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import { readFooter, FILE, ELEMENT } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { emptyParquet, footerTail, storedType } from '../../../../../daemon/block-convert/tables/parquet/schema-writer.ts'
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

  it('says that a file is encrypted', async () => {
    const plain = await duck.copy('select 1 a', 'plain.parquet', 'format parquet')
    const bytes = new RandomAccess({ path: plain, size: 0 }).read(0, new RandomAccess({ path: plain, size: 0 }).size)
    const path = duck.path('encrypted.parquet')
    const refused = async (change: (encrypted: Uint8Array) => Uint8Array): Promise<void> => {
      writeFileSync(path, change(bytes.slice()))
      await assert.rejects(parquetColumns(path), fails('unsupported', /encrypted Parquet file; decrypt it first$/))
    }
    const magic = new TextEncoder().encode('PARE')
    await refused(encrypted => { encrypted.set(magic, encrypted.length - 4); return encrypted })
    await refused(encrypted => { encrypted.set(magic, 0); encrypted.set(magic, encrypted.length - 4); return encrypted })
    // a footer that can be read, with its algorithm in it and a signature behind it
    await refused(encrypted => {
      const { tree, dataEnd } = readFooter(new RandomAccess({ bytes: encrypted }))
      setField(tree, FILE.encryption, T.STRUCT, { fields: [{ id: 1, type: T.STRUCT, value: { fields: [] } }] })
      const footer = Buffer.concat([serializeThrift(tree), new Uint8Array(28)])
      return new Uint8Array(Buffer.concat([encrypted.subarray(0, dataEnd), footer, footerTail(footer.length)]))
    })
  })

  it('gives second and millisecond timestamps their stored type, also within others and never in names', () => {
    assert.equal(storedType('TIMESTAMP_S'), 'TIMESTAMP')
    assert.equal(storedType('STRUCT("TIMESTAMP_S" TIMESTAMP_MS[], "a ""TIMESTAMP_MS b" MAP(TIMESTAMP_S, TIMESTAMP_NS))'), 'STRUCT("TIMESTAMP_S" TIMESTAMP[], "a ""TIMESTAMP_MS b" MAP(TIMESTAMP, TIMESTAMP_NS))')
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
    const columns = SCALARS.map((kind): { name: string, type: string } => ({ name: `a ${kind} "ü"`, type: kind === 'DECIMAL' ? 'DECIMAL(38,4)' : kind })).concat([
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
