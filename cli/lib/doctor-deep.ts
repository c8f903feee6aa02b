/**
 * Whether everything in a data directory is what it should be: entries of the journal readable, results and stored blocks true to their digests, no
 * partial output left by a job that ended. The database is opened, so that no daemon may be running; nothing is repaired and nothing removed.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Level } from 'level'
import { partialPath } from '../../daemon/block-convert/output-paths.ts'
import { decodeRecord, decodeResult, RECORD_PREFIX, resultPrefix, type JobRecord } from '../../daemon/coordinator/journal-entries.ts'
import type { DoctorCheck } from '../../daemon/gateway/index.ts'
import { oneLine } from './failure.ts'
import { count, formatBytes } from './units.ts'

/** Where the store keeps the journal of jobs, in its database. */
const JOBS = 'journal/jobs/'

/** Faults of one kind that are named; the rest is counted. */
const NAMED_MAX = 3

interface Journal { records: JobRecord[], results: number, stored: Set<string>, faults: string[] }

export async function deepChecks (dataDir: string): Promise<DoctorCheck[]> {
  if (!await isThere(join(dataDir, 'db', 'CURRENT'))) return [{ name: 'journal', state: 'ok', says: 'nothing in it yet' }]
  let journal: Journal
  try {
    journal = await readJournal(join(dataDir, 'db'))
  } catch (error) {
    const cause = (error as { cause?: { code?: string, message?: string } }).cause
    if (cause?.code === 'LEVEL_LOCKED') return [{ name: 'journal', state: 'failed', says: `another process is using ${dataDir}`, mend: 'weft stop, then look again' }]
    return [{ name: 'journal', state: 'failed', says: `the database cannot be read: ${oneLine(cause?.message ?? (error as Error).message)}`, mend: `copy ${dataDir} to a safe place first; then move its folder 'db' away: jobs and records are forgotten, keys and outputs stay` }]
  }
  return [journalCheck(journal), await blocksCheck(join(dataDir, 'blocks'), journal), await partialsCheck(journal)]
}

async function readJournal (path: string): Promise<Journal> {
  const journal: Journal = { records: [], results: 0, stored: new Set(), faults: [] }
  const db = new Level<string, Uint8Array>(path, { keyEncoding: 'utf8', valueEncoding: 'view', createIfMissing: false })
  await db.open()
  try {
    const running = new Set<string>()
    for await (const [key, value] of db.iterator({ gte: `${JOBS}${RECORD_PREFIX}`, lt: `${JOBS}${RECORD_PREFIX}\uffff` })) {
      try {
        const record = decodeRecord(value)
        journal.records.push(record)
        if (record.phase !== 'ended') running.add(resultPrefix(record.key))
      } catch (error) {
        journal.faults.push(`${key}: ${oneLine((error as Error).message)}`)
      }
    }
    for await (const [key, value] of db.iterator({ gte: `${JOBS}blk/`, lt: `${JOBS}blk/\uffff` })) {
      journal.results++
      try {
        const { digest, bytes } = decodeResult(value)
        const name = Buffer.from(digest).toString('hex')
        // Those of ended jobs are let go little by little; only an unfinished job still needs its blocks.
        if (bytes == null) {
          if ([...running].some(prefix => key.startsWith(`${JOBS}${prefix}`))) journal.stored.add(name)
        } else if (createHash('sha256').update(bytes).digest('hex') !== name) journal.faults.push(`${key}: its bytes are not those of its digest`)
      } catch (error) {
        journal.faults.push(`${key}: ${oneLine((error as Error).message)}`)
      }
    }
  } finally {
    await db.close()
  }
  return journal
}

function journalCheck ({ records, results, faults }: Journal): DoctorCheck {
  const unfinished = records.filter(({ phase }) => phase !== 'ended').length
  const says = `${count(records.length, 'job')} and ${count(results, 'result')} readable${unfinished > 0 ? `, ${count(unfinished, 'job')} unfinished: the next start ends them and says so` : ''}`
  if (faults.length === 0) return { name: 'journal', state: 'ok', says }
  return { name: 'journal', state: 'failed', says: `${count(faults.length, 'entry', 'entries')} unreadable: ${named(faults)}`, mend: 'the disk may be failing: look at it, keep a copy, and submit unfinished conversions again; inputs were never touched' }
}

async function blocksCheck (folder: string, { stored }: Journal): Promise<DoctorCheck> {
  const name = 'blocks'
  const faults: string[] = []
  const missing = new Set(stored)
  let [files, bytes] = [0, 0]
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [/* no node has stored a block yet */])) {
    if (!/^[0-9a-f]{64}$/.test(entry.name)) continue
    missing.delete(entry.name)
    files++
    const path = join(folder, entry.name)
    try {
      const hash = createHash('sha256')
      await pipeline(createReadStream(path), hash)
      bytes += (await stat(path)).size
      if (hash.digest('hex') !== entry.name) faults.push(`${path}: its bytes are not those of its digest`)
    } catch (error) {
      faults.push(`${path}: ${oneLine((error as Error).message)}`)
    }
  }
  if (faults.length > 0) return { name, state: 'failed', says: `${count(faults.length, 'stored block')} damaged: ${named(faults)}`, mend: 'remove these files: no output depends on them. Then look at the disk' }
  if (missing.size > 0) return { name, state: 'warning', says: `${count(missing.size, 'stored block')} of unfinished jobs missing`, mend: 'nothing: the next start ends these jobs; run the conversions again' }
  return { name, state: 'ok', says: `${count(files, 'stored block')} (${formatBytes(bytes)}), each with the bytes of its digest` }
}

/** A partial output of a job that has not ended is as it should be. */
async function partialsCheck ({ records }: Journal): Promise<DoctorCheck> {
  const name = 'partial outputs'
  const unfinished = new Set(records.flatMap(record => record.phase === 'ended' ? [] : [record.output]))
  const ended = new Set(records.flatMap(({ phase, report }) => phase === 'ended' ? report.outputs.map(({ path }) => path) : []))
  const left: string[] = []
  for (const output of ended) {
    if (unfinished.has(output)) continue
    const prefix = basename(partialPath(output)).replace(/[0-9a-f]+\.weft-partial$/, '')
    const names = await readdir(dirname(output)).catch(() => [/* the folder is gone, and what was in it */])
    left.push(...names.filter(file => file.startsWith(prefix) && /^[0-9a-f]+\.weft-(partial|replaced)$/.test(file.slice(prefix.length))).map(file => join(dirname(output), file)))
  }
  if (left.length === 0) return { name, state: 'ok', says: `none left beside ${count(ended.size, 'finished output')}` }
  return { name, state: 'warning', says: `${count(left.length, 'left-over')}: ${named(left)}`, mend: 'remove them, unless another node is writing there right now' }
}

const named = (faults: string[]): string => `${faults.slice(0, NAMED_MAX).join('; ')}${faults.length > NAMED_MAX ? `; and ${faults.length - NAMED_MAX} more` : ''}`

async function isThere (path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
