/** What the job machine knows of its workers, and how fast each is. Only the machine changes it. */
import { AHEAD_GAIN, AHEAD_MS, FIRST_BLOCKS, RATE_WINDOW_MS } from './constants.ts'
import { cheapestFirst, tooDear, type Asked, type PriceLimit } from './prices.ts'
import type { Attempt } from './block-table.ts'

export class WorkerEntry {
  readonly id: string
  kind: 'local' | 'remote'
  /** Orders it takes at a time, by its own word; 0 while it drains. */
  slots = 0
  /** Attached at present. */
  live = false
  /** Why the failure detector doubts it. */
  suspect: string | undefined = undefined
  /** Why this job does not use it any more. */
  out: string | undefined = undefined
  /** Caught with a wrong result. */
  distrusted = false
  /** What it asks, as last heard; undefined: nothing. */
  asked: Asked | undefined = undefined
  /** Why its price is not paid, so that it gets nothing more; what it has it finishes. */
  tooDear: string | undefined = undefined
  /** Whether its price was said to be too much when it was last told of, and when that was. */
  dearTold = false
  priceToldAt = -Infinity
  /** Its place among the prices; of equal rank, of equal price. */
  rank = 0
  /** Attempts it owes an outcome for. */
  readonly open = new Set<Attempt>()
  openBytes = 0
  /** Its results that are not durable yet. */
  settling = 0
  /** Gets nothing until then. */
  pausedUntil = 0
  failuresInRow = 0
  refusalsInRow = 0
  failed = 0
  lost: string | undefined = undefined
  /** Results taken and not rejected. */
  accepted = 0
  wallMs = 0
  /** Results drawn for a full comparison. */
  drawn = 0
  /** Orders it may have out while its speed is not known; doubles with every result. */
  ramp = FIRST_BLOCKS
  #doneBlocks = 0
  #doneBytes = 0
  /** Milliseconds per byte of its quickest result: what its work takes where it does not wait behind other work. */
  #quickest = Infinity
  #busyMs = 0
  #markedAt = 0
  #declared: number | undefined

  constructor (id: string, kind: 'local' | 'remote') {
    this.id = id
    this.kind = kind
  }

  join (kind: 'local' | 'remote', slots: number, bytesPerSecond: number | undefined): void {
    this.kind = kind
    this.slots = slots
    this.live = true
    this.lost = undefined
    this.suspect = undefined
    this.dearTold = false
    this.#declared = bytesPerSecond == null ? undefined : bytesPerSecond / 1000
  }

  get usable (): boolean {
    return this.live && this.out == null && !this.distrusted
  }

  /** May be given blocks, now or when it has room. */
  get eligible (): boolean {
    return this.usable && this.tooDear == null
  }

  /** Bytes per millisecond while it has work, as measured or declared; undefined if nothing is known. */
  get rate (): number | undefined {
    return this.#busyMs >= 1 && this.#doneBytes > 0 ? this.#doneBytes / this.#busyMs : this.#declared
  }

  /**
   * Orders it may have out: its slots, but of a peer no more than it showed in this job that it can do soon. Anybody can declare slots, and
   * who asks little would draw all blocks with them. Its declared speed is no proof either.
   */
  get capacity (): number {
    const { slots } = this
    if (slots <= FIRST_BLOCKS || this.kind === 'local') return slots
    if (this.#busyMs < 1 || this.#doneBlocks === 0) return Math.min(slots, this.ramp)
    const blockMs = this.#doneBytes === 0 ? 0 : this.#quickest * this.#doneBytes / this.#doneBlocks
    const ahead = Math.floor(this.#doneBlocks / this.#busyMs * Math.max(AHEAD_MS, AHEAD_GAIN * blockMs))
    return Math.min(slots, Math.max(FIRST_BLOCKS, ahead))
  }

  /** When the oldest attempt it owes an outcome for was given; undefined if it owes none. */
  get oldestAt (): number | undefined {
    // Attempts are opened in order of time, and a set keeps that order.
    for (const { at } of this.open) return at
    return undefined
  }

  give (attempt: Attempt, bytes: number, now: number): void {
    this.#mark(now)
    this.open.add(attempt)
    this.openBytes += bytes
  }

  /** The attempt ended; its slot is free. */
  take (attempt: Attempt, bytes: number, now: number, good: boolean): void {
    this.#mark(now)
    attempt.open = false
    this.open.delete(attempt)
    this.openBytes -= bytes
    if (!good) return
    this.ramp = Math.min(2 * this.ramp, Number.MAX_SAFE_INTEGER)
    this.#doneBlocks++
    this.#doneBytes += bytes
    if (bytes > 0) this.#quickest = Math.min(this.#quickest, (now - attempt.at) / bytes)
  }

  #mark (now: number): void {
    if (this.open.size > 0 && now > this.#markedAt) {
      // Before time is added, so that results of one moment count alike.
      if (this.#busyMs > RATE_WINDOW_MS) {
        this.#busyMs /= 2
        this.#doneBytes /= 2
        this.#doneBlocks /= 2
      }
      this.#busyMs += now - this.#markedAt
    }
    this.#markedAt = now
  }
}

export class WorkerTable {
  readonly #entries = new Map<string, WorkerEntry>()
  /** In the order of their first joining, so that a replay deals the same. */
  readonly list: WorkerEntry[] = []
  readonly #limit: PriceLimit
  #byPrice: WorkerEntry[] = []
  #sorted = true

  constructor (limit: PriceLimit) {
    this.#limit = limit
  }

  /** The same, cheapest first. Sorted when a price changed only: blocks are dealt far more often. */
  get byPrice (): readonly WorkerEntry[] {
    if (this.#sorted) return this.#byPrice
    this.#sorted = true
    this.#byPrice = cheapestFirst(this.list, this.#limit.unit).map(({ worker, rank }) => {
      worker.rank = rank
      return worker
    })
    return this.#byPrice
  }

  get (id: string): WorkerEntry | undefined {
    return this.#entries.get(id)
  }

  obtain (id: string, kind: 'local' | 'remote'): WorkerEntry {
    let entry = this.#entries.get(id)
    if (entry == null) {
      entry = new WorkerEntry(id, kind)
      this.#entries.set(id, entry)
      this.list.push(entry)
      this.#sorted = false
    }
    return entry
  }

  /** Work of this node itself costs nothing, whatever it asks of others. */
  price (entry: WorkerEntry, asked: Asked): void {
    if (entry.kind === 'local') return
    entry.asked = asked
    entry.tooDear = tooDear(asked, this.#limit)
    this.#sorted = false
  }
}
