/** The logger every module is handed: pino's levels, children with bound fields. */
import pino from 'pino'

export interface Log {
  debug: (fields: object | string, message?: string) => void
  info: (fields: object | string, message?: string) => void
  warn: (fields: object | string, message?: string) => void
  error: (fields: object | string, message?: string) => void
  child: (bindings: Record<string, unknown>) => Log
}

/** NDJSON on standard error, so that standard output stays for data. */
export function createLog (level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: ['token', 'secret', 'authorization', '*.token', '*.secret'] }, pino.destination({ fd: 2, sync: false }))
}

export const silentLog: Log = { debug () {}, info () {}, warn () {}, error () {}, child: () => silentLog }
