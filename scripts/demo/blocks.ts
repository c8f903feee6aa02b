/** Who held which block when, from a job's events. Pure. */
import type { JobEvent } from '../../daemon/coordinator/index.ts'

export interface Move { block: number, from: string, to: string }

export class Blocks {
  /** Peers that hold an unfinished attempt, by block. */
  readonly #held = new Map<number, Set<string>>()
  /** The peer whose result counts, by block. */
  readonly #done = new Map<number, string>()
  /** Total, once the splitter has reached the end. */
  total: number | undefined

  apply (event: JobEvent): void {
    if (event.type === 'progress' && event.blocksTotal != null) this.total = event.blocksTotal
    if (event.type !== 'block') return
    const { block, peer, change } = event
    const holders = this.#held.get(block) ?? new Set()
    if (change === 'dispatched') this.#held.set(block, holders.add(peer))
    else holders.delete(peer)
    if (change === 'done') this.#done.set(block, peer)
  }

  get done (): number {
    return this.#done.size
  }

  /** Unfinished blocks a peer holds, in order. */
  heldBy (peer: string): number[] {
    return [...this.#held].filter(([block, holders]) => holders.has(peer) && !this.#done.has(block)).map(([block]) => block).toSorted((a, b) => a - b)
  }

  doneBy (peer: string): number[] {
    return [...this.#done].filter(([, by]) => by === peer).map(([block]) => block).toSorted((a, b) => a - b)
  }

  /** Of the blocks a lost peer held, those that somebody else has done since. */
  moved (blocks: number[], from: string): Move[] {
    return blocks.flatMap(block => {
      const to = this.#done.get(block)
      return to == null || to === from ? [] : [{ block, from, to }]
    })
  }
}
