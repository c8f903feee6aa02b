/**
 * Feeds the job machine with what happens and carries out what it orders. Decides nothing.
 *
 * Facts are gathered and stepped together once per tick, so that a thousand small results cost one step.
 */
import { RecipeReader, checkUnchanged, type BlockRecipe, type Conversion, type Input, type OutputWriter, type Prepared, type SplitBatch } from '../block-convert/index.ts'
import type { Offer } from '../task-protocol/index.ts'
import { Checks } from './checks.ts'
import { INLINE_BYTES_MAX, OUTPUT_BYTES_MAX, OUTPUT_BYTES_MIN, OUTPUT_GROWTH_MAX, STORES_AT_ONCE, TIMER_MS_MAX } from './constants.ts'
import { conversionCode, toJobError, withRefusals } from './job-errors.ts'
import { encodeResult, resultKey } from './journal-entries.ts'
import { Limiter } from './limiter.ts'
import { createJobMachine } from './machine.ts'
import { OutputLane } from './output-lane.ts'
import { clampBlockBytes, planBlockBytes, planPlace } from './planner.ts'
import { limitOf, priceInWords } from './prices.ts'
import { Recipes } from './recipes.ts'
import { Recruiter } from './recruiter.ts'
import { ResultShelf } from './result-shelf.ts'
import type { JobError, JobRequest } from './index.ts'
import type { JobComponents } from './job.ts'
import type { Finding } from './distrusted-peers.ts'
import type { NoteList } from './notes.ts'
import type { UserPaths } from './user-paths.ts'
import type { LocalOrder } from './local-worker.ts'
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
  /** Monotonic milliseconds of submission; the deadline counts from there. */
  startedAt: number
  /** The same in UTC. */
  created: number
  news: (news: JobNews) => void
  /** Makes it known durably that the output may be at its final name. */
  announce: (written: { size: number, digest: Uint8Array }) => Promise<void>
}

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
  readonly #blockBytes: number
  #splitter: AsyncIterator<SplitBatch> | undefined
  #events: JobEventIn[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #faulty = false

  constructor (components: JobComponents, init: JobRunInit) {
    const { request, prepared: { inputs, conversion }, writer } = init
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
      awaitCommit: request.awaitCommit
    })
    const totalBytes = inputs.reduce((sum, { size }) => sum + size, 0)
    this.#blockBytes = request.blockBytes == null
      ? planBlockBytes(conversion.converter.from, totalBytes, components.slots())
      : clampBlockBytes(request.blockBytes, totalBytes)
    const push = (event: JobEventIn): void => { this.#push(event) }
    const warn = (error: unknown, message: string): void => { components.log.warn({ error, job: init.job }, message) }
    const recipe = (block: number): BlockRecipe => this.#recipes.get(block) as BlockRecipe
    this.#reader = new RecipeReader(inputs)
    this.#shelf = new ResultShelf(components, init.key)
    this.#checks = new Checks({ toolbox: components.toolbox, conversion, inputs, reader: this.#reader, recipe, shelf: this.#shelf, push })
    this.#lane = new OutputLane({ writer, inputs: init.inputs, output: request.output, shelf: this.#shelf, push, warn })
    this.#recruiter = new Recruiter({
      source: components.workers,
      offer: this.#offer(),
      edge: { from: conversion.converter.from, to: conversion.converter.to },
      nodes: request.nodes,
      maxPrice: request.maxPrice,
      distrusted: (peer, operator) => components.distrusted(peer, operator),
      shelf: this.#shelf,
      push,
      now: () => components.clock.monotonic(),
      recipe,
      order: (what, attempt, kind) => this.#order(what, attempt, kind),
      ownerOf: (block, attempt) => this.#machine.ownerOf(block, attempt),
      inputsUnchanged: async () => { await checkUnchanged(init.inputs) },
      news: init.news,
      warn,
      log: components.log
    })
  }

  /** As it is now: a schema that was widened is part of it. */
  get conversion (): Conversion { return this.#recipes.conversion }
  get written (): { size: number, digest: Uint8Array } | undefined { return this.#lane.written }
  get mergeMs (): number { return this.#lane.mergeMs }
  get checkMs (): number { return this.#checks.checkMs + this.#lane.checkMs }
  counts (): JobCounts { return this.#machine.counts() }

  /** Runs the job; resolves, never rejects, when it has ended. */
  async start (): Promise<JobEnd> {
    const { request, prepared: { inputs, conversion } } = this.#init
    const wanted = request.place ?? 'any'
    const plan = planPlace(wanted, inputs.reduce((sum, { size }) => sum + size, 0), request.nodes)
    const price = request.maxPrice == null || plan.place === 'local' ? '' : `, for at most ${priceInWords(request.maxPrice, this.#components.priceUnit)}`
    this.#init.news({ type: 'plan', message: `${plan.reason}${price}; blocks of about ${this.#blockBytes} bytes` })
    this.#splitter = this.#components.toolbox.split(inputs, conversion, { bytes: this.#blockBytes }, { signal: this.#splitStop.signal })[Symbol.asyncIterator]()
    this.#turn()
    this.#recruiter.search(plan.place, plan.place === wanted ? undefined : wanted)
    return await this.#ended.promise
  }

  cancel (error: JobError): void {
    this.#push({ type: 'cancel', error })
  }

  /** A job, perhaps this one, caught a worker with a wrong result: it gets no more work, nor do others of its operator. */
  distrust (finding: Finding): void {
    for (const worker of this.#recruiter.concerned(finding)) {
      const who = worker === finding.peer ? '' : `another node of its operator, ${finding.peer}, was `
      this.#push({ type: 'distrusted', worker, reason: `${who}caught by job ${finding.job}: ${finding.reason}` })
    }
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
    await this.#reader.close()
  }

  /** Lets the results go; gives the journal keys that are to be removed. */
  clear (): string[] {
    return this.#shelf.clear()
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
    splitter.next().then(({ done, value }) => {
      if (done === true) {
        this.#push({ type: 'split-ended' })
        return
      }
      this.#took(value)
    }).catch((error: unknown) => { this.#push({ type: 'broken', error: toJobError(error, 'splitting the input') }) })
  }

  /** In the order of the batch: its blocks are known after the change of the schema they follow. */
  #took ({ widen, recipes, notes }: SplitBatch): void {
    this.#init.notes.add(notes.map(note => this.#init.paths.note(note)))
    if (widen != null) {
      this.#recipes.widen(widen)
      this.#push({ type: 'widened', epoch: this.#recipes.epoch })
    }
    this.#recipes.add(recipes)
    this.#push({ type: 'split', sizes: recipes.map(({ size }) => size) })
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
    const bytes = result.stored == null ? result.bytes : undefined
    this.#components.journal.appendThen(resultKey(this.#init.key, ref.block), encodeResult({ ...result, bytes }), error => {
      if (error != null) {
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

  #offer (): Offer {
    const { job, prepared: { conversion }, request, created } = this.#init
    return {
      job,
      converter: conversion.converter.id,
      version: conversion.converter.version,
      parameters: conversion.parameters,
      // Whole milliseconds, as the wire has them; a fraction late rather than early.
      deadline: request.deadlineSeconds == null ? 0 : Math.ceil(created + request.deadlineSeconds * 1000),
      outputBytes: Math.min(OUTPUT_BYTES_MAX, Math.max(OUTPUT_BYTES_MIN, OUTPUT_GROWTH_MAX * this.#blockBytes)),
      // Of work on this node; a peer is offered what it posted.
      price: '0',
      unit: this.#components.priceUnit
    }
  }

  #order (recipe: BlockRecipe, attempt: number, kind: 'local' | 'remote'): LocalOrder | Promise<LocalOrder> {
    const order: LocalOrder = { block: recipe.index, attempt, size: recipe.size, digest: recipe.digest, slice: recipe.slice }
    if (recipe.size <= INLINE_BYTES_MAX) {
      return this.#reader.bytes(recipe).then(bytes => {
        order.bytes = bytes
        return order
      })
    }
    if (kind === 'local') order.materialise = async path => { await this.#components.toolbox.materialise(this.#init.prepared.inputs, recipe, path) }
    order.open = signal => this.#stream(recipe, signal)
    return order
  }

  async * #stream (recipe: BlockRecipe, signal: AbortSignal): AsyncIterable<Uint8Array> {
    try {
      for await (const chunk of this.#reader.stream(recipe)) {
        signal.throwIfAborted()
        yield chunk
      }
    } catch (error) {
      // The peer sees a broken transfer only; that the input is to blame is known here.
      if (conversionCode(error) != null) this.#push({ type: 'broken', error: toJobError(error) })
      throw error
    }
  }

  /** Adds what only the interpreter knows: where a block is in the input, and who was left out. */
  #located (state: JobEnd['state'], found: JobError | undefined): JobError | undefined {
    if (state === 'done' || found == null) return found
    const error = this.#init.paths.error(found)
    if (error.code === 'no-provider') return withRefusals(error, this.#recruiter.refusals, this.#init.request.nodes, limitOf(this.#init.request.maxPrice, this.#components.priceUnit))
    const block = error.details?.block
    const recipe = typeof block === 'number' ? this.#recipes.get(block) : undefined
    if (recipe == null) return error
    const input = this.#init.prepared.inputs[recipe.origin.input]
    const path = input?.original ?? input?.path
    const line = error.details?.line
    const where = typeof line === 'number' ? `${path}, line ${line}` : `${path}, from line ${recipe.origin.line}`
    return {
      ...error,
      message: error.message.includes(String(path)) ? error.message : `${where}: ${error.message}`,
      details: { ...error.details, path, line: line ?? recipe.origin.line }
    }
  }
}
