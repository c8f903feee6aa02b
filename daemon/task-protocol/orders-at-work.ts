/** The orders of one requester that are at work here: started, followed, stopped, and their results gathered. */
import { PROGRESS_MAX } from './constants.ts'
import { failure, lacking, outcomeOf, runInline, runSmall, smallResult } from './execution.ts'
import type { AttemptRef, Generation, Pool } from './lease-model.ts'
import type { WorkerEvent } from './lease-worker-events.ts'
import type { WireOrder, WireProgress } from './messages.ts'
import { conversionIdentity, type Finished, type GoodOutcome } from './redelivery.ts'
import { RunningOrder } from './running-order.ts'
import type { LeaseServerContext, ServedOffer, ServedOrder, ServedResult } from './server-types.ts'

export type ServerEvent = WorkerEvent<ServedOrder, ServedResult, ServedOffer>

const idOf = ({ incarnation, counter }: Generation, { offer, block, attempt }: AttemptRef): string => `${incarnation}.${counter}/${offer}/${block}/${attempt}`

export class OrdersAtWork {
  private readonly context: LeaseServerContext
  private readonly requester: string
  /** Tells the lease machine. */
  private readonly step: (event: ServerEvent) => void
  private readonly running = new Map<string, RunningOrder>()
  private readonly work = new Set<Promise<void>>()
  private finished: { generation: Generation, results: ServedResult[] } | undefined

  constructor (context: LeaseServerContext, step: (event: ServerEvent) => void) {
    this.context = context
    this.requester = context.peer.toString()
    this.step = step
  }

  get size (): number {
    return this.running.size
  }

  get (generation: Generation, attempt: AttemptRef): RunningOrder | undefined {
    return this.running.get(idOf(generation, attempt))
  }

  enter (generation: Generation, attempt: AttemptRef, offer: ServedOffer, { digest, slice }: WireOrder): RunningOrder {
    let identity: string | undefined
    // not the order itself: its input would be held as long as its name
    const entry = new RunningOrder(generation, attempt, () => identity ??= conversionIdentity(offer, { digest, slice }))
    this.running.set(idOf(generation, attempt), entry)
    return entry
  }

  leave ({ generation, attempt }: RunningOrder): void {
    this.running.delete(idOf(generation, attempt))
  }

  begun ({ generation, attempt }: RunningOrder): void {
    this.step({ type: 'begun', generation, attempt })
  }

  /** Its lease is lost while it is at work. */
  orphan (entry: RunningOrder | undefined): void {
    if (entry == null) return
    // beats of the next lease do not tell of it
    this.leave(entry)
    this.context.redelivery.orphan(this.requester, entry)
  }

  start (generation: Generation, offer: ServedOffer, pool: Pool, orders: ServedOrder[]): void {
    for (const order of orders) {
      if (pool === 'process') {
        const entry = this.enter(generation, order, offer, order)
        this.track(entry, this.run(entry, offer, order))
        continue
      }
      // a converter that answers at once can never be cancelled: it gets no signal, which is dear on the hot path
      const entry = offer.synchronous ? undefined : this.enter(generation, order, offer, order)
      const result = runInline(this.context.components.executor, offer, order, entry?.stopped.signal)
      if (result instanceof Promise) {
        this.track(entry ?? this.enter(generation, order, offer, order), result)
        continue
      }
      offer.synchronous = result.ok
      if (entry != null) this.leave(entry)
      this.finish(generation, result)
    }
  }

  /** Good results that nobody acknowledged. Inline ones have no identity: they are converted anew sooner than found. */
  keepAll (results: ServedResult[]): void {
    for (const result of results) if (result.identity != null) void this.context.redelivery.keep(this.requester, result.identity(), outcomeOf(result))
  }

  /** A good result that did not reach its requester. */
  async keep (order: RunningOrder, outcome: GoodOutcome): Promise<void> {
    await this.context.redelivery.keep(this.requester, order.identity(), outcome)
  }

  /** What the same requester's earlier order of the same conversion became, if anything is left of it. */
  async findFinished (order: RunningOrder, outputBytes: number): Promise<Finished | undefined> {
    const { redelivery } = this.context
    redelivery.makeRoom(this.requester)
    return redelivery.empty ? undefined : await redelivery.find(this.requester, order, outputBytes, () => { this.begun(order) })
  }

  load (): { active: number, progress: WireProgress[] } {
    const progress: WireProgress[] = []
    for (const { attempt, progress: done } of this.running.values()) {
      if (progress.length === PROGRESS_MAX) break
      progress.push({ ...attempt, done })
    }
    return { active: this.running.size, progress }
  }

  /** Resolves when nothing of the leases is at work any more. */
  async settled (): Promise<void> {
    await Promise.allSettled(this.work)
  }

  /** A small order to its result: from what was finished earlier, or by an engine. */
  private async run (entry: RunningOrder, offer: ServedOffer, order: ServedOrder): Promise<ServedResult> {
    if (!this.context.redelivery.empty) {
      const finished = await this.findFinished(entry, offer.outputBytes)
      if (finished != null) return await this.redeliver(entry, offer, order, finished)
    }
    let since = 0
    const result = await runSmall(this.context.components.executor, offer, order, {
      signal: entry.stopped.signal,
      onProgress: done => { entry.done = done },
      onBegin: () => {
        since = performance.now()
        this.begun(entry)
      }
    })
    if (result.ok) this.context.took(performance.now() - since)
    return { ...result, identity: entry.identity }
  }

  private async redeliver (entry: RunningOrder, offer: ServedOffer, order: ServedOrder, { outcome, dispose }: Finished): Promise<ServedResult> {
    try {
      const result = await smallResult(offer, order, outcome)
      // too large for the lease: it is ordered again on a stream
      if (result.reason === 'needs-stream') await this.keep(entry, outcome)
      else await dispose()
      return { ...result, identity: entry.identity }
    } catch (error) {
      await dispose()
      return failure(order, { reason: 'unavailable', message: lacking(error) })
    }
  }

  private track (entry: RunningOrder, result: Promise<ServedResult>): void {
    const done = result.then(settled => {
      this.leave(entry)
      this.finish(entry.generation, settled.ok || entry.refusal == null ? settled : failure(entry.attempt, entry.refusal))
    })
    entry.settled = done
    this.work.add(done)
    void done.finally(() => this.work.delete(done))
  }

  /** Gathers results until the end of the tick: one batch, one signature. */
  private finish (generation: Generation, result: ServedResult): void {
    if (this.finished != null && this.finished.generation === generation) {
      this.finished.results.push(result)
      return
    }
    this.flush()
    this.finished = { generation, results: [result] }
    queueMicrotask(() => { this.flush() })
  }

  private flush (): void {
    const finished = this.finished
    this.finished = undefined
    if (finished != null) this.step({ type: 'finished', ...finished })
  }
}
