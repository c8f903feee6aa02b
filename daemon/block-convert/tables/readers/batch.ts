/** What every reader gives: some consecutive rows, column by column. */
import { BATCH_ROWS } from '../parquet/limits.ts'

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

/** Gathers rows into batches of BATCH_ROWS and leaves out those outside of a range. */
export class BatchBuilder {
  columns: unknown[][]
  /** Rows in the batch. */
  rows = 0
  /** Rows still to be passed over. */
  skip: number
  /** Rows still wanted. */
  left: number
  readonly #count: number

  constructor (count: number, rows?: [number, number]) {
    this.#count = count
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
    return this.rows === BATCH_ROWS
  }

  take (): Batch {
    const batch = { rows: this.rows, columns: this.columns }
    this.rows = 0
    this.columns = this.#empty()
    return batch
  }

  #empty (): unknown[][] {
    return Array.from({ length: this.#count }, () => new Array<unknown>(BATCH_ROWS))
  }
}
