/** The network side of the node's public API: what the registry and the connections know, as the gateway shows it. */
import { ConversionError, mediaTypeOf } from './block-convert/index.ts'
import { isWithin } from './config/index.ts'
import type { ProviderView, Registry } from './dht-registry/index.ts'
import { ApiError, selectNodes, type BanInfo, type NetworkView, type NodeApi, type NodeView, type PeerInfo, type PostedPrice } from './gateway/index.ts'
import { pricePerGib } from './market/index.ts'
import type { Network, PeerView } from './network/index.ts'
import type { Identity } from './trust/index.ts'

const WEEK_MINUTES = 7 * 24 * 60

export interface NetworkApiComponents {
  identity: Identity
  network: Network
  registry: Registry
  /** How busy this node is: nobody tells it by gossip. */
  executor: { readonly slots: number, readonly busy: number }
  /** What this node asks now. */
  posted: () => PostedPrice
  /** Asks this from now on and tells others; without a unit it stays what it is. */
  setPrice: (price: string, unit?: string) => Promise<void>
}

type NetworkApi = Pick<NodeApi, 'nodes' | 'network' | 'peers' | 'connect' | 'bans' | 'ban' | 'unban' | 'postedPrice' | 'setPrice'>

export function createNetworkApi ({ identity, network, registry, executor, posted, setPrice }: NetworkApiComponents): NetworkApi {
  const look = (): NetworkView => {
    const at = Date.now()
    const peers = new Map(network.peerViews().map(view => [view.peer, view]))
    return { at, unit: posted().unit, nodes: registry.view().map(view => view.peer.equals(identity.peerId) ? ownView(view, at) : nodeViewOf(view, { at, self: false, connection: peers.get(view.peer.toString()) })) }
  }
  const ownView = (own: ProviderView, at: number): NodeView => {
    const view = nodeViewOf(own, { at, self: true, connection: undefined })
    return { ...view, facts: { ...view.facts, load: { slots: executor.slots, busy: executor.busy, source: 'self', ageMs: 0 } } }
  }
  const ban = (subject: string): BanInfo | undefined => network.bans().find(entry => entry.subject === subject)
  return {
    nodes: async filter => {
      const { from, to, ...rest } = filter
      const page = selectNodes(look(), { ...rest, ...(from != null ? { from: typeNamed(from) } : {}), ...(to != null ? { to: typeNamed(to) } : {}) })
      // Derived for a page only: the whole network may have hundreds of thousands of them.
      return { ...page, nodes: page.nodes.map(withDerivedPrices) }
    },
    network: ({ derived = false } = {}) => {
      const view = look()
      return derived ? { ...view, nodes: view.nodes.map(withDerivedPrices) } : view
    },
    peers: () => network.peerViews().map(peerInfoOf).toSorted((a, b) => a.peer < b.peer ? -1 : 1),
    connect: async (address, { signal }) => {
      const peer = await connected(network, address, signal)
      const view = network.peerViews().find(view => view.peer === peer)
      if (view == null) throw notReached(address, 'the connection was closed at once')
      return peerInfoOf(view)
    },
    bans: () => network.bans().map(({ subject, reason, since }) => ({ subject, reason, since })).toSorted((a, b) => a.since - b.since),
    ban: async (subject, reason) => {
      try {
        await network.ban(subject, reason)
      } catch (error) {
        throw new ApiError(409, 'ban-refused', `${subject} could not be banned: ${(error as Error).message}`, { subject })
      }
      return ban(subject) ?? { subject, reason, since: Date.now() }
    },
    unban: async subject => await network.unban(subject),
    postedPrice: posted,
    setPrice
  }
}

interface Context { at: number, self: boolean, connection: PeerView | undefined }

export function nodeViewOf ({ peer, advert, source, seen, connected, facts }: ProviderView, { at, self, connection }: Context): NodeView {
  const { operator, addresses, resources, converters, price, unit, draining, policy } = advert
  const rttMs = self ? 0 : rounded(connection?.rttMs)
  const age = (time: number): number => Math.max(0, at - time)
  return {
    peer: peer.toString(),
    operator,
    self,
    connected,
    source,
    ageMs: age(seen),
    addresses,
    resourceTypes: converters.length > 0 ? ['CPU'] : [],
    resources,
    converters: converters.map(({ id, version, from, to, bytesPerSecond }) => ({ id, version, from, to, bytesPerSecond })),
    price,
    unit,
    draining,
    facts: {
      price: { source: facts.price.source, ageMs: age(facts.price.seen) },
      ...(facts.load != null ? { load: { slots: facts.load.slots, busy: facts.load.busy, loopDelayMs: facts.load.loopDelayMs, source: facts.load.source, ageMs: age(facts.load.seen) } } : {})
    },
    ...(rttMs != null ? { rttMs } : {}),
    latencyBand: self ? 'lan' : connection?.band ?? 'unknown',
    policy: { hours: policy.hours, maxLeases: policy.maxLeases, everyone: policy.everyone, open: isOpen(policy.hours, at) }
  }
}

export function withDerivedPrices (node: NodeView): NodeView {
  return {
    ...node,
    converters: node.converters.map(converter => {
      const derived = pricePerGib(node.price, converter.bytesPerSecond)
      return derived == null ? converter : { ...converter, pricePerGib: derived }
    })
  }
}

/** @param hours - minutes of the UTC week, the end excluded; one that ends before it begins goes over Sunday midnight */
export function isOpen (hours: Array<[from: number, to: number]>, at: number): boolean {
  return isWithin(hours.map(([from, to]) => [from, to <= from ? to + WEEK_MINUTES : to]), at)
}

/** Hundredths of a millisecond: what is beyond is noise. */
const rounded = (rttMs: number | undefined): number | undefined => rttMs == null ? undefined : Math.round(rttMs * 100) / 100

function peerInfoOf ({ peer, operator, agent, roles, address, direction, since, rttMs, band }: PeerView): PeerInfo {
  return { peer, operator, agent, roles, address, direction, since, ...(rttMs != null ? { rttMs: rounded(rttMs) as number } : {}), band }
}

/** @returns the peer id it was greeted as */
async function connected (network: Network, address: string, signal: AbortSignal): Promise<string> {
  try {
    return (await network.connect(address, { signal })).peer.toString()
  } catch (error) {
    const { name, message, code } = error as Error & { code?: string }
    if (name === 'NetworkConfigError' && code === 'address') throw new ApiError(400, 'bad-request', message, { field: 'address', in: 'body' })
    throw notReached(address, (signal.reason as Error | undefined)?.name === 'TimeoutError' ? 'it did not answer in time' : message)
  }
}

const notReached = (address: string, why: string): ApiError => new ApiError(502, 'not-reached', `cannot connect to ${address}: ${why}`, { address })

/** A type as a user may name it, as a media type. */
function typeNamed (name: string): string {
  try {
    return mediaTypeOf(name)
  } catch (error) {
    if (error instanceof ConversionError) throw new ApiError(400, 'usage', error.message, error.details)
    throw error
  }
}
