/**
 * Values from text, as it stands in a CSV field or a JSON string, to their canonical form (values.ts).
 *
 * `source` parsers hold to the lexical rules of schema.ts and nothing else, for what they let pass is what a conversion
 * promises to keep. `result` parsers take what DuckDB writes, of every type.
 */
import { nestedParser } from './json/nested.ts'
import { jsonValue } from './json/text.ts'
import { parseType } from './types.ts'
import { canonicalInteger, DATE_INFINITY, INVALID, TIMESTAMP_INFINITY } from './values.ts'

export type Side = 'source' | 'result'

/** Gives the canonical value, or INVALID. Never called for NULL. */
export type TextParser = (text: string) => unknown

const DAY_MICROS = 86_400_000_000
/** Days whose microseconds are exact as a number. */
const SAFE_DAYS = Math.floor(Number.MAX_SAFE_INTEGER / DAY_MICROS) - 1

/** Chosen once per column. @throws ConversionError `bad-parameters` for an unknown type */
export function textParser (type: string, side: Side): TextParser {
  const parsed = parseType(type)
  const { kind, precision, scale } = parsed
  switch (kind) {
    case 'BOOLEAN': return parseBoolean
    case 'TINYINT': return integerParser(-128, 127)
    case 'SMALLINT': return integerParser(-32768, 32767)
    case 'INTEGER': return integerParser(-2147483648, 2147483647)
    case 'BIGINT': return parseBigint
    case 'UTINYINT': return integerParser(0, 255)
    case 'USMALLINT': return integerParser(0, 65535)
    case 'UINTEGER': return integerParser(0, 4294967295)
    case 'UBIGINT': return text => inRange(parseInteger(text), 0n, 18446744073709551615n)
    case 'FLOAT': return text => single(parseFloating(text))
    case 'DOUBLE': return parseFloating
    case 'DECIMAL': return decimalParser(precision, scale, side === 'result')
    case 'DATE': return side === 'source' ? parseDate : parseAnyDate
    case 'TIME': return text => text.length < 8 ? INVALID : clock(text, 0, text.length, 6)
    case 'TIMESTAMP': return side === 'source' ? parseMoment : text => parseAnyMoment(text, 6, false)
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS': return text => parseAnyMoment(text, 6, false)
    case 'TIMESTAMPTZ': return text => parseAnyMoment(text, 6, true)
    case 'TIMESTAMP_NS': return text => parseAnyMoment(text, 9, false)
    case 'VARCHAR': return text => text
    case 'JSON': return text => {
      const value = jsonValue(text)
      return value === undefined ? INVALID : value
    }
    case 'BLOB': return parseBlob
    case 'INTERVAL': return parseInterval
    case 'LIST':
    case 'STRUCT':
    case 'MAP': return nestedParser(parsed, part => textParser(part, side), side === 'result')
    case 'UUID': return text => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text) ? text : INVALID
  }
}

function parseBoolean (text: string): unknown {
  switch (text) {
    case 'true': case 'True': case 'TRUE': return true
    case 'false': case 'False': case 'FALSE': return false
    default: return INVALID
  }
}

/** Characters of an integer that any type holds. */
const INTEGER_CHARS_MAX = 40

/** `-?(0|[1-9]\d*)`. */
function parseInteger (text: string): unknown {
  const negative = text.charCodeAt(0) === 45
  let i = negative ? 1 : 0
  const length = text.length
  const first = text.charCodeAt(i)
  if (i === length || (first === 48 && length > i + 1)) return INVALID
  let value = 0
  for (; i < length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit <= 9)) return INVALID
    value = value * 10 + digit
  }
  if (value <= Number.MAX_SAFE_INTEGER) return negative && value !== 0 ? -value : value
  return length > INTEGER_CHARS_MAX ? INVALID : canonicalInteger(BigInt(text))
}

function inRange (value: unknown, low: bigint, high: bigint): unknown {
  return value === INVALID || (value as number | bigint) < low || (value as number | bigint) > high ? INVALID : value
}

function parseBigint (text: string): unknown {
  const value = parseInteger(text)
  return typeof value === 'number' ? value : inRange(value, -9223372036854775808n, 9223372036854775807n)
}

function integerParser (low: number, high: number): TextParser {
  return text => {
    const value = parseInteger(text)
    return typeof value === 'number' && value >= low && value <= high ? value : INVALID
  }
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** A JSON number as the nearest double; one that would become infinite is no double. */
function parseNumber (text: string): unknown {
  if (!NUMBER.test(text)) return INVALID
  const value = Number(text)
  return Number.isFinite(value) ? value : INVALID
}

function parseFloating (text: string): unknown {
  switch (text) {
    case 'nan': return NaN
    case 'inf': return Infinity
    case '-inf': return -Infinity
    default: return parseNumber(text)
  }
}

function single (value: unknown): unknown {
  return value === INVALID ? INVALID : Math.fround(value as number)
}

/** `-?(0|[1-9]\d*)(\.\d{1,s})?` with at most p - s digits before the point. `bare`: without the zero of 0.5, as DuckDB writes it where p is s. */
function decimalParser (precision: number, scale: number, bare: boolean): TextParser {
  const whole = precision - scale
  const powers = Array.from({ length: scale + 1 }, (_, i) => 10 ** i)
  return text => {
    const negative = text.charCodeAt(0) === 45
    const start = negative ? 1 : 0
    const length = text.length
    let value = 0
    let i = start
    let digit = 0
    for (; i < length && (digit = text.charCodeAt(i) - 48) >= 0 && digit <= 9; i++) value = value * 10 + digit
    const digits = i - start
    if ((digits === 0 && !(bare && whole === 0)) || (digits > 1 && text.charCodeAt(start) === 48)) return INVALID
    // the zero of 0.25 is no digit of the number
    if (digits > whole && !(whole === 0 && digits === 1 && text.charCodeAt(start) === 48)) return INVALID
    let fraction = 0
    if (i < length) {
      if (text.charCodeAt(i) !== 46) return INVALID
      const point = i++
      for (; i < length; i++) {
        digit = text.charCodeAt(i) - 48
        if (!(digit >= 0 && digit <= 9)) return INVALID
        value = value * 10 + digit
      }
      fraction = length - point - 1
      if (fraction === 0 || fraction > scale) return INVALID
    } else if (digits === 0) return INVALID
    const scaled = value * (powers[scale - fraction] as number)
    if (scaled <= Number.MAX_SAFE_INTEGER) return negative && scaled !== 0 ? -scaled : scaled
    const exact = BigInt(text.slice(start).replace('.', '')) * 10n ** BigInt(scale - fraction)
    return canonicalInteger(negative ? -exact : exact)
  }
}

/** Two digits at a position, or NaN-like -1. */
function two (text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1
}

const MONTH_DAYS = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Days since 1970-01-01 of a date of the proleptic Gregorian calendar, or INVALID if there is no such day. */
export function daysOf (year: number, month: number, day: number): number | typeof INVALID {
  if (month < 1 || month > 12 || day < 1) return INVALID
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  if (day > (MONTH_DAYS[month] as number) + (month === 2 && leap ? 1 : 0)) return INVALID
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** `yyyy-mm-dd` in the first ten characters. */
function shortDate (text: string): number | typeof INVALID {
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return INVALID
  const century = two(text, 0)
  const year = two(text, 2)
  if (century < 0 || year < 0) return INVALID
  return daysOf(century * 100 + year, two(text, 5), two(text, 8))
}

function parseDate (text: string): unknown {
  return text.length === 10 ? shortDate(text) : INVALID
}

/** DuckDB's dates: more than four digits of a year, a trailing ` (BC)`, and infinity. */
function parseAnyDate (text: string): unknown {
  if (text.length === 10) return shortDate(text)
  if (text === 'infinity') return DATE_INFINITY
  if (text === '-infinity') return -DATE_INFINITY
  const match = /^(\d{4,})-(\d\d)-(\d\d)( \(BC\))?$/.exec(text)
  if (match == null) return INVALID
  return daysOf(match[4] == null ? Number(match[1]) : 1 - Number(match[1]), Number(match[2]), Number(match[3]))
}

/** `hh:mm:ss[.f]` between two positions, in 10^-digits seconds; 24:00:00 is the end of the day. */
function clock (text: string, from: number, to: number, digits: number): number | typeof INVALID {
  if (to - from < 8 || text.charCodeAt(from + 2) !== 58 || text.charCodeAt(from + 5) !== 58) return INVALID
  const hours = two(text, from)
  const minutes = two(text, from + 3)
  const seconds = two(text, from + 6)
  if (hours < 0 || hours > 24 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59) return INVALID
  let fraction = 0
  let places = 0
  if (to - from > 8) {
    if (text.charCodeAt(from + 8) !== 46) return INVALID
    for (let i = from + 9; i < to; i++) {
      const digit = text.charCodeAt(i) - 48
      if (!(digit >= 0 && digit <= 9)) return INVALID
      fraction = fraction * 10 + digit
      places++
    }
    if (places === 0 || places > digits) return INVALID
    for (; places < digits; places++) fraction *= 10
  }
  if (hours === 24 && (minutes > 0 || seconds > 0 || fraction > 0)) return INVALID
  return (hours * 3600 + minutes * 60 + seconds) * 10 ** digits + fraction
}

/** `yyyy-mm-dd[T ]hh:mm:ss[.ffffff]` in microseconds; four digits of a year are always exact as a number or nearly so. */
function parseMoment (text: string): unknown {
  const separator = text.charCodeAt(10)
  if (separator !== 32 && separator !== 84) return INVALID
  const days = shortDate(text)
  const within = clock(text, 11, text.length, 6)
  if (days === INVALID || within === INVALID || within >= DAY_MICROS) return INVALID
  return moment(days, within, 6)
}

function moment (days: number, within: number, digits: number): number | bigint {
  if (digits === 6 && days < SAFE_DAYS && days > -SAFE_DAYS) return days * DAY_MICROS + within
  return canonicalInteger(BigInt(days) * 86_400n * 10n ** BigInt(digits) + BigInt(within))
}

const MOMENT = /^(\d{4,}-\d\d-\d\d)( \(BC\))?(?:[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?))?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?$/

/** DuckDB's timestamps: long years, BC, infinity, an offset where the type has one. */
function parseAnyMoment (text: string, digits: number, zone: boolean): unknown {
  if (text === 'infinity') return TIMESTAMP_INFINITY
  if (text === '-infinity') return -TIMESTAMP_INFINITY
  if (!zone && digits === 6) {
    const value = parseMoment(text)
    if (value !== INVALID) return value
  }
  const match = MOMENT.exec(text)
  if (match == null) return INVALID
  const [, date, bc, time, z, sign, hours, minutes, seconds] = match
  if (zone !== (z != null || sign != null)) return INVALID
  const days = parseAnyDate(`${date}${bc ?? ''}`)
  const within = time == null ? 0 : clock(time, 0, time.length, digits)
  if (days === INVALID || within === INVALID) return INVALID
  const value = BigInt(moment(days as number, within, digits))
  if (sign == null) return canonicalInteger(value)
  const offset = (Number(hours) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)) * (sign === '-' ? -1 : 1)
  return canonicalInteger(value - BigInt(offset) * 10n ** BigInt(digits))
}

const INTERVAL = /^(?:(-?\d{1,9}) years?)?(?: ?(-?\d{1,2}) months?)?(?: ?(-?\d{1,10}) days?)?(?: ?(-?)(\d{2,10}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/

/** DuckDB's intervals: `1 year 2 months -3 days -04:05:06.7`, any part left out but not all. */
function parseInterval (text: string): unknown {
  const match = text === '' || text.startsWith(' ') ? null : INTERVAL.exec(text)
  if (match == null) return INVALID
  const [, years = '0', months = '0', days = '0', sign = '', hours = '0', minutes = '0', seconds = '0', fraction = ''] = match
  const micros = (BigInt(hours) * 3600n + BigInt(minutes) * 60n + BigInt(seconds)) * 1_000_000n + BigInt(fraction.padEnd(6, '0'))
  return `${BigInt(years) * 12n + BigInt(months)}/${BigInt(days)}/${sign === '-' ? -micros : micros}`
}

/** DuckDB writes bytes as ASCII, with `\xHH` for whatever is not printable. */
function parseBlob (text: string): unknown {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return INVALID
  if (!text.includes('\\')) return text
  let wrong = false
  const bytes = text.replace(/\\(?:x([0-9A-Fa-f]{2}))?/g, (_, hex?: string) => {
    if (hex == null) wrong = true
    return String.fromCharCode(parseInt(hex ?? '0', 16))
  })
  return wrong ? INVALID : bytes
}
