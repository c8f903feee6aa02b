/** A job in the simulation: the production machine over a modelled disk, splitter, checks and output. One object per life of the job's node. */
import { createJobMachine } from '../../daemon/coordinator/machine.ts'
import type { JobLimits } from '../../daemon/coordinator/constants.ts'
import type { AttemptRef, Effect, JobEventIn, JobMachine } from '../../daemon/coordinator/machine-types.ts'
import type { JobError } from '../../daemon/coordinator/index.ts'
import type { BlockEntry, Disk } from './disk.ts'
import type { Host } from './host.ts'
import { JobWatch, type KnownResult } from './job-watch.ts'
import { UNIT, type Fault, type SimResult } from './model.ts'
import { Story } from './story.ts'
import { Life, Violation, type World } from './world.ts'

/** What a job is asked for. */
export interface JobPlan {
  id: string
  /** Names its input: others may convert the same. */
  input: string
  sizes: number[]
  /** Before which blocks the splitter finds that the schema must be widened, ascending; several times before one block, or after the last. */
  widens: number[]
  /** Longest time the splitter takes for a batch: where it is long, blocks are done before later ones are known. */
  splitMs: number
  verify: 'none' | 'sample' | 'all'
  startMs: number
  cancelMs?: number
  deadlineMs?: number
  /** The disk fails it then. */
  brokenMs?: number
  /** After this an attempt is given to somebody else; where it is short, the first result often comes all the same, beside the second. */
  attemptMs: number
  /** What it pays at most. */
  maxPrice?: string
  /** Its rename fails. */
  renameFails: boolean
  /** A block no engine survives. */
  poison?: number
}

/** Shortened, so that a run of a virtual minute sees every wait end. Milliseconds. */
export const SIM_LIMITS: Partial<JobLimits> = {
  noneMs: 500, rejoinMs: 15_000, priceMs: 2000, searchMs: 4000, retryMs: 50, retryMsMax: 1000, blockFailures: 8, engineFailures: 5,
  breakerMs: 100, breakerMsMax: 1000, cutOffMs: 6000
}

/** Ticks in a row, nothing else happening, and at least one every four milliseconds, that are too many. */
const TICKS_MAX = 500

/** What the job asks of the node it runs on. */
export interface JobHost {
  dispatch: (worker: string, orders: Array<AttemptRef & { size: number, poison: boolean, input: string }>) => void
  cancel: (worker: string, attempts: AttemptRef[]) => void
  release: (worker: string) => void
  /** A worker gave a wrong result; the other jobs of the node are told. */
  caught: (worker: string, reason: string) => void
  ended: (job: SimJob) => void
}

/** What outlives the node's crash: known to the simulation, not to the node, but for what is on its disk. */
export interface JobHistory {
  readonly story: Story
  /** Workers of whom a result was compared. */
  readonly comparedOf: Set<string>
  /** When it was submitted, by the node's own clock. */
  readonly startedAt: number
  /** Lives so far. */
  lives: number
  /** Blocks that were durable when its node crashed, added up. */
  kept: number
}

export function newHistory (id: string, world: World, host: Host): JobHistory {
  return { story: new Story(id, world), comparedOf: new Set(), startedAt: host.monotonic(), lives: 0, kept: 0 }
}

export class SimJob {
  readonly plan: JobPlan
  readonly watch: JobWatch
  readonly history: JobHistory
  readonly #machine: JobMachine
  readonly #world: World
  readonly #disk: Disk
  readonly #node: Host
  readonly #life: Life
  readonly #host: JobHost
  readonly #results = new Map<string, KnownResult>()
  /** What an earlier life left, by block. */
  readonly #entries = new Map<number, BlockEntry>()
  readonly #checked = new Set<string>()
  readonly #journaled = new Set<string>()
  #split = 0
  #widened = 0
  #laneFree = 0
  /** Runs of the merge, as the output lane has them. */
  #epoch = 0
  #timer = new Life()
  #events: JobEventIn[] = []
  #ticks = 0
  #tickingSince = 0
  #stepping = false
  end: { state: string, error?: JobError } | undefined

  constructor (plan: JobPlan, world: World, disk: Disk, node: Host, faults: ReadonlySet<Fault>, host: JobHost, history: JobHistory, distrusted: ReadonlySet<string>) {
    this.plan = plan
    this.history = history
    history.lives++
    this.#world = world
    this.#disk = disk
    this.#node = node
    this.#life = node.life
    this.#host = host
    const kept = history.lives === 1 ? [] : this.#intact(distrusted)
    for (const entry of kept) this.#entries.set(entry.block, entry)
    history.kept += kept.length
    const resumeEpoch = kept.reduce((most, { epoch }) => Math.max(most, epoch), 0)
    this.watch = new JobWatch({
      job: plan.id,
      world,
      disk,
      story: history.story,
      verify: plan.verify,
      results: ({ block, attempt }) => this.#results.get(`${block}/${attempt}`),
      limit: plan.maxPrice == null ? undefined : { price: plan.maxPrice, unit: UNIT },
      comparedOf: history.comparedOf,
      resumeEpoch,
      limits: { ...SIM_LIMITS, attemptMs: plan.attemptMs },
      distrusted
    })
    this.watch.keeps(kept)
    this.#machine = createJobMachine({
      job: plan.id,
      verify: plan.verify,
      bound: 0,
      maxPrice: plan.maxPrice,
      priceUnit: UNIT,
      limits: { ...SIM_LIMITS, attemptMs: plan.attemptMs },
      deadlineAt: plan.deadlineMs == null ? undefined : history.startedAt + plan.deadlineMs,
      resumeEpoch,
      faults: faults as ReadonlySet<never>
    })
  }

  get counts (): ReturnType<JobMachine['counts']> { return this.#machine.counts() }

  start (): void {
    const { id, cancelMs, brokenMs } = this.plan
    const { startedAt, story, lives } = this.history
    story.job('', lives === 1 ? `is submitted: ${this.plan.sizes.length} blocks, verify ${this.plan.verify}` : `goes on, life ${lives}: ${this.#entries.size} blocks are durable`)
    this.#disk.output(id).partial = []
    const due = (ms: number): number => Math.max(0, startedAt + ms - this.#node.monotonic())
    this.#disk.append(`job/${id}`, { phase: 'running' }, failed => {
      if (failed === true) {
        this.push({ type: 'broken', error: { code: 'failed', message: 'no space for the record' } })
        return
      }
      if (cancelMs != null) this.#later(due(cancelMs), `${id} is cancelled`, () => { this.push({ type: 'cancel', error: { code: 'cancelled', message: 'cancelled' } }) })
      if (brokenMs != null) this.#later(due(brokenMs), `${id}: the disk fails`, () => { this.push({ type: 'broken', error: { code: 'failed', message: 'the disk failed' } }) })
      this.push()
    })
  }

  /** Facts of one moment are stepped together, as the interpreter does. */
  push (...events: JobEventIn[]): void {
    if (this.#life.over) return
    this.#events.push(...events)
    if (this.#stepping) return
    this.#stepping = true
    this.#world.after(0, this.#life, '', () => {
      this.#stepping = false
      const facts = this.#events
      this.#events = []
      this.#watchTicks(facts)
      for (const fact of facts) this.#tell(fact)
      const effects = this.#machine.step(facts, this.#node.monotonic(), this.#world.random.next)
      this.watch.orders(effects)
      for (const effect of effects) {
        this.watch.order(effect)
        this.#act(effect)
      }
      this.watch.stepped()
    })
  }

  outcome (worker: string, result: SimResult): void {
    const { block, attempt, ok, reason = 'transfer', message = '', wallMs, retryAfterMs } = result
    if (!ok) {
      this.push({ type: 'failed', worker, block, attempt, reason: reason as 'transfer', message, retryAfterMs })
      return
    }
    if (this.#machine.ownerOf(block, attempt) !== worker || this.#results.has(`${block}/${attempt}`)) return
    const held = this.#world.random.pick(['inline', 'durable', 'volatile'] as const)
    const content = `${this.plan.id}/${block}/${this.history.lives}.${attempt}`
    this.#results.set(`${block}/${attempt}`, { block, attempt, worker, value: result.value, held, epoch: this.watch.epochOf({ block, attempt }), content })
    if (held === 'durable') this.#disk.blocks.set(content, 'intact')
    this.push({ type: 'ok', worker, block, attempt, held, size: 10, wallMs })
  }

  /** A machine that does nothing but look at the clock spins. */
  #watchTicks (facts: JobEventIn[]): void {
    if (facts.some(({ type }) => type !== 'tick')) this.#ticks = 0
    else if (this.#ticks++ === 0) this.#tickingSince = this.#world.now
    else if (this.#ticks > TICKS_MAX && this.#world.now - this.#tickingSince < 4 * this.#ticks) {
      throw new Violation(`job ${this.plan.id} spins: ${this.#ticks} ticks in ${Math.round(this.#world.now - this.#tickingSince)} ms and nothing else`, { job: this.plan.id })
    }
  }

  /** What the disk still has of an earlier life, and can be read. */
  #intact (distrusted: ReadonlySet<string>): BlockEntry[] {
    const entries: BlockEntry[] = []
    for (let block = 0; block < this.plan.sizes.length; block++) {
      const entry = this.#disk.journal.get(`${this.plan.id}/${block}`) as BlockEntry | undefined
      if (entry == null) continue
      if (!entry.checked && distrusted.has(entry.worker)) this.history.story.block(block, '', `what ${entry.worker} made of it was not compared, and it lied elsewhere`)
      else if (entry.held === 'inline' || this.#disk.blocks.get(entry.content) === 'intact') entries.push(entry)
      else this.history.story.block(block, '', `what ${entry.worker} made of it is ${this.#disk.blocks.get(entry.content) ?? 'not there'}`)
    }
    return entries
  }

  /** What the watch must know before the machine's answer to a fact. */
  #tell (fact: JobEventIn): void {
    const { watch } = this
    if ((fact.type === 'joined' || fact.type === 'priced') && fact.asked != null) watch.priced(fact.worker, fact.asked)
    switch (fact.type) {
      case 'joined': watch.joined(fact.worker, fact.slots); break
      case 'slots': watch.slots(fact.worker, fact.slots); break
      case 'lost': watch.gone(fact.worker, fact.reason); break
      case 'suspect': watch.doubted(fact.worker, fact.reason); break
      case 'trusted': watch.doubted(fact.worker, undefined); break
      case 'ok': watch.outcome(fact.worker, fact, undefined); break
      case 'failed': watch.outcome(fact.worker, fact, fact); break
      case 'split': watch.split(fact.sizes.length); break
      case 'widened': watch.widened(); break
      case 'split-ended': watch.splitEnded(this.plan.sizes.length); break
      case 'restored': watch.restored({ block: fact.block, attempt: 1 }, fact.worker); break
      case 'checked': watch.compared(fact); break
      case 'committed': watch.committed(fact); break
      case 'finished': watch.finished(); break
      case 'distrusted': watch.distrusted(fact.worker); break
    }
  }

  #act (effect: Effect): void {
    const { id, poison } = this.plan
    switch (effect.type) {
      case 'pull': this.#later(this.#world.random.between(0.1, this.plan.splitMs), '', () => { this.#pull() }); break
      case 'dispatch': this.#host.dispatch(effect.worker, effect.orders.map(({ block, attempt }) => ({ block, attempt, size: this.plan.sizes[block] as number, poison: block === poison, input: `${this.plan.input}/${block}/${this.#widened}` }))); break
      case 'cancel': this.#host.cancel(effect.worker, effect.attempts); break
      case 'release':
        this.watch.gone(effect.worker, `let go: ${effect.reason}`)
        this.#host.release(effect.worker)
        break
      case 'store': for (const { block, attempt } of effect.results) this.#store(block, attempt); break
      case 'inspect': for (const { block, attempt } of effect.results) this.#soon('', () => { this.#inspect(block, attempt) }); break
      case 'check': for (const { block, attempt } of effect.results) this.#later(this.#world.random.between(1, 60), '', () => { this.#check(block, attempt) }); break
      case 'journal': for (const { block, attempt } of effect.results) this.#journal(block, attempt); break
      case 'discard': for (const { block, attempt } of effect.results) this.#discard(block, attempt); break
      case 'merge': this.#lane(() => { this.#merge(effect.epoch, effect.results) }); break
      case 'reset-merge':
        this.#epoch = effect.epoch
        this.#lane(() => {
          this.#disk.output(id).partial = []
          this.push({ type: 'merge-reset', epoch: effect.epoch })
        })
        break
      case 'finish': this.#lane(() => { this.push({ type: 'finished' }) }); break
      case 'rename': this.#lane(() => { this.#disk.append(`job/${id}`, { phase: 'renaming' }, failed => { this.#rename(failed) }) }); break
      case 'abort': this.#lane(() => {
        this.#disk.output(id).partial = undefined
        this.push({ type: 'aborted' })
      }); break
      case 'timer': this.#setTimer(effect.at); break
      case 'end': this.#end(effect.state, effect.error); break
      case 'ban':
        this.#world.note(`${id} bans ${effect.worker}: ${effect.reason}`)
        this.#host.caught(effect.worker, effect.reason)
        break
      case 'news': break
    }
  }

  /** As the toolbox gives them: the change of the schema first, then blocks up to the next change, which may be none. */
  #pull (): void {
    const { sizes, widens } = this.plan
    const facts: JobEventIn[] = []
    let from = this.#split
    if (widens[this.#widened] === this.#split) {
      facts.push({ type: 'widened', epoch: ++this.#widened })
      // What was known before counts under the schema as it is now.
      from = 0
    } else if (this.#split === sizes.length) {
      this.push({ type: 'split-ended' })
      return
    }
    const until = widens[this.#widened] ?? sizes.length
    const batch = sizes.slice(this.#split, Math.min(until, this.#split + this.#world.random.integer(1, 6)))
    this.#split += batch.length
    facts.push({ type: 'split', sizes: batch })
    for (let block = from; block < this.#split; block++) this.#restore(block, facts)
    this.push(...facts)
  }

  #restore (block: number, facts: JobEventIn[]): void {
    const entry = this.#entries.get(block)
    if (entry == null || entry.epoch !== this.#widened) return
    this.#entries.delete(block)
    this.#results.set(`${block}/1`, { ...entry, attempt: 1 })
    this.#journaled.add(`${block}/1`)
    facts.push({ type: 'restored', block, worker: entry.worker, kind: 'remote', held: entry.held, size: 10, units: 1, wallMs: 1, checked: entry.checked })
  }

  #store (block: number, attempt: number): void {
    const { content } = this.#results.get(`${block}/${attempt}`) as KnownResult
    this.#disk.store(content, failed => {
      // As the shelf does with what was let go meanwhile.
      if (this.end != null) this.#disk.blocks.delete(content)
      this.push(failed === true ? { type: 'broken', error: { code: 'failed', message: 'no space for a result' } } : { type: 'stored', block, attempt })
    })
  }

  #inspect (block: number, attempt: number): void {
    if (this.#results.get(`${block}/${attempt}`)?.value === 'garbage') this.push({ type: 'unsound', block, attempt, message: 'cannot be read' })
    else this.push({ type: 'inspected', block, attempt, units: 1 })
  }

  #check (block: number, attempt: number): void {
    const good = this.#results.get(`${block}/${attempt}`)?.value === 'good'
    if (good) this.#checked.add(`${block}/${attempt}`)
    this.push({ type: 'checked', block, attempt, distance: good ? 0 : 1 })
  }

  #journal (block: number, attempt: number): void {
    const name = `${block}/${attempt}`
    const { content, worker, epoch, value, held } = this.#results.get(name) as KnownResult
    this.#journaled.add(name)
    const entry: BlockEntry = { block, attempt, content, worker, epoch, value, held: held === 'inline' ? 'inline' : 'durable', checked: this.#checked.has(name) }
    this.#disk.append(`${this.plan.id}/${block}`, entry, failed => {
      if (failed === true) {
        this.push({ type: 'broken', error: { code: 'failed', message: 'no space for an entry' } })
        return
      }
      this.watch.entryDurable({ block, attempt })
      this.push({ type: 'committed', block, attempt })
    })
  }

  #merge (epoch: number, refs: AttemptRef[]): void {
    // What is merged in a run that was called off is thrown away, and some of its blocks are gone.
    if (epoch !== this.#epoch || this.#machine.state === 'failed' || this.#machine.state === 'cancelled') return
    const { partial } = this.#disk.output(this.plan.id)
    for (const { block, attempt } of refs) {
      const result = this.#results.get(`${block}/${attempt}`)
      const there = result != null && (result.held === 'inline' ? (this.#disk.journal.get(`${this.plan.id}/${block}`) as BlockEntry | undefined)?.content === result.content : this.#disk.blocks.get(result.content) === 'intact')
      if (result == null || !there) throw new Violation(`job ${this.plan.id} merges block ${block}, attempt ${attempt}, which is gone`, { job: this.plan.id, block })
      partial?.push({ block, attempt, value: result.value, worker: result.worker, epoch: result.epoch, content: result.content })
    }
    this.push({ type: 'merged', epoch, upTo: (refs.at(-1) as AttemptRef).block + 1 })
  }

  /** Block and entry go, each in its own time; what is on its way to the disk goes when it is there. */
  #discard (block: number, attempt: number): void {
    const name = `${block}/${attempt}`
    const content = this.#results.get(name)?.content
    if (content != null) this.#soon('', () => { this.#disk.blocks.delete(content) })
    // As the shelf does: entries are by block.
    if (this.#journaled.delete(name)) {
      this.#disk.append(`${this.plan.id}/${block}`, undefined, failed => { if (failed === true) this.push({ type: 'broken', error: { code: 'failed', message: 'no space to remove an entry' } }) })
    }
  }

  #rename (failed = false): void {
    if (this.plan.renameFails || failed) {
      this.push({ type: 'rename-failed', error: failed ? { code: 'failed', message: 'no space' } : { code: 'output-exists', message: 'somebody else was there first' } })
      return
    }
    const file = this.#disk.output(this.plan.id)
    file.final = file.partial
    file.partial = undefined
    this.#world.note(`${this.plan.id} is renamed`)
    this.history.story.job('', 'is renamed')
    this.watch.output(file, this.plan.sizes.length)
    this.push({ type: 'renamed' })
  }

  #end (state: string, error?: JobError): void {
    this.#timer.over = true
    this.end = { state, error }
    this.#world.note(`${this.plan.id} ends: ${state} ${error?.code ?? ''} ${error?.message ?? ''}`)
    this.#disk.append(`job/${this.plan.id}`, { phase: 'ended', state, code: error?.code }, failed => { if (failed !== true) this.clear() })
    this.#host.ended(this)
  }

  /** Nothing of it is needed any more. */
  clear (): void {
    this.#disk.clear(`${this.plan.id}/`)
  }

  #setTimer (at: number | undefined): void {
    this.#timer.over = true
    if (at == null) return
    const timer = new Life()
    this.#timer = timer
    // Whole milliseconds, as the interpreter waits.
    this.#world.after(Math.max(1, Math.ceil(at - this.#node.monotonic())), timer, '', () => { this.push({ type: 'tick' }) })
  }

  /** The output's work is done in order; now and then it takes so long that a block is found wrong while it is merged. */
  #lane (act: () => void): void {
    this.#laneFree = Math.max(this.#laneFree, this.#world.now) + this.#world.random.between(0.5, this.#world.random.pick([10, 10, 200]))
    this.#later(this.#laneFree - this.#world.now, '', act)
  }

  #soon (label: string, act: () => void): void {
    this.#later(this.#world.random.between(0.1, 4), label, act)
  }

  #later (delayMs: number, label: string, act: () => void): void {
    this.#world.after(delayMs, this.#life, label, act)
  }
}
