/**
 * Prices: what a node asks per resource hour, what that makes per converter, and the gossip that tells others of prices and load between two
 * adverts. A bulletin is signed by the node's key, holds for a short while, and is never taken for a sign of life: only a lease tells that.
 *
 * @example
 * ```ts
 * const gossip = createPriceGossip({ network, identity, db: dataDir.db, log })
 * gossip.events.addEventListener('bulletin', ({ detail }) => registry.observe(detail))
 * await gossip.start()
 * gossip.publish({ families: ['table'], price: '250000', unit: 'credit', draining: false, load: { slots: 2, busy: 0, loopDelayMs: 1 } })
 * ```
 */
import type { PeerId } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

/** How busy a node is. */
export interface Load { slots: number, busy: number, /** Worst lateness of its event loop of late, milliseconds. */ loopDelayMs: number }

/** What a node says of itself, before it is signed. */
export interface BulletinContent {
  /** Converter families it works in ('table', 'archive', ...): which topics it is told on, at most FAMILIES_MAX. */
  families: string[]
  /** 10^-6 of the unit per resource hour, decimal. */
  price: string
  unit: string
  draining: boolean
  load: Load
}

export interface Bulletin extends Omit<BulletinContent, 'families'> {
  version: 1
  network: string
  peer: string
  /** Strictly increasing, also across restarts: follows the clock. */
  sequence: number
  /** UTC milliseconds. */
  issued: number
  expires: number
}

/** A bulletin whose signature, network, time and sequence were found good. */
export interface HeardBulletin extends Bulletin { peerId: PeerId, /** UTC milliseconds. */ seen: number }

export interface PriceGossipEvents { bulletin: CustomEvent<HeardBulletin> }

/** Counters since the start, for metrics and for benches. */
export interface GossipTally {
  published: number
  heard: number
  verified: number
  /** Not looked at because the budget of verifications was spent: it may still come from another neighbour, and be heard again. */
  overBudget: number
  /** Not newer than what was known of the peer: dropped before its signature was checked. */
  stale: number
  rejected: number
}

export interface PriceGossip {
  readonly events: TypedEventTarget<PriceGossipEvents>
  readonly tally: GossipTally
  start: () => Promise<void>
  stop: () => Promise<void>
  /**
   * From now on this is what is told: at once if price, unit, draining or families changed (as the token bucket allows), load with the next
   * periodic one, every max(10 s, publishers / 5 per second).
   */
  publish: (content: BulletinContent) => void
}

/** A posted price per resource hour, as the price of converting a gibibyte: price x 2^30 / (bytes per second x 3600); undefined if not measured. */
export { pricePerGib } from './prices.ts'
export { createPriceGossip, type PriceGossipInit } from './price-gossip.ts'
export { openBulletin, sealBulletin } from './bulletin.ts'
export { BulletinError } from './errors.ts'
export * from './constants.ts'
