/**
 * A job from acceptance to report: prepares it, runs it, records how it ended. What happens in between is decided by the machine and
 * carried out by `JobRun`.
 */
import type { Conversion, OutputWriter, Prepared } from '../block-convert/index.ts'
import { PROGRESS_MS, REMOVALS_AT_ONCE, RESUMABLE_MS, TIMER_MS_MAX } from './constants.ts'
import { JobRefusedError } from './errors.ts'
import { InputDigests } from './input-digests.ts'
import { isResumable, toJobError, toOutputError } from './job-errors.ts'
import { encodeRecord, jobKey, recordKey, unended, type Continuation } from './journal-entries.ts'
import { lookAt, type JobLook } from './job-look.ts'
import { JobRun } from './job-run.ts'
import { NoteList } from './notes.ts'
import { clampBlockBytes, planBlockBytes } from './planner.ts'
import { buildReport } from './report.ts'
import { EarlierResults, removeResults, restResults } from './resume.ts'
import { UserPaths } from './user-paths.ts'
import type { Finding } from './distrusted-peers.ts'
import type { Job, JobError, JobEvent, JobReport, JobState } from './index.ts'
import type { JobComponents, JobInit } from './job-components.ts'
import type { JobNews } from './machine-types.ts'

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
  /** Resolves when the job is on record: from then on it outlives the daemon. Rejects if that failed, and the job with it. */
  readonly recorded: Promise<void>
  readonly done: Promise<JobReport>
  /** Resolves when also what the job left in the journal is gone. */
  cleaned: Promise<void> = Promise.resolve()
  readonly #components: JobComponents
  readonly #init: JobInit
  readonly #key: string
  readonly #inputDigests: InputDigests
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
  /** It ends early because the daemon does, which goes on with it when it starts again. */
  #suspended = false
  #blockBytes: number | undefined
  #earlier: EarlierResults | undefined
  /** Known once it has ended badly, if somebody may go on with it. */
  resting: { continuation: Continuation, bytes: number, until: number } | undefined
  /** Once it has ended; what it was made of is let go then. */
  #final: JobReport | undefined

  constructor (components: JobComponents, init: JobInit) {
    this.id = init.spec.id
    this.#components = components
    this.#init = init
    this.#key = jobKey(init.spec.id)
    this.#inputDigests = new InputDigests(init.inputs)
    // As if it had run all the time: the deadline counts from the submission, whatever came in between.
    this.#startedAt = components.clock.monotonic() - (init.resume == null ? 0 : Math.max(0, components.clock.utc() - init.created))
    this.#blockBytes = init.resume?.blockBytes
    // It only ever ends a preparation; without one nobody listens.
    this.#stop.promise.catch(() => {})
    this.recorded = Promise.resolve().then(async () => { await this.#record({ starts: init.resume?.starts ?? 0 }) })
    this.recorded.catch(() => {})
    this.done = this.#live()
  }

  get key (): string {
    return this.#key
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

  /** The daemon ends: the job stops where it stands, and goes on when the daemon starts again. Resolves when it has stopped, or ended. */
  async suspend (error: JobError): Promise<void> {
    this.#suspended = true
    await this.end(error)
  }

  /** A job caught a worker with a wrong result. Gives which of this job's workers that concerns. */
  distrust (finding: Finding): string[] {
    return this.#run?.distrust(finding) ?? []
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
      inputDigests: this.#inputDigests.digests,
      output: { path: this.output, ...this.#init.to },
      written: this.#run?.written,
      conversion: this.#conversion(),
      bound: this.#bound(),
      priceUnit: this.#components.priceUnit,
      resumed: this.#init.resume != null,
      restored: this.#run?.restored ?? 0,
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

  look (limit: number): JobLook {
    return lookAt({ job: this.id, state: this.#state, at: this.#components.clock.utc(), text: said => this.#paths.text(said) }, this.#final == null ? this.#run?.look(limit) : undefined)
  }

  async #live (): Promise<JobReport> {
    const { log, clock } = this.#components
    let end: { state: 'done' | 'failed' | 'cancelled', error?: JobError }
    try {
      await this.recorded
      // Who submitted it gets the job before anything happens to it.
      await new Promise(setImmediate)
      const writer = await this.#prepare()
      // Not before the preparation, which may need the threads for a moment the user waits for.
      const hashed = this.#inputDigests.take(this.#components.toolbox, log, () => this.#stopped != null || this.#final != null)
      end = await this.#runToEnd(writer)
      // The report of a good output waits for the digests, unless the job is stopped now: it is done all the same, with some missing.
      if (end.state === 'done') await Promise.race([hashed, this.#stop.promise.catch(() => undefined)])
    } catch (error) {
      const told = error instanceof Stopped || error instanceof JobRefusedError ? error.error : toJobError(await this.#components.blocks.explained(error))
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
    const suspended = this.#suspended && end.error?.code === 'interrupted'
    const resting = !suspended && end.state === 'failed' && isResumable(end.error)
    const bytes = suspended || resting ? await this.#leave(resting) : 0
    const until = this.#finished + RESUMABLE_MS
    if (resting) this.resting = { continuation: this.#continuation(), bytes, until }
    // As long as it is not on record a restart would go on with the job, which nobody asked for: it is tried until it is.
    if (!suspended) await this.#components.records.write(this.recordKey, encodeRecord({ phase: 'ended', job: this.id, key: this.#key, report, ...(resting ? { kept: { ...this.#continuation(), until } } : {}) }))
    // What is on record already is all the next start needs.
    else await this.#record({ starts: 0 }).catch((error: unknown) => { log.warn({ error, job: this.id }, 'that the job was only stopped could not be recorded') })
    if (!suspended && !resting) this.cleaned = this.#clean()
    this.#news({ type: 'state', state: end.state, error: this.#error })
    return report
  }

  /** Its results stay where they are. */
  async #leave (resting: boolean): Promise<number> {
    const run = this.#run
    this.#run = undefined
    this.cleaned = run?.idle() ?? Promise.resolve()
    if (run != null) return run.leave(resting)
    // Without a run nothing of the earlier one was taken yet.
    if (this.#earlier != null) return this.#earlier.leave(resting)
    // It ended even before it looked at what there is.
    return resting && this.#init.resume != null ? await restResults(this.#components, this.#key).catch(this.#unread) : 0
  }

  readonly #unread = (error: unknown): number => {
    this.#components.log.warn({ error, job: this.id }, 'what an earlier run of the job left could not be read')
    return 0
  }

  #continuation (): Continuation {
    const { priceUnit, foreground } = this.#components
    return { spec: this.#init.spec.bytes, priceUnit, ...(this.#blockBytes == null ? {} : { blockBytes: this.#blockBytes }), ...(foreground ? { foreground } : {}) }
  }

  async #record ({ starts }: { starts: number }): Promise<void> {
    const record = encodeRecord({ phase: 'running', job: this.id, key: this.#key, ...unended(this.#continuation()), output: this.output, report: this.report(), starts, results: this.#init.resume?.results ?? 0 })
    await this.#components.journal.append(this.recordKey, record)
  }

  /** Everything that must be decided before the first block; gives the open output. */
  async #prepare (): Promise<OutputWriter> {
    const { toolbox, clock } = this.#components
    const { request, inputs, resume } = this.#init
    const began = clock.monotonic()
    this.#news({ type: 'state', state: 'preparing' })
    const deadline = request.deadlineSeconds == null
      ? undefined
      : setTimeout(() => { this.#stop.reject(new Stopped({ code: 'deadline', message: 'the deadline passed while the job was prepared' })) }, Math.min(TIMER_MS_MAX, Math.max(1, this.#startedAt + request.deadlineSeconds * 1000 - began)))
    try {
      if (resume != null) {
        await Promise.race([this.#stop.promise, resume.allowed()])
        await Promise.race([this.#stop.promise, this.#recall()])
      }
      const preparing = toolbox.prepare(inputs, request.to, request.settings ?? {})
      const prepared = await Promise.race([preparing, this.#stop.promise]).catch((error: unknown) => {
        // A job that is stopped meanwhile does not wait for it; what it leaves goes when it is done.
        preparing.then(toolbox.release.bind(toolbox), () => {})
        throw error
      })
      this.#prepared = prepared
      this.#paths = new UserPaths(prepared.inputs)
      this.#notes.add(prepared.notes.map(note => this.#paths.note(note)))
      const totalBytes = prepared.inputs.reduce((sum, { size }) => sum + size, 0)
      this.#blockBytes ??= request.blockBytes == null
        ? planBlockBytes(prepared.conversion.converter.from, totalBytes, this.#components.slots())
        : clampBlockBytes(request.blockBytes, totalBytes)
      // On record before the first result: who goes on with the job cuts its input into the same blocks.
      await Promise.race([this.#stop.promise, this.#record({ starts: resume?.starts ?? 0 })])
      const writer = await toolbox.output(request.output, prepared.conversion, { overwrite: request.overwrite ?? false })
        .catch((error: unknown) => { throw new Stopped(toOutputError(error, request.output)) })
      if (this.#stopped != null) {
        await writer.abort()
        await this.#stop.promise
      }
      this.#prepareMs = clock.monotonic() - began
      return writer
    } finally {
      clearTimeout(deadline)
    }
  }

  /** What the earlier run left. */
  async #recall (): Promise<void> {
    const { journal, blocks, refs, toolbox, distrusted, log } = this.#components
    const earlier = await EarlierResults.load({ journal, blocks, refs, toolbox, distrusted, log: log.child({ job: this.id }) }, this.#key)
    // It was stopped meanwhile: nobody will look.
    if (this.#final != null || this.#stopped != null) earlier.close()
    this.#earlier = earlier
  }

  async #runToEnd (writer: OutputWriter): Promise<{ state: 'done' | 'failed' | 'cancelled', error?: JobError }> {
    const { clock, journal } = this.#components
    const { request, inputs } = this.#init
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
      blockBytes: this.#blockBytes as number,
      ...(this.#earlier == null ? {} : { earlier: this.#earlier }),
      startedAt: this.#startedAt,
      created: this.#init.created,
      news: news => { this.#news(news) },
      announce: async ({ digest }) => {
        await journal.append(this.recordKey, encodeRecord({ phase: 'renaming', job: this.id, key: this.#key, ...unended(this.#continuation()), output: request.output, digest, report: this.report() }))
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

  async #clean (): Promise<void> {
    const run = this.#run
    const keys = run?.clear() ?? []
    this.#run = undefined
    await run?.idle()
    try {
      for (let at = 0; at < keys.length; at += REMOVALS_AT_ONCE) {
        await Promise.all(keys.slice(at, at + REMOVALS_AT_ONCE).map(async key => { await this.#components.journal.remove(key) }))
      }
      // What the earlier run left and this one had no use for.
      await this.#earlier?.idle()
      if (this.#init.resume != null) await removeResults(this.#components, this.#key, 'counted')
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
