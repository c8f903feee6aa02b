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
 * - A field is quoted if its *first* byte is the quote. Inside, the quote is doubled, or has the escape before it, and so has the escape
 *   (before anything else the escape is data); delimiters and line ends are data. After the closing quote only a delimiter or the record's
 *   end may come.
 * - Any other field is taken as it stands, spaces included. It may contain quotes, but not after nothing but leading
 *   white space (` "a"`): engines disagree about that one, so it is refused.
 * - An empty unquoted field is NULL. A quoted empty field is the empty string, and only VARCHAR has that.
 * - A quoted field has the same type rules as an unquoted one: `"5"` is a BIGINT.
 * - Every record has exactly one field per column, or is made to fit, or left out (`ragged.ts`). A line that begins with the comment
 *   character is no record. NUL bytes, bytes that are not UTF-8 and unterminated quotes are refused.
 *
 * The common form of each type is checked by straight-line code; whatever it does not recognise (quotes, `\r`, the
 * end of the data, odd values) goes to `#careful`, which decides by the rules of `lexical.ts`; and a record that is not as its columns
 * are goes to `#odd`, which makes the columns wider (`epochs.ts`), changes the record, or refuses it.
 */
import { EDITS_PER_SCAN } from '../constants.ts'
import type { Epochs } from './epochs.ts'
import { CsvFaults } from './faults.ts'
import { CsvFields, INCOMPLETE, lineEnd, readRecord, type CsvRecord } from './fields.ts'
import { Ragged } from './ragged.ts'
import { DOT, isDayAt, isSecondAt, MINUS, SPACE } from './digits.ts'
import { decimalOf, lexicalRule } from '../lexical.ts'
import type { Note } from '../../index.ts'
import type { Column, Dialect } from '../schema.ts'
import type { Edit } from '../text-split.ts'

const LF = 10
const CR = 13

/** What the hot loop does with a column. OTHER types always take the careful path. */
const TEXT = 0
const INTEGER = 1
const DECIMAL = 2
const TIMESTAMP = 3
const DATE = 4
const OTHER = 5

/** Digits that fit 64 bits whatever they are; 19 need a comparison. */
const SAFE_DIGITS = 18

/** What `#careful` gives for a field whose value its column cannot have. */
const ODD = -2

/** Characters that a value of a type other than text may consist of: with one of them as delimiter or quote, no straight line is taken. */
const VALUE_CHARACTERS = /[0-9T .:-]/

export interface CsvScanInit {
  /** The job's columns, which become wider as values demand it. */
  epochs: Epochs
  /** Positions of the file's columns among them, in its order. @default all */
  present?: number[]
  dialect: Dialect
  /** @default an error */
  ragged?: 'pad' | 'skip'
  /** For messages. */
  path: string
  /** 1-based line the first byte scanned is on. */
  line: number
}

export class CsvScanner {
  /** Records seen so far, those left out not counted. */
  records = 0
  /** 1-based line of the next record. */
  line: number
  /** Line ends were seen that the engine would misread (line-ends.ts). For the caller to reset. */
  mixedEnds = false

  readonly #epochs: Epochs
  readonly #present: number[]
  readonly #columns: Column[]
  readonly #faults: CsvFaults
  readonly #fields: CsvFields
  readonly #ragged: Ragged
  readonly #comment: number
  /** No delimiter or quote is part of a value. */
  readonly #straight: boolean
  readonly #kinds: Uint8Array
  /** DECIMAL: most digits before and after the point. */
  readonly #whole: Uint8Array
  readonly #fraction: Uint8Array
  readonly #rules: Array<(text: string) => boolean> = []

  constructor (init: CsvScanInit) {
    const { epochs, dialect, path } = init
    this.#epochs = epochs
    this.#present = init.present ?? epochs.columns.map((_, i) => i)
    this.#columns = this.#present.map(position => ({ ...epochs.columns[position]! }))
    this.#faults = new CsvFaults(this.#columns, path)
    this.#fields = new CsvFields(dialect, this.#faults)
    this.#ragged = new Ragged(init.ragged, this.#columns.length, dialect, this.#faults)
    this.line = init.line
    this.#comment = dialect.comment == null ? -1 : dialect.comment.charCodeAt(0)
    this.#straight = !VALUE_CHARACTERS.test(dialect.delimiter + dialect.quote)
    this.#kinds = new Uint8Array(this.#columns.length)
    this.#whole = new Uint8Array(this.#columns.length)
    this.#fraction = new Uint8Array(this.#columns.length)
    for (let i = 0; i < this.#columns.length; i++) this.#setType(i, this.#columns[i]!.type)
  }

  #setType (column: number, type: string): void {
    const decimal = decimalOf(type)
    const kind = decimal != null ? DECIMAL : KINDS[type] ?? OTHER
    this.#columns[column]!.type = type
    this.#kinds[column] = this.#straight || kind === TEXT ? kind : OTHER
    this.#whole[column] = (decimal?.precision ?? 0) - (decimal?.scale ?? 0)
    this.#fraction[column] = decimal?.scale ?? 0
    this.#rules[column] = lexicalRule(type)
  }

  /** See Scanner of text-split.ts. */
  get edits (): Edit[] {
    return this.#ragged.edits
  }

  /** What was done to records, once the input is over. */
  notes (): Note[] {
    return this.#ragged.notes(this.#fields.idleEscapes)
  }

  /**
   * Consumes whole records of `bytes` from `from` until one ends at or after `until`, or no complete one is left before
   * `end`. Returns where the next record begins. `bytes` must hold SCAN_PADDING zero bytes behind `end`. `last`: the
   * file ends at `end`. Throws ConversionError `bad-input`, and `contradiction` for columns whose type was given.
   */
  scan (bytes: Uint8Array, from: number, end: number, until: number, last: boolean): number {
    const { delimiter, special } = this.#fields
    const comment = this.#comment
    const kinds = this.#kinds
    const columns = kinds.length
    const edits = this.edits
    edits.length = 0
    let records = 0
    let line = this.line
    let i = from
    let byte = 0
    if (until > end) until = end

    scanning: while (i < until && edits.length < EDITS_PER_SCAN) {
      const start = i
      const idle = this.#fields.idleEscapes
      let lines = 1
      byte = bytes[i]!
      if (byte === comment) {
        i = lineEnd(bytes, i, end, last)
        if (i === INCOMPLETE) {
          i = start
          break
        }
        this.#ragged.leaveOut(start, i)
        line++
        continue
      }
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
        if (good && byte === delimiter && column + 1 < columns) {
          i++
          continue
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
        if (i >= 0) {
          lines += this.#fields.newlines
          byte = i < end ? bytes[i]! : LF
          if (byte === delimiter && column + 1 < columns) {
            i++
            continue
          }
          if (byte !== delimiter && column + 1 === columns) {
            if (byte === CR) {
              const pair = i + 1 < end && bytes[i + 1] === LF
              if (pair) i++
              if (!pair || columns === 1) this.mixedEnds = true
            }
            if (i < end) i++
            break
          }
          i = ODD
        }
        if (i === ODD) {
          this.#fields.idleEscapes = idle
          const record = this.#odd(bytes, start, end, last, line)
          if (record === true) {
            // Its columns are wide enough now.
            this.#fields.idleEscapes = idle
            i = start
            continue scanning
          }
          if (record != null) {
            i = record.next
            lines = record.lines
            if (this.#ragged.left) {
              line += lines
              continue scanning
            }
            if (record.ending === '\r' || (record.ending === '\r\n' && columns === 1)) this.mixedEnds = true
            break
          }
        }
        this.#fields.idleEscapes = idle
        i = start
        break scanning
      }
      records++
      line += lines
    }
    this.records += records
    this.line = line
    return i
  }

  /** The end of the field at `from` (index of what ends it, or `end`), its value checked; or INCOMPLETE, or ODD. */
  #careful (bytes: Uint8Array, from: number, end: number, last: boolean, column: number, line: number): number {
    const fields = this.#fields
    const to = fields.end(bytes, from, end, last, column, line)
    if (to === INCOMPLETE || this.#kinds[column] === TEXT || (!fields.quoted && to === from)) return to
    return this.#rules[column]!(fields.value(bytes, from, to, fields.quoted)) ? to : ODD
  }

  /**
   * Looks at a whole record that is not one field per column, each of its column's type. Gives the record if it is left out or was made to
   * fit, true if columns were made wider for it and it is to be scanned again, undefined if it is not complete.
   */
  #odd (bytes: Uint8Array, start: number, end: number, last: boolean, line: number): CsvRecord | true | undefined {
    const fields = this.#fields
    const record = readRecord(fields, bytes, start, end, last, line)
    if (record == null) return undefined
    const fits = this.#ragged.fits(record, start, line)
    if (!fits && this.#ragged.left) return record
    let wider = false
    let at = line
    for (let column = 0; column < this.#columns.length && column * 2 < record.bounds.length; column++) {
      const from = record.bounds[column * 2]!
      const to = record.bounds[column * 2 + 1]!
      const quoted = record.quoted[column]!
      if (this.#kinds[column] !== TEXT && (quoted || to > from)) {
        const value = fields.value(bytes, from, to, quoted)
        while (!this.#rules[column]!(value)) {
          if (this.#columns[column]!.fixed === true) this.#faults.contradiction(column, value, quoted, at)
          const position = this.#present[column]!
          this.#epochs.widen(position, value, this.#faults.path, at)
          this.#setType(column, this.#epochs.columns[position]!.type)
          wider = true
        }
      }
      // A line is counted up to where the field begins.
      if (quoted) at += newlines(bytes, from, to)
    }
    if (fits) return wider ? true : record
    this.#ragged.mend(record, line)
    return record
  }
}

const KINDS: Record<string, number> = { VARCHAR: TEXT, BIGINT: INTEGER, TIMESTAMP, DATE }

/** Line ends in a range. */
function newlines (bytes: Uint8Array, from: number, to: number): number {
  let count = 0
  for (let i = from; i < to; i++) if (bytes[i] === LF || (bytes[i] === CR && bytes[i + 1] !== LF)) count++
  return count
}
