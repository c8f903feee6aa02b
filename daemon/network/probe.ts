/**
 * Lets go of connections into a black hole: asks over each, every PROBE_INTERVAL_MS, for a sign of life, and aborts one that gives none within
 * PROBE_TIMEOUT_MS.
 *
 * libp2p's own connection monitor aborts a connection for anything that goes wrong with its ping, also where the peer answered by refusing or ending the
 * stream, as a busy one does: seen as the death of a living worker. Here only silence counts. A lease has a failure detector of its own, which is sooner.
 */
import { randomBytes } from 'node:crypto'
import type { Connection } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import type { Log } from '../log.ts'
import { PING, PING_BYTES, PROBE_INTERVAL_MS, PROBE_TIMEOUT_MS } from './constants.ts'

export interface ProberComponents {
  connections: () => Connection[]
  log: Log
}

export interface ProberInit {
  /** Milliseconds. @default PROBE_INTERVAL_MS */
  intervalMs?: number
  /** Milliseconds. @default PROBE_TIMEOUT_MS */
  timeoutMs?: number
}

export class Prober {
  readonly #components: ProberComponents
  readonly #intervalMs: number
  readonly #timeoutMs: number
  readonly #running = new Map<Connection, Promise<void>>()
  #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor (components: ProberComponents, { intervalMs = PROBE_INTERVAL_MS, timeoutMs = PROBE_TIMEOUT_MS }: ProberInit = {}) {
    this.#components = components
    this.#intervalMs = intervalMs
    this.#timeoutMs = timeoutMs
  }

  start (): void {
    this.#stop = new AbortController()
    this.#timer = setInterval(() => { for (const connection of this.#components.connections()) this.#enter(connection) }, this.#intervalMs).unref()
  }

  /** Resolves when no probe is left. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    this.#stop.abort()
    await Promise.all(this.#running.values())
  }

  #enter (connection: Connection): void {
    if (this.#running.has(connection) || connection.status !== 'open') return
    this.#running.set(connection, this.#probe(connection).finally(() => { this.#running.delete(connection) }))
  }

  /** Never rejects. */
  async #probe (connection: Connection): Promise<void> {
    const late = new AbortController()
    const timer = setTimeout(() => { late.abort() }, this.#timeoutMs)
    const stopped = (): void => { late.abort() }
    this.#stop.signal.addEventListener('abort', stopped, { once: true })
    try {
      await echo(connection, late.signal)
    } catch (error) {
      // Whatever else went wrong, the peer had to say something for it; a connection that broke knows so by itself.
      if (!late.signal.aborted || this.#stop.signal.aborted || connection.status !== 'open') return
      this.#components.log.debug({ peer: connection.remotePeer.toString(), reason: (error as Error).message }, 'a connection gave no sign of life and is let go')
      connection.abort(new Error(`no answer within ${this.#timeoutMs} ms`))
    } finally {
      clearTimeout(timer)
      this.#stop.signal.removeEventListener('abort', stopped)
    }
  }
}

async function echo (connection: Connection, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(PING, { signal })
  try {
    const bytes = byteStream(stream)
    await bytes.write(randomBytes(PING_BYTES), { signal })
    await bytes.read({ bytes: PING_BYTES, signal })
    await stream.close({ signal })
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}
