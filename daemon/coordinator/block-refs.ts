/**
 * Counts who needs a stored block. Blocks are named by content, so two blocks of a job, or of two jobs, may share a file: it goes when the
 * last one lets go. A block that is stored again while its old file is being removed is looked for before it is relied upon.
 */
import type { BlockStore, StoredBlock } from '../store/index.ts'

/** How long a removal is remembered: far longer than from a block's rename in the store to its being counted here. */
const REMOVAL_REMEMBERED_MS = 10_000

export class BlockRefs {
  readonly #blocks: Pick<BlockStore, 'delete' | 'get'>
  readonly #counts = new Map<string, number>()
  /** Of these counts, those of jobs that ended and may be gone on with. */
  readonly #resting = new Map<string, number>()
  /** By digest: the removal, and when it was asked for. */
  readonly #removals = new Map<string, { done: Promise<void>, at: number }>()
  readonly #now: () => number
  readonly #failed: (error: unknown) => void

  constructor (blocks: Pick<BlockStore, 'delete' | 'get'>, now: () => number, failed: (error: unknown) => void) {
    this.#blocks = blocks
    this.#now = now
    this.#failed = failed
  }

  /** Counts a user of an earlier run of the daemon; whether the block is there is seen when it is asked for. */
  recall (digest: Uint8Array): void {
    const name = nameOf(digest)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  /** Counts one user more. A promise only if the file may have been removed meanwhile: it says whether the block is there. */
  retain (block: StoredBlock): true | Promise<boolean> {
    const name = nameOf(block.digest)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    const removal = this.#removals.get(name)
    if (removal == null) return true
    return removal.done.then(async () => await this.#blocks.get(block.digest) != null)
  }

  /** Counts one user less; the last one's block is removed. */
  release (digest: Uint8Array): void {
    const name = nameOf(digest)
    const count = (this.#counts.get(name) ?? 1) - 1
    if (count > 0) {
      this.#counts.set(name, count)
      return
    }
    this.#counts.delete(name)
    const at = this.#now()
    this.#forget(at)
    const done = this.#blocks.delete(digest).catch(this.#failed)
    this.#removals.delete(name)
    this.#removals.set(name, { done, at })
  }

  /** Somebody counts the block. */
  has (digest: Uint8Array): boolean {
    return this.#counts.has(nameOf(digest))
  }

  /** Somebody counts the block who could not do without it: not only jobs that ended and may be gone on with. */
  needed (digest: Uint8Array): boolean {
    const name = nameOf(digest)
    return (this.#counts.get(name) ?? 0) > (this.#resting.get(name) ?? 0)
  }

  /** One of those that count the block could do without it from now on; `wake`: not any more. */
  rest (digest: Uint8Array): void {
    const name = nameOf(digest)
    this.#resting.set(name, (this.#resting.get(name) ?? 0) + 1)
  }

  wake (digest: Uint8Array): void {
    const name = nameOf(digest)
    const count = (this.#resting.get(name) ?? 0) - 1
    if (count > 0) this.#resting.set(name, count)
    else this.#resting.delete(name)
  }

  /** Removes a block that was stored and that nobody counts, unless somebody counts its content. */
  abandon (block: StoredBlock): void {
    if (this.#counts.has(nameOf(block.digest))) return
    this.release(block.digest)
  }

  /** Resolves when every removal asked for so far is over. */
  async idle (): Promise<void> {
    await Promise.all([...this.#removals.values()].map(({ done }) => done))
  }

  #forget (now: number): void {
    for (const [name, { at }] of this.#removals) {
      if (now - at < REMOVAL_REMEMBERED_MS) break
      this.#removals.delete(name)
    }
  }
}

function nameOf (digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('latin1')
}
