/**
 * A network of streams: ordered within a stream, not between streams; with delay, jitter, spikes, breaks and partitions (in both
 * directions or one). What was sent before an orderly close still arrives; what was on its way at a break does not.
 */
import type { Generation } from '../../daemon/task-protocol/lease-model.ts'
import type { Life, World } from './world.ts'

export interface NetworkProfile {
  delayMs: number
  jitterMs: number
  /** Share of messages that take a spike more. */
  spikes: number
  spikeMs: number
}

/** How often a blocked stream looks whether the partition is over, milliseconds. */
const RETRY_MS = 50

/** One end of a stream. */
export interface Peer {
  name: string
  life: Life
}

/** 0: from requester to worker; 1: back. */
type Direction = 0 | 1

export class Stream {
  readonly requester: Peer
  readonly worker: Peer
  readonly generation: Generation
  /** Per direction: what is on its way. */
  readonly pipes: [Pipe, Pipe]
  /** Whether this end still reads and writes. */
  requesterOpen = true
  workerOpen = true
  /** A partition or a break touched it. */
  disturbedAt = -Infinity

  constructor (requester: Peer, worker: Peer, generation: Generation, pipes: [Pipe, Pipe]) {
    this.requester = requester
    this.worker = worker
    this.generation = generation
    this.pipes = pipes
  }
}

interface Pipe {
  messages: Array<{ at: number, label: string, deliver: () => void }>
  lastAt: number
  pumping: boolean
  cut: boolean
  /** Nothing comes through before then, as after a lost segment. */
  stalledUntil: number
}

export class Network {
  readonly #world: World
  readonly #profile: NetworkProfile
  readonly #blocked = new Set<string>()
  readonly streams = new Set<Stream>()

  constructor (world: World, profile: NetworkProfile) {
    this.#world = world
    this.#profile = profile
  }

  open (requester: Peer, worker: Peer, generation: Generation): Stream {
    const pipe = (): Pipe => ({ messages: [], lastAt: 0, pumping: false, cut: false, stalledUntil: 0 })
    // The lives of this moment: a node that crashed and came back knows nothing of its old streams.
    const stream = new Stream({ name: requester.name, life: requester.life }, { name: worker.name, life: worker.life }, generation, [pipe(), pipe()])
    this.streams.add(stream)
    return stream
  }

  /** Delivers in order of sending, unless the stream breaks or the receiver is gone by then. */
  send (stream: Stream, direction: Direction, label: string, deliver: () => void): void {
    if (direction === 0 ? !stream.requesterOpen : !stream.workerOpen) return
    const pipe = stream.pipes[direction]
    const at = Math.max(this.#world.now + this.#delay(), pipe.lastAt)
    pipe.lastAt = at
    pipe.messages.push({ at, label, deliver })
    this.#pump(stream, direction)
  }

  /** The requester closes: what it sent still arrives, what comes is not read; the worker learns of it behind the last message. */
  closeByRequester (stream: Stream, told: () => void): void {
    if (!stream.requesterOpen) return
    this.send(stream, 0, `${stream.worker.name} sees ${stream.requester.name} close`, () => {
      this.streams.delete(stream)
      told()
    })
    stream.requesterOpen = false
    stream.pipes[1].messages = []
  }

  closeByWorker (stream: Stream, told: () => void): void {
    if (!stream.workerOpen) return
    this.send(stream, 1, `${stream.requester.name} sees ${stream.worker.name} close`, () => {
      this.streams.delete(stream)
      told()
    })
    stream.workerOpen = false
    stream.pipes[0].messages = []
  }

  /** The connection is reset: nothing more arrives. */
  cut (stream: Stream): void {
    stream.disturbedAt = this.#world.now
    this.streams.delete(stream)
    for (const pipe of stream.pipes) {
      pipe.cut = true
      pipe.messages = []
    }
  }

  /** One direction of one stream stands still for a while; other streams between the two do not. */
  stall (stream: Stream, direction: Direction, forMs: number): void {
    stream.disturbedAt = this.#world.now + forMs
    stream.pipes[direction].stalledUntil = this.#world.now + forMs
  }

  /** Whether a sign of life gets through now. */
  hears (stream: Stream, direction: Direction): boolean {
    const [from, to] = direction === 0 ? [stream.requester, stream.worker] : [stream.worker, stream.requester]
    const sending = direction === 0 ? stream.requesterOpen : stream.workerOpen
    const pipe = stream.pipes[direction]
    return sending && !from.life.over && !pipe.cut && this.#world.now >= pipe.stalledUntil && this.reaches(from.name, to.name)
  }

  block (from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`)
    this.#disturb(from, to)
  }

  heal (): void {
    for (const stream of this.streams) {
      if (!this.reaches(stream.requester.name, stream.worker.name) || !this.reaches(stream.worker.name, stream.requester.name)) stream.disturbedAt = this.#world.now
    }
    this.#blocked.clear()
  }

  reaches (from: string, to: string): boolean {
    return !this.#blocked.has(`${from}>${to}`)
  }

  #disturb (a: string, b: string): void {
    for (const stream of this.streams) {
      const [x, y] = [stream.requester.name, stream.worker.name]
      if ((x === a && y === b) || (x === b && y === a)) stream.disturbedAt = this.#world.now
    }
  }

  #delay (): number {
    const { delayMs, jitterMs, spikes, spikeMs } = this.#profile
    const { random } = this.#world
    return delayMs + random.next() * jitterMs + (random.chance(spikes) ? random.next() * spikeMs : 0)
  }

  #pump (stream: Stream, direction: Direction): void {
    const pipe = stream.pipes[direction]
    const head = pipe.messages[0]
    if (head == null || pipe.pumping) return
    pipe.pumping = true
    this.#world.after(head.at - this.#world.now, undefined, '', () => { this.#deliver(stream, direction) })
  }

  #deliver (stream: Stream, direction: Direction): void {
    const pipe = stream.pipes[direction]
    pipe.pumping = false
    const [from, to] = direction === 0 ? [stream.requester, stream.worker] : [stream.worker, stream.requester]
    const receiving = direction === 0 ? stream.workerOpen : stream.requesterOpen
    if (pipe.cut || to.life.over || !receiving) {
      pipe.messages = []
      return
    }
    const stalledMs = pipe.stalledUntil - this.#world.now
    if (stalledMs > 0 || !this.reaches(from.name, to.name)) {
      // As with TCP: it is sent again until the way is free or somebody gives up.
      pipe.pumping = true
      this.#world.after(Math.max(stalledMs, RETRY_MS), undefined, '', () => { this.#deliver(stream, direction) })
      return
    }
    const message = pipe.messages.shift()
    if (message == null) return
    if (message.label !== '') this.#world.note(message.label)
    message.deliver()
    this.#pump(stream, direction)
  }
}
