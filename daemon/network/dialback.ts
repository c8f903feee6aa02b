/**
 * `dialback/1.0.0`: ask a neighbour whether it reaches this node at its addresses, and answer the same question. Both sides.
 *
 * @example
 * ```ts
 * const dialback = createDialback(network, log)
 * await dialback.start()
 * const { answers, failure } = await dialback.ask(peer, { signal: AbortSignal.timeout(10_000) })
 * ```
 */
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { Log } from '../log.ts'
import { DIALBACK_ADDRESS_CHARS_MAX, DIALBACK_ASKED_MAX, DIALBACK_BYTES_MAX, DIALBACK_DIALLED_MAX, DIALBACK_DIAL_MS, DIALBACK_SOCKETS_MAX, DIALBACK_STREAMS_MAX, DIALBACK_TIMEOUT_MS } from './dialback-constants.ts'
import { DialbackError } from './dialback-errors.ts'
import { decodeDialbackRequest, decodeDialbackResponse, DIALBACK_STATUS, encodeDialbackRequest, encodeDialbackResponse, type DialbackRequest, type DialbackResponse, type Outcome } from './dialback-messages.ts'
import { admit, emptyTally, planDialback, targetOf, type Target } from './dialback-plan.ts'
import { probe } from './dialback-probe.ts'
import { messagesOf } from './framing.ts'
import type { Network } from './index.ts'
import { settledOrAborted } from './wait.ts'

/** What a neighbour found at one address of this node. */
export interface DialbackAnswer extends Outcome { address: string }

/** What one neighbour said. */
export interface DialbackReport {
  peer: string
  /** Multiaddr this node is seen at by that neighbour; '' if it was not said. */
  observed: string
  /** One per address asked for. */
  answers: DialbackAnswer[]
  /** The neighbour's clock minus this one's, milliseconds, wrong by at most the time the request took to arrive. */
  clockAheadMs?: number
  /** Why there are no answers: the neighbour is gone, busy, too old, or silent. */
  failure?: string
}

export interface Dialback {
  start: () => Promise<void>
  /** Ends the connections that are being tried for others. */
  stop: () => Promise<void>
  /**
   * Whether a neighbour reaches this node at its own addresses. Where the neighbour sees this node at an IP address that is none of them (a
   * router translates), it is asked once more for that IP address with the ports listened on. Never rejects.
   */
  ask: (peer: PeerId, options: { signal: AbortSignal }) => Promise<DialbackReport>
}

export type DialbackNetwork = Pick<Network, 'libp2p' | 'protocol' | 'greet' | 'requireGreeted'>

export interface DialbackInit {
  /** Milliseconds for one address. @default DIALBACK_DIAL_MS */
  dialMs?: number
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

export function createDialback (network: DialbackNetwork, log: Log, init: DialbackInit = {}): Dialback {
  return new DialbackService(network, log, init)
}

class DialbackService implements Dialback {
  readonly #network: DialbackNetwork
  readonly #log: Log
  readonly #protocol: string
  readonly #dialMs: number
  readonly #now: () => number
  readonly #tally = emptyTally()
  #sockets = 0
  #stop = new AbortController()

  constructor (network: DialbackNetwork, log: Log, { dialMs = DIALBACK_DIAL_MS, now = Date.now }: DialbackInit) {
    this.#network = network
    this.#log = log
    this.#protocol = network.protocol('dialback')
    this.#dialMs = dialMs
    this.#now = now
  }

  async start (): Promise<void> {
    this.#stop = new AbortController()
    await this.#network.libp2p.handle(this.#protocol, this.#onStream, { maxInboundStreams: DIALBACK_STREAMS_MAX, maxOutboundStreams: DIALBACK_STREAMS_MAX })
  }

  async stop (): Promise<void> {
    this.#stop.abort(new Error('this node is stopping'))
    await this.#network.libp2p.unhandle(this.#protocol)
  }

  async ask (peer: PeerId, { signal }: { signal: AbortSignal }): Promise<DialbackReport> {
    const id = peer.toString()
    const own = this.#network.libp2p.getMultiaddrs().map(address => address.toString()).filter(({ length }) => length <= DIALBACK_ADDRESS_CHARS_MAX)
    try {
      const limit = AbortSignal.any([signal, this.#stop.signal, AbortSignal.timeout(DIALBACK_TIMEOUT_MS)])
      const { connection } = await settledOrAborted(this.#network.greet(peer, { signal: limit }), limit)
      const first = await this.#request(connection, own.slice(0, DIALBACK_ASKED_MAX), limit)
      const beyond = first.failure == null ? translated(first.observed, own) : []
      if (beyond.length === 0) return first
      const second = await this.#request(connection, beyond, limit)
      return second.failure == null ? { ...first, answers: [...first.answers, ...second.answers] } : first
    } catch (error) {
      return { peer: id, observed: '', answers: [], failure: reasonOf(error as Error) }
    }
  }

  async #request (connection: Connection, addresses: string[], signal: AbortSignal): Promise<DialbackReport> {
    const peer = connection.remotePeer.toString()
    const stream = await connection.newStream(this.#protocol, { signal })
    try {
      const messages = messagesOf(stream, DIALBACK_BYTES_MAX)
      const asked = this.#now()
      await messages.write(encodeDialbackRequest({ addresses }), { signal })
      const { status, reason, observed, now, outcomes } = decodeDialbackResponse(await messages.read({ signal }))
      await stream.close({ signal })
      if (status !== DIALBACK_STATUS.ok) return { peer, observed, answers: [], failure: reason === '' ? 'it is busy' : `it is busy: ${reason}` }
      if (outcomes.length !== addresses.length) throw new DialbackError(`${outcomes.length} outcomes for ${addresses.length} addresses`)
      return { peer, observed, answers: addresses.map((address, index) => ({ address, ...outcomes[index] as Outcome })), clockAheadMs: now - asked }
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  readonly #onStream = async (stream: Stream, connection: Connection): Promise<void> => {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DIALBACK_TIMEOUT_MS)])
    try {
      const messages = messagesOf(stream, DIALBACK_BYTES_MAX)
      await settledOrAborted(this.#network.requireGreeted(connection), signal)
      const request = decodeDialbackRequest(await messages.read({ signal }))
      await messages.write(encodeDialbackResponse(await this.#answer(request, connection)), { signal })
      await stream.close({ signal })
    } catch (error) {
      this.#log.debug({ peer: connection.remotePeer.toString(), reason: (error as Error).message }, 'a dial-back request failed')
      stream.abort(error as Error)
    }
  }

  async #answer ({ addresses }: DialbackRequest, connection: Connection): Promise<DialbackResponse> {
    const now = this.#now()
    const peer = connection.remotePeer.toString()
    const observed = connection.remoteAddr.toString()
    const head = { observed: observed.length <= DIALBACK_ADDRESS_CHARS_MAX ? observed : '', now }
    const steps = planDialback(observed, peer, addresses)
    const dials = steps.filter(step => 'dial' in step).length
    const refusal = admit(this.#tally, peer, performance.now()) ?? (this.#sockets + dials > DIALBACK_SOCKETS_MAX ? `more than ${DIALBACK_SOCKETS_MAX} addresses tried at once` : undefined)
    if (refusal != null) return { ...head, status: DIALBACK_STATUS.busy, reason: refusal, outcomes: [] }
    const outcomes = await Promise.all(steps.map(async (step): Promise<Outcome> => 'dial' in step ? await this.#try(step.dial) : { outcome: 'not-tried', reason: step.reason }))
    return { ...head, status: DIALBACK_STATUS.ok, reason: '', outcomes }
  }

  async #try (target: Target): Promise<Outcome> {
    this.#sockets++
    try {
      return await probe(target, { timeoutMs: this.#dialMs, signal: this.#stop.signal })
    } finally {
      this.#sockets--
    }
  }
}

/** The IP address a neighbour sees this node at, with the ports it listens on, where that is none of its own addresses. */
function translated (observed: string, own: string[]): string[] {
  const seen = targetOf(observed)
  if (typeof seen === 'string') return []
  const listened = own.map(address => targetOf(address)).filter(target => typeof target !== 'string')
  if (listened.some(({ host }) => host === seen.host)) return []
  const ports = [...new Set(listened.map(({ port }) => port))].slice(0, DIALBACK_DIALLED_MAX)
  return ports.map(port => `/${seen.host.includes(':') ? 'ip6' : 'ip4'}/${seen.host}/tcp/${port}`)
}

function reasonOf (error: Error): string {
  if (error.name === 'UnsupportedProtocolError') return 'it does not know dial-back: an older version'
  if (error.name === 'TimeoutError') return 'it did not answer in time'
  return error.message
}
