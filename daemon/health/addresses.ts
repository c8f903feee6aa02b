/** Hosts out of multiaddrs, and where the beacon's socket is bound. */
import { isIP, isIPv4 } from 'node:net'

/** The IP address of a multiaddr (as text) whose other end is reached directly; undefined for names, relays and transports without one. */
export function hostOf (address: string): string | undefined {
  const parts = address.split('/')
  if (parts.includes('p2p-circuit')) return undefined
  const [, kind, value, next, zoned] = parts
  if (kind === 'ip6zone' && next === 'ip6') return zoned != null && isIP(zoned) === 6 ? `${zoned}%${value}` : undefined
  return (kind === 'ip4' || kind === 'ip6') && value != null && isIP(value) === Number(kind.slice(2)) ? value : undefined
}

function isLoopback (host: string): boolean {
  return host.startsWith('127.') || host === '::1'
}

/**
 * Local addresses for the beacon's socket, the first that can be had: loopback if this node listens on loopback only; otherwise all
 * addresses of both families, or of IPv4 where there is no IPv6.
 */
export function bindAddresses (listen: string[]): string[] {
  const hosts = listen.map(hostOf).filter(host => host != null)
  if (hosts.length === 0 || !hosts.every(isLoopback)) return ['::', '0.0.0.0']
  return hosts.find(isLoopback)!.includes(':') && !hosts.some(isIPv4) ? ['::1'] : ['127.0.0.1']
}

/** How a socket of that family names `host`: on one for both families IPv4 is written inside IPv6. Undefined if it cannot reach it. */
export function reachable (host: string, family: 'udp4' | 'udp6'): string | undefined {
  const bare = host.split('%')[0]!
  const version = isIP(bare)
  if (family === 'udp4') return version === 4 ? host : undefined
  if (version === 4) return `::ffff:${host}`
  return version === 6 ? host : undefined
}
