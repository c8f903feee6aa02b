/** What can be wrong with a CSV text, as errors that name place and value and say what to do. */
import { isUtf8 } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import { MESSAGE_VALUE_MAX } from '../constants.ts'
import { shown } from '../lexical.ts'
import type { Column } from '../schema.ts'

const LF = 10

export class CsvFaults {
  readonly path: string
  readonly #columns: readonly Column[]

  /** `columns`: of the file, in its order. */
  constructor (columns: readonly Column[], path: string) {
    this.#columns = columns
    this.path = path
  }

  /** A record that has not one field per column. */
  ragged (found: number, line: number): never {
    const expected = this.#columns.length
    throw this.bad(`the record on line ${line} has ${found} fields instead of ${expected}; mend it, set the delimiter with --set delimiter=..., or choose --set ragged=pad or ragged=skip-and-report`, line, { expected, found })
  }

  /** A record with more fields than there are columns, some of them not empty. */
  surplus (found: number, line: number): never {
    const expected = this.#columns.length
    throw this.bad(`the record on line ${line} has ${found} fields instead of ${expected}, and the surplus ones are not empty; mend it, or leave such records out with --set ragged=skip-and-report`, line, { expected, found })
  }

  /** A value that its column, whose type was given, cannot have. */
  contradiction (column: number, value: string, quoted: boolean, line: number): never {
    const { name, type } = this.#columns[column]!
    const what = quoted && value === '' ? 'a quoted empty field' : shown(value)
    throw new ConversionError('contradiction',
      `'${this.path}' line ${line}, column '${name}': ${what} is not an exact ${type}, the type it was given; use --set "type:${name}=VARCHAR", or leave its type out`,
      { path: this.path, line, column: name, value: value.slice(0, MESSAGE_VALUE_MAX), type })
  }

  nul (line: number): ConversionError {
    return this.bad('it contains a NUL byte; it is not a text file, or its encoding is not UTF-8 (set it with --set encoding=utf-16 or another)', line)
  }

  afterQuote (line: number): ConversionError {
    return this.bad('there is text between a closing quote and the next delimiter; a quote inside a quoted field is written twice, or set --set escape=\\ or quote=none', line)
  }

  spaceBeforeQuote (column: number, line: number): ConversionError {
    return this.bad(`column ${this.#columns[column] == null ? column + 1 : `'${this.#columns[column].name}'`} has white space before a quote; remove it, quote the whole field, or set --set quote=none`, line)
  }

  bad (what: string, line: number, details: Record<string, unknown> = {}): ConversionError {
    return new ConversionError('bad-input', `'${this.path}' line ${line}: ${what}`, { path: this.path, line, ...details })
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
  throw new ConversionError('bad-input', `'${path}' line ${at}: it is not UTF-8 text; if it is in another encoding, set it, for instance --set encoding=latin1`, { path, line: at })
}
