import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeRecord, decodeResult, type JobRecord } from '../../../daemon/coordinator/journal-entries.ts'
import { RecordWriter } from '../../../daemon/coordinator/record-writer.ts'
import { silentLog } from '../../../daemon/log.ts'
import type { DataDir } from '../../../daemon/store/index.ts'
import { afterResults, converted, CrashRig, ended, honest, type Life, type LifeOptions, type Op } from './crash-rig.ts'
import { result, type Work } from './fakes.ts'

const LARGE = 70_000
const SMALL = 300

const full = (): Error => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
const turn = async (): Promise<void> => { await new Promise(setImmediate) }

describe('coordinator/resume: where journal or disk fails', () => {
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
  const crashed = async (done: number, blockBytes: number, options: LifeOptions = {}): Promise<{ ops: Op[], job: string }> => {
    await rig.write(9, blockBytes)
    const { report: { job }, ops } = await rig.run(rig.request(blockBytes, { verify: 'none' }), options)
    return { ops: afterResults(ops, done), job }
  }
  /** Lets records of jobs that ended fail for want of room while `there()` says so. */
  const noRoom = (there: () => boolean) => async (dir: DataDir): Promise<void> => {
    const journal = dir.journal('jobs')
    const append = journal.append.bind(journal)
    journal.append = async (key, value) => {
      if (there() && String(key).startsWith('job/') && decodeRecord(value).phase === 'ended') throw full()
      await append(key, value)
    }
  }
  const record = async ({ dir }: Life): Promise<JobRecord | undefined> => {
    for await (const [, value] of dir.journal('jobs').entries('job/')) return decodeRecord(value)
    return undefined
  }
  const never: Work = () => new Promise(() => {})

  it('how a job ended is written as soon as the disk takes it, so that nobody goes on with it unasked', async () => {
    let isFull = true
    await rig.write(9, SMALL)
    const life = await begin([], { work: never, before: noRoom(() => isFull) })
    const job = await life.coordinator.submit(rig.request(SMALL))
    await job.cancel()
    assert.equal((await record(life))?.phase, 'running', 'a start would go on with it now')
    isFull = false
    let found: JobRecord | undefined
    while (found?.phase !== 'ended') {
      await turn()
      found = await record(life)
    }
    assert.equal(found.report.state, 'cancelled')
  })

  it('or, at the latest, when the daemon stops', async () => {
    let isFull = true
    await rig.write(9, SMALL)
    const life = await begin([], { work: async () => ({ ok: false, reason: 'crash', message: 'no memory' }), before: noRoom(() => isFull) })
    const job = await life.coordinator.submit(rig.request(SMALL))
    assert.equal((await job.done).state, 'failed')
    assert.ok((life.coordinator.get(job.id)?.report().resumableUntil ?? 0) > 0, 'somebody may go on with it all the same')
    isFull = false
    await life.coordinator.stop()
    const found = await record(life)
    assert.equal(found?.phase === 'ended' && found.kept != null, true)
  })

  it('what is gone on with meanwhile is not called ended afterwards', async () => {
    let isFull = true
    await rig.write(9, SMALL)
    const life = await begin([], { work: async () => isFull ? { ok: false, reason: 'crash', message: 'no memory' } : await never(undefined as never, new Uint8Array(), undefined as never), before: noRoom(() => isFull) })
    const job = await life.coordinator.submit(rig.request(SMALL))
    await job.done
    isFull = false
    await life.coordinator.resume(job.id)
    await life.coordinator.stop()
    assert.equal((await record(life))?.phase, 'running')
  })

  it('a job that cannot go on because its input is away holds no room that somebody else needs', async () => {
    const { ops, job } = await crashed(4, LARGE)
    const away = `${rig.input}.away`
    await rename(rig.input, away)
    const life = await begin(ops)
    assert.deepEqual([(await ended(life))?.state, life.coordinator.list()[0]?.error?.code], ['failed', 'input-unreadable'])
    const digests: Uint8Array[] = []
    for await (const [, value] of life.dir.journal('jobs').entries('blk/')) digests.push(decodeResult(value)!.digest)
    assert.deepEqual(digests.map(life.needs), digests.map(() => false))
    assert.equal(digests.length, 4)
    await rename(away, rig.input)
    const again = await (await life.coordinator.resume(job)).done
    assert.deepEqual([again.state, again.blocks.restored], ['done', 4])
    while (await life.dir.blocks.size() > 0) await turn()
  })

  it('a job whose results cannot be read just now can be gone on with later', async () => {
    const { ops, job } = await crashed(4, LARGE)
    await writeFile(rig.output, 'theirs')
    let broken = false
    const life = await begin(ops, { before: async dir => {
      await writeFile(rig.output, 'theirs')
      const journal = dir.journal('jobs')
      const entries = journal.entries.bind(journal)
      journal.entries = prefix => {
        if (broken && prefix.startsWith('blk/')) throw new Error('the database is being opened anew')
        return entries(prefix)
      }
    } })
    assert.equal((await ended(life))?.error?.code, 'output-exists')
    await rm(rig.output)
    broken = true
    await assert.rejects(life.coordinator.resume(job), /what job .* had done cannot be read: the database is being opened anew/)
    broken = false
    const report = await (await life.coordinator.resume(job)).done
    assert.deepEqual([report.state, report.blocks.restored, report.error], ['done', 4, undefined])
  })

  it('a block whose entry could not be written does not stay in the store', async () => {
    await rig.write(9, LARGE)
    const life = await begin([], { before: async dir => {
      const journal = dir.journal('jobs')
      const appendThen = journal.appendThen.bind(journal)
      let entries = 0
      journal.appendThen = (key, value, done) => {
        if (++entries <= 3) appendThen(key, value, done)
        else queueMicrotask(() => { done(full()) })
      }
    } })
    const { state } = await (await life.coordinator.submit(rig.request(LARGE))).done
    assert.equal(state, 'failed')
    while ((await life.dir.blocks.usage()).blocks > 3) await turn()
    assert.equal((await life.dir.blocks.usage()).blocks, 3)
  })

  it('what a peer made for an earlier run is looked at once another job catches it, though it is not there any more', async () => {
    const lying: Work = async (order, input, worker) => worker.id === 'liar' && order.block === 1 ? result(converted(order.slice, Buffer.concat([input, Buffer.from('lie')]))) : await honest(order, input, worker)
    const { ops, job } = await crashed(4, SMALL, { work: lying, workers: ['liar'] })
    const names = ['late']
    const caught = Promise.withResolvers<void>()
    const life = await begin(ops, { workers: names, work: async (order, input, worker) => {
      if (worker.id === 'late') await caught.promise
      return await lying(order, input, worker)
    } })
    const first = life.coordinator.get(job)
    while ((first?.report().blocks.restored ?? 0) < 4) await turn()
    names.splice(0, 1, 'liar')
    const other = join(rig.base, 'other')
    await mkdir(other)
    const second = await life.coordinator.submit(rig.request(SMALL, { verify: 'all', output: join(other, 'out.copy') }))
    const events = life.events
    while (!events.some(event => event.job === second.id && event.type === 'worker' && event.change === 'distrusted')) await turn()
    await second.cancel()
    caught.resolve()
    const report = await first?.done
    assert.deepEqual([report?.state, report?.blocks.rejected], ['done', 1])
    assert.deepEqual(await readFile(rig.output), Buffer.from(await rig.wanted(SMALL)))
  })
})

describe('coordinator/record-writer', () => {
  it('of a key writes the newest, and nothing that was forgotten', async () => {
    const written: string[] = []
    let isFull = true
    const writer = new RecordWriter({ journal: { append: async (key, value) => {
      if (isFull) throw full()
      written.push(`${String(key)}=${Buffer.from(value).toString()}`)
    } }, log: silentLog, retryMs: 1 })
    for (const [key, value] of [['a', '1'], ['b', '1'], ['a', '2'], ['c', '1']] as const) assert.equal(await writer.write(key, Buffer.from(value)), false)
    writer.forget('b')
    isFull = false
    while (writer.pending > 0) await turn()
    assert.deepEqual(written.toSorted(), ['a=2', 'c=1'])
    assert.equal(await writer.write('d', Buffer.from('1')), true)
    await writer.stop()
    assert.deepEqual(written.toSorted(), ['a=2', 'c=1', 'd=1'])
  })

  it('one that is written late does not stand for a newer one that is not', async () => {
    const first = Promise.withResolvers<void>()
    const written: string[] = []
    let tries = 0
    const writer = new RecordWriter({ journal: { append: async (_key, value) => {
      const nth = ++tries
      if (nth === 1) await first.promise
      if (nth === 2) throw full()
      written.push(Buffer.from(value).toString())
    } }, log: silentLog, retryMs: 3_600_000 })
    const early = writer.write('a', Buffer.from('1'))
    const late = writer.write('a', Buffer.from('2'))
    first.resolve()
    assert.deepEqual(await Promise.all([early, late]), [true, false])
    await writer.stop()
    assert.equal(written.at(-1), '2')
  })

  it('gives up when the daemon ends', async () => {
    let tries = 0
    const writer = new RecordWriter({ journal: { append: async () => {
      tries++
      throw full()
    } }, log: silentLog, retryMs: 3_600_000 })
    assert.equal(await writer.write('a', Buffer.from('1')), false)
    await writer.stop()
    assert.deepEqual([tries, writer.pending], [2, 1])
  })
})
