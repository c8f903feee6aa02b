/** Finds providers: those known, then those the DHT names, each asked for its advert unless it is connected and known. */
import type { PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Log } from '../log.ts'
import type { Network } from '../network/index.ts'
import { FIND_CANDIDATES_MAX, FIND_DEPTHS_MAX, FIND_JOIN_TIMEOUT_MS, FIND_KEY_CANDIDATES_MAX, FIND_TIMEOUT_MS, LOOKUPS_PARALLEL_MAX, LOOKUP_TIMEOUT_MS } from './constants.ts'
import type { Advert, ProviderView } from './index.ts'
import { capabilityKey } from './keys.ts'
import { listed, type Listed } from './listing.ts'
import { answerOf, numberOf, placeOf, SearchPlan, type Answer, type Shard } from './shards.ts'

export interface Edge { from: string, to: string }

export interface FinderComponents {
  network: Pick<Network, 'libp2p' | 'joined'>
  dht: Pick<KadDHT, 'findProviders'>
  /** What is known and not expired, without this node. */
  known: () => ProviderView[]
  /** Asks one peer. */
  lookup: (peer: PeerId, options: { signal: AbortSignal }) => Promise<ProviderView | undefined>
  /** How deep the shards of a conversion were found, by `from to`; kept by the caller from one search to the next. */
  depths: Map<string, number>
  /** From 0 to 1. @default Math.random */
  random?: () => number
  log: Log
}

/** Whether an advert offers a conversion now. */
export function offers (advert: Advert, edge: Edge): boolean {
  return !advert.draining && advert.converters.some(({ from, to }) => from === edge.from && to === edge.to)
}

/** Each provider once; ends when the search does or the signal fires. */
export async function * findProviders (components: FinderComponents, edge: Edge, signal: AbortSignal): AsyncGenerator<ProviderView> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(FIND_TIMEOUT_MS)])
  const ended = new AbortController()
  const search = new Search(components, edge, AbortSignal.any([limit, ended.signal]))
  try {
    yield * search.results()
  } finally {
    // Whoever stops reading early stops the search.
    ended.abort()
    await search.done
  }
}

class Search {
  readonly #components: FinderComponents
  readonly #edge: Edge
  readonly #signal: AbortSignal
  readonly #seen = new Set<string>()
  readonly #found: ProviderView[] = []
  readonly #candidates: PeerId[] = []
  /** Of a key with many: asked when no other key is left. */
  readonly #reserve: Listed[] = []
  #active = 0
  #sources = 0
  #wake: () => void = () => {}
  readonly #work: Array<Promise<void>> = []

  constructor (components: FinderComponents, edge: Edge, signal: AbortSignal) {
    this.#components = components
    this.#edge = edge
    this.#signal = signal
    this.#seen.add(components.network.libp2p.peerId.toString())
  }

  /** Settles once nothing of the search runs any more. */
  get done (): Promise<unknown> {
    return Promise.all(this.#work)
  }

  async * results (): AsyncGenerator<ProviderView> {
    this.#signal.addEventListener('abort', () => { this.#wake() }, { once: true })
    this.#fromMemory()
    this.#sources++
    this.#work.push(this.#fromDht().finally(() => {
      this.#sources--
      this.#wake()
    }))
    while (true) {
      const next = this.#found.shift()
      if (next != null) {
        yield next
        continue
      }
      if (this.#signal.aborted || (this.#sources === 0 && this.#active === 0)) return
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
  }

  #fromMemory (): void {
    const offering = this.#components.known().filter(({ advert }) => offers(advert, this.#edge))
    for (const view of offering.filter(({ connected }) => connected)) {
      this.#seen.add(view.peer.toString())
      this.#found.push(view)
    }
    for (const { peer, connected } of offering) if (!connected) this.#consider(peer)
  }

  async #fromDht (): Promise<void> {
    const { network, depths, random = Math.random, log } = this.#components
    try {
      if (!await network.joined({ signal: AbortSignal.any([this.#signal, AbortSignal.timeout(FIND_JOIN_TIMEOUT_MS)]) })) return
      const name = `${this.#edge.from} ${this.#edge.to}`
      const plan = new SearchPlan(depths.get(name) ?? 0, random)
      for (let shard = plan.next(); shard != null && this.#seen.size < FIND_CANDIDATES_MAX; shard = plan.next()) plan.answered(shard, await this.#look(shard))
      for (const provider of this.#reserve) await this.#onListed(provider)
      if (depths.size >= FIND_DEPTHS_MAX) depths.clear()
      depths.set(name, plan.depth)
    } catch (error) {
      // What was found before counts; a DHT that fails means nothing about the others.
      if (!this.#signal.aborted) log.debug({ reason: (error as Error).message }, 'a search in the DHT ended early')
    }
  }

  /** Considers who is listed under one key. */
  async #look (shard: Shard): Promise<Answer> {
    const ranks: number[] = []
    for await (const provider of listed(this.#components.dht, await capabilityKey(this.#edge, numberOf(shard)), this.#signal)) {
      ranks.push(placeOf(provider.id.toString()).rank)
      if (ranks.length <= FIND_KEY_CANDIDATES_MAX) await this.#onListed(provider)
      else if (this.#reserve.length < FIND_CANDIDATES_MAX) this.#reserve.push(provider)
    }
    return answerOf(ranks)
  }

  async #onListed ({ id, multiaddrs }: Listed): Promise<void> {
    if (this.#seen.has(id.toString()) || this.#seen.size >= FIND_CANDIDATES_MAX) return
    // The addresses are hints: whoever answers there has to prove the peer id.
    if (multiaddrs.length > 0) await this.#components.network.libp2p.peerStore.merge(id, { multiaddrs }, { signal: this.#signal })
    this.#consider(id)
  }

  #consider (peer: PeerId): void {
    if (this.#seen.has(peer.toString()) || this.#seen.size >= FIND_CANDIDATES_MAX) return
    this.#seen.add(peer.toString())
    this.#candidates.push(peer)
    this.#next()
  }

  #next (): void {
    while (this.#active < LOOKUPS_PARALLEL_MAX && !this.#signal.aborted) {
      const peer = this.#candidates.shift()
      if (peer == null) return
      this.#active++
      this.#work.push(this.#ask(peer).finally(() => {
        this.#active--
        this.#next()
        this.#wake()
      }))
    }
  }

  async #ask (peer: PeerId): Promise<void> {
    try {
      const view = await this.#components.lookup(peer, { signal: AbortSignal.any([this.#signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)]) })
      if (view != null && view.connected && offers(view.advert, this.#edge)) this.#found.push(view)
    } catch (error) {
      this.#components.log.debug({ peer: peer.toString(), reason: (error as Error).message }, 'a provider did not answer')
    }
  }
}
