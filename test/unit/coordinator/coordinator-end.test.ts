import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import { JobRefusedError, type Job } from '../../../daemon/coordinator/index.ts'
import { bench, inProcessToolbox, ScriptedWorker } from './fakes.ts'
import { coordinatorSuite, never, scripted } from './coordinator-suite.ts'

describe('coordinator/coordinator', () => {
  const suite = coordinatorSuite()
  const { start, keep, run, leftOvers } = suite

  describe('ended early', () => {
    it('by cancel: nothing is left, workers are let go', async () => {
      const workers: ScriptedWorker[] = []
      const on = await start(scripted({ a: never }, 2, workers))
      const job = await on.coordinator.submit({ inputs: [await on.file('in.bin', randomBytes(900_000))], to: 'copy', output: on.path('out.copy'), blockBytes: 100_000, place: 'remote' })
      await once(on.coordinator.events as unknown as EventTarget, 'job')
      await job.cancel('enough of it')
      const report = job.report()
      assert.deepEqual([report.state, report.error?.code, report.error?.message], ['cancelled', 'cancelled', 'enough of it'])
      assert.deepEqual(await leftOvers('in.bin'), [])
      assert.ok(workers.every(({ closed }) => closed))
      await job.cancel()
    })

    it('by cancel while it is prepared', async () => {
      const toolbox = { ...inProcessToolbox(), prepare: () => new Promise<never>(() => {}) }
      const on = await start(undefined, toolbox)
      const job = await on.coordinator.submit({ inputs: [await on.file('in.bin', 'x')], to: 'copy', output: on.path('out.copy') })
      await job.cancel()
      assert.equal((await job.done).state, 'cancelled')
      assert.deepEqual(await leftOvers('in.bin'), [])
    })

    it('by cancel at whatever moment between its preparation and its run', async () => {
      for (let ticks = 0; ticks < 12; ticks++) {
        const inner = inProcessToolbox()
        let job: Job | undefined
        const on = await bench(join(suite.root, `cancel${ticks}`), scripted({ a: never }), {
          ...inner,
          output: (...args) => {
            const opened = inner.output(...args)
            const tick = (left: number): void => { if (left === 0) void job?.cancel('user'); else queueMicrotask(() => { tick(left - 1) }) }
            opened.then(() => { tick(ticks) }, () => {})
            return opened
          }
        })
        keep(on)
        job = await on.coordinator.submit({ inputs: [await on.file('in.bin', 'x')], to: 'copy', output: on.path('out.copy'), place: 'remote' })
        assert.equal((await job.done).state, 'cancelled', `after ${ticks} microtasks`)
        assert.deepEqual((await readdir(on.root)).toSorted(), ['data', 'in.bin'])
      }
    })

    it('by the deadline, also while it is prepared', async () => {
      const on = await start(scripted({ a: never }))
      const inputs = [await on.file('in.bin', randomBytes(300_000))]
      const report = await run(on, { inputs, place: 'remote', deadlineSeconds: 0.05 })
      assert.equal(report.error?.code, 'deadline')
      const slow = await bench(join(suite.root, 'data', 'scratch'), undefined, { ...inProcessToolbox(), prepare: () => new Promise<never>(() => {}) })
      keep(slow)
      assert.equal((await run(slow, { inputs, deadlineSeconds: 0.05 })).error?.code, 'deadline')
      assert.deepEqual(await leftOvers('in.bin'), [])
    })

    it('by the stop of the daemon', async () => {
      const on = await start(scripted({ a: never }))
      const job = await on.coordinator.submit({ inputs: [await on.file('in.bin', randomBytes(300_000))], to: 'copy', output: on.path('out.copy'), place: 'remote' })
      await on.coordinator.stop()
      assert.deepEqual([job.report().state, job.report().error?.code], ['failed', 'interrupted'])
      assert.deepEqual(await leftOvers('in.bin'), [])
      await assert.rejects(on.coordinator.submit({ inputs: [on.path('in.bin')], to: 'copy', output: on.path('out.copy') }), JobRefusedError)
    })
  })

  it('remembers ended jobs over a restart', async () => {
    const on = await start()
    const report = await run(on, { inputs: [await on.file('in.bin', 'abc')] })
    await on.coordinator.stop()
    const next = on.again()
    await next.start()
    assert.deepEqual(next.list(), [JSON.parse(JSON.stringify(report))])
  })
})
