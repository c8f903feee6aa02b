import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createToolbox, listConverters, type Converter } from '../../../daemon/block-convert/index.ts'
import { createExecutor, selfMeasure, withThroughput, type Executor } from '../../../daemon/executor/index.ts'
import type { Log } from '../../../daemon/log.ts'

describe('measuring converters at the start', function () {
  this.timeout(60_000)
  let scratch: string
  let plain: Executor
  const warnings: object[] = []
  const log = { debug: () => {}, info: () => {}, warn: (fields: object) => { warnings.push(fields) }, error: () => {} } as unknown as Log

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'weft-measure-'))
    plain = createExecutor({ scratch: join(scratch, 'engines') }, { slots: 1, sandbox: 'off' })
    await plain.start()
  })

  after(async () => {
    await plain.stop()
    await rm(scratch, { recursive: true, force: true })
  })

  const some = (...ids: string[]): Converter[] => listConverters().filter(({ id }) => ids.includes(id))

  it('reaches what it can, leaves what is known, and nothing behind', async () => {
    const toolbox = createToolbox({ scratch })
    const measured = withThroughput(plain, { 'table/csv-csv': 7 })
    const signal = new AbortController().signal
    const count = await selfMeasure({ toolbox, executor: plain, measured, log }, some('table/csv-csv', 'table/parquet-ndjson', 'table/csv-parquet', 'archive/raw-gzip', 'archive/xz-raw'), { signal })
    assert.equal(count, 3, JSON.stringify(warnings))
    assert.equal(measured.throughput('table/csv-csv'), 7)
    for (const id of ['table/csv-parquet', 'table/parquet-ndjson', 'archive/raw-gzip']) assert.ok(measured.throughput(id) > 1000, `${id}: ${measured.throughput(id)}`)
    assert.equal(measured.throughput('archive/xz-raw'), 0, 'nothing leads to xz here')
    assert.deepEqual(warnings, [])
    await toolbox.close()
    const left = await readdir(join(scratch, 'engines'), { recursive: true, withFileTypes: true })
    assert.deepEqual(left.filter(entry => entry.isFile()).map(({ name }) => name), [])
  })

  it('ends at once when it is told to', async () => {
    const toolbox = createToolbox({ scratch })
    const measured = withThroughput(plain)
    assert.equal(await selfMeasure({ toolbox, executor: plain, measured, log }, some('table/csv-json'), { signal: AbortSignal.abort() }), 0)
    assert.equal(measured.throughput('table/csv-json'), 0)
    await toolbox.close()
  })
})
