/** The network of a node: host, hello, bootstrap. */
import type { Connection, IdentifyResult, PeerId, PeerInfo } from '@libp2p/interface'
import type { Selectors, Validators } from '@libp2p/kad-dht'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { LevelDatastore } from 'datastore-level'
import type { Level } from 'level'
import type { TypedEventTarget } from 'main-event'
import type { Log } from '../log.ts'
import type { Identity } from '../trust/index.ts'
import { Bootstrap } from './bootstrap.ts'
import { AGENT_CHARS_MAX, BOOTSTRAP_ADDRESSES_MAX, JOIN_TIMEOUT_MS, NETWORK_NAME_CHARS_MAX, ROLES_MAX, ROLE_CHARS_MAX } from './constants.ts'
import { NetworkConfigError } from './errors.ts'
import { HelloService } from './hello.ts'
import { createHost, settle, type Host } from './host.ts'
import type { Network, NetworkEvents, PeerGreeted } from './index.ts'
import { createComponentLogger } from './logger.ts'
import { Neighbours, type NeighbourStore } from './neighbours.ts'
import { neighbourStore } from './neighbour-store.ts'
import { mdnsTag, SECRET_BYTES } from './proof.ts'
import { settledOrAborted } from './wait.ts'

export interface NetworkConfig {
  /** Name of the network: letters, digits, `.`, `_` and `-`. */
  name: string
  /** Multiaddrs to listen on. */
  listen: string[]
  /** Multiaddrs of members to keep a connection to. */
  bootstrap: string[]
  /** Multiaddrs to tell others instead of those listened on. @default none */
  announce?: string[]
  /** A client asks the DHT and stores nothing for others. */
  dhtMode: 'server' | 'client'
  /** @default [] */
  roles?: string[]
  /** SECRET_BYTES that every member proves to know before anything is served to it. @default none: the network is open */
  secret?: Uint8Array
  /** Look for members on the local network, and be found there (multicast DNS). @default false */
  mdns?: boolean
  /** Program and version. @default 'weft' */
  agent?: string
  /** Pass libp2p's own messages to the log, at `debug`. @default false */
  verbose?: boolean
}

export interface NetworkInit {
  identity: Identity
  config: NetworkConfig
  log: Log
  /** For DHT records and known peers, in sub-levels; without it they live in memory. */
  db?: Level<string, Uint8Array>
  validators?: Validators
  selectors?: Selectors
  /** @default HELLO_TIMEOUT_MS */
  helloTimeoutMs?: number
}

/**
 * Not started yet.
 *
 * @throws NetworkConfigError
 */
export async function createNetwork (init: NetworkInit): Promise<Network> {
  const { config, identity, log } = init
  checkConfig(config)
  const bootstrap = config.bootstrap.map(parseBootstrap).filter(address => !endsAt(address, identity.peerId))
  let hello: HelloService | undefined
  let network: WeftNetwork | undefined
  // The DHT is made with the host and hello after it; connections come only once both are there.
  const greeter = {
    isGreeted: (connection: Connection) => hello?.isGreeted(connection) ?? false,
    greeted: async (connection: Connection) => await (hello as HelloService).greeted(connection)
  }
  const libp2p = await createHost({
    privateKey: identity.nodeKey,
    listen: config.listen,
    dial: config.bootstrap,
    announce: config.announce ?? [],
    agent: config.agent ?? 'weft',
    logger: createComponentLogger(log, config.verbose ?? false),
    ...(config.mdns === true ? { local: { serviceTag: mdnsTag(config.name, config.secret), found: peer => { network?.found(peer) } } } : {}),
    ...(init.db == null ? {} : { datastore: sublevel(init.db, 'peers') }),
    dht: {
      protocol: `/weft/${config.name}/kad/1.0.0`,
      mode: config.dhtMode,
      validators: init.validators ?? {},
      selectors: init.selectors ?? {},
      ...(init.db == null ? {} : { datastore: sublevel(init.db, 'dht') })
    }
  }, greeter)
  const failures = new EventTarget()
  hello = new HelloService({ libp2p, identity, log }, {
    protocol: `/weft/${config.name}/hello/1.0.0`,
    network: config.name,
    agent: config.agent ?? 'weft',
    roles: config.roles ?? [],
    ...(config.secret == null ? {} : { secret: config.secret }),
    failed: (peer, reason) => { failures.dispatchEvent(Object.assign(new Event(peer.toString()), { reason })) },
    ...(init.helloTimeoutMs == null ? {} : { timeoutMs: init.helloTimeoutMs })
  })
  network = new WeftNetwork(libp2p, hello, failures, config.name, bootstrap, log, init.db == null ? undefined : neighbourStore(init.db))
  return network
}

class WeftNetwork implements Network {
  readonly libp2p: Host
  readonly name: string
  readonly #hello: HelloService
  /** An event named by the peer's id when a connection to it does not pass hello. */
  readonly #failures: EventTarget
  readonly #bootstrap: Bootstrap
  readonly #bootstrapCount: number
  readonly #neighbours: Neighbours
  readonly #routingTable: RoutingTable
  #state: 'stopped' | 'started' = 'stopped'

  constructor (libp2p: Host, hello: HelloService, failures: EventTarget, name: string, bootstrap: Multiaddr[], log: Log, store: NeighbourStore | undefined) {
    this.libp2p = libp2p
    this.name = name
    this.#hello = hello
    this.#failures = failures
    this.#bootstrapCount = bootstrap.length
    this.#bootstrap = new Bootstrap({
      dial: async (address, options) => await libp2p.dial(address, options),
      greeted: async connection => await hello.greeted(connection),
      log
    }, { addresses: bootstrap })
    this.#neighbours = new Neighbours({
      dial: async (addresses, options) => { await settledOrAborted(hello.greeted(await libp2p.dial(addresses, options)), options.signal) },
      connected: () => hello.peers().map(({ peer }) => peer.toString()),
      ...(store == null ? {} : { store }),
      log
    })
    this.#routingTable = (libp2p.services.dht as unknown as { routingTable: RoutingTable }).routingTable
    this.#routingTable.addEventListener('peer:add', ({ detail: peer }) => { hello.safeDispatchEvent('routing', { detail: { peer } }) })
  }

  readonly #onPeer = ({ detail: { peer, connection } }: CustomEvent<PeerGreeted>): void => { void this.#remember(peer, connection) }
  readonly #onIdentify = ({ detail: { peerId, connection } }: CustomEvent<IdentifyResult>): void => { if (this.#hello.isGreeted(connection)) void this.#remember(peerId, connection) }
  readonly #onGone = (): void => { this.#neighbours.lost() }

  /** Somebody on the local network answers to this network's name. */
  found ({ id, multiaddrs }: PeerInfo): void {
    if (!id.equals(this.libp2p.peerId)) this.#neighbours.announced(id, multiaddrs)
  }

  /** Where a member can be dialled again: what it says it listens on, and what we dialled. */
  async #remember (peer: PeerId, connection: Connection): Promise<void> {
    const dialled = connection.direction === 'outbound' ? [connection.remoteAddr] : []
    const told = await this.libp2p.peerStore.get(peer).then(({ addresses }) => addresses.map(({ multiaddr: address }) => address), () => [/* not identified yet: that event follows */])
    this.#neighbours.met(peer, [...dialled, ...told])
  }

  get events (): TypedEventTarget<NetworkEvents> {
    return this.#hello
  }

  protocol (name: string, version = '1.0.0'): string {
    return `/weft/${this.name}/${name}/${version}`
  }

  async start (): Promise<void> {
    if (this.#state === 'started') return
    this.#state = 'started'
    await this.#hello.start()
    try {
      await this.libp2p.start()
    } catch (error) {
      this.#state = 'stopped'
      await this.#hello.stop()
      throw new NetworkConfigError('listen', `cannot listen: ${(error as Error).message}`, { cause: error })
    }
    this.#hello.addEventListener('peer', this.#onPeer)
    this.#hello.addEventListener('gone', this.#onGone)
    this.libp2p.addEventListener('peer:identify', this.#onIdentify)
    this.#bootstrap.start()
    this.#neighbours.start()
  }

  async stop (): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#hello.removeEventListener('peer', this.#onPeer)
    this.#hello.removeEventListener('gone', this.#onGone)
    this.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    await Promise.all([this.#bootstrap.stop(), this.#neighbours.stop()])
    await this.libp2p.stop()
    settle(this.libp2p)
    await this.#hello.stop()
  }

  peers (): PeerGreeted[] {
    return this.#hello.peers()
  }

  async greet (peer: PeerId, { signal }: { signal: AbortSignal }): Promise<PeerGreeted> {
    const known = this.#hello.peer(peer)
    if (known != null) return known
    // Without an address the DHT has to be asked, and a node that just started knows nobody there yet.
    if (!await this.#hasAddress(peer)) await this.joined({ signal: AbortSignal.any([signal, AbortSignal.timeout(JOIN_TIMEOUT_MS)]) })
    // A refusal may close the connection before the dial ends: then the reason for that is the reason.
    let refusal: Error | undefined
    const onFailure = (event: Event): void => { refusal = (event as Event & { reason: Error }).reason }
    this.#failures.addEventListener(peer.toString(), onFailure)
    try {
      const connection = await this.libp2p.dial(peer, { signal })
      return await settledOrAborted(this.#hello.greeted(connection), signal)
    } catch (error) {
      throw refusal ?? error
    } finally {
      this.#failures.removeEventListener(peer.toString(), onFailure)
    }
  }

  async #hasAddress (peer: PeerId): Promise<boolean> {
    if (this.libp2p.getConnections(peer).length > 0) return true
    return await this.libp2p.peerStore.has(peer) && (await this.libp2p.peerStore.get(peer)).addresses.length > 0
  }

  async requireGreeted (connection: Connection): Promise<void> {
    if (!this.#hello.isGreeted(connection)) await this.#hello.greeted(connection)
  }

  dhtPeers (): number {
    return this.#routingTable.size
  }

  async joined ({ signal }: { signal: AbortSignal }): Promise<boolean> {
    if (this.dhtPeers() > 0) return true
    if (signal.aborted || (this.#bootstrapCount === 0 && this.#hello.peers().length === 0)) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const onPeer = (): void => { resolve(true) }
    const onAbort = (): void => { resolve(false) }
    this.#hello.addEventListener('routing', onPeer)
    signal.addEventListener('abort', onAbort)
    try {
      return await promise
    } finally {
      this.#hello.removeEventListener('routing', onPeer)
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/** What kad-dht's routing table offers beyond its published type. */
interface RoutingTable extends TypedEventTarget<{ 'peer:add': CustomEvent<PeerId> }> { size: number }

function checkConfig ({ name, listen, announce = [], bootstrap, roles = [], agent = '', secret }: NetworkConfig): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || name.length > NETWORK_NAME_CHARS_MAX) {
    throw new NetworkConfigError('name', `network name '${name}': use up to ${NETWORK_NAME_CHARS_MAX} letters, digits, '.', '_' and '-', starting with a letter or digit`)
  }
  if (secret != null && secret.byteLength !== SECRET_BYTES) throw new NetworkConfigError('secret', `a network's secret has ${SECRET_BYTES} bytes, this one has ${secret.byteLength}`)
  for (const address of [...listen, ...announce]) parseAddress(address, 'address')
  if (bootstrap.length > BOOTSTRAP_ADDRESSES_MAX) throw new NetworkConfigError('bootstrap', `${bootstrap.length} bootstrap addresses, at most ${BOOTSTRAP_ADDRESSES_MAX} are used: remove some`)
  if (roles.length > ROLES_MAX || roles.some(role => role.length > ROLE_CHARS_MAX) || agent.length > AGENT_CHARS_MAX) throw new NetworkConfigError('name', 'too many or too long roles, or too long an agent string')
}

function parseBootstrap (address: string): Multiaddr {
  return parseAddress(address, 'bootstrap')
}

function parseAddress (address: string, code: 'address' | 'bootstrap'): Multiaddr {
  try {
    return multiaddr(address)
  } catch (error) {
    throw new NetworkConfigError(code, `'${address}' is not a multiaddr (such as /ip4/192.0.2.1/tcp/4001): ${(error as Error).message}`, { cause: error })
  }
}

function endsAt (address: Multiaddr, peer: PeerId): boolean {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value === peer.toString()
}

function sublevel (db: Level<string, Uint8Array>, name: string): LevelDatastore {
  return new LevelDatastore(db.sublevel<string, Uint8Array>(name, { keyEncoding: 'utf8', valueEncoding: 'view' }) as unknown as Level<string, Uint8Array>)
}
