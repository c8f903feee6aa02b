import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createToolbox, removePartials, type SplitBatch, type Toolbox } from '../../../daemon/block-convert/index.ts'
import { createCoordinator, createLocalWorker, type Coordinator, type JobEvent, type JobReport, type JobRequest } from '../../../daemon/coordinator/index.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openDataDir, type DataDir } from '../../../daemon/store/index.ts'
import { compareByReport } from '../../fixtures/by-report.ts'
import { inProcessExecutor, localSource } from '../../unit/coordinator/fakes.ts'

const ROWS = 4000
const BLOCK_BYTES = 8_000

const row = (id: number): string => `${id},${id % 97},name ${id}`

/** The coordinator over real splitters, engines, checks and mergers. */
describe('a table that contradicts the types its samples showed', function () {
  this.timeout(60_000)
  let root: string
  let scratch: string
  let dir: DataDir
  let toolbox: Toolbox
  let coordinator: Coordinator
  let events: JobEvent[]
  /** The splitter waits for what it split so far to be done before it tells of the first change. */
  let patient: boolean

  // One for all tests: its threads load the engine once.
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'weft-epochs-toolbox-'))
    toolbox = createToolbox({ scratch })
  })
  after(async () => {
    await toolbox.close()
    await rm(scratch, { recursive: true, force: true })
  })

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-epochs-'))
    dir = await openDataDir(join(root, 'data'))
    const executor = inProcessExecutor(dir.scratch)
    const sampling: Toolbox = {
      describe: toolbox.describe.bind(toolbox),
      // Only the first rows are looked at, as if the samples of a large file had missed the others.
      async prepare (inputs, to, settings) {
        const head = join(root, 'head.csv')
        await writeFile(head, (await readFile(inputs[0]!.path, 'utf8')).split('\n').slice(0, 100).join('\n') + '\n')
        const prepared = await toolbox.prepare([await toolbox.describe(head)], to, settings)
        return { ...prepared, inputs }
      },
      release: toolbox.release.bind(toolbox),
      async * split (...args): AsyncGenerator<SplitBatch> {
        let known = 0
        for await (const batch of toolbox.split(...args)) {
          if (batch.widen != null && patient) while (coordinator.list().at(-1)?.blocks.done !== known) await new Promise(resolve => { coordinator.events.addEventListener('job', resolve, { once: true }) })
          if (batch.widen != null) patient = false
          known += batch.recipes.length
          yield batch
        }
      },
      materialise: toolbox.materialise.bind(toolbox),
      hash: toolbox.hash.bind(toolbox),
      inspect: toolbox.inspect.bind(toolbox),
      distance: toolbox.distance.bind(toolbox),
      output: toolbox.output.bind(toolbox),
      close: toolbox.close.bind(toolbox)
    }
    const source = localSource((offer, sink) => createLocalWorker({ executor, toolbox, blocks: dir.blocks }, offer, sink))
    coordinator = createCoordinator({ toolbox: sampling, store: dir, workers: source, removePartials, log: silentLog })
    events = []
    coordinator.events.addEventListener('job', ({ detail }) => { events.push(detail) })
    await coordinator.start()
    patient = true
  })

  afterEach(async () => {
    await coordinator.stop()
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  const table = async (rows: string[]): Promise<string> => {
    const path = join(root, 'in.csv')
    await writeFile(path, `id,qty,name\n${rows.join('\n')}\n`)
    return path
  }

  const convert = async (input: string, to: string, more: Partial<JobRequest> = {}): Promise<JobReport> => {
    const report = await (await coordinator.submit({ inputs: [input], to, output: join(root, `out.${to}`), verify: 'all', blockBytes: BLOCK_BYTES, overwrite: true, ...more })).done
    assert.equal(report.state, 'done', report.error?.message)
    return report
  }

  /** Blocks given out before the last change of the schema was known. */
  const givenBefore = (): number => {
    const at = events.findLastIndex(event => event.type === 'plan' && event.message.includes('was widened'))
    return new Set(events.slice(0, at).flatMap(event => event.type === 'block' && event.change === 'dispatched' ? [event.block] : [])).size
  }

  const equal = async (report: JobReport): Promise<void> => { assert.deepEqual(await compareByReport(report), { value: 0, compared: ROWS }) }

  it('in its last row: as the whole file with the wider type, and exactly what was given out before is done again', async () => {
    const input = await table([...Array.from({ length: ROWS - 1 }, (_, i) => row(i)), `${ROWS},many,last`])
    const report = await convert(input, 'ndjson')
    assert.equal(report.epochs, 1)
    assert.ok(report.blocks.total >= 8, `${report.blocks.total} blocks`)
    assert.equal(report.blocks.redone, report.blocks.total - 1)
    assert.equal(report.blocks.redone, givenBefore())
    assert.deepEqual([report.blocks.done, report.blocks.redispatched, report.blocks.rejected], [report.blocks.total, 0, 0])
    assert.equal(report.check.blocksChecked, report.blocks.total)
    assert.ok(report.notes.some(({ code, columns }) => code === 'schema-widened' && columns?.includes('qty') === true), JSON.stringify(report.notes))
    const pieces = await readFile(join(root, 'out.ndjson'))
    const whole = await convert(input, 'ndjson', { settings: { 'type:qty': 'VARCHAR' }, blockBytes: 10_000_000, output: join(root, 'whole.ndjson') })
    assert.deepEqual([whole.blocks.total, whole.epochs, whole.blocks.redone], [1, 0, 0])
    assert.ok(pieces.equals(await readFile(join(root, 'whole.ndjson'))))
    assert.match(pieces.toString(), /"qty":"0"/)
    await equal(report)
  })

  it('the same as Parquet, whose parts all have the schema of the whole', async () => {
    const input = await table([...Array.from({ length: ROWS - 1 }, (_, i) => row(i)), `${ROWS},many,last`])
    const report = await convert(input, 'parquet')
    assert.deepEqual([report.epochs, report.blocks.redone], [1, report.blocks.total - 1])
    await equal(report)
  })

  it('in a middle row, without anybody waiting: what was given out is done again, what was not is not', async () => {
    patient = false
    const input = await table(Array.from({ length: ROWS }, (_, i) => i === ROWS / 2 ? `${i},1.5,middle` : row(i)))
    const report = await convert(input, 'parquet')
    assert.equal(report.epochs, 1)
    assert.equal(report.blocks.redone, givenBefore())
    await equal(report)
  })

  it('in several places and columns: every block is of the last schema', async () => {
    const input = await table(Array.from({ length: ROWS }, (_, i) => i === 500 ? `${i},1.5,x` : i === 1500 ? `no number,${i},x` : i === 2500 || i === 3999 ? `${i},many,x` : row(i)))
    const report = await convert(input, 'parquet')
    assert.ok(report.epochs >= 2 && report.epochs <= 3, `${report.epochs} changes`)
    await equal(report)
    assert.equal((await readdir(root)).filter(name => name.startsWith('.')).length, 0)
  })
})
