/**
 * The always-on check of a CSV or NDJSON file at the speed of looking for line ends: the header is that of the columns, the last
 * record is complete, and there are as many records as rows are due. Values are not parsed: that is the comparison's task.
 */
import { ConversionError } from '../errors.ts'
import type { BlockSource } from '../index.ts'
import { READ_BYTES } from './parquet/limits.ts'
import { RandomAccess } from './random-access.ts'
import type { TableParameters, TargetForm } from './schema.ts'
import { headerEnd } from './text-merge.ts'

const LF = 10

/**
 * Counts the records of what DuckDB writes: each ends with LF, quotes are doubled or stand inside quotes.
 *
 * @throws ConversionError `bad-input` saying what is wrong
 */
export function inspectText (source: BlockSource, params: TableParameters, target: TargetForm & { format: 'csv' | 'ndjson' }): { units: number } {
  const file = new RandomAccess(source)
  try {
    const csv = target.format === 'csv' ? target.dialect : undefined
    const from = csv?.header === true ? headerEnd(file, params.columns, csv) : 0
    const counter = new RecordCounter(csv == null ? -1 : csv.quote.charCodeAt(0), csv == null || csv.escape === csv.quote ? -1 : csv.escape.charCodeAt(0))
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, Math.max(1, file.size - from)))
    let last = LF
    for (let at = from; at < file.size;) {
      const count = file.readInto(buffer, at)
      if (count === 0) throw new ConversionError('bad-input', `${file.name()} became shorter while it was read`)
      counter.add(buffer.subarray(0, count))
      last = buffer[count - 1] as number
      at += count
    }
    if (counter.open) throw new ConversionError('bad-input', `${file.name()} is cut off inside a quoted field`)
    if (last !== LF) throw new ConversionError('bad-input', `${file.name()} is cut off: its last record has no line end`)
    return { units: counter.records }
  } finally {
    file.close()
  }
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
