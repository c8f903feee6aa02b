/** What an address is: its range, and the group it shares limits with. */
import { BlockList, isIP } from 'node:net'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * `unusable`: unspecified, multicast, reserved. `name`: a DNS name, which may point anywhere. `process`: within this process or machine, no IP.
 */
export type AddressRange = 'loopback' | 'private' | 'link-local' | 'public' | 'unusable' | 'name' | 'process'

const LOOPBACK = blockList(['127.0.0.0/8', '::1/128'])
/** With the shared range of carriers and overlay networks (RFC 6598). */
const PRIVATE = blockList(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'])
const LINK_LOCAL = blockList(['169.254.0.0/16', 'fe80::/10'])
const UNUSABLE = blockList(['0.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4', '::/128', 'ff00::/8'])

/** The host part of an address: `ip` in its shortest usual form, or the name. */
export function hostOf (address: Multiaddr): { ip?: string, name?: string } {
  for (const { name, value = '' } of address.getComponents()) {
    if (name === 'ip4' || name === 'ip6') return { ip: unmapped(value) }
    if (name === 'dns' || name === 'dns4' || name === 'dns6' || name === 'dnsaddr') return { name: value }
    if (name !== 'ip6zone') break
  }
  return {}
}

export function rangeOf (address: Multiaddr): AddressRange {
  const { ip, name } = hostOf(address)
  if (ip != null) return rangeOfIp(ip)
  return name == null ? 'process' : 'name'
}

export function rangeOfIp (text: string): AddressRange {
  const ip = unmapped(text)
  const family = isIP(ip) === 6 ? 'ipv6' : 'ipv4'
  if (isIP(ip) === 0 || UNUSABLE.check(ip, family)) return 'unusable'
  if (LOOPBACK.check(ip, family)) return 'loopback'
  if (LINK_LOCAL.check(ip, family)) return 'link-local'
  return PRIVATE.check(ip, family) ? 'private' : 'public'
}

/** Group of everything that is not public: one machine or laboratory. */
export const LOCAL_GROUP = 'local'

/** Addresses of one group are likely to be one party's: an IPv4 /24, an IPv6 /56, and LOCAL_GROUP. */
export function groupOf (address: Multiaddr): string {
  const { ip } = hostOf(address)
  if (ip == null || rangeOfIp(ip) !== 'public') return LOCAL_GROUP
  if (isIP(ip) === 4) return `${ip.split('.').slice(0, 3).join('.')}.0/24`
  const words = expanded(ip)
  return `${[...words.slice(0, 3), (words[3] ?? 0) & 0xff00].map(word => word.toString(16)).join(':')}::/56`
}

/** An address without the peer id at its end: what a dial connects to. */
export function withoutPeer (address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/[^/]+$/, '')
}

/** `::ffff:192.0.2.1` is 192.0.2.1. */
function unmapped (ip: string): string {
  if (isIP(ip) !== 6) return ip
  const words = expanded(ip)
  if (words.slice(0, 5).some(word => word !== 0) || words[5] !== 0xffff) return ip
  const [high = 0, low = 0] = words.slice(6)
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`
}

/** The eight words of a valid IPv6 address. */
function expanded (ip: string): number[] {
  const [head = '', tail] = ip.replace(/%.*$/, '').replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`).split('::')
  const words = (text: string): number[] => text === '' ? [] : text.split(':').map(word => Number.parseInt(word, 16))
  if (tail == null) return words(head)
  const [before, after] = [words(head), words(tail)]
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function blockList (subnets: string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net = '', prefix] = subnet.split('/')
    list.addSubnet(net, Number(prefix), isIP(net) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}
