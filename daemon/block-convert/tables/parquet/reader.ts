/**
 * Rows of a Parquet file, read by other code than the engine that writes them: page by page and column by column, so that
 * at most one page per leaf is unpacked at a time.
 *
 * Numbers and the delta encodings are decoded by hyparquet, pages unpacked by hyparquet-compressors and Node; the walk over
 * pages, levels and indices is ours, because a file may come from somebody who wants us to run out of memory.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { NestedReader } from './assemble.ts'
import { coercer } from '../coerce.ts'
import { readFooter, type Footer } from './footer.ts'
import { holdsNothing } from './inputs.ts'
import { LeafPages, type LeafOptions } from './leaf-pages.ts'
import { RandomAccess } from '../random-access.ts'
import { batchRows, type Batch } from '../readers/batch.ts'
import type { Column } from '../schema.ts'
import { readColumns, type ParquetColumn } from './schema.ts'
import { storedType } from './schema-writer.ts'
import { isNested, parseType } from '../types.ts'
import { nestedText, type Parts } from '../values.ts'

export interface ParquetReadOptions {
  /** Only rows [from, to). */
  rows?: [number, number]
  /** Hold what the footer claims about the values (bounds, NULL counts, bloom filters) against them. @default false */
  claims?: boolean
  /** The file has only these columns (positions in `columns`), in this order; the others are NULL. @default all */
  present?: number[]
  /** It is a block of a source: its columns may have narrower types than `columns`, whose values theirs become (coerce.ts). @default false */
  widen?: boolean
}

/** A column of the file, batch by batch. */
interface ColumnSource {
  take: (count: number) => unknown[]
  skip: (count: number) => void
  requireEnd: () => void
}

/**
 * Reads rows [from, to) in batches (batchRows); only the last is smaller.
 *
 * @throws ConversionError `bad-input` for what is malformed or has other columns, `unsupported` for encodings we lack
 */
export function * readParquet (source: BlockSource, columns: Column[], options: ParquetReadOptions = {}): Generator<Batch> {
  const { rows, claims = false, present, widen = false } = options
  const file = new RandomAccess(source)
  try {
    const footer = readFooter(file)
    const found = readColumns(footer, file.name())
    const wanted = present == null ? columns : present.map(position => columns[position]!)
    requireColumns(found, wanted, file.name(), widen)
    const readers = found.map((column, i) => columnSource(file, footer, column, wanted[i]!.type, { claims, block: widen }))
    const from = Math.min(rows?.[0] ?? 0, footer.rows)
    const to = Math.min(rows?.[1] ?? footer.rows, footer.rows)
    if (from > 0) for (const reader of readers) reader.skip(from)
    const size = batchRows(columns.length)
    const absent = present == null ? [] : new Array<null>(size).fill(null)
    for (let at = from; at < to; at += size) {
      const count = Math.min(size, to - at)
      const taken = readers.map(reader => reader.take(count))
      if (present == null) {
        yield { rows: count, columns: taken }
        continue
      }
      const all: unknown[][] = columns.map(() => absent)
      present.forEach((position, i) => { all[position] = taken[i]! })
      yield { rows: count, columns: all }
    }
    // pages beyond the rows the footer knows would be data that no count sees
    if (to === footer.rows) for (const reader of readers) reader.requireEnd()
  } finally {
    file.close()
  }
}

/**
 * Names and types must be those of the parameters, in order; `widen`: types that can be widened to them.
 *
 * @throws ConversionError `bad-input`
 */
export function requireColumns (found: Column[], wanted: Column[], name: string, widen = false): void {
  for (let i = 0; i < Math.max(found.length, wanted.length); i++) {
    const is = found[i]
    const should = wanted[i]
    const type = should == null ? undefined : storedType(should.type)
    if (is == null || should == null || is.name !== should.name || (is.type !== type && !(widen && canWiden(is as ParquetColumn, should.type)))) {
      const describe = (column: Column | undefined, as?: string): string => column == null ? 'no column' : `'${column.name}' ${as ?? column.type}`
      throw new ConversionError('bad-input', `${name}: column ${i + 1} is ${describe(is)} instead of ${describe(should, type)}`)
    }
  }
}

function canWiden (column: ParquetColumn, type: string): boolean {
  if (holdsNothing(column)) return true
  try {
    coercer(column.node.type, parseType(type))
    return true
  } catch (error) {
    if (error instanceof ConversionError) return false
    throw error
  }
}

function columnSource (file: RandomAccess, footer: Footer, column: ParquetColumn, type: string, options: LeafOptions): ColumnSource {
  const pages = column.leaves.map((leaf, i) => new LeafPages(file, leaf, footer.rowGroups.map(({ rows, chunks }) => ({ rows, chunk: chunks[column.firstLeaf + i]! })), options))
  const coerce = holdsNothing(column) || storedType(type) === column.type ? undefined : coercer(column.node.type, parseType(type))
  if (!isNested(column.node.type)) {
    const reader = new FlatReader(pages[0]!)
    if (coerce == null) return reader
    return { take: count => reader.take(count).map(coerce), skip: count => { reader.skip(count) }, requireEnd: () => { reader.requireEnd() } }
  }
  const reader = new NestedReader(column.name, column.node, pages)
  const text = (value: Parts): string | null => {
    const parts = (coerce == null ? value : coerce(value)) as Parts
    return parts === null ? null : nestedText(parts)
  }
  return { take: count => reader.take(count).map(text), skip: count => { reader.skip(count) }, requireEnd: () => { reader.requireEnd() } }
}

/** A column of one leaf without repetition. */
class FlatReader implements ColumnSource {
  readonly #pages: LeafPages
  #values: unknown[] = []
  #position = 0

  constructor (pages: LeafPages) {
    this.#pages = pages
  }

  take (count: number): unknown[] {
    if (this.#values.length - this.#position >= count) {
      this.#position += count
      return this.#values.slice(this.#position - count, this.#position)
    }
    const out: unknown[] = []
    while (out.length < count) {
      if (this.#position === this.#values.length) this.#load(0)
      const end = Math.min(this.#values.length, this.#position + count - out.length)
      for (let i = this.#position; i < end; i++) out.push(this.#values[i])
      this.#position = end
    }
    return out
  }

  skip (count: number): void {
    let left = count
    while (left > 0) {
      if (this.#position === this.#values.length) left -= this.#load(left)
      const step = Math.min(left, this.#values.length - this.#position)
      this.#position += step
      left -= step
    }
  }

  requireEnd (): void {
    if (this.#position < this.#values.length) throw this.#pages.bad('it has more values than rows')
    this.#pages.requireEnd()
  }

  /** Takes the next page, or passes it over if it lies within the `skip` next rows; gives how many rows were. */
  #load (skip: number): number {
    const page = this.#pages.next(skip)
    if (page == null) throw this.#pages.bad('it has fewer values than rows')
    if (typeof page === 'number') return page
    const values = page.values()
    const { entries, definitions } = page
    this.#position = 0
    if (definitions == null) {
      this.#values = values
      return 0
    }
    const max = this.#pages.leaf.maxDefinition
    const out = new Array<unknown>(entries)
    let next = 0
    for (let i = 0; i < entries; i++) out[i] = definitions[i] === max ? values[next++] : null
    this.#values = out
    return 0
  }
}
