/** What was said of peers between two adverts, and what that makes of a known one. Kept apart from adverts. Pure: time is an argument. */
import type { PeerId } from '@libp2p/interface'
import { OBSERVATIONS_MAX } from './constants.ts'
import type { Load, Observation, ProviderView } from './index.ts'
import type { KnownAdvert } from './table.ts'

export interface Observed extends Observation {
  /** UTC milliseconds. */
  seen: number
}

/** The newest observation of each peer: all of it until it expires, its price and draining for as long as nothing newer is known. */
export class Observations {
  readonly #max: number
  /** Least recently taken first. */
  readonly #observed = new Map<string, Observed>()

  constructor (max: number = OBSERVATIONS_MAX) {
    this.#max = max
  }

  /** It may have expired: then only its price, unit and draining are of use. */
  get (peer: PeerId | string): Observed | undefined {
    return this.#observed.get(peer.toString())
  }

  /** False if one as new is known. The oldest goes where there is no room. */
  put (observed: Observed): boolean {
    const key = observed.peer.toString()
    if ((this.#observed.get(key)?.sequence ?? -1) >= observed.sequence) return false
    this.#observed.delete(key)
    this.#observed.set(key, observed)
    if (this.#observed.size > this.#max) {
      const [oldest] = this.#observed.keys()
      if (oldest != null) this.#observed.delete(oldest)
    }
    return true
  }

  delete (peer: PeerId | string): void {
    this.#observed.delete(peer.toString())
  }

  /**
   * Removes what is past its time and of no use.
   *
   * @param sequenceOf the advert known of a peer; undefined if none is
   */
  expire (now: number, sequenceOf: (peer: PeerId) => number | undefined): void {
    for (const { peer, sequence, expires } of this.#observed.values()) {
      if (expires <= now && sequence <= (sequenceOf(peer) ?? Infinity)) this.delete(peer)
    }
  }
}

/**
 * A known advert with what was observed since. Price, unit and draining are the newest of the two, also once the observation has expired: the older
 * advert is known to be outdated. Load is only ever observed, and soon worth nothing. The times of the advert are its own: an observation does not
 * extend its life.
 */
export function merged ({ peer, advert, source, seen }: KnownAdvert, observed: Observed | undefined, connected: boolean, now: number): ProviderView {
  const newer = observed != null && observed.sequence > advert.sequence ? observed : undefined
  return {
    peer,
    advert: newer == null ? advert : { ...advert, price: newer.price, unit: newer.unit, draining: newer.draining },
    source,
    seen,
    connected,
    facts: {
      price: newer == null ? { source, seen } : { source: 'gossip', seen: newer.seen },
      ...(observed == null || observed.expires <= now ? {} : { load: loadOf(observed) })
    }
  }
}

function loadOf ({ load: { slots, busy, loopDelayMs }, seen }: Observed): Load & { source: 'gossip', seen: number } {
  return { slots, busy, loopDelayMs, source: 'gossip', seen }
}

/** Whether two views of a peer differ in what decides where work goes. */
export function differs ({ advert: a }: ProviderView, { advert: b }: ProviderView): boolean {
  return a.price !== b.price || a.unit !== b.unit || a.draining !== b.draining
}
