/**
 * Rows of NDJSON and JSON, read by other code than the splitter and the engine. NDJSON: one object per line, blank lines allowed. JSON: an
 * array of objects, or objects one after the other; as a result also the part of an array, with commas between. A missing key and `null`
 * are NULL. A key that is no column, or comes twice, is refused: it would be lost.
 *
 * Numbers are taken by their lexemes, so no digit is lost on the way through a double. A VARCHAR takes strings only, JSON takes anything,
 * BOOLEAN `true` and `false`, numeric types numbers, nested types arrays and objects (nested.ts), all others a string in the form of their type.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { isTextKind, NONFINITE, NotOfType, partsReader, type PartsReader } from './nested.ts'
import { CLOSE_LIST, CLOSE_OBJECT, COLON, COMMA, JsonScanner, JsonSyntaxError, LF, NULL, OPEN_LIST, OPEN_OBJECT, QUOTE } from './text.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column, SourceForm, TargetForm } from '../schema.ts'
import { isNested, parseType, type ColumnType } from '../types.ts'
import { textParser, type TextParser } from '../value-text.ts'
import { INVALID, nestedText } from '../values.ts'
import { BatchBuilder, type Batch, type TextReaderOptions } from '../readers/batch.ts'
import { contradiction } from '../readers/contradiction.ts'
import { TextChunks } from '../readers/text-chunks.ts'

type JsonForm = (SourceForm | TargetForm) & { format: 'ndjson' | 'json' }

/** What a column takes. */
const TEXT = 0
const NUMBER = 1
const JSON_TEXT = 2
const BOOLEAN = 3
const STRING = 4
const NESTED = 5

function roleOf (type: ColumnType): number {
  if (isNested(type)) return NESTED
  switch (type.kind) {
    case 'VARCHAR': return TEXT
    case 'JSON': return JSON_TEXT
    case 'BOOLEAN': return BOOLEAN
    default: return isTextKind(type.kind) ? STRING : NUMBER
  }
}

/** Characters at the end of a piece in which a syntax error means that the record goes on in the next. */
const CUT_CHARS = 8

/** @throws ConversionError `bad-input` for what is no such table, `contradiction` for a value its column cannot have */
export function * readJson (source: BlockSource, form: JsonForm, columns: Column[], options: TextReaderOptions = {}): Generator<Batch> {
  const file = new RandomAccess(source)
  try {
    const parser = new JsonParser(form, columns, { ...options, path: options.path ?? file.path })
    const chunks = new TextChunks(file, options.chunkBytes)
    do {
      parser.feed(chunks.next(parser.rest()), chunks.last)
      while (parser.batch.left > 0 && parser.run()) yield parser.batch.take()
    } while (!chunks.last && parser.batch.left > 0)
    if (parser.batch.rows > 0) yield parser.batch.take()
  } finally {
    file.close()
  }
}

/** Where in a JSON text the scanner stands. */
const START = 0
const FIRST = 1
const BEHIND = 2
const SEQUENCE = 3
const OVER = 4

class JsonParser {
  readonly scanner = new JsonScanner()
  readonly batch: BatchBuilder
  readonly #columns: Column[]
  readonly #parsers: TextParser[]
  readonly #nested: Array<PartsReader | undefined>
  readonly #roles: number[]
  /** Floating-point columns whose NaN and infinities are strings. */
  readonly #nonfinite: boolean[]
  /** Each column's key as it usually stands in the text. */
  readonly #keys: string[]
  readonly #index = new Map<string, number>()
  /** Number of the record in which a column was seen last. */
  readonly #seen: Float64Array
  readonly #result: boolean
  readonly #lines: boolean
  readonly #values: boolean
  readonly #path: string
  /** Of the text's beginning, or of the line at hand if lines are records. */
  #line: number
  #record = 0
  #end = 0
  #last = false
  #state = START

  constructor (form: JsonForm, columns: Column[], options: TextReaderOptions) {
    const side = options.side ?? 'source'
    const types = columns.map(column => parseType(column.type))
    this.#columns = columns
    this.#result = side === 'result'
    this.#lines = form.format === 'ndjson'
    this.#values = 'elements' in form && form.elements === 'values'
    const nonfinite = this.#result && ('nonfinite' in form ? form.nonfinite ?? 'text' : 'text') === 'text'
    this.#parsers = columns.map(column => textParser(column.type, side))
    this.#nested = types.map(type => isNested(type) ? partsReader(type, part => textParser(part, side), nonfinite) : undefined)
    this.#nonfinite = types.map(type => nonfinite && (type.kind === 'FLOAT' || type.kind === 'DOUBLE'))
    this.#roles = types.map(roleOf)
    this.#keys = columns.map(column => JSON.stringify(column.name))
    columns.forEach((column, i) => this.#index.set(column.name, i))
    this.#seen = new Float64Array(columns.length)
    this.#path = options.path ?? 'the data'
    this.#line = options.firstLine ?? 1
    this.scanner.lines = this.#lines
    this.batch = new BatchBuilder(columns.length, options.rows)
  }

  /** The text to read. `last`: it goes on until its end. */
  feed (text: string, last: boolean): void {
    this.scanner.reset(text)
    this.#last = last
    // only whole lines; at the end of the file the last one has no line end
    this.#end = last || !this.#lines ? text.length : text.lastIndexOf('\n') + 1
  }

  /** What is left of the text: the beginning of a record. */
  rest (): string {
    const { text, position } = this.scanner
    if (!this.#lines) this.#line += countLines(text, position)
    return text.slice(position)
  }

  /** Reads records of the scanner's text until a batch is full (true) or no whole one is left (false). */
  run (): boolean {
    const { scanner, batch } = this
    const out = batch.columns
    let start = scanner.position
    let state = this.#state
    try {
      while (this.#next()) {
        this.#one(out, batch.rows)
        if (this.#lines) {
          const after = scanner.peek()
          if (after === LF) scanner.position++
          else if (!Number.isNaN(after)) scanner.fail('one record per line expected')
          this.#line++
        }
        start = scanner.position
        state = this.#state
        batch.commit()
        if (batch.full()) return true
        if (batch.left === 0) return false
      }
      return false
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error
      const { text } = scanner
      if (!this.#last && !this.#lines && error.position >= text.length - CUT_CHARS) {
        // It begins again with more behind it.
        scanner.position = start
        this.#state = state
        return false
      }
      const column = error.position - text.lastIndexOf('\n', error.position - 1)
      scanner.position = error.position
      throw this.bad(`${error.message} (character ${column})`)
    }
  }

  /** Goes to the next record; false if there is none in this text. The scanner stays where it is if the text might go on. */
  #next (): boolean {
    const { scanner } = this
    if (this.#lines) {
      while (scanner.position < this.#end) {
        const code = scanner.peek()
        if (code !== LF) return !Number.isNaN(code)
        scanner.position++
        this.#line++
      }
      return false
    }
    const start = scanner.position
    const state = this.#state
    const code = scanner.peek()
    if (Number.isNaN(code)) {
      if (this.#last && (state === FIRST || state === BEHIND)) scanner.fail('the array does not end')
      scanner.position = start
      return false
    }
    if (state === START) {
      this.#state = code === OPEN_LIST ? FIRST : SEQUENCE
      if (code === OPEN_LIST) scanner.position++
      else if (code !== OPEN_OBJECT) scanner.fail('an array or an object expected')
      else return true
      return this.#next()
    }
    if (state === OVER) scanner.fail('text after the end of the array')
    if (state === SEQUENCE) {
      if (this.#result) {
        scanner.expect(COMMA)
        scanner.peek()
      }
      if (scanner.peek() !== OPEN_OBJECT) scanner.fail('an object expected')
      return true
    }
    if (code === CLOSE_LIST) {
      scanner.position++
      this.#state = OVER
      return this.#next()
    }
    if (state === BEHIND) scanner.expect(COMMA)
    if (Number.isNaN(scanner.peek())) scanner.fail('a value expected')
    return true
  }

  #one (out: unknown[][], row: number): void {
    const { scanner } = this
    if (this.#values) {
      (out[0] as unknown[])[row] = this.#value(0)
      // A number may go on in the next piece.
      if (!this.#last && Number.isNaN(scanner.peek())) scanner.fail('the array does not end')
    } else this.#object(out, row)
    if (!this.#lines && this.#state === FIRST) this.#state = BEHIND
  }

  #object (out: unknown[][], row: number): void {
    const { scanner } = this
    const { text } = scanner
    const keys = this.#keys
    const width = keys.length
    const record = ++this.#record
    let seen = 0
    let next = 0
    if (scanner.peek() !== OPEN_OBJECT) scanner.fail("'{' expected")
    if (scanner.enter(CLOSE_OBJECT)) {
      do {
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
      } while (scanner.more(CLOSE_OBJECT))
    }
    if (seen === width) return
    for (let column = 0; column < width; column++) if (this.#seen[column] !== record) (out[column] as unknown[])[row] = null
  }

  #column (key: string): number {
    const column = this.#index.get(key)
    if (column !== undefined) return column
    const shown = key.slice(0, 80)
    if (this.#result) throw this.bad(`the key ${JSON.stringify(shown)} is no column`)
    const line = this.#lineNow()
    throw new ConversionError('contradiction', `${this.#path}, line ${line}: the key ${JSON.stringify(shown)} is no column of the table; it was not in the samples`, { path: this.#path, line, column: shown, value: '', type: 'no column' })
  }

  #value (column: number): unknown {
    const { scanner } = this
    const code = scanner.peek()
    const role = this.#roles[column]
    if (code === NULL) {
      const from = scanner.position
      if (scanner.literal() === 'null') return null
      scanner.position = from
      scanner.fail('a value expected')
    }
    if (role === JSON_TEXT) return scanner.canonical()
    if (role === NESTED) return this.#parts(column)
    if (code === QUOTE) {
      const text = scanner.string()
      if (role === TEXT) return text
      if (role === STRING) return this.#parsed(column, text)
      const special = this.#nonfinite[column] === true ? NONFINITE.get(text) : undefined
      if (special !== undefined) return special
      throw this.#contradiction(column, JSON.stringify(text))
    }
    if (scanner.isNumber(code)) {
      const lexeme = scanner.number()
      if (role === NUMBER) return this.#parsed(column, lexeme)
      throw this.#contradiction(column, lexeme)
    }
    if (code === OPEN_OBJECT || code === OPEN_LIST) throw this.#contradiction(column, scanner.canonical())
    const word = scanner.literal()
    if (role === BOOLEAN) return word === 'true'
    throw this.#contradiction(column, word)
  }

  #parts (column: number): unknown {
    const { scanner } = this
    const from = scanner.position
    try {
      return nestedText(this.#nested[column]!(scanner))
    } catch (error) {
      if (!(error instanceof NotOfType)) throw error
      scanner.position = from
      scanner.skip()
      throw this.#contradiction(column, scanner.text.slice(from, scanner.position))
    }
  }

  #parsed (column: number, text: string): unknown {
    const value = (this.#parsers[column] as TextParser)(text)
    if (value === INVALID) throw this.#contradiction(column, text)
    return value
  }

  #contradiction (column: number, value: string): ConversionError {
    const { name, type } = this.#columns[column] as Column
    return contradiction(this.#path, this.#lineNow(), name, value, type)
  }

  #lineNow (): number {
    return this.#lines ? this.#line : this.#line + countLines(this.scanner.text, this.scanner.position)
  }

  bad (what: string): ConversionError {
    const line = this.#lineNow()
    return new ConversionError('bad-input', `${this.#path}, line ${line}: ${what}`, { path: this.#path, line })
  }
}

function countLines (text: string, end: number): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
