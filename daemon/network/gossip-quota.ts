/** How much gossip is taken from each peer and from all. Kept apart from connections: who comes back finds its buckets as it left them. Pure: time is an argument. */
import * as limits from './constants.ts'
import { GOSSIP_QUOTA_PEERS_MAX, GOSSIP_SETTLED_MS, GOSSIP_SETTLED_PART } from './gossip-constants.ts'
import { fairShare, TokenBucket } from './rate.ts'

interface Peer {
  messages: TokenBucket
  bytes: TokenBucket
  /** Messages that wait for judgement. */
  pending: number
  /** Monotonic milliseconds since when it is connected. */
  since: number | undefined
}

/** `flood`: beyond its share, which it could know; `busy`: others used up what there is, or too much waits. */
export type Admittance = 'take' | 'flood' | 'busy'

export class GossipQuota {
  readonly #max: number
  readonly #all = new TokenBucket()
  /** Those that left come after those they left behind, so that the one gone for longest is met first. */
  readonly #peers = new Map<string, Peer>()
  #pending = 0

  constructor (max: number = GOSSIP_QUOTA_PEERS_MAX) {
    this.#max = max
  }

  /** Messages that wait for judgement. */
  get pending (): number {
    return this.#pending
  }

  /** Peers remembered. */
  get size (): number {
    return this.#peers.size
  }

  /** Idempotent while it is connected. */
  connected (peer: string, now: number): void {
    this.#peer(peer).since ??= now
  }

  disconnected (peer: string): void {
    const entry = this.#peers.get(peer)
    if (entry == null) return
    entry.since = undefined
    this.#peers.delete(peer)
    this.#peers.set(peer, entry)
    this.#makeRoom()
  }

  /** Nobody is connected any more. */
  stop (): void {
    for (const entry of this.#peers.values()) entry.since = undefined
    this.#makeRoom()
  }

  /** Whether a frame of so many bytes is taken; otherwise its stream is to be reset. */
  frame (peer: string, bytes: number, now: number): boolean {
    return this.#peer(peer).bytes.take(Math.max(bytes, limits.GOSSIP_FRAME_COST_MIN), now, limits.GOSSIP_BYTES_PER_SECOND_AND_PEER, limits.GOSSIP_BYTES_BURST)
  }

  /** @param count peers connected, which share what is taken from all */
  message (peer: string, count: number, now: number): Admittance {
    const entry = this.#peer(peer)
    const perSecond = fairShare(limits.GOSSIP_MESSAGES_PER_SECOND, count, limits.GOSSIP_MESSAGES_PER_SECOND_AND_PEER)
    if (!entry.messages.take(1, now, perSecond, perSecond * limits.GOSSIP_BURST_SECONDS)) return 'flood'
    const isSettled = entry.since != null && now - entry.since >= GOSSIP_SETTLED_MS
    const burst = limits.GOSSIP_MESSAGES_PER_SECOND * limits.GOSSIP_BURST_SECONDS
    if (!this.#all.take(1, now, limits.GOSSIP_MESSAGES_PER_SECOND, burst, isSettled ? 0 : burst * GOSSIP_SETTLED_PART)) return 'busy'
    return entry.pending < limits.GOSSIP_PENDING_PER_PEER_MAX && this.#pending < limits.GOSSIP_PENDING_MAX ? 'take' : 'busy'
  }

  /** It waits for judgement. Returns what says that it no longer does. */
  wait (peer: string): () => void {
    const entry = this.#peer(peer)
    entry.pending++
    this.#pending++
    return () => {
      entry.pending--
      this.#pending--
    }
  }

  #peer (peer: string): Peer {
    let entry = this.#peers.get(peer)
    if (entry == null) {
      this.#peers.set(peer, entry = { messages: new TokenBucket(), bytes: new TokenBucket(), pending: 0, since: undefined })
      this.#makeRoom(peer)
    }
    return entry
  }

  /** Connected peers stay: how many they are is limited elsewhere. */
  #makeRoom (keep?: string): void {
    if (this.#peers.size <= this.#max) return
    for (const [peer, { since }] of this.#peers) {
      if (since != null || peer === keep) continue
      this.#peers.delete(peer)
      if (this.#peers.size <= this.#max) return
    }
  }
}
