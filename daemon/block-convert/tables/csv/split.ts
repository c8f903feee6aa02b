/** Cuts CSV files into blocks: a header line of our own, then byte ranges of whole records. */
import { Epochs } from './epochs.ts'
import { CsvFaults } from './faults.ts'
import { CsvFields, INCOMPLETE, lineEnd, readRecord } from './fields.ts'
import { columnNames, headerLine, parseRecords } from './dialect.ts'
import { CsvScanner } from './scan.ts'
import { ConversionError } from '../../errors.ts'
import type { BlockTarget, Input, SplitItem } from '../../index.ts'
import type { Dialect, TableParameters } from '../schema.ts'
import type { BlockForm } from '../text-block.ts'
import { splitText } from '../text-split.ts'

/**
 * Yields blocks of about `target.bytes` (at least one record each), every field proved to be an exact value of its column's type, which
 * is made wider where that is needed (`epochs.ts`).
 *
 * Throws ConversionError `contradiction`, `bad-input`, `unsupported` (columns that were not there when the job was prepared) or
 * `input-changed`.
 */
export function splitCsv (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<SplitItem> {
  const { source, columns } = params
  if (source.format !== 'csv') throw new ConversionError('bad-parameters', 'source.format must be csv for a CSV input', { key: 'source.format' })
  const { dialect, ragged } = source
  const epochs = new Epochs(columns)
  const headers = new Headers(params, dialect, inputs.length > 1 && ragged == null)
  return splitText(inputs, target, {
    prefix: new Uint8Array(0),
    scanner: input => new CsvScanner({ epochs, present: headers.present, dialect, ragged, path: nameOf(input), line: 1 }),
    preamble: (input, bytes, from, end, last) => headers.read(nameOf(input), bytes, from, end, last),
    widened: () => epochs.take()
  })
}

/** The name the user knows an input by. */
export function nameOf (input: Input): string {
  return input.original ?? input.path
}

export function emptyCsv (path: string): ConversionError {
  return new ConversionError('bad-input', `'${path}' is empty: no header; give a file with at least a header line`, { path })
}

/** Finds each input's columns: by the names in its header, or by counting its first record's fields. */
class Headers {
  /** Of the input read last: positions of its columns, undefined if they are those of the job. */
  present: number[] | undefined
  readonly #params: TableParameters
  readonly #dialect: Dialect
  /** Without a header, the first record tells how many columns an input has. */
  readonly #counted: boolean
  readonly #positions: Map<string, number>
  /** Of the input read last, and what it is for: neighbours are mostly alike. */
  #form: BlockForm | undefined
  #key = ''

  constructor (params: TableParameters, dialect: Dialect, counted: boolean) {
    this.#params = params
    this.#dialect = dialect
    this.#counted = counted
    this.#positions = new Map(params.columns.map(({ name }, i) => [name.toLowerCase(), i]))
  }

  read (path: string, bytes: Uint8Array, from: number, end: number, last: boolean): { next: number, lines: number, form?: BlockForm } {
    if (last && from >= end) throw emptyCsv(path)
    const dialect = this.#dialect
    const fields = new CsvFields(dialect, new CsvFaults([], path))
    const comment = dialect.comment?.charCodeAt(0)
    const wide = this.#params.columns.length > 1
    let line = 1
    let blank: { next: number, line: number } | undefined
    let at = from
    for (;;) {
      if (at >= end && last) {
        // Nothing but blank lines: the header of a single column without a name, or none at all.
        if (!dialect.header) return { next: from, lines: 0 }
        if (blank == null || wide) throw emptyCsv(path)
        return this.#found(path, [null], blank.next, blank.line, from)
      }
      if (bytes[at] === comment && at < end) {
        const next = lineEnd(bytes, at, end, last)
        if (next === INCOMPLETE) return { next: -1, lines: 0 }
        at = next
        line++
        continue
      }
      const record = readRecord(fields, bytes, at, end, last, line)
      if (record == null) return { next: -1, lines: 0 }
      const { next, lines } = record
      const one = record.bounds.length === 2
      if (!one || record.end > at) {
        // Blank lines before a single column's header are its first record.
        if (one && blank != null && !wide) return this.#found(path, [null], blank.next, blank.line, from)
        const text = Buffer.from(bytes.subarray(at, next)).toString('utf8')
        return this.#found(path, parseRecords(text, dialect, { columns: 1 })[0] ?? [], next, line + lines - 1, from)
      }
      blank ??= { next, line }
      at = next
      line += lines
    }
  }

  #found (path: string, header: Array<string | null>, next: number, lines: number, from: number): { next: number, lines: number, form: BlockForm } {
    const { columns } = this.#params
    const present = this.#dialect.header ? this.#named(path, header) : columns.map((_, i) => i).slice(0, this.#counted ? header.length : columns.length)
    const all = present.length === columns.length && present.every((position, i) => position === i)
    this.present = all ? undefined : present
    const key = all ? '' : present.join(' ')
    if (this.#form == null || this.#key !== key) {
      const prefix = this.#dialect.header ? headerLine(present.map(position => columns[position]!), this.#dialect) : new Uint8Array(0)
      this.#form = all ? { prefix } : { prefix, slice: { present } }
      this.#key = key
    }
    return this.#dialect.header ? { next, lines, form: this.#form } : { next: from, lines: 0, form: this.#form }
  }

  #named (path: string, header: Array<string | null>): number[] {
    return columnNames(header).map(name => {
      const position = this.#positions.get(name.toLowerCase())
      if (position != null) return position
      throw new ConversionError('unsupported', `'${path}' has column '${name}', which was not there when the job began; run it again`, { path, column: name })
    })
  }
}
