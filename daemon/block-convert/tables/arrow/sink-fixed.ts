/** Columns whose values all have one width. */
import duckdb from '@duckdb/node-bindings'
import { ConversionError } from '../../errors.ts'
import { Growing } from './growing.ts'
import { isSet, Sink, type Parts, type Vector } from './sink.ts'

/** Values of a fixed width, as the engine stores them or changed one by one. */
export class FixedSink extends Sink {
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

export class BooleanSink extends Sink {
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

/** Decimals of 2, 4 or 8 bytes in 16. */
export function widen (width: 2 | 4 | 8): (bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array {
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
export function nanoseconds (name: string): (bytes: Uint8Array, valid: (row: number) => boolean) => Uint8Array {
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
