/** From what a worker answered to what a job is told, after every check of it. */
import { decodeCanonical } from '../trust/index.ts'
import { DETAILS_BYTES_MAX } from './constants.ts'
import type { AttemptOutcome, FailureReason } from './index.ts'
import type { WireFailure, WireFailureReason } from './messages.ts'

type Failure = Extract<AttemptOutcome, { ok: false }>

/** Text of others ends up in logs, reports and on terminals: control characters become spaces. */
export function printable (text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
}

export function failed (attempt: { block: number, attempt: number }, reason: FailureReason, message: string): Failure {
  return { ok: false, block: attempt.block, attempt: attempt.attempt, reason, message: printable(message) }
}

/** `needs-stream` never reaches a job: it can only be left over from an attempt that was cancelled meanwhile. */
function reasonOf (reason: WireFailureReason): FailureReason {
  return reason === 'needs-stream' ? 'cancelled' : reason
}

export function failureOutcome (attempt: { block: number, attempt: number }, failure: WireFailure): Failure {
  const outcome: Failure = failed(attempt, reasonOf(failure.reason), failure.message)
  if (failure.code !== '') outcome.code = printable(failure.code)
  if (failure.retryAfterMs !== 0) outcome.retryAfterMs = failure.retryAfterMs
  if (failure.details != null) {
    const details = readMap(failure.details)
    if (details != null) outcome.details = details
  }
  return outcome
}

function readMap (bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value = decodeCanonical(bytes, { maxBytes: DETAILS_BYTES_MAX })
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // details only explain; a failure with details that cannot be read is still that failure
  }
  return undefined
}
