/**
 * The job machine: every decision of a job, and nothing else. Facts in, orders out; time and randomness are arguments, timers are
 * orders. The interpreter (`job-run.ts`) and the simulator drive the same code.
 *
 * Laws it keeps: a block has at most one taken result, under whichever attempt of the newest schema it came; a result is durable before its entry, its entry
 * before the block is done, and every block done, and compared where the policy drew it, before the output is finished; the output is
 * finished and checked before it is renamed.
 *
 * Its parts: `attempts.ts` (workers, what each has, what a failure leads to), `blame.ts` (block or worker?) with `breaker.ts`, `hedging.ts` (second copies),
 * `results.ts` (what is taken, and what a wrong result leads to), `epochs.ts` (what a change of the schema leads to), `planner.ts` (who gets the next
 * block), `provision.ts` (nobody left?), `merge-order.ts`, `explain.ts` (why nothing happens); their common state is `job-state.ts`.
 *
 * @example
 * ```ts
 * const machine = createJobMachine({ job: 'bafy...', verify: 'sample', bound: 0 })
 * for (const effect of machine.step([{ type: 'joined', worker: 'local', kind: 'local', slots: 2 }], now, Math.random)) act(effect)
 * ```
 */
import { Attempts } from './attempts.ts'
import { Blame } from './blame.ts'
import { Block } from './block-table.ts'
import { viewJob, type MachineView } from './block-view.ts'
import { BLOCKS_MAX, LOOK_AHEAD_BLOCKS, LOOK_AHEAD_BYTES, LOOK_AHEAD_SPARE, WHY_PEERS_MAX } from './constants.ts'
import { Epochs } from './epochs.ts'
import { explain, type Explanation } from './explain.ts'
import { Hedging } from './hedging.ts'
import { JobState } from './job-state.ts'
import { deal } from './planner.ts'
import { onRestored } from './restored.ts'
import { Results } from './results.ts'
import type { JobError } from './index.ts'
import type { Effect, JobCounts, JobEventIn, JobMachine, JobMachineInit } from './machine-types.ts'

export function createJobMachine (init: JobMachineInit): JobMachine {
  return new Machine(init)
}

class Machine implements JobMachine {
  readonly #state: JobState
  readonly #attempts: Attempts
  readonly #results: Results
  readonly #epochs: Epochs
  readonly #hedging: Hedging
  #pulling = false
  #timerAt: number | undefined
  /** When waiting blocks must be dealt again though nothing happened. */
  #dealAt = Infinity
  /** The whole output was ended and is good. */
  #whole = false

  constructor (init: JobMachineInit) {
    this.#state = new JobState(init)
    const blame = new Blame(this.#state)
    this.#attempts = new Attempts(this.#state, blame)
    this.#hedging = new Hedging(this.#state, this.#attempts)
    this.#results = new Results(this.#state, this.#attempts, blame)
    this.#epochs = new Epochs(this.#state, this.#attempts)
  }

  get state (): JobMachine['state'] {
    const { phase, outcome } = this.#state
    if (phase === 'running') return 'running'
    return phase === 'ended' || phase === 'aborting' ? outcome?.state ?? 'failed' : 'merging'
  }

  step (events: JobEventIn[], now: number, random: () => number): Effect[] {
    const state = this.#state
    state.now = now
    state.random = random
    for (const event of events) this.#apply(event, random)
    if (state.phase === 'running' || state.phase === 'finishing') this.#checkDeadline()
    if (state.phase === 'running') this.#attempts.tellPrices()
    if (state.phase === 'running') this.#advance()
    if (state.phase === 'finishing') this.#renameIfChecked()
    if (state.phase === 'aborting') this.#letAllGo(state.outcome?.error?.message ?? 'the job ended')
    this.#setTimer()
    return state.out.drain()
  }

  counts (): JobCounts {
    const { tally, blocks, splitEnded, merge, workers, epoch, now } = this.#state
    return tally.counts({ blocks: blocks.length, known: splitEnded, merged: merge.merged, epochs: epoch }, workers.list, now)
  }

  explain (now: number): Explanation {
    return explain(this.#state, now)
  }

  view (now: number, limit: number): MachineView {
    return viewJob(this.#state, now, limit)
  }

  ownerOf (block: number, attempt: number): string | undefined {
    return this.#state.blocks[block]?.attempts[attempt - 1]?.worker.id
  }

  #apply (event: JobEventIn, random: () => number): void {
    const state = this.#state
    switch (event.type) {
      case 'ok': this.#results.onOk(event, random); break
      case 'inspected': this.#results.onInspected(event.block, event.attempt, event.units); break
      case 'committed': this.#results.onCommitted(event.block, event.attempt); break
      case 'stored': this.#results.onStored(event.block, event.attempt); break
      case 'checked': this.#results.onChecked(event.block, event.attempt, event.distance, event.difference); break
      case 'unsound': this.#results.onUnsound(event.block, event.attempt, event.message); break
      case 'distrusted': this.#results.onDistrusted(event.worker, event.reason); break
      case 'failed': this.#attempts.onFailed(event); break
      case 'split': this.#onSplit(event.sizes); break
      case 'widened': this.#epochs.onWidened(event.epoch); break
      case 'split-ended':
        state.splitEnded = true
        this.#pulling = false
        break
      case 'joined':
        this.#attempts.onJoined(event)
        this.#hedging.soon()
        break
      case 'slots': this.#attempts.onSlots(event.worker, event.slots); break
      case 'priced': this.#attempts.onPriced(event.worker, event.asked); break
      case 'lost': this.#attempts.onLost(event.worker, event.reason); break
      case 'suspect': this.#attempts.onSuspect(event.worker, event.reason); break
      case 'trusted': this.#attempts.onTrusted(event.worker); break
      case 'restored': onRestored(state, event); break
      case 'settled':
        state.provision.settled = true
        state.provision.hoped = event.hoped ?? false
        break
      case 'merged': state.merge.took(event.epoch, event.upTo); break
      case 'merge-reset': state.merge.wasReset(event.epoch); break
      case 'finished': this.#onFinished(); break
      case 'renamed':
        if (state.phase === 'renaming') this.#end('done')
        break
      case 'rename-failed':
        if (state.phase === 'renaming') {
          state.phase = 'finishing'
          state.fail(event.error)
        }
        break
      case 'aborted':
        if (state.phase === 'aborting') this.#end(state.outcome?.state ?? 'failed', state.outcome?.error)
        break
      case 'broken': state.fail(event.error); break
      case 'cancel': state.fail(event.error, event.error.code === 'cancelled' ? 'cancelled' : 'failed'); break
      case 'tick':
        this.#timerAt = undefined
        if (state.phase === 'running') this.#attempts.scan()
        break
    }
  }

  #onSplit (sizes: number[]): void {
    const { phase, blocks, queue, tally } = this.#state
    this.#pulling = false
    if (phase !== 'running') return
    for (const size of sizes) {
      const block = new Block(blocks.length, size)
      blocks.push(block)
      queue.push(block)
      tally.bytesKnown += size
    }
    if (blocks.length > BLOCKS_MAX) this.#state.fail({ code: 'failed', message: `the input makes more than ${BLOCKS_MAX} blocks; ask for larger ones (--block-size)` })
  }

  #onFinished (): void {
    if (this.#state.phase !== 'finishing') return
    this.#state.tally.whole = true
    this.#whole = true
    this.#renameIfChecked()
  }

  /** A worker may be distrusted while the output is being ended: what it did is compared before the rename all the same. */
  #renameIfChecked (): void {
    const state = this.#state
    if (!this.#whole || state.rechecks > 0) return
    state.phase = 'renaming'
    state.out.other({ type: 'rename' })
  }

  #end (endState: 'done' | 'failed' | 'cancelled', error?: JobError): void {
    this.#state.phase = 'ended'
    this.#state.outcome = { state: endState, error }
    this.#state.out.other({ type: 'end', state: endState, error })
  }

  #letAllGo (reason: string): void {
    for (const worker of this.#state.workers.list) this.#attempts.release(worker, reason)
  }

  /** An output that was ended in time counts as in time. */
  #checkDeadline (): void {
    const { init: { deadlineAt }, now } = this.#state
    if (deadlineAt != null && now >= deadlineAt && !this.#whole) this.#state.fail({ code: 'deadline', message: 'the deadline passed before the job was done' })
  }

  /** What follows from the state as it is now. */
  #advance (): void {
    const state = this.#state
    this.#dealAt = Infinity
    const merge = state.merge.next(state.blocks)
    if (merge != null) {
      if (state.faults.has('wrong-merge-order')) merge.reverse()
      state.out.other({ type: 'merge', epoch: state.merge.epoch, results: merge })
    }
    if (state.splitEnded && state.tally.doneBlocks === state.blocks.length) {
      this.#finishIfMerged()
      return
    }
    const lack = state.provision.lack(state.workers.list, state.now, state.queue.length > 0)
    if (lack != null) {
      // Now: in a moment all of them are let go, which would be the reason.
      state.fail({ ...lack, details: { ...lack.details, workers: explain(state, state.now).peers.slice(0, WHY_PEERS_MAX) } })
      return
    }
    if (state.settlingRoom && !state.proving) {
      this.#hedging.cover()
      const again = deal(state.queue, state.workers.byPrice, state.dealing, (block, worker) => { this.#attempts.give(block, worker) })
      this.#dealAt = Math.min(again, this.#hedging.look())
    }
    this.#pull()
  }

  #finishIfMerged (): void {
    const state = this.#state
    const early = state.faults.has('rename-before-check')
    if (state.merge.merged !== state.blocks.length || (state.rechecks > 0 && !early)) return
    state.phase = early ? 'renaming' : 'finishing'
    this.#letAllGo('all blocks are done')
    state.out.news({ type: 'state', state: 'merging' })
    state.out.other(early ? { type: 'rename' } : { type: 'finish', blocks: state.blocks.length })
  }

  #pull (): void {
    const { queue, workers, splitEnded, init, out, proving } = this.#state
    if (this.#pulling || splitEnded) return
    let slots = 0
    for (const worker of workers.list) if (worker.eligible && worker.slots > 0) slots += init.inFlight ?? worker.capacity
    if (!proving && queue.length >= 2 * slots + LOOK_AHEAD_SPARE && (queue.length >= LOOK_AHEAD_BLOCKS || queue.bytes >= LOOK_AHEAD_BYTES)) return
    this.#pulling = true
    out.other({ type: 'pull' })
  }

  #setTimer (): void {
    const at = this.#nextTime()
    if (at === this.#timerAt) return
    this.#timerAt = at
    this.#state.out.other({ type: 'timer', at })
  }

  #nextTime (): number | undefined {
    const { phase, init, provision, queue, workers, now } = this.#state
    if (phase === 'finishing' && !this.#whole) return init.deadlineAt
    if (phase !== 'running') return undefined
    let at = Math.min(init.deadlineAt ?? Infinity, this.#attempts.scanAt ?? Infinity, this.#attempts.tellAt, provision.nextTime, this.#dealAt)
    if (queue.length > 0) {
      for (const { eligible, pausedUntil, breaker } of workers.list) {
        if (!eligible) continue
        if (pausedUntil > now) at = Math.min(at, pausedUntil)
        if (breaker.state(now) === 'open') at = Math.min(at, breaker.retryAt)
      }
    }
    return at === Infinity ? undefined : at
  }
}
