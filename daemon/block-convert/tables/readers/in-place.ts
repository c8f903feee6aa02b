/**
 * The common forms of the common types, read in place from a larger text without cutting the field out of it first. Whatever
 * is not of the common form is left to the parsers of value-text.ts, whose results these equal.
 */
import type { ColumnType } from '../types.ts'
import { daysOf } from '../value-text.ts'

/** How a column's fields are read in place. */
export const IN_PLACE = { NOTHING: 0, INTEGER: 1, DECIMAL: 2, DOUBLE: 3, DATE: 4, TIMESTAMP: 5 } as const

/** Digits that are exact as a number whatever they are. */
const SAFE_DIGITS = 15
/** Powers of ten up to here are exact, and so is a division of exact numbers as far as a double goes. */
const POWERS = Array.from({ length: 16 }, (_, i) => 10 ** i)

export function inPlaceOf ({ kind, precision }: ColumnType): number {
  switch (kind) {
    case 'BIGINT': return IN_PLACE.INTEGER
    case 'DECIMAL': return precision >= SAFE_DIGITS ? IN_PLACE.DECIMAL : IN_PLACE.NOTHING
    case 'DOUBLE': return IN_PLACE.DOUBLE
    case 'DATE': return IN_PLACE.DATE
    case 'TIMESTAMP': return IN_PLACE.TIMESTAMP
    default: return IN_PLACE.NOTHING
  }
}

export class InPlace {
  /** Where the field read last ends. */
  end = 0

  /** The canonical value of the field at a position, or undefined if it is not of the common form. `end` is then meaningless. */
  read (how: number, type: ColumnType, text: string, position: number): number | undefined {
    switch (how) {
      case IN_PLACE.INTEGER: return this.#integer(text, position)
      case IN_PLACE.DECIMAL: return this.#number(text, position, type.precision - type.scale, type.scale)
      case IN_PLACE.DOUBLE: return this.#number(text, position, SAFE_DIGITS, -1)
      case IN_PLACE.DATE: return this.#date(text, position)
      case IN_PLACE.TIMESTAMP: return this.#timestamp(text, position)
      default: return undefined
    }
  }

  #integer (text: string, position: number): number | undefined {
    let i = position
    const negative = text.charCodeAt(i) === 45
    if (negative) i++
    const start = i
    let value = 0
    for (let digit = text.charCodeAt(i) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++i) - 48) value = value * 10 + digit
    const count = i - start
    if (count === 0 || count > SAFE_DIGITS || (count > 1 && text.charCodeAt(start) === 48)) return undefined
    this.end = i
    return negative && value !== 0 ? -value : value
  }

  /** A plain decimal number; unscaled if `scale` is not negative, else as a double. */
  #number (text: string, position: number, whole: number, scale: number): number | undefined {
    let i = position
    const negative = text.charCodeAt(i) === 45
    if (negative) i++
    const start = i
    let value = 0
    for (let digit = text.charCodeAt(i) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++i) - 48) value = value * 10 + digit
    let count = i - start
    if (count === 0 || count > whole || (count > 1 && text.charCodeAt(start) === 48)) return undefined
    let fraction = 0
    if (text.charCodeAt(i) === 46) {
      const point = i
      i++
      for (let digit = text.charCodeAt(i) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++i) - 48) value = value * 10 + digit
      fraction = i - point - 1
      if (fraction === 0) return undefined
      count += fraction
    }
    if (scale >= 0) {
      if (fraction > scale || count + scale - fraction > SAFE_DIGITS) return undefined
      value *= POWERS[scale - fraction] as number
      this.end = i
      return negative && value !== 0 ? -value : value
    }
    if (count > SAFE_DIGITS) return undefined
    this.end = i
    const double = fraction === 0 ? value : value / (POWERS[fraction] as number)
    return negative ? -double : double
  }

  #date (text: string, position: number): number | undefined {
    if (text.charCodeAt(position + 4) !== 45 || text.charCodeAt(position + 7) !== 45) return undefined
    const century = two(text, position)
    const year = two(text, position + 2)
    const month = two(text, position + 5)
    const day = two(text, position + 8)
    if (century < 0 || year < 0) return undefined
    const days = daysOf(century * 100 + year, month, day)
    if (typeof days !== 'number') return undefined
    this.end = position + 10
    return days
  }

  /** Without or with a fraction, within the years whose microseconds are exact. */
  #timestamp (text: string, position: number): number | undefined {
    const separator = text.charCodeAt(position + 10)
    if ((separator !== 32 && separator !== 84) || text.charCodeAt(position + 13) !== 58 || text.charCodeAt(position + 16) !== 58) return undefined
    const days = this.#date(text, position)
    const hours = two(text, position + 11)
    const minutes = two(text, position + 14)
    const seconds = two(text, position + 17)
    if (days === undefined || days > 100_000 || days < -100_000 || hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59) return undefined
    let micros = 0
    let i = position + 19
    if (text.charCodeAt(i) === 46) {
      const point = i
      i++
      for (let digit = text.charCodeAt(i) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++i) - 48) micros = micros * 10 + digit
      const places = i - point - 1
      if (places === 0 || places > 6) return undefined
      micros *= POWERS[6 - places] as number
    }
    this.end = i
    return (days * 86_400 + hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros
  }
}

/** Two digits, or -1. */
function two (text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1
}
