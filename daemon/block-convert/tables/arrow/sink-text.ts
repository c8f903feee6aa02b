/** Columns of texts and bytes. They are taken in runs, for one call into the engine per value would cost several times the rest. */
import duckdb from '@duckdb/node-bindings'
import { ConversionError } from '../../errors.ts'
import { Growing, Offsets } from './growing.ts'
import { TEXT_BYTES_MAX } from './limits.ts'
import { isSet, Sink, type Parts, type Vector } from './sink.ts'

/** Bytes between two texts up to which they are read in one: where both ends are in memory, so is everything within a page of them. */
const GAP_BYTES_MAX = 4096
const INLINE_BYTES = 12

export class TextSink extends Sink {
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
