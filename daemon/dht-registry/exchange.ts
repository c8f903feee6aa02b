/** `advert/1.0.0`: ask a peer for its advert, tell it ours, say goodbye. Both sides. */
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { Log } from '../log.ts'
import { messagesOf, type Network } from '../network/index.ts'
import { EXCHANGE_BYTES_MAX, EXCHANGE_STREAMS_MAX, EXCHANGE_TIMEOUT_MS, PUSHES_PER_MINUTE_MAX } from './constants.ts'
import { AdvertError, ExchangeError } from './errors.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse, REQUEST, STATUS, type Request, type Response } from './messages.ts'

export interface ExchangeHandlers {
  /** This node's sealed advert, if it has published one. */
  own: () => Uint8Array | undefined
  /** A peer pushed an advert: throws AdvertError if it is not taken. */
  pushed: (advert: Uint8Array, from: PeerId) => Promise<void>
  goodbye: (from: PeerId) => void
}

const NOTHING = new Uint8Array()

export class AdvertExchange {
  readonly #network: Pick<Network, 'libp2p' | 'protocol' | 'greet' | 'requireGreeted'>
  readonly #handlers: ExchangeHandlers
  readonly #log: Log
  readonly #protocol: string
  /** Pushes of each peer in the current minute. Emptied with the minute. */
  #pushes = new Map<string, number>()
  #minute = 0

  constructor (network: Pick<Network, 'libp2p' | 'protocol' | 'greet' | 'requireGreeted'>, handlers: ExchangeHandlers, log: Log) {
    this.#network = network
    this.#handlers = handlers
    this.#log = log
    this.#protocol = network.protocol('advert')
  }

  async start (): Promise<void> {
    await this.#network.libp2p.handle(this.#protocol, this.#onStream, { maxInboundStreams: EXCHANGE_STREAMS_MAX, maxOutboundStreams: EXCHANGE_STREAMS_MAX })
  }

  async stop (): Promise<void> {
    await this.#network.libp2p.unhandle(this.#protocol)
  }

  /** A peer's sealed advert (not verified), or undefined if it has none. Dials if needed. */
  async ask (peer: PeerId, { signal }: { signal: AbortSignal }): Promise<Uint8Array | undefined> {
    const { connection } = await this.#network.greet(peer, { signal })
    const { status, advert, reason } = await this.#request(connection, { type: REQUEST.ask, advert: NOTHING }, signal)
    if (status === STATUS.none) return undefined
    if (status !== STATUS.ok) throw refusal(status, reason)
    return advert
  }

  /** @throws ExchangeError if the peer does not take it */
  async push (connection: Connection, advert: Uint8Array, signal: AbortSignal): Promise<void> {
    const { status, reason } = await this.#request(connection, { type: REQUEST.push, advert }, signal)
    if (status !== STATUS.ok) throw refusal(status, reason)
  }

  async goodbye (connection: Connection, signal: AbortSignal): Promise<void> {
    await this.#request(connection, { type: REQUEST.goodbye, advert: NOTHING }, signal)
  }

  async #request (connection: Connection, request: Request, signal: AbortSignal): Promise<Response> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(EXCHANGE_TIMEOUT_MS)])
    const stream = await connection.newStream(this.#protocol, { signal: limit })
    try {
      const messages = messagesOf(stream, EXCHANGE_BYTES_MAX)
      await messages.write(encodeRequest(request), { signal: limit })
      const response = decodeResponse(await messages.read({ signal: limit }))
      await stream.close({ signal: limit })
      return response
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  readonly #onStream = async (stream: Stream, connection: Connection): Promise<void> => {
    const signal = AbortSignal.timeout(EXCHANGE_TIMEOUT_MS)
    try {
      const messages = messagesOf(stream, EXCHANGE_BYTES_MAX)
      await this.#network.requireGreeted(connection)
      const request = decodeRequest(await messages.read({ signal }))
      await messages.write(encodeResponse(await this.#answer(request, connection.remotePeer)), { signal })
      await stream.close({ signal })
    } catch (error) {
      this.#log.debug({ peer: connection.remotePeer.toString(), reason: (error as Error).message }, 'an advert exchange failed')
      stream.abort(error as Error)
    }
  }

  async #answer (request: Request, from: PeerId): Promise<Response> {
    switch (request.type) {
      case REQUEST.ask: {
        const advert = this.#handlers.own()
        return advert == null ? { status: STATUS.none, advert: NOTHING, reason: '' } : { status: STATUS.ok, advert, reason: '' }
      }
      case REQUEST.push: {
        if (!this.#mayPush(from)) return { status: STATUS.busy, advert: NOTHING, reason: `more than ${PUSHES_PER_MINUTE_MAX} adverts per minute` }
        try {
          await this.#handlers.pushed(request.advert, from)
          return { status: STATUS.ok, advert: NOTHING, reason: '' }
        } catch (error) {
          if (!(error instanceof AdvertError)) throw error
          return { status: STATUS.refused, advert: NOTHING, reason: `${error.code}: ${error.message}` }
        }
      }
      case REQUEST.goodbye:
        this.#handlers.goodbye(from)
        return { status: STATUS.ok, advert: NOTHING, reason: '' }
      default:
        return { status: STATUS.refused, advert: NOTHING, reason: `request of unknown type ${request.type}` }
    }
  }

  #mayPush (from: PeerId): boolean {
    const minute = Math.floor(performance.now() / 60_000)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#pushes = new Map()
    }
    const peer = from.toString()
    const pushes = (this.#pushes.get(peer) ?? 0) + 1
    this.#pushes.set(peer, pushes)
    return pushes <= PUSHES_PER_MINUTE_MAX
  }
}

function refusal (status: number, reason: string): ExchangeError {
  return new ExchangeError(status === STATUS.busy ? 'busy' : 'refused', reason === '' ? `status ${status}` : reason)
}
