/** Turns what other modules throw into what a job's user is told. */
import { statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { BlockSource } from '../block-convert/index.ts'
import { REFUSALS_NAMED, REFUSALS_TOLD } from './constants.ts'
import { nobodyWithin, type PriceLimit } from './prices.ts'
import type { JobError, JobErrorCode } from './index.ts'
import type { Refusal } from './recruiter.ts'

const FROM_CONVERSION: Record<string, JobErrorCode> = {
  'unknown-type': 'unknown-type',
  'bad-parameters': 'bad-parameters',
  'bad-input': 'bad-input',
  contradiction: 'contradiction',
  'input-unreadable': 'input-unreadable',
  'input-changed': 'input-changed',
  unsupported: 'unsupported',
  engine: 'failed'
}

/**
 * Failures whose cause may be mended, so that somebody may go on with the job: none of them says anything against the results there are. After a
 * failed check, a bad input or a deadline the same job would only fail again.
 */
const RESUMABLE: ReadonlySet<JobErrorCode> = new Set(['interrupted', 'no-provider', 'over-budget', 'output-exists', 'output-unwritable', 'input-unreadable', 'failed'])

export function isResumable (error: JobError | undefined): boolean {
  return error != null && RESUMABLE.has(error.code)
}

/** The code of a ConversionError, told by name: it may have crossed a thread. */
export function conversionCode (error: unknown): string | undefined {
  const { name, code } = error as { name?: unknown, code?: unknown }
  return name === 'ConversionError' && typeof code === 'string' ? code : undefined
}

/** Whether this is the failure to read one of these files; it may have crossed a thread. */
export function readsOneOf (error: unknown, sources: BlockSource[]): boolean {
  const { path, details } = error as { path?: unknown, details?: { path?: unknown } }
  const failed = path ?? details?.path
  return typeof failed === 'string' && sources.some(source => 'path' in source && source.path === failed)
}

export function saidBy (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `prefix` says what was being done. */
export function toJobError (error: unknown, prefix?: string): JobError {
  const said = saidBy(error)
  const code = conversionCode(error)
  if (code != null) {
    return { code: FROM_CONVERSION[code] ?? 'failed', message: said, details: (error as { details?: Record<string, unknown> }).details }
  }
  return { code: 'failed', message: prefix == null ? said : `${prefix}: ${said}` }
}

const OUTPUT_ADVICE: Record<string, string> = {
  ENOENT: 'its folder does not exist; create it first',
  ENOTDIR: 'a part of its path is not a folder',
  EACCES: 'permission denied; choose a folder the daemon\'s user may write to',
  EPERM: 'permission denied; choose a folder the daemon\'s user may write to',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder; name a file in it',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENAMETOOLONG: 'its name is too long',
  EFBIG: 'the file would be too large for this file system'
}

/** A failure to make, write or rename the output. */
export function toOutputError (error: unknown, output: string): JobError {
  const code = (error as { code?: unknown } | undefined)?.code
  const system = code === 'EACCES' && inFile(output) ? 'ENOTDIR' : code
  if (system === 'EEXIST') return outputExists(output)
  const advice = typeof system === 'string' ? OUTPUT_ADVICE[system] : undefined
  if (system === 'ENOSPC' || system === 'EDQUOT') return noRoom(output, `${advice}`, system)
  if (advice != null) return { code: 'output-unwritable', message: `cannot write '${output}': ${advice}`, details: { path: output, system } }
  return toJobError(error, `cannot write '${output}'`)
}

function noRoom (output: string, what: string, system: string): JobError {
  const folder = dirname(output)
  let freeBytes: number | undefined
  try {
    const { bavail, bsize } = statfsSync(folder)
    freeBytes = bavail * bsize
  } catch {
    // Then it is not said: that there is no room is known without it.
  }
  const free = freeBytes == null ? '' : ` (${freeBytes} bytes free in ${folder})`
  return { code: 'output-unwritable', message: `cannot write '${output}': ${what}${free}; make room there, or name an output on another disk`, details: { path: output, system, freeBytes } }
}

/** Whether what should be the folder is a file: asked for the right to search it, the system says EACCES of that, too. */
function inFile (output: string): boolean {
  try {
    return !statSync(dirname(output)).isDirectory()
  } catch {
    // It cannot be looked at either: what was said first stands.
    return false
  }
}

/** An error about a block, with where that is in the user's file. */
export function atBlock (error: JobError, path: string | undefined, firstLine: number): JobError {
  const line = error.details?.line
  const where = typeof line === 'number' ? `${path}, line ${line}` : `${path}, from line ${firstLine}`
  return {
    ...error,
    message: error.message.includes(String(path)) ? error.message : `${where}: ${error.message}`,
    details: { ...error.details, path, line: line ?? firstLine }
  }
}

export function outputExists (output: string): JobError {
  return { code: 'output-exists', message: `'${output}' exists; choose another name or ask to overwrite it (--overwrite)`, details: { path: output } }
}

/**
 * That nobody is left to do the work, with who was left out and why: those that `nodes` names first, for that the others were not named is known. How many it was
 * for their price is said whether they were never attached or asked too much later.
 */
export function withRefusals (error: JobError, refusals: Refusal[], nodes: string[] | undefined, price: PriceLimit): JobError {
  const attached = error.details?.tooDear as string[] | undefined
  const dear = new Set([...attached ?? [], ...refusals.filter(({ reason }) => reason === 'price').map(({ peer }) => peer)])
  const message = dear.size === 0 || error.code !== 'no-provider' ? error.message : nobodyWithin(price, dear.size)
  if (refusals.length === 0) return { ...error, message }
  const named = (peer: string): number => nodes?.includes(peer) === true ? 0 : 1
  const refused = refusals.toSorted((a, b) => named(a.peer) - named(b.peer)).slice(0, REFUSALS_TOLD)
  const who = refused.slice(0, REFUSALS_NAMED).map(({ peer, reason, message }) => `${peer}: ${reason}: ${message}`).join('; ')
  return { ...error, message: `${message} (left out: ${who})`, details: { ...error.details, refused } }
}
