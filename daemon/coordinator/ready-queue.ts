/** Blocks that wait for a worker: those to be tried again come first, lowest index first, since the merge waits for them. */
import type { Block } from './block-table.ts'

/** Places taken before a list is cut: below it the cut would cost more than the memory. */
const COMPACT_FROM = 1024

export class ReadyQueue {
  #fresh: Block[] = []
  #head = 0
  /** Sorted by index, from `#againHead` on. */
  #again: Block[] = []
  #againHead = 0
  #bytes = 0

  get length (): number {
    return this.#fresh.length - this.#head + this.#again.length - this.#againHead
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
    let low = this.#againHead
    let high = again.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((again[middle] as Block).index < block.index) low = middle + 1
      else high = middle
    }
    // A change of the schema puts every block back, in order: at the end at no cost, and before the first into a free place.
    if (low === again.length) again.push(block)
    else if (low === this.#againHead && low > 0) again[--this.#againHead] = block
    else again.splice(low, 0, block)
    this.#bytes += block.size
  }

  /** The next block that still waits: one that got its result meanwhile is passed over. */
  take (): Block | undefined {
    for (;;) {
      const block = this.#againHead < this.#again.length ? this.#nextAgain() : this.#nextFresh()
      if (block == null) return undefined
      this.#bytes -= block.size
      if (block.state === 'ready') return block
    }
  }

  #nextAgain (): Block | undefined {
    const block = this.#again[this.#againHead++]
    if (this.#againHead === this.#again.length || (this.#againHead >= COMPACT_FROM && this.#againHead * 2 >= this.#again.length)) {
      this.#again = this.#again.slice(this.#againHead)
      this.#againHead = 0
    }
    return block
  }

  #nextFresh (): Block | undefined {
    const block = this.#fresh[this.#head]
    if (block == null) return undefined
    this.#head++
    // Compacting at half keeps taking at constant cost on average and frees what was taken.
    if (this.#head >= COMPACT_FROM && this.#head * 2 >= this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#head)
      this.#head = 0
    }
    return block
  }

  /** Passes over blocks at the front that do not wait any more, so that they count neither as waiting nor as room taken. */
  trim (): void {
    for (;;) {
      const block = this.#againHead < this.#again.length ? this.#again[this.#againHead] : this.#fresh[this.#head]
      if (block == null || block.state === 'ready') return
      this.#bytes -= block.size
      if (this.#againHead < this.#again.length) this.#nextAgain()
      else this.#nextFresh()
    }
  }

  clear (): void {
    this.#fresh = []
    this.#head = 0
    this.#again = []
    this.#againHead = 0
    this.#bytes = 0
  }
}
