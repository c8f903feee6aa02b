/** What the job machine knows of its workers, and how fast each is. Only the machine changes it. */
import { Breaker, type BreakerRecord, type BreakerRules } from './breaker.ts'
import { AHEAD_GAIN, AHEAD_MS, FIRST_BLOCKS, JOB_LIMITS, RATE_WINDOW_MS, SPEED_PRIOR } from './constants.ts'
import { cheapestFirst, tooDear, type Asked, type PriceLimit } from './prices.ts'
import type { Attempt, Block } from './block-table.ts'

const BREAKER_RULES: BreakerRules = { failures: JOB_LIMITS.breakerFailures, ms: JOB_LIMITS.breakerMs, msMax: JOB_LIMITS.breakerMsMax }

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
  /** It was told that it takes no new blocks, and when. */
  drainTold = false
  drainToldAt = -Infinity
  /** Its place among the prices; of equal rank, of equal price. */
  rank = 0
  /** Attempts it owes an outcome for. */
  readonly open = new Set<Attempt>()
  openBytes = 0
  /** Its results that are not durable yet. */
  settling = 0
  /** Refused for lack of room: gets nothing until then. */
  pausedUntil = 0
  refusalsInRow = 0
  readonly breaker: Breaker
  /** Blocks it failed since its last good result. */
  streak: Block[] = []
  failed = 0
  lost: string | undefined = undefined
  /** Results taken and not rejected. */
  accepted = 0
  wallMs = 0
  /** Results drawn for a full comparison. */
  drawn = 0
  /** When its last good result came. */
  goodAt = -Infinity
  /** Orders it may have out while its speed is not known; doubles with every result. */
  ramp = FIRST_BLOCKS
  #doneBlocks = 0
  #doneBytes = 0
  /** Milliseconds per byte of its quickest result: what its work takes where it does not wait behind other work. */
  #quickest = Infinity
  #busyMs = 0
  #markedAt = 0
  /** Milliseconds its engines were at work, by its own word and no more than we waited, and for how many bytes. */
  #engineMs = 0
  #engineBytes = 0
  #declared: number | undefined

  constructor (id: string, kind: 'local' | 'remote', breaker: Breaker = new Breaker(BREAKER_RULES)) {
    this.id = id
    this.kind = kind
    this.breaker = breaker
  }

  join (kind: 'local' | 'remote', slots: number, bytesPerSecond: number | undefined): void {
    this.kind = kind
    this.slots = slots
    this.live = true
    this.lost = undefined
    this.suspect = undefined
    this.dearTold = false
    this.drainTold = false
    this.#declared = bytesPerSecond == null ? undefined : bytesPerSecond / 1000
  }

  get usable (): boolean {
    return this.live && this.out == null && !this.distrusted
  }

  /** May be given blocks, now or when it has room. */
  get eligible (): boolean {
    return this.usable && this.tooDear == null
  }

  /** May be given blocks, is not doubted, and did not fail repeatedly. */
  get healthy (): boolean {
    return this.eligible && this.slots > 0 && this.suspect == null && this.breaker.closed
  }

  /** Bytes per millisecond while it has work, as measured or declared; undefined if nothing is known. */
  get rate (): number | undefined {
    return this.#busyMs >= 1 && this.#doneBytes > 0 ? this.#doneBytes / this.#busyMs : this.#declared
  }

  /**
   * The same, with as many blocks at the speed of the others mixed in as `SPEED_PRIOR` says: blocks differ, and a few quick ones do not make a worker fast.
   */
  speed (others: number): number {
    if (this.#busyMs < 1 || this.#doneBytes === 0) return this.#declared ?? others
    const prior = SPEED_PRIOR * this.#doneBytes / this.#doneBlocks
    return (this.#doneBytes + prior) / (this.#busyMs + prior / others)
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

  /** Blocks it works on side by side, by Little's law from its speed and the time its engines take; undefined before its first result. */
  get abreast (): number | undefined {
    const { rate } = this
    return this.#engineBytes === 0 || rate == null ? undefined : Math.max(1, Math.round(rate * this.#engineMs / this.#engineBytes))
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
    attempt.queued = this.openBytes
  }

  /** What its engines say of a good result. */
  worked (bytes: number, engineMs: number): void {
    if (this.#engineMs > RATE_WINDOW_MS) {
      this.#engineMs /= 2
      this.#engineBytes /= 2
    }
    this.#engineMs += engineMs
    this.#engineBytes += bytes
  }

  /** The attempt ended; its slot is free. */
  take (attempt: Attempt, bytes: number, now: number, good: boolean): void {
    this.#mark(now)
    attempt.open = false
    this.open.delete(attempt)
    this.openBytes -= bytes
    if (!good) return
    this.goodAt = now
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
  readonly #rules: BreakerRules
  readonly #known = new Map<string, BreakerRecord>()
  #byPrice: WorkerEntry[] = []
  #sorted = true

  constructor (limit: PriceLimit, rules: BreakerRules = BREAKER_RULES, known: Iterable<BreakerRecord> = []) {
    this.#limit = limit
    this.#rules = rules
    for (const record of known) this.#known.set(record.worker, record)
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
      entry = new WorkerEntry(id, kind, new Breaker(this.#rules, this.#known.get(id)))
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
