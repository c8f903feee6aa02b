/** Tells table files apart: by their content first, then by their extension. */
import { isUtf8 } from 'node:buffer'
import { SNIFF_BYTES } from '../constants.ts'
import { CSV, NDJSON, PARQUET } from './constants.ts'
import { parseRecords, sniffDelimiter } from './csv/dialect.ts'
import { ConversionError } from '../errors.ts'
import type { MediaType } from '../index.ts'

const TEXT_EXTENSIONS = new Set(['csv', 'tsv', 'tab', 'txt'])
const LINES_EXTENSIONS = new Set(['ndjson', 'jsonl'])
const JSON_EXTENSIONS = new Set(['ndjson', 'jsonl', 'json'])
/** Extensions that nothing but a text table has. */
const NAMED_EXTENSIONS = new Set(['csv', 'tsv', ...LINES_EXTENSIONS])
const PARQUET_EXTENSIONS = new Set(['parquet', 'pq'])

/** Bytes of the longest UTF-8 character less one: as many may be cut off at the end of the head. */
const UTF8_TAIL = 3

/**
 * The media type of a table, or undefined if it is none. A JSON document that is not one object per line is refused with
 * ConversionError `unsupported`, since its user needs to know why.
 */
export function sniffTable (head: Uint8Array, extension: string): MediaType | undefined {
  if (head.length >= 4 && Buffer.from(head.subarray(0, 4)).toString('latin1') === 'PAR1') return PARQUET
  // Not Parquet, though it is called so: its footer's reader says what is wrong.
  if (PARQUET_EXTENSIONS.has(extension)) return PARQUET
  if (!isText(head)) {
    // A table by its name in another encoding is common; its user needs to know what to do about it.
    if (NAMED_EXTENSIONS.has(extension)) throw new ConversionError('bad-input', `it is named .${extension}, but is ${encodingOf(head)}; convert its encoding first (for instance with iconv)`)
    return undefined
  }
  const text = Buffer.from(head).toString('utf8').replace(/^\ufeff/, '')
  const start = text.trimStart()
  if (start.startsWith('{') && isObjectLine(start, head.length === SNIFF_BYTES)) return NDJSON
  if (JSON_EXTENSIONS.has(extension) && (start.startsWith('[') || start.startsWith('{'))) {
    const what = start.startsWith('[') ? 'a JSON array' : 'a JSON document over several lines'
    // A wrong first line of what is named NDJSON is better told by its reader, which says what is wrong where.
    if (LINES_EXTENSIONS.has(extension) && start.startsWith('{') && !isCutOpen(start)) return NDJSON
    throw new ConversionError('unsupported', `it is ${what}; NDJSON is needed, one object per line (for instance by jq -c)`)
  }
  if (TEXT_EXTENSIONS.has(extension)) return CSV
  if (LINES_EXTENSIONS.has(extension)) return NDJSON
  return extension === '' && looksLikeCsv(text, head.length === SNIFF_BYTES) ? CSV : undefined
}

/** Whether the first line ends where a pretty printed document would go on. */
const isCutOpen = (text: string): boolean => /[{[,:]\s*$/.test(text.split('\n', 1)[0]!)

function encodingOf (head: Uint8Array): string {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) return 'UTF-16'
  return head.includes(0) ? 'binary (it holds NUL bytes)' : 'not UTF-8 text'
}

function isText (head: Uint8Array): boolean {
  if (head.includes(0)) return false
  for (let cut = 0; cut <= Math.min(UTF8_TAIL, head.length); cut++) if (isUtf8(head.subarray(0, head.length - cut))) return true
  return false
}

/** Whether the first line is one whole JSON object; a line longer than the head gets the benefit of the doubt. */
function isObjectLine (text: string, cut: boolean): boolean {
  const newline = text.indexOf('\n')
  if (newline < 0 && cut) return true
  try {
    const value: unknown = JSON.parse(newline < 0 ? text : text.slice(0, newline))
    return typeof value === 'object' && value !== null
  } catch {
    return false // no JSON: it may still be CSV that begins with a brace
  }
}

/** Without a telling extension: at least two records with the same number of fields, at least two. */
function looksLikeCsv (text: string, cut: boolean): boolean {
  const delimiter = sniffDelimiter(text, '"')
  const records = parseRecords(text, { delimiter, quote: '"', escape: '"', header: true }, { partial: cut })
  const width = records[0]?.length ?? 0
  return width >= 2 && records.length >= 2 && records.every(record => record.length === width)
}
