/** Columns of lists, maps and structs: what is in them goes to sinks of its own. */
import duckdb from '@duckdb/node-bindings'
import { ConversionError } from '../../errors.ts'
import { Offsets } from './growing.ts'
import { TEXT_BYTES_MAX } from './limits.ts'
import { isSet, Sink, type Parts, type Vector } from './sink.ts'

/** Lists, and maps as lists of entries. */
export class ListSink extends Sink {
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

export class StructSink extends Sink {
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
