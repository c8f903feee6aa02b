/**
 * Schema epochs of a CSV source: a value that contradicts an inferred type makes its column wider from there on. Wider means that every
 * value of the old type is one of the new type, by the rules of `lexical.ts`, so nothing is read again:
 *
 *     BIGINT ──► DECIMAL(38,s) ──► VARCHAR        DECIMAL(p,s) ──► DECIMAL(38,t) ──► VARCHAR        all others ──► VARCHAR
 *
 * Never DOUBLE, which rounds.
 */
import type { Note } from '../../index.ts'
import { decimalDigits, decimalOf, DECIMAL_DIGITS, shown } from '../lexical.ts'
import type { Column, TypeOverrides } from '../schema.ts'

/** The second widening of a column is its last: every one has blocks converted again. */
const WIDENINGS_MAX = 2

/** Digits after the point kept free where they are to be had: what comes after `1.5` may be `1.25`. */
const HEADROOM_FRACTION = 2

/** Digits before the point that a BIGINT can have. */
const BIGINT_WHOLE = 19

/** Changes told in one note; the rest is counted. */
const TOLD_MAX = 5

/** Names listed in one note. */
const LISTED_MAX = 100

interface Widening { position: number, from: string, to: string, value: string, path: string, line: number }

export class Epochs {
  readonly #columns: Column[]
  readonly #types: TypeOverrides = {}
  readonly #count = new Map<number, number>()
  #news: Widening[] = []

  constructor (columns: Column[]) {
    this.#columns = columns.map(column => ({ ...column }))
  }

  /** The columns as they are now. */
  get columns (): readonly Column[] {
    return this.#columns
  }

  /** Makes a column hold `value` too. Not for a fixed one. */
  widen (position: number, value: string, path: string, line: number): void {
    const column = this.#columns[position]!
    const count = (this.#count.get(position) ?? 0) + 1
    const to = count < WIDENINGS_MAX ? widerType(column.type, value) : 'VARCHAR'
    this.#count.set(position, count)
    this.#news.push({ position, from: column.type, to, value: shown(value), path, line })
    column.type = to
    this.#types[position] = to
  }

  /** All overrides there are now, if some are new since the last call. */
  take (): { widen: { types: TypeOverrides }, note: Note } | undefined {
    const news = this.#news
    if (news.length === 0) return undefined
    this.#news = []
    const told = news.slice(0, TOLD_MAX).map(({ position, from, to, value, path, line }) =>
      `column '${this.#columns[position]!.name}' is ${to} instead of ${from} because of ${value} in '${path}' line ${line}`)
    const rest = news.length - told.length
    const names = [...new Set(news.map(({ position }) => this.#columns[position]!.name))]
    const message = told.join('; ') + (rest > 0 ? `; and ${rest} more` : '')
    return { widen: { types: { ...this.#types } }, note: { code: 'schema-widened', message, input: news[0]!.path, columns: names.slice(0, LISTED_MAX), count: news.length } }
  }
}

/** The narrowest type up the chain that holds all values of `type` and this one. */
export function widerType (type: string, value: string): string {
  const digits = decimalDigits(value)
  const decimal = decimalOf(type)
  const whole = type === 'BIGINT' ? BIGINT_WHOLE : decimal == null ? undefined : decimal.precision - decimal.scale
  if (digits == null || whole == null) return 'VARCHAR'
  const wanted = Math.max(whole, digits.whole)
  const before = decimal?.scale ?? 0
  const scale = Math.max(before, digits.fraction)
  if (wanted + scale > DECIMAL_DIGITS) return 'VARCHAR'
  const roomy = scale > before ? Math.min(scale + HEADROOM_FRACTION, DECIMAL_DIGITS - wanted) : scale
  return `DECIMAL(${DECIMAL_DIGITS},${roomy})`
}
