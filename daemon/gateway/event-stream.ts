/**
 * Job events to any number of followers, as server-sent events. Bounded everywhere: followers, bytes queued for each (a
 * slow one is dropped), and events kept for those who come back with `Last-Event-ID`.
 */
import type { Writable } from 'node:stream'
import type { JobEvent } from '../coordinator/index.ts'
import { EVENT_CLIENTS_MAX, EVENT_CLIENT_BYTES_MAX, EVENT_KEEPALIVE_MS, EVENT_LINGER_MS, EVENT_REPLAY_MAX } from './constants.ts'
import { ApiError } from './errors.ts'

export interface Follower {
  /** Gets the stream; closed by whoever reads it. `destroy()` drops it. */
  sink: Writable
  job?: string
  types?: Set<string>
  /** Number of the last event it has. */
  lastId?: number
}

interface Numbered { id: number, event: JobEvent }

export class EventStream {
  readonly #subscribe: (listener: (event: JobEvent) => void) => () => void
  readonly #followers = new Set<Follower>()
  /** The last events, oldest first. */
  #recent: Numbered[] = []
  #pending: Numbered[] = []
  #lastId = 0
  #unsubscribe: (() => void) | undefined
  #keepAlive: NodeJS.Timeout | undefined
  #linger: NodeJS.Timeout | undefined

  constructor (subscribe: (listener: (event: JobEvent) => void) => () => void) {
    this.#subscribe = subscribe
  }

  get size (): number {
    return this.#followers.size
  }

  /** @throws ApiError 429 */
  follow (follower: Follower): void {
    if (this.#followers.size >= EVENT_CLIENTS_MAX) throw new ApiError(429, 'too-many-followers', `${EVENT_CLIENTS_MAX} event streams are open already`)
    clearTimeout(this.#linger)
    this.#unsubscribe ??= this.#subscribe(event => { this.#take(event) })
    this.#keepAlive ??= setInterval(() => { this.#send(this.#followers, ': alive\n\n') }, EVENT_KEEPALIVE_MS)
    this.#flush()
    this.#followers.add(follower)
    follower.sink.once('close', () => { this.#leave(follower) })
    // A reader that went away is no fault; 'close' follows.
    follower.sink.on('error', () => {})
    follower.sink.write(': weft events\n\n')
    if (follower.lastId != null) {
      const { lastId } = follower
      this.#deliver(follower, this.#recent.filter(({ id }) => id > lastId), new Map())
    }
  }

  close (): void {
    for (const { sink } of this.#followers) sink.end()
    this.#followers.clear()
    this.#rest()
  }

  #leave (follower: Follower): void {
    this.#followers.delete(follower)
    if (this.#followers.size > 0 || this.#unsubscribe == null) return
    clearInterval(this.#keepAlive)
    this.#keepAlive = undefined
    this.#linger = setTimeout(() => { this.#rest() }, EVENT_LINGER_MS).unref()
  }

  #rest (): void {
    clearInterval(this.#keepAlive)
    clearTimeout(this.#linger)
    this.#unsubscribe?.()
    this.#unsubscribe = this.#keepAlive = undefined
    this.#recent = []
    this.#pending = []
  }

  /** Gathered per tick: a job of small blocks makes tens of thousands a second. */
  #take (event: JobEvent): void {
    if (this.#pending.push({ id: ++this.#lastId, event }) === 1) setImmediate(() => { this.#flush() })
  }

  #flush (): void {
    const events = this.#pending
    if (events.length === 0) return
    this.#pending = []
    const texts = new Map<number, string>()
    for (const follower of this.#followers) this.#deliver(follower, events, texts)
    this.#recent = [...this.#recent, ...events].slice(-EVENT_REPLAY_MAX)
  }

  /** `texts` remembers what was written already, so that an event is serialised once for all followers. */
  #deliver (follower: Follower, events: Numbered[], texts: Map<number, string>): void {
    let text = ''
    for (const { id, event } of events) {
      if (follower.job != null && event.job !== follower.job) continue
      if (follower.types != null && !follower.types.has(event.type)) continue
      let one = texts.get(id)
      if (one == null) texts.set(id, one = `id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
      text += one
    }
    if (text !== '') this.#send([follower], text)
  }

  #send (followers: Iterable<Follower>, text: string): void {
    for (const follower of followers) {
      follower.sink.write(text)
      if (follower.sink.writableLength > EVENT_CLIENT_BYTES_MAX) follower.sink.destroy()
    }
  }
}
