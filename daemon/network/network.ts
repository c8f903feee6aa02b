/** Makes the network of a node: host, hello, gossip, limits. */
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import { LevelDatastore } from 'datastore-level'
import type { Level } from 'level'
import { Access, banStore } from './access.ts'
import { DialGuard } from './dial-rules.ts'
import { diversify, type RoutingTable } from './diversity.ts'
import { GossipRouter } from './gossip-router.ts'
import { GossipService } from './gossip.ts'
import { HelloService } from './hello.ts'
import { createHost } from './host.ts'
import { InboundConnections } from './inbound.ts'
import type { Network } from './index.ts'
import { createComponentLogger } from './logger.ts'
import { neighbourStore } from './neighbour-store.ts'
import { checkConfig, endsAt, parseAddress, parseBootstrap, type NetworkInit } from './network-config.ts'
import { PeerDatastore } from './peer-datastore.ts'
import { Prober } from './probe.ts'
import { mdnsTag } from './proof.ts'
import { RttMonitor } from './rtt.ts'
import { WeftNetwork } from './weft-network.ts'

export type { NetworkConfig, NetworkInit } from './network-config.ts'

/**
 * Not started yet.
 *
 * @throws NetworkConfigError
 */
export async function createNetwork (init: NetworkInit): Promise<Network> {
  const { config, identity, log } = init
  checkConfig(config)
  const bootstrap = config.bootstrap.map(parseBootstrap).filter(address => !endsAt(address, identity.peerId))
  const access = new Access({ allow: config.allow ?? [], deny: config.deny ?? [] }, init.db == null ? undefined : banStore(init.db))
  await access.load()
  const dials = new DialGuard({ listen: config.listen.map(address => parseAddress(address, 'address')), explicit: bootstrap })
  const inbound = new InboundConnections({ network: config.name, open: config.secret == null, log })
  let hello: HelloService | undefined
  let network: WeftNetwork | undefined
  // The DHT is made with the host and hello after it; connections come only once both are there.
  const greeter = {
    isGreeted: (connection: Connection) => hello?.isGreeted(connection) ?? false,
    greeted: async (connection: Connection) => await (hello as HelloService).greeted(connection)
  }
  const topicPrefix = `/weft/${config.name}/`
  const router = new GossipRouter({ protocol: `/weft/${config.name}/meshsub/1.2.0`, topicPrefix, log })
  const libp2p = await createHost({
    privateKey: identity.nodeKey,
    listen: config.listen,
    dial: config.bootstrap,
    announce: config.announce ?? [],
    agent: config.agent ?? 'weft',
    logger: createComponentLogger(log, config.verbose ?? false),
    ...(config.mdns === true ? { local: { serviceTag: mdnsTag(config.name, config.secret), found: peer => { network?.found(peer) } } } : {}),
    ...(init.db == null ? {} : { datastore: new PeerDatastore(sublevel(init.db, 'peers'), log) }),
    ...(init.links == null ? {} : { links: init.links }),
    dht: {
      protocol: `/weft/${config.name}/kad/1.0.0`,
      mode: config.dhtMode,
      validators: init.validators ?? {},
      selectors: init.selectors ?? {},
      ...(init.db == null ? {} : { datastore: new LevelDatastore(sublevel(init.db, 'dht')) })
    },
    gossip: router,
    gater: {
      denyDialPeer: peer => access.refusal(peer.toString()) != null,
      denyDialMultiaddr: async address => await dials.denies(address),
      denyInboundConnection: (connection: MultiaddrConnection) => inbound.denies(connection)
    },
    dials: { succeeded: address => { dials.succeeded(address) }, failed: (address, error) => { dials.failed(address, error) } }
  }, greeter)
  const { routingTable } = libp2p.services.dht as unknown as { routingTable: RoutingTable }
  // Members of a private network are not many identities of one stranger.
  if (config.secret == null) diversify(routingTable, peer => libp2p.getConnections(peer)[0]?.remoteAddr)
  const failures = new EventTarget()
  hello = new HelloService({ libp2p, identity, log }, {
    protocol: `/weft/${config.name}/hello/1.0.0`,
    network: config.name,
    agent: config.agent ?? 'weft',
    roles: config.roles ?? [],
    ...(config.secret == null ? {} : { secret: config.secret }),
    refusal: (peer, operator) => access.refusal(peer, operator),
    passed: connection => {
      if (connection.direction === 'inbound') inbound.greeted(connection)
      // Where others come from says nothing of where this node can go.
      if (connection.direction === 'outbound') dials.met(connection.remoteAddr)
    },
    failed: (peer, reason) => { failures.dispatchEvent(Object.assign(new Event(peer.toString()), { reason })) },
    ...(init.helloTimeoutMs == null ? {} : { timeoutMs: init.helloTimeoutMs })
  })
  const gossip = new GossipService({ router, hello, log }, topicPrefix)
  network = new WeftNetwork({
    libp2p,
    hello,
    gossip,
    rtt: new RttMonitor({ hello, log }),
    // Nothing is said to who did not pass hello; their time is bounded anyway.
    prober: new Prober({ connections: () => hello?.peers().map(({ connection }) => connection) ?? [], log }),
    access,
    dials,
    routingTable,
    failures,
    name: config.name,
    bootstrap,
    log,
    ...(init.db == null ? {} : { store: neighbourStore(init.db) })
  })
  return network
}

function sublevel (db: Level<string, Uint8Array>, name: string): Level<string, Uint8Array> {
  return db.sublevel<string, Uint8Array>(name, { keyEncoding: 'utf8', valueEncoding: 'view' }) as unknown as Level<string, Uint8Array>
}
