/** Results on their way to a requester: those sent and not acknowledged, and those that wait for the byte window. */
import { BATCH_BYTES, BATCH_MAX } from './constants.ts'
import type { Pool, ResultRef, Slots } from './lease-model.ts'

interface Batch<R> extends Slots {
  sequence: number
  bytes: number
  count: number
  /** Those worth keeping for another lease: good ones that took an engine. */
  kept: R[] | undefined
}
interface Held<R> { result: R, pool: Pool | undefined }

export class ResultWindow<R extends ResultRef> {
  private readonly windowBytes: number
  private readonly keeps: boolean
  private sequence = 0
  private batches: Array<Batch<R>> = []
  private bytes = 0
  private count = 0
  private queue: Array<Held<R>> = []
  /** Per place: results held or unacknowledged. */
  private readonly pending: Slots = { process: 0, inline: 0 }

  /** `windowBytes`: bytes that may be unacknowledged; one larger result still goes alone. `keeps`: `clear` gives back what was not acknowledged. */
  constructor (windowBytes: number, keeps = false) {
    this.windowBytes = windowBytes
    this.keeps = keeps
  }

  get empty (): boolean {
    return this.queue.length === 0 && this.batches.length === 0
  }

  get unacked (): number {
    return this.count
  }

  get held (): number {
    return this.queue.length
  }

  /** Results of a place that are not acknowledged, sent or not. */
  waiting (pool: Pool): number {
    return this.pending[pool]
  }

  /** `pool`: where the order ran; nowhere for a refusal. */
  add (result: R, pool: Pool | undefined): void {
    if (pool != null) this.pending[pool]++
    this.queue.push({ result, pool })
  }

  /** The next batch to send, if the window allows one. */
  take (): { sequence: number, results: R[] } | undefined {
    if (this.queue.length === 0) return undefined
    const batch: Batch<R> = { sequence: this.sequence + 1, process: 0, inline: 0, bytes: 0, count: 0, kept: undefined }
    const results: R[] = []
    for (const held of this.queue) {
      const { result, pool } = held
      const bytes = this.bytes + batch.bytes
      if (bytes > 0 && result.weight > 0 && bytes + result.weight > this.windowBytes) break
      if (results.length >= BATCH_MAX || (batch.bytes > 0 && batch.bytes + result.weight > BATCH_BYTES)) break
      if (pool != null) batch[pool]++
      if (this.isKept(held)) (batch.kept ??= []).push(result)
      batch.bytes += result.weight
      results.push(result)
    }
    if (results.length === 0) return undefined
    this.queue = results.length === this.queue.length ? [] : this.queue.slice(results.length)
    batch.count = results.length
    this.batches.push(batch)
    this.bytes += batch.bytes
    this.count += batch.count
    this.sequence++
    return { sequence: this.sequence, results }
  }

  /** Everything up to `sequence` arrived. False if that was never sent. */
  ack (sequence: number): boolean {
    if (sequence > this.sequence) return false
    let n = 0
    for (const batch of this.batches) {
      if (batch.sequence > sequence) break
      n++
      this.pending.process -= batch.process
      this.pending.inline -= batch.inline
      this.bytes -= batch.bytes
      this.count -= batch.count
    }
    if (n > 0) this.batches.splice(0, n)
    return true
  }

  /** Starts anew. What was worth keeping and not acknowledged, oldest first; nothing unless the window keeps. */
  clear (): R[] {
    const kept = this.keeps ? [...this.batches.flatMap(batch => batch.kept ?? []), ...this.queue.filter(held => this.isKept(held)).map(({ result }) => result)] : []
    this.sequence = 0
    this.batches = []
    this.bytes = 0
    this.count = 0
    this.queue = []
    this.pending.process = 0
    this.pending.inline = 0
    return kept
  }

  private isKept ({ result, pool }: Held<R>): boolean {
    return this.keeps && pool === 'process' && result.ok
  }
}
