/** How far the output is: which blocks were handed to the merge, which it took, and whether it must begin again. */
import { MERGE_BATCH_BLOCKS, MERGE_BATCH_BYTES } from './constants.ts'
import type { Attempt, Block } from './block-table.ts'

export class MergeOrder {
  /** Numbers the runs of the merge; answers of an older run are void. */
  epoch = 0
  /** Blocks below this index are in the output. */
  merged = 0
  /** Blocks below this index were handed over. */
  asked = 0
  resetting = false

  /** The next blocks to append, in order, if the merge is idle and the prefix is there. */
  next (blocks: Block[]): Attempt[] | undefined {
    if (this.resetting || this.asked !== this.merged) return undefined
    const batch: Attempt[] = []
    let bytes = 0
    for (let index = this.asked; index < blocks.length && batch.length < MERGE_BATCH_BLOCKS && bytes < MERGE_BATCH_BYTES; index++) {
      const block = blocks[index] as Block
      if (block.state !== 'done' || block.rechecking) break
      batch.push(block.result as Attempt)
      bytes += block.outputBytes
    }
    if (batch.length === 0) return undefined
    this.asked += batch.length
    return batch
  }

  /** The merge answered. */
  took (epoch: number, upTo: number): void {
    if (epoch === this.epoch && !this.resetting) this.merged = upTo
  }

  /** A result was withdrawn. True if it was in the output already, or on its way, so that the output must begin again. */
  withdraw (index: number): boolean {
    if (index >= this.asked || this.resetting) return false
    this.restart()
    return true
  }

  /** Nothing of the output so far is of use. A reset under way does not do: it may have begun before this. */
  restart (): void {
    this.resetting = true
    this.epoch++
    this.merged = 0
    this.asked = 0
  }

  wasReset (epoch: number): void {
    if (epoch !== this.epoch) return
    this.resetting = false
  }
}
