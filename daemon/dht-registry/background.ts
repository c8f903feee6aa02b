/** Looks up peers that were heard of but are not known, in the background and within a budget. */
import type { PeerId } from '@libp2p/interface'
import type { Log } from '../log.ts'
import { BACKGROUND_LOOKUPS_PARALLEL_MAX, BACKGROUND_LOOKUPS_PER_MINUTE_MAX, BACKGROUND_LOOKUPS_WAITING_MAX, BACKGROUND_RETRY_MS, BACKGROUND_TRIED_MAX } from './constants.ts'
import type { Observation } from './index.ts'

export interface BackgroundComponents {
  /** Learns of a peer; rejects if it could not. */
  lookup: (peer: PeerId, signal: AbortSignal) => Promise<void>
  /** It is known now: what had been observed of it. */
  found: (observation: Observation) => void
  /** UTC milliseconds. */
  now: () => number
  log: Log
}

export class BackgroundLookups {
  readonly #components: BackgroundComponents
  /** The newest observation of each peer that waits or is being looked up. */
  readonly #wanted = new Map<string, Observation>()
  readonly #queue: PeerId[] = []
  /** When a peer was last looked up, oldest first. */
  readonly #tried = new Map<string, number>()
  readonly #running = new Set<Promise<void>>()
  #minute = 0
  #used = 0
  #stop = new AbortController()

  constructor (components: BackgroundComponents) {
    this.#components = components
  }

  /** False if it is not looked up: recently tried, no room, or the budget of this minute is spent. */
  want (observation: Observation): boolean {
    const key = observation.peer.toString()
    const wanted = this.#wanted.get(key)
    if (wanted != null) {
      if (observation.sequence > wanted.sequence) this.#wanted.set(key, observation)
      return true
    }
    const now = this.#components.now()
    if (this.#stop.signal.aborted || now - (this.#tried.get(key) ?? -Infinity) < BACKGROUND_RETRY_MS) return false
    if (this.#queue.length >= BACKGROUND_LOOKUPS_WAITING_MAX || !this.#spend(now)) return false
    this.#note(key, now)
    this.#wanted.set(key, observation)
    this.#queue.push(observation.peer)
    this.#next()
    return true
  }

  async stop (): Promise<void> {
    this.#stop.abort()
    this.#queue.length = 0
    await Promise.all(this.#running)
    this.#wanted.clear()
    this.#stop = new AbortController()
  }

  #spend (now: number): boolean {
    const minute = Math.floor(now / 60_000)
    if (minute !== this.#minute) [this.#minute, this.#used] = [minute, 0]
    return ++this.#used <= BACKGROUND_LOOKUPS_PER_MINUTE_MAX
  }

  #note (key: string, now: number): void {
    this.#tried.delete(key)
    this.#tried.set(key, now)
    if (this.#tried.size <= BACKGROUND_TRIED_MAX) return
    const [oldest] = this.#tried.keys()
    if (oldest != null) this.#tried.delete(oldest)
  }

  #next (): void {
    while (this.#running.size < BACKGROUND_LOOKUPS_PARALLEL_MAX) {
      const peer = this.#queue.shift()
      if (peer == null) return
      const run = this.#lookup(peer, this.#stop.signal).finally(() => {
        this.#running.delete(run)
        this.#next()
      })
      this.#running.add(run)
    }
  }

  async #lookup (peer: PeerId, signal: AbortSignal): Promise<void> {
    const key = peer.toString()
    try {
      await this.#components.lookup(peer, signal)
      const observation = this.#wanted.get(key)
      if (observation != null && !signal.aborted) this.#components.found(observation)
    } catch (error) {
      if (!signal.aborted) this.#components.log.debug({ peer: key, reason: (error as Error).message }, 'a peer heard of by gossip could not be looked up')
    } finally {
      this.#wanted.delete(key)
    }
  }
}
