import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { parquetReadObjects } from 'hyparquet'
import { ConversionError } from '../../../../../daemon/block-convert/errors.ts'
import type { BlockSource } from '../../../../../daemon/block-convert/index.ts'
import { inspectForm } from '../../../../../daemon/block-convert/tables/inspect.ts'
import { readFooter } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { READ_BYTES } from '../../../../../daemon/block-convert/tables/parquet/limits.ts'
import { parquetMerger } from '../../../../../daemon/block-convert/tables/parquet/merge.ts'
import { parquetColumns } from '../../../../../daemon/block-convert/tables/parquet/schema.ts'
import { RandomAccess } from '../../../../../daemon/block-convert/tables/random-access.ts'
import type { TableParameters } from '../../../../../daemon/block-convert/tables/schema.ts'
import { Duck, EVERY_TYPE, read } from '../readers/duck.ts'

type Merger = ReturnType<typeof parquetMerger>

function merge (params: TableParameters, parts: BlockSource[]): Uint8Array {
  const merger: Merger = parquetMerger(params)
  const out: Uint8Array[] = []
  const take = (bytes: ReturnType<Merger['start']>): void => {
    for (const chunk of bytes as Iterable<Uint8Array>) {
      assert.ok(chunk.length <= READ_BYTES)
      out.push(chunk)
    }
  }
  take(merger.start())
  for (const part of parts) take(merger.add(part))
  take(merger.end())
  return new Uint8Array(Buffer.concat(out))
}

const file = (path: string): BlockSource => ({ path, size: 0 })
const parameters = (columns: TableParameters['columns']): TableParameters => ({ columns, source: { format: 'ndjson' }, target: { format: 'parquet', compression: 'snappy' } })

describe('parquet-merge', () => {
  let duck: Duck
  let every: string
  let params: TableParameters
  before(async () => {
    duck = await Duck.open()
    every = await duck.copy(EVERY_TYPE, 'every.parquet', 'format parquet')
    params = parameters(await parquetColumns(every))
  })
  after(() => duck.close())

  it('gives the rows of all parts in order, to DuckDB, hyparquet and our own reader', async () => {
    const query = (from: number, to: number): string => `select i::bigint id, 'n' || i % 1000 as name, (i * 0.5)::double x from range(${from}, ${to}) t(i)`
    const cuts = [0, 1, 1, 5000, 300_000, 400_000]
    const parts: string[] = []
    for (let i = 1; i < cuts.length; i++) parts.push(await duck.copy(query(cuts[i - 1]!, cuts[i]!), `part${i}.parquet`, 'format parquet'))
    const whole = await duck.copy(query(0, 400_000), 'whole.parquet', 'format parquet')
    const columns = await parquetColumns(whole)
    const merged = merge(parameters(columns), parts.map(file))
    const path = duck.path('merged.parquet')
    writeFileSync(path, merged)
    assert.equal(await duck.fingerprint(path), await duck.fingerprint(whole))
    assert.deepEqual(await duck.rows(`select count(*), min(name), sum(x) from '${path}' where id between 299990 and 300010`), await duck.rows(`select count(*), min(name), sum(x) from '${whole}' where id between 299990 and 300010`))
    assert.deepEqual(await inspectForm(file(path), parameters(columns), true), { units: 400_000 })
    const objects = await parquetReadObjects({ file: merged.buffer as ArrayBuffer, rowStart: 299_998, rowEnd: 300_002 })
    assert.deepEqual(objects.map(row => row.id), [299_998n, 299_999n, 300_000n, 300_001n])
    const groups = readFooter(new RandomAccess({ bytes: merged })).rowGroups.map(group => group.rows)
    assert.equal(groups.reduce((a, b) => a + b, 0), 400_000)
  })

  it('is associative, and the empty part changes nothing', () => {
    const a = file(every)
    const empty: BlockSource = { bytes: merge(params, []) }
    const flat = merge(params, [a, a, a])
    assert.deepEqual(merge(params, [{ bytes: merge(params, [a, a]) }, a]), flat)
    assert.deepEqual(merge(params, [a, { bytes: merge(params, [a, a]) }]), flat)
    assert.deepEqual(read({ bytes: merge(params, [a, empty, a, a]) }, { format: 'parquet' }, params.columns), read({ bytes: flat }, { format: 'parquet' }, params.columns))
    assert.deepEqual(read({ bytes: merge(params, [empty, a, a, a]) }, { format: 'parquet' }, params.columns), read({ bytes: flat }, { format: 'parquet' }, params.columns))
    assert.deepEqual(read({ bytes: merge(params, [a]) }, { format: 'parquet' }, params.columns), read(every, { format: 'parquet' }, params.columns))
  })

  it('gives a valid empty file for no parts', async () => {
    const bytes = merge(params, [])
    assert.deepEqual(await inspectForm({ bytes }, params, true), { units: 0 })
    assert.deepEqual(read({ bytes }, { format: 'parquet' }, params.columns), [])
  })

  it('moves bloom filters along', async () => {
    // few values, many times: DuckDB writes a dictionary and a bloom filter for it
    const query = (from: number): string => `select (${from} + i % 100)::bigint a from range(20000) t(i)`
    const parts = [await duck.copy(query(0), 'bloom1.parquet', 'format parquet'), await duck.copy(query(100_000), 'bloom2.parquet', 'format parquet')]
    const path = duck.path('bloom.parquet')
    writeFileSync(path, merge(parameters([{ name: 'a', type: 'BIGINT' }]), parts.map(file)))
    const metadata = await duck.rows(`select bloom_filter_offset is not null from parquet_metadata('${path}')`)
    assert.deepEqual(metadata, [[true], [true]])
    const probe = async (value: number): Promise<unknown> => (await duck.rows(`select list(bloom_filter_excludes order by row_group_id) from parquet_bloom_probe('${path}', 'a', ${value})`))[0]![0]
    assert.deepEqual(await probe(7), [false, true])
    assert.deepEqual(await probe(100_007), [true, false])
    assert.deepEqual(await duck.rows(`select count(*) from '${path}' where a = 100007`), [['200']])
  })

  it('refuses parts of another schema, and what is no part', async () => {
    const other = await duck.copy('select 1::bigint a', 'other.parquet', 'format parquet')
    const refused = (parts: BlockSource[], message: RegExp): void => {
      assert.throws(() => merge(params, parts), (error: unknown) => error instanceof ConversionError && error.code === 'bad-input' && message.test(error.message))
    }
    refused([file(every), file(other)], /another schema/)
    refused([file(every), { bytes: new Uint8Array(50) }], /PAR1/)
  })
})
