/** After a restart: what the last run of the daemon left of its jobs is told and removed. */
import { digestOfOutput } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { BlockStore, Journal } from '../store/index.ts'
import type { Clock } from './clock.ts'
import { REMOVALS_AT_ONCE } from './constants.ts'
import { decodeRecord, decodeResult, encodeRecord, RECORD_PREFIX, resultPrefix, type JobRecord } from './journal-entries.ts'
import type { JobReport } from './index.ts'

const INTERRUPTED = 'the daemon stopped while this job ran; no output was written; run it again'

export interface SettleComponents {
  journal: Pick<Journal, 'entries' | 'append' | 'remove'>
  blocks: Pick<BlockStore, 'delete'>
  /** Removes what was written of an output that was never renamed. */
  removePartials: (finalPath: string) => Promise<number>
  clock: Clock
  log: Log
}

/** Reports of all jobs on record, oldest first; the unfinished ones are ended first. */
export async function settleJournal (
  { journal, blocks, removePartials, clock, log }: SettleComponents
): Promise<Array<{ key: string, report: JobReport }>> {
  const records: Array<[string, JobRecord]> = []
  for await (const [key, value] of journal.entries(RECORD_PREFIX)) records.push([key, decodeRecord(value)])
  const reports: Array<{ key: string, report: JobReport }> = []
  for (const [key, record] of records) {
    await removeResults(journal, blocks, record.key)
    if (record.phase === 'ended') {
      reports.push({ key, report: record.report })
      continue
    }
    const done = record.phase === 'renaming' && await renamed(record)
    try {
      await removePartials(record.output)
    } catch (error) {
      // The folder may be gone or shut by now; the job is settled all the same.
      log.warn({ error, job: record.job, output: record.output }, 'a partial output could not be removed')
    }
    const finished = clock.utc()
    const report: JobReport = done
      ? { ...record.report, state: 'done', finished }
      : { ...record.report, state: 'failed', outputs: [], error: { code: 'interrupted', message: INTERRUPTED }, finished }
    await journal.append(key, encodeRecord({ phase: 'ended', job: record.job, key: record.key, report }))
    log.info({ job: record.job, done }, done ? 'a job had just been finished when the daemon stopped' : INTERRUPTED)
    reports.push({ key, report })
  }
  return reports
}

/** Whether the rename had happened: the file at the output's name is what the job had written. */
async function renamed (record: Extract<JobRecord, { phase: 'renaming' }>): Promise<boolean> {
  const path = record.report.outputs[0]?.path
  if (path == null) return false
  const digest = await digestOfOutput(path)
  // No readable file there: as far as can be told it was not renamed.
  return digest != null && Buffer.compare(digest, record.digest) === 0
}

async function removeResults (journal: Pick<Journal, 'entries' | 'remove'>, blocks: Pick<BlockStore, 'delete'>, key: string): Promise<void> {
  let removals: Array<Promise<void>> = []
  for await (const [entry, value] of journal.entries(resultPrefix(key))) {
    const { bytes, digest } = decodeResult(value)
    if (bytes == null) await blocks.delete(digest)
    removals.push(journal.remove(entry))
    if (removals.length < REMOVALS_AT_ONCE) continue
    await Promise.all(removals)
    removals = []
  }
  await Promise.all(removals)
}
