/** What goes wrong, when, and for how long: the same for the same seed. Pure. */
import { prng } from '../../test/fixtures/csv.ts'

/**
 * - `kill`: SIGKILL, and started again (a requester resumes its jobs)
 * - `leave`: SIGTERM, which hands work back, and started again
 * - `freeze`: SIGSTOP, and on again
 * - `partition`: no packet between it and all others, and healed
 * - `latency`: every packet to and from all others is late, and healed
 */
export const KINDS = ['kill', 'leave', 'freeze', 'partition', 'latency'] as const
export type Kind = typeof KINDS[number]

export interface Disturbance {
  kind: Kind
  node: string
  /** Milliseconds after the beginning. */
  at: number
  forMs: number
  /** Of `latency`: milliseconds on each way. */
  delayMs?: number
}

export interface PlanOptions {
  seed: number
  minutes: number
  nodes: number
  /** The first so many nodes ask for work; the others only do it. */
  requesters: number
}

/** Seconds between two disturbances: so that on average two or three last at a time. */
const GAP_S: [number, number] = [0.5, 5]
/** Seconds a disturbance lasts: from one that nobody need notice to twice what it takes to be given up. */
const LAST_S: [number, number] = [0.5, 8]
/** Milliseconds on each way: from another town to another continent. */
const DELAY_MS: [number, number] = [10, 150]
/** Seconds nothing else happens to a node afterwards: it has to start and to be found. */
const REST_S = 6
/** Seconds of quiet at the end, in which what was disturbed last comes back. */
const CALM_S = 5
/** Most nodes of ten that are disturbed at the same time; so others are left to do the work. */
const SHARE_MAX = 0.5

export const nameOf = (index: number): string => `n${index}`

/** The last requester and the last worker never end, so that memory and descriptors can be watched over the whole time. */
export function steadyOf ({ nodes, requesters }: Pick<PlanOptions, 'nodes' | 'requesters'>): string[] {
  return [nameOf(requesters - 1), nameOf(nodes - 1)]
}

export function planOf ({ seed, minutes, nodes, requesters }: PlanOptions): Disturbance[] {
  const random = prng(seed)
  const between = ([low, high]: [number, number]): number => low + random() * (high - low)
  const steady = steadyOf({ nodes, requesters })
  const plan: Disturbance[] = []
  /** Until when each node is disturbed, and until when it rests. */
  const until = new Map<string, { disturbed: number, rests: number }>()
  const end = minutes * 60_000 - CALM_S * 1000
  for (let at = 1000 * between(GAP_S); at < end; at += 1000 * between(GAP_S)) {
    // Drawn whether or not it can happen, so that one refusal does not change all that follows.
    const node = nameOf(Math.floor(random() * nodes))
    const kinds = steady.includes(node) ? KINDS.filter(kind => kind !== 'kill' && kind !== 'leave') : KINDS
    const kind = kinds[Math.floor(random() * kinds.length)] as Kind
    const forMs = Math.round(1000 * between(LAST_S))
    const delayMs = Math.round(between(DELAY_MS))
    const disturbed = [...until.values()].filter(({ disturbed }) => disturbed > at).length
    if ((until.get(node)?.rests ?? 0) > at || disturbed + 1 > SHARE_MAX * nodes || at + forMs > end) continue
    until.set(node, { disturbed: at + forMs, rests: at + forMs + 1000 * REST_S })
    plan.push({ kind, node, at: Math.round(at), forMs, ...(kind === 'latency' ? { delayMs } : {}) })
  }
  return plan
}
