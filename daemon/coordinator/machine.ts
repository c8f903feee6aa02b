/**
 * The job machine: every decision of a job, and nothing else. Facts in, orders out; time and randomness are arguments, timers are
 * orders. The interpreter (`job.ts`) and the simulator drive the same code.
 *
 * Laws it keeps: a block has at most one taken result, under whichever attempt it came; a result is durable before its entry, its entry
 * before the block is done, and every block done, and compared where the policy drew it, before the output is finished; the output is
 * finished and checked before it is renamed.
 *
 * @example
 * ```ts
 * const machine = createJobMachine({ job: 'bafy...', verify: 'sample', bound: 0 })
 * for (const effect of machine.step([{ type: 'joined', worker: 'local', kind: 'local', slots: 2 }], now, Math.random)) act(effect)
 * ```
 */
import { Attempt, Block } from './block-table.ts'
import {
  BLOCKS_MAX, JOB_LIMITS, LOOK_AHEAD_BLOCKS, LOOK_AHEAD_BYTES, LOOK_AHEAD_SPARE, SETTLING_BLOCKS_MAX, SETTLING_BYTES_MAX,
  type JobLimits
} from './constants.ts'
import { afterFailure, pauseMs } from './failure-policy.ts'
import { MergeOrder } from './merge-order.ts'
import { Outbox } from './outbox.ts'
import { deal } from './planner.ts'
import { Provision } from './provision.ts'
import { ReadyQueue } from './ready-queue.ts'
import { Tally } from './tally.ts'
import { WorkerTable, type WorkerEntry } from './worker-table.ts'
import { shouldCheck, type CheckingPolicy } from '../trust/index.ts'
import type { JobError } from './index.ts'
import type { Effect, JobCounts, JobEventIn, JobMachine, JobMachineInit, PlantedFault } from './machine-types.ts'

export function createJobMachine (init: JobMachineInit): JobMachine {
  return new Machine(init)
}

/** `running` until all blocks are merged; then `finishing` and `renaming`; `aborting` instead when it fails; `ended`. */
type Phase = 'running' | 'finishing' | 'renaming' | 'aborting' | 'ended'

class Machine implements JobMachine {
  readonly #init: JobMachineInit
  readonly #limits: JobLimits
  readonly #policy: CheckingPolicy
  readonly #faults: ReadonlySet<PlantedFault>
  readonly #blocks: Block[] = []
  readonly #queue = new ReadyQueue()
  readonly #workers = new WorkerTable()
  readonly #merge = new MergeOrder()
  readonly #out = new Outbox()
  readonly #tally: Tally
  readonly #provision: Provision
  #phase: Phase = 'running'
  #outcome: { state: 'done' | 'failed' | 'cancelled', error?: JobError } | undefined
  #splitEnded = false
  #pulling = false
  #settlingBlocks = 0
  #settlingBytes = 0
  #rechecks = 0
  #scanAt: number | undefined
  #timerAt: number | undefined
  #now = 0

  constructor (init: JobMachineInit) {
    this.#init = init
    this.#limits = { ...JOB_LIMITS, ...init.limits }
    this.#policy = { mode: init.verify }
    this.#faults = init.faults ?? new Set()
    this.#tally = new Tally()
    this.#provision = new Provision(this.#limits)
  }

  get state (): JobMachine['state'] {
    if (this.#phase === 'running') return 'running'
    if (this.#phase === 'ended' || this.#phase === 'aborting') return this.#outcome?.state ?? 'failed'
    return 'merging'
  }

  step (events: JobEventIn[], now: number, random: () => number): Effect[] {
    this.#now = now
    for (const event of events) this.#apply(event, random)
    this.#advance()
    return this.#out.drain()
  }

  counts (): JobCounts {
    return this.#tally.counts(this.#blocks.length, this.#splitEnded, this.#merge.merged, this.#workers.list)
  }

  ownerOf (block: number, attempt: number): string | undefined {
    return this.#blocks[block]?.attempts[attempt - 1]?.worker.id
  }

  #apply (event: JobEventIn, random: () => number): void {
    switch (event.type) {
      case 'ok': this.#onOk(event, random); break
      case 'inspected': this.#onInspected(event.block, event.attempt, event.units); break
      case 'committed': this.#onCommitted(event.block, event.attempt); break
      case 'stored': this.#onStored(event.block, event.attempt); break
      case 'checked': this.#onChecked(event.block, event.attempt, event.distance, event.difference); break
      case 'unsound': this.#onUnsound(event.block, event.attempt, event.message); break
      case 'failed': this.#onFailed(event); break
      case 'split': this.#onSplit(event.sizes); break
      case 'split-ended': this.#splitEnded = true; this.#pulling = false; this.#tally.known = true; break
      case 'joined': this.#onJoined(event); break
      case 'slots': this.#onSlots(event.worker, event.slots); break
      case 'lost': this.#onLost(event.worker, event.reason); break
      case 'settled': this.#provision.settled = true; break
      case 'merged': this.#merge.took(event.epoch, event.upTo); break
      case 'merge-reset': this.#merge.wasReset(event.epoch); break
      case 'finished': this.#onFinished(); break
      case 'renamed': this.#onRenamed(); break
      case 'aborted': this.#onAborted(); break
      case 'broken': this.#fail(event.error); break
      case 'cancel': this.#fail(event.error, event.error.code === 'cancelled' ? 'cancelled' : 'failed'); break
      case 'tick': this.#timerAt = undefined; this.#scanAttempts(); break
    }
  }

  // ---- the splitter

  #onSplit (sizes: number[]): void {
    this.#pulling = false
    if (this.#phase !== 'running') return
    for (const size of sizes) {
      const block = new Block(this.#blocks.length, size)
      this.#blocks.push(block)
      this.#queue.push(block)
      this.#tally.bytesKnown += size
    }
    if (this.#blocks.length > BLOCKS_MAX) {
      this.#fail({ code: 'failed', message: `the input makes more than ${BLOCKS_MAX} blocks; ask for larger ones (--block-size)` })
    }
  }

  // ---- workers

  #onJoined (event: Extract<JobEventIn, { type: 'joined' }>): void {
    const worker = this.#workers.obtain(event.worker, event.kind)
    if (worker.live) this.#onLost(worker.id, 'attached again')
    if (worker.distrusted || worker.out != null || this.#phase !== 'running') {
      this.#out.other({ type: 'release', worker: worker.id, reason: worker.out ?? (worker.distrusted ? 'gave a wrong result' : 'the job needs no more workers') })
      return
    }
    worker.join(event.kind, event.slots, event.bytesPerSecond)
    this.#out.news({ type: 'worker', peer: worker.id, change: 'joined' })
  }

  #onSlots (id: string, slots: number): void {
    const worker = this.#workers.get(id)
    if (worker?.live === true) worker.slots = slots
  }

  #onLost (id: string, reason: string): void {
    const worker = this.#workers.get(id)
    if (worker?.live !== true) return
    worker.live = false
    worker.lost = reason
    this.#out.news({ type: 'worker', peer: id, change: 'lost', reason })
    this.#endAttempts(worker, reason, true)
  }

  /** No outcome will come of what this worker still has: its blocks are free at once. */
  #endAttempts (worker: WorkerEntry, reason: string, loss: boolean): void {
    let first = true
    for (const attempt of [...worker.open]) {
      const block = this.#blocks[attempt.block] as Block
      worker.take(attempt, block.size, this.#now, false)
      if (loss && block.state === 'leased' && ++block.losses > this.#limits.blockLosses) {
        this.#fail({ code: 'failed', message: `block ${block.index}: ${block.losses} workers were lost while they held it, the last: ${reason}`, details: { block: block.index } })
      }
      if (first && loss && this.#faults.has('lost-requeue')) first = false
      else this.#requeue(block, attempt, reason)
    }
  }

  #release (worker: WorkerEntry, reason: string): void {
    if (!worker.live) return
    worker.live = false
    this.#out.other({ type: 'release', worker: worker.id, reason })
    this.#endAttempts(worker, reason, false)
  }

  #exclude (worker: WorkerEntry, reason: string): void {
    if (worker.out != null) return
    worker.out = reason
    this.#out.news({ type: 'worker', peer: worker.id, change: 'refused', reason })
    this.#release(worker, reason)
  }

  // ---- attempts

  #give (block: Block, worker: WorkerEntry): void {
    const attempt = new Attempt(block.index, block.attempts.length + 1, worker, this.#now)
    block.attempts.push(attempt)
    block.state = 'leased'
    worker.give(attempt, block.size, this.#now)
    if (attempt.attempt > 1) this.#tally.redispatched++
    this.#scanAt ??= this.#now + this.#limits.attemptMs / 4
    this.#out.dispatch(worker.id, attempt)
    this.#blockNews(block.index, attempt.attempt, worker.id, 'dispatched')
  }

  /** Back into the queue, unless somebody else is at work on it or it has its result. */
  #requeue (block: Block, attempt: Attempt, reason: string): void {
    if (block.state !== 'leased' || this.#phase !== 'running') return
    for (const other of block.attempts) if (other.open && !other.given) return
    block.state = 'ready'
    this.#queue.putBack(block)
    this.#blockNews(block.index, attempt.attempt, attempt.worker.id, 'requeued', reason)
  }

  #scanAttempts (): void {
    if (this.#scanAt == null || this.#now < this.#scanAt) return
    this.#scanAt = undefined
    for (const worker of this.#workers.list) {
      for (const attempt of worker.open) {
        this.#scanAt = this.#now + this.#limits.attemptMs / 4
        if (attempt.given || this.#now - attempt.at < this.#limits.attemptMs) continue
        attempt.given = true
        this.#out.cancel(worker.id, attempt)
        const block = this.#blocks[attempt.block] as Block
        this.#blame(block, worker, 'hang', `no result within ${this.#limits.attemptMs} ms`)
        this.#requeue(block, attempt, 'too slow')
      }
    }
  }

  #onFailed (event: Extract<JobEventIn, { type: 'failed' }>): void {
    const block = this.#blocks[event.block]
    const attempt = block?.attempts[event.attempt - 1]
    if (block == null || attempt?.open !== true || attempt.worker.id !== event.worker) return
    const worker = attempt.worker
    worker.take(attempt, block.size, this.#now, false)
    if (this.#phase !== 'running') return
    if (!attempt.given) {
      this.#blockNews(block.index, attempt.attempt, worker.id, 'failed', `${event.reason}: ${event.message}`)
      const verdict = afterFailure(event, { remote: worker.kind === 'remote', blamed: block.blamed })
      switch (verdict.kind) {
        case 'job': this.#fail(verdict.error); break
        case 'doubt': block.blamed = true; this.#avoid(block, worker); break
        case 'pause': this.#pause(worker, event.retryAfterMs); break
        case 'drained': worker.slots = 0; break
        case 'exclude': this.#exclude(worker, verdict.reason); break
        case 'blame': this.#blame(block, worker, verdict.engine ? 'engine' : 'other', `${event.reason}: ${event.message}`); break
      }
    }
    this.#requeue(block, attempt, event.reason)
  }

  #avoid (block: Block, worker: WorkerEntry): void {
    if (block.avoid == null) block.avoid = [worker]
    else if (!block.avoid.includes(worker)) block.avoid.push(worker)
  }

  #pause (worker: WorkerEntry, hintMs: number | undefined): void {
    worker.refusalsInRow++
    worker.pausedUntil = this.#now + pauseMs(worker.refusalsInRow, this.#limits, hintMs)
    if (worker.refusalsInRow > this.#limits.workerRefusals) this.#exclude(worker, `refused ${worker.refusalsInRow} times in a row: busy`)
  }

  #blame (block: Block, worker: WorkerEntry, kind: 'engine' | 'hang' | 'other', message: string): void {
    block.failures++
    if (kind === 'engine') block.engineFailures++
    worker.failed++
    worker.failuresInRow++
    this.#avoid(block, worker)
    if (block.engineFailures >= this.#limits.engineFailures || block.failures >= this.#limits.blockFailures) {
      this.#fail({ code: 'failed', message: `block ${block.index} failed ${block.failures} times, the last on ${worker.id}: ${message}`, details: { block: block.index, worker: worker.id } })
      return
    }
    // A single failure says more about the block than about the worker; in a row they are the worker's.
    if (worker.failuresInRow > 1) worker.pausedUntil = this.#now + pauseMs(worker.failuresInRow - 1, this.#limits)
    if (worker.failuresInRow >= this.#limits.workerFailures + 2 * worker.slots) {
      this.#provision.failure = message
      this.#exclude(worker, `failed ${worker.failuresInRow} times in a row, the last: ${message}`)
    }
  }

  // ---- results

  #onOk (event: Extract<JobEventIn, { type: 'ok' }>, random: () => number): void {
    const block = this.#blocks[event.block]
    const attempt = block?.attempts[event.attempt - 1]
    if (block == null || attempt == null || attempt.worker.id !== event.worker) return
    const worker = attempt.worker
    if (attempt.open) worker.take(attempt, block.size, this.#now, true)
    worker.failuresInRow = 0
    worker.refusalsInRow = 0
    const wanted = block.state === 'ready' || block.state === 'leased' || this.#faults.has('double-accept')
    if (!wanted || worker.distrusted || this.#phase !== 'running') {
      if (block.result !== attempt) this.#out.discard(attempt)
      return
    }
    for (const other of block.attempts) {
      if (!other.open || other.given) continue
      other.given = true
      this.#out.cancel(other.worker.id, other)
    }
    block.result = attempt
    block.by = worker
    block.held = event.held
    block.outputBytes = event.size
    block.wallMs = event.wallMs
    block.drawn = shouldCheck(this.#policy, worker, random)
    if (block.drawn) worker.drawn++
    worker.accepted++
    worker.wallMs += event.wallMs
    this.#tally.arrived(this.#now - attempt.at)
    worker.settling++
    this.#settlingBlocks++
    this.#settlingBytes += event.size
    if (event.held === 'volatile') {
      block.state = 'storing'
      this.#out.store(attempt)
      if (this.#faults.has('journal-before-block')) this.#out.journal(attempt)
    } else {
      block.state = 'inspecting'
      this.#out.inspect(attempt)
    }
  }

  /** The block, if this fact is about the result it has. */
  #current (index: number, attempt: number): Block | undefined {
    const block = this.#blocks[index]
    return block?.result?.attempt === attempt && this.#phase !== 'aborting' && this.#phase !== 'ended' ? block : undefined
  }

  #onStored (index: number, number: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'storing') return
    block.held = 'durable'
    block.state = 'inspecting'
    this.#out.inspect(block.result as Attempt)
  }

  #onInspected (index: number, number: number, units: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'inspecting') return
    block.units = units
    if (block.drawn) {
      block.state = 'checking'
      this.#out.check(block.result as Attempt)
    } else {
      block.state = 'committing'
      this.#out.journal(block.result as Attempt)
    }
  }

  #onUnsound (index: number, number: number, message: string): void {
    const block = this.#current(index, number)
    if (block?.state === 'inspecting') this.#reject(block, message)
  }

  #onChecked (index: number, number: number, distance: number, difference?: string): void {
    const block = this.#current(index, number)
    if (block == null || (block.state !== 'checking' && !block.rechecking)) return
    if (!(distance <= this.#init.bound)) {
      this.#reject(block, difference ?? `distance ${distance} is over ${this.#init.bound}`)
      return
    }
    block.checked = true
    this.#tally.compared(block, distance)
    if (block.rechecking) {
      block.rechecking = false
      this.#rechecks--
    } else {
      block.state = 'committing'
      this.#out.journal(block.result as Attempt)
    }
  }

  #onCommitted (index: number, number: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'committing') return
    block.state = 'done'
    this.#settled(block)
    this.#tally.done(block, this.#now - (block.result as Attempt).at)
    this.#blockNews(index, number, (block.by as WorkerEntry).id, 'done')
  }

  #settled (block: Block): void {
    (block.by as WorkerEntry).settling--
    this.#settlingBlocks--
    this.#settlingBytes -= block.outputBytes
  }

  /** A wrong result: it goes, its worker with it, and everything else of that worker is looked at before the output is renamed. */
  #reject (block: Block, reason: string): void {
    const worker = block.by as WorkerEntry
    const result = block.result as Attempt
    this.#out.discard(result)
    if (block.state === 'done') this.#tally.undone(block)
    else this.#settled(block)
    if (block.rechecking) this.#rechecks--
    this.#tally.rejected(block)
    worker.accepted--
    worker.wallMs -= block.wallMs
    block.rechecking = false
    block.checked = false
    block.result = undefined
    block.by = undefined
    block.failures++
    this.#avoid(block, worker)
    if (this.#merge.withdraw(block.index)) this.#out.other({ type: 'reset-merge', epoch: this.#merge.epoch })
    this.#blockNews(block.index, result.attempt, worker.id, 'rejected', reason)
    this.#provision.rejection = `block ${block.index} by ${worker.id}: ${reason}`
    this.#distrust(worker, result, reason)
    if (block.failures >= this.#limits.blockFailures) {
      this.#fail({ code: 'check-failed', message: `block ${block.index} failed ${block.failures} times, the last result was wrong (${worker.id}): ${reason}`, details: { block: block.index } })
    }
    block.state = 'ready'
    this.#queue.putBack(block)
  }

  #distrust (worker: WorkerEntry, result: Attempt, reason: string): void {
    if (worker.distrusted) return
    worker.distrusted = true
    this.#out.other({ type: 'ban', worker: worker.id, block: result.block, attempt: result.attempt, reason })
    this.#out.news({ type: 'worker', peer: worker.id, change: 'distrusted', reason })
    this.#release(worker, `gave a wrong result: ${reason}`)
    for (const block of this.#blocks) {
      if (block.by !== worker || block.checked || block.rechecking) continue
      if (block.state === 'storing' || block.state === 'inspecting') block.drawn = true
      else if (block.state === 'committing' || block.state === 'done') {
        block.rechecking = true
        this.#rechecks++
        this.#out.check(block.result as Attempt)
      }
    }
  }

  // ---- the end

  #onFinished (): void {
    if (this.#phase !== 'finishing') return
    this.#tally.whole = true
    this.#phase = 'renaming'
    this.#out.other({ type: 'rename' })
  }

  #onRenamed (): void {
    if (this.#phase === 'renaming') this.#end('done')
  }

  #onAborted (): void {
    if (this.#phase === 'aborting') this.#end(this.#outcome?.state ?? 'failed', this.#outcome?.error)
  }

  #fail (error: JobError, state: 'failed' | 'cancelled' = 'failed'): void {
    if (this.#phase === 'aborting' || this.#phase === 'ended') return
    // A rename that was asked for cannot be called back; only its own failure ends the job otherwise.
    if (this.#phase === 'renaming' && (state === 'cancelled' || error.code === 'interrupted' || error.code === 'deadline')) return
    this.#phase = 'aborting'
    this.#outcome = { state, error }
    this.#queue.clear()
    for (const worker of this.#workers.list) this.#release(worker, error.message)
    this.#out.other({ type: 'abort' })
  }

  #end (state: 'done' | 'failed' | 'cancelled', error?: JobError): void {
    this.#phase = 'ended'
    this.#outcome = { state, error }
    this.#out.other({ type: 'end', state, error })
  }

  // ---- what follows from the state as it is now

  #advance (): void {
    if (this.#phase === 'running') this.#advanceRunning()
    const at = this.#nextTime()
    if (at !== this.#timerAt) {
      this.#timerAt = at
      this.#out.other({ type: 'timer', at })
    }
  }

  #advanceRunning (): void {
    const { deadlineAt, inFlight, awaitCommit } = this.#init
    if (deadlineAt != null && this.#now >= deadlineAt) {
      this.#fail({ code: 'deadline', message: 'the deadline passed before the job was done' })
      return
    }
    const merge = this.#merge.next(this.#blocks)
    if (merge != null) {
      if (this.#faults.has('wrong-merge-order')) merge.reverse()
      this.#out.other({ type: 'merge', epoch: this.#merge.epoch, results: merge })
    }
    if (this.#allDone()) return
    const error = this.#provision.lack(this.#workers.list, this.#now)
    if (error != null) {
      this.#fail(error)
      return
    }
    if (this.#settlingBlocks < SETTLING_BLOCKS_MAX && this.#settlingBytes < SETTLING_BYTES_MAX) {
      deal(this.#queue, this.#workers.list, { now: this.#now, inFlight, awaitCommit, splitEnded: this.#splitEnded }, (block, worker) => { this.#give(block, worker) })
    }
    this.#pull()
  }

  #allDone (): boolean {
    const all = this.#splitEnded && this.#tally.doneBlocks === this.#blocks.length
    if (!all) return false
    const early = this.#faults.has('rename-before-check')
    if (this.#merge.merged === this.#blocks.length && (this.#rechecks === 0 || early)) {
      this.#phase = early ? 'renaming' : 'finishing'
      for (const worker of this.#workers.list) this.#release(worker, 'all blocks are done')
      this.#out.news({ type: 'state', state: 'merging' })
      this.#out.other(early ? { type: 'rename' } : { type: 'finish', blocks: this.#blocks.length })
    }
    return true
  }

  #pull (): void {
    if (this.#pulling || this.#splitEnded) return
    const { length, bytes } = this.#queue
    let slots = 0
    for (const worker of this.#workers.list) if (worker.usable && worker.slots > 0) slots += this.#init.inFlight ?? worker.slots
    if (length >= 2 * slots + LOOK_AHEAD_SPARE && (length >= LOOK_AHEAD_BLOCKS || bytes >= LOOK_AHEAD_BYTES)) return
    this.#pulling = true
    this.#out.other({ type: 'pull' })
  }

  #nextTime (): number | undefined {
    if (this.#phase !== 'running') return undefined
    let at = Math.min(this.#init.deadlineAt ?? Infinity, this.#scanAt ?? Infinity, this.#provision.nextTime)
    if (this.#queue.length > 0) {
      for (const worker of this.#workers.list) {
        if (worker.usable && worker.pausedUntil > this.#now) at = Math.min(at, worker.pausedUntil)
      }
    }
    return at === Infinity ? undefined : at
  }

  #blockNews (block: number, attempt: number, peer: string, change: 'dispatched' | 'done' | 'failed' | 'requeued' | 'rejected', reason?: string): void {
    if (this.#tally.mayTell(this.#now)) this.#out.news({ type: 'block', block, attempt, peer, change, reason })
  }
}
