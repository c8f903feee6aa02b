/** Which addresses of a request are dialled: none that could belong to anybody but the peer that asks. Pure. */
import { BlockList, isIP, SocketAddress } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { DIALBACK_DIALLED_MAX, DIALBACK_PER_MINUTE, DIALBACK_PER_PEER_AND_MINUTE } from './dialback-constants.ts'

export interface Target { host: string, port: number }

export type Step = { dial: Target } | { reason: string }

/**
 * One step per address, in order. An address is dialled only if its IP address is the one the request came from: otherwise a peer could have any
 * victim dialled by many. That holds for loopback and private ranges likewise, where the same number means another machine to everybody.
 *
 * @param observed multiaddr of the connection the request came on
 * @param peer id of the peer that asks
 */
export function planDialback (observed: string, peer: string, addresses: string[]): Step[] {
  const seen = targetOf(observed, peer)
  const dialled = new Set<string>()
  return addresses.map((address): Step => {
    if (typeof seen === 'string') return { reason: 'the asking node is not seen at an IP address of its own' }
    const target = targetOf(address, peer)
    if (typeof target === 'string') return { reason: target }
    if (target.host !== seen.host) return { reason: `another IP address than ${seen.host}, where the asking node is seen` }
    const key = String(target.port)
    if (dialled.has(key)) return { reason: 'the same as another address of the request' }
    if (dialled.size >= DIALBACK_DIALLED_MAX) return { reason: `at most ${DIALBACK_DIALLED_MAX} addresses are dialled` }
    dialled.add(key)
    return { dial: target }
  })
}

/** The IP address, in one spelling, and the port of `/ip4|ip6/…/tcp/…` with or without the peer's id; otherwise why not. */
export function targetOf (address: string, peer?: string): Target | string {
  let parts: Array<{ name: string, value?: string }>
  try {
    parts = multiaddr(address).getComponents()
  } catch {
    // The library's message repeats the text, which a stranger wrote.
    return 'not a multiaddr'
  }
  const [ip, tcp, id, ...rest] = parts
  if (ip?.value == null || (ip.name !== 'ip4' && ip.name !== 'ip6') || tcp?.name !== 'tcp' || rest.length > 0 || (id != null && id.name !== 'p2p')) return 'not an IP address with a TCP port'
  if (id != null && peer != null && id.value !== peer) return 'the address of another peer'
  const port = Number(tcp.value)
  if (!(port > 0)) return 'not a port that can be dialled'
  return { host: plainIp(ip.value), port }
}

/** One spelling per IP address; an IPv4 address stays one where an IPv6 socket shows it as `::ffff:192.0.2.1`. */
export function plainIp (ip: string): string {
  if (isIP(ip) !== 6) return ip
  const mapped = new BlockList()
  mapped.addSubnet('::ffff:0:0', 96, 'ipv6')
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  if (!mapped.check(address, 'ipv6')) return address
  const dotted = /(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1]
  if (dotted != null) return dotted
  const words = address.split(':').slice(-2).map(word => Number.parseInt(word === '' ? '0' : word, 16))
  return words.flatMap(word => [word >> 8, word & 255]).join('.')
}

/** Requests of the current minute. Emptied with the minute, so it never holds more than DIALBACK_PER_MINUTE peers. */
export interface Tally { minute: number, all: number, perPeer: Map<string, number> }

export const emptyTally = (): Tally => ({ minute: 0, all: 0, perPeer: new Map() })

/** Counts a request of `peer` at `now` (monotonic milliseconds); gives why it is not served, or undefined. */
export function admit (tally: Tally, peer: string, now: number): string | undefined {
  const minute = Math.floor(now / 60_000)
  if (minute !== tally.minute) {
    tally.minute = minute
    tally.all = 0
    tally.perPeer.clear()
  }
  const own = tally.perPeer.get(peer) ?? 0
  if (own >= DIALBACK_PER_PEER_AND_MINUTE) return `more than ${DIALBACK_PER_PEER_AND_MINUTE} requests per minute`
  if (tally.all >= DIALBACK_PER_MINUTE) return `more than ${DIALBACK_PER_MINUTE} requests per minute, all peers together`
  tally.perPeer.set(peer, own + 1)
  tally.all++
  return undefined
}
