/**
 * The libp2p host of a node: transports, muxer windows, connection limits, DHT, and the `hello` handshake that every
 * connection must pass before any other Weft or DHT stream is served on it.
 *
 * @example
 * ```ts
 * const network = await createNetwork({ identity, db: dataDir.db, config, validators, selectors, log })
 * await network.start()
 * network.events.addEventListener('peer', ({ detail }) => console.log('hello from', detail.peer.toString()))
 * ```
 */
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { TypedEventTarget } from 'main-event'
import type { HelloInfo } from './messages.ts'

export interface PeerGreeted { peer: PeerId, connection: Connection, hello: HelloInfo }

/** Bands of the measured round trip: below 3 ms, 10 ms, 30 ms, 100 ms, and beyond. */
export type LatencyBand = 'lan' | 'metro' | 'regional' | 'global' | 'far' | 'unknown'

/** A connected member, as its neighbour sees it. */
export interface PeerView {
  peer: string
  /** did:key */
  operator: string
  agent: string
  roles: string[]
  /** Multiaddr of the other end, as this node sees it. */
  address: string
  direction: 'inbound' | 'outbound'
  /** UTC milliseconds. */
  since: number
  /** Measured round trip in milliseconds, the least of the last few; absent until it was measured. */
  rttMs?: number
  band: LatencyBand
}

/** Somebody this node does not talk to. Kept in the data directory. */
export interface Ban {
  /** A peer id, or the did:key of an operator: then all its nodes. */
  subject: string
  reason: string
  /** UTC milliseconds. */
  since: number
}

export interface GossipMessage { topic: string, data: Uint8Array, /** The neighbour it came from, not its author. */ from: PeerId }

/**
 * `accept`: true and new, pass it on; `ignore`: not worth passing on; `untimely`: ignored for its time, which clocks may explain once, not for ever:
 * scored a little; `reject`: its sender should have known better, and is scored for it.
 */
export type GossipVerdict = 'accept' | 'ignore' | 'untimely' | 'reject'

export interface SubscribeOptions {
  /**
   * Asked before `judge`, in the same turn and of every copy that is no duplicate: whether there are means to judge it now. After false it is as if the
   * message had not come, so that it may still come from somebody else: otherwise whoever spends the means first would suppress what it relays. It must
   * not throw. @default everything is judged
   */
  admit?: (message: GossipMessage) => boolean
}

/**
 * Messages to everybody who subscribed to a topic. Authors are the business of the message (StrictNoSign: nothing is verified before `judge`,
 * so that the subscriber decides how many signatures it checks). Only greeted peers take part.
 */
export interface Gossip {
  /**
   * Subscribes to `/weft/<network>/<topic>`. `judge` sees each message once, before it is passed on; it must not throw. At most GOSSIP_TOPICS_MAX
   * topics at once. Returns what ends the subscription.
   *
   * @throws NetworkConfigError `gossip` beyond GOSSIP_TOPICS_MAX
   */
  subscribe: (topic: string, judge: (message: GossipMessage) => Promise<GossipVerdict> | GossipVerdict, options?: SubscribeOptions) => () => void
  /** To how many neighbours it was sent; 0 if nobody listens. One's own messages do not come back. Needs no subscription. */
  publish: (topic: string, data: Uint8Array) => Promise<number>
  /** Neighbours that subscribe to a topic. */
  subscribers: (topic: string) => PeerId[]
}

export interface NetworkEvents {
  /** A peer passed hello on its first connection. Also emitted for connections already open at subscription by `peers()`. */
  peer: CustomEvent<PeerGreeted>
  /** The last connection to a greeted peer closed. */
  gone: CustomEvent<{ peer: PeerId }>
  /** A greeted peer entered the DHT's routing table: records can be stored with it. */
  routing: CustomEvent<{ peer: PeerId }>
}

export interface Network {
  readonly libp2p: Libp2p<{ dht: KadDHT }>
  readonly name: string
  readonly events: TypedEventTarget<NetworkEvents>
  /** `/weft/<network>/<name>/<version>` */
  protocol: (name: string, version?: string) => string
  start: () => Promise<void>
  stop: () => Promise<void>
  /** Peers that passed hello, now connected. */
  peers: () => PeerGreeted[]
  /** Resolves once the peer is connected and greeted; rejects with the reason. Dials if needed. */
  greet: (peer: PeerId, options: { signal: AbortSignal }) => Promise<PeerGreeted>
  /** For protocol handlers: throws (and the stream is reset) unless the connection passed hello. */
  requireGreeted: (connection: Connection) => Promise<void>
  readonly gossip: Gossip
  /** Everybody connected, one entry per peer. */
  peerViews: () => PeerView[]
  /** Measured round trip to a connected peer in milliseconds; undefined if it was not measured yet. */
  rttMs: (peer: PeerId) => number | undefined
  /** Dials a multiaddr (with /p2p/) or a peer id; resolves once greeted, rejects with the reason in words. */
  connect: (address: string, options: { signal: AbortSignal }) => Promise<PeerGreeted>
  bans: () => Ban[]
  /** Closes its connections and refuses new ones, across restarts. */
  ban: (subject: string, reason: string) => Promise<void>
  /** False if it was not banned. */
  unban: (subject: string) => Promise<boolean>
  /** Peers in the DHT's routing table. */
  dhtPeers: () => number
  /**
   * Resolves to true once the DHT knows a peer; to false if none is to be expected (nobody greeted, no bootstrap
   * address) or the signal fires.
   */
  joined: (options: { signal: AbortSignal }) => Promise<boolean>
}

export type { HelloInfo } from './messages.ts'
export { createNetwork, type NetworkConfig, type NetworkInit } from './network.ts'
export { DialError, HelloError, NetworkConfigError } from './errors.ts'
export { STREAM_WRITE_BUFFER_MAX_BYTES, STREAM_READ_BUFFER_MAX_BYTES, STREAMS_MAX } from './constants.ts'
export { createLinks, type Links, type LinksInit } from './links.ts'
export { messagesOf, MessageLengthError, type Messages } from './framing.ts'
export { SECRET_BYTES } from './proof.ts'
export { full, refilled, spent, waitMs, type Bucket, type BucketLimits } from './rate.ts'
export { placeOf, prefixOf, shardNumber, type Place } from './place.ts'
export { pause, settledOrAborted } from './wait.ts'
export { createDialback, type Dialback, type DialbackAnswer, type DialbackReport } from './dialback.ts'
