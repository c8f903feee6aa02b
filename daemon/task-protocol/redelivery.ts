/**
 * What outlives a lease: conversions at work, for a moment, and finished ones, for longer. The same requester that orders the same conversion again,
 * on a new lease and perhaps after a crash of its own, is answered from here instead of converting again. Of an answer only the bytes and the
 * measured times are old; its attempt, generation and receipt are those of the new order.
 */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { EngineOutcome, Executor, Workspace } from '../executor/index.ts'
import type { Log } from '../log.ts'
import { encodeCanonical } from '../trust/index.ts'
import { FINISHED_DISK_BYTES, FINISHED_ENTRIES_MAX, FINISHED_MEMORY_BYTES, KEEP_FINISHED_MS, ORPHAN_MS } from './constants.ts'
import { KeptResults } from './kept-results.ts'
import { sha256 } from './receipts.ts'
import type { RunningOrder } from './running-order.ts'

export type GoodOutcome = Extract<EngineOutcome, { ok: true }>

/** A finished conversion that is the caller's now. */
export interface Finished {
  outcome: GoodOutcome
  /** Removes its file, if it has one. Never rejects. */
  dispose: () => Promise<void>
}

interface Orphan { requester: string, order: RunningOrder, timer: NodeJS.Timeout }

export interface RedeliveryComponents {
  executor: Pick<Executor, 'slots' | 'workspace'> & Partial<Pick<Executor, 'busy' | 'waiting' | 'guests'>>
  log: Log
}

/** What is converted, by name: the same for every job, attempt and lease. `parameters` and `slice` are canonical DAG-CBOR. */
export function conversionIdentity (offer: { converter: string, version: string, parameters: Uint8Array }, order: { slice?: Uint8Array, digest: Uint8Array }): string {
  const named = encodeCanonical([offer.converter, offer.version, sha256(offer.parameters), order.slice ?? null, order.digest])
  return Buffer.from(sha256(named)).toString('base64url')
}

export class Redelivery {
  private readonly executor: RedeliveryComponents['executor']
  private readonly log: Log
  private readonly kept: KeptResults<Finished>
  private readonly orphanMs: number
  private readonly keepMs: number
  /** By requester and conversion, oldest first. */
  private readonly orphans = new Map<string, Orphan>()
  private workspace: Promise<Workspace> | undefined
  private files = 0
  private sweeper: NodeJS.Timeout | undefined
  private closed = false
  private answered = 0

  constructor ({ executor, log }: RedeliveryComponents, init: { orphanMs?: number, keepFinishedMs?: number } = {}) {
    this.executor = executor
    this.log = log
    this.orphanMs = init.orphanMs ?? ORPHAN_MS
    this.keepMs = init.keepFinishedMs ?? KEEP_FINISHED_MS
    this.kept = new KeptResults({ keepMs: this.keepMs, memoryBytes: FINISHED_MEMORY_BYTES, diskBytes: FINISHED_DISK_BYTES, entries: FINISHED_ENTRIES_MAX })
  }

  /** Orders answered from here; conversions kept; conversions of lost leases at work. */
  get counts (): { reused: number, kept: number, orphans: number } {
    return { reused: this.answered, kept: this.kept.size, orphans: this.orphans.size }
  }

  /** Nothing to be found here, for anybody: the common case, and cheap. */
  get empty (): boolean {
    return this.orphans.size === 0 && this.kept.size === 0
  }

  /** The lease of this order is lost while it is at work: it runs on for a while, unless somebody waits for its slot. */
  orphan (requester: string, order: RunningOrder): void {
    if (this.closed) {
      order.cancel()
      return
    }
    order.orphan()
    const key = `${requester}/${order.identity()}`
    this.drop(key)
    const timer = setTimeout(() => { this.drop(key) }, this.orphanMs).unref()
    this.orphans.set(key, { requester, order, timer })
    // what waited behind it on the same lease is just being taken out of the queue
    queueMicrotask(() => { if ((this.executor.waiting ?? 0) > 0) this.drop(key) })
    void order.settled.then(() => {
      if (this.orphans.get(key)?.order !== order) return
      clearTimeout(timer)
      this.orphans.delete(key)
    })
  }

  /** Somebody else's order came: if all slots are taken, the oldest conversion that nobody waits for makes room. */
  makeRoom (requester: string): void {
    if (this.orphans.size === 0 || (this.executor.busy ?? 0) < (this.executor.guests?.slots ?? this.executor.slots)) return
    for (const [key, orphan] of this.orphans) if (orphan.requester !== requester) return this.drop(key)
  }

  /**
   * What became of the same conversion ordered earlier by the same requester; waits for it while it is at work, and calls `begun` then. undefined: it
   * has to be converted.
   */
  async find (requester: string, order: RunningOrder, outputBytes: number, begun: () => void): Promise<Finished | undefined> {
    const identity = order.identity()
    const key = `${requester}/${identity}`
    const orphan = this.orphans.get(key)
    if (orphan != null) {
      clearTimeout(orphan.timer)
      this.orphans.delete(key)
      begun()
      await this.adopt(order, orphan.order)
    }
    if (order.stopped.signal.aborted) return undefined
    const found = this.kept.take(requester, identity, performance.now())
    if (found == null) return undefined
    if (sizeOf(found.outcome) <= outputBytes) {
      this.answered++
      this.log.debug({ requester, block: order.attempt.block }, 'a conversion finished earlier is delivered again')
      return found
    }
    this.put(requester, identity, found)
    return undefined
  }

  /** Keeps what was not delivered: bytes as they are, a file by moving it away. Never rejects. */
  async keep (requester: string, identity: string, outcome: GoodOutcome): Promise<void> {
    if (this.closed) return
    try {
      if ('bytes' in outcome.output) {
        this.put(requester, identity, { outcome, dispose: async () => {} })
        return
      }
      const workspace = await this.folder()
      const path = join(workspace.path, String(this.files++))
      await rename(outcome.output.path, path)
      this.put(requester, identity, { outcome: { ...outcome, output: { path, size: outcome.output.size } }, dispose: () => this.remove(path) })
    } catch (error) {
      this.log.warn({ error: (error as Error).message }, 'a finished conversion could not be kept')
    }
  }

  /** Stops what nobody waits for. */
  dropOrphans (): void {
    for (const key of this.orphans.keys()) this.drop(key)
  }

  /** Keeps and adopts nothing any more, and forgets everything. */
  async close (): Promise<void> {
    this.closed = true
    clearTimeout(this.sweeper)
    this.dropOrphans()
    this.kept.clear()
    const workspace = await this.workspace?.catch(() => undefined) // that it could not be made was logged by `keep`
    this.workspace = undefined
    await workspace?.dispose()
  }

  private async adopt (order: RunningOrder, earlier: RunningOrder): Promise<void> {
    const stop = (): void => { earlier.cancel() }
    const { signal } = order.stopped
    order.follow(earlier)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    await earlier.settled
    signal.removeEventListener('abort', stop)
    order.follow(undefined)
  }

  private drop (key: string): void {
    const orphan = this.orphans.get(key)
    if (orphan == null) return
    clearTimeout(orphan.timer)
    this.orphans.delete(key)
    orphan.order.cancel()
  }

  private put (requester: string, identity: string, finished: Finished): void {
    const { output } = finished.outcome
    this.discard(this.kept.put(requester, identity, { value: finished, bytes: sizeOf(finished.outcome), place: 'bytes' in output ? 'memory' : 'disk' }, performance.now()))
    this.sweep()
  }

  private sweep (): void {
    clearTimeout(this.sweeper)
    if (this.closed || this.kept.size === 0) return
    this.sweeper = setTimeout(() => {
      this.discard(this.kept.expire(performance.now()))
      this.sweep()
    }, this.keepMs / 10).unref()
  }

  private discard (gone: Finished[]): void {
    for (const { dispose } of gone) void dispose()
  }

  /** Made with the first file; one that could not be made, say on a full disk, is tried again with the next. */
  private async folder (): Promise<Workspace> {
    const made = this.workspace ??= this.executor.workspace()
    try {
      return await made
    } catch (error) {
      if (this.workspace === made) this.workspace = undefined
      throw error
    }
  }

  private async remove (path: string): Promise<void> {
    try {
      await rm(path, { force: true })
    } catch (error) {
      this.log.warn({ error: (error as Error).message }, 'a kept result could not be removed; it goes when this node stops')
    }
  }
}

function sizeOf ({ output }: GoodOutcome): number {
  return 'bytes' in output ? output.bytes.byteLength : output.size
}
