import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { ConversionError, type Toolbox } from '../../../daemon/block-convert/index.ts'
import { bytesOf, inProcessToolbox, result, ScriptedWorker, type Work } from './fakes.ts'
import { coordinatorSuite, copy, scripted } from './coordinator-suite.ts'

describe('coordinator/coordinator and workers that lie', () => {
  const { start, run, leftOvers } = coordinatorSuite()

  it('never merges the work of a liar', async () => {
    const lie: Work = async (_order, input) => result(Uint8Array.from(input, byte => byte ^ 1))
    const on = await start(scripted({ liar: lie, honest: copy }))
    const data = randomBytes(900_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    assert.ok(report.blocks.rejected >= 1)
    assert.deepEqual(report.workers.map(({ peer, blocks }) => [peer, blocks]), [['liar', 0], ['honest', 9]])
    assert.ok(on.events.some(event => event.type === 'worker' && event.change === 'distrusted' && event.peer === 'liar'))
  })

  it('begins the output again when a block is found wrong while it is merged', async () => {
    // The first block is compared, the others are not drawn.
    const random = Math.random
    Math.random = () => 0.9
    try {
      const inner = inProcessToolbox()
      const [merging, found, caught] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const toolbox: Toolbox = {
        ...inner,
        inspect: async (part, recipe, conversion) => {
          if (Buffer.from(await bytesOf(part)).subarray(0, 4).toString() === 'BAD!') throw new ConversionError('bad-input', 'cannot be read')
          return await inner.inspect(part, recipe, conversion)
        },
        output: async (path, conversion, options) => {
          const writer = await inner.output(path, conversion, options)
          let held = false
          return {
            ...writer,
            async add (parts) {
              for (const part of parts) {
                if (!('path' in part) || held) continue
                const bytes = await readFile(part.path)
                if (bytes[5] === wrong[5]) {
                  // The writer is about to read this block when it is withdrawn.
                  held = true
                  merging.resolve()
                  await found.promise
                  while (await stat(part.path).then(() => true, () => false)) await new Promise(setImmediate)
                }
              }
              await writer.add(parts)
            }
          }
        }
      }
      const data = randomBytes(300_000)
      const wrong = Buffer.from(data.subarray(100_000, 200_000))
      wrong[5] = (wrong[5] as number) ^ 1
      const liar: Work = async ({ block }, input) => {
        if (block === 0) return result(input)
        if (block === 1) return result(wrong)
        await merging.promise
        return result(Buffer.concat([Buffer.from('BAD!'), input.subarray(4)]))
      }
      const on = await start(() => ({
        async workers (offer, _edge, _request, sink) {
          sink.found(new ScriptedWorker('liar', 3, offer, sink.events('liar'), liar))
          sink.settled(2)
          // Not before the liar is caught, or it would get a copy of the block that catches it; and not so late that the job would give up for lack of a worker.
          await caught.promise
          sink.found(new ScriptedWorker('honest', 2, offer, sink.events('honest'), copy))
        }
      }), toolbox)
      on.coordinator.events.addEventListener('job', ({ detail }) => {
        if (detail.type !== 'block' || detail.change !== 'rejected') return
        caught.resolve()
        if (detail.block === 1) found.resolve()
      })
      const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote' })
      assert.equal(report.state, 'done', report.error?.message)
      assert.deepEqual(await readFile(on.path('out.copy')), data)
      assert.equal(report.blocks.rejected, 2)
      assert.deepEqual(report.workers.map(({ peer, blocks }) => [peer, blocks]), [['liar', 1], ['honest', 2]])
    } finally {
      Math.random = random
    }
  })

  it('tells its other jobs of a liar, and leaves it out of later ones', async () => {
    const random = Math.random
    Math.random = () => 0.9
    try {
      const [stored, caught] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      let jobs = 0
      const told: boolean[] = []
      const on = await start(() => ({
        async workers (offer, _edge, _request, sink) {
          const job = jobs++
          const why = sink.leftOut?.('liar')
          told.push(why != null)
          if (why != null) sink.refused('liar', 'policy', why)
          else {
            sink.found(new ScriptedWorker('liar', 1, offer, sink.events('liar'), async ({ block }, input) => {
              const spoilt = Uint8Array.from(input, byte => byte ^ 1)
              // The first job takes a right result and a wrong one of it; the second catches it at once.
              if (job === 1) return result(spoilt)
              if (block > 1) await caught.promise
              return result(block === 1 ? spoilt : input)
            }))
          }
          if (job === 0) await caught.promise
          sink.found(new ScriptedWorker('honest', 1, offer, sink.events('honest'), copy))
          sink.settled(2)
        }
      }))
      on.coordinator.events.addEventListener('job', ({ detail }) => {
        if (detail.type === 'progress' && detail.blocksDone === 2) stored.resolve()
        if (detail.type === 'worker' && detail.change === 'distrusted') caught.resolve()
      })
      const data = randomBytes(400_000)
      const inputs = [await on.file('in.bin', data)]
      const first = await on.coordinator.submit({ inputs, to: 'copy', output: on.path('first.copy'), blockBytes: 100_000, place: 'remote' })
      await stored.promise
      const second = await run(on, { inputs, place: 'remote', output: on.path('second.copy') })
      const [one, third] = [await first.done, await run(on, { inputs, place: 'remote', output: on.path('third.copy') })]
      for (const report of [one, second, third]) {
        assert.equal(report.state, 'done', report.error?.message)
        assert.deepEqual(await readFile(report.outputs[0]!.path), data)
      }
      assert.equal(one.blocks.rejected, 1, 'its accepted block was compared after all')
      assert.deepEqual(told, [false, false, true])
      assert.deepEqual(third.workers.map(({ peer }) => peer), ['honest'])
      assert.ok(on.events.some(event => event.type === 'worker' && event.job === third.job && event.change === 'refused' && event.reason?.includes('gave a wrong result') === true && event.reason.includes(second.job)))
    } finally {
      Math.random = random
    }
  })

  it('fails with check-failed when everybody lies, and writes nothing', async () => {
    const on = await start(scripted({ liar: async () => result(Buffer.from('nonsense')) }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], place: 'remote' })
    assert.deepEqual([report.state, report.error?.code], ['failed', 'check-failed'])
    assert.deepEqual(await leftOvers('in.bin'), [])
  })
})
