/** Who has which block, since when, and why blocks moved: read from the state of a job's machine. Pure, and bounded whatever the job's size. */
import type { Attempt, Block, BlockState } from './block-table.ts'
import { ATTEMPTS_VIEWED, BLOCKS_SCANNED, WORKER_BLOCKS_VIEWED, WORKERS_VIEWED } from './constants.ts'
import { doubt, explain, peerWait, type Explanation, type PeerWait } from './explain.ts'
import type { JobState, Move } from './job-state.ts'
import type { WorkerEntry } from './worker-table.ts'

export interface AttemptView {
  /** From 1. */
  attempt: number
  peer: string
  /** `out`: its worker is at work on it, or has it queued · `called-off`: the same, but its result is not wanted · `taken`: its result is the block's · `ended`: nothing came of it. */
  state: 'out' | 'called-off' | 'taken' | 'ended'
  /** Milliseconds since it was given to the peer. */
  ageMs: number
  /** Milliseconds until it was known that nothing comes of it; absent where that is not so. */
  forMs?: number
  /** Why it was given while somebody else had the block. */
  copy?: string
  /** Why nothing came of it. */
  ended?: string
}

export interface BlockView {
  /** From 0, in the order of the input. */
  block: number
  /** Of input. */
  bytes: number
  state: BlockState
  /** The newest ATTEMPTS_VIEWED, oldest first; `attempt` of the last says how many there were. */
  attempts: AttemptView[]
}

export interface WorkerView {
  peer: string
  kind: 'local' | 'remote'
  /** `working`: it has blocks and nothing is amiss. */
  state: 'working' | PeerWait
  message?: string
  /** Milliseconds until that may change by itself. */
  inMs?: number
  /** Blocks it owes an outcome for, the lowest of them, and for how long it has had the oldest. */
  has: number
  blocks: number[]
  oldestMs?: number
  /** Results of it that count. */
  done: number
  /** Of input, as measured while it had work, or as it declares. */
  bytesPerSecond?: number
}

export interface MoveView {
  block: number
  from: string
  /** Absent while nobody has it. */
  to?: string
  /** `from` has it, too. */
  copy: boolean
  reason: string
  agoMs: number
}

export interface MachineView {
  total: number
  /** No block follows. */
  known: boolean
  done: number
  /** Not done: those longest out first, then results on their way to the disk, then what waits. */
  blocks: BlockView[]
  /** Those with work first. */
  workers: WorkerView[]
  /** Workers that are not among them. */
  moreWorkers: number
  /** The newest first. */
  moved: MoveView[]
  why: Explanation
}

export function viewJob (state: JobState, now: number, limit: number): MachineView {
  const { blocks, splitEnded, tally, workers, moves } = state
  const viewed = workers.list.flatMap(worker => viewWorker(state, worker, now) ?? []).sort((a, b) => Number(b.has > 0) - Number(a.has > 0) || (b.oldestMs ?? 0) - (a.oldestMs ?? 0) || b.done - a.done)
  return {
    total: blocks.length,
    known: splitEnded,
    done: tally.doneBlocks,
    blocks: unfinished(state, limit).map(block => viewBlock(block, now)),
    workers: viewed.slice(0, WORKERS_VIEWED),
    moreWorkers: Math.max(0, viewed.length - WORKERS_VIEWED),
    moved: moves.toReversed().map(move => viewMove(blocks[move.block] as Block, move, now)),
    why: explain(state, now)
  }
}

/** What is out is found by who has it; the rest by a look over the blocks behind what is merged, which ends where only untouched ones follow. */
function unfinished ({ blocks, workers, merge }: JobState, limit: number): Block[] {
  if (limit === 0) return []
  const since = new Map<Block, number>()
  for (const worker of workers.list) {
    for (const { block: index, at, given } of worker.open) {
      const block = blocks[index] as Block
      if (!given && block.state === 'leased') since.set(block, Math.min(at, since.get(block) ?? Infinity))
    }
  }
  const out = [...since].sort(([, a], [, b]) => a - b).map(([block]) => block)
  const [settling, tried, fresh]: [Block[], Block[], Block[]] = [[], [], []]
  const end = Math.min(blocks.length, merge.merged + BLOCKS_SCANNED)
  for (let index = merge.merged; index < end && fresh.length < limit; index++) {
    const block = blocks[index] as Block
    if (block.state === 'ready') (block.attempts.length > 0 ? tried : fresh).push(block)
    else if (block.state !== 'leased' && block.state !== 'done') settling.push(block)
  }
  return [...out, ...settling, ...tried, ...fresh].slice(0, limit)
}

function viewBlock (block: Block, now: number): BlockView {
  const { index, size, state, attempts, result } = block
  return { block: index, bytes: size, state, attempts: attempts.slice(-ATTEMPTS_VIEWED).map(attempt => viewAttempt(attempt, result, now)) }
}

function viewAttempt (attempt: Attempt, result: Attempt | undefined, now: number): AttemptView {
  const { attempt: number, worker, at, open, given, copy, ended, endedAt } = attempt
  return {
    attempt: number,
    peer: worker.id,
    state: attempt === result ? 'taken' : open ? given ? 'called-off' : 'out' : 'ended',
    ageMs: Math.round(now - at),
    ...(endedAt != null ? { forMs: Math.round(endedAt - at) } : {}),
    ...(copy != null ? { copy } : {}),
    ...(ended != null ? { ended } : {})
  }
}

/** Undefined of one that only did something in an earlier run. */
function viewWorker (state: JobState, worker: WorkerEntry, now: number): WorkerView | undefined {
  const { id: peer, kind, open, accepted, rate, oldestAt, live } = worker
  const amiss = (live && open.size > 0 ? doubt(worker, now) : undefined) ?? peerWait(state, worker, now)
  if (amiss == null && open.size === 0) return undefined
  return {
    peer,
    kind,
    state: amiss?.reason ?? 'working',
    ...(amiss != null ? { message: amiss.message } : {}),
    ...(amiss?.inMs != null ? { inMs: amiss.inMs } : {}),
    has: open.size,
    blocks: firstBlocks(open),
    ...(oldestAt != null ? { oldestMs: Math.round(now - oldestAt) } : {}),
    done: accepted,
    ...(rate != null ? { bytesPerSecond: Math.round(rate * 1000) } : {})
  }
}

function firstBlocks (open: ReadonlySet<Attempt>): number[] {
  const found: number[] = []
  for (const { block } of open) if (found.push(block) === WORKER_BLOCKS_VIEWED) break
  return found
}

function viewMove (block: Block, { attempt, change, reason = 'no reason is known', at }: Move, now: number): MoveView {
  const copy = change === 'hedged'
  // Attempt n is at n - 1: a copy came from the one before it, what was taken away went to the next.
  const [from, to] = copy ? [block.attempts[attempt - 2], block.attempts[attempt - 1]] : [block.attempts[attempt - 1], block.attempts[attempt]]
  return { block: block.index, from: from?.worker.id ?? 'unknown', ...(to != null ? { to: to.worker.id } : {}), copy, reason, agoMs: Math.round(now - at) }
}
