/** Who held which block when, from a job's events. Pure. */
import type { JobEvent } from '../../daemon/coordinator/index.ts'

export class Blocks {
  /** Peers that hold an attempt without an accepted result, by block. */
  readonly #held = new Map<number, Set<string>>()
  /** The peer whose result counts, by block. */
  readonly #done = new Map<number, string>()
  /** Peers that lost a block before its result arrived, by block. */
  readonly #lost = new Map<number, Set<string>>()
  /** Known once the splitter has reached the end. */
  total: number | undefined

  apply (event: JobEvent): void {
    if (event.type === 'progress' && event.blocksTotal != null) this.total = event.blocksTotal
    if (event.type !== 'block') return
    const { block, peer, change } = event
    const holders = this.#held.get(block) ?? new Set()
    if (change === 'dispatched') this.#held.set(block, holders.add(peer))
    else holders.delete(peer)
    if (change === 'done') this.#done.set(block, peer)
    if (change === 'requeued') this.#lost.set(block, (this.#lost.get(block) ?? new Set()).add(peer))
  }

  get done (): number {
    return this.#done.size
  }

  /** Blocks a peer owes a result for, in order. */
  heldBy (peer: string): number[] {
    return sorted([...this.#held].filter(([block, holders]) => holders.has(peer) && !this.#done.has(block)))
  }

  doneBy (peer: string): number[] {
    return sorted([...this.#done].filter(([, by]) => by === peer))
  }

  lostBy (peer: string): number[] {
    return sorted([...this.#lost].filter(([, peers]) => peers.has(peer)))
  }

  /** Whose result of a block counts. */
  doer (block: number): string | undefined {
    return this.#done.get(block)
  }
}

const sorted = (entries: Array<[number, unknown]>): number[] => entries.map(([block]) => block).toSorted((a, b) => a - b)
