/**
 * Rows of a CSV text, read by other code than the splitter and the engine. The grammar:
 *
 * - A record ends with LF, CR or CRLF; the last one also with the end of the text.
 * - With more than one column an empty line is no record. With one column it is a record whose value is NULL; a line end
 *   at the end of the text begins no further record.
 * - A field that begins with the quote ends at its closing quote, and after that only a delimiter or a line end may come. Inside,
 *   the escape takes the special meaning of a quote or an escape after it; before anything else it is content.
 * - Every other field is taken as it stands; quotes in it are ordinary characters. If it is empty it is NULL.
 * - Every record has exactly as many fields as there are columns.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column, Dialect } from '../schema.ts'
import { parseType, type ColumnType } from '../types.ts'
import { textParser, type TextParser } from '../value-text.ts'
import { INVALID } from '../values.ts'
import { BatchBuilder, type Batch, type TextReaderOptions } from '../readers/batch.ts'
import { contradiction, SHOWN_CHARS_MAX } from '../readers/contradiction.ts'
import { IN_PLACE, InPlace, inPlaceOf } from '../readers/in-place.ts'
import { TextChunks } from '../readers/text-chunks.ts'

const LF = 10
const CR = 13

/** The record being read goes on in the next piece of text. */
const INCOMPLETE = -1

/**
 * Reads a whole CSV text; a header line is passed over if the dialect has one.
 *
 * @throws ConversionError `bad-input` for what is no such table, `contradiction` for a value its column cannot have
 */
export function * readCsv (source: BlockSource, dialect: Dialect, columns: Column[], options: TextReaderOptions = {}): Generator<Batch> {
  const file = new RandomAccess(source)
  const { present } = options
  try {
    const parser = new CsvParser(dialect, present?.map(position => columns[position] as Column) ?? columns, { ...options, path: options.path ?? file.path }, columns.length)
    const give = (): Batch => present == null ? parser.batch.take() : spread(parser.batch.take(), present, columns.length)
    // The engine writes none, so what looks like one at the beginning of a part without a header is its first value.
    const chunks = new TextChunks(file, options.chunkBytes, options.side === 'result' && !dialect.header)
    do {
      parser.feed(chunks.next(parser.rest()))
      while (!parser.satisfied() && parser.run(chunks.last)) yield give()
    } while (!chunks.last && !parser.satisfied())
    if (parser.batch.rows > 0) yield give()
  } finally {
    file.close()
  }
}

/** A batch of some columns as one of all: the others are NULL. */
function spread ({ rows, columns }: Batch, present: number[], count: number): Batch {
  const nothing = new Array<unknown>(rows).fill(null)
  const all = new Array<unknown[]>(count).fill(nothing)
  present.forEach((position, i) => { all[position] = columns[i] as unknown[] })
  return { rows, columns: all }
}

/** The first record of a text: its fields (null: empty and unquoted) and the position behind it; undefined if it is not complete. */
export function firstRecord (text: string, dialect: Dialect, last: boolean): { fields: Array<string | null>, end: number } | undefined {
  const fields: Array<string | null> = []
  const parser = new CsvParser(dialect, [], {})
  parser.feed(text)
  parser.onField = value => { fields.push(value) }
  return parser.header(last) ? { fields, end: text.length - parser.rest().length } : undefined
}

class CsvParser {
  batch: BatchBuilder
  onField: ((value: string | null) => void) | undefined
  readonly #columns: Column[]
  readonly #parsers: TextParser[]
  /** The column takes texts as they are. */
  readonly #plain: boolean[]
  readonly #types: ColumnType[]
  /** How each column is read in place (IN_PLACE). */
  readonly #ways: number[]
  readonly #inPlace = new InPlace()
  readonly #delimiter: number
  readonly #quote: number
  readonly #quoteText: string
  readonly #escape: number
  readonly #comment: number
  readonly #path: string
  readonly #wide: boolean
  readonly #firstLine: number | undefined
  #text = ''
  #position = 0
  #line: number
  #headerLeft: boolean
  /** Of the field read last. */
  #value: string | null = null

  /** `total`: columns of the table. */
  constructor (dialect: Dialect, columns: Column[], options: TextReaderOptions, total = columns.length) {
    this.#columns = columns
    this.#parsers = columns.map(column => textParser(column.type, options.side ?? 'source'))
    this.#plain = columns.map(column => column.type === 'VARCHAR')
    this.#types = columns.map(column => parseType(column.type))
    // with a delimiter or quote that a value may hold, no value is read before its end is known
    const ambiguous = /[-0-9.:T ]/.test(dialect.delimiter + dialect.quote)
    this.#ways = this.#types.map(type => ambiguous ? IN_PLACE.NOTHING : inPlaceOf(type))
    this.#delimiter = dialect.delimiter.charCodeAt(0)
    // NaN, which no character is, if there are none
    this.#quote = dialect.quote.charCodeAt(0)
    this.#quoteText = dialect.quote
    this.#escape = dialect.escape.charCodeAt(0)
    this.#comment = (dialect.comment ?? '').charCodeAt(0)
    this.#headerLeft = dialect.header
    this.#path = options.path ?? 'the data'
    this.#firstLine = options.firstLine
    this.#line = options.firstLine ?? 1
    this.#wide = columns.length > 1
    this.batch = new BatchBuilder(columns.length, options.rows, total)
  }

  feed (text: string): void {
    this.#text = text
    this.#position = 0
  }

  /** What is left of the text: the beginning of a record. */
  rest (): string {
    return this.#text.slice(this.#position)
  }

  /** All rows asked for have been read. */
  satisfied (): boolean {
    return this.batch.left === 0
  }

  /** Reads records until a batch is full (true) or no complete record is left (false). `last`: the text ends here. */
  run (last: boolean): boolean {
    if (this.#headerLeft) {
      if (!this.header(last)) return false
      this.#headerLeft = false
      this.#line = this.#firstLine ?? this.#line
    }
    const text = this.#text
    const batch = this.batch
    const width = this.#columns.length
    const parsers = this.#parsers
    const plain = this.#plain
    const delimiter = this.#delimiter
    const quote = this.#quote
    const columns = batch.columns
    const inPlace = this.#inPlace
    const types = this.#types
    const ways = this.#ways
    let position = this.#position
    while (position < text.length) {
      const start = position
      const line = this.#line
      const row = batch.rows
      if (text.charCodeAt(position) === this.#comment) {
        const next = this.#comments(position, last)
        if (next === INCOMPLETE) break
        position = this.#position = next
        this.#line++
        continue
      }
      if (this.#wide) {
        const code = text.charCodeAt(position)
        if (code === LF || code === CR) {
          const next = this.#lineEnd(position, last)
          if (next === INCOMPLETE) break
          position = this.#position = next
          this.#line++
          continue
        }
      }
      let column = 0
      for (;;) {
        let code = text.charCodeAt(position)
        let value: string | null
        const how = ways[column] as number
        if (how !== IN_PLACE.NOTHING) {
          const number = inPlace.read(how, types[column] as ColumnType, text, position)
          if (number !== undefined) {
            const next = text.charCodeAt(inPlace.end)
            // a number goes on to the end of its field, or is none
            if (next === delimiter ? column < width - 1 : column === width - 1 && next === LF) {
              ;(columns[column] as unknown[])[row] = number
              position = inPlace.end + 1
              if (next === LF) break
              column++
              continue
            }
          }
        }
        if (code === quote) {
          position = this.#quoted(position, last)
          if (position === INCOMPLETE) break
          value = this.#value
          code = text.charCodeAt(position)
        } else {
          const from = position
          while (code !== delimiter && code !== LF && code !== CR && position < text.length) code = text.charCodeAt(++position)
          if (position >= text.length && !last) {
            position = INCOMPLETE
            break
          }
          value = position === from ? null : text.substring(from, position)
        }
        const atEnd = code !== delimiter
        if (atEnd !== (column === width - 1)) throw this.#ragged(start, column)
        let parsed: unknown = value
        if (value !== null && plain[column] !== true) {
          parsed = (parsers[column] as TextParser)(value)
          if (parsed === INVALID) throw this.#contradiction(column, value)
        }
        (columns[column] as unknown[])[row] = parsed
        if (atEnd) {
          position = position >= text.length ? position : this.#lineEnd(position, last)
          break
        }
        position++
        column++
      }
      if (position === INCOMPLETE) {
        this.#line = line
        break
      }
      this.#position = position
      this.#line++
      batch.commit()
      if (batch.full()) return true
      if (batch.left === 0) return false
    }
    return false
  }

  /** Reads one record without looking at its values. False if it is not complete. */
  header (last: boolean): boolean {
    const text = this.#text
    let position = 0
    const line = this.#line
    while (text.charCodeAt(position) === this.#comment) {
      position = this.#comments(position, last)
      if (position === INCOMPLETE) return false
    }
    for (;;) {
      let code = text.charCodeAt(position)
      if (code === this.#quote) {
        position = this.#quoted(position, last)
        if (position === INCOMPLETE) {
          this.#line = line
          return false
        }
        code = text.charCodeAt(position)
      } else {
        const from = position
        while (code !== this.#delimiter && code !== LF && code !== CR && position < text.length) code = text.charCodeAt(++position)
        this.#value = position === from ? null : text.substring(from, position)
      }
      if (position >= text.length && !last) {
        this.#line = line
        return false
      }
      this.onField?.(this.#value)
      if (position < text.length && code === this.#delimiter) {
        position++
        continue
      }
      if (position < text.length) position = this.#lineEnd(position, last)
      if (position === INCOMPLETE) {
        this.#line = line
        return false
      }
      this.#position = position
      this.#line++
      return true
    }
  }

  /** Behind the line of comment at a position. */
  #comments (position: number, last: boolean): number {
    const text = this.#text
    while (position < text.length && text.charCodeAt(position) !== LF && text.charCodeAt(position) !== CR) position++
    if (position >= text.length) return last ? position : INCOMPLETE
    return this.#lineEnd(position, last)
  }

  /** Behind the line end at a position. A CR at the end of a piece may be half of one. */
  #lineEnd (position: number, last: boolean): number {
    if (this.#text.charCodeAt(position) === LF) return position + 1
    if (position + 1 >= this.#text.length) return last ? position + 1 : INCOMPLETE
    return this.#text.charCodeAt(position + 1) === LF ? position + 2 : position + 1
  }

  /** Reads a quoted field into #value; gives the position behind its closing quote. */
  #quoted (start: number, last: boolean): number {
    const text = this.#text
    const quote = this.#quote
    const doubled = this.#escape === quote
    let escapes = 0
    let i = start + 1
    if (doubled) {
      for (;;) {
        i = text.indexOf(this.#quoteText, i)
        if (i < 0) return this.#unclosed(last)
        if (text.charCodeAt(i + 1) !== quote) break
        escapes++
        i += 2
      }
    } else {
      for (;;) {
        const code = text.charCodeAt(i)
        if (i >= text.length) return this.#unclosed(last)
        if (code === this.#escape) {
          if (i + 1 >= text.length) return this.#unclosed(last)
          const next = text.charCodeAt(i + 1)
          if (next === quote || next === this.#escape) {
            escapes++
            i += 2
          } else i++
        } else if (code === quote) break
        else i++
      }
    }
    const end = i + 1
    if (end >= text.length) {
      if (!last) return INCOMPLETE
    } else {
      const code = text.charCodeAt(end)
      if (code !== this.#delimiter && code !== LF && code !== CR) throw this.bad('after a closing quote only a delimiter or a line end may come')
    }
    const raw = text.substring(start + 1, i)
    this.#value = escapes === 0 ? raw : this.#unescape(raw, doubled)
    if (raw.includes('\n') || raw.includes('\r')) this.#line += lineEnds(raw)
    return end
  }

  #unescape (raw: string, doubled: boolean): string {
    // `$$` puts in a `$`
    if (doubled) return raw.replaceAll(this.#quoteText + this.#quoteText, this.#quoteText === '$' ? '$$' : this.#quoteText)
    let out = ''
    for (let i = 0; i < raw.length; i++) {
      if (raw.charCodeAt(i) === this.#escape) {
        const code = raw.charCodeAt(i + 1)
        if (code === this.#quote || code === this.#escape) i++
      }
      out += raw[i]
    }
    return out
  }

  #unclosed (last: boolean): number {
    if (last) throw this.bad('a quoted field does not end')
    return INCOMPLETE
  }

  bad (what: string): ConversionError {
    return new ConversionError('bad-input', `${this.#path}, line ${this.#line}: ${what}`, { path: this.#path, line: this.#line })
  }

  #ragged (start: number, column: number): ConversionError {
    const width = this.#columns.length
    const found = column + 1 < width ? `only ${column + 1}` : `more than ${width}`
    const shown = this.#text.substring(start, start + SHOWN_CHARS_MAX).split(/[\r\n]/, 1)[0] ?? ''
    return this.bad(`the record has ${found} of ${width} fields: ${JSON.stringify(shown)}`)
  }

  #contradiction (column: number, value: string): ConversionError {
    const { name, type } = this.#columns[column] as Column
    return contradiction(this.#path, this.#line, name, value, type)
  }
}

/** Line ends in a text: LF, CR or CRLF. */
function lineEnds (text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === LF) count++
    else if (code === CR && text.charCodeAt(i + 1) !== LF) count++
  }
  return count
}
