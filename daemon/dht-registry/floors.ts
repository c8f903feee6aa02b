/**
 * The highest sequence seen of each peer, kept across restarts: an old advert, however well signed, is never taken again.
 * (kad-dht's PUT_VALUE asks the validator only, never the selector, so that anybody could otherwise put an old record in
 * place of a new one.)
 *
 * Raised only by what was fully verified. Sequences follow the clock, so a floor can be dropped once everything older has
 * expired: forgetting it then allows nothing.
 */
import type { Level } from 'level'
import { CLOCK_SKEW_MS, decodeCanonical, encodeCanonical } from '../trust/index.ts'
import { ADVERT_VALIDITY_MS, FLOORS_MAX } from './constants.ts'
import { AdvertError } from './errors.ts'

/** A full advert and its record have the same sequence and different bytes. */
export type Kind = 'advert' | 'record'

/** Part of the floors that is forgotten at once: 256 of 16,384, and a look at all of them only that often. */
const FLOORS_FORGOTTEN_PART = 1 / 64

interface Floor {
  sequence: number
  /** UTC milliseconds after which nothing older can be valid. */
  until: number
  /** sha2-256 of what was seen at this sequence, of each kind; hex. */
  seen: Partial<Record<Kind, string>>
}

export interface Candidate { peer: string, kind: Kind, sequence: number, issued: number, digest: Uint8Array }

export interface FloorsInit {
  /** Without it, floors last as long as the process. */
  db?: Level<string, Uint8Array>
  /** @default FLOORS_MAX */
  max?: number
  /** UTC milliseconds. @default Date.now */
  now?: () => number
}

export interface Floors {
  /**
   * Takes what is verified: resolves once the floor is written.
   *
   * @throws AdvertError `stale`, `equivocation`
   */
  admit: (candidate: Candidate) => Promise<void>
  /** The highest sequence seen of a peer, 0 if none. */
  sequence: (peer: string) => number
  /** Whose floors are not to be forgotten for those of strangers. Asked where there is no room for all. @default nobody's */
  protect?: (whom: () => Protected) => void
}

/** Who a node has to do with, by peer id as text. */
export interface Protected {
  /** Its floor is kept whatever happens. */
  isConnected: (peer: string) => boolean
  /** Its advert is known: its floor is kept while there are others to forget. */
  isKnown: (peer: string) => boolean
}

/** Reads the floors of earlier runs. */
export async function openFloors (init: FloorsInit = {}): Promise<Floors> {
  const floors = new LevelFloors(init)
  await floors.load()
  return floors
}

class LevelFloors implements Floors {
  readonly #db: ReturnType<typeof sublevel> | undefined
  readonly #max: number
  readonly #now: () => number
  #whom: () => Protected = () => ({ isConnected: () => false, isKnown: () => false })
  /** Least recently raised first. */
  readonly #floors = new Map<string, Floor>()

  constructor ({ db, max = FLOORS_MAX, now = Date.now }: FloorsInit) {
    this.#db = db == null ? undefined : sublevel(db)
    this.#max = max
    this.#now = now
  }

  async load (): Promise<void> {
    if (this.#db == null) return
    const found: Array<[string, Floor]> = []
    const useless: string[] = []
    for await (const [peer, value] of this.#db.iterator()) {
      const floor = decode(value)
      if (floor == null || floor.until < this.#now()) useless.push(peer)
      else found.push([peer, floor])
    }
    found.sort((a, b) => a[1].until - b[1].until)
    useless.push(...found.splice(0, Math.max(0, found.length - this.#max)).map(([peer]) => peer))
    for (const [peer, floor] of found) this.#floors.set(peer, floor)
    await this.#db.batch(useless.map(key => ({ type: 'del', key })))
  }

  sequence (peer: string): number {
    return this.#floors.get(peer)?.sequence ?? 0
  }

  protect (whom: () => Protected): void {
    this.#whom = whom
  }

  async admit ({ peer, kind, sequence, issued, digest }: Candidate): Promise<void> {
    const floor = this.#floors.get(peer)
    const hex = Buffer.from(digest).toString('hex')
    if (floor != null && sequence < floor.sequence) throw new AdvertError('stale', `of ${peer}, sequence ${sequence}; ${floor.sequence} is known`)
    const same = floor?.sequence === sequence ? floor.seen : {}
    if (same[kind] != null && same[kind] !== hex) throw new AdvertError('equivocation', `of ${peer}, other content with sequence ${sequence} is known`)
    if (same[kind] === hex) return
    const raised: Floor = { sequence, until: Math.max(floor?.until ?? 0, issued + ADVERT_VALIDITY_MS + CLOCK_SKEW_MS), seen: { ...same, [kind]: hex } }
    this.#floors.delete(peer)
    this.#floors.set(peer, raised)
    const forgotten = this.#makeRoom(peer)
    try {
      await this.#db?.batch([{ type: 'put', key: peer, value: encode(raised) }, ...forgotten.map(key => ({ type: 'del' as const, key }))])
    } catch {
      // It holds for this run. A disk that takes no writes, of which the database says in the log, must not make this node deaf to what others offer.
    }
  }

  /**
   * Those that protect nothing any more go first, then those of peers nobody here has to do with, then those whose advert is known; of each the ones not
   * raised for longest. Never those connected, whose number is limited elsewhere. Some at once: identities cost nothing, and looking for them does.
   */
  #makeRoom (raised: string): string[] {
    if (this.#floors.size <= this.#max) return []
    const now = this.#now()
    const { isConnected, isKnown } = this.#whom()
    const [useless, strangers, known]: [string[], string[], string[]] = [[], [], []]
    for (const [peer, { until }] of this.#floors) {
      if (until < now) useless.push(peer)
      else if (peer !== raised && !isConnected(peer)) (isKnown(peer) ? known : strangers).push(peer)
    }
    const some = strangers.slice(0, Math.max(1, Math.floor(this.#max * FLOORS_FORGOTTEN_PART)))
    const forgotten = useless.length > 0 ? useless : some.length > 0 ? some : known.slice(0, 1)
    for (const peer of forgotten) this.#floors.delete(peer)
    return forgotten
  }
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the type of a sub-level is derived from here
function sublevel (db: Level<string, Uint8Array>) {
  return db.sublevel<string, Uint8Array>('advert-floors', { keyEncoding: 'utf8', valueEncoding: 'view' })
}

function encode ({ sequence, until, seen }: Floor): Uint8Array {
  return encodeCanonical([1, sequence, until, seen.advert ?? '', seen.record ?? ''])
}

/** undefined if it is not one of ours: a floor is rebuilt from what comes next. */
function decode (bytes: Uint8Array): Floor | undefined {
  let value: unknown
  try {
    value = decodeCanonical(bytes)
  } catch {
    // Damaged: as good as absent.
    return undefined
  }
  if (!Array.isArray(value) || value.length !== 5) return undefined
  const [version, sequence, until, advert, record] = value as unknown[]
  if (version !== 1 || typeof sequence !== 'number' || typeof until !== 'number' || typeof advert !== 'string' || typeof record !== 'string') return undefined
  return { sequence, until, seen: { ...(advert === '' ? {} : { advert }), ...(record === '' ? {} : { record }) } }
}
