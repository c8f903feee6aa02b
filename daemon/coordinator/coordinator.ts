/** Accepts jobs, keeps them, and settles after a restart what the last run of the daemon left. */
import { availableParallelism } from 'node:os'
import { TypedEventEmitter } from 'main-event'
import { checkUnchanged, extensionOf, type Input, type Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { DataDir, Journal, StoredBlock } from '../store/index.ts'
import { BlockRefs } from './block-refs.ts'
import { Breakers } from './breaker.ts'
import { systemClock, type Clock } from './clock.ts'
import { DistrustedPeers, type Finding } from './distrusted-peers.ts'
import { HISTORY_MAX, JOBS_MAX, PRICE_UNIT_DEFAULT } from './constants.ts'
import { JobRefusedError } from './errors.ts'
import { FindingsRecord } from './findings-record.ts'
import { toJobError } from './job-errors.ts'
import { RunningJob } from './job.ts'
import { JOURNAL_NAME, type Continuation } from './journal-entries.ts'
import { checkOutput, checkRequest, refuse, targetOf } from './request-checks.ts'
import { RecordWriter } from './record-writer.ts'
import { RestingJobs } from './resting-jobs.ts'
import { wakeResults } from './resume.ts'
import { settleJournal } from './settle-journal.ts'
import { makeSpec, readSpec } from './spec.ts'
import type { Coordinator, CoordinatorEvents, Job, JobReport, JobRequest, WorkerSource } from './index.ts'
import type { JobComponents, JobInit } from './job-components.ts'

export interface CoordinatorComponents {
  toolbox: Toolbox
  store: Pick<DataDir, 'blocks' | 'journal' | 'scratch'>
  workers: WorkerSource
  /** Removes what was written of an output that was never renamed, by the output's path. @default it is left, and told */
  removePartials?: (finalPath: string) => Promise<number>
  log: Log
  clock?: Clock
}

export interface CoordinatorInit {
  /** Slots that may take part in a job, for the size of its blocks. @default the machine's cores */
  slots?: () => number
  /**
   * What this node counts prices in (`JobRequest.maxPrice`): asked when a job is submitted, and then the job's own, whatever the node counts in
   * later. @default PRICE_UNIT_DEFAULT
   */
  priceUnit?: () => string
  /**
   * For the time of one command only: unfinished jobs of a daemon are left to its next start, and nobody goes on unasked with those that are
   * submitted here. @default false
   */
  embedded?: boolean
  /** Blocks of a job that may get a second copy, as a share of those done. @default HEDGE_SHARE */
  hedgeShare?: number
}

export function createCoordinator (components: CoordinatorComponents, init: CoordinatorInit = {}): Coordinator {
  return new JobCoordinator(components, init)
}

class JobCoordinator implements Coordinator {
  readonly events = new TypedEventEmitter<CoordinatorEvents>()
  readonly #components: CoordinatorComponents
  readonly #journal: Journal
  readonly #refs: BlockRefs
  readonly #jobComponents: Omit<JobComponents, 'priceUnit' | 'foreground'>
  readonly #embedded: boolean
  readonly #priceUnit: () => string
  readonly #clock: Clock
  readonly #running = new Map<string, RunningJob>()
  /** Ended jobs, oldest first. */
  readonly #history = new Map<string, { report: JobReport, recordKey: string }>()
  readonly #distrusted = new DistrustedPeers()
  /** Ended jobs somebody may go on with; they are in the history, too. */
  readonly #resting: RestingJobs
  readonly #findings: FindingsRecord
  readonly #records: RecordWriter
  /** Outputs that are being written, or are about to be: by the path asked for and by the real one. */
  readonly #outputs = new Set<string>()
  readonly #submitting = new Set<Promise<unknown>>()
  /** Jobs that have ended, and whose results are being removed. */
  readonly #cleaning = new Set<Promise<void>>()
  /** Jobs that are being gone on with. */
  readonly #resuming = new Map<string, Promise<Job>>()
  #stopping = false

  constructor (components: CoordinatorComponents, init: CoordinatorInit) {
    const { toolbox, store, workers, log } = components
    this.#components = components
    this.#clock = components.clock ?? systemClock
    this.#journal = store.journal(JOURNAL_NAME)
    this.#refs = new BlockRefs(store.blocks, () => this.#clock.monotonic(), error => { log.warn({ error }, 'a block could not be removed from the store') })
    this.#embedded = init.embedded ?? false
    this.#records = new RecordWriter({ journal: this.#journal, log })
    const parts = { journal: this.#journal, records: this.#records, refs: this.#refs, clock: this.#clock, log }
    this.#resting = new RestingJobs(parts)
    this.#findings = new FindingsRecord(parts)
    this.#priceUnit = init.priceUnit ?? (() => PRICE_UNIT_DEFAULT)
    this.#jobComponents = {
      toolbox,
      workers,
      log,
      blocks: store.blocks,
      journal: this.#journal,
      records: this.#records,
      refs: this.#refs,
      clock: this.#clock,
      slots: init.slots ?? availableParallelism,
      distrusted: (peer, operator) => this.#distrusted.reason(peer, operator) ?? this.#findings.reason(peer),
      caught: finding => { this.#caught(finding) },
      breakers: new Breakers(),
      ...(init.hedgeShare != null ? { hedgeShare: init.hedgeShare } : {}),
      emit: event => { this.events.dispatchEvent(new CustomEvent('job', { detail: event })) }
    }
  }

  async start (): Promise<void> {
    const { store, log, removePartials } = this.#components
    const settled = await settleJournal({
      journal: this.#journal,
      refs: this.#refs,
      removePartials: removePartials ?? (async () => { throw new Error('no way to remove partial outputs was given') }),
      clock: this.#clock,
      log
    }, { embedded: this.#embedded })
    // A block a crash left between its rename and its entry belongs to nobody, and those of jobs that ended are not needed any more.
    await store.blocks.sweep(digest => this.#refs.has(digest))
    store.blocks.protect(digest => this.#refs.needed(digest) ? 'needed' : this.#refs.has(digest) ? 'spare' : undefined)
    for (const { key, report } of settled.ended) this.#history.set(report.job, { report, recordKey: key })
    for (const job of settled.resting) this.#resting.add(job)
    await this.#findings.load(settled.unfinished.length + settled.resting.length + settled.left > 0)
    await this.#trimHistory()
    for (const { job, continuation, starts, results } of settled.unfinished) {
      try {
        log.info({ job, results }, 'going on with a job that an earlier run did not end')
        this.#goOn(job, continuation).begin({ starts, results })
      } catch (error) {
        // Its record stays: a later start, or a later build, may be able to.
        log.error({ error, job }, 'cannot go on with a job of an earlier run')
      }
    }
  }

  async stop (): Promise<void> {
    this.#stopping = true
    // Those that are still looked at are refused now, or have become jobs.
    await Promise.all(this.#submitting)
    const running = [...this.#running.values()]
    const how = this.#embedded ? 'run it again' : 'it goes on when the daemon starts again'
    await Promise.all(running.map(async job => { await job.suspend({ code: 'interrupted', message: `the daemon was stopped while this job ran; no output was written yet; ${how}` }) }))
    await Promise.all([...running.map(job => job.cleaned), ...this.#cleaning])
    await this.#resting.stop()
    await this.#refs.idle()
    await this.#records.stop()
    await this.#journal.close()
  }

  async submit (request: JobRequest): Promise<Job> {
    if (this.#stopping) refuse('interrupted', 'the daemon is shutting down')
    if (this.#running.size + this.#submitting.size >= JOBS_MAX) refuse('failed', `${JOBS_MAX} jobs run already; wait for one to end`)
    checkRequest(request)
    const reserved = new Set<string>()
    this.#reserve(request.output, request.output, reserved)
    const accepting = this.#accept(request, reserved)
    const settled = accepting.then(() => undefined, () => { for (const path of reserved) this.#outputs.delete(path) }).finally(() => this.#submitting.delete(settled))
    this.#submitting.add(settled)
    return await accepting
  }

  /** Looks at inputs and output, and starts the job. What it reserved stays so until the job has ended. */
  async #accept (request: JobRequest, reserved: Set<string>): Promise<Job> {
    // As it was when the user named a limit, not when the inputs had been looked at.
    const priceUnit = this.#priceUnit()
    const inputs = await this.#describe(request)
    const to = targetOf(inputs, request)
    this.#reserve(await checkOutput(request), request.output, reserved)
    if (this.#stopping) refuse('interrupted', 'the daemon is shutting down')
    const created = this.#clock.utc()
    const job = this.#run({ spec: makeSpec(request, inputs, to, created), request, inputs, to, created }, { priceUnit, foreground: this.#embedded }, reserved)
    // Who is told of a job can rely on it from then on. One that could not be recorded fails, and says why.
    await job.recorded.catch(() => {})
    return job
  }

  /** Begins a job whose output is reserved. */
  #run (init: JobInit, { priceUnit, foreground }: { priceUnit: string, foreground: boolean }, reserved: Set<string>): RunningJob {
    const job = new RunningJob({ ...this.#jobComponents, priceUnit, foreground }, init)
    this.#running.set(job.id, job)
    void job.done.then(async report => {
      this.#running.delete(job.id)
      const cleaned = job.cleaned.finally(() => this.#cleaning.delete(cleaned))
      this.#cleaning.add(cleaned)
      for (const path of reserved) this.#outputs.delete(path)
      this.#history.set(job.id, { report, recordKey: job.recordKey })
      if (job.resting != null) this.#resting.add({ job: job.id, key: job.key, recordKey: job.recordKey, report, ...job.resting })
      await this.#trimHistory()
    }).catch((error: unknown) => { this.#components.log.error({ error, job: job.id }, 'keeping the history of jobs failed') })
    return job
  }

  async resume (id: string): Promise<Job> {
    const running = this.#running.get(id) ?? this.#resuming.get(id)
    if (running != null) return await running
    if (this.#stopping) refuse('interrupted', 'the daemon is shutting down')
    const ended = this.#history.get(id)?.report
    if (ended == null) return refuse('not-resumable', `no job ${id} on this node`)
    if (ended.state === 'done' || ended.state === 'cancelled') return refuse('not-resumable', `job ${id} is ${ended.state}: there is nothing to go on with`)
    if (this.#running.size + this.#submitting.size >= JOBS_MAX) refuse('failed', `${JOBS_MAX} jobs run already; wait for one to end`)
    const resting = this.#resting.get(id)
    if (resting == null) return refuse('not-resumable', `what job ${id} had done is not kept any more (or it failed in a way that going on cannot mend): run the conversion again`)
    const { begin, letGo } = this.#goOn(id, resting.continuation)
    this.#resting.take(id)
    // How it ended last time is of no interest any more, should that not be on record yet.
    this.#records.forget(resting.recordKey)
    const going = wakeResults({ journal: this.#journal, refs: this.#refs }, resting.key).then(async results => {
      const job = begin({ starts: 0, results })
      await job.recorded.catch(() => {})
      return job
    }, (error: unknown) => {
      letGo()
      this.#resting.add(resting)
      return refuse('failed', `what job ${id} had done cannot be read: ${toJobError(error).message}`)
    })
    const settled = going.then(() => undefined, () => undefined).finally(() => {
      this.#submitting.delete(settled)
      this.#resuming.delete(id)
    })
    this.#submitting.add(settled)
    this.#resuming.set(id, going)
    return await going
  }

  /**
   * Runs a job again from its record; what its results stand for is not done again. Its output is reserved at once, until the job has ended or, if it is
   * not begun, `letGo`. Throws JobRefusedError.
   */
  #goOn (id: string, { spec, priceUnit, blockBytes }: Continuation): { begin: (counts: { starts: number, results: number }) => RunningJob, letGo: () => void } {
    const made = readSpec(spec)
    if (made == null) return refuse('not-resumable', `job ${id} is of another version of weft: run the conversion again`)
    const { request, inputs, to, created } = made
    const reserved = new Set<string>()
    this.#reserve(request.output, request.output, reserved)
    const allowed = async (): Promise<void> => {
      await checkUnchanged(inputs)
      this.#reserve(await checkOutput(request), request.output, reserved)
    }
    return {
      letGo: () => { for (const path of reserved) this.#outputs.delete(path) },
      begin: counts => {
        this.#history.delete(id)
        // A job of one command that somebody goes on with is the daemon's from now on.
        return this.#run({ spec: { id, bytes: spec }, request, inputs, to, created, resume: { ...(blockBytes != null ? { blockBytes } : {}), ...counts, allowed } }, { priceUnit, foreground: this.#embedded }, reserved)
      }
    }
  }

  #caught (finding: Finding): void {
    if (!this.#distrusted.add(finding)) return
    const others = new Set<string>()
    // Also the job that caught it: others of the same operator may work for it.
    for (const job of this.#running.values()) for (const peer of job.distrust(finding)) others.add(peer)
    this.#findings.add({ ...finding, others: [...others].filter(peer => peer !== finding.peer) })
  }

  /** At once, so that of two submissions of one output the second is refused however long the first is looked at. */
  #reserve (path: string, output: string, reserved: Set<string>): void {
    if (reserved.has(path)) return
    if (this.#outputs.has(path)) refuse('usage', `another job is writing '${output}' already`, { path: output })
    this.#outputs.add(path)
    reserved.add(path)
  }

  abandon (stored: StoredBlock): void {
    this.#refs.abandon(stored)
  }

  get (id: string): Job | undefined {
    const running = this.#running.get(id)
    if (running != null) return running
    const ended = this.#history.get(id)
    if (ended == null) return undefined
    return { id, report: () => this.#ended(ended.report), done: Promise.resolve(ended.report), cancel: async () => { await this.#resting.drop(id) } }
  }

  list (): JobReport[] {
    return [...[...this.#history.values()].map(({ report }) => this.#ended(report)), ...[...this.#running.values()].map(job => job.report())]
  }

  #ended (report: JobReport): JobReport {
    const resting = this.#resting.get(report.job)
    return resting == null ? report : { ...report, resumableUntil: resting.until }
  }

  async #describe (request: JobRequest): Promise<Input[]> {
    const inputs: Input[] = []
    for (const path of request.inputs) {
      try {
        inputs.push(await this.#components.toolbox.describe(path, request.from))
      } catch (error) {
        throw new JobRefusedError(toJobError(error, `reading '${path}'`))
      }
    }
    const first = inputs[0] as Input
    const other = inputs.find(input => input.mediaType !== first.mediaType)
    if (other != null) {
      refuse('unsupported', `'${other.path}' is ${extensionOf(other.mediaType)} and '${first.path}' is ${extensionOf(first.mediaType)}; convert inputs of different types one type at a time`)
    }
    return inputs
  }

  async #trimHistory (): Promise<void> {
    while (this.#history.size > HISTORY_MAX) {
      const [id, { recordKey }] = this.#history.entries().next().value as [string, { recordKey: string }]
      this.#history.delete(id)
      await this.#resting.drop(id)
      this.#records.forget(recordKey)
      await this.#journal.remove(recordKey)
    }
  }
}
