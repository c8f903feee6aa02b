/**
 * Which local networks this node is in, and so which addresses that are not public may be dialled on a third party's word. A laptop moves, a
 * container gets its network late: interfaces are looked at again while the node runs.
 */
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Multiaddr } from '@multiformats/multiaddr'
import { hostOf, rangeOfIp } from './address.ts'
import { HOME_REFRESH_MS, MET_SUBNETS_MAX } from './constants.ts'

/** An address of this machine, with the bits of its network. */
export interface Interface { address: string, prefix: number }

/** Networks of a whole point-to-point or overlay address (RFC 1918, RFC 6598): such an interface does not say how large its network is. */
const OVERLAYS: Array<[string, number]> = [['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['100.64.0.0', 10]]
/** A site's part of fc00::/7 (RFC 4193). */
const SITE_BITS = 48
/** What one member reached there says about the network around it, where no interface does. */
const MET_BITS = { 4: 24, 6: 64 } as const

export interface HomeInit {
  listen: readonly Multiaddr[]
  /** @default those of this machine */
  interfaces?: () => readonly Interface[]
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

/** Pure but for `interfaces` and `now`. */
export class Home {
  readonly #interfaces: () => readonly Interface[]
  readonly #now: () => number
  /** IPs listened on; `all` with an unspecified one, or when listening nowhere. */
  readonly #listen: ReadonlySet<string>
  readonly #all: boolean
  readonly #loopbackOnly: boolean
  readonly #nowhere: boolean
  #metLoopback = false
  /** Subnets in which a member was reached, the latest last. */
  readonly #met = new Map<string, BlockList>()
  #looked: { at: number, listened: BlockList, machine: BlockList } | undefined

  constructor ({ listen, interfaces = ownInterfaces, now = () => performance.now() }: HomeInit) {
    const ips = listen.flatMap(address => hostOf(address).ip ?? [])
    this.#interfaces = interfaces
    this.#now = now
    this.#listen = new Set(ips)
    this.#nowhere = ips.length === 0
    this.#all = this.#nowhere || ips.some(ip => ip === '0.0.0.0' || ip === '::')
    this.#loopbackOnly = !this.#nowhere && ips.every(ip => rangeOfIp(ip) === 'loopback')
  }

  /**
   * May it be dialled on a third party's word? Private addresses in the networks listened in (of every interface for a node that listens nowhere)
   * or in which a member was reached; loopback where the network is on this machine; link-local ones never.
   */
  has (ip: string): boolean {
    const range = rangeOfIp(ip)
    if (range === 'loopback') return this.#loopbackOnly || this.#metLoopback
    return range === 'private' && (check(this.#look().listened, ip) || [...this.#met.values()].some(subnet => check(subnet, ip)))
  }

  /** May it be dialled when somebody says on the local network that it is a member's? */
  isLocal (ip: string): boolean {
    const range = rangeOfIp(ip)
    return range === 'loopback' ? this.#nowhere || this.#loopbackOnly : range === 'private' && check(this.#look().machine, ip)
  }

  /** A member that this node dialled passed hello at this address. */
  met (ip: string): void {
    const range = rangeOfIp(ip)
    if (range === 'loopback') this.#metLoopback = true
    if (range !== 'private' || this.has(ip)) return
    this.#met.set(ip, subnetsOf([[ip, isIP(ip) === 6 ? MET_BITS[6] : MET_BITS[4]]]))
    for (const oldest of this.#met.keys()) {
      if (this.#met.size <= MET_SUBNETS_MAX) break
      this.#met.delete(oldest)
    }
  }

  #look (): { listened: BlockList, machine: BlockList } {
    const now = this.#now()
    if (this.#looked != null && now - this.#looked.at < HOME_REFRESH_MS) return this.#looked
    const own = this.#interfaces().filter(({ address }) => rangeOfIp(address) === 'private')
    this.#looked = {
      at: now,
      listened: subnetsOf(own.filter(({ address }) => this.#all || this.#listen.has(address)).map(networkOf)),
      machine: subnetsOf(own.map(networkOf))
    }
    return this.#looked
  }
}

function networkOf ({ address, prefix }: Interface): [ip: string, bits: number] {
  if (isIP(address) === 6) return [address, prefix === 128 ? SITE_BITS : prefix]
  return prefix === 32 ? OVERLAYS.find(([net, bits]) => check(subnetsOf([[net, bits]]), address)) ?? [address, prefix] : [address, prefix]
}

function subnetsOf (networks: ReadonlyArray<[ip: string, bits: number]>): BlockList {
  const list = new BlockList()
  for (const [ip, bits] of networks) list.addSubnet(ip, bits, family(ip))
  return list
}

const check = (list: BlockList, ip: string): boolean => list.check(ip, family(ip))
const family = (ip: string): 'ipv4' | 'ipv6' => isIP(ip) === 6 ? 'ipv6' : 'ipv4'

function ownInterfaces (): Interface[] {
  return Object.values(networkInterfaces()).flatMap(list => list ?? []).map(({ address, family: version, cidr }) => ({
    address, prefix: cidr == null ? (version === 'IPv6' ? 128 : 32) : Number(cidr.split('/')[1])
  }))
}
