/** A node's network, put together: see index.ts for what it promises. */
import type { Connection, IdentifyResult, PeerId, PeerInfo } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'
import type { Log } from '../log.ts'
import type { Access } from './access.ts'
import { Bootstrap } from './bootstrap.ts'
import { JOIN_TIMEOUT_MS, LOOKUP_PAUSE_MS, LOOKUP_TRIES } from './constants.ts'
import type { DialGuard } from './dial-rules.ts'
import type { RoutingTable } from './diversity.ts'
import { DialError, HelloError, NetworkConfigError } from './errors.ts'
import type { GossipService } from './gossip.ts'
import type { HelloService } from './hello.ts'
import { settle, type Host } from './host.ts'
import type { Ban, Gossip, Network, NetworkEvents, PeerGreeted, PeerView } from './index.ts'
import { bandOf } from './latency.ts'
import { Mesh } from './mesh.ts'
import { Neighbours, type NeighbourStore } from './neighbours.ts'
import type { Prober } from './probe.ts'
import type { RttMonitor } from './rtt.ts'
import { pause, settledOrAborted } from './wait.ts'

export interface WeftNetworkParts {
  libp2p: Host
  hello: HelloService
  gossip: GossipService
  rtt: RttMonitor
  prober: Prober
  access: Access
  dials: DialGuard
  routingTable: RoutingTable
  /** An event named by the peer's id when a connection to it does not pass hello. */
  failures: EventTarget
  name: string
  bootstrap: Multiaddr[]
  log: Log
  store?: NeighbourStore
}

export class WeftNetwork implements Network {
  readonly libp2p: Host
  readonly name: string
  readonly #parts: WeftNetworkParts
  readonly #hello: HelloService
  readonly #bootstrap: Bootstrap
  readonly #bootstrapCount: number
  readonly #neighbours: Neighbours
  readonly #routingTable: RoutingTable
  readonly #mesh: Mesh
  #state: 'stopped' | 'started' = 'stopped'

  constructor (parts: WeftNetworkParts) {
    const { libp2p, hello, log, bootstrap, store } = parts
    this.libp2p = libp2p
    this.name = parts.name
    this.#parts = parts
    this.#hello = hello
    this.#bootstrapCount = bootstrap.length
    this.#bootstrap = new Bootstrap({
      dial: async (address, options) => await libp2p.dial(address, options),
      greeted: async connection => await hello.greeted(connection),
      log
    }, { addresses: bootstrap })
    this.#neighbours = new Neighbours({
      dial: async (addresses, { reached, local, signal }) => {
        const releases = local ? [parts.dials.allowLocal(addresses)] : reached.map(address => parts.dials.allow(address))
        try {
          await settledOrAborted(hello.greeted(await libp2p.dial(addresses, { signal })), signal)
        } finally {
          for (const release of releases) release()
        }
      },
      connected: () => hello.peers().map(({ peer }) => peer.toString()),
      ...(store == null ? {} : { store }),
      log
    })
    this.#routingTable = parts.routingTable
    this.#mesh = new Mesh({ walk: (key, options) => libp2p.services.dht.getClosestPeers(key, options), size: () => this.dhtPeers(), log })
    this.#routingTable.addEventListener('peer:add', ({ detail: peer }) => {
      hello.safeDispatchEvent('routing', { detail: { peer } })
      this.#mesh.met()
    })
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
    this.#neighbours.met(peer, told, dialled)
  }

  get events (): TypedEventTarget<NetworkEvents> {
    return this.#hello
  }

  get gossip (): Gossip {
    return this.#parts.gossip
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
    this.#mesh.start()
    this.#hello.addEventListener('peer', this.#onPeer)
    this.#hello.addEventListener('gone', this.#onGone)
    this.libp2p.addEventListener('peer:identify', this.#onIdentify)
    this.#parts.gossip.start()
    this.#parts.rtt.start()
    this.#parts.prober.start()
    this.#bootstrap.start()
    this.#neighbours.start()
  }

  async stop (): Promise<void> {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#hello.removeEventListener('peer', this.#onPeer)
    this.#hello.removeEventListener('gone', this.#onGone)
    this.libp2p.removeEventListener('peer:identify', this.#onIdentify)
    await Promise.all([this.#bootstrap.stop(), this.#neighbours.stop(), this.#mesh.stop()])
    await this.#parts.rtt.stop()
    await this.#parts.prober.stop()
    this.#parts.gossip.stop()
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
    this.#admissible(peer)
    // Without an address the DHT has to be asked, and a node that just started knows nobody there yet.
    if (!await this.#hasAddress(peer)) await this.joined({ signal: AbortSignal.any([signal, AbortSignal.timeout(JOIN_TIMEOUT_MS)]) })
    return await this.#dial(peer, peer, signal)
  }

  async connect (address: string, { signal }: { signal: AbortSignal }): Promise<PeerGreeted> {
    const { peer, at } = parseTarget(address)
    if (at == null) return await this.greet(peer, { signal })
    this.#admissible(peer)
    const release = this.#parts.dials.allow(at)
    try {
      return await this.#dial(at, peer, signal)
    } finally {
      release()
    }
  }

  /** @throws HelloError `access`, `self` */
  #admissible (peer: PeerId): void {
    const refusal = this.#parts.access.refusal(peer.toString())
    if (refusal != null) throw new HelloError('access', `${peer.toString()} is ${refusal}`)
    if (peer.equals(this.libp2p.peerId)) throw new HelloError('self', `${peer.toString()} is this node itself`)
  }

  async #dial (target: PeerId | Multiaddr, peer: PeerId, signal: AbortSignal): Promise<PeerGreeted> {
    // A refusal may close the connection before the dial ends: then the reason for that is the reason.
    let refusal: Error | undefined
    const onFailure = (event: Event): void => { refusal = (event as Event & { reason: Error }).reason }
    this.#parts.failures.addEventListener(peer.toString(), onFailure)
    try {
      const connection = await this.#reach(target, signal)
      return await settledOrAborted(this.#hello.greeted(connection), signal)
    } catch (error) {
      throw refusal ?? inWords(error as Error, peer)
    } finally {
      this.#parts.failures.removeEventListener(peer.toString(), onFailure)
    }
  }

  /** A member that joined a moment ago is not in the DHT yet: it is looked for again. */
  async #reach (target: PeerId | Multiaddr, signal: AbortSignal): Promise<Connection> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.libp2p.dial(target, { signal })
      } catch (error) {
        if ((error as Error).name !== 'NoValidAddressesError' || tries >= LOOKUP_TRIES || this.dhtPeers() === 0) throw error
        await pause(LOOKUP_PAUSE_MS * tries, signal)
        signal.throwIfAborted()
      }
    }
  }

  peerViews (): PeerView[] {
    return this.#hello.peers().map(greeted => viewOf(greeted, this.#parts.rtt.rttMs(greeted.peer.toString())))
  }

  rttMs (peer: PeerId): number | undefined {
    return this.#parts.rtt.rttMs(peer.toString())
  }

  bans (): Ban[] {
    return this.#parts.access.bans()
  }

  async ban (subject: string, reason: string): Promise<void> {
    const { access } = this.#parts
    const saved = access.ban(subject, reason, Date.now())
    const operators = new Map(this.#hello.greetings().map(({ connection, hello }) => [connection.id, hello.operator]))
    for (const connection of this.libp2p.getConnections()) {
      const refusal = access.refusal(connection.remotePeer.toString(), operators.get(connection.id))
      if (refusal == null) continue
      this.#neighbours.forget(connection.remotePeer)
      connection.abort(new HelloError('access', refusal))
    }
    await saved
  }

  async unban (subject: string): Promise<boolean> {
    return await this.#parts.access.unban(subject)
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

function viewOf ({ peer, connection, hello }: PeerGreeted, rttMs: number | undefined): PeerView {
  return {
    peer: peer.toString(),
    operator: hello.operator,
    agent: hello.agent,
    roles: hello.roles,
    address: connection.remoteAddr.toString(),
    direction: connection.direction,
    since: connection.timeline.open,
    ...(rttMs == null ? {} : { rttMs }),
    band: bandOf(rttMs)
  }
}

/**
 * A peer id, or a multiaddr with the peer id at its end.
 *
 * @throws NetworkConfigError `address`
 */
function parseTarget (text: string): { peer: PeerId, at?: Multiaddr } {
  try {
    if (!text.startsWith('/')) return { peer: peerIdFromString(text) }
    const at = multiaddr(text)
    const id = at.getComponents().findLast(({ name }) => name === 'p2p')?.value
    if (id != null) return { peer: peerIdFromString(id), at }
  } catch (error) {
    throw new NetworkConfigError('address', `'${text}' is neither a peer id nor a multiaddr: ${(error as Error).message}`, { cause: error })
  }
  throw new NetworkConfigError('address', `'${text}' does not say whom to connect to: end it with /p2p/ and the peer's id, as \`weft status\` prints it there`)
}

/** libp2p's errors of dials name its own parts. */
function inWords (error: Error, peer: PeerId): Error {
  if (error instanceof AggregateError) return new DialError(`${peer.toString()} does not answer: ${error.errors.map(({ message }: Error) => message).join('; ')}`, { cause: error })
  if (error.name === 'DialDeniedError') return new DialError(`no address of ${peer.toString()} is dialled: they point into a local network this node is not in, or did not answer lately`, { cause: error })
  if (error.name === 'NoValidAddressesError') return new DialError(`no address of ${peer.toString()} is known`, { cause: error })
  return error
}
