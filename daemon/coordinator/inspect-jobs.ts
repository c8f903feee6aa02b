/** What the journal of jobs holds, for checks of a data directory whose daemon is not running. Changes nothing. */
import { hash } from 'node:crypto'
import type { Journal } from '../store/index.ts'
import { decodeRecord, decodeResult, RECORD_PREFIX, resultPrefix, RESULTS_PREFIX, type JobRecord } from './journal-entries.ts'

/** Faults that are kept; the rest is counted. */
const FAULTS_MAX = 64

export interface JobsInspection {
  /** Jobs on record, and those of them that have not ended. */
  jobs: number
  unfinished: number
  /** Entries of results, readable or not. */
  results: number
  /** Hex digests of the stored blocks that unfinished jobs need. */
  needed: Set<string>
  /** Paths of outputs that are there, and of those that are being made. */
  outputs: { finished: Set<string>, unfinished: Set<string> }
  /** Entries that cannot be read or do not hold what they say: how many, and the first of them, each with its key. */
  damaged: number
  faults: string[]
}

/** @param entries - of the journal JOURNAL_NAME, as `Journal.entries` */
export async function inspectJobs (entries: Journal['entries']): Promise<JobsInspection> {
  const found: JobsInspection = { jobs: 0, unfinished: 0, results: 0, needed: new Set(), outputs: { finished: new Set(), unfinished: new Set() }, damaged: 0, faults: [] }
  const damaged = (key: string, what: string): void => { if (found.damaged++ < FAULTS_MAX) found.faults.push(`${key}: ${what}`) }
  const running: string[] = []
  for await (const [key, value] of entries(RECORD_PREFIX)) {
    let record: JobRecord
    try {
      record = decodeRecord(value)
    } catch (error) {
      damaged(key, (error as Error).message)
      continue
    }
    found.jobs++
    if (record.phase === 'ended') for (const { path } of record.report.outputs) found.outputs.finished.add(path)
    else {
      found.unfinished++
      found.outputs.unfinished.add(record.output)
      running.push(resultPrefix(record.key))
    }
  }
  for await (const [key, value] of entries(RESULTS_PREFIX)) {
    found.results++
    try {
      const entry = decodeResult(value)
      // Of an earlier version: the next start lets it go.
      if (entry == null) continue
      const { digest, bytes } = entry
      const name = Buffer.from(digest).toString('hex')
      // Those of ended jobs are let go little by little; only an unfinished job still needs its blocks.
      if (bytes == null) {
        if (running.some(prefix => key.startsWith(prefix))) found.needed.add(name)
      } else if (hash('sha256', bytes) !== name) damaged(key, 'its bytes are not those of its digest')
    } catch (error) {
      damaged(key, (error as Error).message)
    }
  }
  return found
}
