/** The virtual clock: what happens, in order of time, and a trace of it that is equal for equal seeds. */
import { Random } from './random.ts'

/** Something that must never happen did. `job` and `block` say whose story explains it. */
export class Violation extends Error {
  override readonly name = 'Violation'
  readonly job: string | undefined
  readonly block: number | undefined

  constructor (message: string, concerning: { job?: string, block?: number } = {}) {
    super(message)
    this.job = concerning.job
    this.block = concerning.block
  }
}

/** What dies with a crash: everything scheduled for a life that is over does not happen. */
export class Life {
  over = false
  /** It stands still: what is due before then happens then, in order. */
  idleUntil = 0
  /** Its timers have their turns, what comes from outside waits until then. */
  deafUntil = 0
}

interface Happening { at: number, order: number, life: Life | undefined, label: string, act: () => void }

/** More in one virtual moment means that somebody goes round in circles. */
const CROWD_MAX = 100_000

/** Happenings a failure prints. */
const TRACE_KEPT = 60

export class World {
  now = 0
  readonly random: Random
  #order = 0
  #heap: Happening[] = []
  #hash = 0x811c9dc5
  #steps = 0
  #kept: string[] = []
  /** Happenings of this very moment. */
  #crowd = 0

  constructor (seed: number) {
    this.random = new Random(seed)
  }

  get steps (): number { return this.#steps }

  /** Equal for equal runs. */
  get traceHash (): string { return (this.#hash >>> 0).toString(16).padStart(8, '0') }

  get lastEvents (): string[] { return [...this.#kept] }

  after (delayMs: number, life: Life | undefined, label: string, act: () => void): void {
    this.#push({ at: this.now + Math.max(0, delayMs), order: this.#order++, life, label, act })
  }

  /** Puts a line into the trace. */
  note (text: string): void {
    const line = `${this.now.toFixed(3)} ${text}`
    let hash = this.#hash
    for (let i = 0; i < line.length; i++) hash = Math.imul(hash ^ line.charCodeAt(i), 0x01000193)
    this.#hash = hash
    if (this.#kept.push(line) > 2 * TRACE_KEPT) this.#kept = this.#kept.slice(-TRACE_KEPT)
  }

  /** Runs until `over` says so, nothing is left, or the clock passes `untilMs`. */
  run (over: () => boolean, untilMs: number): void {
    for (;;) {
      const next = this.#pop()
      if (next == null || next.at > untilMs) {
        if (next != null) this.#push(next)
        this.now = Math.max(this.now, untilMs)
        return
      }
      if (next.at > this.now) this.#crowd = 0
      else if (++this.#crowd > CROWD_MAX) throw new Violation(`${CROWD_MAX} things happen in one moment, the last: ${next.label === '' ? String(next.act) : next.label}`)
      this.now = next.at
      const { life } = next
      if (life != null) {
        if (life.over) continue
        if (life.idleUntil > this.now) {
          next.at = life.idleUntil
          next.order = this.#order++
          this.#push(next)
          continue
        }
      }
      this.#steps++
      if (next.label !== '') this.note(next.label)
      next.act()
      if (over()) return
    }
  }

  #push (happening: Happening): void {
    const heap = this.#heap
    let at = heap.push(happening) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(happening, heap[parent] as Happening)) break
      heap[at] = heap[parent] as Happening
      at = parent
    }
    heap[at] = happening
  }

  #pop (): Happening | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top == null || last == null || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Happening, heap[child] as Happening)) child++
      if (!before(heap[child] as Happening, last)) break
      heap[at] = heap[child] as Happening
      at = child
    }
    heap[at] = last
    return top
  }
}

function before (a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
