/** Who gets the next block, how large blocks are, and whether remote work is worth it. Pure. */
import { BLOCKS_MAX, CHEAP_BYTES_MAX, PROOF_AFTER_WORKERS, TAIL_PATIENCE } from './constants.ts'
import type { Block } from './block-table.ts'
import type { ReadyQueue } from './ready-queue.ts'
import type { WorkerEntry } from './worker-table.ts'

export interface DealContext {
  now: number
  /** Orders in flight per worker instead of its capacity. */
  inFlight?: number
  /** Results that are not durable yet count as in flight. */
  awaitCommit?: boolean
  /** No more blocks will come: the end of the job is near when few wait. */
  splitEnded: boolean
  /** A fault planted for the simulator's own test. */
  feedSuspects?: boolean
}

/** Blocks the worker may be given now; who failed repeatedly gets none, or one to try. */
export function room (worker: WorkerEntry, context: DealContext): number {
  if (worker.slots === 0) return 0
  const free = (context.inFlight ?? worker.capacity) - worker.open.size - (context.awaitCommit === true ? worker.settling : 0)
  return worker.breaker.closed ? free : Math.min(free, worker.breaker.room(context.now))
}

/** Milliseconds all it has and one block more take the worker, by what was measured; without any measure, by load alone. */
function estimateMs (worker: WorkerEntry, size: number, fallbackRate: number): number {
  return (worker.openBytes + size + 1) / (worker.rate ?? fallbackRate)
}

/**
 * Milliseconds until the worker would have done one more block. One whose oldest attempt took far longer than its speed allows is expected
 * to stay away for as long again: its measured speed alone would stand still, for it moves only with results.
 */
export function expectedMs (worker: WorkerEntry, size: number, fallbackRate: number, now: number): number {
  const estimate = estimateMs(worker, size, fallbackRate)
  return now < patienceEnds(worker, estimate) ? estimate : estimate + now - (worker.oldestAt ?? now)
}

/** Until when a worker that is at work is believed to be as fast as it was measured. */
function patienceEnds (worker: WorkerEntry, estimate: number): number {
  return worker.oldestAt == null ? Infinity : worker.oldestAt + TAIL_PATIENCE * estimate
}

/** Bytes per millisecond of a worker, where it is known; 1 if it is known of none. */
export function meanRate (workers: readonly WorkerEntry[]): number {
  let sum = 0
  let known = 0
  for (const { rate } of workers) {
    if (rate == null) continue
    sum += rate
    known++
  }
  return known === 0 ? 1 : sum / known
}

/**
 * Gives waiting blocks to workers with room: the cheapest first, one each in turn among those of equal price. Who asks more than the job pays
 * is passed over, and so is who is suspect or cut off while anybody healthy is there. A block that failed somewhere goes elsewhere if there is an
 * elsewhere; one that failed with several goes to who did something right in this job, if there is one.
 * Near the end a block waits for a fast worker rather than be given to a slow one that would be the last to finish, but only as long as the
 * fast one keeps to what it was measured at: time decides there, and price only between equal times. `workers` come cheapest first. Gives the
 * time at which to deal again though nothing happened; Infinity: no need.
 */
export function deal (queue: ReadyQueue, workers: readonly WorkerEntry[], context: DealContext, give: (block: Block, worker: WorkerEntry) => void): number {
  if (queue.length === 0) return Infinity
  const usable: WorkerEntry[] = []
  const open: WorkerEntry[] = []
  let slots = 0
  const doubted = context.feedSuspects !== true && workers.some(worker => worker.healthy)
  for (const worker of workers) {
    if (!worker.eligible || worker.slots === 0 || (doubted && worker.suspect != null)) continue
    // One that is cut off is not waited for; if it may be tried, it is one of those who can take a block.
    const sound = worker.breaker.closed
    if (sound) {
      usable.push(worker)
      slots += context.inFlight ?? worker.capacity
    }
    if (worker.pausedUntil <= context.now && room(worker, context) > 0) {
      open.push(worker)
      if (!sound) usable.push(worker)
    }
  }
  if (open.length === 0) return Infinity
  const several = usable.length > 1
  const fallback = several ? meanRate(usable) : 1
  const held: Block[] = []
  let again = Infinity
  let turn = 0
  let cheapest = leadersOf(open)
  while (open.length > 0) {
    const tail = several && context.splitEnded && queue.length <= slots
    const block = queue.take()
    if (block == null) break
    let at = turn % cheapest
    if (several && (tail || block.avoid != null)) at = choose(block, open, usable, tail, fallback, context.now)
    if (at < 0) {
      held.push(block)
      again = Math.min(again, waitsUntil(block, usable, fallback, context.now))
      // What follows would wait for the same: to ask for each would cost blocks times workers in every step.
      if (block.avoid == null) break
      continue
    }
    const worker = open[at] as WorkerEntry
    give(block, worker)
    if (room(worker, context) > 0) turn = at + 1
    else {
      open.splice(at, 1)
      // Only when the last of a price has no more room do those of the next get their turn.
      if (at < cheapest && --cheapest === 0) cheapest = leadersOf(open)
    }
  }
  for (const block of held) queue.putBack(block)
  return again
}

/** How many at the head of the list ask the least. */
function leadersOf (open: WorkerEntry[]): number {
  const rank = open[0]?.rank
  let count = 0
  while (count < open.length && open[count]?.rank === rank) count++
  return count
}

/** When the first of those a waiting block may wait for loses its patience; until then waiting is what `choose` said. */
function waitsUntil (block: Block, usable: WorkerEntry[], fallback: number, now: number): number {
  let until = Infinity
  for (const worker of usable) {
    const ends = patienceEnds(worker, estimateMs(worker, block.size, fallback))
    if (ends > now) until = Math.min(until, ends)
  }
  return until
}

/** Index in `open`, or -1 if the block should rather wait. */
function choose (block: Block, open: WorkerEntry[], usable: WorkerEntry[], tail: boolean, fallback: number, now: number): number {
  const avoid = block.avoid
  const elsewhere = avoid != null && usable.some(worker => !avoid.includes(worker))
  const proven = avoid != null && avoid.length >= PROOF_AFTER_WORKERS && usable.some(worker => worker.accepted > 0 && !avoid.includes(worker) &&
    now < patienceEnds(worker, estimateMs(worker, block.size, fallback)))
  let best = -1
  let bestMs = Infinity
  for (let i = 0; i < open.length; i++) {
    const worker = open[i] as WorkerEntry
    if ((elsewhere && avoid.includes(worker)) || (proven && worker.accepted === 0)) continue
    // Cheapest first: before the tail, who comes later and asks more is not looked at.
    if (!tail && best >= 0 && worker.rank > (open[best] as WorkerEntry).rank) break
    const ms = expectedMs(worker, block.size, fallback, now)
    if (ms < bestMs) {
      best = i
      bestMs = ms
    }
  }
  if (best < 0 || !tail) return best
  for (const worker of usable) {
    // A paused or idle one without room could not be waited for: only somebody at work will come back for it.
    if (worker.open.size === 0 || (elsewhere && avoid.includes(worker))) continue
    const estimate = estimateMs(worker, block.size, fallback)
    if (now < patienceEnds(worker, estimate) && estimate * TAIL_PATIENCE < bestMs) return -1
  }
  return best
}

export interface Placement {
  place: 'any' | 'local' | 'remote'
  /** Why, in words for the user. */
  reason: string
}

/** Cheap work stays local: sending little data costs more than converting it. */
export function planPlace (wanted: 'any' | 'local' | 'remote', totalBytes: number, nodes: string[] | undefined): Placement {
  if (wanted === 'local') return { place: 'local', reason: 'local only, as asked' }
  if (wanted === 'remote') return { place: 'remote', reason: 'remote only, as asked' }
  if (nodes != null && nodes.length > 0) return { place: 'any', reason: `only the ${nodes.length} nodes named` }
  if (totalBytes < CHEAP_BYTES_MAX) {
    return { place: 'local', reason: `${totalBytes} bytes of input are below ${CHEAP_BYTES_MAX}: converting here is cheaper than sending` }
  }
  return { place: 'any', reason: `${totalBytes} bytes of input: this node and every peer that offers the conversion` }
}

/** Bytes that take about one to two seconds on one core, by source type where it was measured. */
const BYTES_PER_BLOCK: Record<string, number> = {
  'text/csv': 16 * 1024 * 1024,
  'application/x-ndjson': 16 * 1024 * 1024,
  'application/vnd.apache.parquet': 8 * 1024 * 1024
}
const BYTES_PER_BLOCK_DEFAULT = 16 * 1024 * 1024
/** Below this a block's own overhead (order, process, merge) outweighs its work. */
const BLOCK_BYTES_MIN = 256 * 1024
/** Blocks per slot to aim at, so that no slot idles for long at the end of a job. */
const BLOCKS_PER_SLOT = 3

/** Bytes per block for a job, from its size, its source type and the slots that are known. */
export function planBlockBytes (mediaType: string, totalBytes: number, slots: number): number {
  const wanted = BYTES_PER_BLOCK[mediaType] ?? BYTES_PER_BLOCK_DEFAULT
  const shared = Math.ceil(totalBytes / (BLOCKS_PER_SLOT * Math.max(1, slots)))
  return clampBlockBytes(Math.max(BLOCK_BYTES_MIN, Math.min(wanted, shared)), totalBytes)
}

/** Never more than BLOCKS_MAX blocks, with room for splitters that end blocks early. */
export function clampBlockBytes (bytes: number, totalBytes: number): number {
  return Math.max(1, Math.floor(bytes), Math.ceil(totalBytes / (BLOCKS_MAX * 7 / 8)))
}
