/** Reads the fields of a decoded bulletin that a stranger wrote. */
import { AMOUNT_DIGITS_MAX, NAME_CHARS_MAX } from './constants.ts'
import { BulletinError } from './errors.ts'
import type { Bulletin } from './index.ts'

const FIELDS = ['version', 'network', 'peer', 'sequence', 'issued', 'expires', 'price', 'unit', 'draining', 'load'] as const

/** A map of exactly the fields of a bulletin. @throws BulletinError `malformed` */
export function shape (value: unknown): Bulletin {
  const fields = exactly(value, FIELDS, 'a bulletin')
  if (fields.version !== 1) throw malformed('a bulletin of another version')
  const load = exactly(fields.load, ['slots', 'busy', 'loopDelayMs'], 'load')
  if (typeof fields.draining !== 'boolean') throw malformed('draining is neither true nor false')
  return {
    version: 1,
    network: text(fields.network, 'network'),
    peer: text(fields.peer, 'peer'),
    sequence: count(fields.sequence, 'sequence'),
    issued: time(fields.issued, 'issued'),
    expires: time(fields.expires, 'expires'),
    price: amount(fields.price),
    unit: text(fields.unit, 'unit'),
    draining: fields.draining,
    load: { slots: count(load.slots, 'slots'), busy: count(load.busy, 'busy'), loopDelayMs: count(load.loopDelayMs, 'loopDelayMs') }
  }
}

function exactly (value: unknown, keys: readonly string[], what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value == null || Array.isArray(value) || value instanceof Uint8Array) throw malformed(`${what} is not a map`)
  if (Object.keys(value).length !== keys.length || !keys.every(key => Object.hasOwn(value, key))) throw malformed(`${what} has other fields than ${keys.join(', ')}`)
  return value as Record<string, unknown>
}

/** Text of others ends up in logs and on terminals: no control characters. */
function text (value: unknown, what: string): string {
  // eslint-disable-next-line no-control-regex
  if (typeof value !== 'string' || value.length > NAME_CHARS_MAX || /[\u0000-\u001f\u007f-\u009f]/.test(value)) throw malformed(`${what} is not text of at most ${NAME_CHARS_MAX} characters`)
  return value
}

function count (value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed(`${what} is not a whole number`)
  return value
}

/** UTC milliseconds that a Date can hold. */
function time (value: unknown, what: string): number {
  const at = count(value, what)
  if (at > 8.64e15) throw malformed(`${what} is not a time`)
  return at
}

function amount (value: unknown): string {
  if (typeof value !== 'string' || value.length > AMOUNT_DIGITS_MAX || !/^(0|[1-9][0-9]*)$/.test(value)) throw malformed('price is not an amount')
  return value
}

export function malformed (message: string, cause?: unknown): BulletinError {
  return new BulletinError('malformed', message, cause == null ? undefined : { cause })
}
