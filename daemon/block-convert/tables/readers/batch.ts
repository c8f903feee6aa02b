/** What every reader gives: some consecutive rows, column by column. */
import { BATCH_ROWS } from '../parquet/limits.ts'

/** Values in a batch: that of a table of thousands of columns has fewer rows, or two of them would be most of a process's memory. */
export const BATCH_CELLS_MAX = 2 ** 20

/** Rows of a batch of so many columns: the same for every reader, so that batches of two files can be compared. */
export function batchRows (columns: number): number {
  return Math.max(1, Math.min(BATCH_ROWS, Math.floor(BATCH_CELLS_MAX / columns)))
}

export interface Batch {
  rows: number
  /** Canonical values (values.ts), one array per column, of at least `rows` entries. */
  columns: unknown[][]
}

export interface TextReaderOptions {
  /** Only rows [from, to). */
  rows?: [number, number]
  /** 1-based number of the line on which the first record stands, a header before it not counted; for messages. @default as read */
  firstLine?: number
  /** For messages. */
  path?: string
  /** By which rules texts are read: those of sources, or what DuckDB writes. @default 'source' */
  side?: 'source' | 'result'
  /** The block has only these columns (positions), in this order; the others are NULL. @default all */
  present?: number[]
  /** Bytes read at once. @default READ_BYTES */
  chunkBytes?: number
}

/** Gathers rows into batches and leaves out those outside of a range. */
export class BatchBuilder {
  columns: unknown[][]
  /** Rows in the batch. */
  rows = 0
  /** Rows still to be passed over. */
  skip: number
  /** Rows still wanted. */
  left: number
  /** Rows of a full batch. */
  readonly capacity: number
  readonly #count: number

  /** `total`: columns of the table, if the file has only some of them. */
  constructor (count: number, rows?: [number, number], total = count) {
    this.#count = count
    this.capacity = batchRows(total)
    this.skip = rows?.[0] ?? 0
    this.left = rows == null ? Infinity : Math.max(0, rows[1] - rows[0])
    this.columns = this.#empty()
  }

  /** The row written at index `rows` is complete. */
  commit (): void {
    if (this.skip > 0) this.skip--
    else if (this.left > 0) {
      this.rows++
      this.left--
    }
  }

  full (): boolean {
    return this.rows === this.capacity
  }

  take (): Batch {
    const batch = { rows: this.rows, columns: this.columns }
    this.rows = 0
    this.columns = this.#empty()
    return batch
  }

  #empty (): unknown[][] {
    return Array.from({ length: this.#count }, () => new Array<unknown>(this.capacity))
  }
}
