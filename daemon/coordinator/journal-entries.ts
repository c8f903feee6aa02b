/**
 * What a job leaves in the journal. One record per job, rewritten as it goes on (`running`, `renaming`, `ended`), in DAG-CBOR; one entry
 * per taken result in a compact form, small results with their bytes, so that block and entry are one write. With record and results a
 * later run of the daemon goes on where the job stood (`resume.ts`).
 */
import { crc32 } from 'node:zlib'
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { RECORD_BYTES_MAX } from './constants.ts'
import { NewerJournalError } from './errors.ts'
import type { Finding } from './distrusted-peers.ts'
import type { JobReport } from './index.ts'

/** 2: what it takes to go on with the job. Jobs on record in version 1 that had not ended cannot be gone on with. */
const RECORD_VERSION = 2
/** 2: checksum, identity of what was converted. Entries of version 1 are of no use any more. */
const RESULT_VERSION = 2

/** The journal's name in the store. */
export const JOURNAL_NAME = 'jobs'

export const RECORD_PREFIX = 'job/'
export const RESULTS_PREFIX = 'blk/'
export const FINDINGS_PREFIX = 'bad/'

/** What it takes to go on with a job that did not end, beside its results. */
export interface Continuation {
  /** As made by `makeSpec`: the job's id is of these bytes. */
  spec: Uint8Array
  /** As planned when it first ran, so that the input is cut into the same blocks again. Absent while it was being prepared. */
  blockBytes?: number
  /** What prices of this job are counted in. */
  priceUnit: string
  /** It ran in the process of one command, not in a daemon: nobody goes on with it unasked. */
  foreground?: true
}

/** How much of the job is known to have happened. */
export type JobRecord =
  /**
   * No output at its final name; there may be a partial one beside it. `starts`: how often in a row a daemon began to go on with it and had no
   * result more, `results`, when it went down.
   */
  | ({ v: number, phase: 'running', job: string, key: string, output: string, report: JobReport, starts?: number, results?: number } & Unended)
  /** The output is complete and checked and is being renamed: it may be at its final name. */
  | ({ v: number, phase: 'renaming', job: string, key: string, output: string, report: JobReport, digest: Uint8Array } & Unended)
  /** `kept`: its results stay until then (UTC milliseconds), so that somebody may go on with it. */
  | { v: number, phase: 'ended', job: string, key: string, report: JobReport, kept?: Continuation & { until: number } }

/** Of records of version 1 there is the spec alone. */
type Unended = { spec: Uint8Array, continuation?: Omit<Continuation, 'spec'> }

/** Records sort by time of creation. */
export function recordKey (created: number, key: string): string {
  return `${RECORD_PREFIX}${created.toString(36).padStart(10, '0')}-${key}`
}

/** Part of all keys of a job: 80 bits of its id. */
export function jobKey (id: string): string {
  return id.slice(-16)
}

export function encodeRecord (record: JobRecord extends infer T ? T extends unknown ? Omit<T, 'v'> : never : never): Uint8Array {
  // Reports carry optional fields; DAG-CBOR has no undefined.
  return encodeCanonical(prune({ v: RECORD_VERSION, ...record }), { maxBytes: RECORD_BYTES_MAX })
}

/** Throws NewerJournalError for a later version's, and CanonicalError or Error for what is no record. */
export function decodeRecord (bytes: Uint8Array): JobRecord {
  const record = decodeCanonical(bytes, { maxBytes: RECORD_BYTES_MAX }) as JobRecord | null
  const version = record?.v
  if (record == null || typeof version !== 'number' || version < 1) throw new Error('not a job record')
  if (version > RECORD_VERSION) throw new NewerJournalError('job record', version, RECORD_VERSION)
  return { ...record, report: completed(record.report) }
}

/** What it takes to go on with an unfinished job; undefined for one of version 1. */
export function continuationOf (record: Exclude<JobRecord, { phase: 'ended' }>): Continuation | undefined {
  return record.continuation == null ? undefined : { spec: record.spec, ...record.continuation }
}

/** The same as fields of a record. */
export function unended ({ spec, ...continuation }: Continuation): Unended {
  return { spec, continuation }
}

/** Reports of an earlier build lack what came since. */
function completed (report: JobReport): JobReport {
  return { ...report, epochs: report.epochs ?? 0, notes: report.notes ?? [], blocks: { ...report.blocks, redone: report.blocks.redone ?? 0, restored: report.blocks.restored ?? 0 } }
}

function prune (value: unknown): unknown {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(prune)
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined).map(([name, entry]) => [name, prune(entry)]))
}

export interface ResultEntry {
  attempt: number
  units: number
  size: number
  digest: Uint8Array
  worker: string
  /** Made by this node's own executor. */
  local: boolean
  /** sha2-256 of the block's bytes it was made of. */
  input: Uint8Array
  /** sha2-256 of the conversion it was made by, parameters and all (`Recipes.identity`). */
  conversion: Uint8Array
  /** Changes of the schema before it was made. */
  epoch: number
  /** It was compared with its source before it was taken, and this was the distance. */
  checked: boolean
  distance: number
  wallMs: number
  /** Present if the result is small; otherwise it is in the block store under its digest. */
  bytes?: Uint8Array
}

export function resultPrefix (key: string): string {
  return `${RESULTS_PREFIX}${key}/`
}

/** Results sort by block. */
export function resultKey (key: string, block: number): string {
  return `${RESULTS_PREFIX}${key}/${block.toString(36).padStart(7, '0')}`
}

/** The job's part, and the block, of the key of a result. */
export function partsOfResultKey (key: string): { key: string, block: number } {
  const [, job = '', block = ''] = key.split('/')
  return { key: job, block: Number.parseInt(block, 36) }
}

/**
 * version (1 byte), checksum (4), flags, worker's length (1 each), attempt, epoch (4 each), units, size, wallMs, distance (8 each), digests of
 * result, input and conversion (32 each); then the worker and the bytes. Whatever the version, the first two stay where they are.
 */
const AT = { version: 0, checksum: 1, flags: 5, worker: 6, attempt: 7, epoch: 11, units: 15, size: 23, wallMs: 31, distance: 39, digest: 47, input: 79, conversion: 111 } as const
const RESULT_HEAD = 143
const FLAGS = { inline: 1, local: 2, checked: 4 } as const

export function encodeResult (entry: ResultEntry): Uint8Array {
  const { worker, bytes } = entry
  const peer = worker.length > 255 ? worker.slice(0, 255) : worker
  const out = Buffer.allocUnsafe(RESULT_HEAD + peer.length + (bytes?.byteLength ?? 0))
  out[AT.version] = RESULT_VERSION
  out[AT.flags] = (bytes == null ? 0 : FLAGS.inline) | (entry.local ? FLAGS.local : 0) | (entry.checked ? FLAGS.checked : 0)
  out[AT.worker] = peer.length
  out.writeUInt32LE(entry.attempt, AT.attempt)
  out.writeUInt32LE(entry.epoch, AT.epoch)
  out.writeDoubleLE(entry.units, AT.units)
  out.writeDoubleLE(entry.size, AT.size)
  out.writeDoubleLE(entry.wallMs, AT.wallMs)
  out.writeDoubleLE(entry.distance, AT.distance)
  out.set(entry.digest, AT.digest)
  out.set(entry.input, AT.input)
  out.set(entry.conversion, AT.conversion)
  out.write(peer, RESULT_HEAD, 'latin1')
  if (bytes != null) out.set(bytes, RESULT_HEAD + peer.length)
  out.writeUInt32LE(checksum(out), AT.checksum)
  return out
}

/**
 * Undefined for an entry of version 1, which does not say what it was made of. Throws NewerJournalError for a later version's, and Error for
 * what is no entry, or not a whole one.
 */
export function decodeResult (data: Uint8Array): ResultEntry | undefined {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const version = buffer[AT.version]
  if (version === 1) return undefined
  // Only an entry that is whole can say that it is of a later version: a flipped bit must not keep the daemon from starting.
  if (buffer.length <= AT.flags || buffer.readUInt32LE(AT.checksum) !== checksum(buffer)) throw new Error('a result entry that is not whole')
  if (version !== RESULT_VERSION) throw new NewerJournalError('result entry', version ?? 0, RESULT_VERSION)
  const flags = buffer[AT.flags] as number
  const end = RESULT_HEAD + (buffer[AT.worker] as number)
  const size = buffer.readDoubleLE(AT.size)
  const inline = (flags & FLAGS.inline) !== 0
  if (buffer.length !== end + (inline ? size : 0)) throw new Error('a result entry of the wrong length')
  // One copy for the three: of a large job there are hundreds of thousands.
  const digests = new Uint8Array(buffer.subarray(AT.digest, RESULT_HEAD))
  const digestAt = (at: number): Uint8Array => digests.subarray(at - AT.digest, at - AT.digest + 32)
  return {
    attempt: buffer.readUInt32LE(AT.attempt),
    epoch: buffer.readUInt32LE(AT.epoch),
    units: buffer.readDoubleLE(AT.units),
    size,
    wallMs: buffer.readDoubleLE(AT.wallMs),
    distance: buffer.readDoubleLE(AT.distance),
    digest: digestAt(AT.digest),
    input: digestAt(AT.input),
    conversion: digestAt(AT.conversion),
    local: (flags & FLAGS.local) !== 0,
    checked: (flags & FLAGS.checked) !== 0,
    worker: buffer.toString('latin1', RESULT_HEAD, end),
    ...(inline ? { bytes: new Uint8Array(buffer.subarray(end)) } : {})
  }
}

function checksum (entry: Buffer): number {
  return crc32(entry.subarray(AT.flags), entry[AT.version])
}

/** A peer that was caught, for jobs that are gone on with after a restart; `others`: peers of its operator that worked for them. */
export interface FindingEntry extends Finding { others: string[] }

export function findingKey (peer: string): string {
  return `${FINDINGS_PREFIX}${peer}`
}

export function encodeFinding (finding: FindingEntry): Uint8Array {
  return encodeCanonical(prune({ v: 1, ...finding }))
}

/** Throws for what is none. */
export function decodeFinding (bytes: Uint8Array): FindingEntry {
  const { v, ...finding } = decodeCanonical(bytes) as FindingEntry & { v: number }
  if (v > 1) throw new NewerJournalError('finding about a peer', v, 1)
  if (v !== 1 || typeof finding.peer !== 'string' || !Array.isArray(finding.others)) throw new Error('not a finding about a peer')
  return finding
}
