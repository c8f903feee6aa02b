/**
 * The engine's vectors into the buffers of record batches. Layouts mostly agree, so most is copying; texts are taken in runs, for one
 * call into the engine per value would cost several times the rest.
 */
import duckdb from '@duckdb/node-bindings'
import { ConversionError } from '../../errors.ts'
import type { ColumnType } from '../types.ts'
import { TEXT_BYTES_MAX, VECTOR_ROWS } from './limits.ts'
import { decimalWidth } from './numbers.ts'

export type Vector = Parameters<typeof duckdb.vector_get_data>[0]

/** Buffers of a record batch, in the order in which the format wants them. */
export interface Parts {
  /** Pairs of rows and nulls. */
  nodes: Array<[number, number]>
  buffers: Uint8Array[]
}

/** Bytes between two texts up to which they are read in one: where both ends are in memory, so is everything within a page of them. */
const GAP_BYTES_MAX = 4096
const INLINE_BYTES = 12

/** Bytes that grow by doubling. */
class Growing {
  bytes = new Uint8Array(4096)
  length = 0

  /** Makes room and gives its place. */
  reserve (count: number): number {
    const at = this.length
    this.length += count
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2))
      larger.set(this.bytes.subarray(0, at))
      this.bytes = larger
    }
    return at
  }

  add (bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    this.bytes.set(bytes, at)
  }

  /** What there is, to be written before anything is added. */
  take (): Uint8Array {
    const taken = this.bytes.subarray(0, this.length)
    this.length = 0
    return taken
  }
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

/** Values of a fixed width, as the engine stores them or changed one by one. */
class FixedSink extends Sink {
  readonly #values = new Growing()
  readonly #width: number
  readonly #outWidth: number
  readonly #change: ((bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array) | undefined

  constructor (width: number, outWidth = width, change?: (bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array) {
    super()
    this.#width = width
    this.#outWidth = outWidth
    this.#change = change
  }

  get size (): number {
    return this.#values.length
  }

  protected override content (vector: Vector, length: number, from: number, to: number, valid: Uint8Array | null): void {
    if (from === to) return
    const bytes = duckdb.vector_get_data(vector, length * this.#width).subarray(from * this.#width, to * this.#width)
    if (this.#change != null) {
      this.#values.add(this.#change(bytes, row => isSet(valid, from + row)))
      return
    }
    this.#values.add(bytes)
    if (valid == null) return
    // What the engine keeps at a NULL is nobody's business, and must be the same on every machine.
    const { bytes: written } = this.#values
    const start = this.#values.length - bytes.length
    for (let i = from; i < to; i++) if (!isSet(valid, i)) written.fill(0, start + (i - from) * this.#outWidth, start + (i - from + 1) * this.#outWidth)
  }

  protected override rest ({ buffers }: Parts): void {
    buffers.push(this.#values.take())
  }
}

class BooleanSink extends Sink {
  readonly #bits = new Growing()

  get size (): number {
    return this.#bits.length
  }

  protected override content (vector: Vector, length: number, from: number, to: number, valid: Uint8Array | null): void {
    if (from === to) return
    const values = duckdb.vector_get_data(vector, length)
    const at = this.#bits.reserve(((this.rows + to - from + 7) >> 3) - this.#bits.length)
    this.#bits.bytes.fill(0, at, this.#bits.length)
    for (let i = from; i < to; i++) {
      const row = this.rows + i - from
      if (values[i] !== 0 && isSet(valid, i)) this.#bits.bytes[row >> 3]! |= 1 << (row & 7)
    }
  }

  protected override rest ({ buffers }: Parts): void {
    buffers.push(this.#bits.take())
  }
}

/** Offsets of 32 bits, the first 0. */
class Offsets {
  readonly #values = new Growing()
  #last = 0

  constructor () {
    this.reset()
  }

  get size (): number {
    return this.#values.length
  }

  get last (): number {
    return this.#last
  }

  /** Room for some more: written by the caller, who says where the last one ends. */
  more (count: number): Int32Array {
    const at = this.#values.reserve(count * 4)
    return new Int32Array(this.#values.bytes.buffer, at, count)
  }

  end (last: number): void {
    this.#last = last
  }

  take (): Uint8Array {
    return this.#values.take()
  }

  reset (): void {
    this.more(1)[0] = 0
    this.#last = 0
  }
}

class TextSink extends Sink {
  readonly #offsets = new Offsets()
  readonly #text = new Growing()

  get size (): number {
    return this.#text.length + this.#offsets.size
  }

  protected override content (vector: Vector, length: number, from: number, to: number, valid: Uint8Array | null): void {
    if (from === to) return
    const data = duckdb.vector_get_data(vector, length * 16)
    const words = new Uint32Array(data.buffer, data.byteOffset, length * 4)
    let total = this.#text.length
    const offsets = this.#offsets.more(to - from)
    for (let i = from; i < to; i++) {
      if (isSet(valid, i)) total += words[i * 4] as number
      offsets[i - from] = total
    }
    if (total > TEXT_BYTES_MAX) throw new ConversionError('unsupported', `some consecutive rows have more than ${TEXT_BYTES_MAX} bytes of text in one column, which Arrow's offsets cannot hold; use smaller blocks (--block-size)`)
    let at = this.#text.reserve(total - this.#text.length)
    this.#offsets.end(total)
    const text = this.#text.bytes
    for (let i = from; i < to;) {
      if (!isSet(valid, i)) {
        i++
        continue
      }
      const size = words[i * 4] as number
      if (size <= INLINE_BYTES) {
        const start = i * 16 + 4
        for (let k = 0; k < size; k++) text[at + k] = data[start + k] as number
        at += size
        i++
        continue
      }
      const low = words[i * 4 + 2] as number
      const high = words[i * 4 + 3] as number
      let last = low + size
      let next = i + 1
      for (; next < to; next++) {
        const more = words[next * 4] as number
        if (more <= INLINE_BYTES || !isSet(valid, next)) continue
        const start = words[next * 4 + 2] as number
        if (words[next * 4 + 3] !== high || start < last || start - last > GAP_BYTES_MAX) break
        last = start + more
      }
      const run = duckdb.get_data_from_pointer(data.buffer as ArrayBuffer, data.byteOffset + i * 16 + 8, last - low)
      for (; i < next; i++) {
        if (!isSet(valid, i)) continue
        const count = words[i * 4] as number
        if (count <= INLINE_BYTES) {
          const start = i * 16 + 4
          for (let k = 0; k < count; k++) text[at + k] = data[start + k] as number
        } else {
          const start = (words[i * 4 + 2] as number) - low
          text.set(run.subarray(start, start + count), at)
        }
        at += count
      }
    }
  }

  protected override rest ({ buffers }: Parts): void {
    buffers.push(this.#offsets.take(), this.#text.take())
    this.#offsets.reset()
  }
}

/** Lists, and maps as lists of entries. */
class ListSink extends Sink {
  readonly #offsets = new Offsets()
  readonly #children: Sink[]
  readonly #map: boolean

  constructor (children: Sink[], map: boolean) {
    super()
    this.#children = children
    this.#map = map
  }

  get size (): number {
    return this.#children.reduce((total, child) => total + child.size, this.#offsets.size)
  }

  protected override content (vector: Vector, length: number, from: number, to: number, valid: Uint8Array | null): void {
    if (from === to) return
    const data = duckdb.vector_get_data(vector, length * 16)
    const words = new Uint32Array(data.buffer, data.byteOffset, length * 4)
    const child = duckdb.list_vector_get_child(vector)
    const size = duckdb.list_vector_get_size(vector)
    const offsets = this.#offsets.more(to - from)
    let total = this.#offsets.last
    // The engine's lists need not stand one behind the other; those that do are taken at once.
    let first = 0
    let last = 0
    for (let i = from; i < to; i++) {
      if (isSet(valid, i)) {
        const start = words[i * 4] as number
        const count = words[i * 4 + 2] as number
        if (count > 0) {
          if (start !== last) {
            this.#entries(child, size, first, last)
            first = start
          }
          last = start + count
          total += count
        }
      }
      if (total > TEXT_BYTES_MAX) throw new ConversionError('unsupported', `some consecutive rows have lists of more than ${TEXT_BYTES_MAX} values, which Arrow's offsets cannot hold; use smaller blocks (--block-size)`)
      offsets[i - from] = total
    }
    this.#entries(child, size, first, last)
    this.#offsets.end(total)
  }

  #entries (child: Vector, size: number, from: number, to: number): void {
    if (from === to) return
    if (!this.#map) this.#children[0]!.append(child, size, from, to)
    else for (const [i, sink] of this.#children.entries()) sink.append(duckdb.struct_vector_get_child(child, i), size, from, to)
  }

  protected override rest (parts: Parts): void {
    parts.buffers.push(this.#offsets.take())
    this.#offsets.reset()
    if (this.#map) {
      parts.nodes.push([this.#children[0]!.rows, 0])
      parts.buffers.push(new Uint8Array(0))
    }
    for (const child of this.#children) child.finish(parts)
  }
}

class StructSink extends Sink {
  readonly #children: Sink[]

  constructor (children: Sink[]) {
    super()
    this.#children = children
  }

  get size (): number {
    return this.#children.reduce((total, child) => total + child.size, 0)
  }

  protected override content (vector: Vector, length: number, from: number, to: number): void {
    for (const [i, child] of this.#children.entries()) child.append(duckdb.struct_vector_get_child(vector, i), length, from, to)
  }

  protected override rest (parts: Parts): void {
    for (const child of this.#children) child.finish(parts)
  }
}

/** A sink for columns of a type that Arrow has (`storedType`). `name`: for messages. */
export function sinkOf (type: ColumnType, name: string): Sink {
  switch (type.kind) {
    case 'BOOLEAN': return new BooleanSink()
    case 'TINYINT':
    case 'UTINYINT': return new FixedSink(1)
    case 'SMALLINT':
    case 'USMALLINT': return new FixedSink(2)
    case 'INTEGER':
    case 'UINTEGER':
    case 'FLOAT':
    case 'DATE': return new FixedSink(4)
    case 'DECIMAL': {
      const width = decimalWidth(type.precision)
      return width === 16 ? new FixedSink(16) : new FixedSink(width, 16, widen(width))
    }
    case 'INTERVAL': return new FixedSink(16, 16, nanoseconds(name))
    case 'VARCHAR':
    case 'BLOB': return new TextSink()
    case 'LIST': return new ListSink([sinkOf(type.element!, name)], false)
    case 'MAP': return new ListSink([sinkOf(type.key!, name), sinkOf(type.element!, name)], true)
    case 'STRUCT': return new StructSink(type.fields!.map(field => sinkOf(field.type, name)))
    default: return new FixedSink(8)
  }
}

/** Decimals of 2, 4 or 8 bytes in 16. */
function widen (width: 2 | 4 | 8): (bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array {
  return (bytes, valid) => {
    const count = bytes.length / width
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const words = new Int32Array(count * 4)
    for (let i = 0; i < count; i++) {
      if (!valid(i)) continue
      const low = width === 2 ? view.getInt16(i * 2, true) : view.getInt32(i * width, true)
      const next = width === 8 ? view.getInt32(i * 8 + 4, true) : low >> 31
      words[i * 4] = low
      words[i * 4 + 1] = next
      words[i * 4 + 2] = words[i * 4 + 3] = next >> 31
    }
    return new Uint8Array(words.buffer)
  }
}

const NANOS_MAX = 2n ** 63n - 1n

/** The engine counts microseconds, the format nanoseconds. */
function nanoseconds (name: string): (bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array {
  return (bytes, valid) => {
    const result = new Uint8Array(bytes.length)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const out = new DataView(result.buffer)
    for (let i = 0; i < bytes.length / 16; i++) {
      if (!valid(i)) continue
      const nanos = view.getBigInt64(i * 16 + 8, true) * 1000n
      if (nanos > NANOS_MAX || nanos < -NANOS_MAX) throw new ConversionError('unsupported', `column '${name}' holds an interval of more than 292 years in microseconds, which Arrow cannot hold`, { column: name })
      result.set(bytes.subarray(i * 16, i * 16 + 8), i * 16)
      out.setBigInt64(i * 16 + 8, nanos, true)
    }
    return result
  }
}

/** Rows of a vector given by the engine; more would be a misunderstanding about its layout. */
export function requireVectorRows (rows: number): void {
  if (rows > VECTOR_ROWS) throw new Error(`the engine gave a chunk of ${rows} rows`)
}
