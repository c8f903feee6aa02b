/**
 * Columns of Parquet files: the footer's list of schema elements as a tree, understood as DuckDB understands it. Column chunks belong to
 * leaves, of which a nested column has several.
 */
import { isUtf8 } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import { FILE, readFooter, structs, type Footer, type SchemaElement } from './footer.ts'
import { COLUMN_DEPTH_MAX } from './limits.ts'
import { CONVERTED, leafForm, LOGICAL, type LeafForm } from './logical.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column } from '../schema.ts'
import { getField } from './thrift.ts'
import { parseType, TYPE_CHARS_MAX, typeName, type ColumnType } from '../types.ts'

/** What one column chunk per row group holds. */
export interface Leaf extends LeafForm {
  /** With the names of what it is part of, for messages. */
  path: string
  parsed: ColumnType
  /** Highest levels there are; 0 if there are none. */
  maxDefinition: number
  maxRepetition: number
}

/**
 * A value or its parts. `definition`: the level from which on it is not NULL; of LIST and MAP: from which on it has entries, one less for
 * an empty one. `repetition`: the level at which another entry follows.
 */
export type Node =
  | { kind: 'leaf', leaf: number, definition: number, type: ColumnType }
  | { kind: 'struct', fields: Node[], definition: number, type: ColumnType }
  | { kind: 'list', element: Node, definition: number, repetition: number, type: ColumnType }
  | { kind: 'map', key: Node, value: Node, definition: number, repetition: number, type: ColumnType }

/** A column of a file. */
export interface ParquetColumn extends Column {
  /** Leaves in it are numbered from its first one. */
  node: Node
  leaves: Leaf[]
  /** Position of its first leaf among all of the file. */
  firstLeaf: number
  /** Where its elements begin in the footer's schema, and end. */
  elements: [number, number]
}

/** A group's annotation as far as it matters; see `groupKind`. */
export type GroupKind = 'map' | 'entries' | 'list' | 'struct'

/**
 * Columns of a Parquet file, with the type names DuckDB gives them.
 *
 * @throws ConversionError `bad-input` (no Parquet, cut off, inconsistent), `unsupported` (encrypted or exotic types) or `input-unreadable`
 */
export async function parquetColumns (path: string): Promise<Column[]> {
  const file = new RandomAccess({ path, size: 0 })
  try {
    return readColumns(readFooter(file), path).map(({ name, type }) => ({ name, type }))
  } finally {
    file.close()
  }
}

/** Columns of a footer. @throws ConversionError `bad-input` or `unsupported` */
export function readColumns (footer: Footer, path = 'the data'): ParquetColumn[] {
  const root = footer.schema[0] as SchemaElement
  requireNames(footer, path)
  const columns: ParquetColumn[] = []
  const names = new Set<string>()
  let next = 1
  let firstLeaf = 0
  while (columns.length < root.children && next < footer.schema.length) {
    const { name } = footer.schema[next]!
    const reader = new ColumnSchemaReader(footer.schema, name, path)
    const { node, end } = reader.read(next)
    // DuckDB would rename the second one; names are compared without regard to case there
    const key = name.toLowerCase()
    if (names.has(key)) throw reader.no('there are two columns of this name (upper and lower case count as the same)')
    names.add(key)
    const type = typeName(node.type)
    if (type.length > TYPE_CHARS_MAX) throw reader.no(`its type has more than ${TYPE_CHARS_MAX} characters; it has too many fields for one column`)
    columns.push({ name, type, node, leaves: reader.leaves, firstLeaf, elements: [next, end] })
    firstLeaf += reader.leaves.length
    next = end
  }
  if (columns.length !== root.children || next !== footer.schema.length) throw new ConversionError('bad-input', `${path} is not a sound Parquet file: its schema announces ${root.children} columns and has ${columns.length + (footer.schema.length - next)}`)
  if (columns.length === 0) throw new ConversionError('unsupported', `${path} has no columns`)
  return columns
}

/** Names that are no text would be other names for the engine. */
function requireNames (footer: Footer, path: string): void {
  for (const struct of structs(footer.tree, FILE.schema, 'schema').slice(1)) {
    const name = getField(struct, 4)?.value as Uint8Array
    if (!isUtf8(name)) throw new ConversionError('unsupported', `${path} has a column whose name is not UTF-8: ${JSON.stringify(Buffer.from(name).toString('latin1'))}`, { path })
    if (name.includes(0)) throw new ConversionError('unsupported', `${path} has a column with a NUL character in its name: ${JSON.stringify(Buffer.from(name).toString())}`, { path })
  }
}

class ColumnSchemaReader {
  readonly leaves: Leaf[] = []
  readonly #schema: SchemaElement[]
  readonly #column: string
  readonly #path: string

  constructor (schema: SchemaElement[], column: string, path: string) {
    this.#schema = schema
    this.#column = column
    this.#path = path
  }

  no (what: string): ConversionError {
    return new ConversionError('unsupported', `column '${this.#column}' of ${this.#path}: ${what}`, { path: this.#path, column: this.#column })
  }

  read (at: number): { node: Node, end: number } {
    return this.#read(at, 0, 0, 0, [], 'struct')
  }

  #read (at: number, depth: number, definition: number, repetition: number, within: string[], parent: GroupKind): { node: Node, end: number } {
    const element = this.#schema[at]
    if (element == null) throw new ConversionError('bad-input', `${this.#path} is not a sound Parquet file: its schema ends within column '${this.#column}'`)
    if (depth > COLUMN_DEPTH_MAX) throw this.no(`it is nested deeper than ${COLUMN_DEPTH_MAX} levels`)
    const repeated = element.repetition === 'REPEATED'
    const level = element.repetition === 'REQUIRED' ? definition : definition + 1
    const repeats = repeated ? repetition + 1 : repetition
    const names = [...within, element.name]
    if (isLeaf(element)) {
      const node = this.#leaf(element, level, repeats, names)
      return { node: repeated ? listOf(node, level, repeats) : node, end: at + 1 }
    }
    const kind = groupKind(this.#schema, at, parent)
    if (element.logical?.kind === LOGICAL.VARIANT) throw this.no('variant cannot be converted; leave it out or turn it into text or bytes')
    if (element.children === 0) throw this.no(`the group '${names.join('.')}' has no fields`)
    const children: Node[] = []
    let next = at + 1
    const fieldNames: string[] = []
    for (let i = 0; i < element.children; i++) {
      fieldNames.push(this.#schema[next]?.name ?? '')
      const { node, end } = this.#read(next, depth + 1, level, repeats, names, kind)
      children.push(node)
      next = end
    }
    if (kind === 'entries') {
      const [key, value] = children as [Node, Node]
      return { node: { kind: 'map', key, value, definition: level, repetition: repeats, type: { kind: 'MAP', precision: 0, scale: 0, key: key.type, element: value.type } }, end: next }
    }
    // A group that is only there to be repeated or annotated is its one child.
    const pulled = children.length === 1 && (kind === 'list' || kind === 'map' || repeated)
    const node = pulled ? children[0]! : this.#struct(children, fieldNames, level, names)
    return { node: repeated ? listOf(node, level, repeats) : node, end: next }
  }

  #leaf (element: SchemaElement, maxDefinition: number, maxRepetition: number, names: string[]): Node {
    const inner = names.length > 1 ? `${names.slice(1).join('.')}: ` : ''
    const form = leafForm(element, what => this.no(`${inner}${what}`))
    const parsed = parseType(form.type)
    this.leaves.push({ ...form, path: names.join('.'), parsed, maxDefinition, maxRepetition })
    return { kind: 'leaf', leaf: this.leaves.length - 1, definition: maxDefinition, type: parsed }
  }

  #struct (fields: Node[], names: string[], definition: number, within: string[]): Node {
    const seen = new Set<string>()
    for (const name of names) {
      if (name === '') throw this.no(`a field of '${within.join('.')}' has no name`)
      if (seen.has(name.toLowerCase())) throw this.no(`'${within.join('.')}' has two fields '${name}' (upper and lower case count as the same)`)
      seen.add(name.toLowerCase())
    }
    return { kind: 'struct', fields, definition, type: { kind: 'STRUCT', precision: 0, scale: 0, fields: fields.map(({ type }, i) => ({ name: names[i]!, type })) } }
  }
}

function listOf (element: Node, definition: number, repetition: number): Node {
  return { kind: 'list', element, definition, repetition, type: { kind: 'LIST', precision: 0, scale: 0, element: element.type } }
}

export function isLeaf (element: SchemaElement): boolean {
  return element.type != null && element.children === 0
}

/**
 * What a group stands for. Annotations of both generations count; a MAP without values is the list of its keys, and a MAP that is not built
 * like one is read by its structure alone.
 */
export function groupKind (schema: SchemaElement[], at: number, parent: GroupKind): GroupKind {
  const { converted, logical, children, repetition } = schema[at]!
  if (parent === 'map') return 'entries'
  const map = logical?.kind === LOGICAL.MAP || (logical == null && (converted === CONVERTED.MAP || (converted === CONVERTED.MAP_KEY_VALUE && repetition !== 'REPEATED')))
  if (map) {
    const entries = schema[at + 1]
    return children === 1 && entries?.repetition === 'REPEATED' && !isLeaf(entries) && entries.children === 2 ? 'map' : 'list'
  }
  return logical?.kind === LOGICAL.LIST || (logical == null && converted === CONVERTED.LIST) ? 'list' : 'struct'
}
