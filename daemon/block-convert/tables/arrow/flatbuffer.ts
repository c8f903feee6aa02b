/**
 * Flatbuffer tables read with every offset checked against the bytes there are. The library that decodes schemas trusts them, so what
 * comes from a file is gone through with this first (metadata.ts).
 */

/** What is wrong, in words; whoever knows the file's name makes an error of it. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

/** A vector of tables or structs inside of the bytes. */
export interface VectorRange {
  start: number
  length: number
}

const NOTHING: VectorRange = { start: 0, length: 0 }

export class FlatTable {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #position: number
  readonly #vtable: number
  readonly #slots: number

  /** The table at the root of the bytes, or one further inside. @throws Malformed */
  constructor (bytes: Uint8Array, position?: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#position = position ?? this.#u32(0)
    this.#vtable = this.#position - this.#i32(this.#position)
    this.#slots = this.#u16(this.#vtable)
  }

  has (slot: number): boolean {
    return this.#at(slot) > 0
  }

  uint8 (slot: number, otherwise = 0): number {
    const at = this.#at(slot)
    if (at === 0) return otherwise
    this.#need(at, 1)
    return this.#bytes[at] as number
  }

  int16 (slot: number, otherwise = 0): number {
    const at = this.#at(slot)
    if (at === 0) return otherwise
    this.#need(at, 2)
    return this.#view.getInt16(at, true)
  }

  /** A 64-bit integer that is a size or a count: not negative, exact as a number. */
  size (slot: number): number {
    const at = this.#at(slot)
    return at === 0 ? 0 : this.sizeAt(at)
  }

  sizeAt (at: number): number {
    this.#need(at, 8)
    const value = this.#view.getBigInt64(at, true)
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Malformed(`a size of ${value} bytes or rows`)
    return Number(value)
  }

  int64 (slot: number): bigint {
    const at = this.#at(slot)
    if (at === 0) return 0n
    this.#need(at, 8)
    return this.#view.getBigInt64(at, true)
  }

  int64At (at: number): bigint {
    this.#need(at, 8)
    return this.#view.getBigInt64(at, true)
  }

  int32At (at: number): number {
    return this.#i32(at)
  }

  table (slot: number): FlatTable | undefined {
    const at = this.#at(slot)
    return at === 0 ? undefined : new FlatTable(this.#bytes, at + this.#u32(at))
  }

  /** A vector of elements of a fixed size. */
  vector (slot: number, elementBytes: number): VectorRange {
    const at = this.#at(slot)
    if (at === 0) return NOTHING
    const from = at + this.#u32(at)
    const length = this.#u32(from)
    this.#need(from + 4, length * elementBytes)
    return { start: from + 4, length }
  }

  /** The tables of a vector of them, one after the other. */
  * tables (slot: number): Generator<FlatTable> {
    const { start, length } = this.vector(slot, 4)
    for (let i = 0; i < length; i++) {
      const at = start + i * 4
      yield new FlatTable(this.#bytes, at + this.#u32(at))
    }
  }

  /** Bytes of a text. */
  text (slot: number): Uint8Array {
    const { start, length } = this.vector(slot, 1)
    return this.#bytes.subarray(start, start + length)
  }

  #at (slot: number): number {
    const entry = 4 + slot * 2
    if (entry + 2 > this.#slots) return 0
    const offset = this.#u16(this.#vtable + entry)
    return offset === 0 ? 0 : this.#position + offset
  }

  #need (at: number, bytes: number): void {
    if (at < 0 || at + bytes > this.#bytes.length) throw new Malformed('its metadata points outside of itself')
  }

  #u16 (at: number): number {
    this.#need(at, 2)
    return this.#view.getUint16(at, true)
  }

  #i32 (at: number): number {
    this.#need(at, 4)
    return this.#view.getInt32(at, true)
  }

  #u32 (at: number): number {
    this.#need(at, 4)
    return this.#view.getUint32(at, true)
  }
}
