/**
 * Which addresses may be dialled. What a third party says (the DHT, a peer about itself) may point at a victim, at this machine or into its local
 * network; what the user gave may always be dialled.
 */
import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import type { Multiaddr } from '@multiformats/multiaddr'
import { hostOf, rangeOf, rangeOfIp, withoutPeer, type AddressRange } from './address.ts'
import { ADDRESSES_FAILED_MAX, ADDRESSES_GOOD_MAX, NAME_LOOKUP_TIMEOUT_MS, REDIAL_GOOD_MAX_MS, REDIAL_MAX_MS, REDIAL_MIN_MS } from './constants.ts'
import { settledOrAborted } from './wait.ts'

/** May an address of this range be dialled on a third party's word, by a node at home in `home`? */
export function mayDial (range: AddressRange, home: ReadonlySet<AddressRange>): boolean {
  if (range === 'public') return true
  return range !== 'unusable' && range !== 'name' && home.has(range)
}

/**
 * Ranges a node that listens there is at home in. Listening on every interface does not include loopback: each machine has that, so it says nothing
 * about where the network is.
 *
 * @param interfaces addresses of this machine
 */
export function homeOf (listen: readonly Multiaddr[], interfaces: readonly string[]): Set<AddressRange> {
  const home = new Set<AddressRange>(['process'])
  for (const address of listen) {
    const { ip } = hostOf(address)
    if (ip == null) continue
    if (ip !== '0.0.0.0' && ip !== '::') home.add(rangeOfIp(ip))
    else for (const own of interfaces) if (rangeOfIp(own) !== 'loopback') home.add(rangeOfIp(own))
  }
  home.delete('unusable')
  return home
}

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
   * @param reached somebody answered there, but not who was expected. Then an address that once was good is not held back: anybody can put
   * another peer's name to it
   */
  failed (address: Multiaddr, reached: boolean, now: number): void {
    const host = withoutPeer(address)
    this.#fail(address.toString(), REDIAL_MAX_MS, now)
    if (!reached || !this.#good.has(host)) this.#fail(host, this.#good.has(host) ? REDIAL_GOOD_MAX_MS : REDIAL_MAX_MS, now)
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
    const count = (this.#failed.get(key)?.count ?? 0) + 1
    this.#failed.delete(key)
    this.#failed.set(key, { count, until: now + Math.min(mostMs, REDIAL_MIN_MS * 2 ** Math.min(count - 1, 32)) })
    trim(this.#failed, ADDRESSES_FAILED_MAX)
  }
}

function trim (collection: Map<string, unknown> | Set<string>, max: number): void {
  for (const oldest of collection.keys()) {
    if (collection.size <= max) return
    collection.delete(oldest)
  }
}

export interface DialGuardInit {
  listen: readonly Multiaddr[]
  /** Always allowed. */
  explicit: readonly Multiaddr[]
  /** Addresses of this machine. @default its network interfaces */
  interfaces?: readonly string[]
  /** IP addresses of a name. @default the system's resolver */
  resolve?: (name: string) => Promise<string[]>
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

export class DialGuard {
  readonly #home: Set<AddressRange>
  /** Addresses the user gave, and how many dials hold each. */
  readonly #explicit = new Map<string, number>()
  readonly #failures = new FailedDials()
  readonly #resolve: NonNullable<DialGuardInit['resolve']>
  readonly #now: () => number

  constructor (init: DialGuardInit) {
    this.#home = homeOf(init.listen, init.interfaces ?? Object.values(networkInterfaces()).flatMap(list => list ?? []).map(({ address }) => address))
    this.#resolve = init.resolve ?? resolveName
    this.#now = init.now ?? (() => performance.now())
    for (const address of init.explicit) this.allow(address)
  }

  /** An address the user gave: always allowed, until what is returned is called. */
  allow (address: Multiaddr): () => void {
    const key = withoutPeer(address)
    this.#explicit.set(key, (this.#explicit.get(key) ?? 0) + 1)
    this.met(address)
    return () => {
      const left = (this.#explicit.get(key) ?? 1) - 1
      if (left > 0) this.#explicit.set(key, left)
      else this.#explicit.delete(key)
    }
  }

  /** A member is connected at this address, so that this node can reach addresses of its range. */
  met (address: Multiaddr): void {
    const range = rangeOf(address)
    if (range === 'loopback' || range === 'private' || range === 'link-local') this.#home.add(range)
  }

  /** For libp2p's connection gater. */
  async denies (address: Multiaddr): Promise<boolean> {
    if (this.#explicit.has(withoutPeer(address))) return false
    if (this.#failures.denies(address, this.#now())) return true
    const { name } = hostOf(address)
    if (name == null) return !mayDial(rangeOf(address), this.#home)
    // A name may change between this look and the dial; what it gains somebody is one connection.
    const ips = await this.#resolve(name).catch(() => [])
    return ips.length === 0 || ips.some(ip => !mayDial(rangeOfIp(ip), this.#home))
  }

  failed (address: Multiaddr, error: Error): void {
    this.#failures.failed(address, wasReached(error), this.#now())
  }

  succeeded (address: Multiaddr): void {
    this.#failures.succeeded(address)
  }
}

/** Did something answer, though not as it should? Else there was no connection at all. */
function wasReached (error: Error & { code?: unknown }): boolean {
  return error.name !== 'AbortError' && error.name !== 'TimeoutError' && !(typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code))
}

async function resolveName (name: string): Promise<string[]> {
  const found = await settledOrAborted(lookup(name, { all: true }), AbortSignal.timeout(NAME_LOOKUP_TIMEOUT_MS))
  return found.map(({ address }) => address)
}
