import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspectJobs } from '../../../daemon/coordinator/inspect-jobs.ts'
import { encodeRecord, encodeResult, JOURNAL_NAME, recordKey, resultKey } from '../../../daemon/coordinator/journal-entries.ts'
import { DataDirLockedError, inspectDataDir, openDataDir, type DataDir } from '../../../daemon/store/index.ts'
import { resultEntry } from '../../fixtures/result-entry.ts'
import type { JobReport } from '../../../daemon/coordinator/index.ts'

const bytes = Uint8Array.of(1, 2, 3)
const digest = hash('sha256', bytes, 'buffer')
const report = (path: string): JobReport => ({ epochs: 0, notes: [], blocks: {}, outputs: [{ path }] }) as unknown as JobReport

describe('coordinator/inspect-jobs', () => {
  let home = ''
  beforeEach(async () => { home = await mkdtemp(join(tmpdir(), 'weft-inspect-')) })
  afterEach(async () => { await rm(home, { recursive: true, force: true }) })

  const written = async (write: (dir: DataDir) => Promise<void>): Promise<void> => {
    await using dir = await openDataDir(home)
    await write(dir)
  }

  it('finds nothing, and makes nothing, where no node was', async () => {
    assert.equal(await inspectDataDir(home), undefined)
    assert.deepEqual(await readdir(home), [])
  })

  it('tells jobs, results, needed blocks and damage apart, whatever the keys are', async () => {
    await written(async dir => {
      const journal = dir.journal(JOURNAL_NAME)
      await journal.append(recordKey(1, 'k1'), encodeRecord({ phase: 'ended', job: 'j1', key: 'k1', report: report('/done') }))
      await journal.append(recordKey(2, 'k2'), encodeRecord({ phase: 'running', job: 'j2', key: 'k2', spec: bytes, output: '/making', report: report('/making') }))
      await journal.append(recordKey(3, 'k3'), Uint8Array.of(0xff))
      const entry = resultEntry({ size: 3, digest })
      await journal.append(resultKey('k1', 0), encodeResult({ ...entry, digest: new Uint8Array(32) }))
      await journal.append(resultKey('k2', 0), encodeResult(entry))
      await journal.append(resultKey('k2', 1), encodeResult({ ...entry, bytes }))
      await journal.append(resultKey('k2', 2), encodeResult({ ...entry, bytes: Uint8Array.of(9, 9, 9) }))
      // Another journal is no job's.
      await dir.journal('other').append(recordKey(1, 'k1'), bytes)
      const sink = await dir.blocks.sink()
      await sink.write(bytes)
      await sink.finish()
    })
    await using inspection = await inspectDataDir(home)
    assert.ok(inspection != null)
    const found = await inspectJobs(prefix => inspection.entries(JOURNAL_NAME, prefix))
    assert.deepEqual([found.jobs, found.unfinished, found.results, found.damaged], [2, 1, 4, 2])
    assert.deepEqual([...found.needed], [digest.toString('hex')], 'blocks of ended jobs are not needed')
    assert.deepEqual(found.outputs, { finished: new Set(['/done']), unfinished: new Set(['/making']) })
    assert.ok(found.faults[0]?.startsWith(`${recordKey(3, 'k3')}: `))
    assert.equal(found.faults[1], `${resultKey('k2', 2)}: its bytes are not those of its digest`)
    assert.deepEqual((await inspection.blocks()).map(block => block.digest), [digest.toString('hex')])
  })

  it('keeps a bounded number of faults, and counts all', async () => {
    const many = async function * (prefix: string): AsyncIterable<[string, Uint8Array]> {
      for (let i = 0; i < 500; i++) yield [`${prefix}${i}`, Uint8Array.of(0xff)]
    }
    const { damaged, faults } = await inspectJobs(many)
    assert.equal(damaged, 1000)
    assert.equal(faults.length, 64)
  })

  it('neither opens what a daemon uses, nor lets one start meanwhile', async () => {
    await written(async () => { await assert.rejects(inspectDataDir(home), DataDirLockedError) })
    {
      await using inspection = await inspectDataDir(home)
      assert.ok(inspection != null)
      await assert.rejects(openDataDir(home), DataDirLockedError)
    }
    await written(async () => {})
  })
})
