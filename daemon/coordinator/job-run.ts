/**
 * Feeds the job machine with what happens and carries out what it orders. Decides nothing.
 *
 * Facts are gathered and stepped together once per tick, so that a thousand small results cost one step.
 */
import { RecipeReader, checkUnchanged, type BlockRecipe, type Conversion, type Input, type OutputWriter, type Prepared, type SplitBatch } from '../block-convert/index.ts'
import { Checks } from './checks.ts'
import { JOB_LIMITS, STORES_AT_ONCE, TIMER_MS_MAX } from './constants.ts'
import { atBlock, toJobError, withRefusals } from './job-errors.ts'
import { encodeResult, resultKey, type ResultEntry } from './journal-entries.ts'
import { Limiter } from './limiter.ts'
import { createJobMachine } from './machine.ts'
import { makeOffer, Orders } from './orders.ts'
import { OutputLane } from './output-lane.ts'
import { planPlace } from './planner.ts'
import { limitOf, priceInWords } from './prices.ts'
import { Recipes } from './recipes.ts'
import { Recruiter } from './recruiter.ts'
import { ResultShelf } from './result-shelf.ts'
import type { JobError, JobRequest } from './index.ts'
import type { JobComponents } from './job-components.ts'
import type { Finding } from './distrusted-peers.ts'
import type { Running } from './job-look.ts'
import type { NoteList } from './notes.ts'
import type { EarlierResults } from './resume.ts'
import type { UserPaths } from './user-paths.ts'
import type { AttemptRef, Effect, JobCounts, JobEventIn, JobMachine, JobNews } from './machine-types.ts'

export interface JobRunInit {
  job: string
  /** Part of its journal keys. */
  key: string
  request: JobRequest
  /** As described, for what must be unchanged at the end; blocks are cut from `prepared.inputs`. */
  inputs: Input[]
  prepared: Prepared
  /** Where what the splitter notes goes. */
  notes: NoteList
  paths: UserPaths
  writer: OutputWriter
  bound: number
  /** Wanted bytes per block. */
  blockBytes: number
  /** What an earlier run of the job left. */
  earlier?: EarlierResults
  /** Monotonic milliseconds of submission; the deadline counts from there. */
  startedAt: number
  /** The same in UTC. */
  created: number
  news: (news: JobNews) => void
  /** Makes it known durably that the output may be at its final name. */
  announce: (written: { size: number, digest: Uint8Array }) => Promise<void>
}

/** A result of an earlier run is taken before its block is given to anybody. */
const RESTORED_ATTEMPT = 1

export interface JobEnd { state: 'done' | 'failed' | 'cancelled', error?: JobError }

export class JobRun {
  readonly #components: JobComponents
  readonly #init: JobRunInit
  readonly #machine: JobMachine
  readonly #shelf: ResultShelf
  readonly #checks: Checks
  readonly #lane: OutputLane
  readonly #recruiter: Recruiter
  readonly #reader: RecipeReader
  readonly #recipes: Recipes
  readonly #splitStop = new AbortController()
  readonly #stores = new Limiter(STORES_AT_ONCE)
  readonly #ended = Promise.withResolvers<JobEnd>()
  readonly #orders: Orders
  #splitter: AsyncIterator<SplitBatch> | undefined
  #events: JobEventIn[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #faulty = false
  /** Blocks below this were compared with what an earlier run left. */
  #recalled = 0
  #restoredDistance = 0
  /** Blocks whose result an earlier run had made. */
  restored = 0

  constructor (components: JobComponents, init: JobRunInit) {
    const { request, prepared: { inputs, conversion }, writer, earlier } = init
    this.#recipes = new Recipes(conversion)
    this.#components = components
    this.#init = init
    this.#machine = createJobMachine({
      job: init.job,
      verify: request.verify ?? 'sample',
      bound: init.bound,
      maxPrice: request.maxPrice,
      priceUnit: components.priceUnit,
      deadlineAt: request.deadlineSeconds == null ? undefined : init.startedAt + request.deadlineSeconds * 1000,
      inFlight: request.inFlight,
      awaitCommit: request.awaitCommit,
      hedgeShare: components.hedgeShare,
      breakers: components.breakers.of(this.#converter),
      // After a start of the daemon its peers come back one by one: they are waited for like workers that were lost.
      ...(earlier == null ? {} : { resumeEpoch: earlier.epoch, limits: { noneMs: JOB_LIMITS.rejoinMs } })
    })
    const push = (event: JobEventIn): void => { this.#push(event) }
    const warn = (error: unknown, message: string): void => { components.log.warn({ error, job: init.job }, message) }
    const recipe = (block: number): BlockRecipe => this.#recipes.get(block) as BlockRecipe
    this.#reader = new RecipeReader(inputs)
    this.#shelf = new ResultShelf(components, init.key)
    this.#checks = new Checks({ toolbox: components.toolbox, conversion, inputs, reader: this.#reader, recipe, shelf: this.#shelf, push: event => { this.#checked(event) } })
    this.#orders = new Orders({ toolbox: components.toolbox, inputs, reader: this.#reader, broken: error => { this.#push({ type: 'broken', error: toJobError(error) }) } })
    this.#lane = new OutputLane({ writer, inputs: init.inputs, output: request.output, shelf: this.#shelf, push, warn })
    this.#recruiter = new Recruiter({
      source: components.workers,
      offer: makeOffer({ job: init.job, conversion, deadline: request.deadlineSeconds == null ? undefined : init.created + request.deadlineSeconds * 1000, blockBytes: init.blockBytes, unit: components.priceUnit }),
      edge: { from: conversion.converter.from, to: conversion.converter.to },
      nodes: request.nodes,
      maxPrice: request.maxPrice,
      distrusted: (peer, operator) => components.distrusted(peer, operator),
      shelf: this.#shelf,
      push,
      now: () => components.clock.monotonic(),
      recipe,
      order: (what, attempt, kind) => this.#orders.make(what, attempt, kind),
      ownerOf: (block, attempt) => this.#machine.ownerOf(block, attempt),
      inputsUnchanged: async () => { await checkUnchanged(init.inputs) },
      news: init.news,
      warn,
      log: components.log
    })
  }

  /** As it is now: a schema that was widened is part of it. */
  get conversion (): Conversion { return this.#recipes.conversion }
  /** What the breakers of its peers are about. */
  get #converter (): string {
    const { id, version } = this.#init.prepared.conversion.converter
    return `${id}@${version}`
  }

  look (limit: number): Running { return { view: this.#machine.view(this.#components.clock.monotonic(), limit), refusals: this.#recruiter.refusals } }
  get written (): { size: number, digest: Uint8Array } | undefined { return this.#lane.written }
  get mergeMs (): number { return this.#lane.mergeMs }
  get checkMs (): number { return this.#checks.checkMs + this.#lane.checkMs }

  counts (): JobCounts {
    const counts = this.#machine.counts()
    return { ...counts, greatestDistance: Math.max(counts.greatestDistance, this.#restoredDistance) }
  }

  /** Runs the job; resolves, never rejects, when it has ended. */
  async start (): Promise<JobEnd> {
    const { request, prepared: { inputs, conversion } } = this.#init
    const wanted = request.place ?? 'any'
    const plan = planPlace(wanted, inputs.reduce((sum, { size }) => sum + size, 0), request.nodes)
    const price = request.maxPrice == null || plan.place === 'local' ? '' : `, for at most ${priceInWords(request.maxPrice, this.#components.priceUnit)}`
    this.#init.news({ type: 'plan', message: `${plan.reason}${price}; blocks of about ${this.#init.blockBytes} bytes` })
    this.#splitter = this.#components.toolbox.split(inputs, conversion, { bytes: this.#init.blockBytes }, { signal: this.#splitStop.signal })[Symbol.asyncIterator]()
    this.#turn()
    this.#recruiter.search(plan.place, plan.place === wanted ? undefined : wanted)
    return await this.#ended.promise
  }

  cancel (error: JobError): void {
    this.#push({ type: 'cancel', error })
  }

  /** A job, perhaps this one, caught a worker with a wrong result: it gets no more work, nor do others of its operator. Gives who that is. */
  distrust (finding: Finding): string[] {
    const concerned = this.#recruiter.concerned(finding)
    for (const worker of concerned) {
      const who = worker === finding.peer ? '' : `another node of its operator, ${finding.peer}, was `
      this.#push({ type: 'distrusted', worker, reason: `${who}caught by job ${finding.job}: ${finding.reason}` })
    }
    return concerned
  }

  /** Lets go of workers, splitter and inputs. The results stay until `clear`. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#splitStop.abort()
    await this.#recruiter.close()
    try {
      await this.#splitter?.return?.()
    } catch (error) {
      // It was told to stop; how it stops does not matter any more.
      this.#components.log.debug({ error, job: this.#init.job }, 'the splitter was stopped')
    }
    this.#init.earlier?.close()
    await this.#reader.close()
  }

  /** Lets the results go; gives the journal keys that are to be removed. */
  clear (): string[] {
    return this.#shelf.clear()
  }

  /** Leaves the results where they are, for somebody who goes on with the job; gives their bytes. `resting`: the store may do without them. */
  leave (resting: boolean): number {
    return this.#shelf.leave(resting) + (this.#init.earlier?.leave(resting) ?? 0)
  }

  /** Resolves when nothing of this job is on its way into the block store any more. */
  async idle (): Promise<void> {
    await this.#shelf.idle()
  }

  #push (event: JobEventIn): void {
    if (this.#closed) return
    if (this.#events.push(event) === 1) queueMicrotask(() => { this.#turn() })
  }

  #turn (): void {
    const events = this.#events
    this.#events = []
    if (this.#faulty) return
    let effects: Effect[]
    try {
      effects = this.#machine.step(events, this.#components.clock.monotonic(), Math.random)
    } catch (error) {
      this.#fault(error)
      return
    }
    for (const effect of effects) {
      try {
        this.#act(effect)
      } catch (error) {
        this.#components.log.error({ error, job: this.#init.job, effect: effect.type }, 'an order of the job machine could not be carried out')
        this.#push({ type: 'broken', error: toJobError(error, effect.type) })
      }
    }
  }

  /** The machine itself failed: what it knows cannot be relied on any more, so the job ends without it. */
  #fault (error: unknown): void {
    this.#faulty = true
    clearTimeout(this.#timer)
    this.#components.log.error({ error, job: this.#init.job }, 'the job machine failed')
    void this.#lane.abort().then(() => {
      this.#ended.resolve(this.#lane.renamed ? { state: 'done' } : { state: 'failed', error: toJobError(error, 'the job machine failed') })
    })
  }

  #act (effect: Effect): void {
    switch (effect.type) {
      case 'dispatch': this.#recruiter.get(effect.worker)?.dispatch(effect.orders); break
      case 'inspect': this.#checks.inspect(effect.results); break
      case 'journal': for (const result of effect.results) this.#journal(result); break
      case 'merge': this.#lane.merge(effect.epoch, effect.results); break
      case 'check': this.#checks.check(effect.results); break
      case 'pull': this.#pull(); break
      case 'store': for (const result of effect.results) this.#store(result); break
      case 'discard': for (const result of effect.results) this.#discard(result); break
      case 'cancel': this.#recruiter.get(effect.worker)?.cancel(effect.attempts); break
      case 'release': this.#recruiter.release(effect.worker); break
      case 'ban':
        this.#components.log.warn({ job: this.#init.job, peer: effect.worker, block: effect.block, attempt: effect.attempt, reason: effect.reason }, 'a worker gave a wrong result')
        this.#caught(effect.worker, effect.reason)
        break
      case 'breaker': this.#components.breakers.set(this.#converter, effect); break
      case 'reset-merge': this.#lane.reset(effect.epoch, this.conversion); break
      case 'finish': this.#lane.finish(() => ({ units: this.counts().units, blocks: effect.blocks })); break
      case 'rename': this.#lane.rename(async () => { if (this.written != null) await this.#init.announce(this.written) }); break
      case 'abort': void this.#lane.abort(); break
      case 'timer': this.#setTimer(effect.at); break
      case 'news': this.#init.news(effect.news); break
      case 'end': this.#ended.resolve({ state: effect.state, error: this.#located(effect.state, effect.error) }); break
    }
  }

  #caught (peer: string, reason: string): void {
    const handle = this.#recruiter.get(peer)
    // A wrong result of this node's own says something of the conversion of this input, nothing of other jobs.
    if (handle?.kind === 'local') return
    const operator = handle?.operator
    this.#components.caught({ peer, ...(operator != null ? { operator } : {}), job: this.#init.job, reason, at: this.#components.clock.utc() })
  }

  #pull (): void {
    const splitter = this.#splitter
    if (splitter == null) return
    splitter.next().then(async ({ done, value }) => {
      if (done === true) await this.#splitEnded()
      else await this.#took(value)
    }).catch((error: unknown) => { this.#push({ type: 'broken', error: toJobError(error, 'splitting the input') }) })
  }

  /** In the order of the batch: its blocks are known after the change of the schema they follow, and what there is of them already at once. */
  async #took ({ widen, recipes, notes }: SplitBatch): Promise<void> {
    this.#init.notes.add(notes.map(note => this.#init.paths.note(note)))
    // Waited for before anything changes: results that come meanwhile are of the schema as it was.
    await this.#init.earlier?.looked(widen == null ? this.#recalled : 0, this.#recipes.count + recipes.length)
    if (widen != null) {
      this.#recipes.widen(widen)
      this.#recalled = 0
      this.#push({ type: 'widened', epoch: this.#recipes.epoch })
    }
    this.#recipes.add(recipes)
    this.#push({ type: 'split', sizes: recipes.map(({ size }) => size) })
    // What was done under the last schema that the earlier run knew must not be thrown away for what is under an older one.
    if (this.#recipes.epoch >= (this.#init.earlier?.epoch ?? Infinity)) this.#recall()
  }

  async #splitEnded (): Promise<void> {
    const { earlier, news } = this.#init
    if (earlier != null) {
      await earlier.looked(this.#recalled, this.#recipes.count)
      if (this.#closed) return
      this.#recall()
      earlier.dropRest()
      const useless = earlier.dropped === 0 ? '' : `; ${earlier.dropped} of its results could not be used`
      news({ type: 'plan', message: `${this.restored} of ${this.#recipes.count} blocks were done by an earlier run of this job${useless}` })
    }
    this.#push({ type: 'split-ended' })
  }

  /** Tells of the blocks that an earlier run did. What it left of others is of no use any more. */
  #recall (): void {
    const { earlier } = this.#init
    if (earlier == null || this.#closed) return
    for (; this.#recalled < this.#recipes.count; this.#recalled++) {
      const block = this.#recalled
      const given = this.#machine.ownerOf(block, RESTORED_ATTEMPT) != null
      const result = given ? undefined : earlier.take(block, (this.#recipes.get(block) as BlockRecipe).digest, () => this.#recipes.identity(block))
      if (result == null) {
        earlier.drop(block)
        continue
      }
      const { worker, local, size, units, wallMs, checked, distance } = result
      if (checked) this.#restoredDistance = Math.max(this.#restoredDistance, distance)
      this.restored++
      const held = this.#shelf.restore(block, RESTORED_ATTEMPT, result)
      this.#push({ type: 'restored', block, worker, kind: local ? 'local' : 'remote', held, size, units, wallMs, checked })
    }
  }

  /** A comparison that was good before its result's entry is written is part of the entry. */
  #checked (event: JobEventIn): void {
    if (event.type === 'checked' && event.distance <= this.#init.bound) {
      const result = this.#shelf.find(event.block, event.attempt)
      if (result != null) {
        result.checked = true
        result.distance = event.distance
      }
    }
    this.#push(event)
  }

  #store (ref: AttemptRef): void {
    const result = this.#shelf.get(ref.block, ref.attempt)
    this.#stores.run(async () => { if (!this.#closed) await this.#shelf.store(result) }).then(() => {
      this.#push({ type: 'stored', block: ref.block, attempt: ref.attempt })
    }, (error: unknown) => { this.#push({ type: 'broken', error: toJobError(error, 'storing a result') }) })
  }

  #journal (ref: AttemptRef): void {
    const result = this.#shelf.get(ref.block, ref.attempt)
    result.journaled = true
    const { attempt, units, size, digest, worker, checked, distance, wallMs } = result
    const entry: ResultEntry = {
      attempt, units, size, digest, worker, checked, distance, wallMs, local: this.#recruiter.get(worker)?.kind === 'local', input: (this.#recipes.get(ref.block) as BlockRecipe).digest,
      conversion: this.#recipes.identity(ref.block), epoch: this.#recipes.epoch, ...(result.stored == null && result.bytes != null ? { bytes: result.bytes } : {})
    }
    this.#components.journal.appendThen(resultKey(this.#init.key, ref.block), encodeResult(entry), error => {
      if (error != null) {
        result.journaled = false
        this.#push({ type: 'broken', error: toJobError(error, 'writing the journal') })
        return
      }
      this.#shelf.committed(result)
      this.#push({ type: 'committed', block: ref.block, attempt: ref.attempt })
    })
  }

  #discard (ref: AttemptRef): void {
    this.#shelf.discard(ref.block, ref.attempt).catch((error: unknown) => { this.#push({ type: 'broken', error: toJobError(error, 'writing the journal') }) })
  }

  #setTimer (at: number | undefined): void {
    clearTimeout(this.#timer)
    if (at == null) return
    // Timers may fire up to a millisecond early; a tick that is early would only ask for the next.
    this.#timer = setTimeout(() => { this.#push({ type: 'tick' }) }, Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(at - this.#components.clock.monotonic()))))
  }

  /** Adds what only the interpreter knows: where a block is in the input, and who was left out. */
  #located (state: JobEnd['state'], found: JobError | undefined): JobError | undefined {
    if (state === 'done' || found == null) return found
    const error = this.#init.paths.error(found)
    if (error.code === 'no-provider' || error.details?.workers != null) return withRefusals(error, this.#recruiter.refusals, this.#init.request.nodes, limitOf(this.#init.request.maxPrice, this.#components.priceUnit))
    const block = error.details?.block
    const recipe = typeof block === 'number' ? this.#recipes.get(block) : undefined
    if (recipe == null) return error
    const input = this.#init.prepared.inputs[recipe.origin.input]
    return atBlock(error, input?.original ?? input?.path, recipe.origin.line)
  }
}
