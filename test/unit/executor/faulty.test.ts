import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readFaults } from '../../../daemon/executor/faulty.ts'
import { createExecutor, withFaults, type EngineOutcome, type EngineTask, type Executor } from '../../../daemon/executor/index.ts'
import { until } from './setup.ts'

const CSV_PARQUET = 'table/csv-parquet'
const PARQUET_CSV = 'table/parquet-csv'

/** An executor that does what it is told at once: it copies the input, or answers with `output`. */
function honest (slots: number, output?: string): Executor & { seen: string[] } {
  const seen: string[] = []
  const real = createExecutor({ scratch: '/nowhere' }, { slots })
  return {
    seen,
    slots,
    busy: 0,
    waiting: 0,
    guests: { slots, paused: false },
    limitGuests: () => {},
    freeBytes: () => 0,
    isolation: { bwrap: false, rlimits: false },
    start: async () => {},
    stop: async () => {},
    workspace: async () => {
      const path = await mkdtemp(join(tmpdir(), 'weft-faulty-'))
      return { path, dispose: async () => { await rm(path, { recursive: true, force: true }) } }
    },
    run: async ({ input, workspace }: EngineTask): Promise<EngineOutcome> => {
      const bytes = 'bytes' in input ? Buffer.from(input.bytes) : await readFile(input.path)
      seen.push(bytes.toString())
      const path = join(workspace.path, 'output')
      const made = output ?? bytes
      await writeFile(path, made)
      return { ok: true, output: { path, size: made.length }, cpuMs: 1, wallMs: 10 }
    },
    runInline: (...args) => real.runInline(...args)
  }
}

const CSV = 'id,name\n1,Anna\n2,Ben\n'

async function run (executor: Executor, converter: string, input: string, signal?: AbortSignal): Promise<{ outcome: EngineOutcome, kept: string, output?: string }> {
  const workspace = await executor.workspace()
  try {
    const path = join(workspace.path, 'block')
    await writeFile(path, input)
    const outcome = await executor.run({ converter, version: '1', parameters: {}, input: { path, size: input.length }, workspace }, { signal })
    return { outcome, kept: await readFile(path, 'utf8'), ...(outcome.ok && 'path' in outcome.output ? { output: await readFile(outcome.output.path, 'utf8') } : {}) }
  } finally {
    await workspace.dispose()
  }
}

describe('faults', () => {
  it('are read from a profile; those of others are left alone', () => {
    assert.deepEqual(readFaults([]), { wrong: 0, silent: 0, drop: 0, slow: 1 })
    assert.deepEqual(readFaults(['overprice:3', 'crash-loop:5s']), { wrong: 0, silent: 0, drop: 0, slow: 1 })
    assert.deepEqual(readFaults(['wrong', 'slow', 'silent', 'drop']), { wrong: 1, silent: 1, drop: 0.1, slow: 10 })
    assert.deepEqual(readFaults(['wrong:0.25', 'slow:3', 'silent:0.5', 'drop:0.2']), { wrong: 0.25, silent: 0.5, drop: 0.2, slow: 3 })
    for (const fault of ['wrong:2', 'wrong:x', 'slow:0', 'slow:']) assert.throws(() => readFaults([fault]), RangeError, fault)
    const executor = honest(1)
    assert.equal(withFaults(executor, ['overprice', 'crash-loop:1s'], Math.random), executor)
  })

  it('wrong: converts a changed copy of a text, and leaves the block as it was', async () => {
    const executor = honest(1)
    const { kept } = await run(withFaults(executor, ['wrong'], () => 0), CSV_PARQUET, CSV)
    assert.equal(kept, CSV)
    assert.deepEqual(executor.seen, ['id,name\n2,Anna\n2,Ben\n'])
  })

  it('wrong: does so for blocks in memory too', async () => {
    const executor = honest(1)
    const workspace = await executor.workspace()
    const bytes = Buffer.from(CSV)
    await withFaults(executor, ['wrong'], () => 0.99).run({ converter: CSV_PARQUET, version: '1', parameters: {}, input: { bytes }, workspace })
    await workspace.dispose()
    assert.equal(bytes.toString(), CSV)
    assert.notEqual(executor.seen[0], CSV)
    assert.equal(executor.seen[0]?.length, CSV.length)
  })

  it('wrong: changes the result where the input is binary', async () => {
    const executor = honest(1, CSV)
    const { output } = await run(withFaults(executor, ['wrong'], () => 0), PARQUET_CSV, 'PAR1...PAR1')
    assert.deepEqual(executor.seen, ['PAR1...PAR1'])
    assert.equal(output, 'id,name\n2,Anna\n2,Ben\n')
  })

  it('wrong:p lies about some blocks, repeatably', async () => {
    const draws = [0.4, 0, 0.6]
    const executor = honest(1)
    const faulty = withFaults(executor, ['wrong:0.5'], () => draws.shift() ?? 0.9)
    await run(faulty, CSV_PARQUET, CSV)
    await run(faulty, CSV_PARQUET, CSV)
    assert.notEqual(executor.seen[0], CSV)
    assert.equal(executor.seen[1], CSV)
  })

  it('wrong: gives another digest inline', async () => {
    const input = Buffer.from('block')
    const truth = await honest(1).runInline('probe/noop', {}, input)
    const lie = await withFaults(honest(1), ['wrong'], () => 0.5).runInline('probe/noop', {}, input)
    assert.ok(truth.ok && lie.ok && 'bytes' in truth.output && 'bytes' in lie.output)
    assert.equal(lie.output.bytes.length, 32)
    assert.notDeepEqual(Buffer.from(lie.output.bytes), Buffer.from(truth.output.bytes))
  })

  it('slow: takes longer and holds its slot for it', async () => {
    const faulty = withFaults(honest(1), ['slow:5'], Math.random)
    const from = performance.now()
    const both = [run(faulty, CSV_PARQUET, CSV), run(faulty, CSV_PARQUET, CSV)]
    await until(() => faulty.busy === 1)
    const [first] = await Promise.all(both)
    assert.ok(performance.now() - from >= 2 * 40 - 5)
    assert.ok(first?.outcome.ok === true && first.outcome.wallMs >= 50)
    assert.equal(faulty.busy, 0)
    const inline = await faulty.runInline('probe/noop', {}, Buffer.from('x'))
    assert.ok(inline.ok && inline.wallMs >= 20)
  })

  it('silent: takes a block, works on nothing, and ends when it is cancelled', async () => {
    const executor = honest(1)
    const faulty = withFaults(executor, ['silent'], () => 0.5)
    const abort = new AbortController()
    let answered = false
    const block = run(faulty, CSV_PARQUET, CSV, abort.signal).finally(() => { answered = true })
    const inline = Promise.resolve(faulty.runInline('probe/noop', {}, Buffer.from('x'), abort.signal)).finally(() => { answered = true })
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual([answered, executor.seen.length], [false, 0])
    abort.abort()
    assert.equal((await block).outcome.ok, false)
    assert.equal((await inline).ok, false)
    // Nothing could end the wait for these.
    assert.equal((await faulty.runInline('probe/noop', {}, Buffer.from('x'))).ok, true)
  })

  it('drop: does the work and loses the result, or resets the connections', async () => {
    for (const [second, resets] of [[0.6, 0], [0.4, 1]] as const) {
      const executor = honest(1)
      const draws = [0.5, 0.1, second]
      let reset = 0
      const faulty = withFaults(executor, ['drop:0.2'], () => draws.shift() ?? 1, () => { reset++ })
      assert.equal((await run(faulty, CSV_PARQUET, CSV)).outcome.ok, true)
      const abort = new AbortController()
      const lost = run(faulty, CSV_PARQUET, CSV, abort.signal)
      await until(() => executor.seen.length === 2 && draws.length === 0)
      abort.abort()
      assert.equal((await lost).outcome.ok, false)
      assert.equal(reset, resets)
    }
  })

  it('slow: can be cancelled', async () => {
    const faulty = withFaults(honest(1), ['slow:100000'], Math.random)
    const abort = new AbortController()
    const running = run(faulty, CSV_PARQUET, CSV, abort.signal)
    await until(() => faulty.busy === 1)
    const waiting = run(faulty, CSV_PARQUET, CSV, abort.signal)
    abort.abort()
    for (const { outcome } of await Promise.all([running, waiting])) assert.equal(!outcome.ok && outcome.reason, 'cancelled')
    assert.equal(faulty.busy, 0)
  })
})
