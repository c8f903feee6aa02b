/** What takes the engine's vectors of one column and gives the buffers of record batches. The kinds of sinks are in files of their own. */
import duckdb from '@duckdb/node-bindings'
import { Growing } from './growing.ts'
import { VECTOR_ROWS } from './limits.ts'

export type Vector = Parameters<typeof duckdb.vector_get_data>[0]

/** Buffers of a record batch, in the order in which the format wants them. */
export interface Parts {
  /** Pairs of rows and nulls. */
  nodes: Array<[number, number]>
  buffers: Uint8Array[]
}

export abstract class Sink {
  rows = 0
  nulls = 0
  readonly #validity = new Growing()
  /** Bytes so far, roughly. */
  abstract get size (): number
  /** Values at rows [from, to) of a vector of `length` rows; `valid` says which of them are not NULL. */
  protected abstract content (vector: Vector, length: number, from: number, to: number, valid: Uint8Array | null): void
  /** Adds the buffers after the validity, and the columns within. */
  protected abstract rest (parts: Parts): void

  append (vector: Vector, length: number, from: number, to: number): void {
    const valid = length === 0 ? null : duckdb.vector_get_validity(vector, Math.ceil(length / 64) * 8) as Uint8Array | null
    this.#mark(valid, from, to)
    this.content(vector, length, from, to, valid)
    this.rows += to - from
  }

  finish (parts: Parts): void {
    parts.nodes.push([this.rows, this.nulls])
    // Without nulls there is no bitmap to be written.
    parts.buffers.push(this.nulls === 0 ? this.#validity.take().subarray(0, 0) : this.#validity.take())
    this.rest(parts)
    this.rows = this.nulls = 0
  }

  #mark (valid: Uint8Array | null, from: number, to: number): void {
    const validity = this.#validity
    const bytes = (this.rows + to - from + 7) >> 3
    const known = validity.length
    const at = validity.reserve(bytes - known)
    validity.bytes.fill(0, at, validity.length)
    if ((this.rows & 7) === 0 && (from & 7) === 0) {
      const count = to - from
      if (valid == null) validity.bytes.fill(255, at, validity.length)
      else validity.bytes.set(valid.subarray(from >> 3, (to + 7) >> 3), at)
      // Bits behind the last row are 0.
      if ((count & 7) !== 0) validity.bytes[validity.length - 1]! &= (1 << (count & 7)) - 1
      if (valid != null) for (let i = at; i < validity.length; i++) this.nulls -= ONES[validity.bytes[i] as number] as number
      if (valid != null) this.nulls += count
      return
    }
    for (let i = from; i < to; i++) {
      const row = this.rows + i - from
      if (isSet(valid, i)) validity.bytes[row >> 3]! |= 1 << (row & 7)
      else this.nulls++
    }
  }
}

/** Bits set in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length)

export function isSet (valid: Uint8Array | null, row: number): boolean {
  return valid == null || ((valid[row >> 3] as number) >> (row & 7) & 1) === 1
}

/** Rows of a vector given by the engine; more would be a misunderstanding about its layout. */
export function requireVectorRows (rows: number): void {
  if (rows > VECTOR_ROWS) throw new Error(`the engine gave a chunk of ${rows} rows`)
}
