/**
 * CSV, NDJSON and JSON parts become one text. A CSV part is a whole file of its own, with its header line if the dialect has one; the
 * output has the header once. A part whose last line has no end gets one. A JSON part is an array's elements without the array.
 */
import { ConversionError } from '../errors.ts'
import type { BlockSource, Merger } from '../index.ts'
import { READ_BYTES } from './parquet/limits.ts'
import { RandomAccess } from './random-access.ts'
import { firstRecord } from './csv/reader.ts'
import type { Column, Dialect, TableParameters } from './schema.ts'

const LF = 10
const CR = 13
const NEWLINE = new Uint8Array([LF])

/** Bytes a header line may have: 4096 names of 1024 characters, and then some. */
export const HEADER_BYTES_MAX = 16 * 1024 * 1024

/** What an output has around its parts. Each is complete by itself, so that a compression may write it as a member or frame of its own. */
export interface TextPieces {
  /** Before the first part that has rows. */
  start: Uint8Array
  /** Between two parts that have rows. */
  between: Uint8Array
  /** Behind the last part. */
  end: Uint8Array
  /** All of an output without rows. */
  empty: Uint8Array
}

const NOTHING = new Uint8Array(0)
const JSON_PIECES: TextPieces = { start: Buffer.from('[\n'), between: Buffer.from(',\n'), end: Buffer.from('\n]\n'), empty: Buffer.from('[]\n') }

export function textPieces ({ columns, target }: TableParameters): TextPieces {
  if (target.format === 'json') return JSON_PIECES
  const start = target.format === 'csv' && target.dialect.header ? headerLine(columns, target.dialect) : NOTHING
  return { start, between: NOTHING, end: NOTHING, empty: start }
}

/** `add` throws ConversionError `bad-input` for a CSV part whose header is missing or another one. */
export function textMerger (params: TableParameters): Merger {
  const { start, between, end, empty } = textPieces(params)
  const dialect = params.target.format === 'csv' && params.target.dialect.header ? params.target.dialect : undefined
  const ended = params.target.format !== 'json'
  // Otherwise it is only known with the first rows what the output begins with.
  const early = start === empty
  let rows = false
  return {
    * start () {
      rows = false
      if (early && start.length > 0) yield start
    },
    * add (part) {
      for (const { bytes, first } of body(part, params.columns, dialect, ended)) {
        const before = rows ? between : early ? NOTHING : start
        if (first && before.length > 0) yield before
        rows = true
        yield bytes
      }
    },
    * end () {
      const last = rows ? end : early ? NOTHING : empty
      if (last.length > 0) yield last
    }
  }
}

/** A part without its header; `ended`: its last record gets a line end if it has none. */
function * body (part: BlockSource, columns: Column[], dialect: Dialect | undefined, ended: boolean): Generator<{ bytes: Uint8Array, first: boolean }> {
  const file = new RandomAccess(part)
  try {
    let last = LF
    const from = dialect == null ? 0 : headerEnd(file, columns, dialect)
    for (let at = from; at < file.size; at += READ_BYTES) {
      const bytes = file.read(at, Math.min(READ_BYTES, file.size - at))
      last = bytes[bytes.length - 1] as number
      yield { bytes, first: at === from }
    }
    // the last record's end: its own, or ours
    if (ended && last !== LF && last !== CR) yield { bytes: NEWLINE, first: false }
  } finally {
    file.close()
  }
}

/** The header line of a dialect, its names quoted where they must be. */
export function headerLine (columns: Column[], { delimiter, quote, escape }: Dialect): Uint8Array {
  const names = columns.map(({ name }) => {
    if (quote === '') return name
    const plain = name !== '' && !name.includes(delimiter) && !name.includes(quote) && !/[\r\n]|^\s|\s$/.test(name)
    if (plain) return name
    const escaped = escape === quote ? name : name.split(escape).join(escape + escape)
    return `${quote}${escaped.split(quote).join(escape + quote)}${quote}`
  })
  return new TextEncoder().encode(`${names.join(delimiter)}\n`)
}

/**
 * Checks that a CSV file begins with the header of these columns, and gives the position behind it.
 *
 * @throws ConversionError `bad-input`
 */
export function headerEnd (file: RandomAccess, columns: Column[], dialect: Dialect): number {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `${file.name()} does not begin with the header of its columns: ${what}`)
  if (file.size === 0) throw bad('it is empty')
  // usually the bytes we would write ourselves; otherwise the same names, written in another way
  const expected = headerLine(columns, dialect)
  if (file.size >= expected.length && Buffer.compare(file.read(0, expected.length), expected) === 0) return expected.length
  for (let window = expected.length * 2 + 1024; ; window *= 4) {
    const length = Math.min(window, file.size, HEADER_BYTES_MAX)
    const bytes = Buffer.from(file.read(0, length))
    const record = firstRecord(bytes.toString('utf8'), dialect, length === file.size)
    if (record == null) {
      if (length === HEADER_BYTES_MAX) throw bad(`it is longer than ${HEADER_BYTES_MAX} bytes`)
      if (length === file.size) throw bad('it is cut off')
      continue
    }
    const names = record.fields.map(name => name ?? '')
    const wrong = columns.findIndex((column, i) => column.name !== names[i])
    if (wrong >= 0) throw bad(`column ${wrong + 1} is ${JSON.stringify(names[wrong] ?? null)} instead of ${JSON.stringify(columns[wrong]?.name)}`)
    if (names.length !== columns.length) throw bad(`it has ${names.length} columns instead of ${columns.length}`)
    return Buffer.byteLength(bytes.toString('utf8').slice(0, record.end))
  }
}
