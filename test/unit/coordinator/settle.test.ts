import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { STARTS_MAX } from '../../../daemon/coordinator/constants.ts'
import { encodeRecord, encodeResult, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { buildReport } from '../../../daemon/coordinator/report.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import { settleJournal, type SettleComponents, type Settled } from '../../../daemon/coordinator/settle-journal.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openDataDir, type DataDir, type Journal } from '../../../daemon/store/index.ts'
import { encodeCanonical } from '../../../daemon/trust/index.ts'
import { resultEntry } from '../../fixtures/result-entry.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'

const digestOf = (data: string): Uint8Array => hash('sha256', data, 'buffer')

describe('coordinator/settle-journal', () => {
  let root: string
  let dir: DataDir
  let journal: Journal
  let output: string
  let removed: string[]
  let refs: BlockRefs
  let now = 0

  const report = (): JobReport => buildReport({
    job: 'j', state: 'merging', created: 1, now: 2, inputs: [], inputDigests: [], output: { path: output, mediaType: 'x' }, written: { size: 6, digest: digestOf('output') }, bound: 0, priceUnit: 'credit', notes: [],
    timing: { prepareMs: 0, convertMs: 0, mergeMs: 0, checkMs: 0, runMs: 0 }
  })

  const components = (): SettleComponents => ({
    journal, refs, removePartials: async path => removed.push(path), clock: { monotonic: () => 0, utc: () => now }, log: silentLog
  })
  const settle = async (options: { embedded?: boolean } = {}): Promise<Settled> => await settleJournal(components(), options)
  const keys = async (prefix = 'blk/'): Promise<string[]> => {
    const found: string[] = []
    for await (const [key] of journal.entries(prefix)) found.push(key)
    return found
  }

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-settle-'))
    dir = await openDataDir(join(root, 'data'))
    journal = dir.journal('jobs')
    refs = new BlockRefs(dir.blocks, () => 0, error => { throw error })
    output = join(root, 'out')
    removed = []
    now = 1000
  })

  afterEach(async () => {
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  const spec = Uint8Array.of(1, 2, 3)
  const continuation = { blockBytes: 77, priceUnit: 'credit' }
  const running = async (changes: object = {}): Promise<void> => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'running', job: 'j', key: 'k', spec, continuation, output, report: report(), ...changes }))
  }
  const renaming = async (changes: object = {}): Promise<void> => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'renaming', job: 'j', key: 'k', spec, continuation, output, digest: digestOf('output'), report: report(), ...changes }))
  }
  const ended = async (until?: number): Promise<void> => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'ended', job: 'j', key: 'k', report: report(), ...(until == null ? {} : { kept: { spec, ...continuation, until } }) }))
  }
  /** A stored and an inline result; gives the digest of the stored one. */
  const results = async (key = 'k'): Promise<Uint8Array> => {
    const sink = await dir.blocks.sink()
    await sink.write(Buffer.from('large'))
    const { digest, size } = await sink.finish()
    await journal.append(resultKey(key, 0), encodeResult(resultEntry({ size, digest })))
    await journal.append(resultKey(key, 1), encodeResult(resultEntry({ size: 5, digest: digestOf('small'), bytes: Buffer.from('small') })))
    return digest
  }

  it('goes on with a job that ran, from the results it had', async () => {
    await running()
    const digest = await results()
    const { unfinished, ended, resting } = await settle()
    assert.deepEqual(unfinished, [{ job: 'j', continuation: { spec, ...continuation }, starts: 1, results: 2 }])
    assert.deepEqual([ended, resting], [[], []])
    assert.ok(refs.needed(digest))
    assert.deepEqual([removed, (await keys()).length], [[output], 2], 'what was written of the output is of no use')
  })

  it('goes on with a job that stopped between announcing the rename and the rename', async () => {
    await renaming()
    assert.equal((await settle()).unfinished.length, 1)
    assert.deepEqual(removed, [output])
  })

  it('a job that stopped just after the rename is done', async () => {
    await renaming()
    const digest = await results()
    await writeFile(output, 'output')
    const first = await settle()
    assert.deepEqual([first.ended[0]?.report.state, first.ended[0]?.report.error, first.ended[0]?.report.outputs.length, first.unfinished], ['done', undefined, 1, []])
    await refs.idle()
    assert.deepEqual([await keys(), await dir.blocks.get(digest), refs.has(digest)], [[], undefined, false])
    assert.deepEqual((await settle()).ended, first.ended, 'and stays so')
  })

  it('a file of somebody else at the output is no sign of a rename', async () => {
    await renaming()
    await writeFile(output, 'theirs')
    assert.equal((await settle()).unfinished.length, 1)
  })

  it('ends a job of an earlier version, which does not say how to go on', async () => {
    await running({ continuation: undefined })
    const digest = await results()
    await dir.journal('jobs').append(resultKey('k', 2), Uint8Array.of(1, 0, 0))
    const { ended: [settled], unfinished, resting } = await settle()
    assert.deepEqual([settled?.report.state, settled?.report.error?.code, settled?.report.outputs, unfinished, resting], ['failed', 'interrupted', [], [], []])
    await refs.idle()
    assert.deepEqual([await keys(), await dir.blocks.get(digest)], [[], undefined])
  })

  it('a partial output that cannot be removed does not keep the daemon from starting', async () => {
    await running()
    const settled = await settleJournal({ ...components(), removePartials: async () => { throw new Error('EROFS') } })
    assert.equal(settled.unfinished.length, 1)
  })

  it('removes results of jobs that ended, or that nobody knows', async () => {
    await ended()
    await results()
    await results('gone')
    const settled = await settle()
    assert.deepEqual([await keys(), settled.ended.length, settled.resting], [[], 1, []])
  })

  it('keeps what is kept until its time has come', async () => {
    await ended(1001)
    const digest = await results()
    const { resting, ended: [one] } = await settle()
    assert.deepEqual(resting, [{ job: 'j', key: 'k', recordKey: recordKey(1, 'k'), report: one?.report, continuation: { spec, ...continuation }, until: 1001, bytes: 10 }])
    assert.deepEqual([refs.has(digest), refs.needed(digest)], [true, false])
    now = 1001
    refs = new BlockRefs(dir.blocks, () => 0, error => { throw error })
    assert.deepEqual((await settle()).resting, [])
    assert.deepEqual(await keys(), [])
    now = 0
    assert.deepEqual((await settle()).resting, [], 'nobody is promised anything any more')
  })

  describe('a job that takes the daemon down', () => {
    it('is not gone on with for ever: after so many starts without a result more it rests', async () => {
      await running({ starts: STARTS_MAX - 1, results: 2 })
      const digest = await results()
      assert.equal((await settle()).unfinished[0]?.starts, STARTS_MAX)
      await running({ starts: STARTS_MAX, results: 2 })
      refs = new BlockRefs(dir.blocks, () => 0, error => { throw error })
      const { unfinished, resting } = await settle()
      assert.deepEqual([unfinished, resting.length], [[], 1])
      assert.match(resting[0]?.report.error?.message ?? '', /went down 10 times in a row.*weft jobs resume/)
      assert.deepEqual([refs.has(digest), refs.needed(digest)], [true, false])
    })

    it('one result more, and it counts from the start', async () => {
      await running({ starts: STARTS_MAX, results: 1 })
      await results()
      assert.equal((await settle()).unfinished[0]?.starts, 1)
    })
  })

  describe('for the time of one command', () => {
    it('leaves the jobs of a daemon as they are', async () => {
      await running()
      const digest = await results()
      const before = await keys('')
      const settled = await settle({ embedded: true })
      assert.deepEqual([settled.ended, settled.unfinished, settled.resting, settled.left], [[], [], [], 1])
      assert.deepEqual([await keys(''), removed, refs.needed(digest)], [before, [], true])
    })

    for (const embedded of [true, false]) {
      it(`ends one of an earlier command, and keeps what it had done (${embedded ? 'another command' : 'a daemon'})`, async () => {
        await running({ continuation: { ...continuation, foreground: true } })
        const digest = await results()
        const { resting: [one], unfinished } = await settle({ embedded })
        assert.deepEqual([one?.report.error?.code, one?.bytes, unfinished], ['interrupted', 10, []])
        assert.deepEqual([(await keys()).length, refs.has(digest), refs.needed(digest)], [2, true, false])
      })
    }
  })

  it('touches nothing where a later build wrote some of it, and says so in a line', async () => {
    await running()
    await results()
    for (const [key, value] of [[recordKey(2, 'l'), encodeCanonical({ v: 3, key: 'l' })], [resultKey('k', 7), laterResult()]] as const) {
      await journal.append(key, value)
      const before = await keys('')
      await assert.rejects(settle(), (error: Error) => error.name === 'NewerJournalError' && /of version 3.*use a newer weft/.test(error.message) && !error.message.includes('\n'))
      assert.deepEqual([await keys(''), removed], [before, []])
      await journal.remove(key)
    }
    assert.equal((await settle()).unfinished.length, 1)
  })

  it('a damaged record is left for whoever looks into it, and costs no other job anything', async () => {
    await running()
    await journal.append(recordKey(2, 'l'), Uint8Array.of(0xff))
    assert.equal((await settle()).unfinished.length, 1)
    assert.deepEqual(await keys('job/'), [recordKey(1, 'k'), recordKey(2, 'l')])
  })
})

function laterResult (): Uint8Array {
  const bytes = Buffer.from(encodeResult(resultEntry({ size: 0, digest: digestOf('') })))
  bytes[0] = 3
  bytes.writeUInt32LE(crc32(bytes.subarray(5), 3), 1)
  return bytes
}

describe('coordinator/result-shelf', () => {
  it('gives merged results back from the journal, and large ones from the store', async () => {
    const root = await mkdtemp(join(tmpdir(), 'weft-shelf-'))
    const dir = await openDataDir(join(root, 'data'))
    try {
      const journal = dir.journal('jobs')
      const refs = new BlockRefs(dir.blocks, () => performance.now(), error => { throw error })
      const shelf = new ResultShelf({ blocks: dir.blocks, journal, refs }, 'k')
      const put = (block: number, data: Buffer): string | undefined => shelf.put('w', { ok: true, block, attempt: 1, digest: hash('sha256', data, 'buffer'), size: data.length, output: { bytes: data }, cpuMs: 0, wallMs: 0 })?.held
      const small = Buffer.from('small')
      const large = Buffer.alloc(100_000, 1)
      assert.equal(put(0, small), 'inline')
      assert.equal(put(1, large), 'volatile')
      const [first, second] = [shelf.get(0, 1), shelf.get(1, 1)]
      await journal.append(resultKey('k', 0), encodeResult(resultEntry({ size: first.size, digest: first.digest, bytes: small })))
      first.journaled = true
      shelf.merged(first)
      assert.equal(shelf.sourceNow(first), undefined)
      assert.deepEqual(await shelf.source(first), { bytes: new Uint8Array(small) })
      await shelf.store(second)
      const source = await shelf.source(second)
      assert.ok('path' in source)
      assert.equal(source.size, large.length)
      await shelf.discard(1, 1)
      await refs.idle()
      assert.equal(await dir.blocks.get(second.digest), undefined)
      assert.throws(() => shelf.get(1, 1))
      assert.deepEqual(shelf.clear(), [resultKey('k', 0)])
    } finally {
      await dir.close()
      await rm(root, { recursive: true, force: true })
    }
  })
})
