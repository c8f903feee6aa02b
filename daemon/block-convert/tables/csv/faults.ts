/** What can be wrong with a CSV text, as errors that name place and value and say what to do. */
import { isUtf8 } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import { shown } from '../lexical.ts'
import type { Column, Dialect } from '../schema.ts'

const LF = 10
const CR = 13

export class CsvFaults {
  readonly #columns: Column[]
  readonly #path: string
  readonly #delimiter: number
  readonly #quote: number

  constructor (init: { columns: Column[], dialect: Dialect, path: string }) {
    this.#columns = init.columns
    this.#path = init.path
    this.#delimiter = init.dialect.delimiter.charCodeAt(0)
    this.#quote = init.dialect.quote.charCodeAt(0)
  }

  /** The record at `start` has not one field per column. */
  ragged (bytes: Uint8Array, start: number, end: number, line: number): never {
    const found = this.#countFields(bytes, start, end)
    const expected = this.#columns.length
    throw this.bad(`the record on line ${line} has ${found} fields instead of ${expected}; mend it, or set the delimiter with --set delimiter=...`, line, { expected, found })
  }

  contradiction (column: number, value: string, quoted: boolean, line: number): never {
    const { name, type } = this.#columns[column]!
    const what = quoted && value === '' ? 'a quoted empty field' : shown(value)
    throw new ConversionError('contradiction',
      `'${this.#path}' line ${line}, column '${name}': ${what} is not an exact ${type}; use --set "type:${name}=VARCHAR", or --set types=text for all columns`,
      { path: this.#path, line, column: name, value, type })
  }

  nul (line: number): ConversionError {
    return this.bad('it contains a NUL byte; it is not a text file, or its encoding is not UTF-8', line)
  }

  bad (what: string, line: number, details: Record<string, unknown> = {}): ConversionError {
    return new ConversionError('bad-input', `'${this.#path}' line ${line}: ${what}`, { path: this.#path, line, ...details })
  }

  #countFields (bytes: Uint8Array, start: number, end: number): number {
    let fields = 1
    let inQuotes = bytes[start] === this.#quote
    for (let i = inQuotes ? start + 1 : start; i < end; i++) {
      const byte = bytes[i]!
      if (byte === this.#quote) {
        if (inQuotes) inQuotes = false
        else if (bytes[i - 1] === this.#quote || bytes[i - 1] === this.#delimiter) inQuotes = true
      } else if (!inQuotes && byte === this.#delimiter) {
        fields++
      } else if (!inQuotes && (byte === LF || byte === CR)) {
        break
      }
    }
    return fields
  }
}

/** Throws ConversionError `bad-input` if the bytes are not UTF-8, naming the line; `line` is the first byte's. */
export function requireUtf8 (bytes: Uint8Array, path: string, line: number): void {
  if (isUtf8(bytes)) return
  let at = line
  let from = 0
  while (from < bytes.length) {
    const newline = bytes.indexOf(LF, from)
    const to = newline < 0 ? bytes.length : newline + 1
    if (!isUtf8(bytes.subarray(from, to))) break
    from = to
    at++
  }
  throw new ConversionError('bad-input', `'${path}' line ${at}: it is not UTF-8 text; convert its encoding first (for instance with iconv)`, { path, line: at })
}
