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
import { loadConfig } from '../../daemon/config/index.ts'
import { inspectJobs, type JobsInspection } from '../../daemon/coordinator/inspect-jobs.ts'
import { JOURNAL_NAME } from '../../daemon/coordinator/journal-entries.ts'
import type { DoctorCheck } from '../../daemon/gateway/index.ts'
import { inspectDataDir, DataDirLockedError, saysNoSpace, type DataDirInspection } from '../../daemon/store/index.ts'
import { oneLine } from './failure.ts'
import { count, formatBytes } from './units.ts'

/** Findings of one kind that get a line each; the rest is counted in one more. */
const FINDINGS_MAX = 8

/** Faults that are named in one line; the rest is counted. */
const NAMED_MAX = 3

/** @param configFile - for the store's quota. @default where the daemon would find it */
export async function deepChecks (dataDir: string, configFile?: string): Promise<DoctorCheck[]> {
  try {
    await using inspection = await inspectDataDir(dataDir)
    if (inspection == null) return [{ name: 'journal', state: 'ok', says: 'nothing in it yet' }]
    const jobs = await inspectJobs(prefix => inspection.entries(JOURNAL_NAME, prefix))
    return [...journalChecks(jobs), ...await blockChecks(inspection, jobs, await quotaOf(configFile)), ...await leftoverChecks(inspection), await partialsCheck(jobs)]
  } catch (error) {
    return [unreadable(dataDir, error)]
  }
}

function unreadable (dataDir: string, error: unknown): DoctorCheck {
  const failed = (says: string, mend: string): DoctorCheck => ({ name: 'journal', state: 'failed', says, mend })
  if (error instanceof DataDirLockedError) return failed(`another process is using ${dataDir}`, 'weft stop, then look again')
  if (saysNoSpace((error as Error).cause ?? error)) return failed(`the disk is full for ${dataDir}, and opening the database takes some room`, 'make room on that disk, then look again: nothing is lost')
  return failed(`the data directory cannot be read: ${oneLine((error as Error).message)}`, `copy ${dataDir} to a safe place first; then move its folder 'db' away: jobs and records are forgotten, keys and outputs stay`)
}

function journalChecks ({ jobs, unfinished, results, damaged, faults }: JobsInspection): DoctorCheck[] {
  const name = 'journal'
  const says = `${count(jobs, 'job')} and ${count(results, 'result')} readable${unfinished > 0 ? `, ${count(unfinished, 'job')} unfinished: the next start goes on with what it can, and says what it cannot` : ''}`
  if (damaged === 0) return [{ name, state: 'ok', says }]
  const mend = 'the disk may be failing: look at it and keep a copy. A damaged result is made again; a job whose record is damaged has to be submitted again; inputs were never touched'
  return each(faults, damaged, fault => ({ name, state: 'failed', says: `an entry is unreadable: ${oneLine(fault)}`, mend }))
}

async function blockChecks (inspection: DataDirInspection, { needed }: JobsInspection, quotaBytes: number | undefined): Promise<DoctorCheck[]> {
  const name = 'blocks'
  const damaged: Array<{ path: string, why: string, isNeeded: boolean }> = []
  const missing = new Set(needed)
  let [files, bytes] = [0, 0]
  for (const { digest, path } of await inspection.blocks()) {
    missing.delete(digest)
    files++
    const found = (why: string): void => { damaged.push({ path, why, isNeeded: needed.has(digest) }) }
    try {
      const hash = createHash('sha256')
      await pipeline(createReadStream(path), hash)
      bytes += (await stat(path)).size
      if (hash.digest('hex') !== digest) found('its bytes are not those of its digest')
    } catch (error) {
      found(oneLine((error as Error).message))
    }
  }
  const checks = [
    ...each(damaged, damaged.length, ({ path, why, isNeeded }): DoctorCheck => ({
      name,
      state: 'failed',
      says: `${path} is damaged (${why}); ${isNeeded ? 'an unfinished job has its result in it' : 'no job needs it, and no output depends on it'}`,
      mend: `rm '${path}'${isNeeded ? ': that part of the job is then converted again' : ''}; then look at the disk, which may be failing`
    })),
    ...each([...missing], missing.size, (digest): DoctorCheck => ({ name, state: 'warning', says: `a result of an unfinished job is missing (${digest})`, mend: 'nothing: that part is converted again, or the next start says that the job has to be run again' }))
  ]
  const size = `${count(files, 'stored block')} (${formatBytes(bytes)}${quotaBytes == null ? '' : ` of the ${formatBytes(quotaBytes)} of store.quotaBytes`})`
  if (quotaBytes != null && bytes > quotaBytes) checks.push({ name, state: 'warning', says: `${size}: more than they may take, so that no job can store a result`, mend: 'raise store.quotaBytes' })
  return checks.length > 0 ? checks : [{ name, state: 'ok', says: `${size}, each with the bytes of its digest` }]
}

/** What a run that was killed had begun to write. */
async function leftoverChecks (inspection: DataDirInspection): Promise<DoctorCheck[]> {
  const name = 'half-written'
  const left = await inspection.leftovers()
  if (left.length === 0) return [{ name, state: 'ok', says: 'nothing left of an earlier run' }]
  return each(left, left.length, ({ path, bytes }) => ({ name, state: 'warning', says: `${path} (${formatBytes(bytes)}) was left by a run that was killed; nothing relies on it`, mend: 'nothing: the next start removes it' }))
}

/** A line for each of the first, and one that counts the rest. */
function each<T> (findings: readonly T[], number: number, line: (finding: T) => DoctorCheck): DoctorCheck[] {
  const lines = findings.slice(0, FINDINGS_MAX).map(line)
  const [first] = lines
  if (first != null && number > lines.length) lines.push({ ...first, says: `and ${number - lines.length} more like these` })
  return lines
}

async function quotaOf (configFile: string | undefined): Promise<number | undefined> {
  // A configuration that cannot be read is a finding of its own, of the check before.
  return await loadConfig(configFile == null ? {} : { configFile }).then(({ config }) => config.store.quotaBytes, () => undefined)
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
