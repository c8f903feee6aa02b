import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, chmod, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { JOBS_MAX } from '../../../daemon/coordinator/constants.ts'
import { JobRefusedError, type JobErrorCode, type JobRequest } from '../../../daemon/coordinator/index.ts'
import { inProcessToolbox, result, type Bench } from './fakes.ts'
import { coordinatorSuite, never, scripted } from './coordinator-suite.ts'

describe('coordinator/coordinator', () => {
  const suite = coordinatorSuite()
  const { start, run, leftOvers } = suite

  describe('refuses at once', () => {
    const refused = async (on: Bench, request: Partial<JobRequest> & { inputs: string[] }, code: JobErrorCode, words: RegExp): Promise<void> => {
      await assert.rejects(run(on, request), (error: unknown) => {
        assert.ok(error instanceof JobRefusedError, String(error))
        assert.equal(error.error.code, code)
        assert.match(error.error.message, words)
        assert.ok(!error.error.message.includes('\n'))
        return true
      })
    }

    it('what is wrong with the request', async () => {
      const on = await start()
      const input = await on.file('in.bin', 'x')
      await on.file('there.copy', 'already')
      await on.file('odd.noop', 'x')
      await mkdir(on.path('folder'))
      await refused(on, { inputs: [] }, 'usage', /at least one/)
      await refused(on, { inputs: ['in.bin'] }, 'usage', /absolute/)
      await refused(on, { inputs: [input], blockBytes: 0 }, 'usage', /block size/)
      for (const maxPrice of ['', '-1', '1.5', '1e3', '1'.repeat(20)]) await refused(on, { inputs: [input], maxPrice }, 'usage', /whole number/)
      await refused(on, { inputs: [input], to: 'nonsense' }, 'unknown-type', /nonsense/)
      await refused(on, { inputs: [input], to: 'bin' }, 'no-provider', /nothing converts/)
      await refused(on, { inputs: [on.path('missing.bin')] }, 'input-unreadable', /missing\.bin/)
      await refused(on, { inputs: [input], output: on.path('there.copy') }, 'output-exists', /overwrite/)
      await refused(on, { inputs: [input], output: on.path('folder') }, 'output-unwritable', /folder/)
      await refused(on, { inputs: [input], output: on.path('nowhere/out.copy') }, 'output-unwritable', /does not exist/)
      await refused(on, { inputs: [input], output: join(input, 'out.copy') }, 'output-unwritable', /a part of its path is not a folder/)
      await refused(on, { inputs: [input], output: input, overwrite: true }, 'usage', /never overwritten/)
      await symlink(suite.root, on.path('link'))
      await refused(on, { inputs: [input], output: join(on.path('link'), 'in.bin'), overwrite: true }, 'usage', /never overwritten/)
      assert.equal(on.coordinator.list().length, 0)
    })

    it('a folder it may not write to', async function () {
      const on = await start()
      const input = await on.file('in.bin', 'x')
      await mkdir(on.path('shut'))
      await chmod(on.path('shut'), 0o500)
      // The superuser may write anywhere; there is nothing to refuse then.
      if (process.getuid?.() === 0) return
      await refused(on, { inputs: [input], output: on.path('shut/out.copy') }, 'output-unwritable', /permission/)
    })

    it('the second of two submissions of one output at once, also by another name of it, also with overwrite', async () => {
      const on = await start()
      const inputs = [await on.file('in.bin', randomBytes(3000))]
      await symlink(suite.root, on.path('link'))
      for (const [output, overwrite] of [[on.path('out.copy'), false], [on.path('link/out.copy'), true]] as const) {
        const all = await Promise.allSettled([run(on, { inputs, overwrite }), run(on, { inputs, output, overwrite })])
        const [good, bad] = all.toSorted((a, b) => a.status < b.status ? -1 : 1)
        assert.equal(good?.status === 'fulfilled' && good.value.state, 'done', JSON.stringify(all))
        assert.ok(bad?.status === 'rejected')
        assert.match(bad.reason.message, /another job is writing/)
      }
      // Refused or ended, nothing stays reserved.
      await refused(on, { inputs: [on.path('missing.bin')], output: on.path('more.copy') }, 'input-unreadable', /missing/)
      assert.equal((await run(on, { inputs, output: on.path('more.copy') })).state, 'done')
    })

    it('more jobs at once than it takes', async () => {
      const describing = Promise.withResolvers<void>()
      const inner = inProcessToolbox()
      const on = await start(undefined, { ...inner, describe: async (path, from) => { await describing.promise; return await inner.describe(path, from) } })
      const inputs = [await on.file('in.bin', 'x')]
      const all = Array.from({ length: JOBS_MAX }, (_, i) => run(on, { inputs, output: on.path(`out${i}.copy`) }))
      await refused(on, { inputs, output: on.path('one-more.copy') }, 'failed', /run already/)
      describing.resolve()
      assert.ok((await Promise.all(all)).every(({ state }) => state === 'done'))
    })

    it('what is still looked at when the daemon stops', async () => {
      const [asked, describing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const inner = inProcessToolbox()
      const on = await start(undefined, { ...inner, describe: async (path, from) => { asked.resolve(); await describing.promise; return await inner.describe(path, from) } })
      const late = refused(on, { inputs: [await on.file('in.bin', 'x')] }, 'interrupted', /shutting down/)
      await asked.promise
      await refused(on, { inputs: [on.path('in.bin')], overwrite: true }, 'usage', /another job is writing/)
      const stopped = on.coordinator.stop()
      describing.resolve()
      await Promise.all([late, stopped])
      assert.deepEqual(await leftOvers('in.bin'), [])
    })

    it('a second job that writes the same file', async () => {
      const on = await start(scripted({ a: never }))
      const inputs = [await on.file('in.bin', randomBytes(300_000))]
      const job = await on.coordinator.submit({ inputs, to: 'copy', output: on.path('out.copy'), place: 'remote' })
      await refused(on, { inputs }, 'usage', /writing/)
      await job.cancel()
    })
  })

  it('overwrites only when asked', async () => {
    const on = await start()
    await on.file('out.copy', 'old')
    const report = await run(on, { inputs: [await on.file('in.bin', 'new')], overwrite: true })
    assert.equal(report.state, 'done', report.error?.message)
    assert.equal(await readFile(on.path('out.copy'), 'utf8'), 'new')
  })

  it('does not replace a file that appears at the last moment', async () => {
    const on = await start(scripted({ a: async (_order, input) => { await on.file('out.copy', 'theirs'); return result(input) } }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(100))], place: 'remote' })
    assert.equal(report.error?.code, 'output-exists')
    assert.equal(await readFile(on.path('out.copy'), 'utf8'), 'theirs')
    assert.deepEqual(await leftOvers('in.bin'), ['out.copy'])
  })

  describe('inputs that do not stay as they were', () => {
    it('changed: no output', async () => {
      const on = await start(scripted({ a: async (_order, input) => { await appendFile(on.path('in.bin'), 'more'); return result(input) } }))
      const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], place: 'remote' })
      assert.equal(report.error?.code, 'input-changed')
      assert.deepEqual(await leftOvers('in.bin'), [])
    })

    it('gone: no output, and the path is named', async () => {
      const on = await start(scripted({ a: async (_order, input) => { await rm(on.path('in.bin'), { force: true }); return result(input) } }))
      const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(3_000_000))], place: 'remote' })
      assert.equal(report.error?.code, 'input-unreadable')
      assert.match(report.error.message, /in\.bin/)
      assert.deepEqual(await leftOvers(), [])
    })
  })
})
