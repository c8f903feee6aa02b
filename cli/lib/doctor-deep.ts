/**
 * Whether everything in a data directory is what it should be: entries of the journal readable, results and stored blocks true to their digests, no
 * partial output left by a job that ended. The database is opened, so that no daemon may be running; nothing is repaired and nothing removed.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { partialPath } from '../../daemon/block-convert/output-paths.ts'
import { inspectJobs, type JobsInspection } from '../../daemon/coordinator/inspect-jobs.ts'
import { JOURNAL_NAME } from '../../daemon/coordinator/journal-entries.ts'
import type { DoctorCheck } from '../../daemon/gateway/index.ts'
import { inspectDataDir, DataDirLockedError, type DataDirInspection } from '../../daemon/store/index.ts'
import { oneLine } from './failure.ts'
import { count, formatBytes } from './units.ts'

/** Faults of one kind that are named; the rest is counted. */
const NAMED_MAX = 3

export async function deepChecks (dataDir: string): Promise<DoctorCheck[]> {
  try {
    await using inspection = await inspectDataDir(dataDir)
    if (inspection == null) return [{ name: 'journal', state: 'ok', says: 'nothing in it yet' }]
    const jobs = await inspectJobs(prefix => inspection.entries(JOURNAL_NAME, prefix))
    return [journalCheck(jobs), await blocksCheck(inspection, jobs), await partialsCheck(jobs)]
  } catch (error) {
    if (error instanceof DataDirLockedError) return [{ name: 'journal', state: 'failed', says: `another process is using ${dataDir}`, mend: 'weft stop, then look again' }]
    return [{ name: 'journal', state: 'failed', says: `the data directory cannot be read: ${oneLine((error as Error).message)}`, mend: `copy ${dataDir} to a safe place first; then move its folder 'db' away: jobs and records are forgotten, keys and outputs stay` }]
  }
}

function journalCheck ({ jobs, unfinished, results, damaged, faults }: JobsInspection): DoctorCheck {
  const says = `${count(jobs, 'job')} and ${count(results, 'result')} readable${unfinished > 0 ? `, ${count(unfinished, 'job')} unfinished: the next start ends them and says so` : ''}`
  if (damaged === 0) return { name: 'journal', state: 'ok', says }
  return { name: 'journal', state: 'failed', says: `${count(damaged, 'entry', 'entries')} unreadable: ${named(faults, damaged)}`, mend: 'the disk may be failing: look at it, keep a copy, and submit unfinished conversions again; inputs were never touched' }
}

async function blocksCheck (inspection: DataDirInspection, { needed }: JobsInspection): Promise<DoctorCheck> {
  const name = 'blocks'
  const faults: string[] = []
  const missing = new Set(needed)
  let [files, bytes] = [0, 0]
  for (const { digest, path } of await inspection.blocks()) {
    missing.delete(digest)
    files++
    try {
      const hash = createHash('sha256')
      await pipeline(createReadStream(path), hash)
      bytes += (await stat(path)).size
      if (hash.digest('hex') !== digest) faults.push(`${path}: its bytes are not those of its digest`)
    } catch (error) {
      faults.push(`${path}: ${oneLine((error as Error).message)}`)
    }
  }
  if (faults.length > 0) return { name, state: 'failed', says: `${count(faults.length, 'stored block')} damaged: ${named(faults)}`, mend: 'remove these files: no output depends on them. Then look at the disk' }
  if (missing.size > 0) return { name, state: 'warning', says: `${count(missing.size, 'stored block')} of unfinished jobs missing`, mend: 'nothing: the next start ends these jobs; run the conversions again' }
  return { name, state: 'ok', says: `${count(files, 'stored block')} (${formatBytes(bytes)}), each with the bytes of its digest` }
}

/** A partial output of a job that has not ended is as it should be. */
async function partialsCheck ({ outputs: { finished, unfinished } }: JobsInspection): Promise<DoctorCheck> {
  const name = 'partial outputs'
  const left: string[] = []
  for (const output of finished) {
    if (unfinished.has(output)) continue
    const prefix = basename(partialPath(output)).replace(/[0-9a-f]+\.weft-partial$/, '')
    const names = await readdir(dirname(output)).catch(() => [/* the folder is gone, and what was in it */])
    left.push(...names.filter(file => file.startsWith(prefix) && /^[0-9a-f]+\.weft-(partial|replaced)$/.test(file.slice(prefix.length))).map(file => join(dirname(output), file)))
  }
  if (left.length === 0) return { name, state: 'ok', says: `none left beside ${count(finished.size, 'finished output')}` }
  return { name, state: 'warning', says: `${count(left.length, 'left-over')}: ${named(left)}`, mend: 'remove them, unless another node is writing there right now' }
}

const named = (faults: string[], number = faults.length): string => `${faults.slice(0, NAMED_MAX).map(fault => oneLine(fault)).join('; ')}${number > NAMED_MAX ? `; and ${number - NAMED_MAX} more` : ''}`
