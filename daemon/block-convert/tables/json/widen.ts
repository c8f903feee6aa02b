/**
 * Schema epochs of a JSON source: a value that contradicts an inferred type makes its column wider from there on. Wider means that every
 * value of the old type is one of the new, so nothing is read again:
 *
 *     BIGINT ──► DOUBLE (if all were short) or DECIMAL(38,s) ──► JSON        DECIMAL(p,s) ──► DECIMAL(38,t) ──► JSON
 *     all others ──► JSON
 */
import type { Note } from '../../index.ts'
import { DECIMAL_DIGITS, decimalDigits, shown } from '../lexical.ts'
import { isSignedZero, keepsDouble } from './numbers.ts'
import type { Column, TypeOverrides } from '../schema.ts'
import { parseType } from '../types.ts'

/** Digits after the point kept free where they are to be had: what comes after `1.5` may be `1.25`. */
const HEADROOM_FRACTION = 2

/** Digits before the point that a BIGINT can have. */
const BIGINT_WHOLE = 19

/** Changes told in one note; the rest is counted. */
const TOLD_MAX = 5

/** Names listed in one note. */
const LISTED_MAX = 100

interface Widening { position: number, from: string, to: string, value: string, path: string, line: number }

export class Widenings {
  readonly #columns: readonly Column[]
  readonly #types: TypeOverrides = {}
  /** Columns that were widened: the second time is the last, for every one has blocks converted again. */
  readonly #widened = new Set<number>()
  #news: Widening[] = []
  /**
   * A column became JSON. Its numbers so far were proved for another type, so nobody looked whether the engine would round them as JSON: all
   * blocks are to be read exactly from now on.
   */
  #exact = false

  constructor (columns: readonly Column[]) {
    this.#columns = columns
  }

  /** The type that holds all values of a column and this one, too. `long`: integers of more than 15 digits were among them. */
  add (position: number, lexeme: string, long: boolean, where: { path: string, line: number }): string {
    const { type } = this.#columns[position]!
    const to = this.#widened.has(position) ? 'JSON' : widerType(type, lexeme, long)
    this.#widened.add(position)
    this.#news.push({ position, from: this.#news.find(news => news.position === position)?.from ?? type, to, value: shown(lexeme), ...where })
    this.#types[position] = to
    if (to === 'JSON') this.#exact = true
    return to
  }

  /** Whether there are some that were not taken. */
  get some (): boolean {
    return this.#news.length > 0
  }

  /** All overrides there are now. */
  take (): { widen: { types: TypeOverrides, numbers?: 'exact' }, note: Note } {
    const news = this.#news
    this.#news = []
    const told = news.slice(0, TOLD_MAX).map(({ position, from, to, value, path, line }) =>
      `column '${this.#columns[position]!.name}' is ${shownType(to)} instead of ${shownType(from)} because of ${value} in '${path}' line ${line}`)
    const rest = news.length - told.length
    const names = [...new Set(news.map(({ position }) => this.#columns[position]!.name))]
    return {
      widen: { types: { ...this.#types }, ...(this.#exact ? { numbers: 'exact' } : {}) },
      note: { code: 'schema-widened', message: told.join('; ') + (rest > 0 ? `; and ${rest} more` : ''), input: news[0]!.path, columns: names.slice(0, LISTED_MAX), count: news.length }
    }
  }
}

const TYPE_SHOWN_MAX = 120

function shownType (type: string): string {
  return type.length > TYPE_SHOWN_MAX ? `${type.slice(0, TYPE_SHOWN_MAX)}…` : type
}

/** The narrowest type up the chain that holds all values of `type` and this one. */
export function widerType (name: string, lexeme: string, long: boolean): string {
  const type = parseType(name)
  if ((type.kind !== 'BIGINT' && type.kind !== 'DECIMAL') || !/^-?\d/.test(lexeme)) return 'JSON'
  const whole = type.kind === 'BIGINT' ? BIGINT_WHOLE : type.precision - type.scale
  const digits = isSignedZero(lexeme) ? undefined : decimalDigits(lexeme)
  const double = type.kind === 'BIGINT' && !long && keepsDouble(lexeme)
  // Whole numbers stay whole numbers.
  if (double && digits?.fraction !== 0) return 'DOUBLE'
  if (digits == null) return 'JSON'
  const wanted = Math.max(whole, digits.whole)
  const scale = Math.max(type.scale, digits.fraction)
  if (wanted + scale > DECIMAL_DIGITS) return double ? 'DOUBLE' : 'JSON'
  return `DECIMAL(${DECIMAL_DIGITS},${scale > type.scale ? Math.min(scale + HEADROOM_FRACTION, DECIMAL_DIGITS - wanted) : scale})`
}
