/**
 * The adverts of peers met before, sealed as they came, so that the next start knows them at once. Bounded; what is read back is verified again
 * by the reader, and expires like any other.
 */
import type { Level } from 'level'
import type { Log } from '../log.ts'
import { decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { ADVERT_BYTES_MAX, MEMORY_ADVERTS_MAX, MEMORY_BYTES_MAX } from './constants.ts'

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
  /** @default MEMORY_ADVERTS_MAX */
  adverts?: number
  /** @default MEMORY_BYTES_MAX */
  bytes?: number
}

export class AdvertMemory {
  readonly #store: ReturnType<typeof sublevel> | undefined
  readonly #log: Log
  readonly #limits: { adverts: number, bytes: number }
  /** Bytes of each, the least recently written first. */
  readonly #sizes = new Map<string, number>()
  #bytes = 0
  #writing: Promise<void> = Promise.resolve()

  constructor ({ db, log, adverts = MEMORY_ADVERTS_MAX, bytes = MEMORY_BYTES_MAX }: MemoryInit) {
    this.#store = db == null ? undefined : sublevel(db)
    this.#log = log
    this.#limits = { adverts, bytes }
  }

  /** What earlier runs wrote, oldest first; the damaged and the superfluous is removed. Call once, before anything else. */
  async load (): Promise<Remembered[]> {
    const found: Remembered[] = []
    for await (const [peer, value] of this.#store?.iterator() ?? []) {
      const entry = decode(value)
      if (entry == null) this.#write([{ type: 'del', key: peer }])
      else found.push({ peer, ...entry })
    }
    found.sort((a, b) => a.seen - b.seen)
    for (const { peer, sealed } of found) this.#note(peer, sealed.byteLength)
    this.#makeRoom()
    await this.settled()
    return found.filter(({ peer }) => this.#sizes.has(peer))
  }

  remember ({ peer, sealed, seen }: Remembered): void {
    if (this.#store == null) return
    this.#drop(peer)
    this.#note(peer, sealed.byteLength)
    this.#write([{ type: 'put', key: peer, value: encodeCanonical([1, seen, sealed]) }])
    this.#makeRoom()
  }

  forget (peer: string): void {
    if (this.#drop(peer)) this.#write([{ type: 'del', key: peer }])
  }

  /** Resolves once everything is written. */
  async settled (): Promise<void> {
    await this.#writing
  }

  #note (peer: string, size: number): void {
    this.#sizes.set(peer, size)
    this.#bytes += size
  }

  #drop (peer: string): boolean {
    this.#bytes -= this.#sizes.get(peer) ?? 0
    return this.#sizes.delete(peer)
  }

  #makeRoom (): void {
    for (const peer of this.#sizes.keys()) {
      if (this.#sizes.size <= this.#limits.adverts && this.#bytes <= this.#limits.bytes) return
      this.forget(peer)
    }
  }

  /** One after the other. A write that fails costs this advert at the next start, no more. */
  #write (operations: Array<{ type: 'put', key: string, value: Uint8Array } | { type: 'del', key: string }>): void {
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#store?.batch(operations)
      } catch (error) {
        this.#log.debug({ reason: (error as Error).message }, 'an advert could not be remembered')
      }
    })
  }
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the type of a sub-level is derived from here
function sublevel (db: Level<string, Uint8Array>) {
  return db.sublevel<string, Uint8Array>('adverts', { keyEncoding: 'utf8', valueEncoding: 'view' })
}

/** undefined if it is not one of ours. */
function decode (bytes: Uint8Array): { sealed: Uint8Array, seen: number } | undefined {
  let value: unknown
  try {
    value = decodeCanonical(bytes)
  } catch {
    // Damaged: as good as absent.
    return undefined
  }
  if (!Array.isArray(value) || value.length !== 3) return undefined
  const [version, seen, sealed] = value as unknown[]
  if (version !== 1 || typeof seen !== 'number' || !(sealed instanceof Uint8Array) || sealed.byteLength > ADVERT_BYTES_MAX) return undefined
  return { sealed, seen }
}
