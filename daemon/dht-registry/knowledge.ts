/** What a node knows of others: adverts, what was observed since, and what it remembers for the next start. Says when something changed. */
import type { PeerId } from '@libp2p/interface'
import { TypedEventEmitter } from 'main-event'
import type { Observation, ProviderView, RegistryEvents } from './index.ts'
import type { AdvertMemory } from './memory.ts'
import { differs, merged, Observations } from './observations.ts'
import { AdvertTable, type KnownAdvert } from './table.ts'

export interface KnowledgeComponents {
  /** Peer ids, as text, of those connected. */
  connected: () => ReadonlySet<string>
  memory: Pick<AdvertMemory, 'remember' | 'forget'>
  /** UTC milliseconds. */
  now: () => number
}

export class Knowledge {
  readonly events = new TypedEventEmitter<RegistryEvents>()
  readonly #components: KnowledgeComponents
  readonly #table: AdvertTable
  readonly #observations = new Observations()

  constructor (components: KnowledgeComponents) {
    this.#components = components
    this.#table = new AdvertTable(peer => components.connected().has(peer.toString()))
  }

  /** Whether an advert of a peer is known. */
  has (peer: string): boolean {
    return this.#table.get(peer) != null
  }

  /** Undefined once its advert has expired. */
  get (peer: PeerId): KnownAdvert | undefined {
    const known = this.#table.get(peer)
    return known == null || known.advert.expires <= this.#components.now() ? undefined : known
  }

  /** @param sealed the advert as it came, to be remembered for the next start */
  remember (known: KnownAdvert, sealed?: Uint8Array): void {
    if (!this.#table.put(known)) return
    if (sealed != null) this.#components.memory.remember({ peer: known.peer.toString(), sealed, seen: known.seen })
    this.#say(known)
  }

  /** It said goodbye. */
  forget (peer: PeerId): void {
    this.#components.memory.forget(peer.toString())
    this.#observations.delete(peer)
    if (this.#table.delete(peer)) this.events.safeDispatchEvent('gone', { detail: { peer } })
  }

  /** Drops what is past its time. */
  expire (): void {
    const now = this.#components.now()
    for (const { peer, source } of this.#table.expire(now)) {
      this.#components.memory.forget(peer.toString())
      if (source !== 'self') this.events.safeDispatchEvent('gone', { detail: { peer } })
    }
    this.#observations.expire(now, peer => this.get(peer)?.advert.sequence)
  }

  /** Whether it was taken; `unknown` if no advert of the peer is known, `old` if it says nothing new. */
  observe (observation: Observation): 'taken' | 'old' | 'unknown' {
    const now = this.#components.now()
    if (observation.expires <= now) return 'old'
    const known = this.get(observation.peer)
    if (known == null) return 'unknown'
    const before = this.viewOf(known)
    if (known.source === 'self' || observation.sequence <= known.advert.sequence || !this.#observations.put({ ...observation, seen: now })) return 'old'
    if (differs(before, this.viewOf(known))) this.#say(known)
    return 'taken'
  }

  /** Everything that has not expired. */
  view (): ProviderView[] {
    const now = this.#components.now()
    const connected = this.#components.connected()
    return this.#table.values().filter(({ advert }) => advert.expires > now).map(known => this.viewOf(known, connected))
  }

  viewOf (known: KnownAdvert, connected: ReadonlySet<string> = this.#components.connected()): ProviderView {
    const isConnected = known.source === 'self' || connected.has(known.peer.toString())
    return merged(known, this.#observations.get(known.peer), isConnected, this.#components.now())
  }

  #say (known: KnownAdvert): void {
    this.events.safeDispatchEvent('advert', { detail: this.viewOf(known) })
  }
}
