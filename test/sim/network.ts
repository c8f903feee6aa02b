/**
 * A network of streams and datagrams. A stream is ordered in itself, not against others; lost segments come later, not never. Datagrams are
 * lost, come twice and overtake one another. There are delay, jitter, spikes, loss, slow links, breaks and partitions (in both directions or
 * one), and links that flap. What was sent before an orderly close still arrives; what was on its way at a break does not.
 */
import type { Generation } from '../../daemon/task-protocol/lease-model.ts'
import type { Host } from './host.ts'
import type { Life, World } from './world.ts'

export interface NetworkProfile {
  delayMs: number
  jitterMs: number
  /** Share of messages that take a spike more. */
  spikes: number
  spikeMs: number
  /** Share of packets that are lost: datagrams for good, segments of a stream until they are sent again. */
  loss: number
  /** Share of datagrams that come twice, and how late the second may be. */
  duplicates: number
  duplicateMs: number
  /** Bytes per millisecond of every link; Infinity: no limit. */
  bandwidth: number
}

/** A segment that is not acknowledged is sent again after this and twice as long each time, milliseconds; as TCP does, somewhat hurried. */
const RETRY_MS = 50
const RETRY_MS_MAX = 400
/** How long bulk may delay a control message, milliseconds: what is queued on a connection stays under this much of its rate. */
const BULK_AHEAD_MS = 250

/** Datagrams of a link that are remembered, and the longest time between two that are replayed, milliseconds. */
const RECENT_DATAGRAMS = 4
const REPLAY_MS_MAX = 400

/** 0: from requester to worker; 1: back. */
type Direction = 0 | 1

/** One direction between two nodes. */
export class Link {
  /** Nothing gets through before then. */
  blockedUntil = 0
  /** Until when it was blocked, stood still, lost much or was cut: nobody may be blamed for what happens before. */
  disturbedUntil = -Infinity
  /** Datagrams do not get through before then, streams do. */
  datagramsBlockedUntil = 0
  /** The last datagrams on it, for whoever sends them again. */
  recent: Array<() => void> = []
  /** Bulk keeps it busy until then. */
  busyUntil = 0
  /** Share lost beyond the profile's, until then. */
  loss = 0
  lossUntil = 0
}

export class Stream {
  readonly requester: Host
  readonly worker: Host
  readonly requesterLife: Life
  readonly workerLife: Life
  readonly generation: Generation
  /** Per direction: what is on its way. */
  readonly pipes: [Pipe, Pipe]
  readonly links: [Link, Link]
  /** Whether this end still reads and writes. */
  requesterOpen = true
  workerOpen = true
  /** A break touched it. */
  cutAt = -Infinity

  constructor (requester: Host, worker: Host, generation: Generation, links: [Link, Link]) {
    this.requester = requester
    this.worker = worker
    // The lives of this moment: a node that crashed and came back knows nothing of its old streams.
    this.requesterLife = requester.life
    this.workerLife = worker.life
    this.generation = generation
    this.links = links
    this.pipes = [new Pipe(), new Pipe()]
  }

  /** When the last disturbance of it ends. */
  get disturbedUntil (): number {
    return Math.max(this.cutAt, this.links[0].disturbedUntil, this.links[1].disturbedUntil, this.pipes[0].stalledUntil, this.pipes[1].stalledUntil)
  }
}

class Pipe {
  messages: Array<{ at: number, label: string, deliver: () => void }> = []
  lastAt = 0
  pumping = false
  cut = false
  /** Nothing comes through before then, as after a lost segment. */
  stalledUntil = -Infinity
  retryMs = RETRY_MS
}

export class Network {
  readonly #world: World
  readonly #profile: NetworkProfile
  readonly #links = new Map<string, Link>()
  readonly streams = new Set<Stream>()
  datagrams = 0
  datagramsLost = 0

  constructor (world: World, profile: NetworkProfile) {
    this.#world = world
    this.#profile = profile
  }

  /** Nothing is lost, nothing late but for jitter. */
  get exact (): boolean { return this.#profile.loss === 0 && this.#profile.spikes === 0 }

  link (from: string, to: string): Link {
    const key = `${from}>${to}`
    let link = this.#links.get(key)
    if (link == null) {
      link = new Link()
      this.#links.set(key, link)
    }
    return link
  }

  open (requester: Host, worker: Host, generation: Generation): Stream {
    const stream = new Stream(requester, worker, generation, [this.link(requester.name, worker.name), this.link(worker.name, requester.name)])
    this.streams.add(stream)
    return stream
  }

  /** Delivers in order of sending, unless the stream breaks or the receiver is gone by then. */
  send (stream: Stream, direction: Direction, label: string, deliver: () => void, bytes = 0): void {
    if (direction === 0 ? !stream.requesterOpen : !stream.workerOpen) return
    const pipe = stream.pipes[direction]
    const link = stream.links[direction]
    const at = Math.max(this.#leaves(link, bytes) + this.#delay() + this.#resent(link), pipe.lastAt)
    pipe.lastAt = at
    pipe.messages.push({ at, label, deliver })
    this.#pump(stream, direction)
  }

  /** Delivers to the beacon thread the receiver has now, perhaps twice, perhaps never. */
  datagram (from: Host, to: Host, link: Link, deliver: () => void): void {
    const { random, now } = this.#world
    this.datagrams++
    const lost = now < link.blockedUntil || now < link.datagramsBlockedUntil || random.chance(this.#lossOf(link))
    if (lost) {
      this.datagramsLost++
      return
    }
    const arrive = (): void => { if (this.#world.now >= link.blockedUntil) deliver() }
    link.recent.push(arrive)
    if (link.recent.length > RECENT_DATAGRAMS) link.recent.shift()
    this.#world.after(this.#delay(), to.thread, '', arrive)
    if (random.chance(this.#profile.duplicates)) this.#world.after(this.#delay() + random.next() * this.#profile.duplicateMs, to.thread, '', arrive)
  }

  /** Somebody recorded what went this way, and sends it again and again. */
  replay (from: string, to: Host, forMs: number): void {
    const link = this.link(from, to.name)
    const until = this.#world.now + forMs
    const again = (): void => {
      if (this.#world.now > until || link.recent.length === 0) return
      this.#world.random.pick(link.recent)()
      this.#world.after(this.#world.random.between(50, REPLAY_MS_MAX), to.thread, '', again)
    }
    this.#world.after(REPLAY_MS_MAX, to.thread, '', again)
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
    stream.cutAt = this.#world.now
    this.streams.delete(stream)
    for (const pipe of stream.pipes) {
      pipe.cut = true
      pipe.messages = []
    }
  }

  /** One direction of one stream stands still for a while; other streams between the two do not. */
  stall (stream: Stream, direction: Direction, forMs: number): void {
    stream.pipes[direction].stalledUntil = Math.max(stream.pipes[direction].stalledUntil, this.#world.now + forMs)
  }

  block (from: string, to: string, forMs: number): void {
    const link = this.link(from, to)
    link.blockedUntil = Math.max(link.blockedUntil, this.#world.now + forMs)
    link.disturbedUntil = Math.max(link.disturbedUntil, link.blockedUntil + RETRY_MS_MAX)
  }

  /** Loses this share beyond the usual for a while. */
  degrade (from: string, to: string, loss: number, forMs: number): void {
    const link = this.link(from, to)
    link.loss = loss
    link.lossUntil = this.#world.now + forMs
    link.disturbedUntil = Math.max(link.disturbedUntil, link.lossUntil + 4 * RETRY_MS_MAX)
  }

  /** What was to last until later ends now. */
  heal (): void {
    const { now } = this.#world
    for (const link of this.#links.values()) {
      if (link.blockedUntil > now) link.blockedUntil = now
      link.disturbedUntil = Math.min(link.disturbedUntil, now + RETRY_MS_MAX)
      link.lossUntil = Math.min(link.lossUntil, now)
    }
  }

  reaches (from: string, to: string): boolean {
    return this.#world.now >= this.link(from, to).blockedUntil
  }

  #lossOf (link: Link): number {
    return this.#world.now < link.lossUntil ? this.#profile.loss + link.loss : this.#profile.loss
  }

  /** When a message is on the wire: bulk takes its time, control messages wait for little of it. */
  #leaves (link: Link, bytes: number): number {
    const { now } = this.#world
    const { bandwidth } = this.#profile
    if (bandwidth === Infinity) return now
    if (bytes === 0) return Math.max(now, Math.min(link.busyUntil, now + BULK_AHEAD_MS))
    link.busyUntil = Math.max(now, link.busyUntil) + bytes / bandwidth
    return link.busyUntil
  }

  #delay (): number {
    const { delayMs, jitterMs, spikes, spikeMs } = this.#profile
    const { random } = this.#world
    return delayMs + random.next() * jitterMs + (random.chance(spikes) ? random.next() * spikeMs : 0)
  }

  /** How much later a message comes because segments of it were lost. */
  #resent (link: Link): number {
    const loss = this.#lossOf(link)
    if (loss === 0) return 0
    let ms = 0
    for (let retry = RETRY_MS; retry <= RETRY_MS_MAX && this.#world.random.chance(loss); retry *= 2) ms += retry
    return ms
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
    const link = stream.links[direction]
    pipe.pumping = false
    const [life, receiving] = direction === 0 ? [stream.workerLife, stream.workerOpen] : [stream.requesterLife, stream.requesterOpen]
    if (pipe.cut || life.over || !receiving) {
      pipe.messages = []
      return
    }
    const { now } = this.#world
    let waitMs = Math.max(pipe.stalledUntil, life.idleUntil, life.deafUntil) - now
    if (now < link.blockedUntil) {
      // As with TCP: it is sent again until the way is free or somebody gives up.
      waitMs = Math.max(waitMs, pipe.retryMs)
      pipe.retryMs = Math.min(2 * pipe.retryMs, RETRY_MS_MAX)
    } else pipe.retryMs = RETRY_MS
    if (waitMs > 0) {
      pipe.pumping = true
      this.#world.after(waitMs, undefined, '', () => { this.#deliver(stream, direction) })
      return
    }
    const message = pipe.messages.shift()
    if (message == null) return
    if (message.label !== '') this.#world.note(message.label)
    message.deliver()
    this.#pump(stream, direction)
  }
}
