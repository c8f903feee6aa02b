/** libp2p's logger over ours. */
import type { ComponentLogger, Logger } from '@libp2p/interface'
import type { Log } from '../log.ts'

/**
 * @param verbose pass libp2p's messages on, at `debug`. Otherwise nothing is even formatted: most of its errors are
 * expected failures of remote peers, and each stream makes a logger, thousands per second.
 */
export function createComponentLogger (log: Log, verbose: boolean): ComponentLogger {
  return { forComponent: name => verbose ? createLogger(log, name) : quiet }
}

const quiet: Logger = Object.assign((): void => {}, { error: () => {}, trace: () => {}, enabled: false, newScope: (): Logger => quiet })

function createLogger (log: Log, name: string): Logger {
  const write = (formatter: unknown, ...args: unknown[]): void => { log.debug({ component: name }, format(formatter, args)) }
  const writeError = (formatter: unknown, ...args: unknown[]): void => { log.debug({ component: name, failed: true }, format(formatter, args)) }
  return Object.assign(write, { error: writeError, trace: () => {}, enabled: true, newScope: (scope: string) => createLogger(log, `${name}:${scope}`) })
}

/** Replaces the `%` placeholders libp2p uses by text, in order. */
export function format (formatter: unknown, args: unknown[]): string {
  if (typeof formatter !== 'string') return [formatter, ...args].map(show).join(' ')
  let next = 0
  return formatter.replace(/%([a-zA-Z%])/g, (placeholder, kind: string) => {
    if (kind === '%') return '%'
    return next < args.length ? show(args[next++]) : placeholder
  })
}

function show (value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(show).join(', ')
  return String(value)
}
