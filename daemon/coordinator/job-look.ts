/** What a user is told of a job that runs: who has what, and why nothing happens where nothing does. Pure. */
import type { BlockView, MachineView, MoveView, WorkerView } from './block-view.ts'
import { WHY_PEERS_MAX } from './constants.ts'
import type { JobState } from './index.ts'
import type { Explanation } from './explain.ts'
import type { Refusal } from './recruiter.ts'

/**
 * A reason why a job, or a peer for it, does nothing. Without `peer` it is the job's own. `reason` is one of JobWait, PeerWait or (of peers that were never
 * attached) what they or this node's rules gave: `price`, `policy`, a refusal of the protocol; `preparing`, and `more` for peers there is no place for.
 */
export interface Why { peer?: string, reason: string, message: string, inMs?: number }

export interface JobLook {
  job: string
  state: JobState
  /** UTC milliseconds; ages and times in it are relative to this. */
  at: number
  total: number
  known: boolean
  done: number
  blocks: BlockView[]
  workers: WorkerView[]
  moreWorkers: number
  moved: MoveView[]
  why: Why[]
}

interface Facts {
  job: string
  state: JobState
  at: number
  /** Puts what a user knows in the place of names that only this program knows. */
  text: (said: string) => string
}

/** What there is to say while it runs. */
export interface Running { view: MachineView, refusals: Refusal[] }

/** @param running - absent before the first block is cut, and when the job has ended */
export function lookAt ({ job, state, at, text }: Facts, running?: Running): JobLook {
  if (running == null) return { job, state, at, total: 0, known: false, done: 0, blocks: [], workers: [], moreWorkers: 0, moved: [], why: state === 'preparing' ? [PREPARING] : [] }
  const { view: { why, ...view }, refusals } = running
  return {
    job,
    state,
    at,
    ...view,
    blocks: view.blocks.map(block => ({ ...block, attempts: block.attempts.map(attempt => attempt.ended == null ? attempt : { ...attempt, ended: text(attempt.ended) }) })),
    moved: view.moved.map(move => ({ ...move, reason: text(move.reason) })),
    why: whyOf(why, refusals).map(one => ({ ...one, message: text(one.message) }))
  }
}

const PREPARING: Why = { reason: 'preparing', message: 'the input is looked at: type, compression, samples; blocks are given out after that' }

/** They would work if there were something for them to do. */
const WILLING = new Set(['idle', 'passed-over'])

/** The job's own reasons, then the peers left out: those with something amiss, those never attached, those that only have nothing to do. */
export function whyOf ({ job, peers }: Explanation, refusals: readonly Refusal[]): Why[] {
  const told = new Set(peers.map(({ peer }) => peer))
  const all: Why[] = [
    ...peers.filter(({ reason }) => !WILLING.has(reason)),
    ...refusals.filter(({ peer }) => !told.has(peer)).map(({ peer, reason, message }) => ({ peer, reason, message })),
    ...peers.filter(({ reason }) => WILLING.has(reason))
  ]
  const more = all.length - WHY_PEERS_MAX
  return [...job, ...all.slice(0, WHY_PEERS_MAX), ...(more > 0 ? [{ reason: 'more', message: `${more} more peers are left out` }] : [])]
}
