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
  const inTurn = turns()
  for (const one of plan) {
    await wait(one.at - (performance.now() - began))
    if (signal.aborted) break
    const before = chains.get(one.node) ?? Promise.resolve()
    chains.set(one.node, before.then(async () => {
      if (signal.aborted) return
      try {
        log(`${seconds(performance.now() - began)} ${one.kind} ${one.node} for ${seconds(one.forMs)}${one.delayMs == null ? '' : ` (${one.delayMs} ms)`}`)
        const undo = await begin(one, { dir, nodes, inTurn }, state)
        state.counts[one.kind]++
        await wait(one.forMs)
        await undo()
      } catch (error) {
        state.problems.push(`${one.kind} ${one.node} at ${seconds(one.at)}: ${(error as Error).message}`)
      }
    }))
  }
  await Promise.all(chains.values())
}

type InTurn = <T>(act: () => Promise<T>) => Promise<T>

/**
 * Changes of links wait for every node that runs to obey, and one that is just being frozen would never: such changes come one after another. Starts and
 * drains take seconds and nobody waits for them.
 */
function turns (): InTurn {
  let last: Promise<unknown> = Promise.resolve()
  return async act => {
    const mine = last.then(act)
    last = mine.catch(() => {})
    return await mine
  }
}

async function begin ({ kind, node, delayMs = 0 }: Disturbance, { dir, nodes, inTurn }: { dir: string, nodes: number, inTurn: InTurn }, { away }: Disturbed): Promise<() => Promise<void>> {
  const others = Array.from({ length: nodes }, (_, i) => nameOf(i)).filter(name => name !== node).join(',')
  switch (kind) {
    case 'kill':
    case 'leave':
      away.add(node)
      if (kind === 'kill') await inTurn(async () => await killNode(dir, node))
      else await stopNode(dir, node)
      return async () => {
        await startNode(dir, node).catch((error: Error) => { if (!RUNS_BUT.test(error.message)) throw error })
        away.delete(node)
      }
    case 'freeze':
      await inTurn(async () => await pauseNode(dir, node, true))
      return async () => { await inTurn(async () => await pauseNode(dir, node, false)) }
    case 'partition':
      await inTurn(async () => await partition(dir, [node]))
      return async () => { await inTurn(async () => await heal(dir, [node])) }
    case 'latency':
      await inTurn(async () => await degrade(dir, node, others, { delayMs }))
      return async () => { await inTurn(async () => await heal(dir, [node])) }
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
