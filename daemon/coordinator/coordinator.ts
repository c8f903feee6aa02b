/** Accepts jobs, keeps them, and settles after a restart what the last run of the daemon left. */
import { access, constants, realpath, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { TypedEventEmitter } from 'main-event'
import { extensionOf, mediaTypeOf, parseTarget, planRoute, type Encoding, type Input, type Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { DataDir, Journal, StoredBlock } from '../store/index.ts'
import { BlockRefs } from './block-refs.ts'
import { systemClock, type Clock } from './clock.ts'
import { DistrustedPeers } from './distrusted-peers.ts'
import { HISTORY_MAX, INPUTS_MAX, JOBS_MAX, PRICE_UNIT_DEFAULT } from './constants.ts'
import { JobRefusedError } from './errors.ts'
import { outputExists, toJobError, toOutputError } from './job-errors.ts'
import { RunningJob, type JobComponents } from './job.ts'
import { JOURNAL_NAME } from './journal-entries.ts'
import { parsePrice } from './prices.ts'
import { settleJournal } from './settle-journal.ts'
import { makeSpec } from './spec.ts'
import type { Coordinator, CoordinatorEvents, Job, JobError, JobReport, JobRequest, WorkerSource } from './index.ts'

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
}

export function createCoordinator (components: CoordinatorComponents, init: CoordinatorInit = {}): Coordinator {
  return new JobCoordinator(components, init)
}

const refuse = (code: JobError['code'], message: string, details?: Record<string, unknown>): never => {
  throw new JobRefusedError({ code, message, details })
}

class JobCoordinator implements Coordinator {
  readonly events = new TypedEventEmitter<CoordinatorEvents>()
  readonly #components: CoordinatorComponents
  readonly #journal: Journal
  readonly #refs: BlockRefs
  readonly #jobComponents: Omit<JobComponents, 'priceUnit'>
  readonly #priceUnit: () => string
  readonly #clock: Clock
  readonly #running = new Map<string, RunningJob>()
  /** Ended jobs, oldest first. */
  readonly #history = new Map<string, { report: JobReport, recordKey: string }>()
  readonly #distrusted = new DistrustedPeers()
  /** Outputs that are being written, or are about to be: by the path asked for and by the real one. */
  readonly #outputs = new Set<string>()
  readonly #submitting = new Set<Promise<unknown>>()
  #stopping = false

  constructor (components: CoordinatorComponents, init: CoordinatorInit) {
    const { toolbox, store, workers, log } = components
    this.#components = components
    this.#clock = components.clock ?? systemClock
    this.#journal = store.journal(JOURNAL_NAME)
    this.#refs = new BlockRefs(store.blocks, () => this.#clock.monotonic(), error => { log.warn({ error }, 'a block could not be removed from the store') })
    this.#priceUnit = init.priceUnit ?? (() => PRICE_UNIT_DEFAULT)
    this.#jobComponents = {
      toolbox,
      workers,
      log,
      blocks: store.blocks,
      journal: this.#journal,
      refs: this.#refs,
      clock: this.#clock,
      slots: init.slots ?? availableParallelism,
      distrusted: (peer, operator) => this.#distrusted.reason(peer, operator),
      caught: finding => {
        // Also the job that caught it: others of the same operator may work for it.
        if (this.#distrusted.add(finding)) for (const job of this.#running.values()) job.distrust(finding)
      },
      emit: event => { this.events.dispatchEvent(new CustomEvent('job', { detail: event })) }
    }
  }

  async start (): Promise<void> {
    const { store, log, removePartials } = this.#components
    const settled = await settleJournal({
      journal: this.#journal,
      blocks: store.blocks,
      removePartials: removePartials ?? (async () => { throw new Error('no way to remove partial outputs was given') }),
      clock: this.#clock,
      log
    })
    // No job of an earlier run goes on, so a block a crash left between its rename and its entry belongs to nobody.
    await store.blocks.sweep(() => false)
    for (const { key, report } of settled) this.#history.set(report.job, { report, recordKey: key })
    await this.#trimHistory()
  }

  async stop (): Promise<void> {
    this.#stopping = true
    // Those that are still looked at are refused now, or have become jobs.
    await Promise.all(this.#submitting)
    const running = [...this.#running.values()]
    await Promise.all(running.map(async job => { await job.end({ code: 'interrupted', message: 'the daemon was stopped while this job ran; no output was written; run it again' }) }))
    await Promise.all(running.map(job => job.cleaned))
    await this.#refs.idle()
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
    const job = new RunningJob({ ...this.#jobComponents, priceUnit }, { spec: makeSpec(request, inputs, to, created), request, inputs, to, created })
    this.#running.set(job.id, job)
    void job.done.then(async report => {
      this.#running.delete(job.id)
      for (const path of reserved) this.#outputs.delete(path)
      this.#history.set(job.id, { report, recordKey: job.recordKey })
      await this.#trimHistory()
    }).catch((error: unknown) => { this.#components.log.error({ error, job: job.id }, 'keeping the history of jobs failed') })
    return job
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
    return { id, report: () => ended.report, done: Promise.resolve(ended.report), cancel: async () => {} }
  }

  list (): JobReport[] {
    return [...[...this.#history.values()].map(({ report }) => report), ...[...this.#running.values()].map(job => job.report())]
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
      await this.#journal.remove(recordKey)
    }
  }
}

/** What an output is to be. */
interface Target { mediaType: string, encoding?: Encoding }

/** What the output is to be, if there is a way to it in this build. */
function targetOf (inputs: Input[], request: JobRequest): Target {
  try {
    const { mediaType, encoding } = planRoute(inputs, request.to, request.settings ?? {})
    return { mediaType, ...(encoding != null ? { encoding } : {}) }
  } catch (error) {
    const told = toJobError(error)
    // Both types are known, only the way between them is not.
    if (told.code === 'unknown-type' && told.details?.to != null) refuse('no-provider', told.details.path == null ? `${told.message}; see 'weft converters'` : told.message, told.details)
    throw new JobRefusedError(told)
  }
}

/** What can be said without looking at the disk. */
function checkRequest (request: JobRequest): void {
  if (request.inputs.length === 0) refuse('usage', 'a job needs at least one input')
  if (request.inputs.length > INPUTS_MAX) refuse('usage', `a job takes at most ${INPUTS_MAX} inputs`)
  for (const path of [...request.inputs, request.output]) if (!isAbsolute(path)) refuse('usage', `'${path}' is not an absolute path`)
  if (request.blockBytes != null && !(Number.isSafeInteger(request.blockBytes) && request.blockBytes > 0)) refuse('usage', 'the block size is a positive number of bytes')
  if (request.inFlight != null && !(Number.isSafeInteger(request.inFlight) && request.inFlight > 0)) refuse('usage', 'orders in flight are a positive number')
  if (request.maxPrice != null && parsePrice(request.maxPrice) == null) refuse('usage', `the highest price is a whole number of 10^-6 units per resource hour, of at most 19 digits, like 250000; not '${request.maxPrice}'`)
  if (request.deadlineSeconds != null && !(request.deadlineSeconds > 0)) refuse('usage', 'the deadline is a positive number of seconds')
  try {
    if (request.from != null) mediaTypeOf(request.from)
    parseTarget(request.to)
  } catch (error) {
    throw new JobRefusedError(toJobError(error))
  }
}

/** What can be said of the output before it is written; gives its real path. */
async function checkOutput (request: JobRequest): Promise<string> {
  const { output } = request
  const folder = dirname(output)
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    // The real folder decides: a link to an input's folder would otherwise hide that the output is the input.
    const real = join(await realpath(folder), basename(output))
    for (const input of request.inputs) {
      if (await realpath(input) === real) refuse('usage', `'${output}' is an input of the job; an input is never overwritten`)
    }
    const existing = await stat(output).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    // An output divided into files is a folder itself; what may be replaced its writer knows.
    const folderWanted = request.settings?.partition_by != null
    if (existing?.isDirectory() === true && !folderWanted) refuse('output-unwritable', `cannot write '${output}': it is a folder; name a file in it`, { path: output })
    if (existing != null && request.overwrite !== true) throw new JobRefusedError(outputExists(output))
    return real
  } catch (error) {
    if (error instanceof JobRefusedError) throw error
    throw new JobRefusedError(toOutputError(error, output))
  }
}
