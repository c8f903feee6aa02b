/** Who is talked to: bans, and the configured lists. A subject is a peer id or the did:key of an operator. */
import { peerIdFromString } from '@libp2p/peer-id'
import type { Level } from 'level'
import { ACCESS_LIST_MAX, BANS_MAX, REASON_CHARS_MAX } from './constants.ts'
import { NetworkConfigError } from './errors.ts'
import type { Ban } from './index.ts'

export interface AccessLists {
  allow: readonly string[]
  deny: readonly string[]
}

/** Where bans are kept between runs. */
export interface BanStore {
  read: () => Promise<Ban[]>
  write: (bans: Ban[]) => Promise<void>
}

/** @throws NetworkConfigError `access` */
export function checkSubject (subject: string, what: string): void {
  if (/^did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{40,60}$/.test(subject)) return
  try {
    if (peerIdFromString(subject).type === 'Ed25519') return
  } catch {
    // Said below, with what it should be.
  }
  throw new NetworkConfigError('access', `${what}: '${subject}' is neither the id of a node (12D3Koo...) nor of an operator (did:key:z6Mk...)`)
}

/** @throws NetworkConfigError `access` */
export function checkLists ({ allow, deny }: AccessLists): void {
  for (const [what, list] of [['peers allowed', allow], ['peers denied', deny]] as const) {
    if (list.length > ACCESS_LIST_MAX) throw new NetworkConfigError('access', `${what}: ${list.length} entries, at most ${ACCESS_LIST_MAX} are kept: remove some`)
    for (const subject of list) checkSubject(subject, what)
  }
}

export class Access {
  readonly #allow: ReadonlySet<string>
  readonly #deny: ReadonlySet<string>
  /** Whether `allow` names operators: then a peer's id alone does not tell. */
  readonly #operatorsAllowed: boolean
  readonly #bans = new Map<string, Ban>()
  readonly #store: BanStore | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor (lists: AccessLists, store?: BanStore) {
    this.#allow = new Set(lists.allow)
    this.#deny = new Set(lists.deny)
    this.#operatorsAllowed = lists.allow.some(subject => subject.startsWith('did:'))
    this.#store = store
  }

  /** Call before the first connection. */
  async load (): Promise<void> {
    for (const ban of await this.#store?.read() ?? []) this.#bans.set(ban.subject, ban)
  }

  /**
   * Why a peer is not talked to, in words for it; undefined if it is.
   *
   * @param operator its did:key, once hello proved it
   */
  refusal (peer: string, operator?: string): string | undefined {
    const has = (subjects: { has: (subject: string) => boolean }): boolean => subjects.has(peer) || (operator != null && subjects.has(operator))
    if (has(this.#bans)) return 'banned by this node'
    if (has(this.#deny)) return 'on the list of peers this node denies'
    if (this.#allow.size === 0 || has(this.#allow)) return undefined
    return operator == null && this.#operatorsAllowed ? undefined : 'not on the list of peers this node allows'
  }

  /** Latest last. */
  bans (): Ban[] {
    return [...this.#bans.values()]
  }

  /**
   * Resolves once it is written.
   *
   * @throws NetworkConfigError `access`
   */
  async ban (subject: string, reason: string, now: number): Promise<void> {
    checkSubject(subject, 'ban')
    // eslint-disable-next-line no-control-regex
    if (reason.length > REASON_CHARS_MAX || /[\u0000-\u001f\u007f-\u009f]/.test(reason)) throw new NetworkConfigError('access', `a ban's reason has up to ${REASON_CHARS_MAX} characters, without control characters`)
    if (!this.#bans.has(subject) && this.#bans.size >= BANS_MAX) throw new NetworkConfigError('access', `${BANS_MAX} bans are kept: lift one first`)
    this.#bans.delete(subject)
    this.#bans.set(subject, { subject, reason, since: now })
    await this.#save()
  }

  async unban (subject: string): Promise<boolean> {
    if (!this.#bans.delete(subject)) return false
    await this.#save()
    return true
  }

  /** In turn: the last to be written is the newest state. */
  async #save (): Promise<void> {
    const write = this.#writing.then(async () => { await this.#store?.write(this.bans()) })
    this.#writing = write.catch(() => { /* whoever asked for this one is told */ })
    await write
  }
}

const KEY = 'bans'

/** Bans as one entry of the node's database. */
export function banStore (db: Level<string, Uint8Array>): BanStore {
  const level = db.sublevel<string, Uint8Array>('network', { keyEncoding: 'utf8', valueEncoding: 'view' })
  return {
    async read () {
      const bytes = await level.get(KEY)
      return bytes == null ? [] : parseBans(new TextDecoder().decode(bytes))
    },
    async write (bans) {
      await level.put(KEY, new TextEncoder().encode(JSON.stringify(bans)))
    }
  }
}

/**
 * A list that cannot be read is an error, not an empty list: who was banned would be let in.
 *
 * @throws NetworkConfigError `access`
 */
export function parseBans (json: string): Ban[] {
  try {
    const entries = JSON.parse(json) as unknown
    if (Array.isArray(entries) && entries.every(isBan)) return entries.slice(-BANS_MAX)
  } catch {
    // Said below.
  }
  throw new NetworkConfigError('access', 'the list of bans in the data directory cannot be read: restore it from a backup, or remove the data directory\'s database')
}

function isBan (value: unknown): value is Ban {
  const { subject, reason, since } = (value ?? {}) as Partial<Ban>
  return typeof subject === 'string' && typeof reason === 'string' && typeof since === 'number'
}
