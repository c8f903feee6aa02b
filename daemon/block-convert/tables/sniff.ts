/** Tells table files apart: by their content first, then by their extension. */
import { isUtf8 } from 'node:buffer'
import { SNIFF_BYTES } from '../constants.ts'
import { ARROW_FILE, ARROW_STREAM, CSV, JSON_ARRAY, NDJSON, PARQUET } from './constants.ts'
import { sniffDelimiter } from './csv/detect.ts'
import { parseRecords } from './csv/dialect.ts'
import type { MediaType } from '../index.ts'

/** What a name says, where content does not. */
const BY_EXTENSION: Record<string, MediaType> = {
  csv: CSV, tsv: CSV, tab: CSV, txt: CSV, ndjson: NDJSON, jsonl: NDJSON, json: JSON_ARRAY, parquet: PARQUET, pq: PARQUET, arrow: ARROW_FILE, feather: ARROW_FILE, arrows: ARROW_STREAM
}

const JSON_EXTENSIONS = new Set(['ndjson', 'jsonl', 'json'])

/** Bytes of the longest UTF-8 character less one: as many may be cut off at the end of the head. */
const UTF8_TAIL = 3

/** Bytes of the metadata of an IPC stream's first message, a schema of thousands of columns among them. */
const IPC_SCHEMA_BYTES_MAX = 256 * 1024 * 1024

/** The media type of a table, or undefined if it is none. */
export function sniffTable (head: Uint8Array, extension: string): MediaType | undefined {
  const binary = binaryType(head, extension)
  if (binary != null) return binary
  const named = BY_EXTENSION[extension]
  if (!isText(head)) {
    // Its character set is found out when it is read. Binary data under a binary type's name: that type's reader says what is wrong.
    return named
  }
  const text = Buffer.from(head).toString('utf8').replace(/^\ufeff/, '')
  const json = jsonType(text.trimStart(), extension, head.length === SNIFF_BYTES)
  if (json != null) return json
  // Not what it is called: its reader says what is wrong.
  if (named != null) return named
  return extension === '' && looksLikeCsv(text, head.length === SNIFF_BYTES) ? CSV : undefined
}

function binaryType (head: Uint8Array, extension: string): MediaType | undefined {
  const magic = Buffer.from(head.subarray(0, 6)).toString('latin1')
  if (magic.startsWith('PAR1')) return PARQUET
  if (magic === 'ARROW1') return ARROW_FILE
  if ((extension === 'arrow' || extension === 'arrows') && isStream(head)) return ARROW_STREAM
  return undefined
}

/** An IPC stream begins with a continuation marker and the size of its schema's metadata, a multiple of eight. */
function isStream (head: Uint8Array): boolean {
  if (head.length < 8) return false
  const view = new DataView(head.buffer, head.byteOffset, 8)
  const size = view.getInt32(4, true)
  return view.getUint32(0, true) === 0xffffffff && size > 0 && size % 8 === 0 && size <= IPC_SCHEMA_BYTES_MAX
}

/** By the first bytes that are no white space: one object per line is NDJSON, an array or objects over several lines are JSON. */
function jsonType (start: string, extension: string, cut: boolean): MediaType | undefined {
  const first = start[0]
  if (first !== '[' && first !== '{') return undefined
  // Text tables may begin with a bracket, too.
  const named = JSON_EXTENSIONS.has(extension)
  if (first === '[') return named || isObjectArray(start) ? JSON_ARRAY : undefined
  const line = firstLine(start, cut)
  if (line === 'object') return NDJSON
  if (!named) return line === 'open' && extension === '' ? JSON_ARRAY : undefined
  // A wrong first line of what is named NDJSON is better told by its reader, which says what is wrong where.
  return line === 'open' || extension === 'json' ? JSON_ARRAY : NDJSON
}

/** Whether an array begins with an object; a log's lines, too, may begin with a bracket. */
const isObjectArray = (text: string): boolean => /^\[\s*\{\s*["}]/.test(text)

/** Whether the first line is one whole JSON object, ends where an object that goes on would, or neither. A line longer than the head gets the benefit of the doubt. */
function firstLine (text: string, cut: boolean): 'object' | 'open' | 'neither' {
  const newline = text.indexOf('\n')
  if (newline < 0 && cut) return 'object'
  const line = newline < 0 ? text : text.slice(0, newline)
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? 'object' : 'neither'
  } catch {
    return /[{[,:]\s*$/.test(line) ? 'open' : 'neither'
  }
}

function isText (head: Uint8Array): boolean {
  if (head.includes(0)) return false
  for (let cut = 0; cut <= Math.min(UTF8_TAIL, head.length); cut++) if (isUtf8(head.subarray(0, head.length - cut))) return true
  return false
}

/** Without a telling extension: at least two records with the same number of fields, at least two. */
function looksLikeCsv (text: string, cut: boolean): boolean {
  const delimiter = sniffDelimiter(text, '"')
  const records = parseRecords(text, { delimiter, quote: '"', escape: '"', header: true }, { partial: cut })
  const width = records[0]?.length ?? 0
  return width >= 2 && records.length >= 2 && records.every(record => record.length === width)
}
