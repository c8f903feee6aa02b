/**
 * The adverts of peers met before, sealed as they came, so that the next start knows them at once. Bounded, and written at our pace, not at theirs;
 * what is read back is verified again by the reader, and expires like any other.
 */
import type { Level } from 'level'
import type { Log } from '../log.ts'
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { ADVERT_BYTES_MAX, MEMORY_ADVERTS_MAX, MEMORY_BYTES_MAX } from './constants.ts'
import { MEMORY_LONGEST_PART, MEMORY_WRITE_INTERVAL_MS } from './memory-constants.ts'

export interface Remembered {
  peer: string
  sealed: Uint8Array
  /** UTC milliseconds when it came. */
  seen: number
}

export interface MemoryInit {
  /** Without it nothing is remembered. */
  db?: Level<string, Uint8Array>
  log: Log
  /** Peer ids, as text, of those connected: asked where there is no room for all. @default nobody */
  connected?: () => ReadonlySet<string>
  /** @default MEMORY_ADVERTS_MAX */
  adverts?: number
  /** @default MEMORY_BYTES_MAX */
  bytes?: number
}

/** What is kept of each: an advert that waits to be written, or only what is known of one on disk. */
interface Entry { size: number, seen: number, /** UTC milliseconds when this peer was first remembered. */ since: number, sealed?: Uint8Array }

export class AdvertMemory {
  readonly #store: ReturnType<typeof sublevel> | undefined
  readonly #log: Log
  readonly #limits: { adverts: number, bytes: number }
  readonly #connected: () => ReadonlySet<string>
  /** The first remembered first. */
  readonly #entries = new Map<string, Entry>()
  /** Peers with something on disk: those that are no longer among the entries are to be removed there. */
  readonly #stored = new Set<string>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor ({ db, log, connected = () => new Set(), adverts = MEMORY_ADVERTS_MAX, bytes = MEMORY_BYTES_MAX }: MemoryInit) {
    this.#store = db == null ? undefined : sublevel(db)
    this.#log = log
    this.#connected = connected
    this.#limits = { adverts, bytes }
  }

  /** What earlier runs wrote, the least recently seen first; the damaged and the superfluous is removed. Call once, before anything else. */
  async load (): Promise<Remembered[]> {
    const found: Array<Remembered & { since: number }> = []
    for await (const [peer, value] of this.#store?.iterator() ?? []) {
      const entry = decode(value)
      this.#stored.add(peer)
      if (entry != null) found.push({ peer, ...entry })
    }
    found.sort((a, b) => a.since - b.since)
    for (const { peer, sealed, seen, since } of found) this.#put(peer, { size: sealed.byteLength, seen, since })
    this.#makeRoom()
    await this.settled()
    return found.filter(({ peer }) => this.#entries.has(peer)).sort((a, b) => a.seen - b.seen).map(({ peer, sealed, seen }) => ({ peer, sealed, seen }))
  }

  /** Written within MEMORY_WRITE_INTERVAL_MS, unless a newer one takes its place or others need the room. */
  remember ({ peer, sealed, seen }: Remembered): void {
    if (this.#store == null) return
    this.#put(peer, { size: sealed.byteLength, seen, since: this.#entries.get(peer)?.since ?? seen, sealed })
    this.#makeRoom()
    this.#plan()
  }

  forget (peer: string): void {
    if (this.#drop(peer)) this.#plan()
  }

  /** Resolves once everything is written. */
  async settled (): Promise<void> {
    this.#write()
    await this.#writing
  }

  /** A peer keeps its place when it has a newer advert. */
  #put (peer: string, entry: Entry): void {
    this.#bytes += entry.size - (this.#entries.get(peer)?.size ?? 0)
    this.#entries.set(peer, entry)
  }

  #drop (peer: string): boolean {
    this.#bytes -= this.#entries.get(peer)?.size ?? 0
    return this.#entries.delete(peer)
  }

  #makeRoom (): void {
    const { adverts, bytes } = this.#limits
    if (this.#entries.size <= adverts && this.#bytes <= bytes) return
    for (const peer of this.#expendable()) {
      this.#drop(peer)
      if (this.#entries.size <= adverts && this.#bytes <= bytes) return
    }
  }

  /** All, who goes first first: of those not known longest the unconnected before the connected; the latest known before the others. */
  #expendable (): string[] {
    const connected = this.#connected()
    let [count, bytes] = [0, 0]
    const rank = ([peer, { size }]: [string, Entry]): { peer: string, rank: number } => {
      count++
      bytes += size
      const isOld = count <= this.#limits.adverts * MEMORY_LONGEST_PART && bytes <= this.#limits.bytes * MEMORY_LONGEST_PART
      return { peer, rank: isOld ? 2 : connected.has(peer) ? 1 : 0 }
    }
    return [...this.#entries].map(rank).toReversed().toSorted((a, b) => a.rank - b.rank).map(({ peer }) => peer)
  }

  #plan (): void {
    this.#timer ??= setTimeout(() => { this.#write() }, MEMORY_WRITE_INTERVAL_MS).unref()
  }

  /** One write after the other. One that fails costs these adverts at the next start, no more. */
  #write (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(async () => {
      // What came while the write before was under way comes with this one.
      const operations: Array<{ type: 'put', key: string, value: Uint8Array } | { type: 'del', key: string }> = []
      for (const peer of this.#stored) if (!this.#entries.has(peer)) operations.push({ type: 'del', key: peer })
      for (const [peer, entry] of this.#entries) {
        if (entry.sealed == null) continue
        operations.push({ type: 'put', key: peer, value: encodeCanonical([2, entry.seen, entry.since, entry.sealed]) })
        delete entry.sealed
      }
      if (operations.length === 0) return
      for (const { type, key } of operations) {
        if (type === 'put') this.#stored.add(key)
        else this.#stored.delete(key)
      }
      try {
        await this.#store?.batch(operations)
      } catch (error) {
        this.#log.debug({ reason: (error as Error).message }, 'adverts could not be remembered')
      }
    })
  }
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the type of a sub-level is derived from here
function sublevel (db: Level<string, Uint8Array>) {
  return db.sublevel<string, Uint8Array>('adverts', { keyEncoding: 'utf8', valueEncoding: 'view' })
}

/** undefined if it is not one of ours. */
function decode (bytes: Uint8Array): { sealed: Uint8Array, seen: number, since: number } | undefined {
  let value: unknown
  try {
    value = decodeCanonical(bytes)
  } catch {
    // Damaged: as good as absent.
    return undefined
  }
  if (!Array.isArray(value) || value.length !== 4) return undefined
  const [version, seen, since, sealed] = value as unknown[]
  if (version !== 2 || typeof seen !== 'number' || typeof since !== 'number' || !(sealed instanceof Uint8Array) || sealed.byteLength > ADVERT_BYTES_MAX) return undefined
  return { sealed, seen, since }
}
