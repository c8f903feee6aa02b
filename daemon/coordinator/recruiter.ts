/** Finds workers for one job and holds them. */
import type { Log } from '../log.ts'
import type { Offer, Worker } from '../task-protocol/index.ts'
import type { JobEventIn, JobNews } from './machine-types.ts'
import type { Placement } from './planner.ts'
import type { WorkerSink, WorkerSource } from './index.ts'
import { WorkerHandle, type WorkerHandleComponents } from './worker-handle.ts'

/** Refusals remembered for the error that names who was left out. */
const REFUSALS_KEPT = 20

export interface RecruiterComponents extends WorkerHandleComponents {
  source: WorkerSource
  offer: Offer
  edge: { from: string, to: string }
  nodes: string[] | undefined
  push: (event: JobEventIn) => void
  news: (news: JobNews) => void
  log: Log
}

export class Recruiter {
  readonly #components: RecruiterComponents
  readonly #handles = new Map<string, WorkerHandle>()
  readonly #closing = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly refusals: Array<{ peer: string, reason: string, message: string }> = []

  constructor (components: RecruiterComponents) {
    this.#components = components
  }

  /** Looks in the places planned; if nobody is found there and `otherwise` is given, there too. */
  search (place: Placement['place'], otherwise?: Placement['place']): void {
    const { source, offer, edge, nodes, push, log } = this.#components
    const settled = (count: number): void => {
      if (count === 0 && otherwise != null && !this.#stop.signal.aborted) this.search(otherwise)
      else push({ type: 'settled', count })
    }
    source.workers(offer, edge, { place, nodes }, this.#sink(settled), { signal: this.#stop.signal }).catch((error: unknown) => {
      if (this.#stop.signal.aborted) return
      log.error({ error }, 'looking for workers failed')
      settled(0)
    })
  }

  get (id: string): WorkerHandle | undefined {
    return this.#handles.get(id)
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
      found: (worker: Worker) => {
        const handle = this.#handles.get(worker.id)
        if (this.#stop.signal.aborted || handle == null) void worker.close().catch((error: unknown) => { this.#components.warn(error, `closing worker ${worker.id}`) })
        else handle.attach(worker)
      },
      refused: (peer, reason, message) => {
        if (this.refusals.length < REFUSALS_KEPT) this.refusals.push({ peer, reason, message })
        this.#components.news({ type: 'worker', peer, change: 'refused', reason: `${reason}: ${message}` })
      }
    }
  }
}
