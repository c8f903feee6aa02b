/**
 * Columns of JSON inputs from samples across all of them: the union of the keys, in order of first appearance. Whole numbers within 64
 * bits are BIGINT; others DOUBLE if it keeps every one exactly, else DECIMAL; strings VARCHAR (never dates), booleans BOOLEAN, objects and
 * arrays of one shape STRUCT and LIST. Mixtures and keys that were only ever null are JSON, which holds anything.
 *
 * An array of anything but objects has one column, `value`.
 */
import { open } from 'node:fs/promises'
import { COLUMNS_MAX, RECORD_BYTES_MAX, SAMPLE_WHOLE_BYTES } from '../constants.ts'
import { ConversionError, unreadable } from '../../errors.ts'
import type { Input, Note } from '../../index.ts'
import { readSamples, type Sample } from '../sample.ts'
import type { Column, SourceForm } from '../schema.ts'
import type { TableSettings } from '../settings.ts'
import { Shape } from './shape.ts'
import { CLOSE_LIST, CLOSE_OBJECT, COMMA, JsonScanner, JsonSyntaxError, OPEN_LIST, OPEN_OBJECT } from './text.ts'

/** The column of an array whose elements are no objects. */
const VALUE_COLUMN = 'value'

/** Characters at the end of a sample in which a syntax error means that the text goes on: the longest token that is not read piece by piece. */
const CUT_CHARS = 8

/** The head of a file is made this many times larger as long as not one whole record fits in it. */
const HEAD_GROWTH = 8

/** Places in one sample at which a record is looked for: what is written otherwise is not found at the next ones, either. */
const WINDOW_TRIES_MAX = 200

/** Columns named in a note; the rest is counted. */
const NAMES_TOLD_MAX = 10

/** Share of an object's keys that must be known for it to count as a record, where only a part of the file is seen. */
const KNOWN_SHARE = 0.5

type JsonFormat = 'ndjson' | 'json'

/** Throws ConversionError `bad-input` if there is not one record to learn from, or the beginning of a file is no JSON. */
export async function prepareJson (inputs: Input[], wanted: TableSettings, format: JsonFormat): Promise<{ columns: Column[], source: SourceForm, notes: Note[] }> {
  const evidence = new Evidence(format)
  // One after the other: of ten thousand inputs only one is in memory.
  for (const input of inputs) await evidence.addInput(input)
  const source: SourceForm = { format, ...(wanted.fractions === 'double' ? { fractions: 'double' } : {}), ...(evidence.values ? { elements: 'values' } : {}) }
  const columns = evidence.columns(inputs, wanted)
  return { columns, source, notes: asJson(wanted.text || wanted.nested === 'json' ? [] : columns.filter(column => evidence.isMixed(column))) }
}

/** What is kept as the text it has in the input, though nobody asked for that. */
function asJson (mixed: Column[]): Note[] {
  if (mixed.length === 0) return []
  const names = mixed.map(({ name }) => `'${name}'`)
  const shown = names.length > NAMES_TOLD_MAX ? `${names.slice(0, NAMES_TOLD_MAX).join(', ')} and ${names.length - NAMES_TOLD_MAX} more` : names.join(', ')
  return [{ code: 'mixed-as-json', message: `values of several kinds, or of changing shape, are kept as JSON text in ${mixed.length === 1 ? 'column' : 'columns'} ${shown}`, columns: mixed.map(({ name }) => name), count: mixed.length }]
}

class Evidence {
  /** Elements are no objects. */
  values = false
  readonly #format: JsonFormat
  readonly #json = new JsonScanner()
  readonly #keys = new Map<string, Shape>()
  readonly #value = new Shape()
  #objects = false
  #complete = true

  constructor (format: JsonFormat) {
    this.#format = format
  }

  columns (inputs: Input[], wanted: TableSettings): Column[] {
    const options = { complete: this.#complete, rounded: wanted.fractions === 'double', nestedAsText: wanted.nested === 'json' }
    const typeOf = (shape: Shape): string => wanted.text ? 'JSON' : shape.type(options)
    const columns: Column[] = this.values
      ? [{ name: VALUE_COLUMN, type: this.#objects ? 'JSON' : typeOf(this.#value) }]
      : Array.from(this.#keys, ([name, shape]) => ({ name, type: typeOf(shape) }))
    for (const [name, type] of wanted.types) {
      const at = columns.findIndex(candidate => candidate.name === name)
      if (at >= 0) columns[at] = { name, type, fixed: true }
      // A key that is rare enough to be in no sample can be declared.
      else if (!this.values) columns.push({ name, type, fixed: true })
    }
    if (columns.length === 0) throw new ConversionError('bad-input', `'${inputs[0]!.path}' is empty: no object, so no columns; give a file with at least one object, or name columns with --set type:NAME=TYPE`, { path: inputs[0]!.path })
    if (columns.length > COLUMNS_MAX) throw new ConversionError('unsupported', `'${inputs[0]!.path}' has ${columns.length} different keys, at most ${COLUMNS_MAX} can be columns; if they are data, put each beside its value: {"key": ..., "value": ...}`, { path: inputs[0]!.path, keys: columns.length })
    return columns
  }

  /** Its values have no type in common but JSON. */
  isMixed ({ name, type, fixed }: Column): boolean {
    if (type !== 'JSON' || fixed === true) return false
    if (this.values) return this.#objects || !this.#value.nothing
    return this.#keys.get(name)?.nothing === false
  }

  async addInput (input: Input): Promise<void> {
    const samples = await readSamples(input)
    if (input.size > SAMPLE_WHOLE_BYTES) this.#complete = false
    let head = samples[0]!
    let found = this.#head(head, input.path)
    for (let bytes = head.text.length * HEAD_GROWTH; found === 0 && !head.last && bytes / HEAD_GROWTH < RECORD_BYTES_MAX; bytes *= HEAD_GROWTH) {
      head = await readHead(input, Math.min(bytes, RECORD_BYTES_MAX))
      found = this.#head(head, input.path)
    }
    for (const sample of samples.slice(1)) {
      if (this.#format === 'ndjson') this.#lines(sample)
      else if (this.values) this.#numbers(sample)
      else this.#window(sample)
    }
  }

  /** The beginning of a file, where what is wrong is told at once; elsewhere the splitter will. Gives the records found. */
  #head (sample: Sample, path: string): number {
    return this.#format === 'ndjson' ? this.#lines(sample, path) : this.#elements(sample, path)
  }

  /** NDJSON: whole lines. `path`: for messages, if it is the beginning of a file. */
  #lines ({ text, first, last }: Sample, path?: string): number {
    const lines = text.split('\n')
    if (!first) lines.shift()
    if (!last) lines.pop()
    let found = 0
    for (const [i, line] of lines.entries()) {
      if (line.trim() === '') continue
      this.#json.reset(line)
      const bad = (what: string): void => {
        if (path != null) throw new ConversionError('bad-input', `'${path}' line ${i + 1}: ${what}; NDJSON has one object per line`, { path, line: i + 1 })
      }
      if (this.#json.peek() !== OPEN_OBJECT) {
        bad('not an object')
        continue
      }
      try {
        const pairs = this.#pairs()
        if (!Number.isNaN(this.#json.peek())) this.#json.fail('text after the object')
        this.#take(pairs)
        found++
      } catch (error) {
        if (!(error instanceof JsonSyntaxError)) throw error
        bad(`not JSON at character ${error.position + 1}: ${error.message}`)
      }
    }
    return found
  }

  /** JSON from the beginning of a file: an array's elements, or objects one after the other. */
  #elements ({ text, last }: Sample, path: string): number {
    const json = this.#json
    json.reset(text)
    let found = 0
    try {
      const array = json.peek() === OPEN_LIST
      if (array && !json.enter(CLOSE_LIST)) return found
      while (!Number.isNaN(json.peek())) {
        if (json.peek() === OPEN_OBJECT) {
          this.#take(this.#pairs())
          this.#objects = true
        } else if (array) {
          this.#value.add(json)
          this.values = true
        } else json.fail('an object or an array of objects expected')
        found++
        if (array && !json.more(CLOSE_LIST)) break
      }
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error
      if (last || error.position < text.length - CUT_CHARS) {
        const line = text.slice(0, error.position).split('\n').length
        const cut = error.position >= text.trimEnd().length ? '; is the file cut off?' : ''
        throw new ConversionError('bad-input', `'${path}' line ${line}: not JSON at character ${error.position - text.lastIndexOf('\n', error.position - 1)}: ${error.message}${cut}`, { path, line })
      }
    }
    return found
  }

  /**
   * JSON from the midst of a file: objects that follow on another one. How deep they are cannot be told from there, so they must have keys
   * that are known of records.
   */
  #window ({ text }: Sample): void {
    const json = this.#json
    let from = 0
    for (let tries = 0; tries < WINDOW_TRIES_MAX; tries++) {
      const next = /\}\s*,?\s*(?=\{)/g
      next.lastIndex = from
      const match = next.exec(text)
      if (match == null) return
      from = match.index + match[0].length
      json.reset(text, from)
      try {
        do {
          const pairs = this.#pairs()
          const known = pairs.filter(([key]) => this.#keys.has(key)).length
          if (known === 0 || known < pairs.length * KNOWN_SHARE) break
          this.#take(pairs)
          // Before what comes between: the next may be found from here.
          from = json.position - 1
          if (json.peek() === COMMA) json.position++
        } while (json.peek() === OPEN_OBJECT)
      } catch (error) {
        // Of the last one only the beginning is here, or it was none.
        if (!(error instanceof JsonSyntaxError)) throw error
      }
    }
  }

  /** An array's numbers from the midst of a file; strings and lists cannot be told apart from there. */
  #numbers ({ text }: Sample): void {
    for (const item of text.split(',').slice(1, -1)) {
      if (!/^\s*-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\s*$/.test(item)) return
      this.#json.reset(item)
      this.#value.add(this.#json)
    }
  }

  /** Reads an object; where each value begins. Nothing is taken of one that turns out to be broken. */
  #pairs (): Array<[key: string, position: number]> {
    const json = this.#json
    const pairs: Array<[string, number]> = []
    if (json.enter(CLOSE_OBJECT)) {
      do {
        const key = json.key()
        pairs.push([key, json.position])
        json.skip()
      } while (json.more(CLOSE_OBJECT))
    }
    return pairs
  }

  #take (pairs: Array<[string, number]>): void {
    const json = this.#json
    const after = json.position
    for (const [key, position] of pairs) {
      let shape = this.#keys.get(key)
      if (shape == null) this.#keys.set(key, shape = new Shape())
      json.position = position
      shape.add(json)
    }
    json.position = after
  }
}

/** A larger part of a file's beginning than `readSamples` gives. */
async function readHead (input: Input, bytes: number): Promise<Sample> {
  const handle = await open(input.path, 'r').catch(error => { throw unreadable(input.path, error) })
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(bytes, input.size))
    let got = 0
    while (got < buffer.length) {
      const { bytesRead } = await handle.read(buffer, got, buffer.length - got, got)
      // A file that became shorter is noticed by the splitter, which reads all of it.
      if (bytesRead === 0) break
      got += bytesRead
    }
    const text = buffer.toString('utf8', 0, got)
    return { text: text.startsWith('\ufeff') ? text.slice(1) : text, first: true, last: got >= input.size }
  } catch (error) {
    throw unreadable(input.path, error)
  } finally {
    await handle.close()
  }
}
