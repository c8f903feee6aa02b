/**
 * The always-on check of a text file at the speed of looking for line ends: the header is that of the columns, the last record is complete,
 * and there are as many records as rows are due; every line of NDJSON and JSON begins and ends as an object does, with what belongs
 * between. Values are not parsed: that is the comparison's task.
 */
import { ConversionError } from '../errors.ts'
import type { BlockSource } from '../index.ts'
import { READ_BYTES } from './parquet/limits.ts'
import { RandomAccess } from './random-access.ts'
import type { TableParameters, TargetForm } from './schema.ts'
import { headerEnd } from './text-merge.ts'

const LF = 10
const COMMA = 44
const OPEN = 123
const CLOSE = 125

/**
 * Counts the records of what DuckDB writes: CSV records end with LF, quotes are doubled or stand inside quotes; JSON has one object a line.
 * `whole`: a JSON array with its brackets instead of a part of one.
 *
 * @throws ConversionError `bad-input` saying what is wrong
 */
export function inspectText (source: BlockSource, params: TableParameters, target: TargetForm & { format: 'csv' | 'ndjson' | 'json' }, whole = false): { units: number } {
  const file = new RandomAccess(source)
  try {
    if (target.format !== 'csv') return { units: inspectLines(file, target.format === 'json', whole) }
    const { dialect } = target
    const from = dialect.header ? headerEnd(file, params.columns, dialect) : 0
    const counter = new RecordCounter(dialect.quote === '' ? -1 : dialect.quote.charCodeAt(0), dialect.escape === dialect.quote ? -1 : dialect.escape.charCodeAt(0))
    let last = LF
    for (const { bytes } of pieces(file, from)) {
      counter.add(bytes)
      last = bytes[bytes.length - 1] as number
    }
    if (counter.open) throw new ConversionError('bad-input', `${file.name()} is cut off inside a quoted field`)
    if (last !== LF) throw cutOff(file)
    return { units: counter.records }
  } finally {
    file.close()
  }
}

const cutOff = (file: RandomAccess): ConversionError => new ConversionError('bad-input', `${file.name()} is cut off: its last record has no line end`)

/** What a file holds from a position on, piece by piece in one buffer. */
function * pieces (file: RandomAccess, from: number): Generator<{ bytes: Buffer, at: number }> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, Math.max(1, file.size - from)))
  for (let at = from; at < file.size;) {
    const count = file.readInto(buffer, at)
    if (count === 0) throw new ConversionError('bad-input', `${file.name()} became shorter while it was read`)
    yield { bytes: buffer.subarray(0, count), at }
    at += count
  }
}

/** NDJSON ends every line; the elements of JSON have `,\n` between them, and `[\n`, `\n]\n` around the whole. */
function inspectLines (file: RandomAccess, json: boolean, whole: boolean): number {
  const bad = (line: number, what: string): ConversionError => new ConversionError('bad-input', `${file.name()}, line ${line}: ${what}`)
  let from = 0
  let to = file.size
  if (json && whole) {
    const text = (at: number, length: number): string => Buffer.from(file.read(at, length)).toString('latin1')
    if (file.size === 3 && text(0, 3) === '[]\n') return 0
    if (file.size < 5 || text(0, 2) !== '[\n' || text(file.size - 3, 3) !== '\n]\n') throw new ConversionError('bad-input', `${file.name()} is no whole JSON array, one element a line`)
    from = 2
    to -= 3
    if (from === to) throw bad(1, 'an array without elements is written as []')
  }
  if (from === to) return 0
  let lines = 0
  // The bytes before the present one, as far as they matter.
  let last = 0
  let before = 0
  let begun = false
  for (const { bytes: piece, at } of pieces(file, from)) {
    const bytes = at + piece.length > to ? piece.subarray(0, to - at) : piece
    for (let i = 0; i < bytes.length;) {
      if (!begun) {
        if (bytes[i] !== OPEN) throw bad(lines + 1, 'it does not begin with an object')
        begun = true
      }
      const end = bytes.indexOf(LF, i)
      const stop = end < 0 ? bytes.length : end
      if (stop - i >= 2) {
        before = bytes[stop - 2] as number
        last = bytes[stop - 1] as number
      } else if (stop - i === 1) {
        before = last
        last = bytes[stop - 1] as number
      }
      if (end < 0) break
      if (json ? last !== COMMA || before !== CLOSE : last !== CLOSE) throw bad(lines + 1, 'it does not end with an object')
      lines++
      begun = false
      i = end + 1
    }
  }
  if (!json && begun) throw cutOff(file)
  if (json && (!begun || last !== CLOSE)) throw new ConversionError('bad-input', `${file.name()} is cut off: its last object does not end`)
  return json ? lines + 1 : lines
}

/** Counts line ends outside of quotes. */
export class RecordCounter {
  records = 0
  /** Inside a quoted field. */
  open = false
  readonly #quote: number
  readonly #escape: number
  #escaped = false

  /** Char codes; -1 for none. */
  constructor (quote: number, escape: number) {
    this.#quote = quote
    this.#escape = escape
  }

  add (bytes: Buffer): void {
    if (this.#escape >= 0) return this.#withEscapes(bytes)
    let position = 0
    let records = 0
    // inside quotes nothing but the next quote matters; outside, line ends up to the next quote
    for (;;) {
      if (this.open) {
        const quote = bytes.indexOf(this.#quote, position)
        if (quote < 0) break
        this.open = false
        position = quote + 1
        continue
      }
      const quote = this.#quote < 0 ? -1 : bytes.indexOf(this.#quote, position)
      const end = quote < 0 ? bytes.length : quote
      records += lineFeeds(bytes, position, end)
      if (quote < 0) break
      this.open = true
      position = quote + 1
    }
    this.records += records
  }

  #withEscapes (bytes: Buffer): void {
    for (const byte of bytes) {
      if (this.#escaped) this.#escaped = false
      else if (this.open && byte === this.#escape) this.#escaped = true
      else if (byte === this.#quote) this.open = !this.open
      else if (byte === LF && !this.open) this.records++
    }
  }
}

/** Line feeds in a range. Short ranges are counted in place, a native search pays off only over long ones. */
function lineFeeds (bytes: Buffer, from: number, to: number): number {
  let count = 0
  for (let i = from; i < to; i++) if (bytes[i] === LF) count++
  return count
}
