/** Column types by their DuckDB names: parsed once, told apart by `kind` from then on. Nested ones hold further types. */
import { ConversionError } from '../errors.ts'

/** Types without parts, and DECIMAL. */
export const SCALARS = [
  'BOOLEAN', 'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'FLOAT', 'DOUBLE', 'DECIMAL',
  'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'TIMESTAMPTZ', 'INTERVAL', 'VARCHAR', 'JSON', 'BLOB', 'UUID'
] as const

export type Kind = typeof SCALARS[number] | 'LIST' | 'STRUCT' | 'MAP'

export interface ColumnType {
  kind: Kind
  /** Of DECIMAL; 0 otherwise. */
  precision: number
  scale: number
  /** Of LIST: its elements; of MAP: its values. */
  element?: ColumnType
  /** Of MAP. */
  key?: ColumnType
  /** Of STRUCT, in order; at least one. */
  fields?: Array<{ name: string, type: ColumnType }>
}

/** Types within types; deeper ones are an attack on recursion rather than data. */
export const TYPE_DEPTH_MAX = 64

/** Characters of a type's name: a struct of thousands of fields is a table in a column. */
export const TYPE_CHARS_MAX = 64 * 1024

/** Whether values of a type have parts. */
export function isNested ({ kind }: ColumnType): boolean {
  return kind === 'LIST' || kind === 'STRUCT' || kind === 'MAP'
}

/**
 * Reads `BIGINT`, `DECIMAL(18,2)`, `VARCHAR[]`, `STRUCT("a" BIGINT, "b" DATE[])`, `MAP(VARCHAR, DOUBLE)`. Field names are always quoted,
 * quotes in them doubled. `typeName` writes what this reads.
 *
 * @throws ConversionError `bad-parameters`
 */
export function parseType (name: string): ColumnType {
  const scalar = simple(name)
  if (scalar != null) return scalar
  if (name.length > TYPE_CHARS_MAX) throw unknown(name)
  const parser = new TypeParser(name)
  const type = parser.type(0)
  if (!parser.atEnd) throw unknown(name)
  return type
}

/** The canonical name of a type: what DuckDB calls it. */
export function typeName (type: ColumnType): string {
  switch (type.kind) {
    case 'DECIMAL': return `DECIMAL(${type.precision},${type.scale})`
    case 'LIST': return `${typeName(type.element!)}[]`
    case 'MAP': return `MAP(${typeName(type.key!)}, ${typeName(type.element!)})`
    case 'STRUCT': return `STRUCT(${type.fields!.map(field => `"${field.name.replaceAll('"', '""')}" ${typeName(field.type)}`).join(', ')})`
    default: return type.kind
  }
}

function simple (name: string): ColumnType | undefined {
  if (name === 'TIMESTAMP WITH TIME ZONE') return { kind: 'TIMESTAMPTZ', precision: 0, scale: 0 }
  const kind = SCALARS.find(scalar => scalar === name)
  if (kind != null && kind !== 'DECIMAL') return { kind, precision: 0, scale: 0 }
  const decimal = /^DECIMAL\((\d{1,2}),\s*(\d{1,2})\)$/.exec(name)
  if (decimal == null) return undefined
  const precision = Number(decimal[1])
  const scale = Number(decimal[2])
  return precision >= 1 && precision <= 38 && scale <= precision ? { kind: 'DECIMAL', precision, scale } : undefined
}

function unknown (name: string): ConversionError {
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
  return new ConversionError('bad-parameters', `unknown column type '${shown}'`, { type: shown })
}

class TypeParser {
  readonly #text: string
  #at = 0

  constructor (text: string) {
    this.#text = text
  }

  get atEnd (): boolean {
    return this.#at === this.#text.length
  }

  type (depth: number): ColumnType {
    if (depth > TYPE_DEPTH_MAX) throw unknown(this.#text)
    let type = this.#base(depth)
    for (let lists = depth; this.#take('[]'); lists++) {
      if (lists >= TYPE_DEPTH_MAX) throw unknown(this.#text)
      type = { kind: 'LIST', precision: 0, scale: 0, element: type }
    }
    return type
  }

  #base (depth: number): ColumnType {
    if (this.#take('STRUCT(')) {
      const fields: NonNullable<ColumnType['fields']> = []
      const seen = new Set<string>()
      do {
        const name = this.#quoted()
        // the engine does not tell `a` from `A`
        if (seen.has(name.toLowerCase())) throw unknown(this.#text)
        seen.add(name.toLowerCase())
        this.#expect(' ')
        fields.push({ name, type: this.type(depth + 1) })
      } while (this.#take(', '))
      this.#expect(')')
      return { kind: 'STRUCT', precision: 0, scale: 0, fields }
    }
    if (this.#take('MAP(')) {
      const key = this.type(depth + 1)
      this.#expect(', ')
      const element = this.type(depth + 1)
      this.#expect(')')
      return { kind: 'MAP', precision: 0, scale: 0, key, element }
    }
    const word = /^(?:DECIMAL\(\d{1,2},\s*\d{1,2}\)|TIMESTAMP WITH TIME ZONE|[A-Z_]+)/.exec(this.#text.slice(this.#at, this.#at + 40))?.[0] ?? ''
    const type = simple(word)
    if (type == null) throw unknown(this.#text)
    this.#at += word.length
    return type
  }

  #quoted (): string {
    this.#expect('"')
    let name = ''
    for (;;) {
      const close = this.#text.indexOf('"', this.#at)
      if (close < 0) throw unknown(this.#text)
      name += this.#text.slice(this.#at, close)
      this.#at = close + 1
      if (!this.#take('"')) return name
      name += '"'
    }
  }

  #take (text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #expect (text: string): void {
    if (!this.#take(text)) throw unknown(this.#text)
  }
}
