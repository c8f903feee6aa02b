/**
 * The lexical rules of text sources: which texts a type holds *exactly*. They decide types from samples (`infer.ts`) and
 * prove them for every value (`csv-scan.ts`, `json-scan.ts`).
 *
 * | type | texts |
 * |---|---|
 * | BIGINT | `-?(0\|[1-9]\d*)` within 64 bits |
 * | DECIMAL(p,s) | `-?(0\|[1-9]\d*)(\.\d{1,s})?`, at most p-s digits before the point (a lone 0 counts as none) |
 * | BOOLEAN | `true`, `True`, `TRUE`, `false`, `False`, `FALSE` |
 * | DATE | `yyyy-mm-dd`, a day that exists, years 0001 to 9999 |
 * | TIME | `hh:mm:ss[.f]`, 00:00:00 to 23:59:59.999999, one to six digits of fraction |
 * | TIMESTAMP | DATE, `T` or a space, TIME |
 * | TIMESTAMPTZ | TIMESTAMP followed by `Z` or `±hh[:mm]`; never inferred, since the instant alone loses the offset |
 * | DOUBLE | a JSON number within range, or `nan`, `inf`, `-inf`; never inferred from CSV, since it rounds |
 * | VARCHAR | anything |
 */
import { MESSAGE_VALUE_MAX } from './constants.ts'

const INTEGER = /^-?(?:0|[1-9]\d*)$/
const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?$/
const REAL = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const BOOLEAN = /^(?:true|True|TRUE|false|False|FALSE)$/
const DATE = /^(\d{4})-(\d\d)-(\d\d)$/
const TIME = /^(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?$/
const OFFSET = /(?:Z|[+-](?:0\d|1[0-4])(?::[0-5]\d)?)$/
const DECIMAL = /^DECIMAL\((\d+),(\d+)\)$/

const BIGINT_DIGITS = 19
const BIGINT_MAX = '9223372036854775807'
const BIGINT_MIN = '9223372036854775808'
/** Digits of DuckDB's widest decimal. */
export const DECIMAL_DIGITS = 38

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether a day exists in the Gregorian calendar, years 1 to 9999. */
export function isDay (year: number, month: number, day: number): boolean {
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) return false
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return day <= MONTH_DAYS[month - 1]! + (leap ? 1 : 0)
}

export function isInteger64 (text: string): boolean {
  if (!INTEGER.test(text)) return false
  const negative = text.charCodeAt(0) === 45
  const digits = negative ? text.slice(1) : text
  if (digits.length !== BIGINT_DIGITS) return digits.length < BIGINT_DIGITS
  return digits <= (negative ? BIGINT_MIN : BIGINT_MAX)
}

/** Digits before and after the point of a plain decimal text, or undefined if it is none. A lone 0 has no digits before. */
export function decimalDigits (text: string): { whole: number, fraction: number } | undefined {
  const match = NUMBER.exec(text)
  if (match == null) return undefined
  return { whole: match[2] === '0' ? 0 : match[2]!.length, fraction: match[3]?.length ?? 0 }
}

function isDate (text: string): boolean {
  const match = DATE.exec(text)
  return match != null && isDay(Number(match[1]), Number(match[2]), Number(match[3]))
}

function isTimestamp (text: string): boolean {
  const between = text.charCodeAt(10)
  return (between === 32 || between === 84) && isDate(text.slice(0, 10)) && TIME.test(text.slice(11))
}

/** Precision and scale of a DECIMAL type name, or undefined for other types. */
export function decimalOf (type: string): { precision: number, scale: number } | undefined {
  const match = DECIMAL.exec(type)
  return match == null ? undefined : { precision: Number(match[1]), scale: Number(match[2]) }
}

/** A predicate telling whether a text is an exact value of the type. Unknown types hold nothing. */
export function lexicalRule (type: string): (text: string) => boolean {
  const decimal = decimalOf(type)
  if (decimal != null) {
    return text => {
      const digits = decimalDigits(text)
      return digits != null && digits.fraction <= decimal.scale && digits.whole <= decimal.precision - decimal.scale
    }
  }
  switch (type) {
    case 'VARCHAR': return () => true
    case 'BIGINT': return isInteger64
    case 'BOOLEAN': return text => BOOLEAN.test(text)
    case 'DATE': return isDate
    case 'TIME': return text => TIME.test(text)
    case 'TIMESTAMP': return isTimestamp
    case 'TIMESTAMPTZ': return text => {
      const offset = OFFSET.exec(text)
      return offset != null && isTimestamp(text.slice(0, offset.index))
    }
    case 'DOUBLE': return text => text === 'nan' || text === 'inf' || text === '-inf' || (REAL.test(text) && Number.isFinite(Number(text)))
    default: return () => false
  }
}

/** A value as it is shown in a message: one line, bounded. */
export function shown (value: string): string {
  const line = value.length > MESSAGE_VALUE_MAX ? value.slice(0, MESSAGE_VALUE_MAX) + '…' : value
  return JSON.stringify(line)
}
