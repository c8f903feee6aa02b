/**
 * Measures the round trip to every member: soon after hello, and again every RTT_INTERVAL_MS.
 *
 * A stream of its own for several echoes, so that what the opening of the stream costs does not count.
 */
import { randomBytes } from 'node:crypto'
import type { Connection, PeerId } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import type { TypedEventTarget } from 'main-event'
import type { Log } from '../log.ts'
import { PING, PING_BYTES, RTT_ECHOES, RTT_INTERVAL_MS, RTT_MEASURED_AT_ONCE_MAX, RTT_TIMEOUT_MS } from './constants.ts'
import type { NetworkEvents, PeerGreeted } from './index.ts'
import { leastOf, withSample } from './latency.ts'

export interface RttComponents {
  hello: TypedEventTarget<NetworkEvents> & { peers: () => PeerGreeted[] }
  log: Log
}

export class RttMonitor {
  readonly #components: RttComponents
  readonly #samples = new Map<string, number[]>()
  /** Connections to measure, in turn. At most one per member. */
  readonly #queue = new Map<string, Connection>()
  #running = new Set<Promise<void>>()
  #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor (components: RttComponents) {
    this.#components = components
  }

  start (): void {
    const { hello } = this.#components
    this.#stop = new AbortController()
    hello.addEventListener('peer', this.#onPeer)
    hello.addEventListener('gone', this.#onGone)
    this.#timer = setInterval(() => { for (const { peer, connection } of hello.peers()) this.#enqueue(peer, connection) }, RTT_INTERVAL_MS).unref()
  }

  /** Resolves when no measurement is left. */
  async stop (): Promise<void> {
    const { hello } = this.#components
    hello.removeEventListener('peer', this.#onPeer)
    hello.removeEventListener('gone', this.#onGone)
    clearInterval(this.#timer)
    this.#queue.clear()
    this.#stop.abort()
    await Promise.all(this.#running)
    this.#samples.clear()
  }

  rttMs (peer: string): number | undefined {
    return leastOf(this.#samples.get(peer) ?? [])
  }

  readonly #onPeer = ({ detail: { peer, connection } }: CustomEvent<PeerGreeted>): void => { this.#enqueue(peer, connection) }

  readonly #onGone = ({ detail: { peer } }: CustomEvent<{ peer: PeerId }>): void => {
    this.#queue.delete(peer.toString())
    this.#samples.delete(peer.toString())
  }

  #enqueue (peer: PeerId, connection: Connection): void {
    this.#queue.set(peer.toString(), connection)
    this.#next()
  }

  #next (): void {
    while (this.#running.size < RTT_MEASURED_AT_ONCE_MAX) {
      const [entry] = this.#queue
      if (entry == null) return
      const [key, connection] = entry
      this.#queue.delete(key)
      const run = this.#measure(key, connection).finally(() => {
        this.#running.delete(run)
        this.#next()
      })
      this.#running.add(run)
    }
  }

  /** Never rejects: a peer that does not answer is no concern of this. */
  async #measure (key: string, connection: Connection): Promise<void> {
    try {
      const rttMs = await roundTrip(connection, AbortSignal.any([this.#stop.signal, AbortSignal.timeout(RTT_TIMEOUT_MS)]))
      if (connection.status === 'open') this.#samples.set(key, withSample(this.#samples.get(key) ?? [], rttMs))
    } catch (error) {
      this.#components.log.debug({ peer: key, reason: (error as Error).message }, 'the round trip was not measured')
    }
  }
}

/** The least of RTT_ECHOES round trips, milliseconds. */
async function roundTrip (connection: Connection, signal: AbortSignal): Promise<number> {
  const stream = await connection.newStream(PING, { signal })
  try {
    const bytes = byteStream(stream)
    let least = Infinity
    for (let i = 0; i < RTT_ECHOES; i++) {
      const sent = randomBytes(PING_BYTES)
      const started = performance.now()
      await bytes.write(sent, { signal })
      const echo = await bytes.read({ bytes: PING_BYTES, signal })
      const took = performance.now() - started
      if (!sent.equals((echo as { subarray: () => Uint8Array }).subarray())) throw new Error('a wrong echo')
      least = Math.min(least, took)
    }
    await stream.close({ signal })
    return least
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}
