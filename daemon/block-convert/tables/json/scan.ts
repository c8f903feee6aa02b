/**
 * Reads NDJSON bytes line by line and proves every value against its column's type: an engine's typed read silently makes a
 * number of `"5"`, rounds `1.5` for an integer column, and drops keys it was not told of.
 *
 * The grammar, shared with the independent reader:
 *
 * - A line ends at `\n` (a `\r` before it is white space); the last may end at the end of the file. A line of white space is skipped.
 * - Every other line is one JSON object (RFC 8259) and nothing more. A key may stand once; a missing key is NULL, as is `null`.
 * - BIGINT takes integer numbers within 64 bits; DOUBLE takes numbers, but no integer it would round, and no `-0`, whose sign the engine
 *   drops; VARCHAR takes strings; BOOLEAN takes `true` and `false`; JSON takes anything. DECIMAL takes numbers, and DATE, TIME, TIMESTAMP and
 *   TIMESTAMPTZ take strings, by the rules of `lexical.ts`; they are never inferred.
 * - A number with a fraction or exponent inside a JSON column must be what the shortest form of its double says: the engine rounds others.
 * - A number with a fraction in a DECIMAL column may have 15 digits at the column's scale, for the engine reads it as a double, too.
 */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { ConversionError } from '../../errors.ts'
import { keepsInteger } from './infer.ts'
import { canonicalNumber, JsonScanner, JsonSyntaxError } from './text.ts'
import { decimalDigits, decimalOf, lexicalRule, shown } from '../lexical.ts'
import type { Column } from '../schema.ts'

const LF = 10
const QUOTE = 34
const COMMA = 44
const COLON = 58
const BACKSLASH = 92
const CLOSE = 125

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
/** Digits of a whole number every double holds exactly, also after it was a fraction that was scaled: 10^15 is far enough below 2^53. */
const EXACT_DIGITS = 15

const NUMBERS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

export class NdjsonScanner {
  records = 0
  line: number
  readonly #columns: Column[]
  readonly #path: string
  readonly #kinds: Uint8Array
  readonly #rules: Array<(text: string) => boolean>
  /** `"key":` of each column as it is usually written. */
  readonly #keys: Uint8Array[]
  readonly #byName = new Map<string, number>()
  /** The record each column was last seen in. */
  readonly #seen: Float64Array
  /** Bytes that end a plain string: quote, backslash, control characters. */
  readonly #special = new Uint8Array(256)
  readonly #careful = new JsonScanner()

  constructor (init: { columns: Column[], path: string, line: number }) {
    this.#columns = init.columns
    this.#path = init.path
    this.line = init.line
    this.#kinds = Uint8Array.from(init.columns, column => KINDS[column.type] ?? OTHER)
    this.#rules = init.columns.map(column => lexicalRule(column.type))
    this.#keys = init.columns.map(column => Buffer.from(JSON.stringify(column.name) + ':'))
    init.columns.forEach((column, i) => this.#byName.set(column.name, i))
    this.#seen = new Float64Array(init.columns.length).fill(-1)
    this.#special.fill(1, 0, 32)
    this.#special[QUOTE] = 1
    this.#special[BACKSLASH] = 1
  }

  /** As CsvScanner.scan. */
  scan (bytes: Uint8Array, from: number, end: number, until: number, last: boolean): number {
    // Buffer's search for a byte is several times faster than that of other typed arrays.
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    let i = from
    if (until > end) until = end
    while (i < until) {
      let newline = buffer.indexOf(LF, i)
      if (newline < 0 || newline >= end) {
        if (!last) break
        newline = end
      }
      if (newline - i > RECORD_BYTES_MAX) throw this.#bad(`it is longer than ${RECORD_BYTES_MAX} bytes`)
      if (this.#plain(bytes, i, newline) || this.#line(bytes, i, newline)) this.records++
      this.line++
      i = newline < end ? newline + 1 : end
    }
    return i
  }

  /**
   * The common form: keys in the order of the columns (any may be missing), no white space, plain values. False for anything
   * else, which `#line` then reads from the start. The byte at `end` ends every run: it is a newline or a zero.
   */
  #plain (bytes: Uint8Array, start: number, end: number): boolean {
    const kinds = this.#kinds
    const columns = kinds.length
    const special = this.#special
    let i = start
    let column = 0
    if (bytes[i++] !== 123) return false
    for (;;) {
      while (column < columns && !matches(bytes, i, this.#keys[column]!)) column++
      if (column === columns) return false
      i += this.#keys[column]!.length
      const from = i
      let byte = bytes[i]!
      if (matches(bytes, i, NULL)) {
        byte = bytes[i += NULL.length]!
      } else {
        switch (kinds[column]) {
          case STRING:
            if (byte !== QUOTE) return false
            byte = bytes[++i]!
            for (;;) {
              while (special[byte] === 0) byte = bytes[++i]!
              if (byte !== BACKSLASH) break
              if (!ESCAPES.has(bytes[i + 1]!)) return false
              byte = bytes[i += 2]!
            }
            if (byte !== QUOTE) return false
            byte = bytes[++i]!
            break
          case FLAG: {
            const word = byte === TRUE[0] ? TRUE : FALSE
            if (!matches(bytes, i, word)) return false
            byte = bytes[i += word.length]!
            break
          }
          case INTEGER: case REAL: {
            if (byte === 45) byte = bytes[++i]!
            const digits = i
            while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
            const count = i - digits
            if (count === 0 || (count > 1 && bytes[digits] === 48)) return false
            if (kinds[column] === INTEGER) {
              if (count > SAFE_DIGITS) return false
            } else if (byte === 46) {
              byte = bytes[++i]!
              const decimals = i
              while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
              // Hundreds of digits could be out of range.
              if (i === decimals || i - from > 100) return false
            } else if (count > EXACT_DIGITS || (digits > from && bytes[digits] === 48)) {
              return false
            }
            break
          }
          default: return false
        }
      }
      if (byte === COMMA) {
        i++
        column++
        continue
      }
      return byte === CLOSE && (i + 1 === end || (i + 2 === end && bytes[i + 1] === 13))
    }
  }

  /** One line by the book. False if it is blank. */
  #line (bytes: Uint8Array, start: number, end: number): boolean {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
    const json = this.#careful
    json.reset(text)
    try {
      if (Number.isNaN(json.peek())) return false
      if (json.peek() !== 123) throw this.#bad(`${shown(text)} is not an object; NDJSON has one object per line`)
      json.position++
      if (json.peek() === CLOSE) {
        json.position++
      } else {
        for (;;) {
          if (json.peek() !== QUOTE) json.fail('a key expected')
          this.#pair(json)
          const next = json.peek()
          json.position++
          if (next === CLOSE) break
          if (next !== COMMA) {
            json.position--
            json.fail('\',\' or \'}\' expected')
          }
        }
      }
      if (!Number.isNaN(json.peek())) json.fail('text after the object')
      return true
    } catch (error) {
      if (error instanceof JsonSyntaxError) throw this.#bad(`not JSON at character ${error.position + 1}: ${error.message}`)
      throw error
    }
  }

  #pair (json: JsonScanner): void {
    const key = json.string()
    json.expect(COLON)
    const column = this.#byName.get(key)
    const code = json.peek()
    const start = json.position
    if (column == null) {
      json.canonical()
      throw this.#wrong(key, json.text.slice(start, json.position), undefined, `key ${shown(key)} was in no sample; declare it with --set "type:${key}=JSON"`)
    }
    if (this.#seen[column] === this.records) throw this.#bad(`key ${shown(key)} stands twice in one object`)
    this.#seen[column] = this.records
    if (code === 110) {
      json.literal()
      return
    }
    const { type } = this.#columns[column]!
    let good: boolean
    if (code === QUOTE) {
      const value = json.string()
      good = type === 'VARCHAR' || type === 'JSON' || (type !== 'BIGINT' && type !== 'DOUBLE' && type !== 'BOOLEAN' && !type.startsWith('DECIMAL') && this.#rules[column]!(value))
      if (value.isWellFormed() === false) throw this.#bad(`column '${key}' holds half of a surrogate pair, which is no text`)
    } else if (code === 45 || (code >= 48 && code <= 57)) {
      const value = json.number()
      const decimal = decimalOf(type)
      good = type === 'JSON' ? isKept(value) : type === 'DOUBLE' ? isKeptDouble(value) : (type === 'BIGINT' || decimal != null) && this.#rules[column]!(value)
      if (good && decimal != null && !isKeptDecimal(value, decimal.scale)) throw this.#rounded(key, value, `has more than ${EXACT_DIGITS} digits at the scale of ${type}; a JSON number with a fraction is not kept exactly beyond that`)
    } else {
      const value = json.canonical()
      good = type === 'JSON' ? keepsNumbers(json.text.slice(start, json.position)) : type === 'BOOLEAN' && (value === 'true' || value === 'false')
    }
    if (!good) throw this.#wrong(key, json.text.slice(start, json.position), type)
  }

  #wrong (key: string, value: string, type: string | undefined, hint?: string): ConversionError {
    const where = `'${this.#path}' line ${this.line}`
    if (type === 'JSON') {
      return this.#rounded(key, value, 'has a number with more digits than can be kept')
    }
    const message = hint ?? `column '${key}': ${shown(value)} is not an exact ${type}; use --set "type:${key}=JSON", or --set types=text for all columns`
    return new ConversionError('contradiction', `${where}, ${message}`, { path: this.#path, line: this.line, column: key, value, type: type ?? 'none' })
  }

  #rounded (key: string, value: string, what: string): ConversionError {
    return new ConversionError('unsupported', `'${this.#path}' line ${this.line}, column '${key}': ${shown(value)} ${what}`, { path: this.#path, line: this.line, column: key })
  }

  #bad (what: string): ConversionError {
    return new ConversionError('bad-input', `'${this.#path}' line ${this.line}: ${what}`, { path: this.#path, line: this.line })
  }
}

function matches (bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false
  return true
}

function isKeptDouble (lexeme: string): boolean {
  return /^-?\d+$/.test(lexeme) ? keepsInteger(lexeme) : Number.isFinite(Number(lexeme))
}

/**
 * Whether the engine makes the exact decimal of a number: it reads whole numbers as such, a fraction as a double that it
 * multiplies by 10^scale and rounds.
 */
function isKeptDecimal (lexeme: string, scale: number): boolean {
  const digits = decimalDigits(lexeme)
  return digits != null && (digits.fraction === 0 || digits.whole + scale <= EXACT_DIGITS)
}

/** Whether the engine writes a number of a JSON column with the same value again: integers stay as they are, others become doubles. */
function isKept (lexeme: string): boolean {
  return /^-?\d+$/.test(lexeme) || (Number.isFinite(Number(lexeme)) && canonicalNumber(String(Number(lexeme))) === canonicalNumber(lexeme))
}

function keepsNumbers (json: string): boolean {
  for (const [token] of json.matchAll(NUMBERS)) if (token[0] !== '"' && !isKept(token)) return false
  return true
}
