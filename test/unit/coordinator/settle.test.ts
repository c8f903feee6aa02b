import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockRefs } from '../../../daemon/coordinator/block-refs.ts'
import { systemClock } from '../../../daemon/coordinator/clock.ts'
import { encodeRecord, encodeResult, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { buildReport } from '../../../daemon/coordinator/report.ts'
import { ResultShelf } from '../../../daemon/coordinator/result-shelf.ts'
import { settleJournal } from '../../../daemon/coordinator/settle-journal.ts'
import { silentLog } from '../../../daemon/log.ts'
import { openDataDir, type DataDir, type Journal } from '../../../daemon/store/index.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'

const digestOf = (data: string): Uint8Array => hash('sha256', data, 'buffer')

describe('coordinator/settle-journal', () => {
  let root: string
  let dir: DataDir
  let journal: Journal
  let output: string
  let removed: string[]

  const report = (): JobReport => buildReport({
    job: 'j', state: 'merging', created: 1, now: 2, inputs: [], inputDigests: [], output: { path: output, mediaType: 'x' }, written: { size: 6, digest: digestOf('output') }, bound: 0, priceUnit: 'credit', notes: [],
    timing: { prepareMs: 0, convertMs: 0, mergeMs: 0, checkMs: 0, runMs: 0 }
  })

  const settle = async (): Promise<JobReport[]> => {
    const removePartials = async (path: string): Promise<number> => removed.push(path)
    return (await settleJournal({ journal, blocks: dir.blocks, removePartials, clock: systemClock, log: silentLog })).map(({ report }) => report)
  }

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-settle-'))
    dir = await openDataDir(join(root, 'data'))
    journal = dir.journal('jobs')
    output = join(root, 'out')
    removed = []
  })

  afterEach(async () => {
    await dir.close()
    await rm(root, { recursive: true, force: true })
  })

  const renaming = async (): Promise<void> => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'renaming', job: 'j', key: 'k', spec: new Uint8Array(), output, digest: digestOf('output'), report: report() }))
  }

  it('a job that stopped between announcing the rename and the rename wrote nothing', async () => {
    await renaming()
    const [settled] = await settle()
    assert.deepEqual([settled?.state, settled?.error?.code, settled?.outputs], ['failed', 'interrupted', []])
    assert.deepEqual(removed, [output])
  })

  it('a job that stopped just after the rename is done', async () => {
    await renaming()
    await writeFile(output, 'output')
    const [settled] = await settle()
    assert.deepEqual([settled?.state, settled?.error, settled?.outputs.length], ['done', undefined, 1])
    assert.deepEqual(await settle(), [settled], 'and stays so')
  })

  it('a file of somebody else at the output is no sign of a rename', async () => {
    await renaming()
    await writeFile(output, 'theirs')
    assert.equal((await settle())[0]?.state, 'failed')
  })

  it('removes results of unfinished jobs from journal and store', async () => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'running', job: 'j', key: 'k', spec: new Uint8Array(), output, report: report() }))
    const sink = await dir.blocks.sink()
    await sink.write(Buffer.from('large'))
    const { digest, size } = await sink.finish()
    await journal.append(resultKey('k', 0), encodeResult({ attempt: 1, units: 1, size, digest, worker: 'w' }))
    await journal.append(resultKey('k', 1), encodeResult({ attempt: 1, units: 1, size: 5, digest: digestOf('small'), worker: 'w', bytes: Buffer.from('small') }))
    await settle()
    assert.equal(await dir.blocks.get(digest), undefined)
    for await (const [key] of journal.entries('blk/')) assert.fail(key)
  })

  it('a partial output that cannot be removed does not keep the daemon from starting', async () => {
    await journal.append(recordKey(1, 'k'), encodeRecord({ phase: 'running', job: 'j', key: 'k', spec: new Uint8Array(), output, report: report() }))
    const settled = await settleJournal({ journal, blocks: dir.blocks, removePartials: async () => { throw new Error('EROFS') }, clock: systemClock, log: silentLog })
    assert.equal(settled[0]?.report.error?.code, 'interrupted')
  })
})

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
      await journal.append(resultKey('k', 0), encodeResult({ ...first, bytes: first.bytes }))
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
