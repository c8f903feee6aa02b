/**
 * A job machine over workers that only take time, on a virtual clock: what the machine decides shows as a makespan. Deterministic. Disk, checks and merge
 * are answered at once.
 */
import { createJobMachine } from '../../../daemon/coordinator/machine.ts'
import type { AttemptRef, Effect, JobEventIn, JobMachine, JobMachineInit } from '../../../daemon/coordinator/machine-types.ts'
import { plain } from './rig.ts'

export interface VirtualWorker {
  id: string
  /** Blocks at work side by side. @default 1 */
  cores?: number
  /** Orders it takes. @default cores + 1 */
  slots?: number
  /** How many times slower than the declared duration. @default 1 */
  slowness?: number
  /** When it joins. @default 0 */
  joinsAt?: number
  /** Whether it fails what it is given, and how; after the block's time. */
  fails?: (block: number, now: number) => 'crash' | 'transfer' | undefined
  /** Blocks that never end on it. */
  hangs?: (block: number) => boolean
  /** From then on nothing comes of it, and the detector says so after these waits. */
  silentAt?: number
  suspectAfterMs?: number
  deadAfterMs?: number
}

export interface VirtualJob {
  /** Milliseconds of each block on a worker of slowness 1. */
  durations: number[]
  workers: VirtualWorker[]
  /** One way, milliseconds. @default 0 */
  delayMs?: number
  init?: Partial<JobMachineInit>
  untilMs?: number
  /** Called for every order. */
  watch?: (effect: Effect, now: number) => void
}

export interface VirtualEnd {
  state: JobMachine['state']
  error?: string
  makespanMs: number
  /** Milliseconds of cores that were spent, also on what was cancelled. */
  workedMs: number
  counts: ReturnType<JobMachine['counts']>
  steps: number
  /** Blocks done, by worker. */
  by: Record<string, number>
}

interface Task { ref: AttemptRef, worker: Node, startedAt?: number, over: boolean }

interface Node extends Required<Pick<VirtualWorker, 'id' | 'cores' | 'slots' | 'slowness'>> { spec: VirtualWorker, queue: Task[], running: Set<Task>, gone: boolean }

/** Times in order, those of one time in the order they were set. A binary heap. */
class Agenda {
  readonly #heap: Array<{ at: number, order: number, act: () => void }> = []
  #order = 0
  now = 0

  after (ms: number, act: () => void): void {
    const heap = this.#heap
    heap.push({ at: this.now + Math.max(0, ms), order: this.#order++, act })
    for (let i = heap.length - 1; i > 0;) {
      const up = (i - 1) >> 1
      if (this.#before(up, i)) break
      this.#swap(i, up)
      i = up
    }
  }

  next (): (() => void) | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first == null || last == null) return undefined
    if (heap.length > 0) {
      heap[0] = last
      for (let i = 0;;) {
        let least = i
        for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && this.#before(child, least)) least = child
        if (least === i) break
        this.#swap(i, least)
        i = least
      }
    }
    this.now = first.at
    return first.act
  }

  #before (a: number, b: number): boolean {
    const [x, y] = [this.#heap[a]!, this.#heap[b]!]
    return x.at < y.at || (x.at === y.at && x.order < y.order)
  }

  #swap (a: number, b: number): void {
    const heap = this.#heap
    const kept = heap[a]!
    heap[a] = heap[b]!
    heap[b] = kept
  }
}

export function runVirtually (job: VirtualJob): VirtualEnd {
  return new VirtualRun(job).run()
}

class VirtualRun {
  readonly #job: VirtualJob
  readonly #machine: JobMachine
  readonly #agenda = new Agenda()
  readonly #nodes = new Map<string, Node>()
  readonly #tasks = new Map<string, Task>()
  readonly #by: Record<string, number> = {}
  #seed = 1
  #timer = 0
  #facts: JobEventIn[] = []
  #workedMs = 0
  #steps = 0
  #end: { at: number, error?: string } | undefined

  constructor (job: VirtualJob) {
    this.#job = job
    this.#machine = createJobMachine({ job: 'virtual', verify: 'none', bound: 0, ...job.init })
  }

  run (): VirtualEnd {
    const { durations, workers, untilMs = 3_600_000 } = this.#job
    this.#push()
    for (const spec of workers) this.#agenda.after(spec.joinsAt ?? 0, () => { this.#join(spec) })
    this.#push({ type: 'settled', count: workers.length }, { type: 'split', sizes: durations.map(() => 1000) }, { type: 'split-ended' })
    for (let act = this.#agenda.next(); act != null && this.#end == null && this.#agenda.now <= untilMs; act = this.#agenda.next()) act()
    return {
      state: this.#machine.state,
      error: this.#end?.error,
      makespanMs: this.#end?.at ?? Infinity,
      workedMs: this.#workedMs,
      counts: this.#machine.counts(),
      steps: this.#steps,
      by: this.#by
    }
  }

  #join (spec: VirtualWorker): void {
    const { id, cores = 1, slots = cores + 1, slowness = 1, silentAt, suspectAfterMs = 2000, deadAfterMs = 5000 } = spec
    this.#nodes.set(id, { spec, id, cores, slots, slowness, queue: [], running: new Set(), gone: false })
    this.#push({ type: 'joined', worker: id, kind: 'remote', slots })
    if (silentAt == null) return
    this.#agenda.after(silentAt - this.#agenda.now, () => { this.#node(id).gone = true })
    this.#agenda.after(silentAt + suspectAfterMs - this.#agenda.now, () => { this.#push({ type: 'suspect', worker: id, reason: 'silent' }) })
    this.#agenda.after(silentAt + deadAfterMs - this.#agenda.now, () => { this.#push({ type: 'lost', worker: id, reason: 'dead' }) })
  }

  #node (id: string): Node {
    const node = this.#nodes.get(id)
    if (node == null) throw new Error(`orders to ${id}, which is not there`)
    return node
  }

  /** Facts of one moment are stepped together. */
  #push (...facts: JobEventIn[]): void {
    const first = this.#facts.length === 0
    this.#facts.push(...facts)
    if (!first && facts.length > 0) return
    this.#agenda.after(0, () => {
      let events = this.#facts
      this.#facts = []
      do {
        this.#steps++
        const effects = this.#machine.step(events, this.#agenda.now, () => this.#random())
        events = []
        for (const effect of effects) {
          this.#job.watch?.(effect, this.#agenda.now)
          events.push(...this.#act(effect))
        }
      } while (events.length > 0)
    })
  }

  /** What is answered at once is. */
  #act (effect: Effect): JobEventIn[] {
    const { delayMs = 0 } = this.#job
    switch (effect.type) {
      case 'dispatch':
        this.#agenda.after(delayMs, () => { for (const ref of effect.orders) this.#take(this.#node(effect.worker), ref) })
        return []
      case 'cancel':
        this.#agenda.after(delayMs, () => { for (const ref of effect.attempts) this.#cancel(ref) })
        return []
      case 'inspect': return effect.results.map(ref => ({ type: 'inspected', ...plain(ref), units: 1 }))
      case 'check': return effect.results.map(ref => ({ type: 'checked', ...plain(ref), distance: 0 }))
      case 'journal': return effect.results.map(ref => {
        const id = this.#machine.ownerOf(ref.block, ref.attempt) ?? ''
        this.#by[id] = (this.#by[id] ?? 0) + 1
        return { type: 'committed', ...plain(ref) }
      })
      case 'merge': return [{ type: 'merged', epoch: effect.epoch, upTo: effect.results.at(-1)!.block + 1 }]
      case 'finish': return [{ type: 'finished' }]
      case 'rename': return [{ type: 'renamed' }]
      case 'abort': return [{ type: 'aborted' }]
      case 'timer': {
        const timer = ++this.#timer
        if (effect.at != null) this.#agenda.after(effect.at - this.#agenda.now, () => { if (timer === this.#timer) this.#push({ type: 'tick' }) })
        return []
      }
      case 'end':
        this.#end = { at: this.#agenda.now, error: effect.error?.message }
        return []
      default: return []
    }
  }

  #take (worker: Node, ref: AttemptRef): void {
    const task: Task = { ref: plain(ref), worker, over: false }
    this.#tasks.set(`${ref.block}/${ref.attempt}`, task)
    worker.queue.push(task)
    this.#start(worker)
  }

  #start (worker: Node): void {
    while (!worker.gone && worker.running.size < worker.cores) {
      const task = worker.queue.shift()
      if (task == null) return
      if (task.over) continue
      task.startedAt = this.#agenda.now
      worker.running.add(task)
      if (worker.spec.hangs?.(task.ref.block) === true) continue
      const ms = this.#job.durations[task.ref.block]! * worker.slowness
      this.#agenda.after(ms, () => {
        if (task.over || worker.gone) return
        const failure = worker.spec.fails?.(task.ref.block, this.#agenda.now)
        if (failure == null) this.#finish(task, { type: 'ok', worker: worker.id, ...task.ref, held: 'inline', size: 10, wallMs: ms })
        else this.#finish(task, { type: 'failed', worker: worker.id, ...task.ref, reason: failure, message: `it was a ${failure}` })
      })
    }
  }

  #cancel (ref: AttemptRef): void {
    const task = this.#tasks.get(`${ref.block}/${ref.attempt}`)
    if (task == null || task.over || task.worker.gone) return
    this.#finish(task, { type: 'failed', worker: task.worker.id, ...task.ref, reason: 'cancelled', message: 'cancelled' })
  }

  #finish (task: Task, fact: JobEventIn): void {
    task.over = true
    if (task.startedAt != null) this.#workedMs += this.#agenda.now - task.startedAt
    task.worker.running.delete(task)
    this.#agenda.after(this.#job.delayMs ?? 0, () => { if (!task.worker.gone) this.#push(fact) })
    this.#start(task.worker)
  }

  /** Lehmer's generator with Park and Miller's multiplier: small, and the same everywhere. */
  #random (): number {
    this.#seed = this.#seed * 48271 % 2147483647
    return this.#seed / 2147483647
  }
}

/** Durations of mean ± spread (a share of the mean), evenly drawn from a seed. */
export function drawnDurations (count: number, meanMs: number, spread: number, seed = 7): number[] {
  let state = seed
  return Array.from({ length: count }, () => {
    state = state * 48271 % 2147483647
    return Math.max(1, meanMs * (1 + spread * (2 * state / 2147483647 - 1)))
  })
}
