/**
 * Reads CSV bytes record by record, at hundreds of megabytes per second, and proves every field against its column's type
 * on the way: an engine's typed read silently makes 7 of `007`, 2 of `1.5` (BIGINT) and 1.24 of `1.239`
 * (DECIMAL(5,2)), so nothing may reach it that is not an exact value already.
 *
 * The grammar, which the engine (`duckdb.ts`, `strict_mode=false`), the independent reader and this scanner share:
 *
 * - A record ends at `\n`, `\r\n` or a lone `\r`, also mixed in one file; the last may end at the end of the file.
 * - Columns > 1: an empty line is no record and is skipped. One column: an empty line is a record whose value is NULL;
 *   the end of the file after a record's end is not one more record.
 * - A field is quoted if its *first* byte is the quote. Inside, the quote is doubled; delimiters and line ends are data.
 *   After the closing quote only a delimiter or the record's end may come.
 * - Any other field is taken as it stands, spaces included. It may contain quotes, but not after nothing but leading
 *   white space (` "a"`): engines disagree about that one, so it is refused.
 * - An empty unquoted field is NULL. A quoted empty field is the empty string, and only VARCHAR has that.
 * - A quoted field has the same type rules as an unquoted one: `"5"` is a BIGINT.
 * - Every record has exactly one field per column. NUL bytes, bytes that are not UTF-8 and unterminated quotes are refused.
 *
 * The common form of each type is checked by straight-line code; whatever it does not recognise (quotes, `\r`, the
 * end of the data, odd values) goes to `#careful`, which decides by the rules of `lexical.ts`.
 */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { CsvFaults } from './faults.ts'
import { decimalOf, isDay, lexicalRule } from '../lexical.ts'
import type { Column, Dialect } from '../schema.ts'

const LF = 10
const CR = 13
const SPACE = 32
const TAB = 9
const MINUS = 45
const DOT = 46

/** What the hot loop does with a column. OTHER types always take the careful path. */
const TEXT = 0
const INTEGER = 1
const DECIMAL = 2
const TIMESTAMP = 3
const DATE = 4
const OTHER = 5

/** Digits that fit 64 bits whatever they are; 19 need a comparison. */
const SAFE_DIGITS = 18

/** `#careful` found the end of the data before the end of the field. */
const INCOMPLETE = -1

export interface CsvScanInit {
  columns: Column[]
  dialect: Dialect
  /** For messages. */
  path: string
  /** 1-based line the first byte scanned is on. */
  line: number
}

export class CsvScanner {
  /** Records seen so far. */
  records = 0
  /** 1-based line of the next record. */
  line: number
  /** Line ends were seen that the engine would misread (csv-line-ends.ts). For the caller to reset. */
  mixedEnds = false

  readonly #columns: Column[]
  readonly #faults: CsvFaults
  readonly #delimiter: number
  readonly #quote: number
  readonly #kinds: Uint8Array
  /** DECIMAL: most digits before and after the point. */
  readonly #whole: Uint8Array
  readonly #fraction: Uint8Array
  readonly #rules: Array<(text: string) => boolean>
  /** Bytes that end the run of ordinary ones in an unquoted field: delimiter, line ends, quote, NUL. */
  readonly #special = new Uint8Array(256)
  /** Newlines inside the field `#careful` read last. */
  #newlines = 0

  constructor (init: CsvScanInit) {
    this.#columns = init.columns
    this.#faults = new CsvFaults(init)
    this.line = init.line
    this.#delimiter = init.dialect.delimiter.charCodeAt(0)
    this.#quote = init.dialect.quote.charCodeAt(0)
    this.#kinds = new Uint8Array(init.columns.length)
    this.#whole = new Uint8Array(init.columns.length)
    this.#fraction = new Uint8Array(init.columns.length)
    this.#rules = init.columns.map(column => lexicalRule(column.type))
    init.columns.forEach((column, i) => {
      const decimal = decimalOf(column.type)
      this.#kinds[i] = decimal != null ? DECIMAL : KINDS[column.type] ?? OTHER
      this.#whole[i] = (decimal?.precision ?? 0) - (decimal?.scale ?? 0)
      this.#fraction[i] = decimal?.scale ?? 0
    })
    for (const byte of [0, LF, CR, this.#delimiter, this.#quote]) this.#special[byte] = 1
  }

  /**
   * Consumes whole records of `bytes` from `from` until one ends at or after `until`, or no complete one is left before
   * `end`. Returns where the next record begins. `bytes` must hold SCAN_PADDING zero bytes behind `end`. `last`: the
   * file ends at `end`. Throws ConversionError `contradiction` or `bad-input`.
   */
  scan (bytes: Uint8Array, from: number, end: number, until: number, last: boolean): number {
    const delimiter = this.#delimiter
    const special = this.#special
    const kinds = this.#kinds
    const columns = kinds.length
    let records = 0
    let line = this.line
    let i = from
    let byte = 0
    if (until > end) until = end

    scanning: while (i < until) {
      const start = i
      let lines = 1
      byte = bytes[i]!
      if (columns > 1 && (byte === LF || byte === CR)) {
        if (byte === CR) {
          if (i + 1 >= end && !last) break
          if (bytes[i + 1] === LF && i + 1 < end) i++
          else this.mixedEnds = true
        }
        i++
        line++
        continue
      }
      for (let column = 0; ; column++) {
        const field = i
        byte = bytes[i]!
        let good = false
        switch (kinds[column]) {
          case TEXT:
            while (special[byte] === 0) byte = bytes[++i]!
            good = true
            break
          case INTEGER: {
            if (byte === MINUS) byte = bytes[++i]!
            const digits = i
            while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
            const count = i - digits
            good = count === 0 ? i === field : count <= SAFE_DIGITS && (count === 1 || bytes[digits] !== 48)
            break
          }
          case DECIMAL: {
            if (byte === MINUS) byte = bytes[++i]!
            const digits = i
            while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
            const count = i - digits
            if (count === 0) {
              good = i === field
            } else {
              good = count <= this.#whole[column]! && (count === 1 || bytes[digits] !== 48)
              if (byte === DOT) {
                byte = bytes[++i]!
                const decimals = i
                while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
                good &&= i > decimals && i - decimals <= this.#fraction[column]!
              }
            }
            break
          }
          case TIMESTAMP:
            if (special[byte] === 1) { good = true; break }
            good = isDayAt(bytes, i) && (bytes[i + 10] === SPACE || bytes[i + 10] === 84) && isSecondAt(bytes, i + 11)
            if (good) {
              byte = bytes[i += 19]!
              if (byte === DOT) {
                byte = bytes[++i]!
                const decimals = i
                while (((byte - 48) >>> 0) < 10) byte = bytes[++i]!
                good = i > decimals && i - decimals <= 6
              }
            }
            break
          case DATE:
            if (special[byte] === 1) { good = true; break }
            good = isDayAt(bytes, i)
            if (good) byte = bytes[i += 10]!
            break
          default: break
        }
        if (good && byte === delimiter) {
          i++
          if (column + 1 < columns) continue
          this.#faults.ragged(bytes, start, end, line)
        }
        if (good && byte === LF && column + 1 === columns) {
          i++
          break
        }
        if (good && byte === CR && bytes[i + 1] === LF && i + 1 < end && column + 1 === columns) {
          i += 2
          if (columns === 1) this.mixedEnds = true
          break
        }
        // Anything but the common form: a quote, \r, a ragged record, the end of the data, a value to look at again.
        i = this.#careful(bytes, field, end, last, column, line + lines - 1)
        if (i === INCOMPLETE) {
          i = start
          break scanning
        }
        lines += this.#newlines
        if (i >= end) {
          if (column + 1 < columns) this.#faults.ragged(bytes, start, end, line)
          break
        }
        byte = bytes[i++]!
        if (byte === delimiter) {
          if (column + 1 < columns) continue
          this.#faults.ragged(bytes, start, end, line)
        }
        if (byte === CR) {
          const pair = i < end && bytes[i] === LF
          if (pair) i++
          if (!pair || columns === 1) this.mixedEnds = true
        }
        if (column + 1 < columns) this.#faults.ragged(bytes, start, end, line)
        break
      }
      records++
      line += lines
    }
    this.records += records
    this.line = line
    return i
  }

  /** The end of the field at `from` (index of what ends it, or `end`), its value checked; or INCOMPLETE. */
  #careful (bytes: Uint8Array, from: number, end: number, last: boolean, column: number, line: number): number {
    this.#newlines = 0
    const quoted = from < end && bytes[from] === this.#quote
    const to = quoted ? this.#closing(bytes, from, end, last, line) : this.#unquoted(bytes, from, end, last, column, line)
    if (to === INCOMPLETE) return INCOMPLETE
    if (!quoted && to === from) return to
    if (this.#kinds[column] === TEXT) return to
    const raw = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8')
    const value = quoted ? raw.slice(1, -1).replaceAll(raw[0]! + raw[0]!, raw[0]!) : raw
    if (!this.#rules[column]!(value)) this.#faults.contradiction(column, value, quoted, line)
    return to
  }

  /** Behind the quote that closes the field opened at `from`. */
  #closing (bytes: Uint8Array, from: number, end: number, last: boolean, line: number): number {
    const quote = this.#quote
    let newlines = 0
    let i = from + 1
    for (;;) {
      let byte = bytes[i]!
      while (byte !== quote && byte !== LF && byte !== CR && byte !== 0) byte = bytes[++i]!
      if (i >= end) {
        if (last) throw this.#faults.bad(`a quote opened on line ${line} is never closed`, line)
        return this.#incomplete(from, end, line)
      }
      if (byte === LF) {
        newlines++
      } else if (byte === CR) {
        // The \n of a \r\n does the counting.
        if (i + 1 >= end && !last) return this.#incomplete(from, end, line)
        if (bytes[i + 1] !== LF) newlines++
      } else if (byte === 0) {
        throw this.#faults.nul(line + newlines)
      } else {
        if (i + 1 >= end && !last) return this.#incomplete(from, end, line)
        if (i + 1 >= end) break
        if (bytes[i + 1] !== quote) break
        i++
      }
      i++
    }
    const after = i + 1
    this.#newlines = newlines
    if (after < end) {
      const byte = bytes[after]!
      if (byte !== this.#delimiter && byte !== LF && byte !== CR) {
        throw this.#faults.bad('there is text between a closing quote and the next delimiter; a quote inside a quoted field is written twice', line + newlines)
      }
      if (byte === CR && after + 1 >= end && !last) return this.#incomplete(from, end, line)
    }
    return after
  }

  #unquoted (bytes: Uint8Array, from: number, end: number, last: boolean, column: number, line: number): number {
    let i = from
    for (;;) {
      let byte = bytes[i]!
      while (this.#special[byte] === 0) byte = bytes[++i]!
      if (i >= end) return last ? end : this.#incomplete(from, end, line)
      if (byte === this.#quote) {
        let space = from
        while (bytes[space] === SPACE || bytes[space] === TAB) space++
        if (space === i) throw this.#faults.bad(`column '${this.#columns[column]!.name}' has white space before a quote; remove it, or quote the whole field`, line)
      } else if (byte === 0) {
        throw this.#faults.nul(line)
      } else {
        // A \r at the end of the data may be the first half of \r\n.
        if (byte === CR && i + 1 >= end && !last) return this.#incomplete(from, end, line)
        return i
      }
      i++
    }
  }

  #incomplete (from: number, end: number, line: number): number {
    if (end - from > RECORD_BYTES_MAX) throw this.#faults.bad(`the record on line ${line} is longer than ${RECORD_BYTES_MAX} bytes; is a quote missing?`, line)
    return INCOMPLETE
  }
}

const KINDS: Record<string, number> = { VARCHAR: TEXT, BIGINT: INTEGER, TIMESTAMP, DATE }

function digits2 (bytes: Uint8Array, at: number): number {
  const tens = (bytes[at]! - 48) >>> 0
  const ones = (bytes[at + 1]! - 48) >>> 0
  return tens < 10 && ones < 10 ? tens * 10 + ones : -1
}

/** Whether `yyyy-mm-dd` of an existing day stands here. */
function isDayAt (bytes: Uint8Array, at: number): boolean {
  const century = digits2(bytes, at)
  const year = digits2(bytes, at + 2)
  const month = digits2(bytes, at + 5)
  const day = digits2(bytes, at + 8)
  if (century < 0 || year < 0 || bytes[at + 4] !== MINUS || bytes[at + 7] !== MINUS || month < 1 || month > 12 || day < 1) return false
  return (day <= 28 && century + year > 0) || isDay(century * 100 + year, month, day)
}

/** Whether `hh:mm:ss` stands here. */
function isSecondAt (bytes: Uint8Array, at: number): boolean {
  const hour = digits2(bytes, at)
  const minute = digits2(bytes, at + 3)
  const second = digits2(bytes, at + 6)
  return hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60 && bytes[at + 2] === 58 && bytes[at + 5] === 58
}
