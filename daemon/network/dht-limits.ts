/**
 * What one peer can make the DHT of this node do: how many others an answer or a request may name, and what of it is remembered.
 * kad-dht itself bounds none of it; what is replaced here are members beyond its published type.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { peerDiscoverySymbol, type Connection, type PeerId, type PeerInfo, type PeerStore, type Stream } from '@libp2p/interface'
import { MessageType, type KadDHT, type PeerResponseEvent, type QueryEvent } from '@libp2p/kad-dht'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { CID } from 'multiformats/cid'
import * as limits from './constants.ts'
import { guardLengths } from './framing.ts'
import { TokenBucket } from './rate.ts'

interface DhtPeer { id: Uint8Array, multiaddrs: Uint8Array[] }
interface DhtMessage { type: MessageType, providers: DhtPeer[], closer: DhtPeer[] }
interface Options { signal?: AbortSignal }
type Ask = (to: PeerId, message: { type: MessageType, key?: Uint8Array }, options: Options & { path: PeerResponseEvent['path'] }) => AsyncGenerator<QueryEvent>
type Query = (step: { peer: PeerInfo, signal: AbortSignal, path: PeerResponseEvent['path'] }) => AsyncGenerator<QueryEvent>

interface Internals {
  network: { sendRequest: Ask, safeDispatchEvent: (type: string, detail: { detail: PeerInfo }) => boolean }
  queryManager: { run: (key: Uint8Array, query: Query, options: Options) => AsyncGenerator<QueryEvent> }
  rpc: { handleMessage: (peer: PeerId, message: DhtMessage) => Promise<DhtMessage | undefined> }
  providers: { getProviders: (key: CID, options?: Options) => Promise<PeerId[]> }
}

const sender = new AsyncLocalStorage<PeerId>()

/** Whose message is being dealt with; undefined for what this node does itself. */
export function senderNow (): PeerId | undefined {
  return sender.getStore()
}

/** The addresses of a peer that are told to others: DHT_PEER_ADDRESS_BYTES_MAX of them, so that an answer with all its peers is not too long. */
export function toldAddresses ({ id, multiaddrs }: PeerInfo): PeerInfo {
  let bytes = 0
  const told: Multiaddr[] = []
  for (const address of multiaddrs.slice(0, limits.PEER_ADDRESSES_MAX)) {
    const size = address.bytes.byteLength + 2
    if (bytes + size > limits.DHT_PEER_ADDRESS_BYTES_MAX) continue
    bytes += size
    told.push(address)
  }
  return { id, multiaddrs: told }
}

/** `count` of them, by chance. */
export function sampleOf<T> (all: readonly T[], count: number, random: () => number = Math.random): T[] {
  const rest = [...all]
  for (let i = 0; i < Math.min(count, rest.length); i++) {
    const other = i + Math.floor(random() * (rest.length - i));
    [rest[i], rest[other]] = [rest[other] as T, rest[i] as T]
  }
  return rest.slice(0, count)
}

/** Limits what comes on a stream of the DHT: requests by size and by rate per peer, and one answer to one request. */
export function dhtGuard (now: () => number = () => performance.now()): (stream: Stream, connection: Connection) => void {
  /** By peer id; whoever was heard of last is last. */
  const budgets = new Map<string, TokenBucket>()
  return (stream, connection) => {
    if (stream.direction === 'outbound') {
      let answers = 0
      guardLengths(stream, limits.DHT_MESSAGE_BYTES_MAX, () => ++answers === 1)
      return
    }
    const key = connection.remotePeer.toString()
    const budget = budgets.get(key) ?? new TokenBucket()
    budgets.delete(key)
    budgets.set(key, budget)
    for (const oldest of budgets.keys()) {
      if (budgets.size <= limits.DHT_BUDGETS_MAX) break
      budgets.delete(oldest)
    }
    guardLengths(stream, limits.DHT_REQUEST_BYTES_MAX, bytes => budget.take(Math.max(bytes, limits.DHT_REQUEST_COST_MIN), now(), limits.DHT_BYTES_PER_SECOND_AND_PEER, limits.DHT_BYTES_BURST))
  }
}

/** Before the DHT starts. */
export function limitDht (dht: KadDHT, { peerId, peerStore }: { peerId: PeerId, peerStore: PeerStore }): void {
  const internals = dht as unknown as Internals
  const { network, queryManager, rpc, providers } = internals
  if ([network?.sendRequest, network?.safeDispatchEvent, queryManager?.run, rpc?.handleMessage, providers?.getProviders].some(member => typeof member !== 'function')) {
    throw new Error('this version of @libp2p/kad-dht is not the one dht-limits.ts was written for')
  }
  limitAnswers(dht, network, peerId, peerStore)
  limitRequests(rpc)
  limitTold(providers, peerStore)
  askEverybody(dht, internals, peerId, peerStore)
}

/**
 * Answers: the peers closer to the key are remembered, as the query goes on to them; providers are not, as whoever looks for them has them from the
 * answer. kad-dht remembers all, and a liar names a thousand at a time.
 */
function limitAnswers (dht: KadDHT, network: Internals['network'], self: PeerId, peerStore: PeerStore): void {
  const { sendRequest } = network
  const dispatch = network.safeDispatchEvent.bind(network)
  network.safeDispatchEvent = (type, detail) => type === 'peer' ? true : dispatch(type, detail)
  // libp2p would put everybody into the peer store.
  Object.defineProperty(dht, peerDiscoverySymbol, { value: undefined })
  network.sendRequest = async function * (to, message, options) {
    for await (const event of sendRequest.call(network, to, message, options)) {
      if (event.name === 'PEER_RESPONSE') {
        event.closer = event.closer.slice(0, limits.DHT_CLOSER_MAX)
        for (const peer of [...event.closer, ...event.providers]) peer.multiaddrs = peer.multiaddrs.slice(0, limits.PEER_ADDRESSES_MAX)
        await Promise.all(event.closer.filter(({ id, multiaddrs }) => multiaddrs.length > 0 && !id.equals(self)).map(async ({ id, multiaddrs }) => await peerStore.merge(id, { multiaddrs })))
        for (const peer of event.closer) dispatch('peer', { detail: peer })
      }
      yield event
    }
  }
}

/** Requests: a provider names itself, once. kad-dht writes to the store for each time it does. */
function limitRequests (rpc: Internals['rpc']): void {
  const { handleMessage } = rpc
  rpc.handleMessage = async (peer, message) => {
    const own = peer.toMultihash().bytes
    const named = message.type === MessageType.ADD_PROVIDER ? message.providers.find(({ id, multiaddrs }) => multiaddrs.length > 0 && Buffer.from(own).equals(id)) : undefined
    message.providers = named == null ? [] : [{ id: named.id, multiaddrs: named.multiaddrs.slice(0, limits.PEER_ADDRESSES_MAX) }]
    message.closer = []
    return await sender.run(peer, async () => await handleMessage.call(rpc, peer, message))
  }
}

/**
 * Providers that this node tells: as many as fit an answer, which would otherwise be refused as a whole. kad-dht's answer also fails as a whole if
 * the peer store does not know one of them any more.
 */
function limitTold (providers: Internals['providers'], peerStore: PeerStore): void {
  const getProviders = providers.getProviders.bind(providers)
  providers.getProviders = async (key, options) => {
    const told = sampleOf(await getProviders(key, options), limits.DHT_PROVIDERS_TOLD_MAX)
    const known = await Promise.all(told.map(async peer => await peerStore.has(peer)))
    return told.filter((_, i) => known[i])
  }
}

/** Searches for providers: kad-dht ends one as soon as it has heard of eight, so that one liar who answers first ends it. */
function askEverybody (dht: KadDHT, { network, queryManager, providers }: Internals, self: PeerId, peerStore: PeerStore): void {
  dht.findProviders = async function * (key, options = {}) {
    const request = { type: MessageType.GET_PROVIDERS, key: key.multihash.bytes }
    const path = { index: -1, queued: 0, running: 0, total: 0 }
    const held = await Promise.all((await providers.getProviders(key, options)).map(async peer => await peerStore.getInfo(peer).catch(() => ({ id: peer, multiaddrs: [] }))))
    if (held.length > 0) {
      yield { name: 'PEER_RESPONSE', type: 1, from: self, messageName: request.type, messageType: request.type, closer: [], providers: held, path } satisfies PeerResponseEvent
      yield { name: 'PROVIDER', type: 4, from: self, providers: held, path }
    }
    const seen = new Set(held.map(({ id }) => id.toString()))
    const ask: Query = async function * ({ peer, signal, path: at }) { yield * network.sendRequest(peer.id, request, { ...options, signal, path: at }) }
    for await (const event of queryManager.run(request.key, ask, options)) {
      yield event
      if (event.name !== 'PEER_RESPONSE') continue
      const fresh = event.providers.filter(({ id }) => !seen.has(id.toString()))
      for (const { id } of fresh) seen.add(id.toString())
      if (fresh.length > 0) yield { name: 'PROVIDER', type: 4, from: event.from, providers: fresh, path: event.path }
    }
  }
}
