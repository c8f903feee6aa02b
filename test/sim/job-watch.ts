/** The laws of one job, checked at every order its machine gives. Knows nothing of how the machine decides. */
import { EPOCHS_BEFORE_PROOF, FIRST_BLOCKS } from '../../daemon/coordinator/constants.ts'
import type { AttemptRef, Effect } from '../../daemon/coordinator/machine-types.ts'
import type { Disk, OutputFile, Value } from './disk.ts'
import type { Asked } from '../../daemon/coordinator/index.ts'
import { Violation } from './world.ts'

export interface KnownResult { block: number, attempt: number, worker: string, value: Value, held: 'inline' | 'durable' | 'volatile', checked: boolean, epoch: number }

const key = ({ block, attempt }: AttemptRef): string => `${block}/${attempt}`

export class JobWatch {
  readonly #job: string
  readonly #disk: Disk
  readonly #verify: 'none' | 'sample' | 'all'
  readonly #results: (ref: AttemptRef) => KnownResult | undefined
  /** Workers the job may order from, with their slots. */
  readonly attached = new Map<string, number>()
  readonly banned = new Set<string>()
  readonly #limit: Asked | undefined
  /** What each worker asked when last heard of. */
  readonly #asked = new Map<string, Asked>()
  /** Attempts given out, with the schema each was given under. */
  readonly #given = new Map<string, number>()
  /** Number of the schema. */
  #schema = 0
  /** Attempts out at each worker. */
  readonly out = new Map<string, Set<string>>()
  /** Results whose entry was asked for and which were not withdrawn, by block. */
  readonly #taken = new Map<number, number>()
  readonly #checking = new Set<string>()
  readonly #compared = new Set<string>()
  /** Workers that returned a result. */
  readonly #resultsOf = new Set<string>()
  /** Workers of whom a result was compared. */
  readonly #comparedOf = new Set<string>()
  #merged = 0
  #epoch = 0
  #blocks: number | undefined
  #finished = false
  #renaming = false
  #ended = false

  constructor (job: string, disk: Disk, verify: 'none' | 'sample' | 'all', results: (ref: AttemptRef) => KnownResult | undefined, limit: Asked | undefined) {
    this.#job = job
    this.#disk = disk
    this.#verify = verify
    this.#results = results
    this.#limit = limit
  }

  get ended (): boolean { return this.#ended }

  joined (worker: string, slots: number): void {
    this.attached.set(worker, slots)
  }

  priced (worker: string, asked: Asked): void {
    this.#asked.set(worker, asked)
  }

  gone (worker: string): void {
    this.attached.delete(worker)
    this.out.delete(worker)
  }

  outcome (worker: string, ref: AttemptRef, good: boolean): void {
    this.out.get(worker)?.delete(key(ref))
    if (good) this.#resultsOf.add(worker)
  }

  /** The job was told that the worker lied to another one. A rename that was asked for cannot be called back. */
  distrusted (worker: string): void {
    if (!this.#renaming) this.banned.add(worker)
  }

  /** The schema was widened: what was done before does not count any more. */
  widened (): void {
    this.#schema++
    this.#taken.clear()
  }

  epochOf (ref: AttemptRef): number { return this.#given.get(key(ref)) ?? 0 }

  split (blocks: number): void { this.#blocks = blocks }

  compared (ref: AttemptRef): void {
    this.#checking.delete(key(ref))
    this.#compared.add(key(ref))
    const result = this.#results(ref)
    if (result != null) this.#comparedOf.add(result.worker)
  }

  finished (): void { this.#finished = true }

  order (effect: Effect): void {
    if (this.#ended && effect.type !== 'discard' && effect.type !== 'release' && effect.type !== 'news' && effect.type !== 'timer') this.#broken(`orders '${effect.type}' after its end`)
    switch (effect.type) {
      case 'dispatch': this.#dispatch(effect.worker, effect.orders); break
      case 'check': for (const ref of effect.results) this.#check(ref); break
      case 'journal': for (const ref of effect.results) this.#journal(ref); break
      case 'discard': for (const ref of effect.results) this.#discard(ref); break
      case 'merge': this.#merge(effect.epoch, effect.results); break
      case 'reset-merge':
        this.#merged = 0
        this.#epoch = effect.epoch
        this.#finished = false
        break
      case 'finish': this.#finish(effect.blocks); break
      case 'rename': this.#rename(); break
      case 'ban':
        this.banned.add(effect.worker)
        break
      case 'end': this.#ended = true; break
    }
  }

  /** An entry became durable. */
  entryDurable (ref: AttemptRef): void {
    const result = this.#results(ref)
    // The entry of a result that was withdrawn meanwhile goes next.
    if (this.#taken.get(ref.block) !== ref.attempt) return
    if (result != null && result.held !== 'inline' && !this.#disk.blocks.has(`${this.#job}/${key(ref)}`)) this.#broken(`the entry of ${key(ref)} is durable before its block`)
  }

  /** The file is at its final name. */
  output (file: OutputFile, blocks: number): void {
    const pieces = file.final
    if (pieces == null) return
    if (pieces.length !== blocks) this.#broken(`the output has ${pieces.length} of ${blocks} blocks`)
    if (this.#verify === 'sample') {
      for (const { worker } of pieces) if (!this.#comparedOf.has(worker)) this.#broken(`no result of ${worker} was compared`)
    }
    pieces.forEach(({ block, value, worker, attempt, epoch }, i) => {
      if (block !== i) this.#broken(`block ${block} is at place ${i} of the output`)
      if (epoch !== this.#schema) this.#broken(`the output has block ${block} of schema ${epoch}, the last is ${this.#schema}`)
      if (value === 'good') return
      const unmeasured = value === 'subtle' && this.#verify !== 'all' && !this.banned.has(worker) && !this.#compared.has(key({ block, attempt }))
      if (!unmeasured) this.#broken(`a wrong result (${value}) of ${worker} is in the output: block ${block}`)
    })
  }

  #dispatch (worker: string, orders: AttemptRef[]): void {
    const slots = this.attached.get(worker)
    if (slots == null) this.#broken(`orders from ${worker}, which is not attached`)
    if (this.banned.has(worker)) this.#broken(`orders from ${worker}, which lied`)
    const asked = this.#asked.get(worker)
    if (this.#limit != null && asked != null && (asked.unit !== this.#limit.unit || Number(asked.price) > Number(this.#limit.price))) {
      this.#broken(`orders from ${worker}, which asks ${asked.price} ${asked.unit}, and pays ${this.#limit.price} ${this.#limit.unit}`)
    }
    let out = this.out.get(worker)
    if (out == null) {
      out = new Set()
      this.out.set(worker, out)
    }
    if (this.#schema >= EPOCHS_BEFORE_PROOF && this.#blocks == null) this.#broken(`gives blocks out though the schema changed ${this.#schema} times and the input was not read to its end`)
    for (const ref of orders) {
      const name = key(ref)
      if (this.#given.has(name)) this.#broken(`attempt ${name} is given twice`)
      this.#given.set(name, this.#schema)
      out.add(name)
    }
    if (out.size > FIRST_BLOCKS && !this.#resultsOf.has(worker)) this.#broken(`${out.size} orders at ${worker}, which returned nothing yet`)
    if (out.size > (slots ?? 0)) this.#broken(`${out.size} orders at ${worker}, which takes ${slots}`)
  }

  #check (ref: AttemptRef): void {
    this.#checking.add(key(ref))
  }

  #journal (ref: AttemptRef): void {
    const before = this.#taken.get(ref.block)
    if (before != null) this.#broken(`block ${ref.block} has two results: attempts ${before} and ${ref.attempt}`)
    const result = this.#results(ref)
    if (result != null && result.epoch !== this.#schema) this.#broken(`takes a result of schema ${result.epoch} under schema ${this.#schema}: ${key(ref)}`)
    if (result != null && result.held !== 'inline' && !this.#disk.blocks.has(`${this.#job}/${key(ref)}`)) this.#broken(`asks for the entry of ${key(ref)} before its block is durable`)
    if (result?.value === 'garbage') this.#broken(`a result that cannot be read is taken: ${key(ref)}`)
    if (result != null && this.#verify === 'all' && !this.#compared.has(key(ref))) this.#broken(`${key(ref)} is taken without the comparison its policy asks for`)
    this.#taken.set(ref.block, ref.attempt)
  }

  #discard (ref: AttemptRef): void {
    if (this.#taken.get(ref.block) === ref.attempt) this.#taken.delete(ref.block)
    this.#checking.delete(key(ref))
  }

  #merge (epoch: number, refs: AttemptRef[]): void {
    if (epoch !== this.#epoch) this.#broken(`merges in run ${epoch} of run ${this.#epoch}`)
    for (const ref of refs) {
      if (ref.block !== this.#merged) this.#broken(`merges block ${ref.block} where ${this.#merged} is next`)
      if (this.#taken.get(ref.block) !== ref.attempt) this.#broken(`merges ${key(ref)}, which is not taken`)
      if (!this.#disk.journal.has(`${this.#job}/${key(ref)}`)) this.#broken(`merges ${key(ref)} before its entry is durable`)
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

  #broken (what: string): never {
    throw new Violation(`job ${this.#job} ${what}`)
  }
}
