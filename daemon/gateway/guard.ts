/**
 * Who may call: a bearer token for everything but the health routes; a Host header that names this API (so that a page
 * whose name was rebound to loopback is refused); no foreign Origin (so that no page of a browser can call at all).
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiError } from './errors.ts'

export interface Caller {
  method: string
  /** Route pattern, for instance `/jobs/:id`. */
  route: string | undefined
  headers: Record<string, string | string[] | undefined>
}

export interface GuardInit {
  token: string
  host: string
  /** The port really listened on; undefined while there is none (requests injected by tests). */
  port: () => number | undefined
}

/** Answer without a token: an orchestrator's probes have none. */
const OPEN_ROUTES = new Set(['/health', '/livez', '/readyz'])

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/** @throws ApiError 421, 403 or 401 */
export function createGuard ({ token, host, port }: GuardInit): (caller: Caller) => void {
  const expected = digest(token)
  const names = new Set([...LOOPBACK, host.includes(':') ? `[${host}]` : host])
  return ({ route, headers }) => {
    checkHost(single(headers.host), names, port())
    checkOrigin(single(headers.origin), single(headers['sec-fetch-site']), names, port())
    if (route == null || !OPEN_ROUTES.has(route)) checkToken(single(headers.authorization), expected)
  }
}

function checkHost (header: string | undefined, names: Set<string>, port: number | undefined): void {
  if (header == null || !isOurs(header, names, port)) {
    throw new ApiError(421, 'foreign-host', `this API does not answer for the host ${JSON.stringify(header ?? '')}: use localhost or 127.0.0.1 with its port`)
  }
}

/** Programs send no Origin; a page does, and only one that this API served itself may call. */
function checkOrigin (origin: string | undefined, site: string | undefined, names: Set<string>, port: number | undefined): void {
  if (origin != null && !(origin.startsWith('http://') && isOurs(origin.slice('http://'.length), names, port))) {
    throw new ApiError(403, 'foreign-origin', `calls from pages of ${JSON.stringify(origin)} are refused`)
  }
  if (site != null && site !== 'same-origin' && site !== 'none') throw new ApiError(403, 'foreign-origin', 'calls from pages of other sites are refused')
}

function isOurs (authority: string, names: Set<string>, port: number | undefined): boolean {
  const [, name, given] = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(authority) ?? []
  if (name == null || !names.has(name.toLowerCase())) return false
  return port == null || Number(given ?? 80) === port
}

function checkToken (header: string | undefined, expected: Buffer): void {
  const given = /^Bearer (\S+)$/i.exec(header ?? '')?.[1]
  if (given == null) throw new ApiError(401, 'unauthorized', 'send the token of the data directory in an Authorization header: Bearer <token>')
  // Digests have one length, so that the comparison takes the same time whatever was given.
  if (!timingSafeEqual(digest(given), expected)) throw new ApiError(401, 'unauthorized', 'the token is not the one of this daemon: it changes when the data directory does')
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

const single = (value: string | string[] | undefined): string | undefined => Array.isArray(value) ? value[0] : value
