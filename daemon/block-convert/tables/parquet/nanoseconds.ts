/**
 * Times stored in nanoseconds whose type holds microseconds. Timestamps with a zone become timestamps in UTC without one where digits would
 * be lost, for those hold nanoseconds; other times lose the digits, which is told.
 */
import type { Footer } from './footer.ts'
import { LeafPages } from './leaf-pages.ts'
import type { RandomAccess } from '../random-access.ts'
import { wholeMicrosDecoder } from './reader-numbers.ts'
import type { Column } from '../schema.ts'
import type { Leaf, Node, ParquetColumn } from './schema.ts'
import { parseType, typeName, type ColumnType } from '../types.ts'

/** Whether a leaf's type holds fewer digits than its values may have. */
export function mayLoseDigits ({ parsed: { kind }, unitsPerSecond }: Leaf): boolean {
  return unitsPerSecond === 1e9 && kind !== 'TIMESTAMP_NS'
}

/** Whether it does: a value that is no whole number of microseconds. Goes through the leaf's pages up to the first one. */
export function losesDigits (file: RandomAccess, footer: Footer, column: ParquetColumn, index: number): boolean {
  const leaf = column.leaves[index]!
  const chunks = footer.rowGroups.map(group => ({ rows: group.rows, chunk: group.chunks[column.firstLeaf + index]! }))
  const pages = new LeafPages(file, leaf, chunks, { decode: wholeMicrosDecoder(leaf) })
  for (;;) {
    const page = pages.next(0)
    if (page == null || typeof page === 'number') return false
    if (page.values().includes(false)) return true
  }
}

/** Makes a TIMESTAMPTZ leaf in nanoseconds a TIMESTAMP_NS, and names its column's type anew. */
export function keepNanoseconds (column: ParquetColumn, leaf: Leaf): void {
  // The same object in the types of all it is part of.
  leaf.parsed.kind = 'TIMESTAMP_NS'
  leaf.type = 'TIMESTAMP_NS'
  column.type = typeName(column.node.type)
}

/** Leaves whose nanoseconds the job decided to keep, by the final types of its columns. */
export function keepWhereWanted (columns: ParquetColumn[], wanted: Column[]): void {
  for (const [i, column] of columns.entries()) if (column.leaves.some(mayLoseDigits)) follow(column, column.node, parseType(wanted[i]!.type))
}

function follow (column: ParquetColumn, node: Node, type: ColumnType): void {
  switch (node.kind) {
    case 'leaf': {
      const leaf = column.leaves[node.leaf]!
      if (type.kind === 'TIMESTAMP_NS' && mayLoseDigits(leaf) && leaf.parsed.kind === 'TIMESTAMPTZ') keepNanoseconds(column, leaf)
      return
    }
    case 'list':
      if (type.element != null) follow(column, node.element, type.element)
      return
    case 'map':
      if (type.key != null) follow(column, node.key, type.key)
      if (type.element != null) follow(column, node.value, type.element)
      return
    case 'struct':
      for (const [i, field] of node.fields.entries()) {
        const other = type.fields?.find(({ name }) => name === node.type.fields![i]!.name)
        if (other != null) follow(column, field, other.type)
      }
  }
}
