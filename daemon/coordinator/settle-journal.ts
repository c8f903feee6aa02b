/** After a restart: what the last run of the daemon left of its jobs is read, told apart, and what nobody needs any more removed. */
import { digestOfOutput } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { Journal } from '../store/index.ts'
import type { BlockRefs } from './block-refs.ts'
import type { Clock } from './clock.ts'
import { RESUMABLE_MS, STARTS_MAX } from './constants.ts'
import { NewerJournalError } from './errors.ts'
import { continuationOf, decodeRecord, decodeResult, encodeRecord, partsOfResultKey, RECORD_PREFIX, RESULTS_PREFIX, type Continuation, type JobRecord } from './journal-entries.ts'
import { removeResults, restResults } from './resume.ts'
import type { JobReport } from './index.ts'

/** Of a job that cannot be gone on with. */
const INTERRUPTED = 'the daemon stopped while this job ran; no output was written; run it again'

export interface SettleComponents {
  journal: Pick<Journal, 'entries' | 'append' | 'remove'>
  /** Blocks of jobs that may go on are counted here. */
  refs: BlockRefs
  /** Removes what was written of an output that was never renamed. */
  removePartials: (finalPath: string) => Promise<number>
  clock: Clock
  log: Log
}

/** A job that has not ended, to be gone on with. */
export interface UnfinishedJob {
  job: string
  continuation: Continuation
  /** See the record; this start is counted. */
  starts: number
  results: number
}

/** A job that ended badly, and with which somebody may go on. */
export interface RestingJob { job: string, key: string, recordKey: string, report: JobReport, continuation: Continuation, until: number, bytes: number }

export interface Settled {
  /** All jobs that have ended, oldest first. */
  ended: Array<{ key: string, report: JobReport }>
  unfinished: UnfinishedJob[]
  /** Those of `ended` whose results are still there. */
  resting: RestingJob[]
  /** Jobs left to the next start of a daemon. */
  left: number
}

interface Found {
  key: string
  record: JobRecord
  /** Results that are whole, and their bytes. */
  results: number
  bytes: number
  /** It was kept for somebody to go on with, and is still. */
  resting: boolean
}

/**
 * Reads the journal and puts it in order. `embedded`: for the time of one command only, so that jobs of a daemon are left to its next start.
 * Nothing is changed before all of it was read.
 *
 * @throws NewerJournalError if a later build wrote some of it
 */
export async function settleJournal (components: SettleComponents, { embedded = false }: { embedded?: boolean } = {}): Promise<Settled> {
  const { found, orphaned } = await readAll(components)
  const settled: Settled = { ended: [], unfinished: [], resting: [], left: 0 }
  for (const key of orphaned) await removeResults(components, key, 'uncounted')
  for (const entry of found) await settleOne(components, entry, embedded, settled)
  return settled
}

/** What there is, in order of time. Counts the blocks of all jobs that may go on. */
async function readAll ({ journal, refs, clock, log }: SettleComponents): Promise<{ found: Found[], orphaned: Set<string> }> {
  const found = new Map<string, Found>()
  for await (const [key, value] of journal.entries(RECORD_PREFIX)) {
    try {
      const record = decodeRecord(value)
      found.set(record.key, { key, record, results: 0, bytes: 0, resting: record.phase === 'ended' && record.kept != null && record.kept.until > clock.utc() })
    } catch (error) {
      if (error instanceof NewerJournalError) throw error
      // What it was cannot be told any more. It is left for whoever looks into it (`weft doctor --deep`).
      log.error({ error, key }, 'a job record in the journal is damaged')
    }
  }
  const orphaned = new Set<string>()
  for await (const [key, value] of journal.entries(RESULTS_PREFIX)) {
    const { key: job } = partsOfResultKey(key)
    const entry = found.get(job)
    const result = whole(value)
    if (entry == null || (entry.record.phase === 'ended' && !entry.resting)) orphaned.add(job)
    else if (result != null) {
      entry.results++
      entry.bytes += result.size
      if (result.stored != null) refs.recall(result.stored)
      if (result.stored != null && entry.resting) refs.rest(result.stored)
    }
  }
  return { found: [...found.values()], orphaned }
}

async function settleOne (components: SettleComponents, { key, record, results, bytes, resting }: Found, embedded: boolean, settled: Settled): Promise<void> {
  const { journal, removePartials, clock, log } = components
  if (record.phase === 'ended') {
    if (resting && record.kept != null) {
      const { until, ...continuation } = record.kept
      settled.resting.push({ job: record.job, key: record.key, recordKey: key, report: record.report, continuation, until, bytes })
    } else if (record.kept != null) await journal.append(key, encodeRecord({ phase: 'ended', job: record.job, key: record.key, report: record.report }))
    settled.ended.push({ key, report: record.report })
    return
  }
  const continuation = continuationOf(record)
  // A daemon goes on with it when it starts; this command has other things to do.
  if (embedded && continuation != null && continuation.foreground !== true) {
    settled.left++
    return
  }
  const done = record.phase === 'renaming' && await renamed(record)
  try {
    await removePartials(record.output)
  } catch (error) {
    // The folder may be gone or shut by now; the job is settled all the same.
    log.warn({ error, job: record.job, output: record.output }, 'a partial output could not be removed')
  }
  const before = record.phase === 'running' ? { starts: record.starts ?? 0, results: record.results ?? 0 } : { starts: 0, results: 0 }
  const starts = results > before.results ? 1 : before.starts + 1
  if (!done && continuation != null && continuation.foreground !== true && starts <= STARTS_MAX) {
    settled.unfinished.push({ job: record.job, continuation, starts, results })
    return
  }
  const finished = clock.utc()
  const report: JobReport = done
    ? { ...record.report, state: 'done', finished }
    : { ...record.report, state: 'failed', outputs: [], error: { code: 'interrupted', message: interrupted(continuation, starts) }, finished }
  const until = finished + RESUMABLE_MS
  const kept = done ? undefined : continuation
  await journal.append(key, encodeRecord({ phase: 'ended', job: record.job, key: record.key, report, ...(kept == null ? {} : { kept: { ...kept, until } }) }))
  log.info({ job: record.job, done }, done ? 'a job had just been finished when the daemon stopped' : report.error?.message ?? '')
  settled.ended.push({ key, report })
  if (kept == null) {
    await removeResults(components, record.key, 'counted')
    return
  }
  await restResults(components, record.key)
  settled.resting.push({ job: record.job, key: record.key, recordKey: key, report, continuation: kept, until, bytes })
}

function interrupted (continuation: Continuation | undefined, starts: number): string {
  if (continuation == null) return INTERRUPTED
  if (continuation.foreground === true) return 'the command that ran this job ended before it; no output was written; run it again, or go on with it in a daemon: weft jobs resume'
  return `the daemon went down ${starts - 1} times in a row while it went on with this job; no output was written; to try once more: weft jobs resume`
}

/** What an entry that can be used says of where its bytes are. Throws NewerJournalError. */
function whole (value: Uint8Array): { size: number, stored?: Uint8Array } | undefined {
  try {
    const entry = decodeResult(value)
    return entry == null ? undefined : { size: entry.size, ...(entry.bytes == null ? { stored: entry.digest } : {}) }
  } catch (error) {
    if (error instanceof NewerJournalError) throw error
    // Whoever goes on with the job lets it go.
    return undefined
  }
}

/** Whether the rename had happened: the file at the output's name is what the job had written. */
async function renamed (record: Extract<JobRecord, { phase: 'renaming' }>): Promise<boolean> {
  const path = record.report.outputs[0]?.path
  if (path == null) return false
  const digest = await digestOfOutput(path)
  // No readable file there: as far as can be told it was not renamed.
  return digest != null && Buffer.compare(digest, record.digest) === 0
}
