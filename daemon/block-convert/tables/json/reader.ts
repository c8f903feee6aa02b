/**
 * Rows of newline-delimited JSON, read by other code than the splitter and the engine. One object per line, blank lines
 * allowed; a missing key and `null` are NULL. A key that is no column, or comes twice, is refused: it would be lost.
 *
 * Numbers are taken by their lexemes, so no digit is lost on the way through a double. A VARCHAR takes strings only, JSON takes
 * anything, BOOLEAN `true` and `false`, numeric types numbers, all others a string in the form of their type.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { JsonScanner, JsonSyntaxError } from './text.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column } from '../schema.ts'
import { parseType, type Kind } from '../types.ts'
import { textParser, type TextParser } from '../value-text.ts'
import { INVALID } from '../values.ts'
import { BatchBuilder, type Batch, type TextReaderOptions } from '../readers/batch.ts'
import { contradiction } from '../readers/contradiction.ts'
import { TextChunks } from '../readers/text-chunks.ts'

const LF = 10
const QUOTE = 34
const COMMA = 44
const COLON = 58
const OPEN = 123
const CLOSE = 125

/** What a column takes. */
const TEXT = 0
const NUMBER = 1
const JSON_TEXT = 2
const BOOLEAN = 3
const STRING = 4

function roleOf (kind: Kind): number {
  switch (kind) {
    case 'VARCHAR': return TEXT
    case 'JSON': return JSON_TEXT
    case 'BOOLEAN': return BOOLEAN
    case 'DATE': case 'TIME': case 'TIMESTAMP': case 'TIMESTAMP_S': case 'TIMESTAMP_MS': case 'TIMESTAMP_NS': case 'TIMESTAMPTZ': case 'BLOB': case 'UUID': return STRING
    default: return NUMBER
  }
}

/** @throws ConversionError `bad-input` for what is no such table, `contradiction` for a value its column cannot have */
export function * readNdjson (source: BlockSource, columns: Column[], options: TextReaderOptions = {}): Generator<Batch> {
  const file = new RandomAccess(source)
  try {
    const parser = new NdjsonParser(columns, { ...options, path: options.path ?? file.path })
    const chunks = new TextChunks(file, options.chunkBytes)
    let rest = ''
    do {
      const piece = chunks.next(rest)
      // only whole lines; at the end of the file the last one has no line end
      const cut = chunks.last ? piece.length : piece.lastIndexOf('\n') + 1
      rest = piece.slice(cut)
      parser.feed(piece, cut)
      while (parser.batch.left > 0 && parser.run()) yield parser.batch.take()
    } while (!chunks.last && parser.batch.left > 0)
    if (parser.batch.rows > 0) yield parser.batch.take()
  } finally {
    file.close()
  }
}

class NdjsonParser {
  readonly scanner = new JsonScanner()
  readonly batch: BatchBuilder
  readonly #columns: Column[]
  readonly #parsers: TextParser[]
  readonly #roles: number[]
  /** Each column's key as it usually stands in the text. */
  readonly #keys: string[]
  readonly #index = new Map<string, number>()
  /** Number of the record in which a column was seen last. */
  readonly #seen: Float64Array
  readonly #result: boolean
  readonly #path: string
  #line: number
  #record = 0
  #end = 0

  constructor (columns: Column[], options: TextReaderOptions) {
    this.#columns = columns
    this.#result = options.side === 'result'
    this.#parsers = columns.map(column => textParser(column.type, options.side ?? 'source'))
    this.#roles = columns.map(column => roleOf(parseType(column.type).kind))
    this.#keys = columns.map(column => JSON.stringify(column.name))
    columns.forEach((column, i) => this.#index.set(column.name, i))
    this.#seen = new Float64Array(columns.length)
    this.#path = options.path ?? 'the data'
    this.#line = options.firstLine ?? 1
    this.scanner.lines = true
    this.batch = new BatchBuilder(columns.length, options.rows)
  }

  /** The text to read lines of, up to `end`. */
  feed (text: string, end: number): void {
    this.scanner.reset(text)
    this.#end = end
  }

  /** Reads lines of the scanner's text until a batch is full (true) or the text ends (false). */
  run (): boolean {
    const { scanner, batch } = this
    const { text } = scanner
    const out = batch.columns
    try {
      while (scanner.position < this.#end) {
        const code = scanner.peek()
        if (code === LF) {
          scanner.position++
          this.#line++
          continue
        }
        if (Number.isNaN(code)) break
        this.#object(out, batch.rows)
        const after = scanner.peek()
        if (after === LF) scanner.position++
        else if (!Number.isNaN(after)) scanner.fail('one record per line expected')
        this.#line++
        batch.commit()
        if (batch.full()) return true
        if (batch.left === 0) return false
      }
      return false
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error
      const column = error.position - text.lastIndexOf('\n', error.position - 1)
      throw this.bad(`${error.message} (character ${column})`)
    }
  }

  #object (out: unknown[][], row: number): void {
    const { scanner } = this
    const { text } = scanner
    const keys = this.#keys
    const width = keys.length
    const record = ++this.#record
    let seen = 0
    let next = 0
    scanner.expect(OPEN)
    if (scanner.peek() === CLOSE) scanner.position++
    else {
      for (;;) {
        if (scanner.peek() !== QUOTE) scanner.fail('a key expected')
        let column: number
        const expected = keys[next]
        if (expected !== undefined && text.startsWith(expected, scanner.position)) {
          column = next
          scanner.position += expected.length
        } else column = this.#column(scanner.string())
        if (this.#seen[column] === record) throw this.bad(`the key '${this.#columns[column]?.name}' comes twice`)
        this.#seen[column] = record
        seen++
        next = column + 1
        if (text.charCodeAt(scanner.position) === COLON) scanner.position++
        else scanner.expect(COLON)
        ;(out[column] as unknown[])[row] = this.#value(column)
        const code = scanner.peek()
        if (code === COMMA) scanner.position++
        else if (code === CLOSE) {
          scanner.position++
          break
        } else scanner.fail("',' or '}' expected")
      }
    }
    if (seen === width) return
    for (let column = 0; column < width; column++) if (this.#seen[column] !== record) (out[column] as unknown[])[row] = null
  }

  #column (key: string): number {
    const column = this.#index.get(key)
    if (column !== undefined) return column
    const shown = key.slice(0, 80)
    if (this.#result) throw this.bad(`the key ${JSON.stringify(shown)} is no column`)
    throw new ConversionError('contradiction', `${this.#path}, line ${this.#line}: the key ${JSON.stringify(shown)} is no column of the table; it was not in the samples`, { path: this.#path, line: this.#line, column: shown, value: '', type: 'no column' })
  }

  #value (column: number): unknown {
    const { scanner } = this
    const code = scanner.peek()
    const role = this.#roles[column]
    if (code === QUOTE) {
      if (role === JSON_TEXT) return scanner.canonical()
      const text = scanner.string()
      if (role === TEXT) return text
      // DuckDB writes what JSON has no numbers for (nan, inf) as strings
      if (role === STRING || (role === NUMBER && this.#result)) return this.#parsed(column, text)
      throw this.#contradiction(column, JSON.stringify(text))
    }
    if (code === 110) {   // null
      const from = scanner.position
      if (scanner.literal() === 'null') return null
      scanner.position = from
      scanner.fail('a value expected')
    }
    if (role === JSON_TEXT) return scanner.canonical()
    if (code === 45 || (code >= 48 && code <= 57)) {
      const lexeme = scanner.number()
      if (role === NUMBER) return this.#parsed(column, lexeme)
      throw this.#contradiction(column, lexeme)
    }
    if (code === 123 || code === 91) throw this.#contradiction(column, scanner.canonical())
    const word = scanner.literal()
    if (role === BOOLEAN) return word === 'true'
    throw this.#contradiction(column, word)
  }

  #parsed (column: number, text: string): unknown {
    const value = (this.#parsers[column] as TextParser)(text)
    if (value === INVALID) throw this.#contradiction(column, text)
    return value
  }

  #contradiction (column: number, value: string): ConversionError {
    const { name, type } = this.#columns[column] as Column
    return contradiction(this.#path, this.#line, name, value, type)
  }

  bad (what: string): ConversionError {
    return new ConversionError('bad-input', `${this.#path}, line ${this.#line}: ${what}`, { path: this.#path, line: this.#line })
  }
}
