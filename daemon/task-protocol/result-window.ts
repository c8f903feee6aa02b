/** Results on their way to a requester: those sent and not acknowledged, and those that wait for the byte window. */
import { BATCH_BYTES, BATCH_MAX } from './constants.ts'
import type { Pool, ResultRef, Slots } from './lease-model.ts'

interface Batch extends Slots { sequence: number, bytes: number, count: number }
interface Held<R> { result: R, pool: Pool | undefined }

export class ResultWindow<R extends ResultRef> {
  private readonly windowBytes: number
  private sequence = 0
  private batches: Batch[] = []
  private bytes = 0
  private count = 0
  private waiting: Array<Held<R>> = []

  /** `windowBytes`: bytes that may be unacknowledged; one larger result still goes alone. */
  constructor (windowBytes: number) {
    this.windowBytes = windowBytes
  }

  get empty (): boolean {
    return this.waiting.length === 0 && this.batches.length === 0
  }

  get unacked (): number {
    return this.count
  }

  get held (): number {
    return this.waiting.length
  }

  /** `pool`: whose slot the result holds until it is acknowledged; none for a refusal. */
  add (result: R, pool: Pool | undefined): void {
    this.waiting.push({ result, pool })
  }

  /** The next batch to send, if the window allows one. */
  take (): { sequence: number, results: R[] } | undefined {
    if (this.waiting.length === 0) return undefined
    const batch: Batch = { sequence: this.sequence + 1, process: 0, inline: 0, bytes: 0, count: 0 }
    const results: R[] = []
    for (const { result, pool } of this.waiting) {
      const bytes = this.bytes + batch.bytes
      if (bytes > 0 && result.weight > 0 && bytes + result.weight > this.windowBytes) break
      if (results.length >= BATCH_MAX || (batch.bytes > 0 && batch.bytes + result.weight > BATCH_BYTES)) break
      if (pool != null) batch[pool]++
      batch.bytes += result.weight
      results.push(result)
    }
    if (results.length === 0) return undefined
    this.waiting = results.length === this.waiting.length ? [] : this.waiting.slice(results.length)
    batch.count = results.length
    this.batches.push(batch)
    this.bytes += batch.bytes
    this.count += batch.count
    this.sequence++
    return { sequence: this.sequence, results }
  }

  /** Everything up to `sequence` arrived; the slots that frees, or undefined if that was never sent. */
  ack (sequence: number): Slots | undefined {
    if (sequence > this.sequence) return undefined
    const freed: Slots = { process: 0, inline: 0 }
    let n = 0
    for (const batch of this.batches) {
      if (batch.sequence > sequence) break
      n++
      freed.process += batch.process
      freed.inline += batch.inline
      this.bytes -= batch.bytes
      this.count -= batch.count
    }
    if (n > 0) this.batches.splice(0, n)
    return freed
  }

  clear (): void {
    this.sequence = 0
    this.batches = []
    this.bytes = 0
    this.count = 0
    this.waiting = []
  }
}
