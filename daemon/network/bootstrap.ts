/**
 * Keeps a connection to each bootstrap address: dials until it answers, and again when it is lost, with growing pauses.
 * A bootstrap node may thus come up later than its members.
 */
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Log } from '../log.ts'
import { BOOTSTRAP_RETRY_MAX_MS, BOOTSTRAP_RETRY_MIN_MS, DIAL_TIMEOUT_MS } from './constants.ts'
import type { PeerGreeted } from './index.ts'
import { pause, settledOrAborted } from './wait.ts'

export interface BootstrapComponents {
  dial: (address: Multiaddr, options: { signal: AbortSignal }) => Promise<Connection>
  greeted: (connection: Connection) => Promise<PeerGreeted>
  log: Log
}

export interface BootstrapInit {
  addresses: Multiaddr[]
  /** In [0, 1), for the jitter that keeps members from dialling in step. @default Math.random */
  random?: () => number
}

export class Bootstrap {
  readonly #components: BootstrapComponents
  readonly #init: BootstrapInit
  #stop = new AbortController()
  #loops: Array<Promise<void>> = []

  constructor (components: BootstrapComponents, init: BootstrapInit) {
    this.#components = components
    this.#init = init
  }

  start (): void {
    this.#stop = new AbortController()
    this.#loops = this.#init.addresses.map(async address => { await this.#keep(address, this.#stop.signal) })
  }

  /** Resolves when no dial is left. */
  async stop (): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  async #keep (address: Multiaddr, signal: AbortSignal): Promise<void> {
    const { dial, greeted, log } = this.#components
    let failures = 0
    while (!signal.aborted) {
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
        const connection = await dial(address, { signal: limit })
        await settledOrAborted(greeted(connection), limit)
        failures = 0
        await closed(connection, signal)
      } catch (error) {
        if (signal.aborted) return
        if (failures === 0) log.info({ address: address.toString(), reason: (error as Error).message }, 'a bootstrap address does not answer; still trying')
        failures++
      }
      const most = Math.min(BOOTSTRAP_RETRY_MAX_MS, BOOTSTRAP_RETRY_MIN_MS * 2 ** Math.min(failures, 16))
      await pause(most * (0.5 + (this.#init.random ?? Math.random)() / 2), signal)
    }
  }
}

async function closed (connection: Connection, signal: AbortSignal): Promise<void> {
  if (connection.status !== 'open' || signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = (): void => { resolve() }
  connection.addEventListener('close', end)
  signal.addEventListener('abort', end)
  await promise
  connection.removeEventListener('close', end)
  signal.removeEventListener('abort', end)
}
