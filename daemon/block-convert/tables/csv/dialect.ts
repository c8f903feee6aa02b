/** How a CSV text is written: found out from its beginning, and the little reading and writing that needs. */
import type { Column, Dialect } from '../schema.ts'

/** Delimiters considered, most usual first; a tie goes to the earlier one. */
export const DELIMITERS = [',', ';', '\t', '|'] as const

/** Records looked at per candidate. */
const SNIFF_RECORDS = 200

/** A field as read: null is an empty unquoted field, '' a quoted empty one. */
export type Field = string | null

/**
 * Splits a text into records, leniently: it is for samples and headers, the scanner proves the grammar later. `partial`
 * leaves out the last record unless its end is there. Blank lines are skipped unless there is a single column.
 */
export function parseRecords (text: string, dialect: Dialect, options: { partial?: boolean, limit?: number, columns?: number } = {}): Field[][] {
  const { delimiter, quote } = dialect
  const limit = options.limit ?? Infinity
  const records: Field[][] = []
  let record: Field[] = []
  let i = 0
  const end = text.length
  while (i < end && records.length < limit) {
    let value: Field
    if (text[i] === quote) {
      let close = text.indexOf(quote, i + 1)
      while (close >= 0 && text[close + 1] === quote) close = text.indexOf(quote, close + 2)
      if (close < 0) {
        if (options.partial === true) return records
        close = end
      }
      value = text.slice(i + 1, close).replaceAll(quote + quote, quote)
      i = Math.min(close + 1, end)
      // What follows a closing quote is an error the scanner reports; here it is skipped.
      while (i < end && text[i] !== delimiter && text[i] !== '\n' && text[i] !== '\r') i++
    } else {
      const start = i
      while (i < end && text[i] !== delimiter && text[i] !== '\n' && text[i] !== '\r') i++
      value = i > start ? text.slice(start, i) : null
    }
    if (i >= end) {
      if (options.partial === true) return records
      record.push(value)
      records.push(record)
      return records
    }
    record.push(value)
    const byte = text[i++]
    if (byte === delimiter) {
      if (i < end) continue
      if (options.partial === true) return records
      record.push(null)
      records.push(record)
      return records
    }
    if (byte === '\r') {
      if (i >= end && options.partial === true) return records
      if (text[i] === '\n') i++
    }
    if (record.length > 1 || record[0] !== null || options.columns === 1) records.push(record)
    record = []
  }
  return records
}

/** The delimiter that divides the most records into the same number of fields, more than one. A single column gives ','. */
export function sniffDelimiter (head: string, quote: string): string {
  let best: string = DELIMITERS[0]
  let bestScore = 0
  for (const delimiter of DELIMITERS) {
    const dialect = { delimiter, quote, escape: quote, header: true }
    let records = parseRecords(head, dialect, { partial: true, limit: SNIFF_RECORDS })
    if (records.length === 0) records = parseRecords(head, dialect, { limit: 1 })
    const fields = records[0]?.length ?? 1
    if (fields < 2) continue
    const share = records.filter(record => record.length === fields).length / records.length
    // Consistency counts first; between two consistent candidates, the one with more fields.
    const score = share * 1000 + Math.min(fields, 500)
    if (score > bestScore) {
      best = delimiter
      bestScore = score
    }
  }
  return best
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
export function headerLine (columns: Column[], dialect: Dialect): Uint8Array {
  const { delimiter, quote } = dialect
  const fields = columns.map(({ name }) => {
    const plain = name !== '' && name.trim() === name && !name.includes(delimiter) && !name.includes(quote) && !/[\r\n]/.test(name)
    return plain ? name : quote + name.replaceAll(quote, quote + quote) + quote
  })
  return Buffer.from(fields.join(delimiter) + '\n')
}
