/** Finds workers for one job and holds them. */
import type { Log } from '../log.ts'
import type { Offer, Worker } from '../task-protocol/index.ts'
import type { Finding } from './distrusted-peers.ts'
import type { JobEventIn, JobNews } from './machine-types.ts'
import type { Placement } from './planner.ts'
import type { WorkerSink, WorkerSource } from './index.ts'
import { NOTICE_EVERY_MS, REFUSALS_MAX } from './constants.ts'
import { WorkerHandle, type WorkerHandleComponents } from './worker-handle.ts'

export interface RecruiterComponents extends WorkerHandleComponents {
  source: WorkerSource
  offer: Offer
  edge: { from: string, to: string }
  nodes: string[] | undefined
  maxPrice?: string
  /** Why a peer gets no work of this node, whatever it offers. */
  distrusted: (peer: string, operator?: string) => string | undefined
  push: (event: JobEventIn) => void
  /** Monotonic milliseconds. */
  now: () => number
  news: (news: JobNews) => void
  log: Log
}

/** Refusals of a moment: the same peer may say yes to the next search. */
const PASSING = new Set(['lost', 'busy', 'draining'])

export class Recruiter {
  readonly #components: RecruiterComponents
  readonly #handles = new Map<string, WorkerHandle>()
  readonly #closing = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  /** The last refusal of each peer that does not take part. */
  readonly #refusals = new Map<string, Refused>()

  constructor (components: RecruiterComponents) {
    this.#components = components
  }

  /** Looks in the places planned; if nobody is found there and `otherwise` is given, there too. */
  search (place: Placement['place'], otherwise?: Placement['place']): void {
    const { source, offer, edge, nodes, maxPrice, push, log } = this.#components
    const settled = (count: number): void => {
      if (count === 0 && otherwise != null && !this.#stop.signal.aborted) this.search(otherwise)
      else push({ type: 'settled', count, hoped: this.refusals.some(({ reason }) => PASSING.has(reason)) })
    }
    source.workers(offer, edge, { place, nodes, ...(maxPrice != null ? { maxPrice } : {}) }, this.#sink(settled), { signal: this.#stop.signal }).catch((error: unknown) => {
      if (this.#stop.signal.aborted) return
      log.error({ error }, 'looking for workers failed')
      settled(0)
    })
  }

  /** Who was left out, and why; also who was asked for by name and never seen. */
  get refusals (): Refusal[] {
    // This node may be among the named, too, where it works itself: under which of the names is not known here.
    const unseen = this.#handles.has('local') ? [] : (this.#components.nodes ?? []).filter(peer => !this.#handles.has(peer) && !this.#refusals.has(peer))
    return [...unseen.map(peer => ({ peer, reason: 'unknown', message: 'nothing was heard of it that would offer this conversion' })), ...[...this.#refusals.values()].map(({ refusal }) => refusal)]
  }

  get (id: string): WorkerHandle | undefined {
    return this.#handles.get(id)
  }

  /** Whom a finding is about: the peer itself, even if it is not here (it may have worked for an earlier run of the job), and others of its operator that are. */
  concerned ({ peer, operator }: Finding): string[] {
    const found = [peer]
    for (const [id, handle] of this.#handles) if (id !== peer && operator != null && handle.operator === operator) found.push(id)
    return found
  }

  release (id: string): void {
    const handle = this.#handles.get(id)
    if (handle == null) return
    const closing = handle.close().finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  /** Stops looking and lets everybody go. */
  async close (): Promise<void> {
    this.#stop.abort()
    for (const id of this.#handles.keys()) this.release(id)
    await Promise.all(this.#closing)
  }

  #sink (settled: (count: number) => void): WorkerSink {
    return {
      settled,
      events: id => {
        // The old handle of a peer that comes back: nothing more is heard of it.
        this.release(id)
        const handle = new WorkerHandle(id, this.#components)
        this.#handles.set(id, handle)
        return handle.events()
      },
      found: (worker: Worker, facts = {}) => {
        const handle = this.#handles.get(worker.id)
        // It may have been caught by another job while it was attached.
        const reason = this.#components.distrusted(worker.id, facts.operator)
        if (reason != null) this.#refused({ peer: worker.id, reason: 'policy', message: reason })
        if (this.#stop.signal.aborted || handle == null || reason != null) void worker.close().catch((error: unknown) => { this.#components.warn(error, `closing worker ${worker.id}`) })
        else {
          this.#refusals.delete(worker.id)
          handle.attach(worker, facts)
        }
      },
      priced: (id, asked) => { this.#components.push({ type: 'priced', worker: id, asked }) },
      leftOut: (peer, operator) => this.#components.distrusted(peer, operator),
      refused: (peer, reason, message) => { this.#refused({ peer, reason, message }) }
    }
  }

  /**
   * A search comes every few seconds, with the same answers: only a new reason is news, for what a message says of it (a price) may be another
   * with every bulletin. The last one is kept; who changes reasons too fast is told of when it is asked the next time.
   */
  #refused (refusal: Refusal): void {
    const { peer, reason, message } = refusal
    const now = this.#components.now()
    const before = this.#refusals.get(peer)
    const tell = before == null || (before.told !== reason && now >= before.toldAt + NOTICE_EVERY_MS)
    this.#refusals.delete(peer)
    this.#refusals.set(peer, tell ? { refusal, told: reason, toldAt: now } : { ...before, refusal })
    for (const oldest of this.#refusals.keys()) {
      if (this.#refusals.size <= REFUSALS_MAX) break
      this.#refusals.delete(oldest)
    }
    if (tell) this.#components.news({ type: 'worker', peer, change: 'refused', reason: `${reason}: ${message}` })
  }
}

/** What is kept of a refusal: the last, and what was told of it when. */
interface Refused { refusal: Refusal, told: string, toldAt: number }

export interface Refusal { peer: string, reason: string, message: string }
