/** The results of one job: small ones in memory until they are merged (then only in the journal), large ones in the block store. */
import { decodeResult, resultKey } from './journal-entries.ts'
import type { BlockSource } from '../block-convert/index.ts'
import type { BlockStore, Journal, StoredBlock } from '../store/index.ts'
import type { AttemptOutcome } from '../task-protocol/index.ts'
import type { BlockRefs } from './block-refs.ts'
import type { Held } from './machine-types.ts'
import type { EarlierResult } from './resume.ts'
import { INLINE_BYTES_MAX, KEPT_IN_MEMORY_BYTES_MAX } from './constants.ts'

type Good = Extract<AttemptOutcome, { ok: true }>

export interface Result {
  readonly block: number
  readonly attempt: number
  readonly worker: string
  readonly digest: Uint8Array
  readonly size: number
  readonly wallMs: number
  units: number
  /** It was compared with its source before its entry was written; `distance` apart. */
  checked: boolean
  distance: number
  /** In memory. */
  bytes: Uint8Array | undefined
  /** In the block store. */
  stored: StoredBlock | undefined
  /** An entry was asked for. */
  journaled: boolean
  /** It was let go: nobody reads it any more. */
  gone: boolean
  /** The result this block got beside it, for a while. */
  next: Result | undefined
}

export interface ResultShelfComponents {
  blocks: Pick<BlockStore, 'sink'>
  journal: Pick<Journal, 'entries' | 'remove'>
  refs: BlockRefs
}

export class ResultShelf {
  readonly #components: ResultShelfComponents
  readonly #key: string
  readonly #results: Array<Result | undefined> = []
  #keptBytes = 0
  /** Results on their way into the block store. */
  readonly #storing = new Set<Promise<void>>()

  constructor (components: ResultShelfComponents, key: string) {
    this.#components = components
    this.#key = key
  }

  /**
   * Takes a result in. The promise, if one is given, says whether a stored one is really there. undefined if there is a result of this
   * attempt already: a second one could differ from what was checked, so it is never looked at.
   */
  put (worker: string, outcome: Good): { held: Held, there: true | Promise<boolean> } | undefined {
    const { block, attempt, digest, size, wallMs, output } = outcome
    for (let other = this.#results[block]; other != null; other = other.next) {
      if (other.attempt !== attempt) continue
      this.abandon(outcome)
      return undefined
    }
    const bytes = 'bytes' in output ? output.bytes : undefined
    const stored = 'stored' in output ? output.stored : undefined
    this.#add({ block, attempt, worker, digest, size, wallMs, units: 0, checked: false, distance: 0, bytes, stored, journaled: false, gone: false, next: undefined })
    if (stored != null) return { held: 'durable', there: this.#components.refs.retain(stored) }
    if (size > INLINE_BYTES_MAX) return { held: 'volatile', there: true }
    this.#keptBytes += size
    return { held: 'inline', there: true }
  }

  /** Takes in the result that an earlier run left of this block, with its entry and, of a large one, its count in the store. */
  restore (block: number, attempt: number, { worker, digest, size, wallMs, units, checked, distance, bytes, stored }: EarlierResult): Held {
    this.#add({ block, attempt, worker, digest, size, wallMs, units, checked, distance, bytes, stored, journaled: true, gone: false, next: undefined })
    if (bytes != null) this.#keptBytes += size
    return stored == null ? 'inline' : 'durable'
  }

  #add (result: Result): void {
    result.next = this.#results[result.block]
    this.#results[result.block] = result
  }

  find (block: number, attempt: number): Result | undefined {
    let result = this.#results[block]
    while (result != null && result.attempt !== attempt) result = result.next
    return result
  }

  /** The same, where it must be there. */
  get (block: number, attempt: number): Result {
    const result = this.find(block, attempt)
    if (result == null) throw new Error(`no result of block ${block}, attempt ${attempt}`)
    return result
  }

  /** A result that nobody wants: what it has in the block store goes. */
  abandon (outcome: Good): void {
    if (!('stored' in outcome.output)) return
    const { stored } = outcome.output
    this.#components.refs.retain(stored)
    this.#components.refs.release(stored.digest)
  }

  /** Moves bytes in memory into the block store. A result that is let go meanwhile does not stay there. */
  async store (result: Result): Promise<void> {
    if (result.bytes == null || result.gone) return
    const storing = this.#store(result, result.bytes)
    const settled = storing.then(() => undefined, () => undefined).finally(() => this.#storing.delete(settled))
    this.#storing.add(settled)
    await storing
  }

  /** Resolves when nothing is on its way into the block store any more. */
  async idle (): Promise<void> {
    await Promise.all(this.#storing)
  }

  async #store (result: Result, bytes: Uint8Array): Promise<void> {
    const { refs } = this.#components
    const stored = await this.#write(bytes)
    const there = refs.retain(stored)
    if (result.gone) {
      refs.release(stored.digest)
      return
    }
    // From here on letting the result go lets go of the block.
    result.stored = stored
    // A removal of the same content may have overtaken the writing: once it is over, the block is written again.
    if (there !== true && !await there) {
      if (result.gone) return
      await this.#write(bytes)
      // Let go while it was written: the count is given back already, so the file goes unless somebody else counts on it.
      if (result.gone) {
        refs.retain(stored)
        refs.release(stored.digest)
      }
    }
    result.bytes = undefined
  }

  async #write (bytes: Uint8Array): Promise<StoredBlock> {
    const sink = await this.#components.blocks.sink({ size: bytes.byteLength })
    try {
      await sink.write(bytes)
      return await sink.finish()
    } catch (error) {
      await sink.abort()
      throw error
    }
  }

  /** What a check or the merge reads. */
  async source (result: Result): Promise<BlockSource> {
    if (result.stored != null) return { path: result.stored.path, size: result.stored.size }
    if (result.bytes != null) return { bytes: result.bytes }
    const key = resultKey(this.#key, result.block)
    for await (const [found, value] of this.#components.journal.entries(key)) {
      if (found !== key) continue
      const entry = decodeResult(value)
      if (entry?.bytes != null && Buffer.compare(entry.digest, result.digest) === 0) return { bytes: entry.bytes }
    }
    throw new Error(`the journal lost the result of block ${result.block}`)
  }

  /** The same without a promise, where nothing has to be read. */
  sourceNow (result: Result): BlockSource | undefined {
    if (result.stored != null) return { path: result.stored.path, size: result.stored.size }
    return result.bytes == null ? undefined : { bytes: result.bytes }
  }

  /** Its entry is durable: its bytes need not stay in memory if there is much of that. */
  committed (result: Result): void {
    if (this.#keptBytes > KEPT_IN_MEMORY_BYTES_MAX) this.#unload(result)
  }

  /** It is in the output: its bytes can be had from the journal should they be needed once more. */
  merged (result: Result): void {
    this.#unload(result)
  }

  #unload (result: Result): void {
    if (result.bytes == null || result.stored != null || !result.journaled) return
    this.#keptBytes -= result.size
    result.bytes = undefined
  }

  /** Lets a result go, with its entry. Resolves when the entry is gone. */
  async discard (block: number, attempt: number): Promise<void> {
    const result = this.get(block, attempt)
    const first = this.#results[block]
    if (first === result) this.#results[block] = result.next
    else for (let at = first; at != null; at = at.next) if (at.next === result) at.next = result.next
    this.#letGo(result)
    if (result.journaled) await this.#components.journal.remove(resultKey(this.#key, block))
  }

  #letGo (result: Result): void {
    result.gone = true
    if (result.stored != null) this.#components.refs.release(result.stored.digest)
    else if (result.bytes != null && result.size <= INLINE_BYTES_MAX) this.#keptBytes -= result.size
    result.bytes = undefined
  }

  /** Lets everything go; gives the keys of entries that are to be removed. */
  clear (): string[] {
    const keys: string[] = []
    for (const first of this.#results) {
      let journaled = false
      for (let result = first; result != null; result = result.next) {
        this.#letGo(result)
        journaled ||= result.journaled
      }
      if (journaled && first != null) keys.push(resultKey(this.#key, first.block))
    }
    this.#results.length = 0
    return keys
  }

  /**
   * Lets go of what has no entry; the rest stays in journal and store, for somebody who goes on with the job. Gives its bytes. `resting`: the
   * store may do without it. Nothing can be got here any more.
   */
  leave (resting: boolean): number {
    let bytes = 0
    for (const first of this.#results) {
      for (let result = first; result != null; result = result.next) {
        if (!result.journaled) {
          this.#letGo(result)
          continue
        }
        bytes += result.size
        if (resting && result.stored != null) this.#components.refs.rest(result.stored.digest)
      }
    }
    this.#results.length = 0
    return bytes
  }
}
