/** Exit codes of the command line (INTERFACE.md), and which failure has which. */

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  noDaemon: 3,
  noProvider: 4,
  checkFailed: 5,
  overBudget: 6,
  deadline: 124,
  interrupted: 130
} as const

export type ExitCode = typeof EXIT[keyof typeof EXIT]

const BY_CODE: Record<string, ExitCode> = {
  usage: EXIT.usage,
  'bad-parameters': EXIT.usage,
  'bad-request': EXIT.usage,
  'bad-configuration': EXIT.usage,
  'no-daemon': EXIT.noDaemon,
  unauthorized: EXIT.noDaemon,
  interrupted: EXIT.noDaemon,
  'foreign-host': EXIT.noDaemon,
  'no-provider': EXIT.noProvider,
  'check-failed': EXIT.checkFailed,
  'over-budget': EXIT.overBudget,
  deadline: EXIT.deadline,
  cancelled: EXIT.interrupted
}

/**
 * `unknown-type` is wrong usage when the type itself is unknown (`details.type` holds what was typed); between two known
 * types it means that nobody has a converter.
 */
export function exitCodeOf (code: string, details: Record<string, unknown> = {}): ExitCode {
  if (code === 'unknown-type') return details.type != null ? EXIT.usage : EXIT.noProvider
  return BY_CODE[code] ?? EXIT.failed
}
