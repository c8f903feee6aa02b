/**
 * What the main thread and the beacon's thread know of one another, in shared memory: each side reads while the other one's loop is blocked. Every
 * word has one writer; times are microseconds of the machine's monotonic clock, which is the same in all threads.
 */
import { BEACON_RING } from './constants.ts'
import type { BeaconPacket } from './beacon-packet.ts'

/** Milliseconds of the machine's monotonic clock. */
export function steadyMs (): number {
  return Number(process.hrtime.bigint()) / 1e6
}

const TO_LOCAL = performance.now() - steadyMs()

/** The same instant on this thread's `performance.now()`. */
export function toLocal (steady: number): number {
  return steady + TO_LOCAL
}

function store (words: BigUint64Array, index: number, value: number): void {
  Atomics.store(words, index, BigInt(Math.max(0, Math.round(value))))
}

function load (words: BigUint64Array, index: number): number {
  return Number(Atomics.load(words, index))
}

/** One per beacon: the main loop's state for the thread, the thread's for the main loop. */
export class ControlMemory {
  readonly buffer: SharedArrayBuffer
  readonly #words: BigUint64Array

  constructor (buffer = new SharedArrayBuffer(5 * 8)) {
    this.buffer = buffer
    this.#words = new BigUint64Array(buffer)
  }

  /** Main loop: it came round once more, and was late by so much lately. */
  progressed (loopDelayMs: number): void {
    Atomics.add(this.#words, 0, 1n)
    store(this.#words, 1, loopDelayMs)
  }

  /** 32 bits of the count. */
  get progress (): number {
    return load(this.#words, 0) % 2 ** 32
  }

  get loopDelayMs (): number {
    return load(this.#words, 1)
  }

  /** Thread: it is at work at `steady`, and was late by so much lately. */
  ticked (steady: number, lateMs: number): void {
    store(this.#words, 3, lateMs)
    store(this.#words, 2, steady * 1000)
  }

  /** When the thread was at work last (steady milliseconds), and its lateness; undefined before its first round. */
  get ticks (): { at: number, lateMs: number } | undefined {
    const at = load(this.#words, 2)
    return at === 0 ? undefined : { at: at / 1000, lateMs: load(this.#words, 3) }
  }

  /** Thread: a datagram could not be sent. */
  sendFailed (): void {
    Atomics.add(this.#words, 4, 1n)
  }

  get sendFailures (): number {
    return load(this.#words, 4)
  }

  /** Main: no thread is at work. */
  reset (): void {
    store(this.#words, 2, 0)
  }
}

export interface Arrival extends BeaconPacket {
  /** `performance.now()` of the reading thread. */
  at: number
}

const HEAD = 2
const ENTRY = 4

/** One per lease: what the thread heard, as a ring, and what it is to tell. */
export class LeaseMemory {
  readonly buffer: SharedArrayBuffer
  readonly #words: BigUint64Array

  constructor (buffer = new SharedArrayBuffer((HEAD + ENTRY * BEACON_RING) * 8)) {
    this.buffer = buffer
    this.#words = new BigUint64Array(buffer)
  }

  /** Main: orders at work, for the next beacon. */
  set active (orders: number) {
    store(this.#words, 1, orders)
  }

  get active (): number {
    return load(this.#words, 1)
  }

  /** Beacons heard so far. */
  get heard (): number {
    return load(this.#words, 0)
  }

  /** Thread: a beacon that is authentic and newer than all before came at `steady`. */
  hear (packet: BeaconPacket, steady: number): void {
    const count = this.heard
    const at = HEAD + ENTRY * (count % BEACON_RING)
    store(this.#words, at, steady * 1000)
    Atomics.store(this.#words, at + 1, pair(packet.incarnation, packet.sequence))
    Atomics.store(this.#words, at + 2, pair(packet.progress, packet.loopDelayMs))
    store(this.#words, at + 3, packet.active)
    store(this.#words, 0, count + 1)
  }

  /** The newest heard: after a new start, the thread goes on from here, so that old datagrams stay old. */
  get newest (): Arrival | undefined {
    const count = this.heard
    return count === 0 ? undefined : this.#entry(count - 1)
  }

  /** Those from number `from` (0 is the first) on that are still there, oldest first. */
  since (from: number): Arrival[] {
    const count = this.heard
    const arrivals: Arrival[] = []
    for (let i = Math.max(from, count - BEACON_RING); i < count; i++) arrivals.push(this.#entry(i))
    return arrivals
  }

  #entry (index: number): Arrival {
    const at = HEAD + ENTRY * (index % BEACON_RING)
    const [incarnation, sequence] = split(Atomics.load(this.#words, at + 1))
    const [progress, loopDelayMs] = split(Atomics.load(this.#words, at + 2))
    return { at: toLocal(load(this.#words, at) / 1000), incarnation, sequence, progress, loopDelayMs, active: load(this.#words, at + 3) }
  }
}

function pair (high: number, low: number): bigint {
  return BigInt(high) << 32n | BigInt(low)
}

function split (word: bigint): [number, number] {
  return [Number(word >> 32n), Number(word & 0xffffffffn)]
}
