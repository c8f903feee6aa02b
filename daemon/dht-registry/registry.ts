/** The registry of a node: its own advert, what it knows of others, and where it looks. */
import type { PeerId } from '@libp2p/interface'
import type { Level } from 'level'
import type { TypedEventTarget } from 'main-event'
import type { Log } from '../log.ts'
import type { Network, PeerGreeted } from '../network/index.ts'
import type { Identity } from '../trust/index.ts'
import { openAdvert, sealAdvert } from './adverts.ts'
import { Announcer } from './announcer.ts'
import { BackgroundLookups } from './background.ts'
import { ADDRESSES_MAX, ADVERT_RENEW_MS, ADVERT_VALIDITY_MS, ANNOUNCE_ON_JOIN_PEERS_MAX, DHT_OPERATION_TIMEOUT_MS, GOODBYE_TIMEOUT_MS, LOOKUP_TIMEOUT_MS, PUSHES_PARALLEL_MAX, SWEEP_INTERVAL_MS } from './constants.ts'
import { AdvertError } from './errors.ts'
import { AdvertExchange } from './exchange.ts'
import { findProviders, type Edge } from './finder.ts'
import type { Floors } from './floors.ts'
import type { Advert, AdvertContent, Observation, ProviderView, Registry, RegistryEvents } from './index.ts'
import { contentId, recordKey } from './keys.ts'
import { Knowledge } from './knowledge.ts'
import { fetchRecord, viewOfRecord } from './lookup.ts'
import { AdvertMemory } from './memory.ts'
import { Placement } from './placement.ts'
import { digestOf, sealRecord } from './records.ts'
import { openSequence, type Sequence } from './sequence.ts'
import type { KnownAdvert } from './table.ts'

export interface RegistryInit {
  network: Network
  identity: Identity
  /** The same that the DHT's validators were given. */
  floors: Floors
  log: Log
  /** For the sequence of this node's adverts and for those of others; without it, the sequence starts from the clock and nothing is remembered. */
  db?: Level<string, Uint8Array>
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

export function createRegistry (init: RegistryInit): Registry {
  return new AdvertRegistry(init)
}

class AdvertRegistry implements Registry {
  readonly #init: RegistryInit
  readonly #now: () => number
  readonly #memory: AdvertMemory
  readonly #known: Knowledge
  readonly #background: BackgroundLookups
  readonly #placement: Placement
  /** Of the shards of each conversion, as searches found them. */
  readonly #depths = new Map<string, number>()
  readonly #exchange: AdvertExchange
  #announcer: Announcer | undefined
  #sequence: Sequence | undefined
  #content: AdvertContent | undefined
  #own: Uint8Array | undefined
  #publishing: Promise<void> = Promise.resolve()
  #renewal: NodeJS.Timeout | undefined
  #sweep: NodeJS.Timeout | undefined
  #stop = new AbortController()

  constructor (init: RegistryInit) {
    this.#init = init
    this.#now = init.now ?? Date.now
    const { network, floors, db, log } = init
    const connected = (): ReadonlySet<string> => new Set(network.peers().map(({ peer }) => peer.toString()))
    this.#memory = new AdvertMemory({ ...(db == null ? {} : { db }), connected, log })
    this.#known = new Knowledge({ connected, memory: this.#memory, now: this.#now })
    floors.protect?.(() => {
      const peers = connected()
      return { isConnected: peer => peers.has(peer), isKnown: peer => this.#known.has(peer) }
    })
    this.#background = new BackgroundLookups({
      lookup: async (peer, signal) => { await this.#learn(peer, signal) },
      found: observation => { this.#known.observe(observation) },
      now: this.#now,
      log
    })
    this.#placement = new Placement({ dht: network.libp2p.services.dht, dhtPeers: () => network.dhtPeers(), log }, init.identity.peerId.toString())
    this.#exchange = new AdvertExchange(network, {
      own: () => this.#own,
      pushed: async (advert, from) => { await this.#admit(advert, from) },
      goodbye: peer => { this.#known.forget(peer) }
    }, log)
  }

  get events (): TypedEventTarget<RegistryEvents> {
    return this.#known.events
  }

  async start (): Promise<void> {
    const { network, db, log } = this.#init
    this.#stop = new AbortController()
    if (this.#sequence == null) {
      this.#sequence = await openSequence(db)
      await this.#recall()
    }
    const { dht } = network.libp2p.services
    this.#announcer = new Announcer({ dht, keysFor: async (edge, signal) => await this.#placement.keys(edge, signal), hasPeers: () => network.dhtPeers() > 0, log })
    await this.#exchange.start()
    network.events.addEventListener('peer', this.#onPeer)
    network.events.addEventListener('routing', this.#onRouting)
    this.#sweep = setInterval(() => { this.#known.expire() }, SWEEP_INTERVAL_MS).unref()
    // What these told before there was anybody to listen is lost.
    for (const greeted of network.peers()) {
      this.#greet(greeted)
      this.#ask(greeted.peer, this.#stop.signal).catch(error => { log.debug({ peer: greeted.peer.toString(), reason: (error as Error).message }, 'a neighbour did not give its advert') })
    }
    if (this.#content != null) await this.publish(this.#content)
  }

  async stop (): Promise<void> {
    const { network, log } = this.#init
    if (this.#announcer == null) return
    this.#stop.abort()
    clearTimeout(this.#renewal)
    clearInterval(this.#sweep)
    network.events.removeEventListener('peer', this.#onPeer)
    network.events.removeEventListener('routing', this.#onRouting)
    await this.#publishing
    await this.#background.stop()
    await this.#announcer.stop()
    this.#announcer = undefined
    if (this.#own != null) {
      const signal = AbortSignal.timeout(GOODBYE_TIMEOUT_MS)
      await this.#each(network.peers(), signal, async ({ connection }) => { await this.#exchange.goodbye(connection, signal) })
    }
    await this.#exchange.stop()
    await this.#memory.settled()
    log.debug('registry stopped')
  }

  async publish (content: AdvertContent): Promise<void> {
    this.#content = content
    const mine = this.#publishing.then(async () => { await this.#publish(content) })
    // A failure is this caller's to see, and must not keep the next one from publishing.
    this.#publishing = mine.catch(() => {})
    await mine
  }

  find (edge: Edge, { signal }: { signal: AbortSignal }): AsyncIterable<ProviderView> {
    const { network, log } = this.#init
    return findProviders({
      network,
      dht: network.libp2p.services.dht,
      known: () => this.view().filter(({ source }) => source !== 'self'),
      lookup: async (peer, options) => await this.#ask(peer, options.signal),
      depths: this.#depths,
      log
    }, edge, AbortSignal.any([signal, this.#stop.signal]))
  }

  view (): ProviderView[] {
    return this.#known.view()
  }

  observe (observation: Observation): boolean {
    if (observation.peer.equals(this.#init.identity.peerId)) return false
    const taken = this.#known.observe(observation)
    if (taken === 'unknown' && this.#announcer != null) this.#background.want(observation)
    return taken === 'taken'
  }

  async lookup (peer: PeerId, { signal }: { signal: AbortSignal }): Promise<ProviderView | undefined> {
    if (peer.equals(this.#init.identity.peerId)) return this.view().find(({ source }) => source === 'self')
    try {
      const view = await this.#ask(peer, signal)
      if (view != null) return view
    } catch (error) {
      if (signal.aborted) throw error
      this.#init.log.debug({ peer: peer.toString(), reason: (error as Error).message }, 'a peer did not give its advert; asking the DHT')
    }
    return await this.#fromDht(peer, signal)
  }

  async #publish (content: AdvertContent): Promise<void> {
    const { network, identity, log } = this.#init
    const { signal } = this.#stop
    if (signal.aborted || this.#sequence == null || this.#announcer == null) throw new Error('the registry is not started')
    const now = this.#now()
    const advert: Advert = {
      ...content,
      version: 1,
      network: network.name,
      peer: identity.peerId.toString(),
      operator: identity.operator,
      delegation: identity.delegation,
      addresses: network.libp2p.getMultiaddrs().slice(0, ADDRESSES_MAX).map(address => address.toString()),
      sequence: await this.#sequence.next(now),
      issued: now,
      expires: now + ADVERT_VALIDITY_MS
    }
    const sealed = await sealAdvert(identity.nodeKey, advert)
    const record = await sealRecord(identity.nodeKey, advert, await contentId(sealed))
    this.#own = sealed
    this.#known.remember({ peer: identity.peerId, advert, source: 'self', seen: now, size: sealed.byteLength })
    this.#announcer.set({ key: recordKey(identity.peerId), record, capabilities: content.draining ? [] : edgesOf(content) })
    clearTimeout(this.#renewal)
    this.#renewal = setTimeout(() => { this.#renew() }, ADVERT_RENEW_MS).unref()
    this.#each(network.peers(), signal, async ({ connection }) => { await this.#exchange.push(connection, sealed, signal) })
      .catch(error => { log.debug({ reason: (error as Error).message }, 'pushing the advert ended early') })
  }

  #renew (): void {
    if (this.#content == null || this.#stop.signal.aborted) return
    this.publish(this.#content).catch(error => { this.#init.log.warn({ reason: (error as Error).message }, 'the advert could not be renewed') })
  }

  readonly #onPeer = ({ detail }: CustomEvent<PeerGreeted>): void => { this.#greet(detail) }

  readonly #onRouting = (): void => {
    if (this.#init.network.peers().length <= ANNOUNCE_ON_JOIN_PEERS_MAX) this.#announcer?.again()
  }

  /** Each side tells a new neighbour its advert. */
  #greet ({ connection }: PeerGreeted): void {
    const { signal } = this.#stop
    const own = this.#own
    if (own == null || signal.aborted) return
    this.#exchange.push(connection, own, signal).catch(error => {
      if (!signal.aborted) this.#init.log.debug({ peer: connection.remotePeer.toString(), reason: (error as Error).message }, 'the advert was not taken')
    })
  }

  async #ask (peer: PeerId, signal: AbortSignal): Promise<ProviderView | undefined> {
    const sealed = await this.#exchange.ask(peer, { signal: AbortSignal.any([signal, this.#stop.signal]) })
    return sealed == null ? undefined : await this.#admit(sealed, peer)
  }

  /** Takes an advert that came from the peer it is about. @throws AdvertError */
  async #admit (sealed: Uint8Array, from: PeerId): Promise<ProviderView> {
    const { network, floors } = this.#init
    const now = this.#now()
    const { advert, peer } = await openAdvert(sealed, { network: network.name, now })
    if (!peer.equals(from)) throw new AdvertError('signer', `of ${peer.toString()}, sent by ${from.toString()}`)
    await floors.admit({ peer: advert.peer, kind: 'advert', sequence: advert.sequence, issued: advert.issued, digest: digestOf(sealed) })
    const known: KnownAdvert = { peer, advert, source: 'direct', seen: now, size: sealed.byteLength }
    this.#known.remember(known, sealed)
    return this.#known.viewOf(known)
  }

  /** What earlier runs knew and is still valid. */
  async #recall (): Promise<void> {
    const { network, floors, log } = this.#init
    for (const { peer, sealed, seen } of await this.#memory.load()) {
      try {
        const { advert, peer: signer } = await openAdvert(sealed, { network: network.name, now: this.#now() })
        if (advert.sequence < floors.sequence(advert.peer)) throw new AdvertError('stale', `of ${advert.peer}, a newer one was seen since`)
        this.#known.remember({ peer: signer, advert, source: 'memory', seen, size: sealed.byteLength })
      } catch (error) {
        this.#memory.forget(peer)
        log.debug({ peer, reason: (error as Error).message }, 'a remembered advert is no longer of use')
      }
    }
  }

  /** In the background nobody is dialled for it: a neighbour is asked, the DHT for anybody else. */
  async #learn (peer: PeerId, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)])
    const isNeighbour = this.#init.network.peers().some(greeted => greeted.peer.equals(peer))
    if (isNeighbour) await this.#ask(peer, limit)
    else await this.#fromDht(peer, limit)
  }

  async #fromDht (peer: PeerId, signal: AbortSignal): Promise<ProviderView | undefined> {
    const { network, floors } = this.#init
    const limit = AbortSignal.any([signal, this.#stop.signal, AbortSignal.timeout(DHT_OPERATION_TIMEOUT_MS)])
    const record = await fetchRecord(network.libp2p.services.dht, peer, { network: network.name, now: this.#now }, limit)
    const known = this.#known.get(peer)
    if (record == null || record.sequence < floors.sequence(record.peer) || (known != null && record.sequence <= known.advert.sequence)) return known == null ? undefined : this.#known.viewOf(known)
    const entry: KnownAdvert = { peer, advert: viewOfRecord(record), source: 'dht', seen: this.#now(), size: record.converters.length * 128 + 512 }
    this.#known.remember(entry)
    return this.#known.viewOf(entry)
  }

  /** Tells several peers something, a few at a time. One that fails is logged, and asks us when it wants to know. */
  async #each (peers: PeerGreeted[], signal: AbortSignal, tell: (greeted: PeerGreeted) => Promise<void>): Promise<void> {
    const queue = peers.values()
    await Promise.all(Array.from({ length: PUSHES_PARALLEL_MAX }, async () => {
      for (const greeted of queue) {
        if (signal.aborted) return
        try {
          await tell(greeted)
        } catch (error) {
          this.#init.log.debug({ peer: greeted.peer.toString(), reason: (error as Error).message }, 'a peer was not told')
        }
      }
    }))
  }
}

/** The distinct conversions of an advert. */
function edgesOf ({ converters }: AdvertContent): Edge[] {
  return [...new Map(converters.map(({ from, to }) => [`${from} ${to}`, { from, to }])).values()]
}
