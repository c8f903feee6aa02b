/**
 * The results that an earlier run of a job left, for the run that goes on with it: which blocks need not be converted again.
 *
 * A result stands for a block if it was made of the same bytes by the same conversion, whole and as its digest says, and nothing speaks
 * against who made it. What stands for nothing is let go, with its entry.
 */
import { hash } from 'node:crypto'
import type { Toolbox } from '../block-convert/index.ts'
import type { Log } from '../log.ts'
import type { BlockStore, Journal, StoredBlock } from '../store/index.ts'
import type { BlockRefs } from './block-refs.ts'
import { KEPT_IN_MEMORY_BYTES_MAX, REMOVALS_AT_ONCE, REREADS_AT_ONCE } from './constants.ts'
import { decodeResult, partsOfResultKey, resultKey, resultPrefix, type ResultEntry } from './journal-entries.ts'
import { Limiter } from './limiter.ts'

export interface EarlierComponents {
  journal: Pick<Journal, 'entries' | 'remove'>
  blocks: Pick<BlockStore, 'get'>
  /** Large results of this job are counted there already. */
  refs: BlockRefs
  toolbox: Pick<Toolbox, 'hash'>
  /** Why nothing that this peer made is taken unless it was compared with its source. */
  distrusted: (peer: string) => string | undefined
  log: Log
}

/** A result that may stand for its block. */
export type EarlierResult = Omit<ResultEntry, 'attempt' | 'bytes'> & {
  /** In memory, of a small one; absent where there are too many of them, which are read from the journal when they are merged. */
  bytes?: Uint8Array
  /** Where a large one is. */
  stored?: StoredBlock
}

interface Candidate {
  result: EarlierResult
  inline: boolean
  /** Resolves when it was looked at. */
  looked: Promise<void> | undefined
  sound: boolean
}

export class EarlierResults {
  readonly #components: EarlierComponents
  readonly #key: string
  readonly #candidates = new Map<number, Candidate>()
  readonly #rereads = new Limiter(REREADS_AT_ONCE)
  readonly #removals = new Set<Promise<void>>()
  #closed = false
  /** Changes of the schema that the earlier run had seen when it took the last of them. */
  epoch = 0
  /** Results that stood for nothing, or were damaged. */
  dropped = 0

  private constructor (components: EarlierComponents, key: string) {
    this.#components = components
    this.#key = key
  }

  /** Reads a job's entries; what is damaged among them is let go. Throws NewerJournalError. Large results are looked at from now on, in order. */
  static async load (components: EarlierComponents, key: string): Promise<EarlierResults> {
    const results = new EarlierResults(components, key)
    await results.#load()
    return results
  }

  /** How many may still stand for a block. */
  get size (): number { return this.#candidates.size }

  /** Resolves when those of the blocks from `first` on, and below `end`, were looked at. */
  async looked (first: number, end: number): Promise<void> {
    for (let block = first; block < end; block++) {
      const looked = this.#candidates.get(block)?.looked
      if (looked != null) await looked
    }
  }

  /** The result of this block, if it is of these bytes and this conversion; it is the caller's then. Otherwise it stays, and may be dropped. */
  take (block: number, input: Uint8Array, conversion: () => Uint8Array): EarlierResult | undefined {
    const candidate = this.#candidates.get(block)
    if (candidate?.sound !== true) return undefined
    const { result } = candidate
    if (Buffer.compare(result.input, input) !== 0 || Buffer.compare(result.conversion, conversion()) !== 0) return undefined
    // What was not compared with its source is worth what its maker's word is.
    if (!result.checked && !result.local && this.#components.distrusted(result.worker) != null) return undefined
    this.#candidates.delete(block)
    return result
  }

  /** Lets the result of this block go, if there is one; its entry goes before any that is written after this call. */
  drop (block: number): void {
    const candidate = this.#candidates.get(block)
    if (candidate == null) return
    this.#candidates.delete(block)
    this.dropped++
    if (!candidate.inline) this.#components.refs.release(candidate.result.digest)
    this.#remove(resultKey(this.#key, block))
  }

  /** No more blocks come: what is left stands for nothing. */
  dropRest (): void {
    for (const block of this.#candidates.keys()) this.drop(block)
  }

  /** Looks at nothing more. */
  close (): void {
    this.#closed = true
  }

  /** Resolves when the entries of all that was let go are gone. */
  async idle (): Promise<void> {
    await Promise.all(this.#removals)
  }

  /** What was not taken stays as it is, for somebody who goes on with the job. Gives its bytes. `resting`: the store may do without it. */
  leave (resting: boolean): number {
    let bytes = 0
    for (const { result, inline } of this.#candidates.values()) {
      bytes += result.size
      if (resting && !inline) this.#components.refs.rest(result.digest)
    }
    return bytes
  }

  async #load (): Promise<void> {
    const { journal } = this.#components
    const makers = new Map<string, string>()
    const conversions = new Map<string, Uint8Array>()
    let memory = 0
    for await (const [key, value] of journal.entries(resultPrefix(this.#key))) {
      const entry = this.#read(key, value)
      if (entry == null) continue
      const { attempt: _, bytes, ...result } = entry
      // Entries of one job name few peers and few conversions: each is kept once.
      result.worker = once(makers, result.worker, result.worker)
      result.conversion = once(conversions, Buffer.from(result.conversion).toString('latin1'), result.conversion)
      if (bytes == null) {
        this.#add(partsOfResultKey(key).block, { result, inline: false, looked: undefined, sound: false })
        continue
      }
      if (Buffer.compare(hash('sha256', bytes, 'buffer'), result.digest) !== 0) {
        this.#damaged(key, 'its bytes are not those of its digest')
        continue
      }
      const keep = memory + bytes.byteLength <= KEPT_IN_MEMORY_BYTES_MAX
      if (keep) memory += bytes.byteLength
      this.#add(partsOfResultKey(key).block, { result: keep ? { ...result, bytes } : result, inline: true, looked: undefined, sound: true })
    }
  }

  #add (block: number, candidate: Candidate): void {
    this.#candidates.set(block, candidate)
    this.epoch = Math.max(this.epoch, candidate.result.epoch)
    if (!candidate.inline) candidate.looked = this.#rereads.run(async () => { await this.#look(block, candidate) })
  }

  #read (key: string, value: Uint8Array): ResultEntry | undefined {
    try {
      const entry = decodeResult(value)
      if (entry == null) this.#remove(key)
      return entry
    } catch (error) {
      if ((error as Error).name === 'NewerJournalError') throw error
      this.#damaged(key, (error as Error).message)
      return undefined
    }
  }

  /** A file is believed only after it was read from one end to the other: a crash may have cut it, a disk may have turned a bit. Never rejects. */
  async #look (block: number, candidate: Candidate): Promise<void> {
    const { blocks, toolbox, log } = this.#components
    if (this.#closed || this.#candidates.get(block) !== candidate) return
    const { digest, size } = candidate.result
    try {
      const stored = await blocks.get(digest)
      const said = stored == null ? 'its file is missing' : stored.size !== size ? `its file has ${stored.size} bytes instead of ${size}` : undefined
      if (said != null || stored == null) {
        log.warn({ block, reason: said }, 'a stored result is not used again')
        return
      }
      const found = await toolbox.hash(stored.path)
      if (Buffer.compare(found.digest, digest) !== 0) {
        log.warn({ block, path: stored.path }, 'a stored result is damaged: it is made again')
        return
      }
      candidate.result.stored = stored
      candidate.sound = true
    } catch (error) {
      // A disk that does not give it back is as good as none: the block is converted again.
      log.warn({ error, block }, 'a stored result could not be read')
    }
  }

  #damaged (key: string, reason: string): void {
    this.dropped++
    this.#components.log.warn({ key, reason }, 'a result in the journal is damaged: it is made again')
    this.#remove(key)
  }

  #remove (key: string): void {
    const removal = this.#components.journal.remove(key)
      .catch((error: unknown) => { this.#components.log.warn({ error, key }, 'an entry of no use stays in the journal') })
      .finally(() => this.#removals.delete(removal))
    this.#removals.add(removal)
  }
}

function once<T> (known: Map<string, T>, name: string, value: T): T {
  const before = known.get(name)
  if (before != null) return before
  known.set(name, value)
  return value
}

/** Removes what is in the journal of a job's results, and lets go of the blocks that are counted for it; `counted` says whether they are. */
export async function removeResults ({ journal, refs }: { journal: Pick<Journal, 'entries' | 'remove'>, refs: BlockRefs }, key: string, counted: 'counted' | 'resting' | 'uncounted'): Promise<void> {
  let keys: string[] = []
  const removeThem = async (): Promise<void> => {
    const removals = keys.map(async entry => { await journal.remove(entry) })
    keys = []
    await Promise.all(removals)
  }
  for await (const [entry, value] of journal.entries(resultPrefix(key))) {
    keys.push(entry)
    const digest = counted === 'uncounted' ? undefined : storedDigest(value)
    if (digest != null) {
      if (counted === 'resting') refs.wake(digest)
      refs.release(digest)
    }
    if (keys.length >= REMOVALS_AT_ONCE) await removeThem()
  }
  await removeThem()
}

/** Blocks of a job that rested are needed again. Gives how many results there are. Nothing has changed if it fails. */
export async function wakeResults ({ journal, refs }: { journal: Pick<Journal, 'entries'>, refs: BlockRefs }, key: string): Promise<number> {
  let results = 0
  const stored: Uint8Array[] = []
  for await (const [, value] of journal.entries(resultPrefix(key))) {
    results++
    const digest = storedDigest(value)
    if (digest != null) stored.push(digest)
  }
  for (const digest of stored) refs.wake(digest)
  return results
}

/** Blocks that are counted for a job can be done without from now on. Gives the bytes of all its results. Nothing has changed if it fails. */
export async function restResults ({ journal, refs }: { journal: Pick<Journal, 'entries'>, refs: BlockRefs }, key: string): Promise<number> {
  let bytes = 0
  const stored: Uint8Array[] = []
  for await (const [, value] of journal.entries(resultPrefix(key))) {
    const entry = readable(value)
    if (entry == null) continue
    bytes += entry.size
    if (entry.bytes == null) stored.push(entry.digest)
  }
  for (const digest of stored) refs.rest(digest)
  return bytes
}

/** Of an entry that is whole and whose bytes are in the block store. */
function storedDigest (value: Uint8Array): Uint8Array | undefined {
  const entry = readable(value)
  return entry == null || entry.bytes != null ? undefined : entry.digest
}

/** An entry that is whole. Throws NewerJournalError. */
function readable (value: Uint8Array): ResultEntry | undefined {
  try {
    return decodeResult(value)
  } catch (error) {
    if ((error as Error).name === 'NewerJournalError') throw error
    // Damaged: nobody counted anything for it.
    return undefined
  }
}
