import assert from 'node:assert/strict'
import { appendFile, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RESUMABLE_BYTES_MAX, RESUMABLE_JOBS_MAX, RESUMABLE_MS } from '../../../daemon/coordinator/constants.ts'
import { decodeResult, encodeRecord, encodeResult, findingKey, encodeFinding, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { RecordWriter } from '../../../daemon/coordinator/record-writer.ts'
import { RestingJobs } from '../../../daemon/coordinator/resting-jobs.ts'
import type { JobErrorCode, JobReport } from '../../../daemon/coordinator/index.ts'
import type { RestingJob } from '../../../daemon/coordinator/settle-journal.ts'
import { silentLog } from '../../../daemon/log.ts'
import type { DataDir } from '../../../daemon/store/index.ts'
import { afterResults, converted, CrashRig, ended, honest, type Life, type LifeOptions, type Op } from './crash-rig.ts'
import { inProcessToolbox, result, type Work } from './fakes.ts'

const LARGE = 70_000
const SMALL = 300

describe('coordinator/resume', () => {
  let rig: CrashRig
  let lives: Life[]
  beforeEach(async () => {
    rig = await CrashRig.make()
    lives = []
  })
  afterEach(async () => {
    for (const life of lives) await life.stop()
    await rig.remove()
  })

  const begin = async (ops: Op[], options: LifeOptions = {}): Promise<Life> => {
    const life = await rig.life(ops, options)
    lives.push(life)
    await life.coordinator.start()
    return life
  }
  /** A job that lost its daemon when so many of its blocks were done. */
  const crashed = async (done: number, blockBytes: number, blocks = 9, options: LifeOptions = {}): Promise<{ ops: Op[], job: string, created: number }> => {
    await rig.write(blocks, blockBytes)
    const { report: { job, created, state }, ops } = await rig.run(rig.request(blockBytes, { verify: 'all' }), options)
    assert.equal(state, 'done')
    return { ops: afterResults(ops, done), job, created }
  }
  const files = async (): Promise<string[]> => await readdir(dirname(rig.output))
  const entries = async ({ dir }: Pick<Life, 'dir'>): Promise<string[]> => {
    const keys: string[] = []
    for await (const [key] of dir.journal('jobs').entries('blk/')) keys.push(key)
    return keys
  }
  const never: Work = () => new Promise(() => {})

  for (const [size, blockBytes] of [['large', LARGE], ['small', SMALL]] as const) {
    it(`a job goes on by itself, under its id, and what was done is not done again (${size} blocks)`, async () => {
      const { ops, job, created } = await crashed(4, blockBytes)
      const life = await begin(ops)
      assert.deepEqual(life.coordinator.list().map(({ job, resumed }) => [job, resumed]), [[job, true]])
      const report = await ended(life) as JobReport
      assert.deepEqual([report.state, report.job, report.created, report.resumed, report.error], ['done', job, created, true, undefined])
      assert.deepEqual([report.blocks.total, report.blocks.done, report.blocks.restored, report.blocks.redispatched], [9, 9, 4, 0])
      assert.equal(report.check.blocksChecked, 9, 'what was compared before still counts')
      assert.equal(report.workers.reduce((sum, { blocks }) => sum + blocks, 0), 9)
      assert.equal(life.given.length, 5)
      assert.equal(life.events.filter(event => event.type === 'block' && event.change === 'restored').length, 4)
      assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(blockBytes)))
      assert.deepEqual(await files(), ['in.bin', 'out.copy'])
      await life.stop()
      const after = await begin(life.ops)
      assert.deepEqual([after.coordinator.list()[0]?.state, await entries(after), await after.dir.blocks.size()], ['done', [], 0])
    })
  }

  it('needs nobody for a job all of whose blocks were done', async () => {
    const { ops } = await crashed(9, LARGE)
    const life = await begin(ops, { workers: [] })
    assert.equal((await ended(life))?.state, 'done')
    assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(LARGE)))
  })

  it('waits for workers that come back after the start, as for those that were lost', async () => {
    const { ops } = await crashed(2, SMALL)
    const life = await begin(ops, { workers: [], toolbox: {} })
    const news = await new Promise<string>(resolve => {
      life.coordinator.events.addEventListener('job', ({ detail }) => { if (detail.type === 'plan' && detail.message.includes('earlier run')) resolve(detail.message) })
    })
    assert.equal(news, '2 of 9 blocks were done by an earlier run of this job')
    assert.equal(life.coordinator.list()[0]?.state, 'running')
  })

  describe('what is not as it was written is converted again, and nothing else', () => {
    const first = async (dir: DataDir): Promise<[string, Uint8Array]> => {
      for await (const [key, value] of dir.journal('jobs').entries('blk/')) return [key, Uint8Array.from(value)]
      throw new Error('there is none')
    }
    const firstFile = async (dir: DataDir): Promise<string> => {
      const entry = decodeResult((await first(dir))[1])
      const stored = entry == null ? undefined : await dir.blocks.get(entry.digest)
      if (stored == null) throw new Error('it is not stored')
      return stored.path
    }
    const damages: Array<[name: string, blockBytes: number, damage: (dir: DataDir) => Promise<void>]> = [
      ['a block of which a bit was turned', LARGE, async dir => {
        const path = await firstFile(dir)
        const bytes = await readFile(path)
        bytes[1000] = bytes[1000]! ^ 4
        await writeFile(path, bytes)
      }],
      ['a block that is half written', LARGE, async dir => { await truncate(await firstFile(dir), 1000) }],
      ['a block that is missing', LARGE, async dir => { await rm(await firstFile(dir)) }],
      ['an entry of which a bit was turned', SMALL, async dir => {
        const [key, value] = await first(dir)
        value[100] = value[100]! ^ 1
        await dir.journal('jobs').append(key, value)
      }],
      ['an entry that was cut', SMALL, async dir => {
        const [key, value] = await first(dir)
        await dir.journal('jobs').append(key, value.subarray(0, value.length - 1))
      }],
      ['an entry of garbage', LARGE, async dir => { await dir.journal('jobs').append((await first(dir))[0], Uint8Array.of(7, 7, 7)) }],
      ['an entry of an earlier version', LARGE, async dir => { await dir.journal('jobs').append((await first(dir))[0], Uint8Array.of(1, 0, 0)) }],
      ['an entry whose bytes are not those of its digest', SMALL, async dir => {
        const [key, value] = await first(dir)
        const entry = decodeResult(value)!
        await dir.journal('jobs').append(key, encodeResult({ ...entry, bytes: entry.bytes!.map(byte => byte ^ 1) }))
      }],
      ['an entry of other bytes of the input', SMALL, async dir => {
        const [key, value] = await first(dir)
        await dir.journal('jobs').append(key, encodeResult({ ...decodeResult(value)!, input: new Uint8Array(32) }))
      }],
      ['an entry of another conversion', SMALL, async dir => {
        const [key, value] = await first(dir)
        await dir.journal('jobs').append(key, encodeResult({ ...decodeResult(value)!, conversion: new Uint8Array(32) }))
      }]
    ]
    for (const [name, blockBytes, damage] of damages) {
      it(name, async () => {
        const { ops } = await crashed(4, blockBytes)
        let hit = -1
        const life = await begin(ops, { before: async dir => {
          hit = Number.parseInt((await first(dir))[0].split('/')[2]!, 36)
          await damage(dir)
        } })
        const report = await ended(life)
        assert.deepEqual([report?.state, report?.blocks.restored, life.given.length, life.given.includes(hit)], ['done', 3, 6, true])
        assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(blockBytes)))
        await life.stop()
        const after = await begin(life.ops)
        assert.deepEqual([await entries(after), await after.dir.blocks.size()], [[], 0])
      })
    }

    it('an entry for a block that the input does not have', async () => {
      const { ops } = await crashed(4, SMALL)
      const life = await begin(ops, { before: async dir => {
        const [key, value] = await first(dir)
        await dir.journal('jobs').append(resultKey(key.split('/')[1]!, 500), value)
      } })
      assert.deepEqual([(await ended(life))?.blocks.restored, life.given.length], [4, 5])
      assert.ok(life.events.some(event => event.type === 'plan' && event.message.endsWith('; 1 of its results could not be used')))
    })
  })

  it('begins from the input where the conversion is another one now', async () => {
    const { ops } = await crashed(4, SMALL)
    const inner = inProcessToolbox()
    const life = await begin(ops, { toolbox: { prepare: async (...args) => {
      const prepared = await inner.prepare(...args)
      return { ...prepared, conversion: { ...prepared.conversion, parameters: { ...prepared.conversion.parameters, another: 1 } } }
    } } })
    assert.deepEqual([(await ended(life))?.state, life.given.length], ['done', 9])
  })

  it('does again what was done under an older schema than the input then shows', async () => {
    await rig.write(3, SMALL)
    const widenAt = [2]
    const two = Promise.withResolvers<void>()
    const first = await begin([], { widenAt, beforeWiden: async () => { await two.promise } })
    first.coordinator.events.addEventListener('job', ({ detail }) => { if (detail.type === 'progress' && detail.blocksDone === 2) two.resolve() })
    await (await first.coordinator.submit(rig.request(SMALL))).done
    const left = afterResults(first.ops, 2)
    assert.ok(left.every(op => op.type !== 'put' || !op.key.startsWith('blk/') || decodeResult(op.value)?.epoch === 0))
    const life = await begin(left, { widenAt })
    const report = await ended(life)
    assert.deepEqual([report?.state, report?.epochs, report?.blocks.restored, report?.blocks.redone], ['done', 1, 2, 2])
    assert.deepEqual(life.given.toSorted(), [0, 1, 2])
    assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(SMALL, widenAt)))
  })

  it('takes nothing unlooked at from a peer that was caught before the restart, nor from others of its operator', async () => {
    await rig.write(8, SMALL)
    const { report: { job }, ops } = await rig.run(rig.request(SMALL, { verify: 'none' }))
    const left = afterResults(ops, 8)
    const made = new Map(left.flatMap(op => op.type === 'put' && op.key.startsWith('blk/') ? [[Number.parseInt(op.key.split('/')[2]!, 36), decodeResult(op.value)!.worker]] : []))
    for (const others of [[], ['b']]) {
      const life = await begin(left, { workers: ['c'], before: async dir => { await dir.journal('jobs').append(findingKey('a'), encodeFinding({ peer: 'a', others, job, reason: 'it lied', at: 1 })) } })
      const report = await ended(life)
      const redone = [...made].filter(([, worker]) => worker === 'a' || others.includes(worker)).map(([block]) => block)
      assert.ok(redone.length > 0)
      assert.deepEqual([report?.state, life.given.toSorted((a, b) => a - b)], ['done', redone.toSorted((a, b) => a - b)])
      await life.stop()
      const after = await begin(life.ops)
      for await (const [key] of after.dir.journal('jobs').entries('bad/')) assert.fail(`${key}: there is no job left that it matters to`)
    }
  })

  it('records who was caught, for a start that goes on', async () => {
    const lying: Work = async (order, input, worker) => worker.id === 'b' ? result(converted(order.slice, Buffer.concat([input, Buffer.from('lie')]))) : await honest(order, input, worker)
    await rig.write(8, SMALL)
    const { ops } = await rig.run(rig.request(SMALL, { verify: 'all' }), { work: lying })
    assert.ok(ops.some(op => op.type === 'put' && op.key === findingKey('b')))
  })

  describe('ends with one line', () => {
    const failsWith = async (ops: Op[], code: JobErrorCode, words: RegExp, options: LifeOptions = {}): Promise<Life> => {
      const life = await begin(ops, options)
      const report = await ended(life)
      assert.deepEqual([report?.state, report?.error?.code], ['failed', code])
      assert.match(report?.error?.message ?? '', words)
      assert.ok(report?.error?.message.includes('\n') === false)
      assert.deepEqual(life.given, [])
      return life
    }

    it('where an input was changed meanwhile', async () => {
      const { ops } = await crashed(4, LARGE)
      await appendFile(rig.input, 'more')
      const life = await failsWith(ops, 'input-changed', /in\.bin' changed/)
      assert.deepEqual(await files(), ['in.bin'])
      await life.stop()
      const after = await begin(life.ops)
      assert.deepEqual([await entries(after), await after.dir.blocks.size()], [[], 0], 'what was done is of no use any more')
      await assert.rejects(after.coordinator.resume(after.coordinator.list()[0]!.job), { name: 'JobRefusedError' })
    })

    it('where an input was touched', async () => {
      const { ops } = await crashed(4, SMALL)
      await utimes(rig.input, 1, 1)
      await failsWith(ops, 'input-changed', /in\.bin' changed/)
    })

    it('where an input is gone; when it is back as it was, somebody may go on', async () => {
      const { ops, job } = await crashed(4, SMALL)
      const away = `${rig.input}.away`
      const life = await failsWith(ops, 'input-unreadable', /in\.bin/, { before: async () => { await rename(rig.input, away) } })
      assert.ok((life.coordinator.list()[0]?.resumableUntil ?? 0) > Date.now())
      await rename(away, rig.input)
      const report = await (await life.coordinator.resume(job)).done
      assert.deepEqual([report.state, report.blocks.restored], ['done', 4])
    })

    it('where a file has the output\'s name by now, which it leaves alone; once that is away it goes on', async () => {
      const { ops, job } = await crashed(4, LARGE)
      const life = await failsWith(ops, 'output-exists', /out\.copy' exists/, { before: async () => { await writeFile(rig.output, 'theirs') } })
      assert.equal(await readFile(rig.output, 'utf8'), 'theirs')
      await rm(rig.output)
      const report = await (await life.coordinator.resume(job)).done
      assert.deepEqual([report.state, report.resumed, report.blocks.restored, report.resumableUntil], ['done', true, 4, undefined])
      assert.equal(life.given.length, 5)
      assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(LARGE)))
    })

    it('where its deadline passed meanwhile', async () => {
      await rig.write(6, SMALL)
      const { report, ops } = await rig.run(rig.request(SMALL, { deadlineSeconds: 60 }))
      const clock = { monotonic: () => performance.now(), utc: () => report.created + 61_000 }
      await failsWith(afterResults(ops, 3), 'deadline', /deadline passed/, { clock })
    })
  })

  describe('when the daemon stops', () => {
    it('a running job stops where it stands, and goes on at the next start', async () => {
      await rig.write(9, LARGE)
      let answered = 0
      const life = await begin([], { work: async (...args) => answered++ < 4 ? await honest(...args) : await never(...args) })
      const four = new Promise<void>(resolve => { life.coordinator.events.addEventListener('job', ({ detail }) => { if (detail.type === 'progress' && detail.blocksDone === 4) resolve() }) })
      const job = await life.coordinator.submit(rig.request(LARGE))
      await four
      await life.stop()
      const { state, error } = await job.done
      assert.deepEqual([state, error?.code], ['failed', 'interrupted'])
      assert.match(error?.message ?? '', /goes on when the daemon starts again/)
      assert.deepEqual(await files(), ['in.bin'], 'no partial output stays')
      const next = await begin(life.ops)
      const report = await ended(next)
      assert.deepEqual([report?.job, report?.state, report?.blocks.restored, next.given.length], [job.id, 'done', 4, 5])
      assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(LARGE)))
    })

    it('so does one that is being prepared', async () => {
      await rig.write(3, SMALL)
      const life = await begin([], { toolbox: { prepare: () => new Promise<never>(() => {}) } })
      const job = await life.coordinator.submit(rig.request(SMALL))
      await life.stop()
      assert.equal((await job.done).error?.code, 'interrupted')
      assert.equal((await ended(await begin(life.ops)))?.state, 'done')
    })

    it('one that was just cancelled stays cancelled', async () => {
      await rig.write(3, SMALL)
      const life = await begin([], { work: never })
      const job = await life.coordinator.submit(rig.request(SMALL))
      await Promise.all([job.cancel('enough'), life.stop()])
      const next = await begin(life.ops)
      assert.deepEqual(next.coordinator.list().map(({ state }) => state), ['cancelled'])
      await assert.rejects(next.coordinator.resume(job.id), /is cancelled/)
    })

    it('whoever was told of a job can rely on it, however soon the power goes', async () => {
      await rig.write(3, SMALL)
      const life = await begin([], { work: never })
      const job = await life.coordinator.submit(rig.request(SMALL))
      const atOnce = [...life.ops]
      assert.equal((await ended(await begin(atOnce)))?.job, job.id)
    })
  })

  describe('a job of one command', () => {
    it('is nobody\'s to go on with unasked; asked, a daemon does', async () => {
      await rig.write(9, SMALL)
      const { ops, report: { job } } = await rig.run(rig.request(SMALL), { init: { embedded: true } })
      const life = await begin(afterResults(ops, 4))
      const [before] = life.coordinator.list()
      assert.deepEqual([before?.job, before?.state, before?.error?.code], [job, 'failed', 'interrupted'])
      const report = await (await life.coordinator.resume(job)).done
      assert.deepEqual([report.state, report.blocks.restored], ['done', 4])
    })

    it('does not go on with those of a daemon, nor takes anything from them', async () => {
      const { ops } = await crashed(4, LARGE)
      const command = await begin(ops, { init: { embedded: true } })
      assert.deepEqual(command.coordinator.list(), [])
      await command.stop()
      const life = await begin(command.ops)
      assert.deepEqual([(await ended(life))?.state, life.given.length], ['done', 5])
    })
  })

  describe('asked to go on', () => {
    /** A job that failed, for want of memory say, at its last block when all others were done; the blocks that were. */
    const failed = async (): Promise<{ life: Life, job: string, mend: () => void }> => {
      await rig.write(9, LARGE)
      let mended = false
      const others = Promise.withResolvers<void>()
      const life = await begin([], { work: async (order, input, worker) => {
        if (order.block < 8 || mended) return await honest(order, input, worker)
        await others.promise
        return { ok: false, reason: 'crash', message: 'no memory' }
      } })
      life.coordinator.events.addEventListener('job', ({ detail }) => { if (detail.type === 'progress' && detail.blocksDone === 8) others.resolve() })
      const job = await life.coordinator.submit(rig.request(LARGE))
      const { state, error } = await job.done
      assert.deepEqual([state, error?.code], ['failed', 'failed'])
      life.given.length = 0
      return { life, job: job.id, mend: () => { mended = true } }
    }

    it('says of a running job that it runs, and of others why it cannot', async () => {
      await rig.write(3, SMALL)
      const life = await begin([], { work: never })
      const job = await life.coordinator.submit(rig.request(SMALL))
      assert.equal(await life.coordinator.resume(job.id), job)
      await job.cancel()
      await assert.rejects(life.coordinator.resume(job.id), /is cancelled: there is nothing to go on with/)
      await assert.rejects(life.coordinator.resume('unknown'), /no job unknown/)
      const done = await begin((await rig.run(rig.request(SMALL))).ops)
      await assert.rejects(done.coordinator.resume(done.coordinator.list()[0]!.job), /is done/)
    })

    it('twice at once is once', async () => {
      const { ops, job } = await crashed(4, SMALL)
      const life = await begin(ops, { before: async () => { await writeFile(rig.output, 'theirs') } })
      await ended(life)
      await rm(rig.output)
      const [one, two] = await Promise.all([life.coordinator.resume(job), life.coordinator.resume(job)])
      assert.equal(one, two)
      assert.equal((await one.done).state, 'done')
    })

    it('of a job whose output another one is writing says so, and keeps it', async () => {
      const { ops, job } = await crashed(4, SMALL)
      const life = await begin(ops, { work: never, before: async () => { await writeFile(rig.output, 'theirs') } })
      await ended(life)
      const other = await life.coordinator.submit(rig.request(SMALL, { overwrite: true }))
      await assert.rejects(life.coordinator.resume(job), /another job is writing/)
      await other.cancel()
      assert.ok(life.coordinator.list().find(report => report.job === job)?.resumableUntil != null)
    })

    it('of a job that failed: goes on with what was done', async () => {
      const { life, job, mend } = await failed()
      assert.ok((life.coordinator.get(job)?.report().resumableUntil ?? 0) > Date.now())
      mend()
      const report = await (await life.coordinator.resume(job)).done
      assert.deepEqual([report.state, report.blocks.restored, life.given], ['done', 8, [8]])
      assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(LARGE)))
      await life.stop()
      const next = await begin(life.ops)
      assert.deepEqual([await entries(next), await next.dir.blocks.size()], [[], 0])
    })

    it('the store may do without what is kept, and not without what is gone on with', async () => {
      const { life, job } = await failed()
      const digests: Uint8Array[] = []
      for await (const [, value] of life.dir.journal('jobs').entries('blk/')) digests.push(decodeResult(value)!.digest)
      assert.deepEqual([...new Set(digests.map(life.needs))], [false])
      // Collected where room was wanted.
      await life.dir.blocks.delete(digests[0]!)
      await life.stop()
      const next = await begin(life.ops, { work: never, before: async dir => { await dir.blocks.delete(digests[0]!) } })
      assert.deepEqual([...new Set(digests.map(next.needs))], [false])
      const running = await next.coordinator.resume(job)
      assert.deepEqual([...new Set(digests.map(next.needs))], [true])
      while (running.report().blocks.restored < 7) await new Promise(setImmediate)
      while (next.given.length < 2) await new Promise(setImmediate)
      assert.equal(running.report().blocks.restored, 7)
      await running.cancel()
    })

    it('the same after a restart, which does not go on with it unasked', async () => {
      const { life, job } = await failed()
      await life.stop()
      const next = await begin(life.ops)
      assert.deepEqual([next.coordinator.get(job)?.report().state, next.given], ['failed', []])
      assert.deepEqual([(await (await next.coordinator.resume(job)).done).state, next.given], ['done', [8]])
    })

    it('again and again, while it fails', async () => {
      const { life, job, mend } = await failed()
      for (let i = 0; i < 2; i++) {
        const { state, blocks } = await (await life.coordinator.resume(job)).done
        assert.deepEqual([state, blocks.restored], ['failed', 8])
      }
      mend()
      assert.equal((await (await life.coordinator.resume(job)).done).state, 'done')
      assert.deepEqual([...new Set(life.given)], [8])
    })

    it('not after somebody cancelled what had failed: that lets go of what was done', async () => {
      const { life, job } = await failed()
      await life.coordinator.get(job)?.cancel()
      await assert.rejects(life.coordinator.resume(job), /not kept any more.*run the conversion again/)
      await life.stop()
      const next = await begin(life.ops)
      assert.deepEqual([await entries(next), await next.dir.blocks.size()], [[], 0])
    })
  })

  describe('what jobs that failed had done is kept', () => {
    const resting = (i: number, bytes: number, until: number): RestingJob => ({
      job: `j${i}`, key: `k${i}`, recordKey: recordKey(i, `k${i}`), report: { job: `j${i}`, outputs: [], epochs: 0, notes: [], blocks: {} } as unknown as JobReport, continuation: { spec: new Uint8Array(), priceUnit: 'credit' }, until, bytes
    })
    const shelf = async (): Promise<{ jobs: RestingJobs, removed: () => Promise<string[]>, clock: { now: number } }> => {
      const life = await begin([])
      const journal = life.dir.journal('jobs')
      const clock = { now: 0 }
      for (let i = 0; i < 20; i++) {
        const { job, key, recordKey: record, report } = resting(i, 0, 0)
        await journal.append(record, encodeRecord({ phase: 'ended', job, key, report }))
        await journal.append(resultKey(key, 0), Uint8Array.of(0))
      }
      const jobs = new RestingJobs({ journal, records: new RecordWriter({ journal, log: silentLog }), refs: new BlockRefs(life.dir.blocks, () => 0, error => { throw error }), clock: { monotonic: () => 0, utc: () => clock.now }, log: silentLog })
      return { jobs, clock, removed: async () => {
        await jobs.stop()
        const left = await entries(life)
        return Array.from({ length: 20 }, (_, i) => `k${i}`).filter(key => !left.some(entry => entry.includes(`/${key}/`)))
      } }
    }

    it('of so many jobs', async () => {
      const { jobs, removed } = await shelf()
      for (let i = 0; i < RESUMABLE_JOBS_MAX + 2; i++) jobs.add(resting(i, 1, 1000))
      assert.deepEqual(await removed(), ['k0', 'k1'])
      assert.deepEqual([jobs.get('j1'), jobs.get('j2')?.job], [undefined, 'j2'])
    })

    it('of so many bytes', async () => {
      const { jobs, removed } = await shelf()
      for (const [i, bytes] of [RESUMABLE_BYTES_MAX, 1, 1].entries()) jobs.add(resting(i, bytes, 1000))
      assert.deepEqual(await removed(), ['k0'])
    })

    it('for so long', async () => {
      const { jobs, clock, removed } = await shelf()
      jobs.add(resting(0, 1, 1000))
      clock.now = 1000
      jobs.trim()
      assert.deepEqual(await removed(), ['k0'])
      assert.ok(RESUMABLE_MS >= 3_600_000)
    })

    it('until somebody goes on with one: that is theirs', async () => {
      const { jobs, clock, removed } = await shelf()
      jobs.add(resting(0, 1, 1000))
      assert.equal(jobs.take('j0')?.job, 'j0')
      clock.now = 1000
      jobs.trim()
      assert.deepEqual(await removed(), [])
    })
  })
})
