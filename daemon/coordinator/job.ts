/**
 * A job from acceptance to report: prepares it, runs it, records how it ended. What happens in between is decided by the machine and
 * carried out by `JobRun`.
 */
import type { Conversion, Encoding, Input, OutputWriter, Prepared, Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { BlockStore, Journal } from '../store/index.ts'
import type { BlockRefs } from './block-refs.ts'
import type { Clock } from './clock.ts'
import type { Finding } from './distrusted-peers.ts'
import { PROGRESS_MS, REMOVALS_AT_ONCE, TIMER_MS_MAX } from './constants.ts'
import { toJobError, toOutputError } from './job-errors.ts'
import { encodeRecord, jobKey, recordKey } from './journal-entries.ts'
import { JobRun } from './job-run.ts'
import { NoteList } from './notes.ts'
import { buildReport } from './report.ts'
import { UserPaths } from './user-paths.ts'
import type { Job, JobError, JobEvent, JobReport, JobRequest, JobState, WorkerSource } from './index.ts'
import type { JobNews } from './machine-types.ts'
import type { JobSpec } from './spec.ts'

export interface JobComponents {
  toolbox: Toolbox
  blocks: Pick<BlockStore, 'sink'>
  journal: Pick<Journal, 'append' | 'appendThen' | 'entries' | 'remove'>
  refs: BlockRefs
  workers: WorkerSource
  log: Log
  clock: Clock
  emit: (event: JobEvent) => void
  /** Slots that may take part, for the size of blocks. */
  slots: () => number
  /** What this node counts prices in. */
  priceUnit: string
  /** Why a peer gets no work of this node. */
  distrusted: (peer: string, operator?: string) => string | undefined
  /** A peer gave a wrong result. */
  caught: (finding: Finding) => void
}

export interface JobInit {
  spec: JobSpec
  request: JobRequest
  inputs: Input[]
  /** What the output is. */
  to: { mediaType: string, encoding?: Encoding }
  /** UTC milliseconds. */
  created: number
}

/** Ends the preparation early. */
class Stopped extends Error {
  readonly error: JobError
  constructor (error: JobError) {
    super(error.message)
    this.error = error
  }
}

export class RunningJob implements Job {
  readonly id: string
  readonly done: Promise<JobReport>
  /** Resolves when also what the job left in the journal is gone. */
  cleaned: Promise<void> = Promise.resolve()
  readonly #components: JobComponents
  readonly #init: JobInit
  readonly #key: string
  readonly #inputDigests: Array<Uint8Array | undefined>
  readonly #startedAt: number
  readonly #stop = Promise.withResolvers<never>()
  #state: JobState = 'preparing'
  #error: JobError | undefined
  #finished: number | undefined
  #prepared: Prepared | undefined
  readonly #notes = new NoteList()
  #paths = new UserPaths()
  #run: JobRun | undefined
  #prepareMs = 0
  #runStartedAt = 0
  #runMs = 0
  /** Why it is to end early. */
  #stopped: JobError | undefined
  /** Once it has ended; what it was made of is let go then. */
  #final: JobReport | undefined

  constructor (components: JobComponents, init: JobInit) {
    this.id = init.spec.id
    this.#components = components
    this.#init = init
    this.#key = jobKey(init.spec.id)
    this.#inputDigests = init.inputs.map(() => undefined)
    this.#startedAt = components.clock.monotonic()
    // It only ever ends a preparation; without one nobody listens.
    this.#stop.promise.catch(() => {})
    this.done = this.#live()
  }

  get recordKey (): string {
    return recordKey(this.#init.created, this.#key)
  }

  get output (): string {
    return this.#init.request.output
  }

  async cancel (reason = 'cancelled'): Promise<void> {
    await this.end({ code: 'cancelled', message: reason })
  }

  /** Ends the job early, with this error; resolves when it has ended. */
  async end (error: JobError): Promise<void> {
    if (this.#stopped == null) {
      this.#stopped = error
      this.#stop.reject(new Stopped(error))
      this.#run?.cancel(error)
    }
    await this.done
  }

  /** A job caught a worker with a wrong result. */
  distrust (finding: Finding): void {
    this.#run?.distrust(finding)
  }

  report (): JobReport {
    if (this.#final != null) return this.#final
    const { clock } = this.#components
    const counts = this.#run?.counts()
    return buildReport({
      job: this.id,
      state: this.#state,
      error: this.#error,
      created: this.#init.created,
      finished: this.#finished,
      now: clock.utc(),
      inputs: this.#init.inputs,
      inputDigests: this.#inputDigests,
      output: { path: this.output, ...this.#init.to },
      written: this.#run?.written,
      conversion: this.#conversion(),
      bound: this.#bound(),
      priceUnit: this.#components.priceUnit,
      notes: this.#notes.list(),
      counts,
      timing: {
        prepareMs: this.#prepareMs,
        convertMs: counts?.workers.reduce((sum, { wallMs }) => sum + wallMs, 0) ?? 0,
        mergeMs: this.#run?.mergeMs ?? 0,
        checkMs: this.#run?.checkMs ?? 0,
        runMs: this.#runMs > 0 ? this.#runMs : this.#runStartedAt > 0 ? clock.monotonic() - this.#runStartedAt : 0
      }
    })
  }

  async #live (): Promise<JobReport> {
    // The caller of the constructor gets the job before anything happens to it.
    await Promise.resolve()
    const { log, clock } = this.#components
    let end: { state: 'done' | 'failed' | 'cancelled', error?: JobError }
    try {
      const writer = await this.#prepare()
      // Not before the preparation, which may need the threads for a moment the user waits for.
      const hashed = this.#hashInputs()
      end = await this.#runToEnd(writer)
      // The report of a good output waits for the digests, unless the job is stopped now: it is done all the same, with some missing.
      if (end.state === 'done') await Promise.race([hashed, this.#stop.promise.catch(() => undefined)])
    } catch (error) {
      const told = error instanceof Stopped ? error.error : toJobError(error)
      end = { state: told.code === 'cancelled' ? 'cancelled' : 'failed', error: told }
    }
    // Before the job is told to have ended: they may be as large as all inputs.
    if (this.#prepared != null) await this.#components.toolbox.release(this.#prepared)
    if (this.#runStartedAt > 0) this.#runMs = clock.monotonic() - this.#runStartedAt
    this.#finished = clock.utc()
    this.#error = end.error == null ? undefined : this.#paths.error(end.error)
    this.#state = end.state
    const report = this.report()
    this.#final = report
    try {
      await this.#components.journal.append(this.recordKey, encodeRecord({ phase: 'ended', job: this.id, key: this.#key, report }))
    } catch (error) {
      // The output stands or is gone already; only the record of how it ended is missing, and a restart says so.
      log.error({ error, job: this.id }, 'the end of the job could not be recorded')
    }
    this.cleaned = this.#clean()
    this.#news({ type: 'state', state: end.state, error: this.#error })
    return report
  }

  /** Everything that must be decided before the first block; gives the open output. */
  async #prepare (): Promise<OutputWriter> {
    const { toolbox, clock, journal } = this.#components
    const { request, inputs, spec } = this.#init
    this.#news({ type: 'state', state: 'preparing' })
    const deadline = request.deadlineSeconds == null
      ? undefined
      : setTimeout(() => { this.#stop.reject(new Stopped({ code: 'deadline', message: 'the deadline passed while the job was prepared' })) }, Math.min(TIMER_MS_MAX, request.deadlineSeconds * 1000))
    try {
      const preparing = toolbox.prepare(inputs, request.to, request.settings ?? {})
      const prepared = await Promise.race([preparing, this.#stop.promise]).catch((error: unknown) => {
        // A job that is stopped meanwhile does not wait for it; what it leaves goes when it is done.
        preparing.then(toolbox.release.bind(toolbox), () => {})
        throw error
      })
      this.#prepared = prepared
      this.#paths = new UserPaths(prepared.inputs)
      this.#notes.add(prepared.notes.map(note => this.#paths.note(note)))
      // On record before the first byte is written: whatever happens, a restart knows where to look for what is left.
      const record = encodeRecord({ phase: 'running', job: spec.id, key: this.#key, spec: spec.bytes, output: request.output, report: this.report() })
      await Promise.race([this.#stop.promise, journal.append(this.recordKey, record)])
      const writer = await toolbox.output(request.output, prepared.conversion, { overwrite: request.overwrite ?? false })
        .catch((error: unknown) => { throw new Stopped(toOutputError(error, request.output)) })
      if (this.#stopped != null) {
        await writer.abort()
        await this.#stop.promise
      }
      this.#prepareMs = clock.monotonic() - this.#startedAt
      return writer
    } finally {
      clearTimeout(deadline)
    }
  }

  async #runToEnd (writer: OutputWriter): Promise<{ state: 'done' | 'failed' | 'cancelled', error?: JobError }> {
    const { clock, journal } = this.#components
    const { request, inputs, spec } = this.#init
    this.#runStartedAt = clock.monotonic()
    const run = new JobRun(this.#components, {
      job: this.id,
      key: this.#key,
      request,
      inputs,
      writer,
      prepared: this.#prepared as Prepared,
      notes: this.#notes,
      paths: this.#paths,
      bound: this.#bound(),
      startedAt: this.#startedAt,
      created: this.#init.created,
      news: news => { this.#news(news) },
      announce: async ({ digest }) => {
        await journal.append(this.recordKey, encodeRecord({ phase: 'renaming', job: spec.id, key: this.#key, spec: spec.bytes, output: request.output, digest, report: this.report() }))
      }
    })
    this.#run = run
    // A cancel that came since the preparation looked: the run begins with it.
    if (this.#stopped != null) run.cancel(this.#stopped)
    this.#state = 'running'
    this.#news({ type: 'state', state: 'running' })
    const progress = setInterval(() => { this.#progress() }, PROGRESS_MS)
    progress.unref()
    try {
      const end = await run.start()
      this.#progress()
      return end
    } finally {
      clearInterval(progress)
      await run.close()
    }
  }

  #lastProgress = ''

  #progress (): void {
    const counts = this.#run?.counts()
    if (counts == null) return
    const mark = `${counts.done}/${counts.blocks}/${counts.workersLive}/${counts.merged}`
    if (mark === this.#lastProgress) return
    this.#lastProgress = mark
    let bytesTotal = 0
    // What is split, like the bytes done: a compressed input is smaller than its blocks.
    for (const { size } of this.#prepared?.inputs ?? this.#init.inputs) bytesTotal += size
    this.#components.emit({
      type: 'progress', job: this.id, at: this.#components.clock.utc(), blocksDone: counts.done, blocksTotal: counts.known ? counts.blocks : undefined,
      bytesDone: counts.bytesDone, bytesTotal, workers: counts.workersLive
    })
  }

  #news (news: JobNews): void {
    if (news.type === 'state' && news.state === 'merging') this.#state = 'merging'
    const told = 'reason' in news && news.reason != null ? { ...news, reason: this.#paths.text(news.reason) } : news
    this.#components.emit({ ...told, job: this.id, at: this.#components.clock.utc() } as JobEvent)
  }

  /** Digests of the inputs for the report, one after the other: they take one thread of the toolbox at most. Never rejects. */
  async #hashInputs (): Promise<void> {
    for (const [i, { path }] of this.#init.inputs.entries()) {
      if (this.#stopped != null || this.#final != null) return
      try {
        this.#inputDigests[i] = (await this.#components.toolbox.hash(path)).digest
      } catch (error) {
        // An input that cannot be read fails the job where it is needed; here only a field of the report is missing.
        this.#components.log.debug({ error, path }, 'no digest of the input')
      }
    }
  }

  async #clean (): Promise<void> {
    const run = this.#run
    const keys = run?.clear() ?? []
    this.#run = undefined
    await run?.idle()
    try {
      for (let at = 0; at < keys.length; at += REMOVALS_AT_ONCE) {
        await Promise.all(keys.slice(at, at + REMOVALS_AT_ONCE).map(async key => { await this.#components.journal.remove(key) }))
      }
    } catch (error) {
      // They belong to an ended job: the next start removes them.
      this.#components.log.warn({ error, job: this.id }, 'entries of the ended job stay in the journal')
    }
  }

  /** As it is now: a schema that was widened is part of it. */
  #conversion (): Conversion | undefined {
    return this.#run?.conversion ?? this.#prepared?.conversion
  }

  #bound (): number {
    const equivalence = this.#conversion()?.converter.equivalence
    return equivalence == null || typeof equivalence === 'string' ? 0 : equivalence.default
  }
}
