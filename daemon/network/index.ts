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
export { HelloError, NetworkConfigError } from './errors.ts'
export { STREAM_WRITE_BUFFER_MAX_BYTES, STREAM_READ_BUFFER_MAX_BYTES, STREAMS_MAX } from './constants.ts'
export { messagesOf, MessageLengthError, type Messages } from './framing.ts'
export { SECRET_BYTES } from './proof.ts'
export { pause, settledOrAborted } from './wait.ts'
