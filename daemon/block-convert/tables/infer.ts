/**
 * Column types from sampled values. They are a proposal that holds all samples exactly; the splitter then proves every
 * value of the input against it.
 */
import { decimalDigits, DECIMAL_DIGITS, isInteger64, lexicalRule } from './lexical.ts'
import type { Field } from './csv/dialect.ts'

/** What one text could be at best. */
export type Lexeme = 'integer' | 'decimal' | 'boolean' | 'date' | 'time' | 'timestamp' | 'text'

/** Digits of a decimal that DuckDB and Parquet keep in 64 bits. */
const NARROW_DIGITS = 18
/** Digits kept free before the point when not every value was seen. */
const HEADROOM_WHOLE = 3
/** Digits kept free after the point when sampled values already vary in length and not every value was seen. */
const HEADROOM_FRACTION = 2

const isBoolean = lexicalRule('BOOLEAN')
const isDate = lexicalRule('DATE')
const isTime = lexicalRule('TIME')
const isTimestamp = lexicalRule('TIMESTAMP')

/** Classifies one text by the rules of `lexical.ts`. */
export function lexemeOf (text: string): Lexeme {
  const first = text.charCodeAt(0)
  if (first === 45 || (first >= 48 && first <= 57)) {
    const digits = decimalDigits(text)
    if (digits != null) {
      if (digits.whole + digits.fraction > DECIMAL_DIGITS) return 'text'
      return digits.fraction === 0 && isInteger64(text) ? 'integer' : 'decimal'
    }
    if (text.length === 10 && isDate(text)) return 'date'
    if (text.length >= 19 && isTimestamp(text)) return 'timestamp'
    if (text.length >= 8 && isTime(text)) return 'time'
    return 'text'
  }
  return isBoolean(text) ? 'boolean' : 'text'
}

/** Gathers the values of one column. */
export class ColumnEvidence {
  #kind: Lexeme | undefined
  #whole = 0
  #fraction = 0
  #leastFraction = Infinity

  /** One value: null is missing, '' a quoted empty field. */
  add (value: Field): void {
    if (value === null || this.#kind === 'text') return
    const lexeme = value === '' ? 'text' : lexemeOf(value)
    if (lexeme === 'integer' || lexeme === 'decimal') {
      const digits = decimalDigits(value)!
      this.#whole = Math.max(this.#whole, digits.whole)
      this.#fraction = Math.max(this.#fraction, digits.fraction)
      this.#leastFraction = Math.min(this.#leastFraction, digits.fraction)
    }
    if (this.#kind == null || this.#kind === lexeme) this.#kind = lexeme
    else if (isNumber(this.#kind) && isNumber(lexeme)) this.#kind = 'decimal'
    else this.#kind = 'text'
  }

  /** The narrowest type that holds what was seen; `complete`: that was every value there is. */
  type (complete: boolean): string {
    switch (this.#kind) {
      case 'integer': return 'BIGINT'
      case 'decimal': return this.#decimal(complete)
      case 'boolean': return 'BOOLEAN'
      case 'date': return 'DATE'
      case 'time': return 'TIME'
      case 'timestamp': return 'TIMESTAMP'
      default: return 'VARCHAR'
    }
  }

  /** Whether a type other than text was found. */
  get typed (): boolean {
    return this.#kind != null && this.#kind !== 'text'
  }

  #decimal (complete: boolean): string {
    const varies = this.#leastFraction !== this.#fraction
    const scale = this.#fraction + (!complete && varies ? HEADROOM_FRACTION : 0)
    if (this.#whole + scale > DECIMAL_DIGITS) {
      return this.#whole + this.#fraction > DECIMAL_DIGITS ? 'VARCHAR' : `DECIMAL(${DECIMAL_DIGITS},${this.#fraction})`
    }
    const needed = this.#whole + scale + (complete ? 0 : HEADROOM_WHOLE)
    return `DECIMAL(${needed <= NARROW_DIGITS ? NARROW_DIGITS : DECIMAL_DIGITS},${scale})`
  }
}

function isNumber (kind: Lexeme): boolean {
  return kind === 'integer' || kind === 'decimal'
}

/**
 * Whether the first record names the columns: yes if a column's other values have a type its first one does not; no if
 * otherwise one of the first fields is itself a number, date, time or boolean, or is empty; yes if all are mere text.
 */
export function looksLikeHeader (first: Field[], rest: ColumnEvidence[]): boolean {
  const typeless = first.map(field => field == null || field === '' || lexemeOf(field) === 'text')
  if (first.some((field, i) => field != null && field !== '' && typeless[i] === true && rest[i]?.typed === true)) return true
  return first.every((field, i) => field != null && field !== '' && typeless[i] === true)
}
