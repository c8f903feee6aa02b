/** Pairs of an undisturbed job and the same one with a fault at a random instant, and what the events of the second tell. */
import { prng } from '../test/fixtures/csv.ts'
import { WORKERS, WORKER_SLOTS, type FaultName, type Network, type Strike, type Victim } from './recovery-faults.ts'
import { follow, sleepJob, type Work } from './recovery-job.ts'
import { heldAt, storyOf, type Story } from './recovery-story.ts'

/** What there is to do while the fault strikes. */
export const LOADS: Record<'idle' | 'busy', Work> = {
  /** Fewer blocks than engines: somebody is free at once. Each lasts longer than it may take to find a silent worker dead. */
  idle: { blocks: WORKERS, blockMs: 5000 },
  /** Four times as many as engines: a block of a lost worker waits until somebody has done one. */
  busy: { blocks: 8 * WORKERS * WORKER_SLOTS, blockMs: 500 }
}

export type Load = keyof typeof LOADS

/** The fault strikes between these parts of the undisturbed makespan. */
const EARLIEST = 0.1
const LATEST: Record<Load, number> = { idle: 0.3, busy: 0.7 }

export const momentsOf = (load: Load): { earliest: number, latest: number } => ({ earliest: EARLIEST, latest: LATEST[load] })

/** A short job that starts an engine in every slot, so that no block waits for a process to start. */
const WARM_UP: Work = { blocks: 6 * WORKERS * WORKER_SLOTS, blockMs: 100 }

export interface Pair {
  story: Story
  /** The undisturbed makespan, and that with the fault; milliseconds. */
  calmMs: number
  struckMs: number
  /** Until the kernel had closed the killed process's sockets, milliseconds. */
  closedMs?: number
}

export interface PairOptions { fault: FaultName, load: Load, runs: number, seed: number, log: (line: string) => void }

export async function pairs (network: Network, { fault, load, runs, seed, log }: PairOptions): Promise<Pair[]> {
  const random = prng(seed)
  const done: Pair[] = []
  const warmUp = await sleepJob(network.dir, WARM_UP)
  const job = await sleepJob(network.dir, LOADS[load])
  for (let i = 0; i < runs; i++) {
    await follow(network.requester, warmUp)
    const calm = await follow(network.requester, job)
    const afterMs = calm.makespanMs * (EARLIEST + random() * (LATEST[load] - EARLIEST))
    const pick = random()
    const struck = await withFault(network, fault, load, { afterMs, pick })
    if (struck == null) {
      log(`${fault}, ${load}, run ${i + 1}: no worker held a block after ${afterMs.toFixed(0)} ms; left out`)
      continue
    }
    const pair: Pair = { story: struck.story, calmMs: calm.makespanMs, struckMs: struck.makespanMs, ...(struck.closedMs == null ? {} : { closedMs: struck.closedMs }) }
    done.push(pair)
    log(`${fault}, ${load}, run ${i + 1} (seed ${seed}): ${struck.victim.name} after ${afterMs.toFixed(0)} ms; ${tell(pair)}`)
  }
  return done
}

interface Struck { victim: Victim, story: Story, makespanMs: number, closedMs?: number }

/** undefined if nobody held anything at the instant that was drawn. */
async function withFault (network: Network, fault: FaultName, load: Load, { afterMs, pick }: { afterMs: number, pick: number }): Promise<Struck | undefined> {
  const struck = Promise.withResolvers<(Strike & { victim: Victim }) | undefined>()
  let timer: NodeJS.Timeout | undefined
  const seen: Parameters<typeof heldAt>[0][number][] = []
  const strike = async (): Promise<(Strike & { victim: Victim }) | undefined> => {
    const holders = network.workers.filter(({ peerId }) => heldAt(seen, { at: Date.now(), peer: peerId }).length > 0)
    const victim = holders[Math.floor(pick * holders.length)]
    return victim == null ? undefined : { ...await network.strike(fault, victim), victim }
  }
  const job = await sleepJob(network.dir, LOADS[load])
  const { events, makespanMs } = await follow(network.requester, job, event => {
    if (event.type !== 'block') return
    seen.push(event)
    timer ??= setTimeout(() => { strike().then(struck.resolve, struck.reject) }, afterMs)
  })
  if (timer == null) throw new Error('the job told of no block')
  const what = await struck.promise
  if (what == null) return undefined
  const closedAt = await what.closed
  await network.heal(fault, what.victim)
  return { ...(closedAt == null ? {} : { closedMs: closedAt - what.at }), victim: what.victim, makespanMs, story: storyOf(events, { at: what.at, peer: what.victim.peerId }, LOADS[load].blockMs) }
}

const list = (values: number[]): string => values.length === 0 ? 'never' : values.map(value => value.toFixed(0)).join(', ')

function tell ({ story, calmMs, struckMs, closedMs }: Pair): string {
  const { suspectMs, lostMs, held, orderedMs, runningMs, redone } = story
  return `doubted after ${suspectMs ?? 'never'} ms, dead after ${lostMs ?? 'never'} ms${closedMs == null ? '' : ` (its sockets were closed after ${closedMs} ms)`}; ${held} blocks held, elsewhere ordered after ${list(orderedMs)} ms, running after ${list(runningMs)} ms; ` +
    `${redone} orders more than blocks; makespan ${calmMs.toFixed(0)} -> ${struckMs.toFixed(0)} ms`
}
