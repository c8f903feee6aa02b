/** The part of the job machine about results: which is taken, what it must pass before it counts, what a wrong one leads to. */
import type { Attempts } from './attempts.ts'
import type { Blame } from './blame.ts'
import type { Attempt, Block } from './block-table.ts'
import type { JobState } from './job-state.ts'
import { shouldCheck, type CheckingPolicy } from '../trust/index.ts'
import type { JobEventIn } from './machine-types.ts'
import type { WorkerEntry } from './worker-table.ts'

export class Results {
  readonly #state: JobState
  readonly #attempts: Attempts
  readonly #blame: Blame
  readonly #policy: CheckingPolicy

  constructor (state: JobState, attempts: Attempts, blame: Blame) {
    this.#state = state
    this.#attempts = attempts
    this.#blame = blame
    this.#policy = { mode: state.init.verify }
  }

  onOk (event: Extract<JobEventIn, { type: 'ok' }>, random: () => number): void {
    const { blocks, out, tally, faults, phase, now } = this.#state
    const block = blocks[event.block]
    const attempt = block?.attempts[event.attempt - 1]
    if (block == null || attempt == null || attempt.worker.id !== event.worker) return
    const worker = attempt.worker
    if (attempt.open) this.#measure(attempt, block, event.wallMs)
    this.#blame.good(attempt)
    const wanted = block.state === 'ready' || block.state === 'leased' || faults.has('double-accept')
    // However late it comes: a result under an older schema is never taken.
    const stale = attempt.epoch !== this.#state.epoch && !faults.has('stale-epoch')
    if (!wanted || stale || worker.distrusted || phase !== 'running') {
      if (block.result !== attempt) {
        out.discard(attempt)
        if (block.result != null && !stale) tally.duplicate(block)
      }
      return
    }
    if (!faults.has('hedge-loser-kept')) this.#attempts.callOff(block, 'another attempt was done first')
    block.result = attempt
    block.by = worker
    block.held = event.held
    block.outputBytes = event.size
    block.wallMs = event.wallMs
    block.drawn = shouldCheck(this.#policy, worker, random)
    if (block.drawn) worker.drawn++
    worker.accepted++
    worker.wallMs += event.wallMs
    tally.arrived(now - attempt.at)
    this.#state.settling(block)
    if (event.held === 'volatile') {
      block.state = 'storing'
      out.store(attempt)
      if (faults.has('journal-before-block')) out.journal(attempt)
    } else {
      block.state = 'inspecting'
      out.inspect(attempt)
    }
  }

  /** The attempt ended well: how fast its worker is, and how long blocks take. */
  #measure (attempt: Attempt, block: Block, wallMs: number): void {
    const { now, pace } = this.#state
    const { worker, queued } = attempt
    worker.take(attempt, block.size, now, true)
    const tripMs = now - attempt.at
    const engineMs = Math.min(wallMs, tripMs)
    worker.worked(block.size, engineMs)
    pace.add(worker.kind, { bytes: block.size, queuedBytes: queued, tripMs, engineMs })
  }

  onStored (index: number, number: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'storing') return
    this.#state.stored(block)
    block.state = 'inspecting'
    this.#state.out.inspect(block.result as Attempt)
  }

  onInspected (index: number, number: number, units: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'inspecting') return
    block.units = units
    if (block.drawn) {
      block.state = 'checking'
      this.#state.out.check(block.result as Attempt)
    } else {
      block.state = 'committing'
      this.#state.out.journal(block.result as Attempt)
    }
  }

  onUnsound (index: number, number: number, message: string): void {
    const block = this.#current(index, number)
    if (block?.state === 'inspecting') this.#reject(block, message)
  }

  onChecked (index: number, number: number, distance: number, difference?: string): void {
    const block = this.#current(index, number)
    if (block == null || (block.state !== 'checking' && !block.rechecking)) return
    const { bound } = this.#state.init
    // Not `distance > bound`: that would let NaN pass.
    if (!(distance <= bound)) {
      this.#reject(block, difference ?? `distance ${distance} is over ${bound}`)
      return
    }
    block.checked = true
    this.#state.tally.compared(distance)
    if (block.rechecking) {
      block.rechecking = false
      this.#state.rechecks--
    } else {
      block.state = 'committing'
      this.#state.out.journal(block.result as Attempt)
    }
  }

  onCommitted (index: number, number: number): void {
    const block = this.#current(index, number)
    if (block?.state !== 'committing') return
    block.state = 'done'
    this.#state.settled(block)
    this.#state.tally.done(block, this.#state.now - (block.result as Attempt).at)
    this.#state.blockNews(index, number, (block.by as WorkerEntry).id, 'done')
  }

  /** Another job caught it: what it did here is looked at as if it had been caught here. */
  onDistrusted (id: string, reason: string): void {
    const { workers, phase } = this.#state
    const worker = workers.get(id)
    if (worker != null && (phase === 'running' || phase === 'finishing')) this.#distrust(worker, reason)
  }

  /** The block, if this fact is about the result it has. */
  #current (index: number, attempt: number): Block | undefined {
    const { blocks, phase } = this.#state
    const block = blocks[index]
    return block?.result?.attempt === attempt && phase !== 'aborting' && phase !== 'ended' ? block : undefined
  }

  /** A wrong result: it goes, its worker with it, and everything else of that worker is looked at before the output is finished. */
  #reject (block: Block, reason: string): void {
    const { out, tally, merge, provision, queue } = this.#state
    const worker = block.by as WorkerEntry
    const result = block.result as Attempt
    this.#state.withdraw(block)
    result.end(`wrong result: ${reason}`, this.#state.now)
    tally.rejected()
    this.#blame.accuse(block, worker, false)
    if (merge.withdraw(block.index)) out.other({ type: 'reset-merge', epoch: merge.epoch })
    this.#state.blockNews(block.index, result.attempt, worker.id, 'rejected', reason)
    provision.rejection = `block ${block.index} by ${worker.id}: ${reason}`
    if (!worker.distrusted) out.other({ type: 'ban', worker: worker.id, block: result.block, attempt: result.attempt, reason })
    this.#distrust(worker, reason)
    if (this.#state.phase === 'finishing') {
      // Its workers are let go and its output is being ended: beginning again would be another job.
      this.#state.fail({ code: 'check-failed', message: `block ${block.index} by ${worker.id} is wrong, which showed only when the output was being ended; run the job again: ${reason}`, details: { block: block.index } })
      return
    }
    this.#blame.judge(block, worker, 'was wrong', reason)
    if (this.#state.phase === 'running') queue.putBack(block)
  }

  #distrust (worker: WorkerEntry, reason: string): void {
    if (worker.distrusted) return
    const { out, blocks } = this.#state
    worker.distrusted = true
    out.news({ type: 'worker', peer: worker.id, change: 'distrusted', reason })
    this.#attempts.release(worker, `gave a wrong result: ${reason}`)
    for (const block of blocks) {
      if (block.by !== worker || block.checked || block.rechecking) continue
      if (block.state === 'storing' || block.state === 'inspecting') block.drawn = true
      else if (block.state === 'committing' || block.state === 'done') {
        block.rechecking = true
        this.#state.rechecks++
        out.check(block.result as Attempt)
      }
    }
  }
}
