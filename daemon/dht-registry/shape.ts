/** Reads the fields of decoded values that strangers wrote. */
import { AMOUNT_DIGITS_MAX, NAME_CHARS_MAX } from './constants.ts'
import { AdvertError } from './errors.ts'

export type Fields = Record<string, unknown>

/** A map with exactly these keys. */
export function exactly (value: unknown, keys: readonly string[], what: string): Fields {
  if (typeof value !== 'object' || value == null || Array.isArray(value) || value instanceof Uint8Array) throw malformed(`${what} is not a map`)
  const found = Object.keys(value)
  if (found.length !== keys.length || !keys.every(key => Object.hasOwn(value, key))) throw malformed(`${what} has other fields than ${keys.join(', ')}`)
  return value as Fields
}

export function list (value: unknown, max: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > max) throw malformed(`${what} is not a list of at most ${max}`)
  return value
}

/** Text of others ends up in logs and on terminals: no control characters. */
export function text (value: unknown, what: string): string {
  // eslint-disable-next-line no-control-regex
  if (typeof value !== 'string' || value.length > NAME_CHARS_MAX || /[\u0000-\u001f\u007f-\u009f]/.test(value)) throw malformed(`${what} is not text of at most ${NAME_CHARS_MAX} characters`)
  return value
}

/** A whole number from 0, safe in JavaScript. */
export function count (value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed(`${what} is not a whole number`)
  return value
}

/** UTC milliseconds that a Date can hold. */
export function time (value: unknown, what: string): number {
  const at = count(value, what)
  if (at > 8.64e15) throw malformed(`${what} is not a time`)
  return at
}

/** An amount of money, decimal digits. */
export function amount (value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length > AMOUNT_DIGITS_MAX || !/^(0|[1-9][0-9]*)$/.test(value)) throw malformed(`${what} is not an amount`)
  return value
}

export function flag (value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw malformed(`${what} is neither true nor false`)
  return value
}

export function bytes (value: unknown, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed(`${what} is not bytes`)
  return value
}

export function malformed (message: string): AdvertError {
  return new AdvertError('malformed', message)
}
