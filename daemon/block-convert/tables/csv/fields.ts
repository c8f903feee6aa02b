/** Where the fields of a CSV text end, byte by byte: what the scanner's hot loop leaves to be looked at with care. */
import { RECORD_BYTES_MAX } from '../constants.ts'
import type { CsvFaults } from './faults.ts'
import type { Dialect } from '../schema.ts'

const LF = 10
const CR = 13
const SPACE = 32
const TAB = 9

/** The end of the data came before the end of what was asked for. */
export const INCOMPLETE = -1

/** No byte is this one. */
const NONE = -1

export class CsvFields {
  readonly delimiter: number
  readonly quote: number
  /** -1 if quotes are doubled instead, or there are none. */
  readonly escape: number
  /** Bytes that end the run of ordinary ones in an unquoted field: delimiter, line ends, quote, NUL. */
  readonly special = new Uint8Array(256)
  /** Whether the field read last is quoted, and the line ends in it. */
  quoted = false
  newlines = 0
  /** Escapes seen that stand before something that needs none. */
  idleEscapes = 0
  readonly #faults: CsvFaults

  constructor (dialect: Dialect, faults: CsvFaults) {
    this.#faults = faults
    this.delimiter = dialect.delimiter.charCodeAt(0)
    this.quote = dialect.quote === '' ? NONE : dialect.quote.charCodeAt(0)
    this.escape = dialect.escape === dialect.quote ? NONE : dialect.escape.charCodeAt(0)
    for (const byte of [0, LF, CR, this.delimiter]) this.special[byte] = 1
    if (this.quote !== NONE) this.special[this.quote] = 1
  }

  /** The index of what ends the field at `from` (a delimiter, a line end, or `end`), or INCOMPLETE. `column` and `line` for messages. */
  end (bytes: Uint8Array, from: number, end: number, last: boolean, column: number, line: number): number {
    this.newlines = 0
    this.quoted = from < end && bytes[from] === this.quote
    return this.quoted ? this.#quoted(bytes, from, end, last, line) : this.#unquoted(bytes, from, end, last, column, line)
  }

  /** The text of a field that lies at [from, to). */
  value (bytes: Uint8Array, from: number, to: number, quoted: boolean): string {
    const raw = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8')
    if (!quoted) return raw
    const quote = raw[0]!
    const content = raw.slice(1, -1)
    // Not replaceAll: `$` has a meaning in what it puts in. A NUL is in no text.
    if (this.escape === NONE) return content.split(quote + quote).join(quote)
    const escape = String.fromCharCode(this.escape)
    return content.split(escape + escape).join('\0').split(escape + quote).join(quote).split('\0').join(escape)
  }

  #quoted (bytes: Uint8Array, from: number, end: number, last: boolean, line: number): number {
    const { quote, escape } = this
    let newlines = 0
    let i = from + 1
    for (;;) {
      let byte = bytes[i]!
      while (byte !== quote && byte !== escape && byte !== LF && byte !== CR && byte !== 0) byte = bytes[++i]!
      if (i >= end) {
        if (last) throw this.#faults.bad(`a quote opened on line ${line} is never closed`, line)
        return this.#incomplete(from, end, line)
      }
      // Whatever it is, what follows decides.
      if (i + 1 >= end && !last && byte !== LF && byte !== 0) return this.#incomplete(from, end, line)
      if (byte === LF) {
        newlines++
      } else if (byte === CR) {
        // The \n of a \r\n does the counting.
        if (i + 1 >= end || bytes[i + 1] !== LF) newlines++
      } else if (byte === 0) {
        throw this.#faults.nul(line + newlines)
      } else if (byte === escape) {
        if (i + 1 < end && (bytes[i + 1] === quote || bytes[i + 1] === escape)) i++
        else this.idleEscapes++
      } else {
        if (escape !== NONE || i + 1 >= end || bytes[i + 1] !== quote) break
        i++
      }
      i++
    }
    const after = i + 1
    this.newlines = newlines
    if (after < end) {
      const byte = bytes[after]!
      if (byte !== this.delimiter && byte !== LF && byte !== CR) throw this.#faults.afterQuote(line + newlines)
      if (byte === CR && after + 1 >= end && !last) return this.#incomplete(from, end, line)
    }
    return after
  }

  #unquoted (bytes: Uint8Array, from: number, end: number, last: boolean, column: number, line: number): number {
    let i = from
    for (;;) {
      let byte = bytes[i]!
      while (this.special[byte] === 0) byte = bytes[++i]!
      if (i >= end) return last ? end : this.#incomplete(from, end, line)
      if (byte === this.quote) {
        let space = from
        while (bytes[space] === SPACE || bytes[space] === TAB) space++
        if (space === i) throw this.#faults.spaceBeforeQuote(column, line)
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

/** A record, as ranges of bytes. */
export interface CsvRecord {
  /** Begin and end of each field, quotes included. */
  bounds: number[]
  quoted: boolean[]
  /** Where its line end begins, and where the next record does. */
  end: number
  next: number
  /** Lines it takes. */
  lines: number
  /** Its line end is a lone \r, or \r\n. */
  ending: '\r' | '\r\n' | '\n' | ''
}

/** The record at `from`, whatever the number of its fields; undefined if it is not complete. */
export function readRecord (fields: CsvFields, bytes: Uint8Array, from: number, end: number, last: boolean, line: number): CsvRecord | undefined {
  const bounds: number[] = []
  const quoted: boolean[] = []
  let lines = 1
  let at = from
  for (;;) {
    const to = fields.end(bytes, at, end, last, bounds.length / 2, line + lines - 1)
    if (to === INCOMPLETE) return undefined
    bounds.push(at, to)
    quoted.push(fields.quoted)
    lines += fields.newlines
    if (to >= end) return { bounds, quoted, end, next: end, lines, ending: '' }
    if (bytes[to] === fields.delimiter) {
      at = to + 1
      continue
    }
    if (bytes[to] === LF) return { bounds, quoted, end: to, next: to + 1, lines, ending: '\n' }
    const pair = to + 1 < end && bytes[to + 1] === LF
    return { bounds, quoted, end: to, next: to + (pair ? 2 : 1), lines, ending: pair ? '\r\n' : '\r' }
  }
}

/** Behind the line end at or after `from`, whatever is before it; or INCOMPLETE. */
export function lineEnd (bytes: Uint8Array, from: number, end: number, last: boolean): number {
  let i = from
  while (i < end && bytes[i] !== LF && bytes[i] !== CR) i++
  if (i + 1 >= end && !last && (i >= end || bytes[i] === CR)) return INCOMPLETE
  if (i >= end) return end
  return bytes[i] === CR && i + 1 < end && bytes[i + 1] === LF ? i + 2 : i + 1
}
