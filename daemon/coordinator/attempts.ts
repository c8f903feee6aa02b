/** The part of the job machine about workers and attempts: who is there, what each has, what a failure leads to. */
import { Attempt, type Block } from './block-table.ts'
import type { Blame } from './blame.ts'
import { NOTICE_EVERY_MS } from './constants.ts'
import { afterFailure, pauseMs } from './failure-policy.ts'
import type { JobState } from './job-state.ts'
import type { JobEventIn } from './machine-types.ts'
import type { Asked } from './prices.ts'
import type { WorkerEntry } from './worker-table.ts'

export class Attempts {
  readonly #state: JobState
  readonly #blame: Blame
  #scanAt: number | undefined
  #tellAt = Infinity

  constructor (state: JobState, blame: Blame) {
    this.#state = state
    this.#blame = blame
  }

  /** When the oldest attempt must be looked at for having taken too long, or one that has ended since. */
  get scanAt (): number | undefined {
    return this.#scanAt
  }

  /** When something is to be said of a price that could not be said at once; Infinity: nothing. */
  get tellAt (): number {
    return this.#tellAt
  }

  onJoined (event: Extract<JobEventIn, { type: 'joined' }>): void {
    const { workers, out, phase, faults } = this.#state
    const worker = workers.obtain(event.worker, event.kind)
    if (worker.live) this.onLost(worker.id, 'attached again')
    if (worker.distrusted || worker.out != null || phase !== 'running') {
      out.other({ type: 'release', worker: worker.id, reason: worker.out ?? (worker.distrusted ? 'gave a wrong result' : 'the job needs no more workers') })
      return
    }
    const back = worker.lost != null
    worker.join(event.kind, event.slots, event.bytesPerSecond)
    worker.tooDear = undefined
    if (faults.has('declared-slots')) worker.ramp = Infinity
    out.news({ type: 'worker', peer: worker.id, change: 'joined', ...(back ? { reason: 'it is back' } : {}) })
    const asked = event.asked ?? worker.asked
    if (asked != null) this.onPriced(worker.id, asked)
  }

  /** Who asks too much gets nothing more, and finishes what it has; when its price falls back it gets blocks again. */
  onPriced (id: string, asked: Asked): void {
    const { workers } = this.#state
    const worker = workers.get(id)
    if (worker == null) return
    workers.price(worker, asked)
    if (worker.usable && worker.dearTold !== (worker.tooDear != null)) this.#tellAt = Math.min(this.#tellAt, worker.priceToldAt + NOTICE_EVERY_MS)
  }

  /** Says of whom the price is paid no more, or again: as it is now, and of one worker not more often than the notices may come. */
  tellPrices (): void {
    const { now, workers, out } = this.#state
    if (now < this.#tellAt) return
    this.#tellAt = Infinity
    for (const worker of workers.list) {
      const dear = worker.tooDear
      if (!worker.usable || worker.dearTold === (dear != null)) continue
      const at = worker.priceToldAt + NOTICE_EVERY_MS
      if (now < at) {
        this.#tellAt = Math.min(this.#tellAt, at)
        continue
      }
      worker.dearTold = dear != null
      worker.priceToldAt = now
      if (dear != null) out.news({ type: 'worker', peer: worker.id, change: 'refused', reason: `price: ${dear}` })
      else out.news({ type: 'worker', peer: worker.id, change: 'joined', reason: 'its price is within the limit again' })
    }
  }

  onSlots (id: string, slots: number): void {
    const { workers, now, out } = this.#state
    const worker = workers.get(id)
    if (worker?.live !== true) return
    worker.slots = slots
    // Told not more often than the notices may come, and the end of it only where its beginning was told.
    if (slots === 0 && !worker.drainTold && now >= worker.drainToldAt + NOTICE_EVERY_MS) {
      worker.drainTold = true
      worker.drainToldAt = now
      out.news({ type: 'worker', peer: id, change: 'draining' })
    } else if (slots > 0 && worker.drainTold) {
      worker.drainTold = false
      out.news({ type: 'worker', peer: id, change: 'joined', reason: 'it takes blocks again' })
    }
  }

  onLost (id: string, reason: string): void {
    const worker = this.#state.workers.get(id)
    if (worker?.live !== true) return
    worker.live = false
    worker.lost = reason
    this.#state.out.news({ type: 'worker', peer: id, change: 'lost', reason })
    this.#blame.lost(worker, worker.open.values().some(attempt => attempt.canary), reason)
    this.#endAll(worker, reason, true)
  }

  /** The failure detector doubts it. */
  onSuspect (id: string, reason: string): void {
    const worker = this.#state.workers.get(id)
    if (worker?.live !== true || worker.suspect != null) return
    worker.suspect = reason
    this.#state.out.news({ type: 'worker', peer: id, change: 'suspect', reason })
  }

  onTrusted (id: string): void {
    const worker = this.#state.workers.get(id)
    if (worker?.live !== true || worker.suspect == null) return
    worker.suspect = undefined
    this.#state.out.news({ type: 'worker', peer: id, change: 'trusted' })
  }

  /** The worker is of no more use to this job. */
  release (worker: WorkerEntry, reason: string): void {
    if (!worker.live) return
    worker.live = false
    this.#state.out.other({ type: 'release', worker: worker.id, reason })
    this.#endAll(worker, reason, false)
  }

  /** `hedge`: why somebody else is given it, too. */
  give (block: Block, worker: WorkerEntry, hedge?: string): void {
    const { now, out, tally, limits, epoch } = this.#state
    if (hedge != null) {
      tally.hedged++
      tally.hedgedBytes += block.size
    } else if (block.attempts.at(-1)?.epoch === epoch) tally.redispatched++
    const attempt = new Attempt(block.index, block.attempts.length + 1, worker, epoch, now)
    attempt.copy = hedge
    block.attempts.push(attempt)
    this.#state.begun = true
    block.state = 'leased'
    worker.give(attempt, block.size, now)
    this.#blame.gave(attempt)
    this.#scanAt ??= now + limits.attemptMs
    out.dispatch(worker.id, attempt)
    this.#state.blockNews(block.index, attempt.attempt, worker.id, hedge == null ? 'dispatched' : 'hedged', hedge)
  }

  /** Takes a block back from a worker that has not begun it, and gives it to another. */
  steal (attempt: Attempt, block: Block, to: WorkerEntry, reason: string): void {
    block.stolen++
    this.#state.tally.stolen++
    this.#cancel(attempt, `taken back: ${reason}`)
    this.#state.blockNews(block.index, attempt.attempt, attempt.worker.id, 'requeued', reason)
    this.give(block, to)
  }

  /** Cancels what takes too long and gives it to somebody else; who does not even end what was cancelled is not used any more. */
  scan (): void {
    const { now, workers, limits, blocks } = this.#state
    if (this.#scanAt == null || now < this.#scanAt) return
    this.#scanAt = undefined
    for (const worker of workers.list) {
      for (const attempt of worker.open) {
        const deadline = attempt.at + (attempt.given ? 2 : 1) * limits.attemptMs
        if (now < deadline) {
          this.#scanAt = Math.min(this.#scanAt ?? Infinity, deadline)
          continue
        }
        if (attempt.given) {
          // Its slot would be counted on for ever, and blocks that others failed on would wait for it.
          this.#exclude(worker, `did not end what was cancelled ${limits.attemptMs} ms ago`)
          break
        }
        this.#scanAt = Math.min(this.#scanAt ?? Infinity, attempt.at + 2 * limits.attemptMs)
        this.#cancel(attempt, `no result within ${limits.attemptMs} ms`)
        const block = blocks[attempt.block] as Block
        this.#blame.failed(block, attempt, 'slow', false, `no result within ${limits.attemptMs} ms`)
        this.#requeue(block, attempt, 'too slow')
      }
    }
  }

  /** What is out for this block is not wanted any more; the slots come back with the outcomes. */
  callOff (block: Block, reason: string): void {
    for (const attempt of block.attempts) {
      if (attempt.open && !attempt.given) this.#cancel(attempt, reason)
    }
  }

  #cancel (attempt: Attempt, reason: string): void {
    attempt.given = true
    attempt.end(reason, this.#state.now)
    this.#state.out.cancel(attempt.worker.id, attempt)
  }

  onFailed (event: Extract<JobEventIn, { type: 'failed' }>): void {
    const state = this.#state
    const block = state.blocks[event.block]
    const attempt = block?.attempts[event.attempt - 1]
    if (block == null || attempt?.open !== true || attempt.worker.id !== event.worker) return
    const worker = attempt.worker
    worker.take(attempt, block.size, state.now, false)
    attempt.end(`${event.reason}: ${event.message}`, state.now)
    if (state.phase !== 'running') return
    if (attempt.given) {
      if (attempt.canary) worker.breaker.back()
    } else {
      state.blockNews(block.index, attempt.attempt, worker.id, 'failed', `${event.reason}: ${event.message}`)
      const verdict = afterFailure(event, { remote: worker.kind === 'remote', blamed: block.blamed })
      switch (verdict.kind) {
        case 'job':
          if (event.reason === 'conversion') this.#blame.acquit([...block.avoid ?? [], worker])
          state.fail(verdict.error)
          break
        case 'doubt':
          block.blamed = true
          block.shun(worker)
          this.#blame.doubt(attempt, verdict.cause, `${event.reason}: ${event.message}`)
          break
        case 'pause': this.#pause(attempt, event.retryAfterMs); break
        case 'drained':
          worker.slots = 0
          if (attempt.canary) worker.breaker.back()
          break
        case 'exclude': this.#exclude(worker, verdict.reason); break
        case 'blame': this.#blame.failed(block, attempt, verdict.cause, verdict.engine, `${event.reason}: ${event.message}`); break
      }
    }
    this.#requeue(block, attempt, attempt.ended ?? event.reason)
  }

  /** No outcome will come of what this worker still has: its blocks are free at once. */
  #endAll (worker: WorkerEntry, reason: string, loss: boolean): void {
    const { blocks, now, limits, faults, hedges } = this.#state
    let forgotten = loss && faults.has('lost-requeue') ? 1 : 0
    for (const attempt of worker.open) {
      const block = blocks[attempt.block] as Block
      worker.take(attempt, block.size, now, false)
      attempt.end(reason, now)
      const { covered } = attempt
      // Its copy was needed.
      if (loss && covered != null) hedges[covered]--
      // What was given up does not hold its block any more: somebody else does.
      if (loss && !attempt.given && block.state === 'leased' && ++block.losses > limits.blockLosses) {
        this.#state.fail({ code: 'failed', message: `block ${block.index}: ${block.losses} workers were lost while they held it, the last: ${reason}`, details: { block: block.index } })
      }
      const copied = block.attempts.some(other => other.covered != null)
      if (forgotten > 0) forgotten--
      else if (!(loss && copied && faults.has('lost-requeue-hedged'))) this.#requeue(block, attempt, reason)
    }
  }

  /** Back into the queue, unless somebody else is at work on it or it has its result. */
  #requeue (block: Block, attempt: Attempt, reason: string): void {
    if (block.state !== 'leased' || this.#state.phase !== 'running') return
    for (const other of block.attempts) if (other.open && !other.given) return
    block.state = 'ready'
    this.#state.queue.putBack(block)
    this.#state.blockNews(block.index, attempt.attempt, attempt.worker.id, 'requeued', reason)
  }

  #exclude (worker: WorkerEntry, reason: string): void {
    if (worker.out != null) return
    worker.out = reason
    this.#state.out.news({ type: 'worker', peer: worker.id, change: 'refused', reason })
    this.release(worker, reason)
  }

  #pause (attempt: Attempt, hintMs: number | undefined): void {
    const { limits, now } = this.#state
    const { worker } = attempt
    if (attempt.canary) worker.breaker.back()
    worker.refusalsInRow++
    worker.pausedUntil = now + pauseMs(worker.refusalsInRow, limits, hintMs)
    if (worker.refusalsInRow > limits.workerRefusals) this.#blame.refused(worker)
  }
}
