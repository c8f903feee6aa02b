/** The laws of one job, checked at every order its machine gives. Knows nothing of how the machine decides. */
import { EPOCHS_BEFORE_PROOF, FIRST_BLOCKS, HEDGE_SHARE, HEDGES_MIN, JOB_LIMITS, type JobLimits } from '../../daemon/coordinator/constants.ts'
import type { AttemptRef, Effect } from '../../daemon/coordinator/machine-types.ts'
import type { BlockEntry, Disk, OutputFile, Value } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import type { Story } from './story.ts'
import { Violation, type World } from './world.ts'

export interface KnownResult {
  block: number
  attempt: number
  worker: string
  value: Value
  held: 'inline' | 'durable' | 'volatile'
  epoch: number
  /** Names its bytes on the disk. */
  content: string
}

/** A job with work, nothing in flight and an idle worker that never failed it may stand still for so long, milliseconds. */
const STANDSTILL_MS = 4000
/** So long may an attempt be counted on at a worker that is not attached, milliseconds. */
const GONE_MS = 100

const key = ({ block, attempt }: AttemptRef): string => `${block}/${attempt}`

export interface JobWatchInit {
  job: string
  world: World
  disk: Disk
  story: Story
  verify: 'none' | 'sample' | 'all'
  results: (ref: AttemptRef) => KnownResult | undefined
  limit: Asked | undefined
  /** Workers of whom a result was compared, in this life of the job or an earlier one. */
  comparedOf: Set<string>
  /** Schema changes an earlier life had seen. */
  resumeEpoch: number
  limits: Partial<JobLimits>
  /** Caught lying in an earlier life of the node. */
  distrusted: Iterable<string>
}

/** Failures that say something about the worker. */
const BLAMED = new Set(['crash', 'hang', 'out-of-memory', 'output-limit', 'unavailable', 'transfer', 'lost'])

interface Given { worker: string, epoch: number, at: number, cancelled: boolean, hedge: boolean }

export class JobWatch {
  readonly #init: JobWatchInit
  readonly #job: string
  readonly #world: World
  readonly #disk: Disk
  readonly #story: Story
  readonly #verify: 'none' | 'sample' | 'all'
  readonly #results: (ref: AttemptRef) => KnownResult | undefined
  /** Workers the job may order from, with the orders they may have: who takes fewer now, or none, keeps what it has. */
  readonly attached = new Map<string, number>()
  /** Orders they take at present, by their own word. */
  readonly #declared = new Map<string, number>()
  readonly banned = new Set<string>()
  /** What each worker asked when last heard of. */
  readonly #asked = new Map<string, Asked>()
  /** Attempts given out. */
  readonly #given = new Map<string, Given>()
  /** Number of the schema. */
  #schema = 0
  /** Attempts out at each worker. */
  readonly out = new Map<string, Map<string, AttemptRef>>()
  /** Attempts out for each block, cancelled ones included. */
  readonly #outOf = new Map<number, Set<string>>()
  /** Results whose entry was asked for and which were not withdrawn, by block. */
  readonly #taken = new Map<number, number>()
  readonly #checking = new Set<string>()
  readonly #compared = new Set<string>()
  /** Workers that returned a result, and those that ever failed. */
  readonly #resultsOf = new Set<string>()
  readonly #failed = new Set<string>()
  readonly #suspects = new Set<string>()
  /** Blamed failures in a row, when the last of them came, and what is known of each worker's breaker. */
  readonly #inRow = new Map<string, { failures: number, at: number }>()
  readonly #breakers = new Map<string, 'closed' | 'open' | 'half-open'>()
  /** Orders given to a worker since its breaker opened. */
  readonly #canaries = new Map<string, Set<string>>()
  /** Failed attempts of each block under the schema as it is. */
  readonly #failures = new Map<number, number>()
  /** Attempt whose result a block has. */
  readonly #has = new Map<number, number>()
  /** Blocks whose attempts changed in this step. */
  #touched: number[] = []
  #done = 0
  #outMax = 0
  readonly #limits: JobLimits
  /** What is durable since before this life and must not be made again. */
  readonly #kept = new Map<number, BlockEntry>()
  #merged = 0
  #epoch = 0
  #known = 0
  #blocks: number | undefined
  #finished = false
  #renaming = false
  #ended = false
  /** Since when nothing is in flight though there is work. */
  #stillSince = Infinity
  hedges = 0
  /** Copies made, by block: of which attempt. */
  readonly #copies = new Map<number, Array<{ first: number, excused: boolean }>>()
  #excused = 0

  constructor (init: JobWatchInit) {
    this.#init = init
    this.#job = init.job
    this.#world = init.world
    this.#disk = init.disk
    this.#story = init.story
    this.#verify = init.verify
    this.#results = init.results
    this.#limits = { ...JOB_LIMITS, ...init.limits }
    for (const worker of init.distrusted) this.banned.add(worker)
  }

  get ended (): boolean { return this.#ended }

  joined (worker: string, slots: number): void {
    this.#story.job(worker, 'joins with slots:', slots)
    this.attached.set(worker, slots)
    this.#declared.set(worker, slots)
  }

  slots (worker: string, slots: number): void {
    if (!this.attached.has(worker)) return
    this.#story.job(worker, 'has slots:', slots)
    this.#declared.set(worker, slots)
    this.attached.set(worker, Math.max(slots, this.out.get(worker)?.size ?? 0))
  }

  priced (worker: string, asked: Asked): void {
    this.#asked.set(worker, asked)
  }

  gone (worker: string, why: string): void {
    this.#story.job(worker, 'is gone:', why)
    this.attached.delete(worker)
    this.#suspects.delete(worker)
    for (const ref of this.out.get(worker)?.values() ?? []) {
      this.#outOf.get(ref.block)?.delete(key(ref))
      this.#canaries.get(worker)?.delete(key(ref))
      // Whoever made the copies of what it had did so for good reason.
      this.#excuse(ref)
    }
    this.out.delete(worker)
  }

  doubted (worker: string, why: string | undefined): void {
    this.#story.job(worker, why == null ? 'is trusted again' : 'is suspect:', why)
    if (why == null) this.#suspects.delete(worker)
    else if (this.attached.has(worker)) this.#suspects.add(worker)
  }

  #excuse ({ block, attempt }: AttemptRef): void {
    for (const given of this.#copies.get(block) ?? []) {
      if (given.first !== attempt || given.excused) continue
      given.excused = true
      this.#excused++
    }
  }

  outcome (worker: string, ref: AttemptRef, failure: { reason: string, message: string } | undefined): void {
    this.#story.block(ref.block, worker, failure == null ? `result of attempt ${ref.attempt}` : `attempt ${ref.attempt} fails:`, failure == null ? '' : `${failure.reason}: ${failure.message}`)
    const known = this.out.get(worker)?.delete(key(ref)) === true
    this.#outOf.get(ref.block)?.delete(key(ref))
    this.#canaries.get(worker)?.delete(key(ref))
    if (failure == null) {
      this.#resultsOf.add(worker)
      this.#inRow.delete(worker)
      return
    }
    this.#failed.add(worker)
    // As good as a word about its slots.
    if (failure.reason === 'draining') this.#declared.set(worker, 0)
    if (!known || this.#given.get(key(ref))?.cancelled !== false) return
    if (BLAMED.has(failure.reason)) {
      if (!this.#canaries.has(worker)) this.#inRow.set(worker, { failures: (this.#inRow.get(worker)?.failures ?? 0) + 1, at: this.#world.now })
      this.#failures.set(ref.block, (this.#failures.get(ref.block) ?? 0) + 1)
    }
  }

  /** An entry of a result is durable: its block counts as done. */
  committed (ref: AttemptRef): void {
    if (this.#taken.get(ref.block) === ref.attempt) this.#done++
  }

  /** The job was told that the worker lied to another one. A rename that was asked for cannot be called back. */
  distrusted (worker: string): void {
    this.#story.job(worker, 'was caught by another job')
    if (!this.#renaming) this.banned.add(worker)
  }

  /** The schema was widened: what was done before does not count any more. */
  widened (): void {
    this.#story.job('', `the schema is widened, change ${this.#schema + 1}`)
    this.#schema++
    this.#taken.clear()
    this.#has.clear()
    this.#failures.clear()
    for (const [block, { epoch }] of this.#kept) if (epoch < this.#schema) this.#kept.delete(block)
  }

  epochOf (ref: AttemptRef): number { return this.#given.get(key(ref))?.epoch ?? this.#schema }

  split (count: number): void { this.#known += count }

  splitEnded (blocks: number): void { this.#blocks = blocks }

  /** Before the first step of a life after a crash: these entries were durable and what they speak of is intact. */
  keeps (entries: BlockEntry[]): void {
    for (const entry of entries) this.#kept.set(entry.block, entry)
  }

  /** The machine is told of a result of an earlier life. */
  restored (ref: AttemptRef, worker: string): void {
    this.#story.block(ref.block, worker, 'made it in an earlier life of the job')
    this.#taken.set(ref.block, ref.attempt)
    this.#has.set(ref.block, ref.attempt)
    this.#resultsOf.add(worker)
    this.#done++
  }

  compared (ref: AttemptRef): void {
    this.#checking.delete(key(ref))
    this.#compared.add(key(ref))
    const result = this.#results(ref)
    this.#story.block(ref.block, result?.worker ?? '', `attempt ${ref.attempt} was compared`)
    if (result != null) this.#init.comparedOf.add(result.worker)
  }

  finished (): void { this.#finished = true }

  order (effect: Effect): void {
    if (this.#ended && effect.type !== 'discard' && effect.type !== 'release' && effect.type !== 'news' && effect.type !== 'timer') this.#broken(`orders '${effect.type}' after its end`)
    switch (effect.type) {
      case 'dispatch': this.#dispatch(effect.worker, effect.orders); break
      case 'cancel': for (const ref of effect.attempts) this.#cancel(effect.worker, ref); break
      case 'check': for (const ref of effect.results) this.#check(ref); break
      case 'store':
      case 'inspect': for (const ref of effect.results) this.#took(ref); break
      case 'journal': for (const ref of effect.results) this.#journal(ref); break
      case 'discard': for (const ref of effect.results) this.#discard(ref); break
      case 'merge': this.#merge(effect.epoch, effect.results); break
      case 'reset-merge':
        this.#story.job('', `the output begins again, run ${effect.epoch}`)
        this.#merged = 0
        this.#epoch = effect.epoch
        this.#finished = false
        break
      case 'finish': this.#finish(effect.blocks); break
      case 'rename': this.#rename(); break
      case 'ban':
        this.#story.job(effect.worker, 'is banned:', effect.reason)
        this.banned.add(effect.worker)
        break
      case 'news': if (effect.news.type === 'block' && effect.news.change === 'requeued') this.#story.block(effect.news.block, effect.news.peer, `gives it back (attempt ${effect.news.attempt}):`, effect.news.reason); break
      case 'end':
        this.#story.job('', `ends: ${effect.state}`, effect.error?.message)
        this.#ended = true
        break
    }
  }

  /** What a step led to. Whom it lets go, and what it tells of breakers, was decided before it gave orders, and comes behind them. */
  orders (effects: Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'breaker') this.#breaker(effect.worker, effect.state)
      if (effect.type !== 'release') continue
      this.#declared.set(effect.worker, 0)
      for (const name of this.out.get(effect.worker)?.keys() ?? []) (this.#given.get(name) as Given).cancelled = true
    }
  }

  /** After a step: a block that has its result is nowhere at work any more. */
  stepped (): void {
    for (const block of this.#touched) {
      const attempt = this.#has.get(block)
      if (attempt == null) continue
      for (const name of this.#outOf.get(block) ?? []) {
        if (name !== `${block}/${attempt}` && this.#live(name)) this.#broken(`has a result of block ${block} (attempt ${attempt}) and lets attempt ${name} run on at ${this.#given.get(name)?.worker}`, block)
      }
    }
    this.#touched = []
  }

  /** Now and then: somebody must be at work while there is work and somebody to do it. */
  checkProgress (attachedElsewhere: (worker: string) => boolean): void {
    if (this.#ended || this.#renaming || this.#finished) return
    for (const [worker, refs] of this.out) {
      if (refs.size === 0 || this.attached.has(worker)) continue
      for (const ref of refs.values()) if (this.#world.now - (this.#given.get(key(ref))?.at ?? 0) > GONE_MS) this.#broken(`counts on ${worker}, which is gone`, ref.block)
    }
    const proving = this.#blocks == null && (this.#schema >= EPOCHS_BEFORE_PROOF || this.#schema < this.#init.resumeEpoch)
    let flying = 0
    for (const refs of this.out.values()) flying += refs.size
    let idle: string | undefined
    for (const worker of this.attached.keys()) if ((this.#declared.get(worker) ?? 0) > 0 && !this.#failed.has(worker) && this.#pays(worker) && attachedElsewhere(worker)) idle = worker
    if (proving || flying > 0 || idle == null || this.#checking.size > 0 || this.#taken.size >= this.#known || this.#disk.failing) {
      this.#stillSince = Infinity
      return
    }
    this.#stillSince = Math.min(this.#stillSince, this.#world.now)
    if (this.#world.now - this.#stillSince > STANDSTILL_MS) {
      let block = 0
      while (this.#taken.has(block)) block++
      this.#broken(`stands still for ${Math.round(this.#world.now - this.#stillSince)} ms: ${this.#known - this.#taken.size} blocks wait and ${idle} is idle`, block)
    }
  }

  /** An entry became durable. */
  entryDurable (ref: AttemptRef): void {
    const result = this.#results(ref)
    this.#story.block(ref.block, '', `the entry of attempt ${ref.attempt} is durable`)
    // The entry of a result that was withdrawn meanwhile goes next.
    if (this.#taken.get(ref.block) !== ref.attempt) return
    if (result != null && result.held !== 'inline' && !this.#disk.blocks.has(result.content)) this.#broken(`the entry of ${key(ref)} is durable before its block`, ref.block)
  }

  /** The file is at its final name. */
  output (file: OutputFile, blocks: number): void {
    const pieces = file.final
    if (pieces == null) return
    if (pieces.length !== blocks) this.#broken(`the output has ${pieces.length} of ${blocks} blocks`)
    if (this.#verify === 'sample') {
      for (const { worker, block } of pieces) if (!this.#init.comparedOf.has(worker)) this.#broken(`no result of ${worker} was compared`, block)
    }
    pieces.forEach(({ block, value, worker, attempt, epoch }, i) => {
      if (block !== i) this.#broken(`block ${block} is at place ${i} of the output`, i)
      if (epoch !== this.#schema) this.#broken(`the output has block ${block} of schema ${epoch}, the last is ${this.#schema}`, block)
      if (value === 'good') return
      const unmeasured = value === 'subtle' && this.#verify !== 'all' && !this.banned.has(worker) && !this.#compared.has(key({ block, attempt }))
      if (!unmeasured) this.#broken(`a wrong result (${value}) of ${worker} is in the output: block ${block}`, block)
    })
  }

  #live (name: string): boolean {
    const given = this.#given.get(name)
    return given != null && !given.cancelled && this.attached.has(given.worker)
  }

  #took (ref: AttemptRef): void {
    this.#has.set(ref.block, ref.attempt)
    this.#touched.push(ref.block)
  }

  #breaker (worker: string, state: 'closed' | 'open' | 'half-open'): void {
    this.#story.job(worker, `its breaker is ${state}`)
    this.#breakers.set(worker, state)
    if (state === 'open') this.#canaries.set(worker, new Set())
    else if (state === 'closed') this.#canaries.delete(worker)
    // From now on the canary counts.
    this.#inRow.delete(worker)
  }

  #pays (worker: string): boolean {
    const { limit } = this.#init
    const asked = this.#asked.get(worker)
    return limit == null || asked == null || (asked.unit === limit.unit && Number(asked.price) <= Number(limit.price))
  }

  #dispatch (worker: string, orders: AttemptRef[]): void {
    const slots = this.attached.get(worker)
    if (slots == null) this.#broken(`orders from ${worker}, which is not attached`, orders[0]?.block)
    if (this.banned.has(worker)) this.#broken(`orders from ${worker}, which lied`, orders[0]?.block)
    if (!this.#pays(worker)) {
      const { limit } = this.#init
      const asked = this.#asked.get(worker)
      this.#broken(`orders from ${worker}, which asks ${asked?.price} ${asked?.unit}, and pays ${limit?.price} ${limit?.unit}`, orders[0]?.block)
    }
    let out = this.out.get(worker)
    if (out == null) {
      out = new Map()
      this.out.set(worker, out)
    }
    if (this.#schema >= EPOCHS_BEFORE_PROOF && this.#blocks == null) this.#broken(`gives blocks out though the schema changed ${this.#schema} times and the input was not read to its end`, orders[0]?.block)
    for (const ref of orders) {
      const name = key(ref)
      if (this.#given.has(name)) this.#broken(`attempt ${name} is given twice`, ref.block)
      const hedge = this.#hedges(worker, ref)
      this.#given.set(name, { worker, epoch: this.#schema, at: this.#world.now, cancelled: false, hedge })
      this.#mayHave(worker, ref)
      this.#story.block(ref.block, worker, `${hedge ? 'gets a second copy' : 'gets it'} as attempt ${ref.attempt}${this.#schema > 0 ? ` under schema ${this.#schema}` : ''}`)
      const kept = this.#kept.get(ref.block)
      if (kept != null && kept.epoch === this.#schema) this.#broken(`converts block ${ref.block} again, whose result by ${kept.worker} was durable before the crash`, ref.block)
      out.set(name, ref)
      const others = this.#outOf.get(ref.block)
      if (others == null) this.#outOf.set(ref.block, new Set([name]))
      else others.add(name)
    }
    this.#outMax = Math.max(this.#outMax, out.size)
    if (out.size > FIRST_BLOCKS && !this.#resultsOf.has(worker)) this.#broken(`${out.size} orders at ${worker}, which returned nothing yet`, orders[0]?.block)
    if (out.size > (slots ?? 0)) this.#broken(`${out.size} orders at ${worker}, which takes ${slots}`, orders[0]?.block)
  }

  /** Whether the block is with somebody else already; a copy is never where the first is, nor with somebody who is doubted. */
  #hedges (worker: string, { block }: AttemptRef): boolean {
    let copies = 0
    let first = 0
    for (const name of this.#outOf.get(block) ?? []) {
      if (!this.#live(name)) continue
      copies++
      first = Number(name.slice(name.indexOf('/') + 1))
      if (this.#given.get(name)?.worker === worker) this.#broken(`gives block ${block} to ${worker}, which has it already`, block)
    }
    if (copies > 1) this.#broken(`gives block ${block} to a third worker at a time`, block)
    if (this.#has.has(block)) this.#broken(`gives block ${block} out, which has its result`, block)
    if (copies === 0) return false
    if (this.#suspects.has(worker)) this.#broken(`gives a copy of block ${block} to ${worker}, which is suspect`, block)
    this.hedges++
    const made = this.#copies.get(block)
    if (made == null) this.#copies.set(block, [{ first, excused: false }])
    else made.push({ first, excused: false })
    const budget = Math.max(HEDGES_MIN, HEDGE_SHARE * this.#done) + this.#outMax
    if (this.hedges - this.#excused > budget) this.#broken(`made ${this.hedges - this.#excused} copies with ${this.#done} blocks done`, block)
    return true
  }

  /** Who is doubted, or failed again and again, is left alone. */
  #mayHave (worker: string, ref: AttemptRef): void {
    if (this.#suspects.has(worker)) {
      for (const other of this.attached.keys()) {
        if ((this.#declared.get(other) ?? 0) > 0 && !this.#suspects.has(other) && !this.banned.has(other) && this.#pays(other) && (this.#breakers.get(other) ?? 'closed') === 'closed') this.#broken(`gives block ${ref.block} to ${worker}, which is suspect, though ${other} is not`, ref.block)
      }
    }
    const canaries = this.#canaries.get(worker)
    if (canaries != null) {
      for (const name of canaries) if (this.#live(name)) this.#broken(`gives block ${ref.block} to ${worker}, whose breaker is ${this.#breakers.get(worker)} and which has ${name} already`, ref.block)
      canaries.add(key(ref))
    }
    const row = this.#inRow.get(worker)
    if (row != null && row.failures >= this.#limits.breakerFailures && this.#world.now - row.at < this.#limits.breakerMs / 2) {
      this.#broken(`gives block ${ref.block} to ${worker}, which failed ${row.failures} times in a row, the last ${Math.round(this.#world.now - row.at)} ms ago`, ref.block)
    }
    const failures = this.#failures.get(ref.block) ?? 0
    if (failures >= this.#limits.blockAttempts) this.#broken(`gives block ${ref.block} out, which failed ${failures} times`, ref.block)
  }

  #cancel (worker: string, ref: AttemptRef): void {
    this.#story.block(ref.block, worker, `attempt ${ref.attempt} is cancelled`)
    const given = this.#given.get(key(ref))
    if (given != null) given.cancelled = true
  }

  #check (ref: AttemptRef): void {
    this.#checking.add(key(ref))
  }

  #journal (ref: AttemptRef): void {
    const before = this.#taken.get(ref.block)
    if (before != null) this.#broken(`block ${ref.block} has two results: attempts ${before} and ${ref.attempt}`, ref.block)
    const result = this.#results(ref)
    if (result != null && result.epoch !== this.#schema) this.#broken(`takes a result of schema ${result.epoch} under schema ${this.#schema}: ${key(ref)}`, ref.block)
    if (result != null && result.held !== 'inline' && !this.#disk.blocks.has(result.content)) this.#broken(`asks for the entry of ${key(ref)} before its block is durable`, ref.block)
    if (result?.value === 'garbage') this.#broken(`a result that cannot be read is taken: ${key(ref)}`, ref.block)
    if (result != null && this.#verify === 'all' && !this.#compared.has(key(ref))) this.#broken(`${key(ref)} is taken without the comparison its policy asks for`, ref.block)
    this.#story.block(ref.block, result?.worker ?? '', `attempt ${ref.attempt} is taken`)
    this.#taken.set(ref.block, ref.attempt)
    this.#took(ref)
  }

  #discard (ref: AttemptRef): void {
    this.#story.block(ref.block, '', `attempt ${ref.attempt} is discarded`)
    if (this.#has.get(ref.block) === ref.attempt) this.#has.delete(ref.block)
    if (this.#taken.get(ref.block) === ref.attempt) {
      this.#taken.delete(ref.block)
      // Found wrong, or unreadable: it has to be made again.
      this.#kept.delete(ref.block)
    }
    this.#checking.delete(key(ref))
  }

  #merge (epoch: number, refs: AttemptRef[]): void {
    if (epoch !== this.#epoch) this.#broken(`merges in run ${epoch} of run ${this.#epoch}`)
    for (const ref of refs) {
      if (ref.block !== this.#merged) this.#broken(`merges block ${ref.block} where ${this.#merged} is next`, ref.block)
      if (this.#taken.get(ref.block) !== ref.attempt) this.#broken(`merges ${key(ref)}, which is not taken`, ref.block)
      const entry = this.#disk.journal.get(`${this.#job}/${ref.block}`) as BlockEntry | undefined
      const result = this.#results(ref)
      if (result == null || entry?.content !== result.content) this.#broken(`merges ${key(ref)} before its entry is durable`, ref.block)
      this.#story.block(ref.block, '', `attempt ${ref.attempt} is merged`)
      this.#merged++
    }
  }

  #finish (blocks: number): void {
    if (this.#blocks == null || blocks !== this.#blocks || this.#merged !== blocks) this.#broken(`finishes with ${this.#merged} of ${this.#blocks ?? 'unknown'} blocks merged`)
    if (this.#checking.size > 0) this.#broken(`finishes while ${this.#checking.size} comparisons are under way`)
  }

  #rename (): void {
    this.#renaming = true
    if (!this.#finished) this.#broken('renames an output that was not checked as a whole')
    if (this.#checking.size > 0) this.#broken(`renames while ${this.#checking.size} comparisons are under way`)
  }

  #broken (what: string, block?: number): never {
    throw new Violation(`job ${this.#job} ${what}`, { job: this.#job, block })
  }
}
