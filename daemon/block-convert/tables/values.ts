/**
 * One canonical form per column type, so that comparing two readers' values is `===` for almost all of them.
 *
 * | type | canonical form |
 * |---|---|
 * | any, NULL | `null` |
 * | BOOLEAN | boolean |
 * | integers | number where it is exact (`Number.isSafeInteger`), else bigint: one form per value |
 * | FLOAT, DOUBLE | number. NaN equals NaN whatever its payload; 0 and -0 differ, for both survive every format |
 * | DECIMAL(p,s) | the unscaled integer at scale s, as for integers |
 * | DATE | days since 1970-01-01, number |
 * | TIME, TIMESTAMP, TIMESTAMP_S, TIMESTAMP_MS, TIMESTAMPTZ | microseconds (since midnight, since 1970 UTC), as for integers |
 * | TIMESTAMP_NS | nanoseconds since 1970, as for integers |
 * | VARCHAR | string |
 * | JSON | canonical text: no white space, strings escaped the shortest way, numbers by their exact decimal value (1.0 is 1 is 1e0), keys in their order. The value `null` is NULL |
 * | BLOB | string of one char per byte |
 * | UUID | lower case with hyphens |
 * | INTERVAL | `months/days/microseconds`, each an integer in decimal |
 * | LIST, STRUCT, MAP | `nestedText` of their parts |
 *
 * DuckDB's infinite dates and timestamps are their stored extremes (`DATE_INFINITY`, `TIMESTAMP_INFINITY`).
 */
import { parseType, type ColumnType, type Kind } from './types.ts'

export type Value = null | boolean | number | bigint | string

/** What a parser gives for text that is no value of its type. */
export const INVALID: unique symbol = Symbol('invalid')

/** DuckDB stores 'infinity' as the largest value and '-infinity' as its negative. */
export const DATE_INFINITY = 2147483647
export const TIMESTAMP_INFINITY = 9223372036854775807n

/** The canonical form of a 64-bit or wider integer. */
export function canonicalInteger (value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/**
 * Index of the first row, from `from` to `to`, in which two columns differ, or -1. Canonical values need no more than
 * `===`, apart from NaN and the zeros.
 */
export function firstDifference (kind: Kind, a: unknown[], b: unknown[], from: number, to: number): number {
  if (kind === 'FLOAT' || kind === 'DOUBLE') {
    for (let i = from; i < to; i++) if (!Object.is(a[i], b[i])) return i
    return -1
  }
  for (let i = from; i < to; i++) if (a[i] !== b[i]) return i
  return -1
}

/** Parts of a nested value, each in canonical form: a LIST is an array, a STRUCT an array in the order of its fields, a MAP an array of [key, value] in stored order. */
export type Parts = null | boolean | number | bigint | string | Parts[]

/** The canonical form of a value of a nested type: a text that is equal exactly if all parts are. NULL itself stays `null`. */
export function nestedText (value: Parts): string {
  if (Array.isArray(value)) return `[${value.map(nestedText).join(',')}]`
  if (typeof value === 'string') return JSON.stringify(value)
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Characters of a value shown in a message. */
const SHOWN_CHARS_MAX = 60

/** A canonical value in words, for messages. */
export function showValue (value: unknown, type: string): string {
  if (value === null) return 'NULL'
  const parsed = parseType(type)
  const text = plain(value, parsed)
  const shown = text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}... (${text.length} characters)` : text
  return parsed.kind === 'VARCHAR' ? JSON.stringify(shown) : shown
}

function plain (value: unknown, { kind, scale }: ColumnType): string {
  switch (kind) {
    case 'DECIMAL': {
      const negative = (value as number | bigint) < 0
      const digits = String(value).replace('-', '').padStart(scale + 1, '0')
      const number = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
      return negative ? `-${number}` : number
    }
    case 'FLOAT':
    case 'DOUBLE': return Object.is(value, -0) ? '-0' : String(value)
    case 'DATE': return value === DATE_INFINITY ? 'infinity' : value === -DATE_INFINITY ? '-infinity' : dateText(value as number)
    case 'TIME': return clockText(BigInt(value as number), 6)
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
    case 'TIMESTAMPTZ': return momentText(BigInt(value as number | bigint), 6) + (kind === 'TIMESTAMPTZ' ? '+00' : '')
    case 'TIMESTAMP_NS': return momentText(BigInt(value as number | bigint), 9)
    case 'BLOB': return Buffer.from(value as string, 'latin1').toString('hex')
    default: return String(value)
  }
}

function dateText (days: number): string {
  const date = new Date(days * 86_400_000)
  // beyond what Date can show there is still the number itself
  return Number.isNaN(date.getTime()) ? `day ${days}` : date.toISOString().slice(0, date.toISOString().indexOf('T'))
}

function clockText (units: bigint, digits: number): string {
  const perSecond = 10n ** BigInt(digits)
  const seconds = Number(units / perSecond)
  const pad = (n: number): string => String(n).padStart(2, '0')
  const fraction = String(units % perSecond).padStart(digits, '0').replace(/0+$/, '')
  return `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}${fraction === '' ? '' : `.${fraction}`}`
}

function momentText (units: bigint, digits: number): string {
  if (units === TIMESTAMP_INFINITY) return 'infinity'
  if (units === -TIMESTAMP_INFINITY) return '-infinity'
  const perDay = 86_400n * 10n ** BigInt(digits)
  const within = ((units % perDay) + perDay) % perDay
  return `${dateText(Number((units - within) / perDay))} ${clockText(within, digits)}`
}
