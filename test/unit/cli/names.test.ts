import assert from 'node:assert/strict'
import { outputName, partsOf, shown, targetOf, withOutputName } from '../../../cli/lib/names.ts'

describe('names of files', () => {
  it('end in a type, a compression, both or neither', () => {
    assert.deepEqual(partsOf('a/x.csv.gz'), { stem: 'x', extension: 'csv', compression: 'gz' })
    assert.deepEqual(partsOf('x.CSV.ZST'), { stem: 'x', extension: 'csv', compression: 'zst' })
    assert.deepEqual(partsOf('x.parquet'), { stem: 'x', extension: 'parquet', compression: '' })
    assert.deepEqual(partsOf('x.gz'), { stem: 'x', extension: '', compression: 'gz' })
    assert.deepEqual(partsOf('x'), { stem: 'x', extension: '', compression: '' })
    assert.deepEqual(partsOf('gz'), { stem: 'gz', extension: '', compression: '' })
    assert.deepEqual(partsOf('.gz'), { stem: '.gz', extension: '', compression: '' })
    assert.deepEqual(partsOf('data.2024.csv'), { stem: 'data.2024', extension: 'csv', compression: '' })
  })

  const named = (to: string | undefined, out: string): string | undefined => withOutputName(to == null ? undefined : targetOf(to), out)?.to
  it('say the target where --to does not, and add a compression where it says none', () => {
    assert.equal(named(undefined, 'out.parquet'), 'parquet')
    assert.equal(named(undefined, 'a/out.csv.gz'), 'csv.gz')
    assert.equal(named(undefined, 'out.gz'), 'gz')
    assert.equal(named(undefined, 'out'), undefined)
    assert.equal(named('csv', 'out.csv.gz'), 'csv.gz')
    assert.equal(named('csv', 'out.gz'), 'csv.gz')
    assert.equal(named('text/csv', 'out.csv.zst'), 'csv.zst')
    assert.equal(named('.CSV', 'out.csv'), 'csv')
    assert.equal(named('csv.zst', 'out.csv.gz'), 'csv.zst', 'what is said wins')
    assert.equal(named('gz', 'out.csv.gz'), 'gz')
    assert.equal(named('parquet', 'x.data'), 'parquet')
  })

  it('of outputs are those of inputs with the ending of the target', () => {
    const cases: Array<[string, string, string]> = [
      ['x.csv', 'parquet', 'x.parquet'], ['x.csv.gz', 'parquet', 'x.parquet'], ['a/b/x.csv', 'csv.gz', 'a/b/x.csv.gz'], ['x.csv.gz', 'ndjson.zst', 'x.ndjson.zst'],
      ['x.csv', 'gz', 'x.csv.gz'], ['x.csv.zst', 'gz', 'x.csv.gz'], ['x.CSV', 'gz', 'x.CSV.gz'], ['x', 'gz', 'x.gz'], ['x', 'csv', 'x.csv'], ['.x', 'csv', '.x.csv'],
      ['x.tar.gz', 'raw', 'x.tar'], ['x.v1.csv', 'pq', 'x.v1.pq'], ['x.csv', 'application/vnd.apache.parquet', 'x.parquet'], ['x.json', 'application/x-ndjson', 'x.ndjson']
    ]
    for (const [input, to, output] of cases) assert.equal(outputName(input, targetOf(to)), output, `${input} to ${to}`)
  })

  it('are shown on one line, and obey nothing', () => {
    assert.equal(shown('a\nb\tc\u001b[31md\u0085é东'), 'a\\nb\\tc\\x1b[31md\\x85é东')
  })
})
