/**
 * The part of the job machine that tells a poisonous block from a poisonous peer, and cuts off who fails repeatedly.
 *
 * - Every failed attempt counts against its worker's breaker, and against its block; but a second time for the same worker, or of one that is cut off, only
 *   where nobody else could take the block.
 * - When a breaker opens over several different blocks, the peer was to blame: what it brought against them is withdrawn, if somebody healthy is there.
 * - While somebody who returned good results has not tried the block, only those who did, too, are believed about it.
 * - A job that ends because of a block says nothing against the peers it was believed of, nor against anybody where nobody returned one good result: what
 *   the job learned of those does not outlive it, so that one poisonous job does not cut off a network from the next.
 * - `engineFailures` believed engine failures, or `blockFailures` believed failures of any kind, or `blockAttempts` failures altogether end the job.
 */
import type { BreakerCause } from './breaker.ts'
import type { Accusation, Attempt, Block } from './block-table.ts'
import type { JobState } from './job-state.ts'
import type { JobErrorCode } from './index.ts'
import type { WorkerEntry } from './worker-table.ts'

/** Peers that an error names. */
const PEERS_NAMED = 5

export class Blame {
  readonly #state: JobState

  constructor (state: JobState) {
    this.#state = state
  }

  /** An attempt gave a good result. */
  good (attempt: Attempt): void {
    const { worker } = attempt
    worker.streak = []
    worker.refusalsInRow = 0
    if (!worker.breaker.good(attempt.canary)) return
    this.#tell(worker)
    this.#state.out.news({ type: 'worker', peer: worker.id, change: 'joined', reason: 'it gets blocks again: its trial block was good' })
  }

  /** An attempt failed, through its block or its worker. */
  failed (block: Block, attempt: Attempt, cause: BreakerCause, engine: boolean, message: string): void {
    const { worker } = attempt
    worker.failed++
    worker.streak.push(block)
    this.accuse(block, worker, engine)
    this.doubt(attempt, cause, message)
    this.judge(block, worker, 'failed', message)
  }

  /** One more thing held against the block. */
  accuse (block: Block, worker: WorkerEntry, engine: boolean): void {
    const repeated = block.accusations?.some(accusation => accusation.worker === worker) === true
    block.accusations ??= []
    block.accusations.push({ worker, engine, counts: (!repeated && worker.breaker.closed) || !this.#elsewhere(block, worker) })
    block.shun(worker)
  }

  /** Counts a failure against the worker only. */
  doubt (attempt: Attempt, cause: BreakerCause, message: string): void {
    const { now, random } = this.#state
    if (attempt.worker.breaker.bad(cause, attempt.canary, now, random)) this.#opened(attempt.worker, message)
  }

  /** The worker went away, whatever it had out: one that comes and goes is treated as one that fails. */
  lost (worker: WorkerEntry, probing: boolean, reason: string): void {
    const { now, random } = this.#state
    if (worker.breaker.bad('lost', probing, now, random)) this.#opened(worker, reason)
  }

  /** It said `busy` too often. */
  refused (worker: WorkerEntry): void {
    const { now, random, faults } = this.#state
    if (faults.has('breaker-never-opens')) return
    worker.breaker.trip('refused', now, random)
    this.#opened(worker, `it refused ${worker.refusalsInRow} times in a row: busy`)
    worker.refusalsInRow = 0
  }

  /** A block is given to a worker. */
  gave (attempt: Attempt): void {
    const { worker } = attempt
    attempt.canary = worker.breaker.give()
    if (attempt.canary) this.#tell(worker)
  }

  /** Ends the job if the block fails wherever it is tried. */
  judge (block: Block, worker: WorkerEntry, how: 'failed' | 'was wrong', message: string): void {
    const { limits, faults } = this.#state
    const all = block.accusations ?? []
    const believed = this.#believed(block, all)
    const engine = believed.filter(accusation => accusation.engine).length
    if (faults.has('poison-forever')) return
    if (engine < limits.engineFailures && believed.length < limits.blockFailures && all.length < limits.blockAttempts) return
    const peers = [...new Set(all.map(accusation => accusation.worker.id))]
    const named = peers.slice(0, PEERS_NAMED).join(', ') + (peers.length > PEERS_NAMED ? ` and ${peers.length - PEERS_NAMED} more` : '')
    this.acquit(believed.map(accusation => accusation.worker))
    const code: JobErrorCode = how === 'failed' ? 'failed' : 'check-failed'
    this.#state.fail({
      code,
      message: `block ${block.index} failed ${all.length} times (on ${named}), the last ${how === 'failed' ? `on ${worker.id}` : `result was wrong (${worker.id})`}: ${message}`,
      details: { block: block.index, worker: worker.id, attempts: all.length, peers }
    })
  }

  /** The job ends through its input: what it learned of these peers, or of all if none did anything right, is forgotten. */
  acquit (believed: WorkerEntry[]): void {
    const { list } = this.#state.workers
    for (const worker of list.some(({ accepted }) => accepted > 0) ? new Set(believed) : list) if (worker.breaker.acquit()) this.#tell(worker)
  }

  #believed (block: Block, all: Accusation[]): Accusation[] {
    const counting = all.filter(accusation => accusation.counts)
    const untried = this.#state.workers.list.some(worker => worker.healthy && worker.accepted > 0 && block.avoid?.includes(worker) !== true)
    return untried ? counting.filter(({ worker }) => worker.accepted > 0) : counting
  }

  /** Somebody healthy could take the block who did not fail on it. */
  #elsewhere (block: Block, except: WorkerEntry): boolean {
    return this.#state.workers.list.some(worker => worker !== except && worker.healthy && block.avoid?.includes(worker) !== true)
  }

  #opened (worker: WorkerEntry, message: string): void {
    const { out, provision, workers, now } = this.#state
    const { streak } = worker
    // A trial that is still out is none of the cool-down that begins now: its outcome must not end the next one.
    for (const attempt of worker.open) attempt.canary = false
    worker.streak = []
    provision.failure = message
    this.#tell(worker)
    out.news({ type: 'worker', peer: worker.id, change: 'cut-off', reason: `for ${Math.ceil(worker.breaker.retryAt - now)} ms, then it is tried with one block: ${message}` })
    if (new Set(streak).size < 2 || !workers.list.some(other => other.healthy)) return
    for (const block of streak) {
      for (const accusation of block.accusations ?? []) if (accusation.worker === worker) accusation.counts = false
    }
  }

  #tell (worker: WorkerEntry): void {
    this.#state.out.other({ type: 'breaker', ...worker.breaker.record(worker.id, this.#state.now) })
  }
}
