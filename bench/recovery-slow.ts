/** One worker of five takes ten times as long as the others: the makespan with it against that of the other four alone, in turns. */
import { localNetwork } from './recovery-faults.ts'
import { follow, sleepJob } from './recovery-job.ts'
import { LOADS } from './recovery-run.ts'

const SLOW = 'slow:10'

export interface SlowPair { withMs: number, withoutMs: number }

export async function slowPairs ({ runs, seed, log }: { runs: number, seed: number, log: (line: string) => void }): Promise<SlowPair[]> {
  const profiles = Array.from({ length: 6 }, (_, i) => i === 5 ? { faults: [SLOW] } : {})
  const network = await localNetwork(seed, profiles)
  const pairs: SlowPair[] = []
  try {
    const peers = network.workers.map(({ peerId }) => peerId)
    const [all, four] = [await sleepJob(network.dir, { ...LOADS.busy, nodes: peers }), await sleepJob(network.dir, { ...LOADS.busy, nodes: peers.slice(0, 4) })]
    await follow(network.requester, four)
    for (let i = 0; i < runs; i++) {
      const withoutMs = (await follow(network.requester, four)).makespanMs
      const withMs = (await follow(network.requester, all)).makespanMs
      pairs.push({ withMs, withoutMs })
      log(`slow, run ${i + 1}: ${withMs.toFixed(0)} ms with the slow one, ${withoutMs.toFixed(0)} ms without`)
    }
    return pairs
  } finally {
    await network.down()
  }
}
