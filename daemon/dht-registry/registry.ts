/** The registry of a node: its own advert, what it knows of others, and where it looks. */
import type { PeerId } from '@libp2p/interface'
import type { Level } from 'level'
import { TypedEventEmitter } from 'main-event'
import type { Log } from '../log.ts'
import type { Network, PeerGreeted } from '../network/index.ts'
import type { Identity } from '../trust/index.ts'
import { openAdvert, sealAdvert } from './adverts.ts'
import { Announcer } from './announcer.ts'
import { ADDRESSES_MAX, ADVERT_RENEW_MS, ADVERT_VALIDITY_MS, ANNOUNCE_ON_JOIN_PEERS_MAX, DHT_OPERATION_TIMEOUT_MS, GOODBYE_TIMEOUT_MS, PUSHES_PARALLEL_MAX, SWEEP_INTERVAL_MS } from './constants.ts'
import { AdvertError } from './errors.ts'
import { AdvertExchange } from './exchange.ts'
import { findProviders, type Edge } from './finder.ts'
import type { Floors } from './floors.ts'
import type { Advert, AdvertContent, ProviderView, Registry, RegistryEvents } from './index.ts'
import { capabilityKey, contentId, recordKey, shardOf } from './keys.ts'
import { fetchRecord, viewOfRecord } from './lookup.ts'
import { digestOf, sealRecord } from './records.ts'
import { openSequence, type Sequence } from './sequence.ts'
import { AdvertTable, type KnownAdvert } from './table.ts'

export interface RegistryInit {
  network: Network
  identity: Identity
  /** The same that the DHT's validators were given. */
  floors: Floors
  log: Log
  /** For the sequence of this node's adverts; without it, the sequence starts from the clock. */
  db?: Level<string, Uint8Array>
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

export function createRegistry (init: RegistryInit): Registry {
  return new AdvertRegistry(init)
}

class AdvertRegistry implements Registry {
  readonly events = new TypedEventEmitter<RegistryEvents>()
  readonly #init: RegistryInit
  readonly #now: () => number
  readonly #table: AdvertTable
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
    this.#table = new AdvertTable(peer => this.#isConnected(peer))
    this.#exchange = new AdvertExchange(init.network, {
      own: () => this.#own,
      pushed: async (advert, from) => { await this.#admit(advert, from) },
      goodbye: peer => { this.#forget(peer) }
    }, init.log)
  }

  async start (): Promise<void> {
    const { network, db, log } = this.#init
    this.#stop = new AbortController()
    this.#sequence ??= await openSequence(db)
    this.#announcer = new Announcer({ dht: network.libp2p.services.dht, hasPeers: () => network.dhtPeers() > 0, log })
    await this.#exchange.start()
    network.events.addEventListener('peer', this.#onPeer)
    network.events.addEventListener('routing', this.#onRouting)
    this.#sweep = setInterval(() => { this.#expire() }, SWEEP_INTERVAL_MS).unref()
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
    await this.#announcer.stop()
    this.#announcer = undefined
    if (this.#own != null) {
      const signal = AbortSignal.timeout(GOODBYE_TIMEOUT_MS)
      await this.#each(network.peers(), signal, async ({ connection }) => { await this.#exchange.goodbye(connection, signal) })
    }
    await this.#exchange.stop()
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
      log
    }, edge, AbortSignal.any([signal, this.#stop.signal]))
  }

  view (): ProviderView[] {
    const now = this.#now()
    return this.#table.values().filter(({ advert }) => advert.expires > now).map(known => this.#viewOf(known))
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
    this.#remember({ peer: identity.peerId, advert, source: 'self', seen: now, size: sealed.byteLength })
    const shard = await shardOf(identity.peerId)
    const capabilities = content.draining ? [] : await Promise.all(edgesOf(content).map(async edge => await capabilityKey(edge, shard)))
    this.#announcer.set({ key: recordKey(identity.peerId), record, capabilities })
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
    this.#remember(known)
    return this.#viewOf(known)
  }

  async #fromDht (peer: PeerId, signal: AbortSignal): Promise<ProviderView | undefined> {
    const { network, floors } = this.#init
    const limit = AbortSignal.any([signal, this.#stop.signal, AbortSignal.timeout(DHT_OPERATION_TIMEOUT_MS)])
    const record = await fetchRecord(network.libp2p.services.dht, peer, { network: network.name, now: this.#now }, limit)
    const known = this.#table.get(peer)
    const usable = known != null && known.advert.expires > this.#now() ? this.#viewOf(known) : undefined
    if (record == null || record.sequence < floors.sequence(record.peer) || (usable != null && record.sequence <= usable.advert.sequence)) return usable
    const entry: KnownAdvert = { peer, advert: viewOfRecord(record), source: 'dht', seen: this.#now(), size: record.converters.length * 128 + 512 }
    this.#remember(entry)
    return this.#viewOf(entry)
  }

  #remember (known: KnownAdvert): void {
    if (this.#table.put(known)) this.events.safeDispatchEvent('advert', { detail: this.#viewOf(known) })
  }

  #forget (peer: PeerId): void {
    if (this.#table.delete(peer)) this.events.safeDispatchEvent('gone', { detail: { peer } })
  }

  #expire (): void {
    for (const { peer, source } of this.#table.expire(this.#now())) {
      if (source !== 'self') this.events.safeDispatchEvent('gone', { detail: { peer } })
    }
  }

  #viewOf ({ peer, advert, source, seen }: KnownAdvert): ProviderView {
    return { peer, advert, source, seen, connected: source === 'self' || this.#isConnected(peer) }
  }

  #isConnected (peer: PeerId): boolean {
    return this.#init.network.peers().some(greeted => greeted.peer.equals(peer))
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
