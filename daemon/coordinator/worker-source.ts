/**
 * Finds workers for a job: the local executor, and peers of the registry that carry out its conversion, attached through the task client, for as
 * long as the job runs, so that somebody who joins (or comes back) later is used too.
 */
import type { ProviderView, Registry } from '../dht-registry/index.ts'
import type { Log } from '../log.ts'
import type { Offer, TaskClient, Worker, WorkerEvents } from '../task-protocol/index.ts'
import { SEARCH_EVERY_MS } from './constants.ts'
import { limitOf, tooDear, type Asked, type PriceLimit } from './prices.ts'
import type { WorkerFacts, WorkerRequest, WorkerSink, WorkerSource } from './index.ts'

/** Milliseconds one search of the DHT may take; what it found until then is used. */
const SEARCH_TIMEOUT_MS = 10_000

/** Milliseconds to dial a peer, pass hello and be granted a lease. */
const ATTACH_TIMEOUT_MS = 10_000

/** Milliseconds before a peer that refused or was lost is asked again, unless it gave a hint. */
const ATTACH_RETRY_MS = 1_000

export interface WorkerSourceComponents {
  registry: Pick<Registry, 'find' | 'events'>
  client: Pick<TaskClient, 'attach'>
  /** This node's own executor as a worker; absent on a node that converts nothing itself. */
  local?: (offer: Offer, events: WorkerEvents) => Worker
  /** This node's peer id, as text. */
  self: string
  /** Why this peer may not get our blocks, or undefined if it may: local policy always wins. `operator` as in `WorkerFacts`. */
  distrusted: (provider: ProviderView, operator: string | undefined) => string | undefined
  /** did:key of the operator a connected peer proved to act for. @default the one of an advert the peer itself gave */
  operatorOf?: (peer: ProviderView['peer']) => string | undefined
  log: Log
}

export function createWorkerSource (components: WorkerSourceComponents): WorkerSource {
  return {
    workers: (offer, edge, request, sink, { signal }) => new Search(components, offer, edge, request, sink, signal).run()
  }
}

class Search {
  readonly #components: WorkerSourceComponents
  readonly #offer: Offer
  readonly #edge: { from: string, to: string }
  readonly #request: WorkerRequest
  readonly #limit: PriceLimit
  readonly #sink: WorkerSink
  readonly #signal: AbortSignal
  /** Peers attached or being attached, with what each asks. */
  readonly #attached = new Map<string, Asked>()
  /** When a peer that refused may be asked again, monotonic milliseconds. */
  readonly #retryAt = new Map<string, number>()
  readonly #attaching = new Set<Promise<void>>()

  constructor (components: WorkerSourceComponents, offer: Offer, edge: { from: string, to: string }, request: WorkerRequest, sink: WorkerSink, signal: AbortSignal) {
    this.#components = components
    this.#offer = offer
    this.#edge = edge
    this.#request = request
    this.#limit = limitOf(request.maxPrice, offer.unit)
    this.#sink = sink
    this.#signal = signal
  }

  async run (): Promise<void> {
    const local = this.#attachLocal()
    if (this.#request.place === 'local') {
      this.#sink.settled(local)
      return
    }
    const onAdvert = ({ detail }: CustomEvent<ProviderView>): void => { this.#consider(detail) }
    this.#components.registry.events.addEventListener('advert', onAdvert)
    try {
      await this.#search()
      await Promise.all(this.#attaching)
      this.#sink.settled(local + this.#attached.size)
      while (!this.#signal.aborted) {
        await pause(SEARCH_EVERY_MS, this.#signal)
        if (!this.#signal.aborted) await this.#search()
      }
    } finally {
      this.#components.registry.events.removeEventListener('advert', onAdvert)
      await Promise.all(this.#attaching)
    }
  }

  /** How many local workers were attached: none if the job is to go elsewhere. */
  #attachLocal (): 0 | 1 {
    const { local, self } = this.#components
    const { place, nodes } = this.#request
    if (place === 'remote' || local == null) return 0
    if (nodes != null && nodes.length > 0 && !nodes.includes(self)) return 0
    this.#sink.found(local(this.#offer, this.#sink.events('local')))
    return 1
  }

  async #search (): Promise<void> {
    try {
      for await (const provider of this.#components.registry.find(this.#edge, { signal: AbortSignal.any([this.#signal, AbortSignal.timeout(SEARCH_TIMEOUT_MS)]) })) {
        this.#consider(provider)
      }
    } catch (error) {
      // A search that ends early found what it found; the next one comes in SEARCH_EVERY_MS.
      if (!this.#signal.aborted) this.#components.log.debug({ error: (error as Error).message }, 'a search for providers ended early')
    }
  }

  #consider (provider: ProviderView): void {
    const id = provider.peer.toString()
    if (this.#signal.aborted || id === this.#components.self) return
    const { price, unit } = provider.advert
    if (this.#attached.has(id)) {
      this.#reprice(id, { price, unit })
      return
    }
    if (!provider.advert.converters.some(c => c.from === this.#edge.from && c.to === this.#edge.to)) return
    if ((this.#retryAt.get(id) ?? 0) > performance.now()) return
    const left = this.#leftOut(provider)
    if (left != null) {
      // Not asked, so asked again with the next thing heard of it: a lower price, the end of a drain.
      this.#sink.refused(id, left.reason, left.message)
      return
    }
    this.#attached.set(id, { price, unit })
    const attaching = this.#attach(provider, id).finally(() => this.#attaching.delete(attaching))
    this.#attaching.add(attaching)
  }

  #reprice (id: string, asked: Asked): void {
    const before = this.#attached.get(id)
    if (before?.price === asked.price && before.unit === asked.unit) return
    this.#attached.set(id, asked)
    this.#sink.priced?.(id, asked)
  }

  /** Why a provider is not asked at all, in words for the plan. */
  #leftOut (provider: ProviderView): { reason: 'policy' | 'price', message: string } | undefined {
    const policy = this.#against(provider)
    if (policy != null) return { reason: 'policy', message: policy }
    const price = tooDear(provider.advert, this.#limit)
    return price == null ? undefined : { reason: 'price', message: price }
  }

  #against (provider: ProviderView): string | undefined {
    const { peer, advert } = provider
    const { nodes } = this.#request
    if (nodes != null && nodes.length > 0 && !nodes.includes(peer.toString())) return 'not among the peers asked for'
    if (advert.draining) return 'it is draining'
    const versions = advert.converters.filter(c => c.id === this.#offer.converter).map(c => c.version)
    if (!versions.includes(this.#offer.version)) return `it has ${this.#offer.converter} in version ${versions.join(', ') || 'none'}, this job needs ${this.#offer.version}`
    const operator = this.#operatorOf(provider)
    return this.#components.distrusted(provider, operator) ?? this.#sink.leftOut?.(peer.toString(), operator)
  }

  /** What others say of a peer proves nothing of its operator: only its hello does, or an advert of its own. */
  #operatorOf ({ peer, advert, source }: ProviderView): string | undefined {
    const operator = this.#components.operatorOf?.(peer) ?? (source === 'direct' ? advert.operator : '')
    return operator === '' ? undefined : operator
  }

  #factsOf (provider: ProviderView, id: string): WorkerFacts {
    const operator = this.#operatorOf(provider)
    const asked = this.#attached.get(id)
    return { ...(asked != null ? { asked } : {}), ...(operator != null ? { operator } : {}) }
  }

  async #attach (provider: ProviderView, id: string): Promise<void> {
    const events = this.#sink.events(id)
    const detach = (retryMs: number): void => {
      this.#attached.delete(id)
      this.#retryAt.set(id, performance.now() + retryMs)
    }
    try {
      const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(ATTACH_TIMEOUT_MS)])
      // What it posted is what it is offered; what it asks later is for it to refuse, and for this job to leave.
      const { price, unit } = this.#attached.get(id) ?? provider.advert
      const attached = await this.#components.client.attach(provider.peer, { ...this.#offer, price, unit }, {
        ...events,
        lost: reason => {
          // It may come back under the same key: its next advert, or the next search, is asked again.
          detach(ATTACH_RETRY_MS)
          events.lost(reason)
        }
      }, { signal })
      if (attached.ok) {
        this.#sink.found(attached.worker, this.#factsOf(provider, id))
      } else {
        detach(attached.retryAfterMs ?? ATTACH_RETRY_MS)
        this.#sink.refused(id, attached.reason, attached.message)
      }
    } catch (error) {
      detach(ATTACH_RETRY_MS)
      if (!this.#signal.aborted) this.#sink.refused(id, 'lost', (error as Error).message)
    }
  }
}

function pause (ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
