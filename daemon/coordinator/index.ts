/**
 * A conversion job from its description to its output: a pure machine decides (`machine.ts`), the interpreter acts
 * (`job.ts`). Peers appear only as `Worker`s, found through a `WorkerSource`.
 *
 * @example
 * ```ts
 * const coordinator = createCoordinator({ toolbox, store, journal, workers, log })
 * const job = await coordinator.submit({ inputs: ['/data/in.csv'], to: 'parquet', output: '/data/out.parquet' })
 * for await (const event of job.events()) ...
 * const report = await job.done
 * ```
 */
import type { TypedEventTarget } from 'main-event'
import type { Encoding, Note } from '../block-convert/index.ts'
import type { StoredBlock } from '../store/index.ts'
import type { Offer, Worker, WorkerEvents } from '../task-protocol/index.ts'
import type { JobLook, Why } from './job-look.ts'
import type { Asked } from './prices.ts'

/** What a user asks for. Paths are absolute. */
export interface JobRequest {
  inputs: string[]
  /** Media type or extension. */
  to: string
  from?: string
  /** Absolute path of the one output. */
  output: string
  overwrite?: boolean
  /** `--set key=value` */
  settings?: Record<string, string>
  /** `any`: cheap work stays local; `local`: never remote; `remote`: never local. @default 'any' */
  place?: 'any' | 'local' | 'remote'
  /** Only these peers. */
  nodes?: string[]
  /**
   * What is paid at most per resource hour, in 10^-6 of the unit this node counts in (a whole number as text): a peer that asks more, or in
   * another unit, gets no blocks while it does. Work of this node itself costs nothing. @default whatever is asked
   */
  maxPrice?: string
  /** @default 'sample' */
  verify?: 'none' | 'sample' | 'all'
  /** Bytes per block. @default measured (about one to two seconds of work) */
  blockBytes?: number
  /** Seconds from submission. */
  deadlineSeconds?: number
  /** Orders in flight per worker, for benches. @default the worker's slots */
  inFlight?: number
  /** For benches: an order is in flight until its result is durable. @default until the result is there */
  awaitCommit?: boolean
}

export type JobState = 'preparing' | 'running' | 'merging' | 'done' | 'failed' | 'cancelled'

export type JobErrorCode =
  | 'usage' | 'no-provider' | 'check-failed' | 'over-budget' | 'deadline' | 'cancelled' | 'failed'
  | 'input-unreadable' | 'input-changed' | 'bad-input' | 'contradiction' | 'unsupported' | 'unknown-type' | 'bad-parameters'
  | 'output-exists' | 'output-unwritable' | 'interrupted' | 'not-resumable'

export interface JobError { code: JobErrorCode, message: string, details?: Record<string, unknown> }

/** The report of INTERFACE.md; what `convert --json` and `jobs show --json` print. */
export interface JobReport {
  job: string
  state: JobState
  error?: JobError
  seconds: number
  cost: string
  resumed: boolean
  /** As the user has them: `bytes` and `cid` of a compressed file are those of the file, `mediaType` is what it holds under `encoding`. */
  inputs: Array<{ path: string, mediaType: string, encoding?: Encoding, bytes: number, cid?: string }>
  outputs: Array<{ path: string, mediaType: string, encoding?: Encoding, bytes: number, cid: string }>
  conversion: Array<{ id: string, version: string, parameters: Record<string, unknown> }>
  /** `restored`: blocks whose result an earlier run of the job had made, so that they were not converted again. `redone`: blocks that had been given to a worker under a schema that was widened since, added up over all changes; not in `redispatched`. */
  blocks: { total: number, done: number, local: number, remote: number, memo: number, redispatched: number, hedged: number, rejected: number, redone: number, restored: number }
  /** Changes of the schema while the job ran. */
  epochs: number
  /** What a user should know of the conversion; a bounded number, the last one (`more-notes`) then says how many more there were. */
  notes: Note[]
  check: { equivalence: string, distance: number, bound: number, blocksChecked: number, blocksUnmeasured: number, whole: boolean }
  /** `price` is what each asked when last heard of, in 10^-6 of `unit` per resource hour; both are absent in reports of older versions. */
  workers: Array<{ peer: string, blocks: number, seconds: number, cost: string, failed: number, lost?: string, price?: string, unit?: string }>
  /** Engine and dispatch measurements, in milliseconds; a round trip is from an order to its result, `durable` until its entry is durable. */
  timing: { prepareMs: number, convertMs: number, mergeMs: number, checkMs: number, roundTripMsP50: number, roundTripMsP99: number, durableMsP50?: number, durableMsP99?: number, resultsPerSecond: number }
  /** While it has not ended: why it does not run, or not everywhere, with the peers left out. In the answer for one job only, never kept. */
  why?: Why[]
  created: number
  finished?: number
  /** UTC milliseconds. What a job that ended badly had done is kept until then, so that it may be gone on with (`Coordinator.resume`). */
  resumableUntil?: number
}

export type JobEvent =
  | { type: 'state', job: string, at: number, state: JobState, error?: JobError }
  | { type: 'plan', job: string, at: number, message: string }
  | { type: 'progress', job: string, at: number, blocksDone: number, blocksTotal?: number, bytesDone: number, bytesTotal: number, workers: number }
  | { type: 'worker', job: string, at: number, peer: string, change: 'joined' | 'lost' | 'refused' | 'distrusted' | 'suspect' | 'trusted' | 'cut-off' | 'draining', reason?: string }
  | { type: 'block', job: string, at: number, block: number, attempt: number, peer: string, change: 'dispatched' | 'done' | 'failed' | 'requeued' | 'rejected' | 'hedged' | 'restored', reason?: string }

/** Finds and attaches workers for a job; implemented over the registry, the task client and the executor. */
export interface WorkerSource {
  /**
   * Calls `found` for each worker attached, until the signal fires; keeps looking, so that somebody who joins later is
   * used too. `refused` tells why a candidate was left out. `settled` is called once when the first search is over. `offer.unit` is what
   * `request.maxPrice` is counted in; each peer is offered the price it posted.
   */
  workers: (offer: Offer, edge: { from: string, to: string }, request: WorkerRequest, sink: WorkerSink, options: { signal: AbortSignal }) => Promise<void>
}

export type WorkerRequest = Pick<JobRequest, 'place' | 'nodes' | 'maxPrice'>

/** What is known of a peer beside what its lease says. */
export interface WorkerFacts {
  /** What it asks now. */
  asked?: Asked
  /** did:key of its operator, only if the delegation was verified. */
  operator?: string
}

export interface WorkerSink {
  /** The events to attach a worker with; `id` as in `Worker.id`. */
  events: (id: string) => WorkerEvents
  found: (worker: Worker, facts?: WorkerFacts) => void
  /** What an attached worker (or one that is being attached) asks from now on. @default prices stay as they were found */
  priced?: (id: string, asked: Asked) => void
  /** `reason` is `price` for one that asks too much, `policy` for what else is decided here, otherwise the peer's own. */
  refused: (id: string, reason: string, message: string) => void
  /** Why this job takes nothing from a peer (it, or another of its operator, gave a wrong result before), so that it is not even asked. @default nobody is left out */
  leftOut?: (id: string, operator?: string) => string | undefined
  /** The first search is over; `count` workers were attached or are being attached. */
  settled: (count: number) => void
}

export interface Job {
  /** CID of the canonical job spec. */
  readonly id: string
  report: () => JobReport
  /** Who has which of its blocks, at most `limit` of them, and why nothing happens where nothing does. Absent once it has ended. */
  look?: (limit: number) => JobLook
  /** Resolves (never rejects) to the final report. */
  readonly done: Promise<JobReport>
  cancel: (reason?: string) => Promise<void>
}

export interface CoordinatorEvents { job: CustomEvent<JobEvent> }

export interface Coordinator {
  readonly events: TypedEventTarget<CoordinatorEvents>
  /**
   * Reads the journal and goes on with every job that was running when the last process ended: under its id, from the results that were
   * durable. Throws NewerJournalError, having changed nothing, if a later build wrote some of it.
   */
  start: () => Promise<void>
  /** Stops running jobs (`interrupted`) where they stand, leaving no partial output; the next start goes on with them. */
  stop: () => Promise<void>
  /** Refuses what is wrong at once (JobRefusedError with a JobError); otherwise the job runs. */
  submit: (request: JobRequest) => Promise<Job>
  /**
   * Goes on with a job that ended badly while what it had done is still there; gives a running job as it is. JobRefusedError `not-resumable` for one
   * that is done or cancelled, or of which nothing is left.
   */
  resume: (id: string) => Promise<Job>
  get: (id: string) => Job | undefined
  list: () => JobReport[]
  /** A block in the store that no job takes any more; it is removed unless a job uses the same content. */
  abandon: (stored: StoredBlock) => void
}

export { createCoordinator } from './coordinator.ts'
export { createLocalWorker } from './local-worker.ts'
export { JobRefusedError } from './errors.ts'
export type { Asked } from './prices.ts'
export type { JobLook, Why } from './job-look.ts'
export type { AttemptView, BlockView, MoveView, WorkerView } from './block-view.ts'
export { createWorkerSource, type WorkerSourceComponents } from './worker-source.ts'
