/**
 * Proves records against the types of their columns (rules.ts): the common form at once from the bytes, anything else by the book. A value
 * that contradicts an inferred type makes its column wider (widen.ts); one that contradicts a type the user gave ends the job.
 *
 * A record is an object of the columns' keys: none twice, any missing (which is NULL, as is `null`), no other. With `elements: 'values'`
 * it is a value of the one column.
 */
import { isUtf8 } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import type { Note } from '../../index.ts'
import { shown } from '../lexical.ts'
import { DOUBLE_DIGITS } from './numbers.ts'
import { ruleOf, type Noticed, type Rule } from './rules.ts'
import type { Column, TableParameters } from '../schema.ts'
import { skipValue } from './skip.ts'
import { BACKSLASH, CLOSE_OBJECT, COLON, COMMA, JsonScanner, JsonSyntaxError, LF, OPEN_OBJECT, QUOTE } from './text.ts'
import { parseType } from '../types.ts'
import { Widenings } from './widen.ts'

const STRING = 0
const INTEGER = 1
const REAL = 2
const FLAG = 3
const OTHER = 4

const KINDS: Record<string, number> = { VARCHAR: STRING, BIGINT: INTEGER, DOUBLE: REAL, BOOLEAN: FLAG }

const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')

/** What may follow a backslash, the four hexadecimal digits of \u apart. */
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'))

/** Digits that fit 64 bits whatever they are. */
const SAFE_DIGITS = 18

/** Where a record stands, for messages. */
export interface Place { path: string, line: number }

export class RecordProver {
  /** As they are now. */
  readonly columns: Column[]
  readonly widenings: Widenings
  /** Since it was last set to false, a record had numbers that the engine must not read as such. */
  hard = false
  /** White space within a record. */
  readonly #space = new Uint8Array(256)
  readonly #values: boolean
  readonly #rounding: boolean
  readonly #kinds: Uint8Array
  readonly #rules: Rule[]
  /** Integers of more than 15 digits were in the column. */
  readonly #long: Uint8Array
  /** `"key":` of each column as it is usually written. */
  readonly #keys: Uint8Array[]
  readonly #byName = new Map<string, number>()
  /** The record each column was last seen in. */
  readonly #seen: Float64Array
  /** Bytes that end a plain string: quote, backslash, control characters. */
  readonly #special = new Uint8Array(256)
  readonly #json = new JsonScanner()
  readonly #noticed: Noticed = { hard: false, rounded: 0 }
  #rounded = 0
  #record = 0

  /** `lines`: a record is one line, so a line end is no white space in it. */
  constructor (params: Pick<TableParameters, 'columns' | 'source'>, lines: boolean) {
    const { source } = params
    this.#values = source.format === 'json' && source.elements === 'values'
    this.#rounding = 'fractions' in source && source.fractions === 'double'
    this.columns = params.columns.map(column => ({ ...column }))
    this.widenings = new Widenings(this.columns)
    this.#kinds = Uint8Array.from(this.columns, column => KINDS[column.type] ?? OTHER)
    this.#rules = this.columns.map(column => this.#rule(column))
    this.#long = new Uint8Array(this.columns.length)
    this.#keys = this.columns.map(column => Buffer.from(JSON.stringify(column.name) + ':'))
    this.columns.forEach((column, i) => this.#byName.set(column.name, i))
    this.#seen = new Float64Array(this.columns.length)
    this.#special.fill(1, 0, 32)
    this.#special[QUOTE] = 1
    this.#special[BACKSLASH] = 1
    for (const code of [32, 9, 13, ...(lines ? [] : [LF])]) this.#space[code] = 1
  }

  /** What is to be told at the end. */
  notes (): Note[] {
    return this.#rounded === 0 ? [] : [{ code: 'numbers-rounded', message: `${this.#rounded} numbers have more digits than a double holds and were rounded, as fractions=double allows`, count: this.#rounded }]
  }

  #rule ({ type, fixed }: Column): Rule {
    return ruleOf(parseType(type), { rounding: this.#rounding, fixed: fixed === true })
  }

  /**
   * The common form: keys in the order of the columns (any may be missing), plain values. Gives the position behind the record, or -1
   * for anything else, a record that is cut off among it. The byte at `end` must be a zero, or a line end where records are lines.
   */
  plain (bytes: Buffer, start: number, end: number): number {
    const kinds = this.#kinds
    const columns = kinds.length
    const special = this.#special
    const space = this.#space
    let i = start
    let column = 0
    if (this.#values || bytes[i++] !== OPEN_OBJECT) return -1
    for (;;) {
      while (space[bytes[i]!] === 1) i++
      while (column < columns && !matches(bytes, i, this.#keys[column]!)) column++
      if (column === columns) return -1
      i += this.#keys[column]!.length
      while (space[bytes[i]!] === 1) i++
      const from = i
      let byte = bytes[i]!
      if (byte === NULL[0] && matches(bytes, i, NULL)) {
        byte = bytes[i += NULL.length]!
      } else {
        switch (kinds[column]) {
          case STRING:
            if (byte !== QUOTE) return -1
            byte = bytes[++i]!
            for (;;) {
              while (special[byte] === 0) byte = bytes[++i]!
              if (byte !== BACKSLASH) break
              if (!ESCAPES.has(bytes[i + 1]!)) return -1
              byte = bytes[i += 2]!
            }
            if (byte !== QUOTE) return -1
            byte = bytes[++i]!
            break
          case FLAG: {
            const word = byte === TRUE[0] ? TRUE : FALSE
            if (!matches(bytes, i, word)) return -1
            byte = bytes[i += word.length]!
            break
          }
          case INTEGER: case REAL: {
            if (byte === 45) byte = bytes[++i]!
            const first = i
            while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
            const count = i - first
            if (count === 0 || (bytes[first] === 48 && (count > 1 || (first > from && byte !== 46)))) return -1
            if (kinds[column] === INTEGER) {
              if (count > SAFE_DIGITS) return -1
              if (count > DOUBLE_DIGITS) this.#long[column] = 1
              break
            }
            let digits = count
            if (byte === 46) {
              byte = bytes[++i]!
              const decimals = i
              while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
              if (i === decimals) return -1
              digits += i - decimals
            }
            // Of more digits, doubles keep those that programs write of doubles; the rest is looked at by the book.
            if (digits > DOUBLE_DIGITS || (byte | 32) === 101) {
              while ((((byte = bytes[i]!) - 48) >>> 0) < 10 || (byte | 32) === 101 || byte === 43 || byte === 45) i++
              if (i - from > PLAIN_NUMBER_MAX) return -1
              const text = bytes.toString('latin1', from, i)
              if (String(Number(text)) !== text) return -1
            }
            break
          }
          default:
            i = this.#slice(bytes, i, end, column)
            if (i < 0) return -1
            byte = bytes[i]!
        }
      }
      while (space[byte] === 1) byte = bytes[++i]!
      if (byte === COMMA) {
        i++
        column++
        continue
      }
      return byte === CLOSE_OBJECT && i < end ? i + 1 : -1
    }
  }

  /** A value that needs its rule, alone. Gives the position behind it, or -1 if anything is to be said about it. */
  #slice (bytes: Buffer, from: number, end: number, column: number): number {
    const to = skipValue(bytes, from, end)
    if (to < 0) return -1
    const noticed = this.#noticed
    noticed.rounded = 0
    this.#json.reset(bytes.toString('utf8', from, to))
    try {
      if (!this.#rules[column]!(this.#json, noticed) || !Number.isNaN(this.#json.peek()) || noticed.rounded > 0) return -1
    } catch (error) {
      if (error instanceof JsonSyntaxError) return -1
      throw error
    }
    if (noticed.hard) this.hard = true
    noticed.hard = false
    return to
  }

  /** One record by the book. Throws ConversionError `bad-input` or `contradiction`. */
  careful (bytes: Buffer, start: number, end: number, place: Place): void {
    const slice = bytes.subarray(start, end)
    const json = this.#json
    json.reset(isUtf8(slice) ? slice.toString('utf8') : '')
    // Nothing is empty that is to be read: these bytes are no text.
    if (json.text === '') throw notUtf8(slice, place)
    const lineAt = (position: number): number => place.line + countLines(json.text, position)
    this.#noticed.hard = false
    this.#noticed.rounded = 0
    this.#record++
    try {
      if (this.#values) this.#value(json, 0, place.path, lineAt)
      else this.#object(json, place.path, lineAt)
      if (!Number.isNaN(json.peek())) json.fail('text after the record')
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error
      const line = lineAt(error.position)
      const character = error.position - json.text.lastIndexOf('\n', error.position - 1)
      throw badInput(`not JSON at character ${character}: ${error.message}`, { path: place.path, line })
    }
    this.#rounded += this.#noticed.rounded
    if (this.#noticed.hard) this.hard = true
    this.#noticed.hard = false
  }

  #object (json: JsonScanner, path: string, lineAt: (position: number) => number): void {
    if (json.peek() !== OPEN_OBJECT) throw badInput(`${shown(json.text.trim())} is not an object`, { path, line: lineAt(json.position) })
    if (!json.enter(CLOSE_OBJECT)) return
    do {
      json.peek()
      const start = json.position
      const key = json.peek() === QUOTE ? json.string() : json.fail('a key expected')
      const column = this.#byName.get(key)
      if (column == null) throw unknownKey(key, { path, line: lineAt(start) })
      if (this.#seen[column] === this.#record) throw badInput(`key ${shown(key)} stands twice in one object`, { path, line: lineAt(start) })
      this.#seen[column] = this.#record
      json.expect(COLON)
      this.#value(json, column, path, lineAt)
    } while (json.more(CLOSE_OBJECT))
  }

  #value (json: JsonScanner, column: number, path: string, lineAt: (position: number) => number): void {
    json.peek()
    const start = json.position
    // Wider at most twice, then it is JSON.
    for (;;) {
      if (this.#rules[column]!(json, this.#noticed)) {
        if (this.#kinds[column] === INTEGER && json.position - start > DOUBLE_DIGITS) this.#long[column] = 1
        return
      }
      json.position = start
      json.skip()
      const lexeme = json.text.slice(start, json.position)
      json.position = start
      this.#widen(column, lexeme, { path, line: lineAt(start) })
    }
  }

  #widen (at: number, lexeme: string, place: Place): void {
    const column = this.columns[at]!
    if (column.fixed === true) {
      throw new ConversionError('contradiction',
        `'${place.path}' line ${place.line}, column '${column.name}': ${shown(lexeme)} is not an exact ${column.type}; use --set "type:${column.name}=JSON", which holds anything, or leave its type out`,
        { path: place.path, line: place.line, column: column.name, value: lexeme.slice(0, VALUE_DETAIL_MAX), type: column.type })
    }
    column.type = this.widenings.add(at, lexeme, this.#long[at] === 1, place)
    this.#kinds[at] = KINDS[column.type] ?? OTHER
    this.#rules[at] = this.#rule(column)
  }
}

/** Characters of a value in an error's details. */
const VALUE_DETAIL_MAX = 1000

/** Bytes of a number that is looked at in place. */
const PLAIN_NUMBER_MAX = 64

export function badInput (what: string, { path, line }: Place): ConversionError {
  return new ConversionError('bad-input', `'${path}' line ${line}: ${what}`, { path, line })
}

function unknownKey (key: string, { path, line }: Place): ConversionError {
  const name = key.slice(0, VALUE_DETAIL_MAX)
  return new ConversionError('contradiction',
    `'${path}' line ${line}, key ${shown(key)} was in no sample, so there is no column for it; declare it with --set "type:${name}=TYPE", JSON for instance, which holds anything`,
    { path, line, column: name, value: '', type: 'none' })
}

function notUtf8 (bytes: Buffer, { path, line }: Place): ConversionError {
  let at = 0
  for (let from = 0; from < bytes.length;) {
    const next = bytes.indexOf(LF, from) + 1 || bytes.length
    if (!isUtf8(bytes.subarray(from, next))) break
    from = next
    at++
  }
  return badInput('it is not UTF-8 text; say what it is with --set encoding=..., for instance windows-1252', { path, line: line + at })
}

function countLines (text: string, end: number): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) lines++
  return lines
}

function matches (bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false
  return true
}
