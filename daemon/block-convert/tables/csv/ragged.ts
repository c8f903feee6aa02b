/**
 * Records with too few or too many fields, and lines that are no records. What is done to them is a change of the bytes of their block:
 *
 * - `pad`: a short record gets the delimiters it lacks before its line end, so its last values are missing (NULL); of a long one the
 *   surplus fields are left out, if they are empty.
 * - `skip`: the whole record is left out.
 * - otherwise, and where nothing can be done without loss, it is an error.
 */
import type { CsvFaults } from './faults.ts'
import type { CsvRecord } from './fields.ts'
import type { Note } from '../../index.ts'
import type { Dialect } from '../schema.ts'
import type { Edit } from '../text-split.ts'

const NEWLINE = Buffer.from('\n')

/** Line numbers told of each kind of change. */
const LINES_TOLD_MAX = 5

interface Count { count: number, lines: number[] }

export class Ragged {
  /** In the order of the bytes, apart from each other. For the scanner to empty. */
  readonly edits: Edit[] = []
  /** The record looked at last is left out. */
  left = false
  readonly #rule: 'pad' | 'skip' | undefined
  readonly #columns: number
  readonly #delimiter: string
  readonly #faults: CsvFaults
  readonly #short: Count = { count: 0, lines: [] }
  readonly #long: Count = { count: 0, lines: [] }
  readonly #skipped: Count = { count: 0, lines: [] }
  /** One literal per number of delimiters, however often it is used. */
  readonly #padding = new Map<number, Uint8Array>()

  constructor (rule: 'pad' | 'skip' | undefined, columns: number, dialect: Dialect, faults: CsvFaults) {
    this.#rule = rule
    this.#columns = columns
    this.#delimiter = dialect.delimiter
    this.#faults = faults
  }

  /** Whether a record has as many fields as there are columns. If not, and records are to be skipped, it is left out now. */
  fits (record: CsvRecord, start: number, line: number): boolean {
    this.left = false
    const found = record.bounds.length / 2
    if (found === this.#columns) return true
    if (this.#rule == null) this.#faults.ragged(found, line)
    if (this.#rule === 'skip') {
      this.left = true
      tally(this.#skipped, line)
      this.leaveOut(start, record.next)
    }
    return false
  }

  /** Makes a record fit. */
  mend (record: CsvRecord, line: number): void {
    const { bounds, quoted, end } = record
    const found = bounds.length / 2
    if (found < this.#columns) {
      tally(this.#short, line)
      this.edits.push({ from: end, to: end, insert: this.#delimiters(this.#columns - found) })
      return
    }
    for (let i = this.#columns; i < found; i++) {
      const length = bounds[i * 2 + 1]! - bounds[i * 2]!
      if (length > (quoted[i] === true ? 2 : 0)) this.#faults.surplus(found, line)
    }
    tally(this.#long, line)
    // Nothing at all at the end of the text would be no record.
    if (this.#columns === 1 && bounds[0] === bounds[1] && record.ending === '') this.edits.push({ from: bounds[0]!, to: end, insert: NEWLINE })
    else this.leaveOut(bounds[this.#columns * 2 - 1]!, end)
  }

  /** The bytes [from, to) are no part of the block. */
  leaveOut (from: number, to: number): void {
    const before = this.edits.at(-1)
    if (before != null && before.to === from && before.insert == null) before.to = to
    else this.edits.push({ from, to })
  }

  /** What was done, in one note per kind. */
  notes (idleEscapes: number): Note[] {
    const input = this.#faults.path
    const notes: Note[] = []
    const say = (code: string, { count, lines }: Count, what: (records: string) => string): void => {
      if (count === 0) return
      const where = `line${count === 1 ? '' : 's'} ${lines.join(', ')}${count > lines.length ? ', ...' : ''}`
      notes.push({ code, message: `'${input}': ${what(`${count} record${count === 1 ? '' : 's'}`)} (${where})`, input, count })
    }
    say('rows-padded', this.#short, records => `${records} had fewer fields than there are columns; the last values are missing`)
    say('rows-cut', this.#long, records => `${records} had more fields than there are columns; the surplus ones, all empty, were left out`)
    say('rows-skipped', this.#skipped, records => `${records} had fewer or more fields than there are columns and were left out`)
    if (idleEscapes > 0) notes.push({ code: 'escapes-kept', message: `'${input}': ${idleEscapes} escape characters stand before something that needs none; they were kept as content`, input, count: idleEscapes })
    return notes
  }

  #delimiters (count: number): Uint8Array {
    let bytes = this.#padding.get(count)
    if (bytes == null) this.#padding.set(count, bytes = Buffer.from(this.#delimiter.repeat(count)))
    return bytes
  }
}

function tally (kind: Count, line: number): void {
  kind.count++
  if (kind.lines.length < LINES_TOLD_MAX) kind.lines.push(line)
}
