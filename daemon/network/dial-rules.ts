/**
 * Which addresses may be dialled. What a third party says (the DHT, a peer about itself) may point at a victim, at this machine or into its local
 * network; what the user gave may always be dialled.
 */
import { lookup } from 'node:dns/promises'
import type { Multiaddr } from '@multiformats/multiaddr'
import { hostOf, rangeOf, rangeOfIp, withoutPeer } from './address.ts'
import { ADDRESSES_FAILED_MAX, ADDRESSES_GOOD_MAX, NAME_LOOKUP_TIMEOUT_MS, REDIAL_FORGIVEN_MS, REDIAL_GOOD_MAX_MS, REDIAL_MAX_MS, REDIAL_MIN_MS } from './constants.ts'
import { Home, type HomeInit } from './home.ts'
import { settledOrAborted } from './wait.ts'

/**
 * How a dial failed. `peer`: another libp2p peer proved to be there; `reached`: something answered, and was no libp2p peer; `refused`: there is no
 * connection to be had; `silent`: it took too long, which may be anybody's fault.
 */
export type Outcome = 'peer' | 'reached' | 'refused' | 'silent'

interface Failure { count: number, until: number }

/** Addresses that did not answer lately. Pure: time is an argument, monotonic milliseconds. */
export class FailedDials {
  /** By address, and by address with peer id; the latest to fail last. */
  readonly #failed = new Map<string, Failure>()
  /** Addresses that answered once, the latest last: they are not given up for long. */
  readonly #good = new Set<string>()

  get size (): number {
    return this.#failed.size
  }

  denies (address: Multiaddr, now: number): boolean {
    return [withoutPeer(address), address.toString()].some(key => (this.#failed.get(key)?.until ?? -Infinity) > now)
  }

  /**
   * Anybody can put other peers' names to an address: a failure under one of them holds back that name. The address itself is held back for all names
   * where it would be a bystander's that is dialled under one after the other; not where a libp2p peer is, or was.
   */
  failed (address: Multiaddr, outcome: Outcome, now: number): void {
    const host = withoutPeer(address)
    const good = this.#good.has(host)
    this.#fail(address.toString(), REDIAL_MAX_MS, now)
    if (outcome !== 'peer' && (!good || outcome === 'refused')) this.#fail(host, good ? REDIAL_GOOD_MAX_MS : REDIAL_MAX_MS, now)
  }

  succeeded (address: Multiaddr): void {
    const host = withoutPeer(address)
    this.#failed.delete(host)
    this.#failed.delete(address.toString())
    this.#good.delete(host)
    this.#good.add(host)
    trim(this.#good, ADDRESSES_GOOD_MAX)
  }

  #fail (key: string, mostMs: number, now: number): void {
    const before = this.#failed.get(key)
    const forgiven = before == null ? 0 : Math.max(0, Math.floor((now - before.until) / REDIAL_FORGIVEN_MS))
    const count = Math.max(0, Math.min(before?.count ?? 0, FAILURES_COUNTED_MAX) - forgiven) + 1
    this.#failed.delete(key)
    this.#failed.set(key, { count, until: now + Math.min(mostMs, REDIAL_MIN_MS * 2 ** (count - 1)) })
    trim(this.#failed, ADDRESSES_FAILED_MAX)
  }
}

/** With more, REDIAL_MAX_MS would be reached no sooner and left later. */
const FAILURES_COUNTED_MAX = Math.ceil(Math.log2(REDIAL_MAX_MS / REDIAL_MIN_MS))

function trim (collection: Map<string, unknown> | Set<string>, max: number): void {
  for (const oldest of collection.keys()) {
    if (collection.size <= max) return
    collection.delete(oldest)
  }
}

export interface DialGuardInit extends HomeInit {
  /** Always allowed. */
  explicit: readonly Multiaddr[]
  /** IP addresses of a name. @default the system's resolver */
  resolve?: (name: string) => Promise<string[]>
}

export class DialGuard {
  readonly #home: Home
  /** Addresses the user gave or this node reached before, and how many hold each. */
  readonly #explicit = new Map<string, number>()
  /** Addresses told on the local network, and how many dials hold each. */
  readonly #local = new Map<string, number>()
  readonly #failures = new FailedDials()
  readonly #resolve: NonNullable<DialGuardInit['resolve']>
  readonly #now: () => number

  constructor (init: DialGuardInit) {
    this.#home = new Home(init)
    this.#resolve = init.resolve ?? resolveName
    this.#now = init.now ?? (() => performance.now())
    for (const address of init.explicit) this.allow(address)
  }

  /** An address the user gave, or one at which this node itself reached a member: always allowed, until what is returned is called. */
  allow (address: Multiaddr): () => void {
    return hold(this.#explicit, withoutPeer(address))
  }

  /** Addresses told on the local network: those in this machine's networks are allowed until what is returned is called, unless they failed lately. */
  allowLocal (addresses: readonly Multiaddr[]): () => void {
    const releases = addresses.filter(address => this.#home.isLocal(hostOf(address).ip ?? '')).map(address => hold(this.#local, withoutPeer(address)))
    return () => { for (const release of releases) release() }
  }

  /** A member that this node dialled passed hello at this address: other members may be near it. */
  met (address: Multiaddr): void {
    this.#home.met(hostOf(address).ip ?? '')
  }

  /** For libp2p's connection gater. */
  async denies (address: Multiaddr): Promise<boolean> {
    const key = withoutPeer(address)
    if (this.#explicit.has(key)) return false
    if (this.#failures.denies(address, this.#now())) return true
    if (this.#local.has(key)) return false
    const { ip, name } = hostOf(address)
    if (ip != null) return !this.#mayDial(ip)
    // A socket file of this machine is nothing others may name.
    if (name == null) return rangeOf(address) !== 'process' || key.startsWith('/unix/')
    // A name may change between this look and the dial; what it gains somebody is one connection.
    const ips = await this.#resolve(name).catch(() => [])
    return ips.length === 0 || !ips.every(found => this.#mayDial(found))
  }

  #mayDial (ip: string): boolean {
    return rangeOfIp(ip) === 'public' || this.#home.has(ip)
  }

  failed (address: Multiaddr, error: Error): void {
    this.#failures.failed(address, outcomeOf(error), this.#now())
  }

  succeeded (address: Multiaddr): void {
    this.#failures.succeeded(address)
  }
}

/** What libp2p's error of a dial says. Its upgrader keeps the message of a failed handshake, but not the name: TLS's, then Noise's. */
export function outcomeOf (error: Error & { code?: unknown }): Outcome {
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return 'silent'
  if (error.name === 'UnexpectedPeerError' || (error.name === 'EncryptionFailedError' && /^Unexpected Peer$|^Payload identity key .* does not match expected/.test(error.message))) return 'peer'
  return typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code) ? 'refused' : 'reached'
}

function hold (held: Map<string, number>, key: string): () => void {
  held.set(key, (held.get(key) ?? 0) + 1)
  return () => {
    const left = (held.get(key) ?? 1) - 1
    if (left > 0) held.set(key, left)
    else held.delete(key)
  }
}

async function resolveName (name: string): Promise<string[]> {
  const found = await settledOrAborted(lookup(name, { all: true }), AbortSignal.timeout(NAME_LOOKUP_TIMEOUT_MS))
  return found.map(({ address }) => address)
}
