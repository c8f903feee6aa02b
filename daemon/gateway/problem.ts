/** Every error of the API as a problem document (RFC 9457) with a stable `code`. */
import type { JobErrorCode } from '../coordinator/index.ts'
import { ApiError } from './errors.ts'

export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: string
  details?: Record<string, unknown>
}

/** HTTP status of a job that was refused at once. */
const REFUSED: Record<JobErrorCode, number> = {
  usage: 400,
  'unknown-type': 400,
  'bad-parameters': 400,
  'over-budget': 402,
  'no-provider': 409,
  'output-exists': 409,
  'input-changed': 409,
  cancelled: 409,
  interrupted: 409,
  'not-resumable': 409,
  'input-unreadable': 422,
  'bad-input': 422,
  contradiction: 422,
  unsupported: 422,
  'output-unwritable': 422,
  'check-failed': 422,
  deadline: 422,
  failed: 422
}

const TITLES: Record<number, string> = {
  400: 'Bad request', 401: 'Unauthorized', 402: 'Over budget', 403: 'Forbidden', 404: 'Not found', 405: 'Method not allowed', 409: 'Conflict',
  411: 'Length required', 413: 'Too large', 415: 'Unsupported media type', 421: 'Misdirected request', 422: 'Unprocessable', 429: 'Too many requests',
  500: 'Internal error', 502: 'Not reached', 503: 'Not available', 507: 'No space'
}

interface Refusal extends Error { error?: { code?: string, message?: string, details?: Record<string, unknown> }, code?: string, details?: Record<string, unknown> }

/** Known errors keep their words; an unknown one is a fault of ours and says nothing but that. */
export function problemOf (error: unknown): Problem {
  if (error instanceof ApiError) return problem(error.status, error.code, error.message, error.details)
  const refused = error as Refusal
  if (refused.name === 'JobRefusedError' || refused.name === 'ConversionError') {
    const { code = 'failed', message = refused.message, details } = refused.error ?? refused
    return problem(REFUSED[code as JobErrorCode] ?? 422, code, message, details)
  }
  const { statusCode, code, validation } = error as { statusCode?: number, code?: string, validation?: Array<{ instancePath?: string, message?: string, params?: Record<string, unknown> }> }
  if (validation != null) return invalid(error as Error, validation)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return problem(415, 'bad-content-type', 'send application/json in the Content-Type header')
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return problem(413, 'too-large', (error as Error).message)
  if (statusCode != null && statusCode >= 400 && statusCode < 500) return problem(statusCode, 'bad-request', (error as Error).message)
  return problem(500, 'internal', 'the daemon failed in a way that was not expected: see its log')
}

function invalid (error: Error, validation: Array<{ instancePath?: string, message?: string, params?: Record<string, unknown> }>): Problem {
  const [first] = validation
  const where = (error as Error & { validationContext?: string }).validationContext ?? 'body'
  const unknown = (first?.params?.keys as string[] | undefined)?.[0]
  const path = [first?.instancePath?.replace(/^\//, '').replaceAll('/', '.'), unknown].filter(part => part != null && part !== '').join('.')
  return problem(400, 'bad-request', `${where}${path === '' ? '' : ` '${path}'`}: ${unknown != null ? 'unknown key, see /openapi.json' : first?.message ?? error.message}`, { field: path, in: where })
}

function problem (status: number, code: string, detail: string, details?: Record<string, unknown>): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code, ...(details != null && Object.keys(details).length > 0 ? { details } : {}) }
}
