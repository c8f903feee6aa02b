/** What went wrong, as the user is told: one line, a stable code, an exit code. */
import { EXIT, exitCodeOf, type ExitCode } from './exit.ts'

export class Failure extends Error {
  static override readonly name = 'Failure'
  override readonly name = 'Failure'
  readonly code: string
  readonly details: Record<string, unknown>
  readonly exit: ExitCode

  constructor (code: string, message: string, details: Record<string, unknown> = {}, options: ErrorOptions & { exit?: ExitCode } = {}) {
    super(message, options)
    this.code = code
    this.details = details
    this.exit = options.exit ?? exitCodeOf(code, details)
  }

  toJSON (): { error: { code: string, message: string, details: Record<string, unknown> } } {
    return { error: { code: this.code, message: this.message, details: this.details } }
  }
}

/** Wrong usage: the message says what to write instead. */
export const usage = (message: string, details?: Record<string, unknown>): Failure => new Failure('usage', message, details)

/** Errors of the daemon's modules by name: importing their classes would cost every verb their start. */
const BY_NAME: Record<string, { code: string, exit?: ExitCode }> = {
  ConfigError: { code: 'bad-configuration' },
  DataDirLockedError: { code: 'data-dir-locked' },
  DataDirVersionError: { code: 'data-dir-version' },
  DataDirError: { code: 'data-dir' },
  IdentityError: { code: 'identity' }
}

interface Known extends Error { code?: string, details?: Record<string, unknown>, error?: { code: string, message: string, details?: Record<string, unknown> } }

/** Any error as a Failure. What nobody foresaw keeps its words, and its stack with WEFT_TEST_DEBUG=1. */
export function toFailure (error: unknown): Failure {
  if (error instanceof Failure) return error
  const known = (error instanceof Error ? error : new Error(String(error))) as Known
  const named = BY_NAME[known.name]
  if (named != null) return new Failure(named.code, oneLine(known.message), known.details ?? {}, { cause: error, exit: named.exit ?? exitCodeOf(named.code) })
  if (known.name === 'JobRefusedError' && known.error != null) return new Failure(known.error.code, oneLine(known.error.message), known.error.details, { cause: error })
  if ((known.name === 'ApiError' || known.name === 'ConversionError') && known.code != null) return new Failure(known.code, oneLine(known.message), known.details, { cause: error })
  return new Failure(known.code ?? 'failed', oneLine(known.message === '' ? known.name : known.message), {}, { cause: error, exit: EXIT.failed })
}

export const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, '; ')
