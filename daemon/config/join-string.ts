/**
 * Join strings: everything a new member of a network needs, as one word. `weft1-` and base64url of
 * `{"network": "...", "secret": "<base64url>", "addresses": ["<multiaddr with /p2p/>", ...]}`; an open network has no secret.
 */
import { JOIN_ADDRESSES_MAX, JOIN_STRING_CHARS_MAX } from './constants.ts'
import { ConfigError } from './errors.ts'

export interface JoinString {
  network: string
  /** base64url of the secret; absent in an open network. */
  secret?: string
  /** Multiaddrs of members, with /p2p/<peer id>. */
  addresses: string[]
}

const PREFIX = 'weft1-'

export function isJoinString (text: string): boolean {
  return text.startsWith(PREFIX)
}

export function encodeJoinString ({ network, secret, addresses }: JoinString): string {
  const content = { network, ...(secret == null ? {} : { secret }), addresses: addresses.slice(0, JOIN_ADDRESSES_MAX) }
  return PREFIX + Buffer.from(JSON.stringify(content)).toString('base64url')
}

/** Shape only; what is in it is validated as configuration is. @throws ConfigError */
export function decodeJoinString (text: string): JoinString {
  const bad = (): ConfigError => new ConfigError('this is no join string, or a part of it is missing: copy all of what \'weft invite\' printed', {})
  if (!isJoinString(text) || text.length > JOIN_STRING_CHARS_MAX) throw bad()
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(text.slice(PREFIX.length), 'base64url').toString('utf8'))
  } catch {
    throw bad()
  }
  if (typeof content !== 'object' || content === null) throw bad()
  const { network, secret, addresses } = content as Record<string, unknown>
  if (typeof network !== 'string' || (secret !== undefined && typeof secret !== 'string')) throw bad()
  if (!Array.isArray(addresses) || addresses.length > JOIN_ADDRESSES_MAX || !addresses.every(address => typeof address === 'string')) throw bad()
  return { network, ...(secret === undefined ? {} : { secret }), addresses }
}
