/** What went wrong, told from what is left of a process or an error. Pure. */
import { MESSAGE_CHARACTERS_MAX } from './constants.ts'
import type { EngineAnswer } from './messages.ts'
import type { EngineFailure } from './index.ts'

/** Why the executor killed a process. */
export interface KillReason { reason: EngineFailure, message: string }

export interface Death {
  /** Set if we killed it. */
  killed?: KillReason
  code: number | null
  signal: NodeJS.Signals | null
  /** The end of what it wrote to standard output and error. */
  lastWords: string
  /** Most resident bytes seen. */
  peakBytes: number
  memoryBytes: number
}

const OUT_OF_MEMORY = /out of memory|bad_alloc|cannot allocate memory|allocation failed|\bENOMEM\b/i
const OUTPUT_LIMIT = /\bEFBIG\b|file too large/i
const NO_SPACE = /\bENOSPC\b|no space left on device/i

/** Share of the memory limit above which a SIGKILL that is not ours is taken for the kernel's out-of-memory kill. */
const KERNEL_KILL_SHARE = 0.5

/** Signal numbers by which a process under a wrapper (bwrap, sh) ends with 128 + number. */
const SIGNALS: Record<number, NodeJS.Signals> = { 4: 'SIGILL', 5: 'SIGTRAP', 6: 'SIGABRT', 7: 'SIGBUS', 8: 'SIGFPE', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM', 24: 'SIGXCPU', 25: 'SIGXFSZ' }

/** Why an engine process that had a task is no more. */
export function verdictOfDeath (death: Death): KillReason {
  if (death.killed != null) return death.killed
  const signal = death.signal ?? (death.code != null && death.code > 128 ? SIGNALS[death.code - 128] : undefined)
  if (signal === 'SIGXFSZ') return { reason: 'output-limit', message: 'the engine wrote a file larger than it may' }
  if (OUT_OF_MEMORY.test(death.lastWords)) return { reason: 'out-of-memory', message: 'the engine could not allocate memory' }
  if (signal === 'SIGKILL' && death.peakBytes >= death.memoryBytes * KERNEL_KILL_SHARE) {
    return { reason: 'out-of-memory', message: 'the system killed the engine while its memory was high' }
  }
  const how = signal != null ? `was ended by ${signal}` : `ended with code ${death.code ?? 'unknown'}`
  const words = lastLine(death.lastWords)
  return { reason: 'crash', message: `the engine process ${how}${words === '' ? '' : `: ${words}`}` }
}

/** What an error thrown by a converter means for its attempt. */
export function verdictOfError (error: unknown): Extract<EngineAnswer, { ok: false }> {
  const { name, message, code, details } = (typeof error === 'object' && error != null ? error : { message: String(error) }) as Record<string, unknown>
  const text = cut(typeof message === 'string' ? message : String(error))
  const said = `${String(code ?? '')} ${text}`
  const expected = name === 'ConversionError' && typeof code === 'string'
  if (!expected || code === 'engine') {
    // Of the machine, not of the data: another worker may well succeed.
    if (OUT_OF_MEMORY.test(said)) return { ok: false, reason: 'out-of-memory', message: text }
    if (OUTPUT_LIMIT.test(said)) return { ok: false, reason: 'output-limit', message: text }
    if (NO_SPACE.test(said)) return { ok: false, reason: 'unavailable', message: text }
  }
  return {
    ok: false,
    reason: 'conversion',
    message: text,
    code: expected ? code : 'engine',
    ...(expected && typeof details === 'object' && details != null ? { details: details as Record<string, unknown> } : {})
  }
}

/** The last line that says something, without control characters. */
export function lastLine (text: string): string {
  const lines = text.split('\n').map(line => line.replaceAll(/\p{Cc}+/gu, ' ').trim()).filter(line => line !== '')
  return cut(lines.findLast(line => /error|fatal|abort|exception|bwrap|prlimit/i.test(line)) ?? lines.at(-1) ?? '')
}

function cut (text: string): string {
  return text.length > MESSAGE_CHARACTERS_MAX ? `${text.slice(0, MESSAGE_CHARACTERS_MAX)}...` : text
}
