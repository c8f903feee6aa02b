/** What a network is made from, and what is wrong with it. */
import type { PeerId } from '@libp2p/interface'
import type { Selectors, Validators } from '@libp2p/kad-dht'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import type { Level } from 'level'
import type { Log } from '../log.ts'
import type { Identity } from '../trust/index.ts'
import { checkLists } from './access.ts'
import { AGENT_CHARS_MAX, BOOTSTRAP_ADDRESSES_MAX, NETWORK_NAME_CHARS_MAX, ROLES_MAX, ROLE_CHARS_MAX } from './constants.ts'
import { NetworkConfigError } from './errors.ts'
import type { Links } from './links.ts'
import { SECRET_BYTES } from './proof.ts'

export interface NetworkConfig {
  /** Name of the network: letters, digits, `.`, `_` and `-`. */
  name: string
  /** Multiaddrs to listen on. */
  listen: string[]
  /** Multiaddrs of members to keep a connection to. */
  bootstrap: string[]
  /** Multiaddrs to tell others instead of those listened on. @default none */
  announce?: string[]
  /** A client asks the DHT and stores nothing for others. */
  dhtMode: 'server' | 'client'
  /** @default [] */
  roles?: string[]
  /** SECRET_BYTES that every member proves to know before anything is served to it. @default none: the network is open */
  secret?: Uint8Array
  /** Look for members on the local network, and be found there (multicast DNS). @default false */
  mdns?: boolean
  /** Peer ids or operators' did:keys. If not empty, nobody else passes hello. @default [] */
  allow?: string[]
  /** Peer ids or operators' did:keys that do not pass hello. Stronger than `allow`. @default [] */
  deny?: string[]
  /** Program and version. @default 'weft' */
  agent?: string
  /** Pass libp2p's own messages to the log, at `debug`. @default false */
  verbose?: boolean
}

export interface NetworkInit {
  identity: Identity
  config: NetworkConfig
  log: Log
  /** For DHT records and known peers, in sub-levels; without it they live in memory. */
  db?: Level<string, Uint8Array>
  validators?: Validators
  selectors?: Selectors
  /** Faults of the links, for test networks. @default none */
  links?: Links
  /** @default HELLO_TIMEOUT_MS */
  helloTimeoutMs?: number
}

/** @throws NetworkConfigError */
export function checkConfig ({ name, listen, announce = [], bootstrap, roles = [], agent = '', secret, allow = [], deny = [] }: NetworkConfig): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || name.length > NETWORK_NAME_CHARS_MAX) {
    throw new NetworkConfigError('name', `network name '${name}': use up to ${NETWORK_NAME_CHARS_MAX} letters, digits, '.', '_' and '-', starting with a letter or digit`)
  }
  if (secret != null && secret.byteLength !== SECRET_BYTES) throw new NetworkConfigError('secret', `a network's secret has ${SECRET_BYTES} bytes, this one has ${secret.byteLength}`)
  for (const address of [...listen, ...announce]) parseAddress(address, 'address')
  if (bootstrap.length > BOOTSTRAP_ADDRESSES_MAX) throw new NetworkConfigError('bootstrap', `${bootstrap.length} bootstrap addresses, at most ${BOOTSTRAP_ADDRESSES_MAX} are used: remove some`)
  checkLists({ allow, deny })
  if (roles.length > ROLES_MAX || roles.some(role => role.length > ROLE_CHARS_MAX) || agent.length > AGENT_CHARS_MAX) throw new NetworkConfigError('name', 'too many or too long roles, or too long an agent string')
}

/** @throws NetworkConfigError `bootstrap` */
export function parseBootstrap (address: string): Multiaddr {
  return parseAddress(address, 'bootstrap')
}

/** @throws NetworkConfigError */
export function parseAddress (address: string, code: 'address' | 'bootstrap'): Multiaddr {
  try {
    return multiaddr(address)
  } catch (error) {
    throw new NetworkConfigError(code, `'${address}' is not a multiaddr (such as /ip4/192.0.2.1/tcp/4001): ${(error as Error).message}`, { cause: error })
  }
}

export function endsAt (address: Multiaddr, peer: PeerId): boolean {
  return address.getComponents().findLast(({ name }) => name === 'p2p')?.value === peer.toString()
}
