/** The state of one job, shared by the parts of its machine. Nobody else sees it. */
import type { Attempt, Block } from './block-table.ts'
import type { BreakerRules } from './breaker.ts'
import { EPOCHS_BEFORE_PROOF, JOB_LIMITS, MOVES_KEPT, PRICE_UNIT_DEFAULT, SETTLING_BLOCKS_MAX, SETTLING_BYTES_MAX, SETTLING_MEMORY_MAX, type JobLimits } from './constants.ts'
import { MergeOrder } from './merge-order.ts'
import { limitOf } from './prices.ts'
import { Outbox } from './outbox.ts'
import { Pace } from './pace.ts'
import type { DealContext } from './planner.ts'
import { Provision } from './provision.ts'
import { ReadyQueue } from './ready-queue.ts'
import { Tally } from './tally.ts'
import { WorkerTable, type WorkerEntry } from './worker-table.ts'
import type { JobError } from './index.ts'
import type { JobMachineInit, PlantedFault } from './machine-types.ts'

/** `running` until all blocks are merged; then `finishing` and `renaming`; `aborting` instead when it fails; `ended`. */
export type Phase = 'running' | 'finishing' | 'renaming' | 'aborting' | 'ended'

/** A block left the worker of this attempt, or (`hedged`) came to it while another one had it. */
export interface Move { block: number, attempt: number, change: 'requeued' | 'hedged' | 'rejected', reason: string | undefined, at: number }

export class JobState {
  readonly init: JobMachineInit
  readonly limits: JobLimits
  readonly faults: ReadonlySet<PlantedFault>
  readonly blocks: Block[] = []
  readonly queue = new ReadyQueue()
  readonly workers: WorkerTable
  readonly merge = new MergeOrder()
  readonly out = new Outbox()
  readonly tally = new Tally()
  readonly provision: Provision
  readonly pace = new Pace()
  /** Copies that were given out, by their reason, less those whose first attempt was lost with its worker. */
  readonly hedges = { slow: 0, suspect: 0 }
  /** The last blocks that were taken from a worker, or given to a second one, oldest first. */
  readonly moves: Move[] = []
  phase: Phase = 'running'
  outcome: { state: 'done' | 'failed' | 'cancelled', error?: JobError } | undefined
  splitEnded = false
  /** Number of the schema: how often it was widened. */
  epoch = 0
  /** A block was given out under it. */
  begun = false
  /** Comparisons of results whose entry was asked for already; the output is not finished before they are over. */
  rechecks = 0
  now = 0
  /** Of the step that is being made. */
  random: () => number = () => 0.5
  #settlingBlocks = 0
  #settlingBytes = 0
  #settlingMemory = 0

  constructor (init: JobMachineInit) {
    this.init = init
    this.limits = { ...JOB_LIMITS, ...init.limits }
    this.faults = init.faults ?? new Set()
    const price = limitOf(this.faults.has('any-price') ? undefined : init.maxPrice, init.priceUnit ?? PRICE_UNIT_DEFAULT)
    const rules: BreakerRules = {
      failures: this.faults.has('breaker-never-opens') ? Infinity : this.limits.breakerFailures,
      ms: this.limits.breakerMs,
      msMax: this.limits.breakerMsMax,
      ...(this.faults.has('breaker-canary-flood') ? { canaries: Infinity } : {})
    }
    this.workers = new WorkerTable(price, rules, init.breakers)
    this.provision = new Provision(this.limits, price)
  }

  /** What decides how much a worker may be given. */
  get dealing (): DealContext {
    const { now, splitEnded, init: { inFlight, awaitCommit } } = this
    return { now, inFlight, awaitCommit, splitEnded, feedSuspects: this.faults.has('suspect-fed') }
  }

  /** Nothing is given out: the whole input is read first, or what an earlier run knew of its schema has not been told again. */
  get proving (): boolean {
    return !this.splitEnded && (this.epoch >= EPOCHS_BEFORE_PROOF || this.epoch < (this.init.resumeEpoch ?? 0))
  }

  /** Room for more results before the disk must catch up. */
  get settlingRoom (): boolean {
    return this.#settlingBlocks < SETTLING_BLOCKS_MAX && this.#settlingBytes < SETTLING_BYTES_MAX && this.#settlingMemory < SETTLING_MEMORY_MAX
  }

  /** A result was taken and is not durable yet. */
  settling (block: Block): void {
    if (block.by != null) block.by.settling++
    this.#settlingBlocks++
    this.#settlingBytes += block.outputBytes
    if (block.held !== 'durable') this.#settlingMemory += block.outputBytes
  }

  /** Its bytes are in the block store. */
  stored (block: Block): void {
    this.#settlingMemory -= block.outputBytes
    block.held = 'durable'
  }

  /** It is durable with its entry, or not wanted any more. */
  settled (block: Block): void {
    if (block.by != null) block.by.settling--
    this.#settlingBlocks--
    this.#settlingBytes -= block.outputBytes
    if (block.held !== 'durable') this.#settlingMemory -= block.outputBytes
  }

  /** The block loses its result: that goes, and what was counted of it. */
  withdraw (block: Block): void {
    const worker = block.by as WorkerEntry
    this.out.discard(block.result as Attempt)
    if (block.state === 'done') this.tally.undone(block)
    else this.settled(block)
    if (block.rechecking) this.rechecks--
    if (block.checked) this.tally.uncompared()
    worker.accepted--
    worker.wallMs -= block.wallMs
    block.withdraw()
  }

  /** The job is over, badly; the machine lets everybody go at the end of the step. */
  fail (error: JobError, state: 'failed' | 'cancelled' = 'failed'): void {
    // A rename that was asked for cannot be called back: whatever else happens now, the output may be there already.
    if (this.phase === 'renaming' || this.phase === 'aborting' || this.phase === 'ended') return
    this.phase = 'aborting'
    this.outcome = { state, error }
    this.queue.clear()
    this.out.other({ type: 'abort' })
  }

  blockNews (block: number, attempt: number, peer: string, change: 'dispatched' | 'done' | 'failed' | 'requeued' | 'rejected' | 'hedged' | 'restored', reason?: string): void {
    const moved = change === 'requeued' || change === 'hedged' || change === 'rejected'
    if (moved && this.moves.push({ block, attempt, change, reason, at: this.now }) > MOVES_KEPT) this.moves.shift()
    if (this.tally.mayTell(this.now, !moved && change !== 'failed')) this.out.news({ type: 'block', block, attempt, peer, change, reason })
  }
}
