/** Finds providers: those known, then those the DHT names, each asked for its advert unless it is connected and known. */
import type { PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Log } from '../log.ts'
import type { Network } from '../network/index.ts'
import { FIND_CANDIDATES_MAX, FIND_DEPTHS_MAX, FIND_JOIN_TIMEOUT_MS, FIND_KEY_CANDIDATES_MAX, FIND_NAMED_PER_PEER_MAX, FIND_TIMEOUT_MS, LOOKUPS_PARALLEL_MAX, LOOKUP_TIMEOUT_MS, SHARD_LOOK_PEERS_MIN } from './constants.ts'
import type { Advert, ProviderView } from './index.ts'
import { capabilityKey } from './keys.ts'
import type { Listed } from './listing.ts'
import { answerOf, numberOf, placeOf, ROOT, SearchPlan, type Answer, type Shard } from './shards.ts'

export interface Edge { from: string, to: string }

export interface FinderComponents {
  network: Pick<Network, 'libp2p' | 'joined' | 'dhtPeers'>
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

/** Somebody who may offer it, and who said so. */
interface Candidate extends Listed { from: string }

/** Who is asked next: those whom each peer named, by turns, so that who names many does not keep the others waiting. */
export class Turns {
  readonly #queues = new Map<string, Candidate[]>()

  add (candidate: Candidate): void {
    const queue = this.#queues.get(candidate.from)
    if (queue == null) this.#queues.set(candidate.from, [candidate])
    else queue.push(candidate)
  }

  next (): Candidate | undefined {
    for (const [from, queue] of this.#queues) {
      const candidate = queue.shift()
      this.#queues.delete(from)
      if (queue.length > 0) this.#queues.set(from, queue)
      return candidate
    }
    return undefined
  }
}

class Search {
  readonly #components: FinderComponents
  readonly #edge: Edge
  readonly #signal: AbortSignal
  readonly #self: string
  /** Peers that answered. */
  readonly #answered = new Set<string>()
  /** Peers being asked, and what else was said of them meanwhile. */
  readonly #asking = new Map<string, Candidate[]>()
  /** Peers and addresses that were tried: with another address a peer is asked again, as the first may have been a lie. */
  readonly #tried = new Set<string>()
  readonly #found: ProviderView[] = []
  readonly #turns = new Turns()
  /** Of a key with many: asked when no other key is left. */
  readonly #reserve: Candidate[] = []
  #asked = 0
  #given = 0
  #active = 0
  #sources = 0
  #wake: () => void = () => {}
  #idle: () => void = () => {}
  readonly #work: Array<Promise<void>> = []

  constructor (components: FinderComponents, edge: Edge, signal: AbortSignal) {
    this.#components = components
    this.#edge = edge
    this.#signal = signal
    this.#self = components.network.libp2p.peerId.toString()
    this.#answered.add(this.#self)
  }

  /** Settles once nothing of the search runs any more. */
  get done (): Promise<unknown> {
    return Promise.all(this.#work)
  }

  async * results (): AsyncGenerator<ProviderView> {
    this.#signal.addEventListener('abort', () => {
      this.#wake()
      this.#idle()
    }, { once: true })
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
      this.#answered.add(view.peer.toString())
      this.#give(view)
    }
    for (const { peer, connected } of offering) if (!connected) this.#consider({ id: peer, multiaddrs: [], from: this.#self })
  }

  async #fromDht (): Promise<void> {
    const { network, depths, random = Math.random, log } = this.#components
    try {
      if (!await network.joined({ signal: AbortSignal.any([this.#signal, AbortSignal.timeout(FIND_JOIN_TIMEOUT_MS)]) })) return
      const name = `${this.#edge.from} ${this.#edge.to}`
      // As in placement.ts: nobody goes deeper in a small network, whatever its peers say.
      const plan = new SearchPlan(network.dhtPeers() < SHARD_LOOK_PEERS_MIN ? 0 : depths.get(name) ?? 0, random)
      let root = false
      for (let shard = plan.next(); shard != null && this.#asked < FIND_CANDIDATES_MAX; shard = plan.next()) {
        root ||= numberOf(shard) === numberOf(ROOT)
        plan.answered(shard, await this.#look(shard))
      }
      for (const candidate of this.#reserve) this.#consider(candidate)
      if (depths.size >= FIND_DEPTHS_MAX) depths.clear()
      depths.set(name, plan.depth)
      if (root) return
      // Who made up providers under the keys asked kept us from the one that always has some.
      await this.#allAsked()
      if (this.#given === 0) await this.#look(ROOT)
    } catch (error) {
      // What was found before counts; a DHT that fails means nothing about the others.
      if (!this.#signal.aborted) log.debug({ reason: (error as Error).message }, 'a search in the DHT ended early')
    }
  }

  /** Considers who is listed under one key. */
  async #look (shard: Shard): Promise<Answer> {
    const ranks = new Map<string, number>()
    const named = new Map<string, number>()
    let considered = 0
    for await (const event of this.#components.dht.findProviders(await capabilityKey(this.#edge, numberOf(shard)), { signal: this.#signal })) {
      if (event.name !== 'PEER_RESPONSE') continue
      const from = event.from.toString()
      for (const { id, multiaddrs } of event.providers) {
        const isNew = !ranks.has(id.toString())
        if (isNew) ranks.set(id.toString(), placeOf(id.toString()).rank)
        const count = named.get(from) ?? 0
        if (count >= FIND_NAMED_PER_PEER_MAX) continue
        named.set(from, count + 1)
        if (isNew) considered++
        const candidate: Candidate = { id, multiaddrs, from }
        if (considered <= FIND_KEY_CANDIDATES_MAX) this.#consider(candidate)
        else if (this.#reserve.length < FIND_CANDIDATES_MAX) this.#reserve.push(candidate)
      }
    }
    return answerOf([...ranks.values()])
  }

  #consider (candidate: Candidate): void {
    this.#turns.add(candidate)
    this.#next()
  }

  #next (): void {
    while (this.#active < LOOKUPS_PARALLEL_MAX && this.#asked < FIND_CANDIDATES_MAX && !this.#signal.aborted) {
      const candidate = this.#turns.next()
      if (candidate == null) break
      const key = candidate.id.toString()
      if (this.#answered.has(key) || !this.#isNews(candidate)) continue
      const meanwhile = this.#asking.get(key)
      if (meanwhile != null) {
        meanwhile.push(candidate)
        continue
      }
      this.#asked++
      this.#active++
      this.#work.push(this.#ask(candidate).finally(() => {
        this.#active--
        this.#next()
        this.#wake()
      }))
    }
    if (this.#active === 0) this.#idle()
  }

  #isNews ({ id, multiaddrs }: Candidate): boolean {
    const addresses = multiaddrs.length === 0 ? [''] : multiaddrs.map(String)
    return addresses.some(address => !this.#tried.has(`${id.toString()} ${address}`))
  }

  async #ask ({ id, multiaddrs }: Candidate): Promise<void> {
    const key = id.toString()
    const meanwhile: Candidate[] = []
    this.#asking.set(key, meanwhile)
    for (const address of ['', ...multiaddrs.map(String)]) this.#tried.add(`${key} ${address}`)
    const { network, lookup, log } = this.#components
    try {
      // The addresses are hints: whoever answers there has to prove the peer id.
      if (multiaddrs.length > 0) await network.libp2p.peerStore.merge(id, { multiaddrs }, { signal: this.#signal })
      const view = await lookup(id, { signal: AbortSignal.any([this.#signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)]) })
      if (view?.connected !== true) return
      this.#answered.add(key)
      if (offers(view.advert, this.#edge)) this.#give(view)
    } catch (error) {
      log.debug({ peer: key, reason: (error as Error).message }, 'a provider did not answer')
    } finally {
      this.#asking.delete(key)
      for (const candidate of meanwhile) this.#turns.add(candidate)
    }
  }

  #give (view: ProviderView): void {
    this.#given++
    this.#found.push(view)
  }

  /** Resolves once everybody named was asked, or the signal fired. */
  async #allAsked (): Promise<void> {
    if (this.#active > 0 && !this.#signal.aborted) await new Promise<void>(resolve => { this.#idle = resolve })
  }
}
