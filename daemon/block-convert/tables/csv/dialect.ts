/** The little reading and writing of CSV that samples and headers need. */
import type { Column, Dialect } from '../schema.ts'

const LF = 10
const CR = 13

/** A field as read: null is an empty unquoted field, '' a quoted empty one. */
export type Field = string | null

export interface ParseOptions {
  partial?: boolean
  limit?: number
  columns?: number
  /** Filled in: fields in quotes, those whose closing quote is followed by something else, and whether the text ends inside of one. */
  counts?: { quoted: number, unsound: number, open: boolean }
}

/**
 * Splits a text into records, leniently: it is for samples and headers, the scanner proves the grammar later. `partial`
 * leaves out the last record unless its end is there. Blank lines are skipped unless there is a single column.
 */
export function parseRecords (text: string, dialect: Dialect, options: ParseOptions = {}): Field[][] {
  const { counts } = options
  const delimiter = dialect.delimiter.charCodeAt(0)
  // NaN, which no character is, if there are none.
  const quote = dialect.quote.charCodeAt(0)
  const comment = (dialect.comment ?? '').charCodeAt(0)
  const fieldEnd = (from: number): number => {
    for (let i = from; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code === delimiter || code === LF || code === CR) return i
    }
    return text.length
  }
  const limit = options.limit ?? Infinity
  const records: Field[][] = []
  let record: Field[] = []
  let i = 0
  const end = text.length
  while (i < end && records.length < limit) {
    let value: Field
    const code = text.charCodeAt(i)
    if (code === comment && record.length === 0) {
      while (i < end && text[i] !== '\n' && text[i] !== '\r') i++
      i += text[i] === '\r' && text[i + 1] === '\n' ? 2 : 1
      continue
    }
    if (code === quote) {
      let close = closing(text, i, dialect)
      if (close < 0) {
        if (counts != null) counts.open = true
        if (options.partial === true) return records
        close = end
      }
      value = unescaped(text.slice(i + 1, close), dialect)
      i = Math.min(close + 1, end)
      // What follows a closing quote is an error the scanner reports; here it is skipped.
      const after = i
      i = fieldEnd(i)
      if (counts != null) {
        counts.quoted++
        if (i > after) counts.unsound++
      }
    } else {
      const start = i
      i = fieldEnd(i)
      value = i > start ? text.slice(start, i) : null
    }
    if (i >= end) {
      if (options.partial === true) return records
      record.push(value)
      records.push(record)
      return records
    }
    record.push(value)
    const ending = text.charCodeAt(i++)
    if (ending === delimiter) {
      if (i < end) continue
      if (options.partial === true) return records
      record.push(null)
      records.push(record)
      return records
    }
    if (ending === CR) {
      if (i >= end && options.partial === true) return records
      if (text.charCodeAt(i) === LF) i++
    }
    if (record.length > 1 || record[0] !== null || options.columns === 1) records.push(record)
    record = []
  }
  return records
}

/** Where the quote that closes the field opened at `from` is, or -1. */
function closing (text: string, from: number, { quote, escape }: Dialect): number {
  let close = text.indexOf(quote, from + 1)
  if (escape === quote) {
    while (close >= 0 && text[close + 1] === quote) close = text.indexOf(quote, close + 2)
    return close
  }
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === escape && (text[i + 1] === quote || text[i + 1] === escape)) i++
    else if (text[i] === quote) return i
  }
  return -1
}

function unescaped (content: string, { quote, escape }: Dialect): string {
  if (escape === quote) return content.split(quote + quote).join(quote)
  let out = ''
  for (let i = 0; i < content.length; i++) {
    if (content[i] === escape && (content[i + 1] === quote || content[i + 1] === escape)) i++
    out += content[i]
  }
  return out
}

/**
 * Column names from a header: an empty one becomes `column_<position>`; one that was there before, whatever its case
 * (engines do not tell `a` from `A`), gets `_2`, `_3`, ... appended until it is new.
 */
export function columnNames (header: Field[]): string[] {
  const taken = new Set<string>()
  return header.map((field, i) => {
    const wanted = field == null || field === '' ? `column_${i + 1}` : field
    let name = wanted
    for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${wanted}_${n}`
    taken.add(name.toLowerCase())
    return name
  })
}

/** A header line naming the columns, with its newline. */
export function headerLine (columns: Column[], { delimiter, quote, escape, comment }: Dialect): Uint8Array {
  const fields = columns.map(({ name }, i) => {
    const plain = name !== '' && name.trim() === name && !name.includes(delimiter) && !(quote !== '' && name.includes(quote)) && !/[\r\n]/.test(name) && !(i === 0 && comment != null && name.startsWith(comment))
    if (plain || quote === '') return name
    // Not replaceAll: `$` has a meaning in what it puts in.
    const escaped = escape === quote ? name : name.split(escape).join(escape + escape)
    return quote + escaped.split(quote).join(escape + quote) + quote
  })
  return Buffer.from(fields.join(delimiter) + '\n')
}
