import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConversionError, type BlockRecipe, type Conversion, type Note, type SplitBatch, type Toolbox } from '../../../daemon/block-convert/index.ts'
import type { JobReport, JobRequest, WorkerSource } from '../../../daemon/coordinator/index.ts'
import { SLICE_BYTES_MAX } from '../../../daemon/task-protocol/index.ts'
import { bench, bytesOf, inProcessToolbox, result, ScriptedWorker, type Bench, type Work } from './fakes.ts'

const BLOCK = 'abcdefghij'

/** What a worker makes of a block under the overrides it was given: what the checks want to see, and the output shows. */
function converted (slice: Record<string, unknown> | undefined, input: Uint8Array): Uint8Array {
  return Buffer.from(`${JSON.stringify(slice ?? {})} ${Buffer.from(input).toString()}\n`)
}

/** A step of the splitter: blocks, a change of the schema, a note; or something to wait for. */
type Step = { blocks: number, slice?: Record<string, unknown> } | { widen: Record<string, unknown> } | { note: Note } | (() => Promise<void>)

interface Writing { conversions: Conversion[], released: string[] }

/** A conversion whose results show what they were made with, over a splitter that does as the test says. */
function widening (steps: Step[], writing: Writing): Toolbox {
  const inner = inProcessToolbox()
  return {
    ...inner,
    async prepare (inputs, to, settings) {
      const prepared = await inner.prepare(inputs, to, settings)
      return { ...prepared, conversion: { ...prepared.conversion, parameters: { kept: 1, types: 'as sampled' } }, copies: ['a copy'] }
    },
    async release ({ copies }) { writing.released.push(...copies) },
    async * split (): AsyncGenerator<SplitBatch> {
      let index = 0
      for (const step of steps) {
        if (typeof step === 'function') await step()
        else if ('note' in step) yield { recipes: [], notes: [step.note] }
        else if ('widen' in step) yield { recipes: [], notes: [], widen: step.widen }
        else {
          const recipes: BlockRecipe[] = []
          for (let i = 0; i < step.blocks; i++, index++) {
            recipes.push({ index, parts: [{ bytes: Buffer.from(BLOCK) }], size: BLOCK.length, digest: hash('sha256', BLOCK, 'buffer'), origin: { input: 0, line: index + 1 }, slice: step.slice })
          }
          yield { recipes, notes: [] }
        }
      }
    },
    async inspect (part, recipe) {
      const found = Buffer.from(await bytesOf(part)).toString()
      const wanted = Buffer.from(converted(recipe.slice, Buffer.from(BLOCK))).toString()
      if (found !== wanted) throw new ConversionError('bad-input', `the result is ${found}, not ${wanted}`)
      // What the output is checked against as a whole.
      return { units: found.length }
    },
    distance: async () => ({ value: 0, compared: 1 }),
    async output (path, conversion, options) {
      const writer = await inner.output(path, conversion, options)
      writing.conversions.push(conversion)
      return {
        ...writer,
        async reset (now) {
          writing.conversions.push(now as Conversion)
          await writer.reset(now)
        }
      }
    }
  }
}

const honest: Work = async ({ slice }, input) => result(converted(slice, input))

describe('coordinator/widening', () => {
  let root: string
  let on: Bench
  let writing: Writing
  let workers: ScriptedWorker[]

  const start = async (steps: Step[], work: Work = honest, more: (toolbox: Toolbox) => Partial<Toolbox> = () => ({})): Promise<void> => {
    const toolbox = widening(steps, writing)
    on = await bench(root, (): WorkerSource => ({
      async workers (offer, _edge, _request, sink) {
        const worker = new ScriptedWorker('a', 2, offer, sink.events('a'), work)
        workers.push(worker)
        sink.found(worker)
        sink.settled(1)
      }
    }), { ...toolbox, ...more(toolbox) })
  }

  const run = async (more: Partial<JobRequest> = {}): Promise<JobReport> => {
    const input = join(root, 'in.bin')
    await writeFile(input, 'x')
    return await (await on.coordinator.submit({ inputs: [input], to: 'copy', output: on.path('out.copy'), place: 'remote', ...more })).done
  }

  /** Resolves when so many blocks are done. */
  const done = (blocks: number) => async (): Promise<void> => {
    while (on.coordinator.list()[0]?.blocks.done !== blocks) await new Promise(setImmediate)
  }

  /** Resolves when so many orders were received. */
  const given = (orders: number) => async (): Promise<void> => {
    while ((workers[0]?.received.length ?? 0) < orders) await new Promise(setImmediate)
  }

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-widening-'))
    writing = { conversions: [], released: [] }
    workers = []
  })

  afterEach(async () => {
    await on.close()
    await rm(root, { recursive: true, force: true })
  })

  const lines = async (): Promise<string[]> => (await readFile(on.path('out.copy'), 'utf8')).trimEnd().split('\n')

  it('converts everything again under the schema found in the last block, and nothing else', async () => {
    await start([{ blocks: 5 }, done(5), { widen: { types: { 1: 'VARCHAR' } } }, { blocks: 1 }])
    const report = await run()
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await lines(), new Array<string>(6).fill(`{"types":{"1":"VARCHAR"}} ${BLOCK}`))
    assert.deepEqual([report.blocks.total, report.blocks.done, report.blocks.redone, report.blocks.redispatched, report.epochs], [6, 6, 5, 0, 1])
    assert.equal(workers[0]?.received.length, 5 + 6)
    assert.deepEqual(report.conversion[0]?.parameters, { kept: 1, types: { 1: 'VARCHAR' } })
    assert.deepEqual(workers[0]?.offer.parameters, { kept: 1, types: 'as sampled' }, 'what the worker was offered stays; the slices say the rest')
    assert.deepEqual(writing.conversions.map(({ parameters }) => parameters.types), ['as sampled', { 1: 'VARCHAR' }])
  })

  it('keeps what is special about a block, and lets the last overrides stand for all before', async () => {
    await start([{ blocks: 1, slice: { rows: [0, 5] } }, { widen: { types: { 1: 'DECIMAL(38,2)' } } }, { blocks: 1, slice: { rows: [5, 9] } }, done(2), { widen: { types: { 1: 'VARCHAR', 2: 'VARCHAR' } } }])
    const report = await run()
    assert.equal(report.state, 'done', report.error?.message)
    const types = '"types":{"1":"VARCHAR","2":"VARCHAR"}'
    assert.deepEqual(await lines(), [`{"rows":[0,5],${types}} ${BLOCK}`, `{"rows":[5,9],${types}} ${BLOCK}`])
    assert.equal(report.epochs, 2)
    assert.deepEqual(writing.conversions.at(-1)?.parameters, { kept: 1, types: { 1: 'VARCHAR', 2: 'VARCHAR' } })
  })

  it('calls off what is under way, and never takes what comes of it all the same', async () => {
    const release = Promise.withResolvers<void>()
    const slow: Work = async ({ slice }, input) => {
      if (slice == null) await release.promise
      return result(converted(slice, input))
    }
    await start([{ blocks: 2 }, given(2), { widen: { types: { 0: 'VARCHAR' } } }, async () => {
      while (workers[0]?.cancelled.length !== 2) await new Promise(setImmediate)
      release.resolve()
    }, { blocks: 2 }], slow)
    const report = await run()
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(workers[0]?.cancelled, [{ block: 0, attempt: 1 }, { block: 1, attempt: 1 }])
    assert.deepEqual(await lines(), new Array<string>(4).fill(`{"types":{"0":"VARCHAR"}} ${BLOCK}`))
    assert.deepEqual([report.blocks.redone, report.blocks.rejected, report.workers[0]?.blocks], [2, 0, 4])
  })

  it('a check that is still at work on a result that is void neither blames its worker nor ends the job', async () => {
    const [inspecting, widened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let calls = 0
    await start([{ blocks: 1 }, async () => { await inspecting.promise }, { widen: { types: { 0: 'VARCHAR' } } }, async () => { widened.resolve() }], honest, toolbox => ({
      async inspect (...args) {
        if (calls++ > 0) return await toolbox.inspect(...args)
        inspecting.resolve()
        await widened.promise
        throw Object.assign(new Error('ENOENT: its file was removed under the check'), { code: 'ENOENT' })
      }
    }))
    const report = await run()
    assert.equal(report.state, 'done', report.error?.message)
    assert.equal(report.blocks.rejected, 0)
    assert.deepEqual(await lines(), [`{"types":{"0":"VARCHAR"}} ${BLOCK}`])
  })

  it('says what changed: the notes of the splitter are in the report, the changes in the plan', async () => {
    const note: Note = { code: 'schema-widened', message: 'column b became VARCHAR', columns: ['b'] }
    await start([{ blocks: 1 }, done(1), { note }, { widen: { types: { 0: 'VARCHAR' } } }, { blocks: 1 }])
    const report = await run()
    assert.deepEqual(report.notes, [note])
    const plans = on.events.flatMap(event => event.type === 'plan' ? [event.message] : [])
    assert.deepEqual(plans.slice(1), ['a value contradicts the types so far: the schema was widened (change 1), 1 block is converted again'])
  })

  it('fails in one line, with what to do, where there is more to change than an order can say', async () => {
    const types = Object.fromEntries(Array.from({ length: SLICE_BYTES_MAX / 8 }, (_, i) => [String(i), 'VARCHAR']))
    await start([{ blocks: 1 }, done(1), { widen: { types } }, { blocks: 1 }])
    const { state, error } = await run()
    assert.deepEqual([state, error?.code], ['failed', 'unsupported'])
    assert.match(error?.message ?? '', /^[^\n]*--set types=text[^\n]*--set schema=FILE$/)
  })

  it('counts the slice of a block towards that, also of one that comes after', async () => {
    const present = Array.from({ length: SLICE_BYTES_MAX / 4 }, (_, i) => 1000 + i)
    for (const steps of [[{ blocks: 1, slice: { present } }, { widen: { types: { 0: 'VARCHAR'.repeat(800) } } }], [{ widen: { types: { 0: 'VARCHAR'.repeat(800) } } }, { blocks: 1, slice: { present } }]]) {
      await start(steps)
      assert.equal((await run()).error?.code, 'unsupported')
      await on.close()
    }
  })

  describe('copies made for a job', () => {
    const never: Work = () => new Promise(() => {})

    it('are gone when it has ended well, badly or by cancel', async () => {
      await start([{ blocks: 1 }])
      assert.equal((await run()).state, 'done')
      assert.deepEqual(writing.released, ['a copy'])
      await on.close()
      await start([async () => { throw new ConversionError('bad-input', 'line 3 is odd') }])
      assert.equal((await run({ overwrite: true })).error?.code, 'bad-input')
      assert.deepEqual(writing.released, ['a copy', 'a copy'])
      await on.close()
      await start([{ blocks: 1 }], never)
      const job = await on.coordinator.submit({ inputs: [join(root, 'in.bin')], to: 'copy', output: on.path('other.copy'), place: 'remote' })
      await job.cancel()
      assert.equal(writing.released.length, 3)
    })

    it('and where the output cannot be opened, or the daemon stops', async () => {
      await start([{ blocks: 1 }], never)
      await writeFile(join(root, 'in.bin'), 'x')
      await writeFile(join(root, 'file'), 'x')
      const failing = await bench(join(root, 'data', 'scratch'), undefined, { ...widening([], writing), output: async () => { throw Object.assign(new Error('EROFS'), { code: 'EROFS' }) } })
      const bad = await (await failing.coordinator.submit({ inputs: [join(root, 'in.bin')], to: 'copy', output: on.path('out.copy') })).done
      assert.equal(bad.error?.code, 'output-unwritable')
      assert.equal(writing.released.length, 1)
      await failing.close()
      await on.coordinator.submit({ inputs: [join(root, 'in.bin')], to: 'copy', output: on.path('out.copy'), place: 'remote' })
      await on.coordinator.stop()
      assert.equal(writing.released.length, 2)
    })

    it('and when a job was given up, by the user or the deadline, before they were made', async () => {
      for (const deadlineSeconds of [undefined, 0.02]) {
        const preparing = Promise.withResolvers<void>()
        const toolbox = widening([], writing)
        await start([])
        const slow = await bench(join(root, 'data', 'scratch', String(deadlineSeconds)), undefined, {
          ...toolbox,
          async prepare (...args) {
            await preparing.promise
            return await toolbox.prepare(...args)
          }
        })
        await writeFile(join(root, 'in.bin'), 'x')
        const job = await slow.coordinator.submit({ inputs: [join(root, 'in.bin')], to: 'copy', output: on.path('out.copy'), ...(deadlineSeconds != null ? { deadlineSeconds } : {}) })
        if (deadlineSeconds == null) await job.cancel()
        else assert.equal((await job.done).error?.code, 'deadline')
        const before = writing.released.length
        preparing.resolve()
        while (writing.released.length === before) await new Promise(setImmediate)
        await slow.close()
        await on.close()
      }
    })
  })
})
