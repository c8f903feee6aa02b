/** The machine and process a node runs on: its two threads, its clocks, and what befalls them. */
import { LOOP_WINDOW_MS } from '../../daemon/health/constants.ts'
import { createLocalHealth } from '../../daemon/health/local-health.ts'
import type { DetectorFault, LocalHealth } from '../../daemon/health/index.ts'
import { Life, type World } from './world.ts'

/** Longest block of a main loop that everybody has to bear, milliseconds. */
export const LOOP_BLOCK_MS_MAX = 2500

/** A turn of the main loop, milliseconds. */
const TURN_MS = 1

/** Milliseconds between two looks at the own health. */
const HEALTH_MS = 500

/** UTC at the beginning of a run, milliseconds. */
const UTC_START_MS = 1_700_000_000_000

export class Host {
  readonly name: string
  /** The main loop: everything a node does. */
  life = new Life()
  /** The thread that sends beacons: it goes on while the main loop stands still. */
  thread = new Life()
  /** Until when the main loop stands or stood still for longer than anybody has to bear. */
  hungUntil = -Infinity
  /** Until when not even beacons come or came: it was suspended or down. */
  deadUntil = -Infinity
  /** Numbers its lives. */
  incarnation = 1
  readonly #world: World
  #utcOffset = 0
  /** When the monotonic clock stood still: on many machines it does while they sleep. */
  #slept: Array<{ from: number, to: number }> = []
  #stalls: Array<{ from: number, until: number }> = []
  #frozen: Array<{ from: number, until: number }> = []

  readonly health: LocalHealth

  constructor (name: string, world: World, faults: ReadonlySet<DetectorFault>) {
    this.name = name
    this.#world = world
    this.health = createLocalHealth({ faults })
    this.#timers()
  }

  /** A timer of its own tells how sound it is. */
  #timers (): void {
    let due = this.#world.now + HEALTH_MS
    const { life } = this
    const tick = (): void => {
      this.health.timer(this.#world.now - due, this.monotonic())
      due = this.#world.now + HEALTH_MS
      this.#world.after(HEALTH_MS, life, '', tick)
    }
    this.#world.after(HEALTH_MS, life, '', tick)
  }

  get up (): boolean { return !this.life.over }

  monotonic (): number {
    const { now } = this.#world
    let at = now
    for (const { from, to } of this.#slept) if (now > from) at -= Math.min(now, to) - from
    return at
  }

  utc (): number { return UTC_START_MS + this.#world.now + this.#utcOffset }

  /** Somebody set the clock; the monotonic one knows nothing of it. */
  stepClock (byMs: number): void {
    this.#utcOffset += byMs
  }

  /** The main loop stands still; what comes waits, beacons go out all the same. */
  blockLoop (forMs: number): void {
    const until = this.#world.now + forMs
    if (until <= this.life.idleUntil) return
    this.#stall(until)
    this.life.idleUntil = until
    // One after the other without a turn between them is one.
    if (until - (this.#stalls.at(-1)?.from ?? until) > LOOP_BLOCK_MS_MAX) this.hungUntil = Math.max(this.hungUntil, until)
  }

  /** One timer after the other takes its time: between them others have their turn, what came from outside has none. */
  stutter (blocksMs: number[]): void {
    const { life } = this
    let at = 0
    for (const ms of blocksMs) {
      if (at === 0) this.blockLoop(ms)
      else this.#world.after(at, undefined, '', () => { if (this.life === life && !life.over) this.blockLoop(ms) })
      at += ms + TURN_MS
    }
    life.deafUntil = Math.max(life.deafUntil, this.#world.now + at - TURN_MS)
    // For others: nobody needs to bear with one that hears nothing for so long.
    if (at > LOOP_BLOCK_MS_MAX) this.hungUntil = Math.max(this.hungUntil, life.deafUntil)
  }

  /** The process stands still whole (SIGSTOP), or the machine sleeps and takes its monotonic clock along (`sleeps`). */
  suspend (forMs: number, sleeps: boolean): void {
    const until = this.#world.now + forMs
    if (until <= this.thread.idleUntil) return
    const asleep = Math.max(0, until - Math.max(this.#world.now, this.thread.idleUntil))
    if (sleeps) this.#slept.push({ from: until - asleep, to: until })
    else {
      this.#stall(until)
      this.#frozen.push({ from: this.#world.now, until })
    }
    this.life.idleUntil = Math.max(this.life.idleUntil, until)
    this.thread.idleUntil = until
    this.deadUntil = Math.max(this.deadUntil, until)
    this.hungUntil = Math.max(this.hungUntil, until)
  }

  #stall (until: number): void {
    const last = this.#stalls.at(-1)
    // One after the other without a turn between them is one.
    if (last != null && last.until >= this.#world.now) last.until = Math.max(last.until, until)
    else this.#stalls.push({ from: this.#world.now, until })
  }

  /** When the main loop last had a turn, as its progress counter tells. */
  get progressAt (): number {
    const last = this.#stalls.at(-1)
    return last != null && last.until > this.#world.now ? last.from : this.#world.now
  }

  /** How late the main loop was, at most, over the last window: as `LoopDelay.worst` measures it. */
  loopMs (): number { return this.#worst(this.#stalls) }

  /** The same of the thread. */
  threadMs (): number { return this.#worst(this.#frozen) }

  #worst (stalls: Array<{ from: number, until: number }>): number {
    const { now } = this.#world
    while (stalls.length > 0 && now - (stalls[0]?.until ?? 0) > LOOP_WINDOW_MS) stalls.shift()
    let worst = 0
    for (const { from, until } of stalls) if (until <= now) worst = Math.max(worst, until - from)
    return worst
  }

  crash (): void {
    this.life.over = true
    this.thread.over = true
    this.#stalls = []
    this.#frozen = []
    this.deadUntil = Infinity
    this.hungUntil = Infinity
  }

  restart (): void {
    this.life = new Life()
    this.thread = new Life()
    this.incarnation++
    this.#timers()
    this.deadUntil = this.#world.now
    this.hungUntil = this.#world.now
  }
}
