/** A job in the simulation: the production machine over a modelled disk, splitter, checks and output. */
import { createJobMachine } from '../../daemon/coordinator/machine.ts'
import type { JobLimits } from '../../daemon/coordinator/constants.ts'
import type { AttemptRef, Effect, JobEventIn, JobMachine } from '../../daemon/coordinator/machine-types.ts'
import type { JobError } from '../../daemon/coordinator/index.ts'
import type { Disk } from './disk.ts'
import { JobWatch, type KnownResult } from './job-watch.ts'
import { UNIT, type Fault, type SimResult } from './model.ts'
import { Violation, type Life, type World } from './world.ts'

/** What a job is asked for. */
export interface JobPlan {
  id: string
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
}

/** Shortened, so that a run of a virtual minute sees every wait end. Milliseconds. */
export const SIM_LIMITS: Partial<JobLimits> = { noneMs: 500, rejoinMs: 6000, priceMs: 2000, searchMs: 4000, retryMs: 50, retryMsMax: 1000, blockFailures: 8, engineFailures: 5 }

/** What the job asks of the node it runs on. */
export interface JobHost {
  dispatch: (worker: string, orders: Array<AttemptRef & { size: number }>) => void
  cancel: (worker: string, attempts: AttemptRef[]) => void
  release: (worker: string) => void
  /** A worker gave a wrong result; the other jobs of the node are told. */
  caught: (worker: string, reason: string) => void
  ended: (job: SimJob) => void
}

export class SimJob {
  readonly plan: JobPlan
  readonly watch: JobWatch
  readonly #machine: JobMachine
  readonly #world: World
  readonly #disk: Disk
  readonly #life: Life
  readonly #host: JobHost
  readonly #results = new Map<string, KnownResult>()
  #split = 0
  #widened = 0
  #laneFree = 0
  /** Runs of the merge, as the output lane has them. */
  #epoch = 0
  #timer: Life = { over: false }
  #events: JobEventIn[] = []
  #stepping = false
  end: { state: string, error?: JobError } | undefined

  constructor (plan: JobPlan, world: World, disk: Disk, life: Life, faults: ReadonlySet<Fault>, host: JobHost) {
    this.plan = plan
    this.#world = world
    this.#disk = disk
    this.#life = life
    this.#host = host
    this.watch = new JobWatch(plan.id, disk, plan.verify, ({ block, attempt }) => this.#results.get(`${block}/${attempt}`), plan.maxPrice == null ? undefined : { price: plan.maxPrice, unit: UNIT })
    this.#machine = createJobMachine({
      job: plan.id,
      verify: plan.verify,
      bound: 0,
      maxPrice: plan.maxPrice,
      priceUnit: UNIT,
      limits: { ...SIM_LIMITS, attemptMs: plan.attemptMs },
      deadlineAt: plan.deadlineMs == null ? undefined : world.now + plan.deadlineMs,
      faults: faults as ReadonlySet<never>
    })
  }

  get counts (): ReturnType<JobMachine['counts']> { return this.#machine.counts() }

  start (): void {
    const { id, cancelMs, brokenMs } = this.plan
    this.#disk.output(id).partial = []
    this.#disk.append(`job/${id}`, { phase: 'running' }, this.#life, () => {
      if (cancelMs != null) this.#later(cancelMs, `${id} is cancelled`, () => { this.push({ type: 'cancel', error: { code: 'cancelled', message: 'cancelled' } }) })
      if (brokenMs != null) this.#later(brokenMs, `${id}: the disk fails`, () => { this.push({ type: 'broken', error: { code: 'failed', message: 'the disk failed' } }) })
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
      for (const fact of facts) this.#tell(fact)
      const effects = this.#machine.step(facts, this.#world.now, this.#world.random.next)
      for (const effect of effects) {
        this.watch.order(effect)
        this.#act(effect)
      }
    })
  }

  outcome (worker: string, result: SimResult): void {
    const { block, attempt, ok, reason = 'transfer', message = '', wallMs } = result
    if (!ok) {
      this.push({ type: 'failed', worker, block, attempt, reason: reason as 'transfer', message })
      return
    }
    if (this.#machine.ownerOf(block, attempt) !== worker || this.#results.has(`${block}/${attempt}`)) return
    const held = this.#world.random.pick(['inline', 'durable', 'volatile'] as const)
    this.#results.set(`${block}/${attempt}`, { block, attempt, worker, value: result.value, held, checked: false, epoch: this.watch.epochOf({ block, attempt }) })
    if (held === 'durable') this.#disk.blocks.add(`${this.plan.id}/${block}/${attempt}`)
    this.push({ type: 'ok', worker, block, attempt, held, size: 10, wallMs })
  }

  /** What the watch must know before the machine's answer to a fact. */
  #tell (fact: JobEventIn): void {
    if ((fact.type === 'joined' || fact.type === 'priced') && fact.asked != null) this.watch.priced(fact.worker, fact.asked)
    if (fact.type === 'joined') this.watch.joined(fact.worker, fact.slots)
    else if (fact.type === 'slots') {
      if (this.watch.attached.has(fact.worker)) this.watch.attached.set(fact.worker, Math.max(fact.slots, this.watch.out.get(fact.worker)?.size ?? 0))
    } else if (fact.type === 'lost') this.watch.gone(fact.worker)
    else if (fact.type === 'ok' || fact.type === 'failed') this.watch.outcome(fact.worker, fact, fact.type === 'ok')
    else if (fact.type === 'widened') this.watch.widened()
    else if (fact.type === 'split-ended') this.watch.split(this.plan.sizes.length)
    else if (fact.type === 'checked') this.watch.compared(fact)
    else if (fact.type === 'finished') this.watch.finished()
    else if (fact.type === 'distrusted') this.watch.distrusted(fact.worker)
  }

  #act (effect: Effect): void {
    const { id } = this.plan
    switch (effect.type) {
      case 'pull': this.#later(this.#world.random.between(0.1, this.plan.splitMs), '', () => { this.#pull() }); break
      case 'dispatch': this.#host.dispatch(effect.worker, effect.orders.map(({ block, attempt }) => ({ block, attempt, size: this.plan.sizes[block] as number }))); break
      case 'cancel': this.#host.cancel(effect.worker, effect.attempts); break
      case 'release':
        this.watch.gone(effect.worker)
        this.#host.release(effect.worker)
        break
      case 'store': for (const { block, attempt } of effect.results) this.#disk.store(`${id}/${block}/${attempt}`, this.#life, () => { this.push({ type: 'stored', block, attempt }) }); break
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
      case 'rename': this.#lane(() => { this.#disk.append(`job/${id}`, { phase: 'renaming' }, this.#life, () => { this.#rename() }) }); break
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

  #pull (): void {
    const { sizes, widens } = this.plan
    // As the toolbox gives them: the change first, then blocks up to the next change, which may be none.
    const facts: JobEventIn[] = []
    if (widens[this.#widened] === this.#split) facts.push({ type: 'widened', epoch: ++this.#widened })
    else if (this.#split === sizes.length) {
      this.push({ type: 'split-ended' })
      return
    }
    const until = widens[this.#widened] ?? sizes.length
    const batch = sizes.slice(this.#split, Math.min(until, this.#split + this.#world.random.integer(1, 6)))
    this.#split += batch.length
    this.push(...facts, { type: 'split', sizes: batch })
  }

  #inspect (block: number, attempt: number): void {
    if (this.#results.get(`${block}/${attempt}`)?.value === 'garbage') this.push({ type: 'unsound', block, attempt, message: 'cannot be read' })
    else this.push({ type: 'inspected', block, attempt, units: 1 })
  }

  #check (block: number, attempt: number): void {
    this.push({ type: 'checked', block, attempt, distance: this.#results.get(`${block}/${attempt}`)?.value === 'good' ? 0 : 1 })
  }

  #journal (block: number, attempt: number): void {
    this.#disk.append(`${this.plan.id}/${block}/${attempt}`, true, this.#life, () => {
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
      const kept = result?.held === 'inline' ? this.#disk.journal : this.#disk.blocks
      if (result == null || !kept.has(`${this.plan.id}/${block}/${attempt}`)) throw new Violation(`job ${this.plan.id} merges block ${block}, attempt ${attempt}, which is gone`)
      partial?.push({ block, attempt, value: result.value, worker: result.worker, epoch: result.epoch })
    }
    this.push({ type: 'merged', epoch, upTo: (refs.at(-1) as AttemptRef).block + 1 })
  }

  /** Block and entry go, each in its own time; what is on its way to the disk goes when it is there. */
  #discard (block: number, attempt: number): void {
    const key = `${this.plan.id}/${block}/${attempt}`
    this.#soon('', () => { this.#disk.blocks.delete(key) })
    this.#disk.append(key, undefined, this.#life, () => {})
  }

  #rename (): void {
    if (this.plan.renameFails) {
      this.push({ type: 'rename-failed', error: { code: 'output-exists', message: 'somebody else was there first' } })
      return
    }
    const file = this.#disk.output(this.plan.id)
    file.final = file.partial
    file.partial = undefined
    this.#world.note(`${this.plan.id} is renamed`)
    this.watch.output(file, this.plan.sizes.length)
    this.push({ type: 'renamed' })
  }

  #end (state: string, error?: JobError): void {
    this.#timer.over = true
    this.end = { state, error }
    this.#world.note(`${this.plan.id} ends: ${state} ${error?.code ?? ''} ${error?.message ?? ''}`)
    this.#disk.append(`job/${this.plan.id}`, { phase: 'ended', state, code: error?.code }, this.#life, () => {})
    this.#host.ended(this)
  }

  #setTimer (at: number | undefined): void {
    this.#timer.over = true
    if (at == null) return
    const timer: Life = { over: false }
    this.#timer = timer
    this.#world.after(at - this.#world.now, timer, '', () => { this.push({ type: 'tick' }) })
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
