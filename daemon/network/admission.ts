/**
 * Which inbound connections are taken. Pure: whoever calls closes what is to go.
 *
 * A stranger is a connection that has not passed hello, from its first byte on. Strangers have places of their own, so that no flood of them takes a
 * member's; when these are full the oldest stranger of the group that holds most goes, so that a newcomer from elsewhere always gets in.
 */
import { LOCAL_GROUP } from './address.ts'
import { GROUP_CONNECTIONS_MAX, GROUP_STRANGERS_MAX, INBOUND_MAX, LOCAL_CONNECTIONS_MAX, STRANGERS_MAX } from './constants.ts'

export interface AdmissionLimits {
  /** Inbound connections in all. @default INBOUND_MAX */
  all?: number
  /** Strangers in all. @default STRANGERS_MAX */
  strangers?: number
  /** Connections of one public group. @default GROUP_CONNECTIONS_MAX */
  group?: number
  /** Strangers of one public group. @default GROUP_STRANGERS_MAX */
  groupStrangers?: number
  /** Connections of LOCAL_GROUP. @default LOCAL_CONNECTIONS_MAX */
  local?: number
}

export type Admission<K> = { admitted: true, /** To be closed to make room. */ evict?: K } | { admitted: false, reason: string }

export class Admissions<K> {
  readonly #limits: Required<AdmissionLimits>
  readonly #membersCount: boolean
  /** Oldest first. */
  readonly #open = new Map<K, { group: string, stranger: boolean }>()

  /** @param membersCount members count towards their group's limit: where anybody can be one, an identity is cheap */
  constructor (membersCount: boolean, limits: AdmissionLimits = {}) {
    this.#membersCount = membersCount
    this.#limits = { all: INBOUND_MAX, strangers: STRANGERS_MAX, group: GROUP_CONNECTIONS_MAX, groupStrangers: GROUP_STRANGERS_MAX, local: LOCAL_CONNECTIONS_MAX, ...limits }
  }

  get size (): number {
    return this.#open.size
  }

  admit (key: K, group: string): Admission<K> {
    const decision = this.#decide(group)
    if (!decision.admitted) return decision
    if (decision.evict !== undefined) this.#open.delete(decision.evict)
    this.#open.set(key, { group, stranger: true })
    return decision
  }

  /** It passed hello. */
  greeted (key: K): void {
    const entry = this.#open.get(key)
    if (entry != null) entry.stranger = false
  }

  closed (key: K): void {
    this.#open.delete(key)
  }

  #decide (group: string): Admission<K> {
    const limits = this.#limits
    const strangers = new Map<string, K[]>()
    let strangersAll = 0
    let counted = 0
    for (const [key, entry] of this.#open) {
      if (entry.stranger) {
        strangersAll++
        const list = strangers.get(entry.group)
        if (list == null) strangers.set(entry.group, [key])
        else list.push(key)
      }
      if (entry.group === group && (entry.stranger || this.#membersCount)) counted++
    }
    const ofGroup = strangers.get(group) ?? []
    const groupMax = group === LOCAL_GROUP ? limits.local : limits.group
    const groupStrangersMax = group === LOCAL_GROUP ? limits.strangers : limits.groupStrangers
    if (counted >= groupMax || ofGroup.length >= groupStrangersMax) return evicting(ofGroup, `${groupMax} connections from ${group}`)
    if (strangersAll >= limits.strangers || this.#open.size >= limits.all) {
      const largest = [...strangers.values()].reduce((most, list) => list.length > most.length ? list : most, [] as K[])
      return evicting(largest, `${limits.all} connections`)
    }
    return { admitted: true }
  }
}

function evicting<K> ([oldest]: K[], reason: string): Admission<K> {
  return oldest === undefined ? { admitted: false, reason } : { admitted: true, evict: oldest }
}
