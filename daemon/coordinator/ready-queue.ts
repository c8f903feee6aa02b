/** Blocks that wait for a worker: those to be tried again come first, lowest index first, since the merge waits for them. */
import type { Block } from './block-table.ts'

export class ReadyQueue {
  #fresh: Block[] = []
  #head = 0
  /** Sorted by index. */
  #again: Block[] = []
  #bytes = 0

  get length (): number {
    return this.#fresh.length - this.#head + this.#again.length
  }

  /** Input bytes of all that waits. */
  get bytes (): number {
    return this.#bytes
  }

  /** A block from the splitter; they come in order. */
  push (block: Block): void {
    this.#fresh.push(block)
    this.#bytes += block.size
  }

  /** A block that was taken before. */
  putBack (block: Block): void {
    const again = this.#again
    let low = 0
    let high = again.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((again[middle] as Block).index < block.index) low = middle + 1
      else high = middle
    }
    again.splice(low, 0, block)
    this.#bytes += block.size
  }

  /** The next block that still waits: one that got its result meanwhile is passed over. */
  take (): Block | undefined {
    for (;;) {
      const block = this.#again.length > 0 ? this.#again.shift() : this.#nextFresh()
      if (block == null) return undefined
      this.#bytes -= block.size
      if (block.state === 'ready') return block
    }
  }

  #nextFresh (): Block | undefined {
    const block = this.#fresh[this.#head]
    if (block == null) return undefined
    this.#head++
    // Compacting at half keeps taking at constant cost on average and frees what was taken.
    if (this.#head >= 1024 && this.#head * 2 >= this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#head)
      this.#head = 0
    }
    return block
  }

  clear (): void {
    this.#fresh = []
    this.#head = 0
    this.#again = []
    this.#bytes = 0
  }
}
