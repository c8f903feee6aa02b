/**
 * Makes the sockets of a test network's connections behave as if the way between two nodes were bad: nothing arrives and
 * nobody is told (a black hole), or late, or slowly. On a connection whose link is sound nothing is installed at all.
 *
 * What is held stays in order, and is delivered once the link is sound again, as TCP would: also that the peer closed.
 */
import type { Socket } from 'node:net'
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { isSound, Lane, type LinkFault } from '../link-faults.ts'

/** Bytes held in each direction before the writer has to wait: what Linux lets a TCP socket keep by default at most. */
const HELD_BYTES_MAX = 4 * 1024 * 1024

/** On a slow link the queue holds so many milliseconds of its rate, and at least so many bytes: longer queues would only add delay. */
const QUEUE_MS = 250
const QUEUE_BYTES_MIN = 64 * 1024

/** Bytes of a piece on a link of limited rate, so that a short message waits behind little. */
const PIECE_BYTES_MAX = 16 * 1024

/** Milliseconds after which a connection that was closed gives up what it still holds. */
const LINGER_MS = 10_000

/** What else than bytes tells of the peer: held while nothing of it arrives. */
const INBOUND_EVENTS = ['error', 'close'] as const

/** What libp2p's TCP connection is made of; a test says that it still is. */
interface TcpConnection {
  socket: Socket
  readStatus: string
  sendData: (data: Uint8ArrayList) => { sentBytes: number, canSendMore: boolean }
  sendClose: () => Promise<void>
  sendResume: () => void
  safeDispatchEvent: (name: string) => boolean
}

type Listener = (...args: unknown[]) => void

/** Listeners of ours that hear of the socket whatever becomes of the peer's bytes. */
const own = new WeakSet<Listener>()

/** One TCP connection's faults. */
export class LinkShim {
  readonly #connection: TcpConnection
  readonly #random: () => number
  #outbound: Outbound | undefined
  #inbound: Inbound | undefined

  private constructor (connection: TcpConnection, random: () => number) {
    this.#connection = connection
    this.#random = random
  }

  /** undefined for what is not a TCP connection. */
  static of (connection: MultiaddrConnection | undefined, random: () => number): LinkShim | undefined {
    const tcp = connection as unknown as Partial<TcpConnection> | undefined
    return tcp?.socket == null || tcp.sendData == null || tcp.sendClose == null ? undefined : new LinkShim(tcp as TcpConnection, random)
  }

  /** The connection is over. What it still sends leaves in its time; what was held of the peer may be of use to who counts sockets. */
  closed (): void {
    this.#inbound?.release()
    this.#inbound = undefined
  }

  set (fault: LinkFault | undefined): void {
    if (fault?.blockIn === true) this.#inbound ??= new Inbound(this.#connection)
    else {
      this.#inbound?.release()
      this.#inbound = undefined
    }
    if (isSound({ ...fault, blockIn: false })) {
      this.#outbound?.release()
      this.#outbound = undefined
    } else {
      this.#outbound ??= new Outbound(this.#connection, this.#random)
      this.#outbound.set(fault ?? {})
    }
  }
}

/** What this node sends. */
class Outbound {
  readonly #connection: TcpConnection
  readonly #random: () => number
  readonly #lane = new Lane()
  #queue: Array<{ bytes: Uint8Array, due: number }> = []
  #queued = 0
  #fault: LinkFault = {}
  #timer: NodeJS.Timeout | undefined
  /** The writer was told to wait. */
  #full = false
  #empty: Array<() => void> = []

  constructor (connection: TcpConnection, random: () => number) {
    this.#connection = connection
    this.#random = random
    connection.sendData = data => this.#send(data)
    // Resolved at once: TLS above takes a close that lasts for one that failed.
    connection.sendClose = async () => {
      if (this.#queue.length === 0) connection.socket.destroySoon()
      else this.#linger()
    }
    own.add(this.#drop)
    connection.socket.on('drain', this.#pump)
    connection.socket.on('close', this.#drop)
  }

  set (fault: LinkFault): void {
    this.#fault = fault
    this.#pump()
  }

  /** The link is sound: what was held leaves at once, in order. */
  release (): void {
    const { socket } = this.#connection
    socket.off('drain', this.#pump)
    socket.off('close', this.#drop)
    clearTimeout(this.#timer)
    uncover(this.#connection, 'sendData', 'sendClose')
    for (const { bytes } of this.#queue) if (socket.writable) socket.write(bytes)
    this.#drop()
    if (this.#full) this.#connection.safeDispatchEvent('drain')
  }

  #send (data: Uint8ArrayList): { sentBytes: number, canSendMore: boolean } {
    const now = performance.now()
    const pieceMax = this.#fault.bytesPerSecond == null ? Infinity : PIECE_BYTES_MAX
    let sentBytes = 0
    for (const bytes of data) {
      for (let at = 0; at < bytes.byteLength; at += pieceMax) {
        const piece = bytes.subarray(at, at + Math.min(pieceMax, bytes.byteLength - at))
        this.#queue.push({ bytes: piece, due: this.#lane.due(piece.byteLength, this.#fault, now, this.#random) })
      }
      sentBytes += bytes.byteLength
      this.#queued += bytes.byteLength
      this.#full = this.#queued >= this.#room
      if (this.#full) break
    }
    this.#schedule()
    return { sentBytes, canSendMore: !this.#full }
  }

  get #room (): number {
    const { bytesPerSecond } = this.#fault
    return bytesPerSecond == null ? HELD_BYTES_MAX : Math.min(HELD_BYTES_MAX, Math.max(QUEUE_BYTES_MIN, bytesPerSecond * QUEUE_MS / 1000))
  }

  /** Writes what is due, as far as the socket takes it. */
  readonly #pump = (): void => {
    const { socket } = this.#connection
    const now = performance.now()
    let written = 0
    if (this.#fault.blockOut !== true) {
      while (!socket.writableNeedDrain && written < this.#queue.length && (this.#queue[written]?.due ?? Infinity) <= now) {
        const { bytes } = this.#queue[written++] as { bytes: Uint8Array }
        this.#queued -= bytes.byteLength
        socket.write(bytes)
      }
    }
    this.#queue.splice(0, written)
    this.#schedule()
    if (this.#queue.length === 0) for (const resolve of this.#empty.splice(0)) resolve()
    if (this.#full && this.#queued < this.#room) {
      this.#full = false
      this.#connection.safeDispatchEvent('drain')
    }
  }

  #schedule (): void {
    clearTimeout(this.#timer)
    const [first] = this.#queue
    // A full socket says itself when it takes more.
    if (first == null || this.#fault.blockOut === true || this.#connection.socket.writableNeedDrain) return
    this.#timer = setTimeout(this.#pump, Math.max(0, first.due - performance.now()))
    this.#timer.unref()
  }

  /** The writer is done: the socket ends once it was given what is still on its way, as the kernel does it with its own queue. */
  #linger (): void {
    const { socket } = this.#connection
    const end = (): void => {
      clearTimeout(timer)
      socket.destroySoon()
    }
    const timer = setTimeout(end, LINGER_MS)
    timer.unref()
    this.#empty.push(end)
  }

  readonly #drop = (): void => {
    clearTimeout(this.#timer)
    this.#queue = []
    this.#queued = 0
    for (const resolve of this.#empty.splice(0)) resolve()
  }
}

/** What the peer sends, while none of it arrives: the bytes wait in the socket, unread; what it did to the connection waits here. */
class Inbound {
  readonly #connection: TcpConnection
  readonly #listeners: Array<{ name: string, listeners: Listener[], hold: Listener }>
  #held: Array<{ name: string, args: unknown[] }> = []

  constructor (connection: TcpConnection) {
    this.#connection = connection
    const { socket } = connection
    connection.sendResume = () => { /* Nothing is to be read; `release` looks at whether somebody wants to. */ }
    socket.pause()
    this.#listeners = INBOUND_EVENTS.map(name => {
      const listeners = (socket.rawListeners(name) as Listener[]).filter(listener => !own.has(listener))
      const hold = (...args: unknown[]): void => { this.#held.push({ name, args }) }
      // Before the others go: without a listener an error would be thrown.
      socket.on(name, hold)
      for (const listener of listeners) socket.off(name, listener)
      return { name, listeners, hold }
    })
  }

  /** Everything that was held happens now, in order. */
  release (): void {
    const { socket, readStatus } = this.#connection
    uncover(this.#connection, 'sendResume')
    for (const { name, listeners, hold } of this.#listeners) {
      for (const listener of listeners) socket.on(name, listener)
      socket.off(name, hold)
    }
    if (readStatus === 'readable' && !socket.destroyed) socket.resume()
    for (const { name, args } of this.#held.splice(0)) socket.emit(name, ...args)
  }
}

/** The class's methods again, which own properties stand in front of. */
function uncover (connection: TcpConnection, ...names: Array<keyof TcpConnection>): void {
  for (const name of names) Reflect.deleteProperty(connection, name)
}
