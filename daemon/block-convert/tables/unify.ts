/** One type for what several files hold, where it can be done without changing a value; and many files' columns as one table, by name. */
import { ConversionError } from '../errors.ts'
import type { Note } from '../index.ts'
import type { Column } from './schema.ts'
import { parseType, TYPE_DEPTH_MAX, typeName, type ColumnType, type Kind } from './types.ts'

/** Columns named in one note; more would fill the report. */
const NOTE_COLUMNS_MAX = 20

/** Bits that integers need, and whether they are signed. */
const INTEGERS: Partial<Record<Kind, { bits: number, signed: boolean }>> = {
  TINYINT: { bits: 8, signed: true },
  SMALLINT: { bits: 16, signed: true },
  INTEGER: { bits: 32, signed: true },
  BIGINT: { bits: 64, signed: true },
  UTINYINT: { bits: 8, signed: false },
  USMALLINT: { bits: 16, signed: false },
  UINTEGER: { bits: 32, signed: false },
  UBIGINT: { bits: 64, signed: false }
}

/** Decimal digits of the largest value. */
const DIGITS: Partial<Record<Kind, number>> = { TINYINT: 3, SMALLINT: 5, INTEGER: 10, BIGINT: 19, UTINYINT: 3, USMALLINT: 5, UINTEGER: 10, UBIGINT: 20 }

const SIGNED: Record<number, Kind> = { 8: 'TINYINT', 16: 'SMALLINT', 32: 'INTEGER', 64: 'BIGINT' }

/** From coarse to fine. Their values have a common range, that of microseconds; nanoseconds end in 2262 and are not among them. */
const MOMENTS: readonly Kind[] = ['DATE', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP']

/**
 * The narrowest type that holds the values of both exactly, or undefined if there is none: what is text in one file and a number in the
 * other, or a double and a 64-bit integer, is for the caller to refuse. Symmetric but for the order of STRUCT fields (`a`'s come first).
 *
 * Integers widen (`BIGINT` and `UBIGINT` to `DECIMAL(20,0)`), with decimals to decimals of at most 38 digits, with floating point only
 * where every integer is exact; a DATE becomes the first moment of its day; structs that share a field unite them by name, a missing one is NULL.
 *
 * @throws ConversionError `bad-parameters` for what is no type
 */
export function unifyTypes (a: string, b: string): string | undefined {
  if (a === b) return a
  const type = unify(parseType(a), parseType(b), 0)
  return type == null ? undefined : typeName(type)
}

function simple (kind: Kind, precision = 0, scale = 0): ColumnType {
  return { kind, precision, scale }
}

function unify (a: ColumnType, b: ColumnType, depth: number): ColumnType | undefined {
  if (depth > TYPE_DEPTH_MAX) return undefined
  if (a.kind === 'LIST' && b.kind === 'LIST') {
    const element = unify(a.element!, b.element!, depth + 1)
    return element == null ? undefined : { ...simple('LIST'), element }
  }
  if (a.kind === 'MAP' && b.kind === 'MAP') {
    const key = unify(a.key!, b.key!, depth + 1)
    const element = unify(a.element!, b.element!, depth + 1)
    return key == null || element == null ? undefined : { ...simple('MAP'), key, element }
  }
  if (a.kind === 'STRUCT' && b.kind === 'STRUCT') return unifyStructs(a, b, depth)
  if (a.kind === 'DECIMAL' || b.kind === 'DECIMAL') return unifyDecimals(a, b)
  if (a.kind === b.kind) return a
  const x = INTEGERS[a.kind]
  const y = INTEGERS[b.kind]
  if (x != null && y != null) return unifyIntegers(a, b)
  if (isFloating(a.kind) && isFloating(b.kind)) return simple('DOUBLE')
  if (x != null && isFloating(b.kind)) return withFloating(x.bits, b.kind)
  if (y != null && isFloating(a.kind)) return withFloating(y.bits, a.kind)
  const finest = Math.max(MOMENTS.indexOf(a.kind), MOMENTS.indexOf(b.kind))
  return MOMENTS.includes(a.kind) && MOMENTS.includes(b.kind) ? simple(MOMENTS[finest]!) : undefined
}

function isFloating (kind: Kind): boolean {
  return kind === 'FLOAT' || kind === 'DOUBLE'
}

/** FLOAT holds integers of 24 bits, DOUBLE of 53. */
function withFloating (bits: number, kind: Kind): ColumnType | undefined {
  if (bits <= 16) return simple(kind)
  return bits <= 32 ? simple('DOUBLE') : undefined
}

function unifyIntegers (a: ColumnType, b: ColumnType): ColumnType {
  const x = INTEGERS[a.kind]!
  const y = INTEGERS[b.kind]!
  if (x.signed === y.signed) return x.bits >= y.bits ? a : b
  const [signed, unsigned] = x.signed ? [x, y] : [y, x]
  const bits = Math.max(signed.bits, unsigned.bits * 2)
  return bits <= 64 ? simple(SIGNED[bits]!) : simple('DECIMAL', 20, 0)
}

function unifyDecimals (a: ColumnType, b: ColumnType): ColumnType | undefined {
  const whole = (type: ColumnType): number | undefined => type.kind === 'DECIMAL' ? type.precision - type.scale : DIGITS[type.kind]
  const x = whole(a)
  const y = whole(b)
  if (x == null || y == null) return undefined
  const scale = Math.max(a.scale, b.scale)
  const precision = Math.max(x, y) + scale
  return precision <= 38 ? simple('DECIMAL', precision, scale) : undefined
}

function unifyStructs (a: ColumnType, b: ColumnType, depth: number): ColumnType | undefined {
  // What has no field in common is no version of the other, and the engine cannot cast it.
  if (!a.fields!.some(field => b.fields!.some(other => other.name === field.name))) return undefined
  const fields: NonNullable<ColumnType['fields']> = []
  const others = new Map(b.fields!.map(field => [field.name.toLowerCase(), field]))
  for (const field of a.fields!) {
    const other = others.get(field.name.toLowerCase())
    others.delete(field.name.toLowerCase())
    if (other == null) {
      fields.push(field)
      continue
    }
    // The engine would take them for one; a reader of the result would not.
    if (other.name !== field.name) return undefined
    const type = unify(field.type, other.type, depth + 1)
    if (type == null) return undefined
    fields.push({ name: field.name, type })
  }
  return { ...simple('STRUCT'), fields: [...fields, ...others.values()] }
}

/** A column of one input. `nothing`: it holds no value at all and may become whatever the others are. */
export type OwnColumn = Column & { nothing?: true }

/** What one input has. */
export interface TableOf {
  /** For messages. */
  path: string
  columns: OwnColumn[]
}

export interface United {
  columns: Column[]
  /** For each input: positions in `columns` of its own columns, in its order; undefined if these are all columns in this order. */
  present: Array<number[] | undefined>
  notes: Note[]
}

/** Unites few inputs at once; see ColumnUnion. */
export function uniteColumns (tables: TableOf[]): United {
  const union = new ColumnUnion()
  for (const { path, columns } of tables) union.add(path, columns)
  return { columns: union.columns, present: tables.map(({ columns }) => presentIn(union.columns, columns)), notes: union.notes() }
}

/** Positions of a file's columns among all columns, by name; undefined if it has all of them in their order. All must be there. */
export function presentIn (columns: Array<Pick<Column, 'name'>>, own: Array<Pick<Column, 'name'>>): number[] | undefined {
  if (own.length === columns.length && own.every(({ name }, i) => name === columns[i]!.name)) return undefined
  const positions = new Map(columns.map(({ name }, i) => [name, i]))
  return own.map(({ name }) => positions.get(name)!)
}

interface UnitedColumn {
  column: Column
  /** The input that gave it its present type, for messages. */
  path: string
  /** No input has given it a type so far; `column.type` is the default. */
  nothing: boolean
  widened: boolean
  inputs: number
}

/** Unites the columns of any number of inputs by name, in order of first appearance. What an input lacks is NULL for its rows. */
export class ColumnUnion {
  readonly #columns: UnitedColumn[] = []
  readonly #byName = new Map<string, UnitedColumn>()
  #inputs = 0

  get columns (): Column[] {
    return this.#columns.map(({ column }) => column)
  }

  /**
   * @throws ConversionError `unsupported` naming both files, the column and both types where they cannot be united exactly, or if names
   * differ only in case
   */
  add (path: string, columns: OwnColumn[]): void {
    this.#inputs++
    for (const { name, type, nothing = false } of columns) {
      const known = this.#byName.get(name.toLowerCase())
      if (known == null) {
        const united = { column: { name, type }, path, nothing, widened: false, inputs: 1 }
        this.#byName.set(name.toLowerCase(), united)
        this.#columns.push(united)
        continue
      }
      if (known.column.name !== name) throw new ConversionError('unsupported', `'${known.path}' has a column '${known.column.name}' and '${path}' a column '${name}', which differ only in case; rename one`, { path, column: name })
      known.inputs++
      if (!nothing) widen(known, path, type)
    }
  }

  /** `columns-united` and `types-united`, where they apply. */
  notes (): Note[] {
    const notes: Note[] = []
    const absent = this.#columns.filter(({ inputs }) => inputs < this.#inputs).map(({ column }) => column.name)
    if (absent.length > 0) {
      notes.push({
        code: 'columns-united',
        message: `${this.#inputs} inputs have different columns and were united by name: ${listed(absent.map(name => `'${name}'`))} ${absent.length === 1 ? 'is' : 'are'} NULL where an input has no such column`,
        columns: absent.slice(0, NOTE_COLUMNS_MAX)
      })
    }
    const widened = this.#columns.filter(({ widened }) => widened).map(({ column }) => column)
    if (widened.length > 0) {
      notes.push({
        code: 'types-united',
        message: `inputs have different types, which were widened without changing a value: ${listed(widened.map(({ name, type }) => `'${name}' is ${shown(type)}`))}`,
        columns: widened.slice(0, NOTE_COLUMNS_MAX).map(({ name }) => name)
      })
    }
    return notes
  }
}

function widen (known: UnitedColumn, path: string, type: string): void {
  const { column } = known
  if (known.nothing) {
    column.type = type
    known.path = path
    known.nothing = false
    return
  }
  if (type === column.type) return
  const united = unifyTypes(column.type, type)
  if (united == null) throw new ConversionError('unsupported', `column '${column.name}' is ${shown(column.type)} in '${known.path}' and ${shown(type)} in '${path}', and no type holds both exactly; convert one of them first`, { path, column: column.name, types: [column.type, type] })
  known.widened = true
  if (united === type) known.path = path
  column.type = united
}

const TYPE_SHOWN_MAX = 120

function shown (type: string): string {
  return type.length > TYPE_SHOWN_MAX ? `${type.slice(0, TYPE_SHOWN_MAX)}...` : type
}

function listed (items: string[]): string {
  const most = items.slice(0, NOTE_COLUMNS_MAX)
  return most.join(', ') + (items.length > most.length ? ` and ${items.length - most.length} more` : '')
}
