import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { JOBS_MAX } from '../../../daemon/coordinator/constants.ts'
import { rawCid } from '../../../daemon/coordinator/spec.ts'
import { offerDigest } from '../../../daemon/task-protocol/receipts.ts'
import { JobRefusedError, type Job, type JobErrorCode, type JobReport, type JobRequest, type WorkerSource } from '../../../daemon/coordinator/index.ts'
import { ConversionError, type Toolbox } from '../../../daemon/block-convert/index.ts'
import type { Offer, Worker, WorkerEvents } from '../../../daemon/task-protocol/index.ts'
import { bench, bytesOf, inProcessToolbox, result, ScriptedWorker, type Bench, type Work } from './fakes.ts'

type MakeLocal = (offer: Offer, events: WorkerEvents) => Worker

/** Workers by name; each answers as its script says. */
function scripted (scripts: Record<string, Work>, slots = 2, workers: ScriptedWorker[] = []): () => WorkerSource {
  return () => ({
    async workers (offer, _edge, _request, sink) {
      for (const [id, work] of Object.entries(scripts)) {
        const worker = new ScriptedWorker(id, slots, offer, sink.events(id), work)
        workers.push(worker)
        sink.found(worker)
      }
      sink.settled(Object.keys(scripts).length)
    }
  })
}

const copy: Work = async (_order, input) => result(input)
const never: Work = () => new Promise(() => {})

/** Keys of results in the journal. */
async function entries (on: Bench): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of on.dir.journal('jobs').entries('blk/')) keys.push(key)
  return keys
}

describe('coordinator/coordinator', () => {
  let root: string
  let open: Bench[] = []

  const start = async (makeSource?: (local: MakeLocal) => WorkerSource, toolbox?: Toolbox): Promise<Bench> => {
    const made = await bench(root, makeSource, toolbox)
    open.push(made)
    return made
  }

  const run = async (on: Bench, request: Partial<JobRequest> & { inputs: string[] }): Promise<JobReport> =>
    await (await on.coordinator.submit({ to: 'copy', output: on.path('out.copy'), blockBytes: 100_000, ...request })).done

  /** Nothing but what the user put there. */
  const leftOvers = async (...known: string[]): Promise<string[]> => (await readdir(root)).filter(name => name !== 'data' && !known.includes(name)).sort()

  beforeEach(async () => { root = await mkdtemp(join(tmpdir(), 'weft-coordinator-')) })

  afterEach(async () => {
    for (const made of open) await made.close()
    open = []
    await rm(root, { recursive: true, force: true })
  })

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
      const [merging, found, ordered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
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
        ordered.resolve()
        await merging.promise
        return result(Buffer.concat([Buffer.from('BAD!'), input.subarray(4)]))
      }
      const on = await start(() => ({
        async workers (offer, _edge, _request, sink) {
          sink.found(new ScriptedWorker('liar', 3, offer, sink.events('liar'), liar))
          sink.settled(2)
          // Not before the liar has all blocks; and not so late that the job would give up for lack of a worker.
          await ordered.promise
          sink.found(new ScriptedWorker('honest', 2, offer, sink.events('honest'), copy))
        }
      }), toolbox)
      on.coordinator.events.addEventListener('job', ({ detail }) => {
        if (detail.type === 'block' && detail.change === 'rejected' && detail.block === 1) found.resolve()
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
        while (!(await readdir(root)).includes(name)) await new Promise(setImmediate)
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

  it('fails with check-failed when everybody lies, and writes nothing', async () => {
    const on = await start(scripted({ liar: async () => result(Buffer.from('nonsense')) }))
    const report = await run(on, { inputs: [await on.file('in.bin', randomBytes(300_000))], place: 'remote' })
    assert.deepEqual([report.state, report.error?.code], ['failed', 'check-failed'])
    assert.deepEqual(await leftOvers('in.bin'), [])
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
      await refused(on, { inputs: [input], to: 'nonsense' }, 'unknown-type', /nonsense/)
      await refused(on, { inputs: [input], to: 'bin' }, 'no-provider', /nothing converts/)
      await refused(on, { inputs: [on.path('missing.bin')] }, 'input-unreadable', /missing\.bin/)
      await refused(on, { inputs: [input], output: on.path('there.copy') }, 'output-exists', /overwrite/)
      await refused(on, { inputs: [input], output: on.path('folder') }, 'output-unwritable', /folder/)
      await refused(on, { inputs: [input], output: on.path('nowhere/out.copy') }, 'output-unwritable', /does not exist/)
      await refused(on, { inputs: [input], output: input, overwrite: true }, 'usage', /never overwritten/)
      await symlink(root, on.path('link'))
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
      await symlink(root, on.path('link'))
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
        const on = await bench(join(root, `cancel${ticks}`), scripted({ a: never }), {
          ...inner,
          output: (...args) => {
            const opened = inner.output(...args)
            const tick = (left: number): void => { if (left === 0) void job?.cancel('user'); else queueMicrotask(() => { tick(left - 1) }) }
            opened.then(() => { tick(ticks) }, () => {})
            return opened
          }
        })
        open.push(on)
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
      const slow = await bench(join(root, 'data', 'scratch'), undefined, { ...inProcessToolbox(), prepare: () => new Promise<never>(() => {}) })
      open.push(slow)
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

  it('after a crash says interrupted, and removes what was left', async () => {
    let answered = 0
    const on = await start(scripted({ a: async (_order, input) => answered++ < 4 ? result(input) : await new Promise<never>(() => {}) }))
    const recorded = Promise.withResolvers<void>()
    on.coordinator.events.addEventListener('job', ({ detail }) => {
      if (detail.type === 'progress' && detail.blocksDone === 4) recorded.resolve()
    })
    const job = await on.coordinator.submit({ inputs: [await on.file('in.bin', randomBytes(900_000))], to: 'copy', output: on.path('out.copy'), blockBytes: 100_000, place: 'remote' })
    await recorded.promise
    assert.equal((await entries(on)).length, 4)
    assert.ok(await on.dir.blocks.size() > 0)
    assert.deepEqual(await leftOvers('in.bin'), ['.out.copy.partial'])
    // The first coordinator is left standing as it is, like one that was killed.
    const next = on.again()
    await next.start()
    assert.deepEqual(await leftOvers('in.bin'), [])
    const [report] = next.list()
    assert.deepEqual([report?.job, report?.state, report?.error?.code], [job.id, 'failed', 'interrupted'])
    assert.deepEqual(await entries(on), [])
    assert.equal(await on.dir.blocks.size(), 0)
    assert.equal((await next.get(job.id)?.done)?.error?.code, 'interrupted')
    // And once more: ended is ended.
    const third = on.again()
    await third.start()
    assert.deepEqual(third.list(), next.list())
    await job.cancel()
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
