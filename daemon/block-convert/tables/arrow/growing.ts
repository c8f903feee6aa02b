/** Buffers of record batches while they are written: they grow, are taken, and are used again. */

/** Bytes that grow by doubling. */
export class Growing {
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

/** Offsets of 32 bits, the first 0. */
export class Offsets {
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
