/**
 * Values of LIST, STRUCT and MAP columns from their JSON text, as parts of the canonical form (values.ts): those of JSON sources, and what
 * is written for them into CSV and JSON. A list is an array; a struct an object, its fields in any order and any of them missing; a map an
 * object whose keys are the texts of its keys.
 */
import { CLOSE_LIST, CLOSE_OBJECT, JsonScanner, JsonSyntaxError, NULL, OPEN_LIST, OPEN_OBJECT, QUOTE } from './text.ts'
import { isNested, typeName, type ColumnType, type Kind } from '../types.ts'
import { INVALID, nestedText, type Parts } from '../values.ts'

/** Reads a value that is no nested one, from its text; gives INVALID or its canonical form. */
type LeafParser = (text: string) => unknown

/** Reads one value at the scanner's position. @throws NotOfType, JsonSyntaxError */
export type PartsReader = (json: JsonScanner) => Parts

/** A JSON value that its type does not have. */
export class NotOfType extends Error {
  static override name = 'NotOfType'
  override readonly name = 'NotOfType'
}

/** How a JSON value is written for each kind: as a text or as a number. */
export function isTextKind (kind: Kind): boolean {
  switch (kind) {
    case 'VARCHAR': case 'DATE': case 'TIME': case 'TIMESTAMP': case 'TIMESTAMP_S': case 'TIMESTAMP_MS': case 'TIMESTAMP_NS': case 'TIMESTAMPTZ': case 'INTERVAL': case 'BLOB': case 'UUID': return true
    default: return false
  }
}

/** NaN and infinities as JSON targets write them (nonfinite=text). */
export const NONFINITE: ReadonlyMap<string, number> = new Map([['NaN', NaN], ['Infinity', Infinity], ['-Infinity', -Infinity]])

/** `leaf`: gives the parser of a type without parts. `nonfinite`: floating-point numbers may be the strings of NONFINITE. */
export function partsReader (type: ColumnType, leaf: (type: string) => LeafParser, nonfinite: boolean): PartsReader {
  const read = reader(type, leaf, nonfinite)
  return json => {
    if (json.peek() !== NULL) return read(json)
    json.literal()
    return null
  }
}

/** A parser of a whole text: gives the canonical form, null, or INVALID. */
export function nestedParser (type: ColumnType, leaf: (type: string) => LeafParser, nonfinite: boolean): LeafParser {
  const read = partsReader(type, leaf, nonfinite)
  const json = new JsonScanner()
  return text => {
    json.reset(text)
    try {
      const parts = read(json)
      if (!Number.isNaN(json.peek())) return INVALID
      return parts === null ? null : nestedText(parts)
    } catch (error) {
      if (error instanceof NotOfType || error instanceof JsonSyntaxError) return INVALID
      throw error
    }
  }
}

function reader (type: ColumnType, leaf: (type: string) => LeafParser, nonfinite: boolean): PartsReader {
  switch (type.kind) {
    case 'LIST': return listReader(partsReader(type.element!, leaf, nonfinite))
    case 'STRUCT': return structReader(type.fields!.map(({ name, type }) => [name, partsReader(type, leaf, nonfinite)]))
    case 'MAP': {
      // Refused where targets are chosen: such keys have no text.
      if (isNested(type.key!)) return () => { throw new NotOfType() }
      return mapReader(leaf(typeName(type.key!)), partsReader(type.element!, leaf, nonfinite))
    }
    case 'JSON': return json => {
      const text = json.canonical()
      return text === 'null' ? null : text
    }
    case 'BOOLEAN': return json => {
      const code = json.peek()
      if (code !== 116 && code !== 102) throw new NotOfType()
      return json.literal() === 'true'
    }
    default: return leafReader(leaf(typeName(type)), isTextKind(type.kind), nonfinite && (type.kind === 'FLOAT' || type.kind === 'DOUBLE'))
  }
}

function leafReader (parse: LeafParser, text: boolean, nonfinite: boolean): PartsReader {
  return json => {
    const code = json.peek()
    let value: unknown = INVALID
    if (code === QUOTE) {
      const string = json.string()
      if (text) value = parse(string)
      else if (nonfinite) value = NONFINITE.get(string) ?? INVALID
    } else if (!text && json.isNumber(code)) value = parse(json.number())
    if (value === INVALID) throw new NotOfType()
    return value as Parts
  }
}

function listReader (element: PartsReader): PartsReader {
  return json => {
    if (json.peek() !== OPEN_LIST) throw new NotOfType()
    const parts: Parts[] = []
    if (json.enter(CLOSE_LIST)) do parts.push(element(json)); while (json.more(CLOSE_LIST))
    return parts
  }
}

function structReader (fields: Array<[string, PartsReader]>): PartsReader {
  const index = new Map(fields.map(([name], i) => [name, i]))
  return json => {
    if (json.peek() !== OPEN_OBJECT) throw new NotOfType()
    const parts = new Array<Parts>(fields.length).fill(null)
    const seen = new Set<number>()
    if (!json.enter(CLOSE_OBJECT)) return parts
    do {
      const at = index.get(json.key())
      if (at == null || seen.has(at)) throw new NotOfType()
      seen.add(at)
      parts[at] = fields[at]![1](json)
    } while (json.more(CLOSE_OBJECT))
    return parts
  }
}

function mapReader (key: LeafParser, element: PartsReader): PartsReader {
  return json => {
    if (json.peek() !== OPEN_OBJECT) throw new NotOfType()
    const parts: Parts[] = []
    if (!json.enter(CLOSE_OBJECT)) return parts
    do {
      const name = key(json.key())
      if (name === INVALID) throw new NotOfType()
      parts.push([name as Parts, element(json)])
    } while (json.more(CLOSE_OBJECT))
    return parts
  }
}
