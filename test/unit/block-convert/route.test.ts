import assert from 'node:assert/strict'
import { findConverter, planRoute, type Encoding, type Input } from '../../../daemon/block-convert/index.ts'
import { refused } from './archives/samples.ts'

const CSV = 'text/csv'
const OCTETS = 'application/octet-stream'
const PARQUET = 'application/vnd.apache.parquet'

function input (mediaType: string, encoding?: Encoding): Input {
  return { path: '/data/x', mediaType, size: 1, mtimeMs: 0, ...(encoding != null ? { encoding } : {}) }
}

describe('route', () => {
  it('goes through bytes alone where nothing but the compression changes', () => {
    const cases: Array<[Input, string, string, string, boolean, string | undefined]> = [
      [input(CSV), 'csv.gz', OCTETS, 'application/gzip', false, 'gzip'],
      [input(CSV), 'text/csv', CSV, CSV, false, undefined],
      [input(CSV, 'gzip'), 'csv', 'application/gzip', OCTETS, false, undefined],
      [input(CSV, 'gzip'), 'csv.zst', OCTETS, 'application/zstd', true, 'zstd'],
      [input(CSV, 'gzip'), 'csv.gz', OCTETS, 'application/gzip', true, 'gzip'],
      [input(CSV, 'xz'), 'bin', 'application/x-xz', OCTETS, false, undefined],
      [input(CSV), 'br', OCTETS, 'application/x-brotli', false, 'brotli'],
      [input(PARQUET), 'parquet.gz', OCTETS, 'application/gzip', false, 'gzip'],
      [input(OCTETS), 'gz', OCTETS, 'application/gzip', false, 'gzip'],
      [input(OCTETS), 'application/zstd', OCTETS, 'application/zstd', false, 'zstd'],
      [input(OCTETS, 'zstd'), 'raw', 'application/zstd', OCTETS, false, undefined]
    ]
    for (const [from, target, converterFrom, converterTo, decode, encoding] of cases) {
      const route = planRoute([from], target, {})
      assert.deepEqual([route.from, route.to, route.decode, route.encoding], [converterFrom, converterTo, decode, encoding], `${from.mediaType} ${from.encoding} to ${target}`)
      assert.equal(route.archive, converterFrom !== CSV)
      assert.ok(findConverter(route.from, route.to) != null)
    }
  })

  it('goes through the tables where rows are asked for', () => {
    for (const [inputs, target, settings] of [
      [[input(CSV)], 'csv.gz', { delimiter: ';' }],
      [[input(CSV, 'gzip')], 'csv', { encoding: 'latin1' }],
      [[input(CSV), input(CSV, 'gzip')], 'csv.gz', {}],
      [[input(CSV), input(CSV)], 'gz', {}]
    ] as Array<[Input[], string, Record<string, string>]>) {
      const route = planRoute(inputs, target, settings)
      assert.deepEqual([route.from, route.to, route.archive], [CSV, CSV, false])
      assert.equal(route.decode, inputs.some(({ encoding }) => encoding != null))
      assert.equal(route.encoding, target.endsWith('gz') ? 'gzip' : undefined)
    }
    assert.deepEqual(planRoute([input(PARQUET)], 'csv.zst', { max_expansion: '5' }), { from: PARQUET, to: CSV, mediaType: CSV, encoding: 'zstd', extension: 'csv.zst', decode: false, archive: false })
    assert.equal(planRoute([input(CSV)], 'csv.gz', { max_expansion: '5', level: '9' }).archive, true)
  })

  it('names outputs as the user does', () => {
    assert.equal(planRoute([input(CSV)], '.TSV.gz', {}).extension, 'tsv.gz')
    assert.equal(planRoute([input(CSV)], PARQUET, {}).extension, 'parquet')
    assert.equal(planRoute([input(CSV)], 'gz', {}).extension, 'gz')
    assert.equal(planRoute([input(CSV)], 'parquet', {}).mediaType, PARQUET)
  })

  it('says why there is none', () => {
    assert.throws(() => planRoute([], 'csv', {}), refused('bad-parameters', /at least one input/))
    assert.throws(() => planRoute([input(CSV), input(PARQUET)], 'csv', {}), refused('unsupported', /inputs of one output need one type/))
    assert.throws(() => planRoute([input(CSV)], 'docx.gz', {}), refused('unknown-type', /unknown type 'docx'/))
    assert.throws(() => planRoute([input(OCTETS)], 'parquet', {}), refused('unknown-type', /cannot tell what '\/data\/x' is, .*--from/))
    assert.throws(() => planRoute([input(OCTETS, 'gzip')], 'csv', {}), refused('unknown-type', /cannot tell what/))
    assert.throws(() => planRoute([input(CSV)], 'noop', {}), refused('unknown-type', /no converter from text\/csv/))
    assert.throws(() => planRoute([input(CSV)], 'bin', {}), refused('unknown-type', /no converter from text\/csv/))
  })
})
