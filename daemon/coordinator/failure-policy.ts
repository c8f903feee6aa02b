/** What a failed attempt means: for the job, for its block, for its worker. Pure. */
import type { BreakerCause } from './breaker.ts'
import type { FailureReason } from '../task-protocol/index.ts'
import type { JobError, JobErrorCode } from './index.ts'
import type { JobLimits } from './constants.ts'

export type FailureVerdict =
  /** Nobody could do better: the job ends. */
  | { kind: 'job', error: JobError }
  /** A peer says so; believed only when another attempt says it too. */
  | { kind: 'doubt', cause: BreakerCause }
  /** The worker has no room now. */
  | { kind: 'pause' }
  /** The worker takes nothing more until it says otherwise. */
  | { kind: 'drained' }
  /** The worker cannot or will not do this job. */
  | { kind: 'exclude', reason: string }
  /** Counts against block and worker; tried again elsewhere. */
  | { kind: 'blame', engine: boolean, cause: BreakerCause }

export interface Failure {
  block: number
  reason: FailureReason
  message: string
  code?: string
  details?: Record<string, unknown>
}

/** Codes by which a converter says that the input, or what was asked, is at fault. */
const INPUT_CODES: readonly JobErrorCode[] = ['contradiction', 'bad-input', 'unsupported', 'bad-parameters', 'input-changed', 'input-unreadable', 'unknown-type']

export function afterFailure (failure: Failure, about: { remote: boolean, blamed: boolean }): FailureVerdict {
  switch (failure.reason) {
    case 'conversion': {
      const code = INPUT_CODES.find(known => known === failure.code)
      if (code == null) return { kind: 'blame', engine: true, cause: 'conversion' }
      if (about.remote && !about.blamed) return { kind: 'doubt', cause: 'conversion' }
      return { kind: 'job', error: { code, message: failure.message, details: { ...failure.details, block: failure.block } } }
    }
    // Whoever converts it, this node cannot keep it.
    case 'store': return { kind: 'job', error: { code: 'failed', message: `storing a result: ${failure.message}`, details: { system: 'ENOSPC' } } }
    case 'busy': return { kind: 'pause' }
    case 'draining': return { kind: 'drained' }
    case 'policy':
    case 'unsupported':
    case 'expired':
    case 'protocol': return { kind: 'exclude', reason: `${failure.reason}: ${failure.message}` }
    case 'crash':
    case 'hang':
    case 'out-of-memory':
    case 'output-limit': return { kind: 'blame', engine: true, cause: failure.reason }
    case 'unavailable':
    case 'transfer':
    case 'cancelled':
    case 'lost': return { kind: 'blame', engine: false, cause: failure.reason }
  }
}

/** How long a worker is left alone after so many refusals in a row; a hint of its own is followed within the limit. */
export function pauseMs (inRow: number, limits: JobLimits, hintMs?: number): number {
  if (hintMs != null && hintMs >= 0) return Math.min(Math.max(hintMs, 1), limits.retryMsMax)
  return Math.min(limits.retryMs * 2 ** Math.min(inRow - 1, 20), limits.retryMsMax)
}
