/**
 * A JSON block with its numbers made safe for the engine, which reads every number with a fraction as a double, drops the sign of `-0` and
 * writes the numbers of JSON values anew. Here a number of a DECIMAL becomes a string, which it reads exactly, a value of a JSON column a
 * string of its text, and `-0` of a DOUBLE `-0.0`. Only blocks that need it are rewritten: the splitter marks them (`numbers: 'exact'`).
 */
import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs'
import { ConversionError } from '../../errors.ts'
import { DOUBLE_DIGITS, isNegativeZero } from './numbers.ts'
import type { Column, TableParameters } from '../schema.ts'
import { Skipper } from './skip.ts'
import { CLOSE_LIST, CLOSE_OBJECT, COMMA, JsonScanner, JsonSyntaxError, NULL, OPEN_LIST, OPEN_OBJECT } from './text.ts'
import { isNested, parseType, typeName, type ColumnType } from '../types.ts'

/** Characters gathered before they are written. */
const WRITE_CHARS = 4 * 1024 * 1024

/** Whether blocks must be rewritten for these columns. */
export function needsExact ({ columns, source, numbers }: TableParameters): boolean {
  if (numbers === 'exact') return true
  const rounding = 'fractions' in source && source.fractions === 'double'
  return columns.some(column => hasKind(parseType(column.type), type => (type.kind === 'DECIMAL' && isWide(type)) || (type.kind === 'JSON' && rounding)))
}

/** A double keeps numbers of up to 15 digits, and so does scaling it. */
function isWide ({ precision, scale }: ColumnType): boolean {
  return scale > 0 && precision > DOUBLE_DIGITS
}

export function hasKind (type: ColumnType, is: (type: ColumnType) => boolean): boolean {
  return is(type) || [type.element, type.key, ...(type.fields ?? []).map(field => field.type)].some(part => part != null && hasKind(part, is))
}

/** The type the engine is to read for a column of a rewritten block: JSON as the text it was put into. */
export function exactType (type: ColumnType): ColumnType {
  switch (type.kind) {
    case 'JSON': return { ...type, kind: 'VARCHAR' }
    case 'LIST': return { ...type, element: exactType(type.element!) }
    case 'STRUCT': return { ...type, fields: type.fields!.map(field => ({ name: field.name, type: exactType(field.type) })) }
    default: return type
  }
}

/** SQL that makes a column's type of its `exactType`. */
export function exactCast (column: Column, value: string): string {
  return hasKind(parseType(column.type), type => type.kind === 'JSON') ? `CAST(${value} AS ${typeName(parseType(column.type))})` : value
}

/** Writes a block, proved by the splitter, as NDJSON. Throws ConversionError `bad-input` if it is no such block after all. */
export function writeExact (from: string, to: string, columns: Column[], values: boolean): void {
  const bytes = readFileSync(from)
  const writer = new ExactWriter(columns, values)
  const skipper = new Skipper()
  const file = openSync(to, 'wx', 0o600)
  try {
    let out = ''
    for (let at = next(bytes, 0, OPEN_LIST); at < bytes.length; at = next(bytes, at, COMMA)) {
      skipper.reset()
      const end = bytes[at] === CLOSE_LIST ? at : skipper.skip(bytes, at, bytes.length)
      if (end === at) break
      if (end < 0) throw new ConversionError('bad-input', 'the block ends inside of a value')
      out += writer.record(bytes.toString('utf8', at, end))
      at = end
      if (out.length >= WRITE_CHARS) {
        appendFileSync(file, out)
        out = ''
      }
    }
    appendFileSync(file, out)
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new ConversionError('bad-input', `malformed JSON in the block: ${error.message}`)
    throw error
  } finally {
    closeSync(file)
  }
}

/** Behind white space and at most one given byte. */
function next (bytes: Buffer, at: number, allowed: number): number {
  let i = at
  let left = 1
  for (; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === allowed && left-- > 0) continue
    if (byte !== 32 && byte !== 9 && byte !== 10 && byte !== 13) break
  }
  return i
}

class ExactWriter {
  readonly #json = new JsonScanner()
  readonly #types = new Map<string, ColumnType>()
  readonly #value: string | undefined

  constructor (columns: Column[], values: boolean) {
    for (const { name, type } of columns) this.#types.set(name, parseType(type))
    if (values) this.#value = columns[0]!.name
  }

  /** A record as a line. */
  record (text: string): string {
    const json = this.#json
    json.reset(text)
    if (this.#value != null) return `{${JSON.stringify(this.#value)}:${this.#write(this.#types.get(this.#value)!)}}\n`
    if (json.peek() !== OPEN_OBJECT) json.fail('an object expected')
    return `${this.#fields(this.#types)}\n`
  }

  #fields (types: Map<string, ColumnType>): string {
    const json = this.#json
    let out = ''
    if (json.enter(CLOSE_OBJECT)) {
      do {
        const key = json.key()
        const type = types.get(key) ?? json.fail(`key ${JSON.stringify(key)} is no column`)
        out += `${out === '' ? '' : ','}${JSON.stringify(key)}:${this.#write(type)}`
      } while (json.more(CLOSE_OBJECT))
    }
    return `{${out}}`
  }

  #write (type: ColumnType): string {
    const json = this.#json
    const code = json.peek()
    const from = json.position
    if (code !== NULL && isNested(type)) {
      if (type.kind === 'STRUCT' && code === OPEN_OBJECT) return this.#fields(new Map(type.fields!.map(field => [field.name, field.type])))
      if (type.kind !== 'LIST' || code !== OPEN_LIST) json.fail('a value of another type expected')
      let out = ''
      if (json.enter(CLOSE_LIST)) do out += `${out === '' ? '' : ','}${this.#write(type.element!)}`; while (json.more(CLOSE_LIST))
      return `[${out}]`
    }
    json.skip()
    const text = json.text.slice(from, json.position)
    if (code === NULL) return text
    if (type.kind === 'JSON') return JSON.stringify(text)
    if (type.kind === 'DECIMAL' && json.isNumber(code)) return `"${text}"`
    return type.kind === 'DOUBLE' && isNegativeZero(text) ? '-0.0' : text
  }
}
