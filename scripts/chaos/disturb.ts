/** Carries a plan out on a test network, node by node. */
import { setTimeout as delay } from 'node:timers/promises'
import { degrade, heal, partition } from '../../cli/testnet/links.ts'
import { killNode, pauseNode, startNode, stopNode } from '../../cli/testnet/network.ts'
import { nameOf, type Disturbance, type Kind } from './plan.ts'

export interface Disturbed {
  counts: Record<Kind, number>
  /** What could not be done, or was not undone in time. */
  problems: string[]
  /** Nodes that are meant to be away now. */
  away: Set<string>
}

export interface DisturbOptions { dir: string, nodes: number, log: (line: string) => void, signal: AbortSignal }

/** What a start says where others are disturbed at the same time: it runs all the same. */
const RUNS_BUT = / runs, but /

/** Resolves when the last disturbance is over; ends early, with everything undone, when the signal fires. */
export async function disturb (plan: Disturbance[], { dir, nodes, log, signal }: DisturbOptions, state: Disturbed): Promise<void> {
  const began = performance.now()
  /** One after another for each node: a start may take longer than was planned. */
  const chains = new Map<string, Promise<void>>()
  const wait = async (ms: number): Promise<void> => { await delay(Math.max(0, ms), undefined, { signal }).catch(() => {}) }
  for (const one of plan) {
    await wait(one.at - (performance.now() - began))
    if (signal.aborted) break
    const before = chains.get(one.node) ?? Promise.resolve()
    chains.set(one.node, before.then(async () => {
      if (signal.aborted) return
      try {
        log(`${seconds(performance.now() - began)} ${one.kind} ${one.node} for ${seconds(one.forMs)}${one.delayMs == null ? '' : ` (${one.delayMs} ms)`}`)
        const undo = await begin(one, dir, nodes, state)
        state.counts[one.kind]++
        await wait(one.forMs)
        await undo()
      } catch (error) {
        state.away.delete(one.node)
        state.problems.push(`${one.kind} ${one.node} at ${seconds(one.at)}: ${(error as Error).message}`)
      }
    }))
  }
  await Promise.all(chains.values())
}

async function begin ({ kind, node, delayMs = 0 }: Disturbance, dir: string, nodes: number, { away }: Disturbed): Promise<() => Promise<void>> {
  const others = Array.from({ length: nodes }, (_, i) => nameOf(i)).filter(name => name !== node).join(',')
  switch (kind) {
    case 'kill':
    case 'leave':
      away.add(node)
      await (kind === 'kill' ? killNode : stopNode)(dir, node)
      return async () => {
        await startNode(dir, node).catch((error: Error) => { if (!RUNS_BUT.test(error.message)) throw error })
        away.delete(node)
      }
    case 'freeze':
      await pauseNode(dir, node, true)
      return async () => { await pauseNode(dir, node, false) }
    case 'partition':
      await partition(dir, [node])
      return async () => { await heal(dir, [node]) }
    case 'latency':
      await degrade(dir, node, others, { delayMs })
      return async () => { await heal(dir, [node]) }
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
