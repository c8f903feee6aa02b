/**
 * Finds more of the network through those just met. kad-dht's own first walk is done when hardly anybody is known, and goes only towards
 * peers nearer than the one that answers: where members joined through one another, most would know but the one they joined through.
 */
import { randomBytes } from 'node:crypto'
import type { Log } from '../log.ts'
import { MESH_PEERS_WANTED, MESH_SETTLE_MS, MESH_WALK_MS, MESH_WALKS } from './constants.ts'

export interface MeshComponents {
  /** Walks towards a key; whom it met along the way enters the routing table by itself. */
  walk: (key: Uint8Array, options: { signal: AbortSignal }) => AsyncIterable<unknown>
  /** Peers in the routing table. */
  size: () => number
  log: Log
}

export class Mesh {
  readonly #components: MeshComponents
  #timer: NodeJS.Timeout | undefined
  #walking: Promise<void> | undefined
  /** Peers in the table when a round was last begun: the table tells of newcomers that are none, each time a bucket changes. */
  #reached = 0
  /** Somebody came while a walk was under way. */
  #again = false
  #stop = new AbortController()

  constructor (components: MeshComponents) {
    this.#components = components
  }

  start (): void {
    this.#stop = new AbortController()
    this.#reached = 0
  }

  async stop (): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#walking
  }

  /** A peer entered the routing table: perhaps it knows others. Ends by itself once a round of walks finds nobody. */
  met (): void {
    const size = this.#components.size()
    // Only growth is news, and the loss of half.
    if (this.#stop.signal.aborted || size > MESH_PEERS_WANTED || (size <= this.#reached && 2 * size > this.#reached)) return
    if (this.#walking != null) {
      this.#again = true
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#walking = this.#round().finally(() => {
        this.#walking = undefined
        if (!this.#again) return
        this.#again = false
        this.met()
      })
    }, MESH_SETTLE_MS).unref()
  }

  /** Random keys, for those near one's own are what the DHT looks for anyway. */
  async #round (): Promise<void> {
    this.#reached = this.#components.size()
    for (let i = 0; i < MESH_WALKS && !this.#stop.signal.aborted; i++) {
      try {
        for await (const _ of this.#components.walk(randomBytes(32), { signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(MESH_WALK_MS)]) })) {
          if (this.#stop.signal.aborted) return
        }
      } catch (error) {
        if (!this.#stop.signal.aborted) this.#components.log.debug({ reason: (error as Error).message }, 'a walk for more of the network ended early')
      }
    }
  }
}
