/** Counts for the report and a bound on news. Decides nothing. */
import { BLOCK_NEWS_PER_SECOND, BLOCK_NEWS_SPARE, ROUND_TRIPS_MAX } from './constants.ts'
import type { Breaker } from './breaker.ts'
import type { Block } from './block-table.ts'
import type { JobCounts } from './machine-types.ts'
import type { WorkerEntry } from './worker-table.ts'

/** A bounded, even sample: when it is full, every second value goes and later ones are taken half as often. */
class Sample {
  #values: number[] = []
  #stride = 1
  #seen = 0

  add (value: number): void {
    if (this.#seen++ % this.#stride !== 0) return
    this.#values.push(value)
    if (this.#values.length < ROUND_TRIPS_MAX) return
    this.#values = this.#values.filter((_, i) => i % 2 === 0)
    this.#stride *= 2
  }

  get values (): readonly number[] { return this.#values }
}

/** Absent while it is closed: that is how it should be. */
function breakerCounts (breaker: Breaker, now: number): Pick<JobCounts['workers'][number], 'breaker'> {
  const state = breaker.state(now)
  return state === 'closed' ? {} : { breaker: { state, cause: breaker.cause, untilMs: breaker.retryAt } }
}

export class Tally {
  bytesKnown = 0
  doneBlocks = 0
  redispatched = 0
  redone = 0
  /** Copies of blocks that were out elsewhere, and their bytes. */
  hedged = 0
  hedgedBytes = 0
  /** Blocks taken back from a worker that had not begun them. */
  stolen = 0
  whole = false
  #bytesDone = 0
  #local = 0
  #remote = 0
  #rejected = 0
  #checked = 0
  #greatestDistance = 0
  #units = 0
  #duplicates = 0
  #duplicateBytes = 0
  readonly #resultTrips = new Sample()
  readonly #durableTrips = new Sample()
  #newsLeft = BLOCK_NEWS_PER_SECOND
  #newsAt = 0

  /** A result came back this long after its order left. */
  arrived (roundTripMs: number): void {
    this.#resultTrips.add(roundTripMs)
  }

  done (block: Block, durableMs: number): void {
    this.doneBlocks++
    this.#bytesDone += block.size
    this.#units += block.units
    if (block.by?.kind === 'local') this.#local++
    else this.#remote++
    this.#durableTrips.add(durableMs)
  }

  /** A block was done in an earlier run of the job; how long that took is not known any more. */
  restored (block: Block): void {
    this.doneBlocks++
    this.#bytesDone += block.size
    this.#units += block.units
    if (block.by?.kind === 'local') this.#local++
    else this.#remote++
    if (block.checked) this.#checked++
  }

  /** A block that was done lost its result again. */
  undone (block: Block): void {
    this.doneBlocks--
    this.#bytesDone -= block.size
    this.#units -= block.units
    if (block.by?.kind === 'local') this.#local--
    else this.#remote--
  }

  /** A result was compared and is good. */
  compared (distance: number): void {
    this.#checked++
    this.#greatestDistance = Math.max(this.#greatestDistance, distance)
  }

  /** A result that had been compared is withdrawn. */
  uncompared (): void {
    this.#checked--
  }

  /** A good result of a block that had one: work done twice. */
  duplicate (block: Block): void {
    this.#duplicates++
    this.#duplicateBytes += block.size
  }

  rejected (): void {
    this.#rejected++
  }

  /** Whether one more piece of news about a single block may be sent now. What moves is told also where much is given out and done. */
  mayTell (now: number, routine: boolean): boolean {
    if (now - this.#newsAt >= 1000) {
      this.#newsAt = now
      this.#newsLeft = BLOCK_NEWS_PER_SECOND
    }
    if (this.#newsLeft <= (routine ? BLOCK_NEWS_SPARE : 0)) return false
    this.#newsLeft--
    return true
  }

  counts ({ blocks, known, merged, epochs }: Pick<JobCounts, 'blocks' | 'known' | 'merged' | 'epochs'>, workers: WorkerEntry[], now: number): JobCounts {
    let workersLive = 0
    for (const worker of workers) if (worker.eligible || (worker.usable && worker.open.size > 0)) workersLive++
    return {
      blocks,
      known,
      merged,
      epochs,
      workersLive,
      done: this.doneBlocks,
      bytesDone: this.#bytesDone,
      bytesKnown: this.bytesKnown,
      local: this.#local,
      remote: this.#remote,
      redispatched: this.redispatched,
      redone: this.redone,
      hedged: this.hedged,
      hedgedBytes: this.hedgedBytes,
      stolen: this.stolen,
      duplicates: this.#duplicates,
      duplicateBytes: this.#duplicateBytes,
      rejected: this.#rejected,
      checked: this.#checked,
      greatestDistance: this.#greatestDistance,
      units: this.#units,
      whole: this.whole,
      workers: workers.map(({ id, accepted, wallMs, failed, lost, asked, suspect, breaker }) => ({
        id, blocks: accepted, wallMs, failed, lost, asked, ...(suspect != null ? { suspect } : {}), ...breakerCounts(breaker, now)
      })),
      roundTrips: this.#resultTrips.values,
      durableTrips: this.#durableTrips.values
    }
  }
}
