import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { readdir, readFile, truncate } from 'node:fs/promises'
import { rawCid } from '../../../daemon/coordinator/spec.ts'
import { offerDigest } from '../../../daemon/task-protocol/receipts.ts'
import type { Job } from '../../../daemon/coordinator/index.ts'
import type { Offer } from '../../../daemon/task-protocol/index.ts'
import { inProcessToolbox, result, ScriptedWorker, type Work } from './fakes.ts'
import { coordinatorSuite, copy, entries, scripted } from './coordinator-suite.ts'

describe('coordinator/coordinator', () => {
  const suite = coordinatorSuite()
  const { start, run, leftOvers } = suite

  it('converts locally: many tiny blocks, results in the journal', async () => {
    const on = await start()
    const data = randomBytes(20_000)
    const input = await on.file('in.bin', data)
    const report = await run(on, { inputs: [input], to: 'noop', output: on.path('out.noop'), blockBytes: 200 })
    assert.equal(report.state, 'done', report.error?.message)
    const wanted = Buffer.concat(Array.from({ length: 100 }, (_, i) => hash('sha256', data.subarray(i * 200, (i + 1) * 200), 'buffer')))
    assert.deepEqual(await readFile(on.path('out.noop')), wanted)
    assert.equal(report.blocks.total, 100)
    assert.equal(report.blocks.local, 100)
    assert.ok(report.check.blocksChecked >= 1)
    assert.equal(report.check.blocksChecked + report.check.blocksUnmeasured, 100)
    assert.equal(report.check.whole, true)
    assert.match(report.outputs[0]!.cid, /^bafkrei/)
    assert.match(report.inputs[0]!.cid ?? '', /^bafkrei/)
    assert.ok(report.timing.roundTripMsP50 > 0)
  })

  it('converts locally through files and the block store, and leaves nothing in it', async () => {
    const on = await start()
    const data = randomBytes(950_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)] })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    assert.equal(report.blocks.total, 10)
    await on.coordinator.stop()
    assert.equal(await on.dir.blocks.size(), 0)
    assert.deepEqual(await entries(on), [])
    assert.deepEqual(await leftOvers('in.bin'), ['out.copy'])
  })

  it('keeps blocks of equal content apart: they share a file in the store', async () => {
    const on = await start()
    const data = Buffer.alloc(1_000_000, 7)
    const report = await run(on, { inputs: [await on.file('in.bin', data)] })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    await on.coordinator.stop()
    assert.equal(await on.dir.blocks.size(), 0)
  })

  it('tells what happens in order', async () => {
    const on = await start()
    await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))] })
    const states = on.events.flatMap(event => event.type === 'state' ? [event.state] : [])
    assert.deepEqual(states, ['preparing', 'running', 'merging', 'done'])
    assert.ok(on.events.some(event => event.type === 'plan'))
    const progress = on.events.filter(event => event.type === 'progress').at(-1)
    assert.deepEqual([progress?.blocksDone, progress?.blocksTotal, progress?.bytesDone], [3, 3, 300_000])
  })

  it('uses peers, and stores their large results', async () => {
    const on = await start(scripted({ a: copy, b: copy }))
    const data = randomBytes(900_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    assert.equal(report.blocks.remote, 9)
    assert.ok(report.workers.every(({ blocks }) => blocks > 0))
  })

  it('offers what the wire can say, however large the blocks and odd the deadline', async () => {
    const offers: Offer[] = []
    const on = await start(() => ({
      async workers (offer, _edge, _request, sink) {
        offers.push(offer)
        sink.found(new ScriptedWorker('a', 1, offer, sink.events('a'), copy))
        sink.settled(1)
      }
    }))
    await run(on, { inputs: [await on.file('in.bin', 'x')], place: 'remote', blockBytes: 2 ** 31, deadlineSeconds: 1000.00051 })
    const [made] = offers
    assert.ok(made != null)
    offerDigest({ ...made, offer: 1, parameters: new Uint8Array(1) })
    assert.ok(Number.isSafeInteger(made.deadline))
  })

  it('a fault of the job machine ends the job, not the daemon', async () => {
    const random = Math.random
    const on = await start(scripted({ a: copy }))
    Math.random = () => { throw new Error('the dice are gone') }
    try {
      const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], place: 'remote' })
      assert.deepEqual([report.state, report.error?.message], ['failed', 'the job machine failed: the dice are gone'])
      assert.deepEqual(await leftOvers('in.bin'), [])
    } finally {
      Math.random = random
    }
  })

  describe('digests of inputs', () => {
    it('are in the report whatever the size', async () => {
      const on = await start()
      const input = await on.file('in.bin', '')
      await truncate(input, 65 * 1024 * 1024)
      const report = await run(on, { inputs: [input], to: 'noop', output: on.path('out.noop'), blockBytes: 16 * 1024 * 1024 })
      assert.equal(report.state, 'done', report.error?.message)
      assert.equal(report.inputs[0]?.cid, rawCid(hash('sha256', Buffer.alloc(65 * 1024 * 1024), 'buffer')))
    })

    it('are waited for by the report, but neither by the conversion nor by a stop', async () => {
      const hashing = Promise.withResolvers<{ digest: Uint8Array, size: number }>()
      const toolbox = { ...inProcessToolbox(), hash: (path: string) => path.endsWith('in.bin') ? hashing.promise : inProcessToolbox().hash(path) }
      const on = await start(undefined, toolbox)
      const inputs = [await on.file('in.bin', 'abc')]
      const written = async (name: string): Promise<Job> => {
        const job = await on.coordinator.submit({ inputs, to: 'noop', output: on.path(name) })
        while (!(await readdir(suite.root)).includes(name)) await new Promise(setImmediate)
        return job
      }
      const job = await written('out.noop')
      assert.notEqual(job.report().state, 'done')
      await job.cancel()
      assert.deepEqual([job.report().state, job.report().inputs[0]?.cid], ['done', undefined])
      const other = await written('other.noop')
      hashing.resolve({ digest: hash('sha256', 'abc', 'buffer'), size: 3 })
      assert.equal((await other.done).inputs[0]?.cid, rawCid(hash('sha256', 'abc', 'buffer')))
    })
  })

  it('moves the blocks of a worker that is lost', async () => {
    const dying: Work = async (_order, _input, worker) => {
      worker.closed = true
      worker.events.lost('connection closed')
      return {}
    }
    const on = await start(scripted({ dying, other: copy }))
    const data = randomBytes(900_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
    assert.ok(report.blocks.redispatched >= 1)
    assert.equal(report.workers.find(({ peer }) => peer === 'dying')?.lost, 'connection closed')
  })

  it('takes outcomes of a peer only for what it was given', async () => {
    const forger: Work = async (order, input, worker) => {
      worker.events.outcomes([{ block: order.block + 1, attempt: 1, ...result(Buffer.from('forged')) } as never, { block: 99_999, attempt: 1, ok: false, reason: 'conversion', code: 'bad-input', message: 'no' }])
      return result(input)
    }
    const on = await start(scripted({ forger, other: copy }, 1))
    const data = randomBytes(900_000)
    const report = await run(on, { inputs: [await on.file('in.bin', data)], place: 'remote', verify: 'none' })
    assert.equal(report.state, 'done', report.error?.message)
    assert.deepEqual(await readFile(on.path('out.copy')), data)
  })

  it('names who was left out when nobody can do it', async () => {
    const on = await start(() => ({
      async workers (_offer, _edge, _request, sink) {
        sink.refused('12D3peer', 'policy', 'only for friends')
        sink.settled(0)
      }
    }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], place: 'remote' })
    assert.equal(report.error?.code, 'no-provider')
    assert.match(report.error.message, /12D3peer: policy: only for friends/)
    assert.deepEqual(await leftOvers('in.bin'), [])
  })

  it('names first those who were asked for', async () => {
    const on = await start(() => ({
      async workers (_offer, _edge, _request, sink) {
        for (let i = 0; i < 30; i++) sink.refused(`other${i}`, 'policy', 'not among the peers asked for')
        sink.refused('asked', 'policy', 'it lied')
        sink.settled(0)
      }
    }))
    const { error } = await run(on, { inputs: [await on.file('in.bin', 'x')], place: 'remote', nodes: ['asked'] })
    assert.match(error?.message ?? '', /left out: asked: policy: it lied; other/)
    assert.equal((error?.details?.refused as unknown[] | undefined)?.length, 20)
  })

  it('looks everywhere when cheap work was to stay here but nobody is here', async () => {
    const places: Array<string | undefined> = []
    const on = await start(() => ({
      async workers (offer, _edge, { place }, sink) {
        places.push(place)
        if (place === 'local') {
          sink.settled(0)
          return
        }
        sink.found(new ScriptedWorker('peer', 2, offer, sink.events('peer'), copy))
        sink.settled(1)
      }
    }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(1000))] })
    assert.equal(report.state, 'done')
    assert.deepEqual(places, ['local', 'any'])
  })
})
