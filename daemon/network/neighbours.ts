/**
 * Members this node met before, and those that say so on the local network: a node finds its network again though every
 * bootstrap address is gone, and the members of a private network on one LAN find one another with no address at all.
 *
 * While fewer than NEIGHBOURS_WANTED members are connected, remembered ones are dialled in turns, with growing pauses.
 * NEIGHBOUR_DIALS_MAX remembered and as many announced ones are dialled at once: who floods the local network with
 * announcements takes no place of a remembered one.
 */
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import type { Log } from '../log.ts'
import { DIAL_TIMEOUT_MS, NEIGHBOUR_ADDRESSES_MAX, NEIGHBOUR_DIALS_MAX, NEIGHBOUR_PAUSE_MAX_MS, NEIGHBOUR_PAUSE_MIN_MS, NEIGHBOURS_MAX, NEIGHBOURS_WANTED } from './constants.ts'
import { pause } from './wait.ts'

/** One member as it is remembered. */
export interface Neighbour {
  peer: string
  /** With /p2p/<peer id>, the last known first. */
  addresses: string[]
  /** Those of them at which this node itself reached it. @default none */
  reached?: string[]
  /** UTC milliseconds it was last connected. */
  seen: number
}

/** Where neighbours are kept between runs. */
export interface NeighbourStore {
  read: () => Promise<Neighbour[]>
  write: (neighbours: Neighbour[]) => Promise<void>
}

/** Who gives the addresses of a dial: those `reached` were dialled before; `local`: somebody on the local network. */
export interface NeighbourDial {
  reached: Multiaddr[]
  local: boolean
  signal: AbortSignal
}

export interface NeighboursComponents {
  /** Dials, and resolves when the member is greeted. */
  dial: (addresses: Multiaddr[], options: NeighbourDial) => Promise<void>
  /** Peer ids of the members now connected. */
  connected: () => string[]
  store?: NeighbourStore
  log: Log
}

export interface NeighboursInit {
  /** UTC milliseconds. @default Date.now */
  now?: () => number
  /** In [0, 1). @default Math.random */
  random?: () => number
  /** Waits these milliseconds, or until the signal fires; never rejects. @default a timer */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

export class Neighbours {
  readonly #components: NeighboursComponents
  readonly #now: () => number
  readonly #random: () => number
  readonly #wait: NonNullable<NeighboursInit['wait']>
  /** Least recently seen first. */
  readonly #known = new Map<string, Neighbour>()
  /** Dials of announced members, by peer id. */
  readonly #announced = new Map<string, Promise<void>>()
  #stop = new AbortController()
  /** Ends a pause: a member was lost, or a new one may be there. */
  #wake = new AbortController()
  #loop: Promise<void> = Promise.resolve()
  #saving: Promise<void> = Promise.resolve()
  /** A write has not begun yet: it will take the newest state. */
  #savePending = false

  constructor (components: NeighboursComponents, { now = Date.now, random = Math.random, wait = pause }: NeighboursInit = {}) {
    this.#components = components
    this.#now = now
    this.#random = random
    this.#wait = wait
  }

  start (): void {
    this.#stop = new AbortController()
    this.#loop = this.#run(this.#stop.signal)
  }

  /** Resolves when no dial is left and what is known is written. */
  async stop (): Promise<void> {
    this.#stop.abort()
    await Promise.all([this.#loop, ...this.#announced.values()])
    await this.#saving
  }

  /** A member is connected; it says that it listens at `told`, and this node dialled `dialled`. */
  met (peer: PeerId, told: Multiaddr[], dialled: Multiaddr[] = []): void {
    const key = peer.toString()
    const before = this.#known.get(key)
    const [own, others] = [dialled, told].map(list => list.map(address => withPeer(address, key))) as [string[], string[]]
    const all = [...new Set([...own, ...others, ...before?.addresses ?? []])].slice(0, NEIGHBOUR_ADDRESSES_MAX)
    if (all.length === 0) return
    const reached = all.filter(address => own.includes(address) || before?.reached?.includes(address) === true)
    this.#known.delete(key)
    this.#known.set(key, { peer: key, addresses: all, ...(reached.length === 0 ? {} : { reached }), seen: this.#now() })
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= NEIGHBOURS_MAX) break
      this.#known.delete(oldest)
    }
    this.#save()
  }

  /** Not to be dialled again. */
  forget (peer: PeerId): void {
    if (this.#known.delete(peer.toString())) this.#save()
  }

  /** The last connection to a member closed. */
  lost (): void {
    this.#wake.abort()
  }

  /** Somebody on the local network says that it is a member. Hello will tell. */
  announced (peer: PeerId, addresses: Multiaddr[]): void {
    const key = peer.toString()
    if (this.#stop.signal.aborted || this.#announced.has(key) || this.#announced.size >= NEIGHBOUR_DIALS_MAX || this.#components.connected().includes(key)) return
    const neighbour = { peer: key, addresses: addresses.slice(0, NEIGHBOUR_ADDRESSES_MAX).map(address => withPeer(address, key)), seen: 0 }
    this.#announced.set(key, this.#dial(neighbour, true, this.#stop.signal).finally(() => { this.#announced.delete(key) }))
  }

  async #run (signal: AbortSignal): Promise<void> {
    try {
      for (const neighbour of await this.#components.store?.read() ?? []) if (!this.#known.has(neighbour.peer)) this.#known.set(neighbour.peer, neighbour)
    } catch (error) {
      this.#components.log.warn({ error }, 'the members known before cannot be read; going on without them')
    }
    let rounds = 0
    while (!signal.aborted) {
      this.#wake = new AbortController()
      const connected = this.#components.connected()
      let least = 0
      if (connected.length >= NEIGHBOURS_WANTED) rounds = 0
      else {
        // The latest seen are the likeliest to be there.
        const absent = [...this.#known.values()].filter(({ peer }) => !connected.includes(peer)).sort((a, b) => b.seen - a.seen)
        const first = (rounds * NEIGHBOUR_DIALS_MAX) % Math.max(1, absent.length)
        const chosen = [...absent.slice(first), ...absent.slice(0, first)].slice(0, NEIGHBOUR_DIALS_MAX)
        await Promise.all(chosen.map(async neighbour => { await this.#dial(neighbour, false, signal) }))
        rounds++
        // Members that come and go would otherwise make it one round after the other.
        least = NEIGHBOUR_PAUSE_MIN_MS
        await this.#wait(least, signal)
      }
      const most = Math.min(NEIGHBOUR_PAUSE_MAX_MS, NEIGHBOUR_PAUSE_MIN_MS * 2 ** Math.min(rounds, 16))
      await this.#wait(most * (0.5 + this.#random() / 2) - least, AbortSignal.any([signal, this.#wake.signal]))
    }
  }

  /** Never rejects: a member that is not there is the usual case. */
  async #dial ({ peer, addresses, reached = [] }: Neighbour, local: boolean, signal: AbortSignal): Promise<void> {
    try {
      await this.#components.dial(addresses.map(address => multiaddr(address)), { reached: reached.map(address => multiaddr(address)), local, signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]) })
    } catch (error) {
      this.#components.log.debug({ peer, reason: (error as Error).message }, 'a member known before does not answer')
    }
  }

  #save (): void {
    const { store, log } = this.#components
    if (store == null || this.#savePending) return
    this.#savePending = true
    this.#saving = this.#saving.then(async () => {
      this.#savePending = false
      try {
        await store.write([...this.#known.values()])
      } catch (error) {
        log.warn({ error }, 'the members known cannot be written')
      }
    })
  }
}

function withPeer (address: Multiaddr, peer: string): string {
  const text = address.toString()
  return text.includes('/p2p/') ? text : `${text}/p2p/${peer}`
}
