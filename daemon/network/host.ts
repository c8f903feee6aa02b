/** The libp2p host: transports, encryption, muxer windows, connection limits, DHT. Every limit is named. */
import type { GossipSub } from '@libp2p/gossipsub'
import { identify, type Identify } from '@libp2p/identify'
import type { ComponentLogger, Libp2p, MultiaddrConnection, PeerId, PeerInfo, PrivateKey, Transport } from '@libp2p/interface'
import { kadDHT, type KadDHT, type Selectors, type Validators } from '@libp2p/kad-dht'
import { ping, type Ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2pInit } from 'libp2p'
import * as limits from './constants.ts'
import { dhtGuard, limitDht, senderNow, toldAddresses } from './dht-limits.ts'
import { bounded, gate, type Greeter } from './gate.ts'
import type { GossipRouter } from './gossip-router.ts'
import { lazyNoise } from './lazy-noise.ts'
import type { Links } from './links.ts'
import { override } from './override.ts'
import { boundPeerStore } from './peer-store.ts'
import { withQuota, type Datastore } from './quota.ts'

export interface HostInit {
  privateKey: PrivateKey
  listen: string[]
  /** Addresses this node will dial; they say, with `listen`, which transports are needed. */
  dial: string[]
  announce: string[]
  agent: string
  logger: ComponentLogger
  /** Looks for others on the local network under this service name, and answers to it. @default neither */
  local?: { serviceTag: string, found: (peer: PeerInfo) => void }
  /** Peers and their addresses. @default in memory */
  datastore?: Datastore
  dht: {
    protocol: string
    mode: 'server' | 'client'
    validators: Validators
    selectors: Selectors
    /** DHT records. @default in memory */
    datastore?: Datastore
  }
  gossip: Pick<GossipRouter, 'create'>
  gater: Gater
  /** Hears how each dial of an address ended. */
  dials: DialObserver
  /** Faults of the links, in test networks. @default none */
  links?: Links
}

/** Who is dialled and who is let in. */
export interface Gater {
  denyDialPeer: (peer: PeerId) => boolean
  denyDialMultiaddr: (address: Multiaddr) => Promise<boolean>
  denyInboundConnection: (connection: MultiaddrConnection) => boolean
}

export interface DialObserver {
  succeeded: (address: Multiaddr) => void
  failed: (address: Multiaddr, error: Error) => void
}

export type Host = Libp2p<{ dht: KadDHT, gossip: GossipSub }>

/**
 * After `stop`: drops the address update libp2p schedules when its listeners close. It would keep the process for a second
 * and then write to a store that is closed.
 */
export function settle (host: Host): void {
  const { components } = host as unknown as { components: { addressManager: { _updatePeerStoreAddresses?: { stop?: () => void } } } }
  components.addressManager._updatePeerStoreAddresses?.stop?.()
}

/**
 * Not started. `greeter` is asked only once connections come.
 */
export async function createHost (init: HostInit, greeter: Greeter): Promise<Host> {
  const host = await createLibp2p<{ identify: Identify, ping: Ping, dht: KadDHT, gossip: GossipSub }>({
    start: false,
    privateKey: init.privateKey,
    logger: init.logger,
    ...(init.datastore == null ? {} : { datastore: init.datastore }),
    nodeInfo: { name: 'weft', userAgent: init.agent },
    addresses: { listen: init.listen, announce: init.announce },
    transports: await transports([...init.listen, ...init.dial], init.dials, init.links),
    ...(init.local == null ? {} : { peerDiscovery: [await localDiscovery(init.local)] }),
    connectionEncrypters: [tls(), lazyNoise()],
    streamMuxers: [yamux({
      maxInboundStreams: limits.STREAMS_MAX,
      maxOutboundStreams: limits.STREAMS_MAX,
      streamOptions: {
        initialStreamWindowSize: limits.STREAM_WINDOW_INITIAL_BYTES,
        maxStreamWindowSize: limits.STREAM_WINDOW_MAX_BYTES,
        maxReadBufferLength: limits.STREAM_READ_BUFFER_MAX_BYTES,
        maxWriteBufferLength: limits.STREAM_WRITE_BUFFER_MAX_BYTES
      }
    })],
    connectionManager: {
      maxConnections: limits.CONNECTIONS_MAX,
      inboundConnectionThreshold: limits.INBOUND_PER_SECOND_AND_HOST,
      maxIncomingPendingConnections: limits.INBOUND_PENDING_MAX,
      maxParallelDials: limits.DIALS_PARALLEL_MAX,
      maxDialQueueLength: limits.DIAL_QUEUE_MAX,
      maxPeerAddrsToDial: limits.PEER_ADDRESSES_MAX,
      dialTimeout: limits.DIAL_TIMEOUT_MS,
      addressDialTimeout: limits.ADDRESS_DIAL_TIMEOUT_MS,
      inboundUpgradeTimeout: limits.UPGRADE_TIMEOUT_MS,
      inboundStreamProtocolNegotiationTimeout: limits.NEGOTIATION_TIMEOUT_MS,
      outboundStreamProtocolNegotiationTimeout: limits.NEGOTIATION_TIMEOUT_MS,
      connectionCloseTimeout: limits.CLOSE_TIMEOUT_MS
    },
    connectionMonitor: {
      // See probe.ts.
      enabled: false
    },
    connectionGater: {
      // Other key types cost more to check, and nothing of ours accepts them.
      denyInboundEncryptedConnection: notEd25519,
      denyOutboundEncryptedConnection: notEd25519,
      ...init.gater
    },
    services: {
      identify: identify(),
      ping: components => ping({ maxInboundStreams: limits.PING_STREAMS_MAX, maxOutboundStreams: limits.PING_STREAMS_MAX })(bounded(components)),
      dht: (components): KadDHT => {
        const datastore = withQuota(init.dht.datastore ?? components.datastore, components.peerId, senderNow)
        const dht = kadDHT({
          protocol: init.dht.protocol,
          clientMode: init.dht.mode === 'client',
          peerInfoMapper: toldAddresses,
          kBucketSize: limits.DHT_REPLICAS,
          alpha: limits.DHT_PARALLEL,
          disjointPaths: limits.DHT_DISJOINT_PATHS,
          initialQuerySelfInterval: limits.DHT_FIRST_SELF_QUERY_MS,
          allowQueryWithZeroPeers: true,
          reprovide: { validity: limits.PROVIDER_VALIDITY_MS },
          maxInboundStreams: limits.DHT_STREAMS_MAX,
          maxOutboundStreams: limits.DHT_STREAMS_MAX,
          validators: { ...init.dht.validators, pk: noPublicKeys },
          selectors: init.dht.selectors
        })(gate(override(components, { datastore }), greeter, dhtGuard()))
        limitDht(dht, components)
        return dht
      },
      gossip: (components): GossipSub => init.gossip.create(components, greeter)
    }
  })
  init.links?.govern(host)
  boundPeerStore(host.peerStore, peer => host.getConnections(peer).length > 0)
  return host
}

/** Loaded on demand: most nodes of an open network have no use for it. */
async function localDiscovery ({ serviceTag, found }: NonNullable<HostInit['local']>): Promise<NonNullable<Libp2pInit['peerDiscovery']>[number]> {
  const { mdns } = await import('@libp2p/mdns')
  return components => {
    const service = mdns({ serviceTag, interval: limits.MDNS_INTERVAL_MS })(components)
    // libp2p's own event comes only for peers its store has never seen.
    service.addEventListener('peer', ({ detail }) => { found(detail) })
    return service
  }
}

/** TCP always; the transport within one process only where an address asks for it. */
async function transports (addresses: string[], dials: DialObserver, links: Links | undefined): Promise<NonNullable<Libp2pInit['transports']>> {
  const overTcp = tcp()
  const used: NonNullable<Libp2pInit['transports']> = [components => observed(overTcp(components), dials, links)]
  if (!addresses.some(address => address.startsWith('/memory/'))) return used
  const { memory } = await import('@libp2p/memory')
  return [...used, memory()]
}

/** libp2p remembers that a peer could not be dialled, but not at which address. */
function observed (transport: Transport, { succeeded, failed }: DialObserver, links: Links | undefined): Transport {
  return override(transport, {
    dial: async (address, options) => {
      try {
        const peer = links == null ? undefined : address.getComponents().findLast(({ name }) => name === 'p2p')?.value
        if (peer != null) await links?.reach(peer, options.signal)
        const connection = await transport.dial(address, options)
        succeeded(address)
        return connection
      } catch (error) {
        // Whoever gave up waiting says nothing about the address; its own time limit does.
        const { signal } = options
        if (signal?.aborted !== true || (signal.reason as Error | undefined)?.name === 'TimeoutError') failed(address, error as Error)
        throw error
      }
    }
  })
}

function notEd25519 (peer: PeerId): boolean {
  return peer.type !== 'Ed25519'
}

/** Ed25519 keys are in the peer id; records of others would only fill the disk. */
function noPublicKeys (): never {
  throw new Error('public key records are not stored in this network')
}
