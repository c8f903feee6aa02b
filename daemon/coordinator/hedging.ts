/**
 * The part of the job machine that gives a block to a second worker while the first still has it. The first valid result wins, the other attempt is
 * cancelled at once (`Attempts.callOff`).
 *
 * - **Doubt**: what a suspect worker has is urgent: it goes to others before blocks that nobody has. Never to a worker that is suspect itself.
 * - **Slowness**, only where no block waits for the idle capacity (backup tasks: Dean and Ghemawat, "MapReduce", OSDI 2004). An attempt is on time until
 *   `Pace.lateMs`; until then it needs what its worker's queue takes by the worker's own speed, afterwards as long again as it has been at work (the mean
 *   residual life of a Pareto tail of exponent 2). The one that needs longest comes first, and it is given to the idle worker that is fastest (LATE: Zaharia et
 *   al., "Improving MapReduce Performance in Heterogeneous Environments", OSDI 2008), if that gains enough.
 * - **Stealing**: what its worker has not begun, by what it is seen to do side by side, is taken back instead of copied. That costs no work.
 *
 * The budget: copies, less those whose first attempt was lost with its worker (they were needed), are at most max(HEDGES_MIN, share * blocks done). Copies for
 * suspicion may go beyond it as long as they alone are fewer than what the suspect worker in question has out. So the work done twice is at most the
 * share and what one worker holds, however often workers fall silent and return.
 */
import type { Attempts } from './attempts.ts'
import type { Attempt, Block } from './block-table.ts'
import { FIRST_BLOCKS, GAIN_MS_MIN, HEDGE_GAIN, HEDGE_SHARE, HEDGES_MIN, LOOK_EVERY_MS, STEAL_GAIN, STEALS_MAX } from './constants.ts'
import type { JobState } from './job-state.ts'
import { meanRate, room } from './planner.ts'
import type { WorkerEntry } from './worker-table.ts'

/** An attempt somebody else might do sooner. */
interface Slow {
  attempt: Attempt
  block: Block
  /** Milliseconds it is expected to need. */
  leftMs: number
  /** Milliseconds since its order. */
  elapsedMs: number
  late: boolean
  /** Its worker has not begun it. */
  waiting: boolean
}

export class Hedging {
  readonly #state: JobState
  readonly #attempts: Attempts
  /** The next look for slow blocks: not before, and not later than. */
  #notBefore = -Infinity
  #lookAt = Infinity
  /** Bytes per millisecond of those whose speed is not known. */
  #fallbackRate = 1

  constructor (state: JobState, attempts: Attempts) {
    this.#state = state
    this.#attempts = attempts
  }

  /** Somebody joined: a look is worth it at once. */
  soon (): void {
    this.#notBefore = -Infinity
  }

  /** Copies of what suspect workers have, as far as somebody else has room and the budget allows. */
  cover (): void {
    const { workers, blocks, init } = this.#state
    if (init.hedgeShare === 0 || !workers.list.some(({ suspect, live, open }) => suspect != null && live && open.size > 0)) return
    this.#fallbackRate = meanRate(workers.list)
    for (const suspect of workers.list) {
      if (suspect.suspect == null || suspect.open.size === 0 || !suspect.live) continue
      for (const attempt of suspect.open) {
        const block = blocks[attempt.block] as Block
        if (block.state !== 'leased' || block.onlyOpen !== attempt) continue
        if (!this.#mayCover(suspect)) break
        const to = this.#state.faults.has('hedge-same-worker') ? suspect : this.#best(block, suspect)
        if (to == null) return
        this.#copy(attempt, block, to, 'suspect', `${suspect.id} is suspect: ${suspect.suspect}`)
      }
    }
  }

  /** Copies and steals of slow blocks where capacity is idle. Gives when to look again though nothing happens; Infinity: no need. */
  look (): number {
    const { now, queue, pace, init, workers } = this.#state
    if (queue.length > 0 || init.hedgeShare === 0 || !pace.known || workers.list.every(({ open }) => open.size === 0)) return Infinity
    if (now < this.#notBefore) return this.#notBefore
    this.#lookAt = Infinity
    this.#fallbackRate = meanRate(workers.list)
    const idle = this.#idle()
    if (idle.length === 0) return this.#nextIdle()
    this.#notBefore = now + LOOK_EVERY_MS
    for (const slow of this.#slow().sort((a, b) => b.leftMs - a.leftMs)) {
      if (idle.length === 0) break
      this.#relieve(slow, idle)
    }
    return this.#lookAt
  }

  /**
   * Workers that would begin a block at once, the one that would be done with it first at the end. Where nobody healthy is idle, those whose breaker is
   * half-open: a copy is as good a trial as any block.
   */
  #idle (): WorkerEntry[] {
    const idle = this.#state.workers.list.filter(worker => this.#isIdle(worker))
    const healthy = idle.filter(worker => worker.healthy)
    return (healthy.length > 0 ? healthy : idle).sort((a, b) => this.#copyMs(b, 1) - this.#copyMs(a, 1))
  }

  /** When somebody who may not be given anything now may be; who works on something says so by itself. */
  #nextIdle (): number {
    const { workers, now } = this.#state
    let at = Infinity
    for (const { eligible, pausedUntil, breaker } of workers.list) {
      const free = Math.max(pausedUntil, breaker.closed ? -Infinity : breaker.retryAt)
      if (eligible && free > now) at = Math.min(at, free)
    }
    return at
  }

  #slow (): Slow[] {
    const found: Slow[] = []
    for (const worker of this.#state.workers.list) if (worker.suspect == null && worker.live && worker.open.size > 0) this.#slowOf(worker, found)
    return found
  }

  #slowOf (worker: WorkerEntry, found: Slow[]): void {
    const { blocks, now, pace, epoch } = this.#state
    const { abreast } = worker
    const rate = worker.speed(this.#fallbackRate)
    let [place, bytesAhead] = [0, 0]
    /** When its next result was to be expected first. */
    let since: number | undefined
    /** It returned nothing since its oldest attempt was given, and that is late: so is all it has. */
    let stalled = false
    for (const attempt of worker.open) {
      if (attempt.given) continue
      const block = blocks[attempt.block] as Block
      since ??= Math.max(attempt.at, worker.goodAt)
      const elapsedMs = now - attempt.at
      const lateMs = pace.lateMs(worker.kind, block.size, attempt.queued / rate)
      const late: boolean = stalled || elapsedMs >= lateMs
      if (place === 0) stalled = late && worker.goodAt <= attempt.at
      const waiting = abreast != null && place >= abreast
      // What is before it, and it, at the worker's speed; where that time is over, half a block more: how long it takes varies.
      const blockMs = (abreast ?? 1) * block.size / rate
      const queueMs = (bytesAhead + block.size) / rate - (now - since)
      const leftMs = Math.max(waiting ? 1.5 * blockMs : 0.5 * blockMs, queueMs)
      place++
      bytesAhead += block.size
      if (block.state !== 'leased' || attempt.epoch !== epoch || block.onlyOpen !== attempt) continue
      if (!late) this.#lookAt = Math.min(this.#lookAt, attempt.at + lateMs)
      // What was given in this step is not on its way yet: to call it off now would overtake it.
      if (elapsedMs <= 0) continue
      found.push({ attempt, block, elapsedMs, late, waiting, leftMs: late ? Math.max(leftMs, stalled ? now - since : elapsedMs - (attempt.queued - block.size) / rate) : leftMs })
    }
  }

  #relieve ({ attempt, block, leftMs, elapsedMs, late, waiting }: Slow, idle: WorkerEntry[]): void {
    const { worker } = attempt
    let at = idle.length - 1
    while (at >= 0 && (idle[at] === worker || block.avoid?.includes(idle[at] as WorkerEntry) === true)) at--
    if (at < 0) return
    const to = idle[at] as WorkerEntry
    const copyMs = this.#copyMs(to, block.size)
    if (waiting && to.breaker.closed && block.stolen < STEALS_MAX && leftMs > STEAL_GAIN * copyMs && leftMs - copyMs > GAIN_MS_MIN) {
      this.#attempts.steal(attempt, block, to, `${worker.id} has not begun it and needs ${Math.round(leftMs)} ms, ${to.id} ${Math.round(copyMs)} ms`)
    } else if (leftMs > HEDGE_GAIN * copyMs && leftMs - copyMs > GAIN_MS_MIN) {
      if (!this.#mayHedge()) return
      const why = late ? `out for ${Math.round(elapsedMs)} ms, longer than its siblings` : `${worker.id} needs ${Math.round(leftMs)} ms more, ${to.id} ${Math.round(copyMs)} ms`
      this.#copy(attempt, block, to, 'slow', why)
    } else {
      // One that is late gets later; when it is worth a copy follows from that.
      if (late) this.#lookAt = Math.min(this.#lookAt, Math.max(this.#notBefore, attempt.at + HEDGE_GAIN * copyMs + GAIN_MS_MIN))
      return
    }
    // Its place among the idle is another one now.
    idle.splice(at, 1)
    if (!this.#isIdle(to)) return
    const mine = this.#copyMs(to, 1)
    const place = idle.findIndex(other => this.#copyMs(other, 1) <= mine)
    idle.splice(place < 0 ? idle.length : place, 0, to)
  }

  #copy (attempt: Attempt, block: Block, to: WorkerEntry, why: 'slow' | 'suspect', reason: string): void {
    attempt.covered = why
    this.#state.hedges[why]++
    this.#attempts.give(block, to, reason)
  }

  /** Of those with room, who would be done first; who failed on the block only if there is nobody else. */
  #best (block: Block, except: WorkerEntry): WorkerEntry | undefined {
    let best: WorkerEntry | undefined
    let bestMs = Infinity
    for (const worker of this.#state.workers.list) {
      if (worker === except || !worker.healthy || this.#room(worker) <= 0) continue
      const ms = this.#copyMs(worker, block.size) + (block.avoid?.includes(worker) === true ? Number.MAX_SAFE_INTEGER : 0)
      if (ms >= bestMs) continue
      best = worker
      bestMs = ms
    }
    return best
  }

  #isIdle (worker: WorkerEntry): boolean {
    return worker.open.size < (worker.abreast ?? FIRST_BLOCKS) && worker.suspect == null && this.#room(worker) > 0
  }

  #room (worker: WorkerEntry): number {
    return worker.eligible && worker.pausedUntil <= this.#state.now ? room(worker, this.#state.dealing) : 0
  }

  /** Milliseconds a worker would take for one more block, behind what it has. */
  #copyMs (worker: WorkerEntry, bytes: number): number {
    const { pace } = this.#state
    return Math.max((worker.openBytes + bytes) / worker.speed(this.#fallbackRate), pace.typicalMs(worker.kind, bytes))
  }

  #mayHedge (): boolean {
    const { hedges: { slow, suspect }, tally, init, faults } = this.#state
    return slow + suspect < Math.max(HEDGES_MIN, (init.hedgeShare ?? HEDGE_SHARE) * tally.doneBlocks) || faults.has('hedge-unbounded')
  }

  #mayCover (worker: WorkerEntry): boolean {
    return this.#mayHedge() || this.#state.hedges.suspect < worker.open.size
  }
}
