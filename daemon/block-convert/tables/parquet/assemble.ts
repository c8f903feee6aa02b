/** Nested values from the levels of their leaves: the reading half of the record shredding that Parquet is built on. */
import { ConversionError } from '../../errors.ts'
import type { LeafPages } from './leaf-pages.ts'
import { BATCH_ROWS, NESTED_PARTS_MAX } from './limits.ts'
import type { Node } from './schema.ts'
import type { Parts } from '../values.ts'

/** The entries of one leaf, one at a time. */
class LeafCursor {
  readonly #pages: LeafPages
  readonly #max: number
  /** Levels of the current entry; 0 at the end, as at the beginning of a row. */
  repetition = 0
  definition = 0
  #ended = false
  #repetitions: ArrayLike<number> | undefined
  #definitions: ArrayLike<number> | undefined
  #values: (() => unknown[]) | undefined
  #entries = 0
  #at = 0
  /** Values of the current page before the current entry. */
  #value = 0
  /** Rows of the current chunk that have not begun. */
  #rows = 0

  constructor (pages: LeafPages) {
    this.#pages = pages
    this.#max = pages.leaf.maxDefinition
  }

  /** Called before each row. */
  beginRow (): void {
    if (this.#entries === 0) this.#load()
    if (this.#ended) throw this.bad('it has fewer values than rows')
  }

  skipRow (): void {
    this.beginRow()
    do this.advance()
    while (this.repetition > 0)
  }

  value (): Parts {
    return (this.#values!())[this.#value] as Parts
  }

  advance (): void {
    if (this.definition === this.#max) this.#value++
    if (++this.#at >= this.#entries) this.#load()
    else this.#show()
  }

  requireEnd (): void {
    if (this.#entries > 0 ? !this.#ended : this.#pages.next(0) != null) throw this.bad('it has more values than rows')
  }

  bad (what: string): ConversionError {
    return this.#pages.bad(what)
  }

  #load (): void {
    const page = this.#pages.next(0)
    if (page == null || typeof page === 'number' || page.opens != null) {
      if (this.#rows > 0) throw this.bad(`${this.#rows} rows are missing in its row group`)
    }
    if (page == null || typeof page === 'number') {
      this.#ended = true
      this.repetition = this.definition = 0
      return
    }
    if (page.opens != null) this.#rows = page.opens
    this.#repetitions = page.repetitions
    this.#definitions = page.definitions
    this.#values = page.values
    this.#entries = page.entries
    this.#at = 0
    this.#value = 0
    if (page.opens != null && page.repetitions != null && page.repetitions[0] !== 0) throw this.bad('its row group begins within a list')
    this.#show()
  }

  #show (): void {
    this.repetition = this.#repetitions == null ? 0 : this.#repetitions[this.#at] as number
    this.definition = this.#definitions == null ? this.#max : this.#definitions[this.#at] as number
    if (this.repetition === 0 && --this.#rows < 0) throw this.bad('it has more rows than its row group')
  }
}

/** Assembles one row's value, moving the cursors of its leaves behind it. */
type Assemble = () => Parts

/** A nested column of a file. */
export class NestedReader {
  readonly #name: string
  readonly #leaves: LeafCursor[]
  readonly #assemble: Assemble
  /** Parts of the current batch. */
  #parts = 0

  constructor (name: string, node: Node, leaves: LeafPages[]) {
    this.#name = name
    this.#leaves = leaves.map(pages => new LeafCursor(pages))
    this.#assemble = this.#of(node).assemble
  }

  /** The next rows as `Parts`. */
  take (count: number): Parts[] {
    this.#parts = 0
    const out = new Array<Parts>(count)
    for (let i = 0; i < count; i++) {
      for (const leaf of this.#leaves) leaf.beginRow()
      out[i] = this.#assemble()
      for (const leaf of this.#leaves) if (leaf.repetition !== 0) throw leaf.bad('a row has values beyond the end of its list')
    }
    return out
  }

  skip (count: number): void {
    for (const leaf of this.#leaves) for (let i = 0; i < count; i++) leaf.skipRow()
  }

  requireEnd (): void {
    for (const leaf of this.#leaves) leaf.requireEnd()
  }

  /** Counted so that what a small file stands for cannot outgrow the memory. */
  #count (value: Parts): Parts {
    this.#parts += typeof value === 'string' ? value.length + 1 : 1
    if (this.#parts > NESTED_PARTS_MAX) throw new ConversionError('unsupported', `column '${this.#name}' has nested values of more than ${NESTED_PARTS_MAX} parts in ${BATCH_ROWS} rows, which is more than can be compared`, { column: this.#name })
    return value
  }

  #of (node: Node): { assemble: Assemble, leaves: LeafCursor[] } {
    switch (node.kind) {
      case 'leaf': {
        const leaf = this.#leaves[node.leaf]!
        const { definition } = node
        return {
          leaves: [leaf],
          assemble: () => {
            const value = leaf.definition === definition ? leaf.value() : null
            leaf.advance()
            return this.#count(value)
          }
        }
      }
      case 'struct': {
        const fields = node.fields.map(field => this.#of(field))
        const leaves = fields.flatMap(field => field.leaves)
        const { definition } = node
        return {
          leaves,
          assemble: () => {
            this.#count(null)
            if (missing(leaves, definition)) return null
            return fields.map(field => field.assemble())
          }
        }
      }
      case 'list': {
        const { assemble, leaves } = this.#of(node.element)
        return { leaves, assemble: () => this.#entriesOf(node, leaves, assemble) }
      }
      case 'map': {
        const key = this.#of(node.key)
        const value = this.#of(node.value)
        const leaves = [...key.leaves, ...value.leaves]
        return { leaves, assemble: () => this.#entriesOf(node, leaves, () => [key.assemble(), value.assemble()]) }
      }
    }
  }

  #entriesOf ({ definition, repetition }: { definition: number, repetition: number }, leaves: LeafCursor[], entry: Assemble): Parts {
    const first = leaves[0]!
    this.#count(null)
    const empty = first.definition === definition - 1
    if (missing(leaves, definition)) return empty ? [] : null
    const out: Parts[] = []
    for (;;) {
      out.push(entry())
      const more = first.repetition === repetition
      for (const leaf of leaves) if ((leaf.repetition === repetition) !== more || leaf.repetition > repetition) throw leaf.bad('its lists have other lengths than those of the fields beside it')
      if (!more) return out
    }
  }
}

/** Whether a value is not there, in which case its leaves have one entry each to say so. They share what is above them, so they must agree. */
function missing (leaves: LeafCursor[], definition: number): boolean {
  const level = Math.min(leaves[0]!.definition, definition)
  for (const leaf of leaves) if (Math.min(leaf.definition, definition) !== level) throw leaf.bad('it contradicts the fields beside it about what is missing')
  if (level === definition) return false
  for (const leaf of leaves) leaf.advance()
  return true
}
