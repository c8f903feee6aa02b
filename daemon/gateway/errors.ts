/** An answer that is not what was asked for; becomes a problem document (RFC 9457) with this status and code. */
export class ApiError extends Error {
  static override readonly name = 'ApiError'
  override readonly name = 'ApiError'
  /** HTTP status. */
  readonly status: number
  /** Machine-readable, stable; for instance `unknown-job` or a JobErrorCode. */
  readonly code: string
  readonly details: Record<string, unknown>
  constructor (status: number, code: string, message: string, details: Record<string, unknown> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.details = details
  }
}
