/**
 * What a job's events tell of one fault: when the worker was doubted and given up, when each block it held was given to somebody else, and what
 * was done twice. Times are the requester's own (`at` of its events), so that nothing a reader does in between is measured. Pure.
 */
import type { JobEvent } from '../daemon/coordinator/index.ts'

export interface FaultAt {
  /** UTC milliseconds. */
  at: number
  /** The worker it struck. */
  peer: string
}

/** Milliseconds after the fault throughout. */
export interface Story {
  /** Absent: never, while the job ran. */
  suspectMs?: number
  lostMs?: number
  /** Blocks the worker had, or was given before the fault was noticed, and gave no result of. */
  held: number
  /** Per such block: until it was ordered from somebody else. */
  orderedMs: number[]
  /** Per such block: until it ran there at the latest, reckoned back from its result by the duration it was declared to have. */
  runningMs: number[]
  /** Blocks of the job, and orders beyond one for each, but for those taken back before they were begun: what may have been done twice. */
  blocks: number
  redone: number
  /** Workers given up although no fault had struck them; those doubted, too. */
  falseDeaths: number
  falseDoubts: number
}

type BlockEvent = Extract<JobEvent, { type: 'block' }>

const isOrder = ({ change }: BlockEvent): boolean => change === 'dispatched' || change === 'hedged'

/** Blocks whose newest order of that peer was open at that moment. */
export function heldAt (events: readonly BlockEvent[], { at, peer }: FaultAt): number[] {
  const held = new Set<number>()
  for (const event of events) {
    if (event.at > at) break
    if (event.peer !== peer) continue
    if (isOrder(event)) held.add(event.block)
    else held.delete(event.block)
  }
  return [...held]
}

/** `blockMs` is the declared duration of every block. */
export function storyOf (events: readonly JobEvent[], fault: FaultAt, blockMs: number): Story {
  const blockEvents = events.filter(event => event.type === 'block')
  const workerEvents = events.filter(event => event.type === 'worker')
  const first = (change: string): number | undefined => {
    const found = workerEvents.find(event => event.at >= fault.at && event.peer === fault.peer && event.change === change)
    return found == null ? undefined : found.at - fault.at
  }
  const story: Story = { held: 0, orderedMs: [], runningMs: [], ...countOrders(blockEvents), falseDeaths: 0, falseDoubts: 0 }
  // Until the fault is noticed the worker may be given more: for those the time counts from their order.
  const given = blockEvents.filter(event => event.at > fault.at && isOrder(event) && event.peer === fault.peer)
  const since = new Map([...heldAt(blockEvents, fault).map((block): [number, number] => [block, fault.at]), ...given.map((event): [number, number] => [event.block, event.at])])
  for (const [block, from] of since) {
    const later = blockEvents.filter(event => event.block === block && event.at >= from)
    const ordered = later.find(event => isOrder(event) && event.peer !== fault.peer)
    const done = later.find(({ change }) => change === 'done')
    // Its result was on its way already, or it came back before anybody was asked: nothing had to move.
    if (done != null && done.peer === fault.peer) continue
    story.held++
    if (ordered == null) continue
    story.orderedMs.push(ordered.at - from)
    if (done != null) story.runningMs.push(Math.max(ordered.at, done.at - blockMs) - from)
  }
  for (const { peer, change } of workerEvents) {
    if (peer === fault.peer) continue
    if (change === 'lost') story.falseDeaths++
    if (change === 'suspect') story.falseDoubts++
  }
  const [suspectMs, lostMs] = [first('suspect'), first('lost')]
  return { ...story, ...(suspectMs == null ? {} : { suspectMs }), ...(lostMs == null ? {} : { lostMs }) }
}

/** What a block is requeued with that somebody else can do sooner, before it was begun. */
const NOT_BEGUN = /has not begun it/

/** Two events about the same attempt are one order. */
export function countOrders (events: readonly BlockEvent[]): { blocks: number, redone: number } {
  const orders = new Set<string>()
  const blocks = new Set<number>()
  for (const event of events) {
    const id = `${event.block}/${event.attempt}`
    if (event.change === 'requeued' && NOT_BEGUN.test(event.reason ?? '')) orders.delete(id)
    if (!isOrder(event)) continue
    orders.add(id)
    blocks.add(event.block)
  }
  return { blocks: blocks.size, redone: orders.size - blocks.size }
}
