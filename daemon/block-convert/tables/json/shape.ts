/** What sampled values of one key, field or list have in common, and the narrowest column type that holds them exactly. */
import { NumberEvidence } from './numbers.ts'
import { CLOSE_LIST, CLOSE_OBJECT, OPEN_LIST, OPEN_OBJECT, QUOTE, type JsonScanner } from './text.ts'
import { parseType, TYPE_CHARS_MAX, TYPE_DEPTH_MAX, typeName, type ColumnType } from '../types.ts'

/** Fields of one object; more of them are a dictionary, whose keys are data. */
export const NESTED_FIELDS_MAX = 1000

export interface ShapeOptions {
  /** Every value there is was sampled. */
  complete: boolean
  /** A double may round (`fractions=double`). */
  rounded: boolean
  /** Objects and arrays stay JSON text. */
  nestedAsText: boolean
}

const JSON_TYPE = parseType('JSON')

export class Shape {
  #numbers: NumberEvidence | undefined
  #strings = false
  #booleans = false
  #items: Shape | undefined
  #fields: Map<string, Shape> | undefined
  /** Names of fields in lower case: engines do not tell two apart that differ in case only. */
  #names: Set<string> | undefined
  /** No type has it: a key stands twice or in two cases, there are too many of them, or too deep ones. */
  #irregular = false

  /** Reads one value at the scanner's position. Throws JsonSyntaxError. */
  add (json: JsonScanner, depth = 0): void {
    const code = json.peek()
    if (code === QUOTE) {
      json.string()
      this.#strings = true
    } else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (depth >= TYPE_DEPTH_MAX) this.#irregular = true
      if (this.#irregular) json.canonical(depth)
      else if (code === OPEN_OBJECT) this.#object(json, depth)
      else this.#list(json, depth)
    } else if (json.isNumber(code)) {
      this.#numbers ??= new NumberEvidence()
      this.#numbers.add(json.number())
    } else if (json.literal() !== 'null') this.#booleans = true
  }

  #list (json: JsonScanner, depth: number): void {
    this.#items ??= new Shape()
    if (json.enter(CLOSE_LIST)) do this.#items.add(json, depth + 1); while (json.more(CLOSE_LIST))
  }

  #object (json: JsonScanner, depth: number): void {
    this.#fields ??= new Map()
    const seen = new Set<string>()
    if (!json.enter(CLOSE_OBJECT)) return
    do {
      const key = json.key()
      if (seen.has(key)) this.#irregular = true
      seen.add(key)
      this.#field(key).add(json, depth + 1)
    } while (json.more(CLOSE_OBJECT))
  }

  #field (key: string): Shape {
    const known = this.#fields!.get(key)
    if (known != null) return known
    this.#names ??= new Set()
    const lower = key.toLowerCase()
    if (this.#names.has(lower) || key === '' || key.includes('\0') || this.#names.size >= NESTED_FIELDS_MAX) this.#irregular = true
    const field = new Shape()
    // What is JSON text in the end needs no memory for its fields.
    if (!this.#irregular) {
      this.#names.add(lower)
      this.#fields!.set(key, field)
    }
    return field
  }

  /** Nothing but null was seen. */
  get nothing (): boolean {
    return this.#numbers == null && !this.#strings && !this.#booleans && this.#items == null && this.#fields == null
  }

  /** The name of a type. JSON where nothing but null was seen, too. */
  type (options: ShapeOptions): string {
    const type = this.#type(options)
    if (type == null) return 'JSON'
    const name = typeName(type)
    return name.length > TYPE_CHARS_MAX ? 'JSON' : name
  }

  /** Undefined if values are of several kinds, or irregular: then a value around them is JSON as a whole, too. */
  #type (options: ShapeOptions): ColumnType | undefined {
    const { nestedAsText, complete, rounded } = options
    const kinds = [this.#numbers != null, this.#strings, this.#booleans, this.#items != null, this.#fields != null].filter(Boolean).length
    if (this.#irregular || kinds > 1) return undefined
    if (this.#numbers != null) return parseType(this.#numbers.type(complete, rounded))
    if (this.#strings) return parseType('VARCHAR')
    if (this.#booleans) return parseType('BOOLEAN')
    if (kinds === 0 || nestedAsText) return JSON_TYPE
    if (this.#items != null) {
      const element = this.#items.#type(options)
      // Empty lists only, or of nothing but null: there is no type to tell.
      return element?.kind === 'JSON' ? JSON_TYPE : element && { kind: 'LIST', precision: 0, scale: 0, element }
    }
    const fields: NonNullable<ColumnType['fields']> = []
    for (const [name, shape] of this.#fields!) {
      const type = shape.#type(options)
      if (type == null) return undefined
      fields.push({ name, type })
    }
    return fields.length === 0 ? JSON_TYPE : { kind: 'STRUCT', precision: 0, scale: 0, fields }
  }
}
