/**
 * What a job leaves in the journal. One record per job, rewritten as it goes on (`running`, `renaming`, `ended`), in DAG-CBOR; one entry
 * per taken result in a compact form, small results with their bytes, so that block and entry are one write.
 */
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { RECORD_BYTES_MAX } from './constants.ts'
import type { JobReport } from './index.ts'

const RECORD_VERSION = 1
const RESULT_VERSION = 1
/** version, flags, worker's length (1 byte each), attempt (4), units and size (8 each), digest (32). */
const RESULT_HEAD = 55
const INLINE = 1

/** How much of the job is known to have happened. */
export type JobRecord =
  /** No output at its final name; there may be a partial one beside it. */
  | { v: number, phase: 'running', job: string, key: string, spec: Uint8Array, output: string, report: JobReport }
  /** The output is complete and checked and is being renamed: it may be at its final name. */
  | { v: number, phase: 'renaming', job: string, key: string, spec: Uint8Array, output: string, report: JobReport, digest: Uint8Array }
  | { v: number, phase: 'ended', job: string, key: string, report: JobReport }

/** The journal's name in the store. */
export const JOURNAL_NAME = 'jobs'

export const RECORD_PREFIX = 'job/'
export const RESULTS_PREFIX = 'blk/'

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

export function decodeRecord (bytes: Uint8Array): JobRecord {
  const record = decodeCanonical(bytes, { maxBytes: RECORD_BYTES_MAX }) as JobRecord
  if (record.v !== RECORD_VERSION) throw new Error(`a job record of version ${record.v}; this build reads ${RECORD_VERSION}`)
  return { ...record, report: completed(record.report) }
}

/** Reports of an earlier build lack what came since. */
function completed (report: JobReport): JobReport {
  return { ...report, epochs: report.epochs ?? 0, notes: report.notes ?? [], blocks: { ...report.blocks, redone: report.blocks.redone ?? 0 } }
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

export function encodeResult (entry: ResultEntry): Uint8Array {
  const { attempt, units, size, digest, worker, bytes } = entry
  const peer = worker.length > 255 ? worker.slice(0, 255) : worker
  const out = Buffer.allocUnsafe(RESULT_HEAD + peer.length + (bytes?.byteLength ?? 0))
  out[0] = RESULT_VERSION
  out[1] = bytes == null ? 0 : INLINE
  out[2] = peer.length
  out.writeUInt32LE(attempt, 3)
  out.writeDoubleLE(units, 7)
  out.writeDoubleLE(size, 15)
  out.set(digest, 23)
  out.write(peer, RESULT_HEAD, 'latin1')
  if (bytes != null) out.set(bytes, RESULT_HEAD + peer.length)
  return out
}

export function decodeResult (data: Uint8Array): ResultEntry {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (buffer.length < RESULT_HEAD || buffer[0] !== RESULT_VERSION) throw new Error('not a result entry of this version')
  const end = RESULT_HEAD + (buffer[2] as number)
  const size = buffer.readDoubleLE(15)
  const inline = buffer[1] === INLINE
  if (buffer.length !== end + (inline ? size : 0)) throw new Error('a result entry of the wrong length')
  return {
    attempt: buffer.readUInt32LE(3),
    units: buffer.readDoubleLE(7),
    size,
    digest: new Uint8Array(buffer.subarray(23, RESULT_HEAD)),
    worker: buffer.toString('latin1', RESULT_HEAD, end),
    bytes: inline ? new Uint8Array(buffer.subarray(end)) : undefined
  }
}
