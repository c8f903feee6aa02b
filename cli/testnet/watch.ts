/** What becomes of the daemons while nobody gives a command. */
import { setTimeout as delay } from 'node:timers/promises'
import { WATCH_MS } from './constants.ts'
import { startNode } from './network.ts'
import { lives, readState, type TestNode } from './state.ts'

/** A daemon that is gone although no command ended it has crashed. */
export const presentState = (node: TestNode): string => lives(node) ? node.state : node.state === 'running' || node.state === 'paused' ? 'crashed' : node.state

/** Until the signal: says when a daemon ends that no command ended, and starts those again that are meant to crash. */
export async function watchNetwork (dir: string, { tell, signal, started = () => {} }: { tell: (text: string) => void, signal: AbortSignal, started?: (node: TestNode) => void }): Promise<void> {
  const told = new Set<number>()
  const starting = new Set<Promise<void>>()
  while (!signal.aborted) {
    for (const node of (await readState(dir))?.nodes ?? []) {
      if (presentState(node) !== 'crashed' || told.has(node.pid)) continue
      told.add(node.pid)
      tell(`${node.name} (process ${node.pid}) has ended by itself${node.crashes === true ? ', as planted: it is started again' : `: see ${node.log}`}`)
      if (node.crashes !== true) continue
      // It may crash again before it is ready: then the next look finds it gone.
      const again = startNode(dir, node.name).then(started, (error: unknown) => {
        told.delete(node.pid)
        if (!signal.aborted) tell((error as Error).message)
      }).finally(() => { starting.delete(again) })
      starting.add(again)
    }
    // Ended early by the signal only.
    await delay(WATCH_MS, undefined, { signal }).catch(() => {})
  }
  await Promise.all(starting)
}
