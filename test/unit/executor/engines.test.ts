import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { EngineOutcome } from '../../../daemon/executor/index.ts'
import { requires } from '../../fixtures/requires.ts'
import { bench, exists, failed, run, until, withTestConverters, type Bench, type Sandbox } from './setup.ts'

const MIB = 2 ** 20

/** All that must hold whether or not engines are sandboxed. */
function behaves (sandbox: Sandbox): void {
  let b: Bench
  withTestConverters()
  before(async () => { b = await bench({ slots: 2, sandbox, limits: { memoryBytes: 512 * MIB, outputBytes: 64 * MIB } }) })
  // Not there when the tests are left out.
  after(async () => { await (b as Bench | undefined)?.close() })

  it('says how it isolates', () => {
    assert.deepEqual(b.executor.isolation, { bwrap: sandbox === 'require', rlimits: true })
  })

  it('copies a file, and tells units and times', async () => {
    const input = Buffer.alloc(3 * MIB, 'weft ')
    const { outcome, bytes } = await run(b.executor, { converter: 'probe/copy', input })
    assert.ok(outcome.ok)
    assert.ok(bytes?.equals(input))
    assert.equal(outcome.units, input.byteLength)
    assert.ok(outcome.cpuMs >= 0 && outcome.wallMs > 0)
  })

  it('takes small bytes as they are, large ones by a file', async () => {
    for (const size of [0, 1, 1000, 256 << 10, (256 << 10) + 1]) {
      const input = Buffer.alloc(size, 'x')
      const { bytes } = await run(b.executor, { converter: 'probe/copy', input, inline: true })
      assert.ok(bytes?.equals(input), `${size} bytes`)
    }
  })

  it('returns small output as bytes', async () => {
    const { outcome, bytes } = await run(b.executor, { converter: 'probe/sleep', parameters: { milliseconds: 1 }, input: 'abc' })
    assert.ok(outcome.ok && 'bytes' in outcome.output)
    assert.equal(bytes?.toString('hex'), createHash('sha256').update('abc').digest('hex'))
  })

  it('keeps a process for the next task', async () => {
    await run(b.executor, { converter: 'probe/copy' })
    const pids = b.executor.pids()
    await run(b.executor, { converter: 'probe/copy' })
    assert.deepEqual(b.executor.pids(), pids)
  })

  it('calls a crash a crash, and goes on with a new process', async () => {
    const crash = failed((await run(b.executor, { input: 'a CRASH here' })).outcome)
    assert.equal(crash.reason, 'crash')
    assert.match(crash.message, /SIGABRT|code 134/)
    assert.equal((await run(b.executor, { input: 'no fault here' })).bytes?.toString(), 'no fault here')
  })

  it('calls an early end a crash', async () => {
    const exit = failed((await run(b.executor, { parameters: { mode: 'exit' } })).outcome)
    assert.equal(exit.reason, 'crash')
    assert.match(exit.message, /code 0/)
  })

  it('calls an endless loop a hang', async () => {
    const hang = failed((await run(b.executor, { input: 'HANG', limits: { stallMs: 600 } })).outcome)
    assert.equal(hang.reason, 'hang')
    assert.match(hang.message, /no progress for 600 ms/)
    assert.ok(hang.wallMs >= 600, `${hang.wallMs} ms`)
    // How much of a core it got depends on what else the machine does.
    assert.ok(hang.cpuMs > 0, `${hang.cpuMs} ms of CPU time`)
  })

  it('calls waiting for ever a hang', async () => {
    const hang = failed((await run(b.executor, { parameters: { mode: 'stall' }, limits: { stallMs: 600 } })).outcome)
    assert.equal(hang.reason, 'hang')
  })

  it('does not take slow work with progress for a hang', async () => {
    const seen: number[] = []
    const { outcome } = await run(b.executor, {
      parameters: { mode: 'slow', milliseconds: 1500 }, limits: { stallMs: 600 }, onProgress: done => { seen.push(done) }
    })
    assert.ok(outcome.ok)
    assert.ok(seen.length >= 5)
    assert.deepEqual(seen, seen.toSorted((x, y) => x - y))
  })

  it('ends an attempt at its whole limit', async () => {
    const late = failed((await run(b.executor, { parameters: { mode: 'slow', milliseconds: 60_000 }, limits: { wallMs: 400 } })).outcome)
    assert.equal(late.reason, 'hang')
    assert.match(late.message, /not done after 400 ms/)
  })

  it('ends an engine that takes too much memory', async () => {
    const { reason, message } = failed((await run(b.executor, { input: 'OOM', limits: { memoryBytes: 160 * MIB } })).outcome)
    assert.equal(reason, 'out-of-memory', message)
  })

  it('tells a JavaScript heap that is full', async () => {
    const { reason, message } = failed((await run(b.executor, { parameters: { mode: 'heap' }, limits: { memoryBytes: 128 * MIB } })).outcome)
    assert.equal(reason, 'out-of-memory', message)
  })

  it('ends an engine that writes too much', async () => {
    const { reason, message } = failed((await run(b.executor, { parameters: { mode: 'big-output' }, limits: { outputBytes: 8 * MIB } })).outcome)
    assert.equal(reason, 'output-limit', message)
  })

  it('refuses an output over the limit that rlimits round up', async () => {
    const { reason } = failed((await run(b.executor, { converter: 'probe/copy', input: Buffer.alloc(5 * MIB), limits: { outputBytes: 5 * MIB - 1 } })).outcome)
    assert.equal(reason, 'output-limit')
  })

  it('refuses returned bytes over the limit', async () => {
    const { reason } = failed((await run(b.executor, { converter: 'probe/sleep', limits: { outputBytes: 31 } })).outcome)
    assert.equal(reason, 'output-limit')
  })

  it('hands on what a converter says', async () => {
    const refused = failed((await run(b.executor, { parameters: { mode: 'refuse' } })).outcome)
    assert.equal(refused.reason, 'conversion')
    assert.equal(refused.code, 'contradiction')
    assert.deepEqual(refused.details, { line: 3, column: 'n' })
    const thrown = failed((await run(b.executor, { parameters: { mode: 'throw' } })).outcome)
    assert.deepEqual([thrown.reason, thrown.code, thrown.message], ['conversion', 'engine', 'an unexpected error'])
    const bad = failed((await run(b.executor, { converter: 'probe/sleep', parameters: { millisecond: 3 } })).outcome)
    assert.deepEqual([bad.reason, bad.code], ['conversion', 'bad-parameters'])
  })

  it('accepts nothing but a file for an output', async () => {
    const link = failed((await run(b.executor, { parameters: { mode: 'link-output' } })).outcome)
    assert.deepEqual([link.reason, link.code], ['conversion', 'engine'])
    const nothing = failed((await run(b.executor, { parameters: { mode: 'no-output' } })).outcome)
    assert.deepEqual([nothing.reason, nothing.message], ['conversion', 'the converter wrote no output'])
  })

  it('leaves nothing of a block in the folder of its process', async () => {
    await run(b.executor, { parameters: { mode: 'litter' } })
    await run(b.executor, { parameters: { mode: 'litter' } })
    const [root = ''] = readdirSync(b.scratch)
    const engines = join(b.scratch, root, 'engines')
    assert.ok(readdirSync(engines).length > 0)
    for (const folder of readdirSync(engines)) assert.deepEqual(readdirSync(join(engines, folder)), [])
  })

  it('refuses unknown converters, encodings and inputs elsewhere, as data', async () => {
    const unknown = failed((await run(b.executor, { converter: 'probe/none' })).outcome)
    assert.deepEqual([unknown.reason, unknown.code], ['conversion', 'unknown-type'])
    const odd = failed((await run(b.executor, { parameters: { mode: undefined, marker: () => {} } })).outcome)
    assert.deepEqual([odd.reason, odd.code], ['conversion', 'bad-parameters'])
    const workspace = await b.executor.workspace()
    const elsewhere = failed(await b.executor.run({ converter: 'probe/copy', version: '1', parameters: {}, input: { path: '/etc/hostname', size: 1 }, workspace }))
    assert.equal(elsewhere.reason, 'unavailable')
    assert.match(elsewhere.message, /not in its workspace/)
    await workspace.dispose()
  })

  it('cancels: one that listens at once, one that is deaf soon', async () => {
    for (const mode of ['slow', 'deaf']) {
      const abort = new AbortController()
      const running = run(b.executor, { parameters: { mode, milliseconds: 60_000 }, signal: abort.signal, onProgress: () => { abort.abort() } })
      await until(() => abort.signal.aborted)
      assert.equal(failed((await running).outcome).reason, 'cancelled', mode)
      assert.equal(b.executor.busy, 0)
    }
    const early = new AbortController()
    early.abort()
    assert.equal(failed((await run(b.executor, { signal: early.signal })).outcome).reason, 'cancelled')
  })

  it('runs as many at once as there are slots, the rest in order of arrival', async () => {
    const { executor } = b
    const workspace = await executor.workspace()
    const sleep = async (milliseconds: number, signal?: AbortSignal): Promise<EngineOutcome> => await executor.run({
      converter: 'probe/sleep', version: '1', parameters: { milliseconds }, input: { bytes: Buffer.from('x') }, workspace
    }, { signal, onProgress: () => { most = Math.max(most, executor.busy) } })
    const finished: number[] = []
    let most = 0
    const abort = new AbortController()
    const long = sleep(60_000, abort.signal)
    const short = [1, 2, 3].map(async nth => {
      assert.ok((await sleep(150)).ok)
      finished.push(nth)
    })
    assert.equal(executor.busy, 2)
    await Promise.all(short)
    abort.abort()
    assert.equal(failed(await long).reason, 'cancelled')
    assert.deepEqual(finished, [1, 2, 3])
    assert.equal(most, 2)
    assert.equal(executor.busy, 0)
    assert.ok(executor.pids().length <= 2)
    await workspace.dispose()
  })
}

describe('engines without a sandbox', () => { behaves('off') })

describe('engines in bwrap', () => {
  requires('bwrap', 'every way an engine can fail, inside the sandbox')
  behaves('require')
})

for (const sandbox of ['off', 'require'] as const) {
  describe(`stopping, sandbox ${sandbox}`, () => {
    if (sandbox === 'require') requires('bwrap', 'that a stop ends sandboxed engines')
    withTestConverters()

    it('ends what runs and what waits, leaves no process and no file', async () => {
      const { executor, scratch, close } = await bench({ slots: 2, sandbox })
      // None of these ends by itself, so whichever two have the slots are running when the stop comes.
      const tasks = ['hang', 'stall', 'hang', 'stall'].map(async mode => await run(executor, { parameters: { mode }, inline: true }))
      await until(() => executor.pids().length === 2 && executor.busy === 2)
      const pids = executor.pids()
      await executor.stop()
      for (const pid of pids) assert.equal(exists(pid), false)
      const reasons = (await Promise.all(tasks)).map(({ outcome }) => failed(outcome).reason)
      assert.deepEqual(reasons, ['unavailable', 'unavailable', 'unavailable', 'unavailable'])
      assert.deepEqual(readdirSync(scratch), [])
      assert.equal(failed(await executor.run({ converter: 'probe/copy', version: '1', parameters: {}, input: { bytes: Buffer.from('x') }, workspace: { path: scratch, dispose: async () => {} } })).reason, 'unavailable')
      await assert.rejects(executor.workspace(), /not running/)
      await executor.stop()
      await executor.start()
      assert.ok((await run(executor, { converter: 'probe/copy' })).outcome.ok)
      await close()
    })

    it('may be stopped while a process starts', async () => {
      const { executor, scratch, close } = await bench({ slots: 1, sandbox })
      const task = run(executor, { converter: 'probe/copy', inline: true })
      await until(() => executor.busy === 1)
      await executor.stop()
      assert.equal(failed((await task).outcome).reason, 'unavailable')
      assert.deepEqual(readdirSync(scratch), [])
      await close()
    })

    it('lets an idle process go after a while', async () => {
      const { executor, close } = await bench({ slots: 1, sandbox, idleMs: 50 })
      await run(executor, { converter: 'probe/copy' })
      await until(() => executor.pids().length === 0)
      assert.ok((await run(executor, { converter: 'probe/copy' })).outcome.ok)
      await close()
    })
  })
}
