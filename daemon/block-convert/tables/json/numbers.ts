/** What numbers of a JSON text lose on their way through doubles, which is how engines read them. */
import { DECIMAL_DIGITS, decimalDigits, isInteger64 } from '../lexical.ts'
import { canonicalNumber } from './text.ts'

/** Digits that a double keeps whatever they are. */
export const DOUBLE_DIGITS = 15

/** Digits kept free after the point when sampled values vary in length and not every value was seen. */
const HEADROOM_FRACTION = 2

const INTEGER = /^-?\d+$/

/** Whether a number is exactly what the shortest form of its double says. `-0` is the double -0. */
export function keepsDouble (lexeme: string): boolean {
  if (lexeme.length <= DOUBLE_DIGITS && !lexeme.includes('e') && !lexeme.includes('E')) return true
  const value = Number(lexeme)
  const shortest = String(value)
  return shortest === lexeme || (Number.isFinite(value) && canonicalNumber(shortest) === canonicalNumber(lexeme))
}

/** An integer zero with a sign, which engines drop. */
export function isNegativeZero (lexeme: string): boolean {
  return lexeme === '-0'
}

/** Whether an engine writes a number of a JSON value with the same value again: integers stay as they are, others become doubles. */
export function keepsValue (lexeme: string): boolean {
  return INTEGER.test(lexeme) ? !isNegativeZero(lexeme) : keepsDouble(lexeme)
}

/** A zero with a sign and maybe a fraction: no DECIMAL has it. */
export function isSignedZero (lexeme: string): boolean {
  return /^-0(?:\.0+)?$/.test(lexeme)
}

/** Where a number may be that is not kept: more than 15 digits and points, an exponent, or -0. */
const SUSPECT = /[\d.]{16}|\d[eE]|-0/
const NUMBERS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

/** Whether all numbers of a JSON text are kept (`keepsValue`). */
export function keepsValues (json: string): boolean {
  // Most have no number worth a look: neither seventeen digits nor a sign of zero.
  if (!SUSPECT.test(json)) return true
  for (const [token] of json.matchAll(NUMBERS)) if (token[0] !== '"' && !keepsValue(token)) return false
  return true
}

/** What the numbers of one column or field have in common. */
export class NumberEvidence {
  /** All are whole numbers within 64 bits. */
  #integers = true
  /** All are what their doubles say. */
  #doubles = true
  /** All are plain decimals, without exponent or a signed zero. */
  #decimals = true
  #finite = true
  #whole = 0
  #fraction = 0
  #leastFraction = Infinity

  add (lexeme: string): void {
    const digits = decimalDigits(lexeme)
    if (digits == null || isSignedZero(lexeme)) this.#decimals = this.#integers = false
    else {
      this.#whole = Math.max(this.#whole, digits.whole)
      this.#fraction = Math.max(this.#fraction, digits.fraction)
      this.#leastFraction = Math.min(this.#leastFraction, digits.fraction)
      if (!isInteger64(lexeme)) this.#integers = false
    }
    if (this.#doubles && !keepsDouble(lexeme)) this.#doubles = false
    if (this.#finite && !Number.isFinite(Number(lexeme))) this.#finite = false
  }

  /**
   * BIGINT; else DOUBLE if it keeps every number (or `rounded` allows it to round); else a DECIMAL; else JSON. `complete`: every number
   * there is was seen, so nothing is kept free for others.
   */
  type (complete: boolean, rounded: boolean): string {
    if (this.#integers) return 'BIGINT'
    if (this.#doubles || (rounded && this.#finite)) return 'DOUBLE'
    if (!this.#decimals || this.#whole + this.#fraction > DECIMAL_DIGITS) return 'JSON'
    const varies = this.#leastFraction !== this.#fraction
    const free = DECIMAL_DIGITS - this.#whole - this.#fraction
    const scale = this.#fraction + (complete || !varies ? 0 : Math.min(HEADROOM_FRACTION, free))
    return `DECIMAL(${DECIMAL_DIGITS},${scale})`
  }
}
