/** The adverts known, within a number and a volume. Pure: time is an argument. */
import type { PeerId } from '@libp2p/interface'
import { KNOWN_ADVERTS_MAX, KNOWN_BYTES_MAX } from './constants.ts'
import type { Advert, ProviderView, Source } from './index.ts'

export interface KnownAdvert {
  peer: PeerId
  advert: Advert
  source: ProviderView['source']
  /** UTC milliseconds. */
  seen: number
  /** Bytes it came in: what it costs here. */
  size: number
}

/** Of what says the same: which is kept. */
const RANK: Record<Source, number> = { gossip: 0, dht: 0, memory: 1, direct: 2, self: 3 }

export interface TableLimits { adverts?: number, bytes?: number }

export class AdvertTable {
  readonly #limits: Required<TableLimits>
  readonly #isConnected: (peer: PeerId) => boolean
  /** Least recently heard of first. */
  readonly #known = new Map<string, KnownAdvert>()
  #bytes = 0

  constructor (isConnected: (peer: PeerId) => boolean, limits: TableLimits = {}) {
    this.#isConnected = isConnected
    this.#limits = { adverts: KNOWN_ADVERTS_MAX, bytes: KNOWN_BYTES_MAX, ...limits }
  }

  get (peer: PeerId | string): KnownAdvert | undefined {
    return this.#known.get(peer.toString())
  }

  values (): KnownAdvert[] {
    return [...this.#known.values()]
  }

  /**
   * Keeps the newer of two adverts; of two with the same sequence the fuller (a record says less than an advert), and what was heard rather than
   * what was remembered. Returns whether this one is kept now.
   */
  put (entry: KnownAdvert): boolean {
    const key = entry.peer.toString()
    const known = this.#known.get(key)
    if (known != null && (entry.advert.sequence < known.advert.sequence || (entry.advert.sequence === known.advert.sequence && RANK[entry.source] < RANK[known.source]))) return false
    this.delete(key)
    this.#known.set(key, entry)
    this.#bytes += entry.size
    this.#makeRoom(key)
    return true
  }

  delete (peer: PeerId | string): boolean {
    const known = this.#known.get(peer.toString())
    if (known == null) return false
    this.#bytes -= known.size
    return this.#known.delete(peer.toString())
  }

  /** Removes what is past its time and returns it. */
  expire (now: number): KnownAdvert[] {
    const expired = this.values().filter(({ advert }) => advert.expires <= now)
    for (const { peer } of expired) this.delete(peer)
    return expired
  }

  #makeRoom (keep: string): void {
    while (this.#known.size > this.#limits.adverts || this.#bytes > this.#limits.bytes) {
      const candidates = [...this.#known.entries()].filter(([key, { source }]) => key !== keep && source !== 'self')
      const victim = candidates.find(([, { peer }]) => !this.#isConnected(peer)) ?? candidates[0]
      if (victim == null) return
      this.delete(victim[0])
    }
  }
}
