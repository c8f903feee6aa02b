/** Many nodes in this process, over loopback TCP, each knowing a few that came before. */
import { startNode, type TestNode } from '../test/integration/registry/node.ts'

/** Members each newcomer dials: then the DHT finds more. */
const DIALS = 3

/** Pseudo-random numbers below 1, the same for the same seed. */
export function draws (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export async function startNodes (count: number, draw: () => number, use: (node: TestNode) => TestNode): Promise<TestNode[]> {
  const nodes: TestNode[] = []
  for (let i = 0; i < count; i++) {
    const bootstrap = [...new Set(Array.from({ length: Math.min(DIALS, i) }, () => nodes[Math.floor(draw() * i)]?.address ?? ''))]
    nodes.push(use(await startNode({ bootstrap })))
  }
  return nodes
}

/** The value below which this part of all lies. */
export function quantile (values: number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN
}
