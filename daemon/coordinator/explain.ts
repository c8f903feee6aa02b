/** Why a job does not run, or not everywhere: answered from the state of its machine. Pure. */
import type { JobState } from './job-state.ts'
import type { WorkerEntry } from './worker-table.ts'

/**
 * Why a worker gets nothing. `busy`: it refused for lack of room; `refused`: it cannot or will not do this job; `cut-off`: it failed repeatedly; `idle`:
 * nothing is left for it; `passed-over`: what waits is better off with others.
 */
export type PeerWait = 'suspect' | 'cut-off' | 'price' | 'draining' | 'busy' | 'distrusted' | 'refused' | 'lost' | 'passed-over' | 'idle'

/**
 * What the job waits for. `types`: the rest of the input is read first; `earlier-run`: what an earlier run knew of the schema is read again; `disk`: results
 * that are not durable yet; `worker`: nobody can take a block; `search`: the first search for workers; `splitter`: blocks that are not cut yet;
 * `results`: all blocks are out or back; `output`: the output is ended and checked.
 */
export type JobWait = 'types' | 'earlier-run' | 'disk' | 'worker' | 'search' | 'splitter' | 'results' | 'output'

export interface Explanation {
  /** Empty where blocks are given out as they come. */
  job: Array<{ reason: JobWait, message: string, inMs?: number }>
  /** Workers of this job that get nothing at present; those that have work are left out. `inMs`: when that may change by itself. */
  peers: Array<{ peer: string, reason: PeerWait, message: string, inMs?: number }>
}

export function explain (state: JobState, now: number): Explanation {
  return { job: jobWaits(state, now), peers: state.workers.list.flatMap(worker => peerWait(state, worker, now) ?? []) }
}

function jobWaits (state: JobState, now: number): Explanation['job'] {
  const { phase, blocks, tally, queue, epoch, init, splitEnded, settlingRoom, provision, workers, rechecks } = state
  if (phase === 'aborting' || phase === 'ended') return []
  if (phase !== 'running') return [{ reason: 'output', message: rechecks > 0 ? `${rechecks} results are compared again before the output is renamed` : 'the output is ended and checked' }]
  const waits: Explanation['job'] = []
  if (state.proving) {
    if (epoch < (init.resumeEpoch ?? 0)) waits.push({ reason: 'earlier-run', message: `the input is read up to change ${init.resumeEpoch} of the schema, which an earlier run had seen (now ${epoch})` })
    else waits.push({ reason: 'types', message: `the schema changed ${epoch} times: the rest of the input is read before more blocks are given out` })
  }
  if (!settlingRoom) waits.push({ reason: 'disk', message: 'results wait to be written; nothing is given out until the disk catches up' })
  if (!workers.list.some(({ eligible, slots, open }) => eligible && (slots > 0 || open.size > 0))) {
    if (!provision.settled) waits.push({ reason: 'search', message: 'the first search for workers is under way' })
    else waits.push({ reason: 'worker', message: 'no worker can take blocks', ...inMs(provision.nextTime, now) })
  } else if (queue.length > 0 && !workers.list.some(({ healthy }) => healthy)) {
    waits.push({ reason: 'worker', message: 'every worker is suspect, cut off or too dear', ...inMs(provision.nextTime, now) })
  }
  if (queue.length === 0 && !splitEnded) waits.push({ reason: 'splitter', message: `the input is being split; ${blocks.length} blocks so far` })
  else if (queue.length === 0 && tally.doneBlocks < blocks.length) waits.push({ reason: 'results', message: `blocks given out: ${blocks.length}; not done: ${blocks.length - tally.doneBlocks}` })
  return waits
}

export function peerWait (state: JobState, worker: WorkerEntry, now: number): Explanation['peers'][number] | undefined {
  const { id: peer } = worker
  if (worker.distrusted) return { peer, reason: 'distrusted', message: 'it gave a wrong result' }
  if (worker.out != null) return { peer, reason: 'refused', message: worker.out }
  // Of some it is only known that they worked in an earlier run.
  if (!worker.live) return worker.lost == null ? undefined : { peer, reason: 'lost', message: worker.lost }
  if (worker.open.size > 0) return undefined
  const doubted = doubt(worker, now)
  if (doubted != null) return doubted
  if (state.phase !== 'running' || state.proving || !state.settlingRoom) return undefined
  if (state.queue.length > 0) return { peer, reason: 'passed-over', message: 'the blocks that wait failed here, or others will be done with them sooner' }
  return { peer, reason: 'idle', message: 'no block is left for it' }
}

/** Why a worker that is there gets no new blocks, also while it is at work on old ones. */
export function doubt (worker: WorkerEntry, now: number): Explanation['peers'][number] | undefined {
  const { id: peer, breaker, tooDear } = worker
  if (tooDear != null) return { peer, reason: 'price', message: tooDear }
  if (worker.slots === 0) return { peer, reason: 'draining', message: 'it takes no new blocks' }
  if (worker.suspect != null) return { peer, reason: 'suspect', message: worker.suspect }
  if (!breaker.closed) {
    const trial = breaker.state(now) === 'open' ? 'one block is tried then' : 'the next block is its trial'
    return { peer, reason: 'cut-off', message: `it failed repeatedly (${breaker.cause ?? 'unknown'}); ${trial}`, ...inMs(breaker.retryAt, now) }
  }
  if (worker.pausedUntil > now) return { peer, reason: 'busy', message: 'it refused for lack of room', ...inMs(worker.pausedUntil, now) }
  return undefined
}

/** Milliseconds until then, if that is a time to come. */
function inMs (at: number, now: number): { inMs?: number } {
  return at > now && at < Infinity ? { inMs: Math.ceil(at - now) } : {}
}
