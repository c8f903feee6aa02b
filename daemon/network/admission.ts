/**
 * Which inbound connections are taken. Pure: whoever calls closes what is to go.
 *
 * A stranger is a connection that has not passed hello, from its first byte on. Strangers have places of their own, so that no flood of them takes
 * more than NEWCOMER_PLACES of the members'; when these are full the oldest stranger of the group that holds most goes, so that a newcomer from
 * elsewhere always gets in. Identities cost nothing in an open network, so members that do nothing make room, too: connections a member has to
 * spare, then idle ones of the group that holds most, the youngest first. A connection with work on it is never closed.
 */
import { LOCAL_GROUP } from './address.ts'
import { GROUP_CONNECTIONS_MAX, GROUP_STRANGERS_MAX, INBOUND_MAX, LOCAL_CONNECTIONS_MAX, MEMBER_STAY_MS, NEWCOMER_PLACES, PEER_CONNECTIONS_KEPT, PLACES_SCARCE, STRANGERS_MAX } from './constants.ts'

export interface AdmissionLimits {
  /** Inbound connections in all. @default INBOUND_MAX */
  all?: number
  /** Strangers in all. @default STRANGERS_MAX */
  strangers?: number
  /** Connections in all from which on those of a group are limited. @default PLACES_SCARCE */
  scarce?: number
  /** Connections of one public group while places are scarce. @default GROUP_CONNECTIONS_MAX */
  group?: number
  /** Strangers of one public group. @default GROUP_STRANGERS_MAX */
  groupStrangers?: number
  /** Connections of LOCAL_GROUP. @default LOCAL_CONNECTIONS_MAX */
  local?: number
  /** Places that idle members yield. @default NEWCOMER_PLACES */
  newcomers?: number
  /** Connections a member keeps before others yield. @default PEER_CONNECTIONS_KEPT */
  kept?: number
  /** Milliseconds before a member yields to its like. @default MEMBER_STAY_MS */
  stayMs?: number
}

export type Admission<K> = { admitted: true, /** To be closed to make room. */ evict?: K } | { admitted: false, reason: string }

export interface Circumstances<K> {
  /** Monotonic milliseconds. */
  now: number
  /** Is there work on a member's connection? */
  busy: (key: K) => boolean
}

interface Entry { group: string, /** Once it passed hello. */ member?: { peer: string, since: number } }
interface Member<K> { key: K, group: string, peer: string, since: number }

export class Admissions<K> {
  readonly #limits: Required<AdmissionLimits>
  readonly #membersCount: boolean
  /** Oldest first. */
  readonly #open = new Map<K, Entry>()

  /** @param membersCount members count towards their group's limit: where anybody can be one, an identity is cheap */
  constructor (membersCount: boolean, limits: AdmissionLimits = {}) {
    this.#membersCount = membersCount
    this.#limits = {
      all: INBOUND_MAX,
      strangers: STRANGERS_MAX,
      scarce: PLACES_SCARCE,
      group: GROUP_CONNECTIONS_MAX,
      groupStrangers: GROUP_STRANGERS_MAX,
      local: LOCAL_CONNECTIONS_MAX,
      newcomers: NEWCOMER_PLACES,
      kept: PEER_CONNECTIONS_KEPT,
      stayMs: MEMBER_STAY_MS,
      ...limits
    }
  }

  get size (): number {
    return this.#open.size
  }

  admit (key: K, group: string, circumstances: Circumstances<K>): Admission<K> {
    const decision = this.#decide(group, circumstances)
    if (!decision.admitted) return decision
    if (decision.evict !== undefined) this.#open.delete(decision.evict)
    this.#open.set(key, { group })
    return decision
  }

  /** It passed hello, monotonic milliseconds `now`. */
  greeted (key: K, peer: string, now: number): void {
    const entry = this.#open.get(key)
    if (entry != null) entry.member ??= { peer, since: now }
  }

  closed (key: K): void {
    this.#open.delete(key)
  }

  #decide (group: string, circumstances: Circumstances<K>): Admission<K> {
    const limits = this.#limits
    const strangers = new Map<string, K[]>()
    const members: Array<Member<K>> = []
    for (const [key, { group: of, member }] of this.#open) {
      if (member != null) members.push({ key, group: of, ...member })
      else strangers.set(of, [...strangers.get(of) ?? [], key])
    }
    const strangersAll = this.#open.size - members.length
    const ofGroup = strangers.get(group) ?? []
    const membersOfGroup = members.filter(({ group: of }) => of === group)
    const [groupMax, groupStrangersMax] = group === LOCAL_GROUP ? [limits.local, limits.strangers] : [limits.group, limits.groupStrangers]
    if (ofGroup.length >= groupStrangersMax) return evicting(ofGroup[0], `${groupStrangersMax} connections before hello from ${group}`)
    if (this.#open.size >= limits.scarce && ofGroup.length + (this.#membersCount ? membersOfGroup.length : 0) >= groupMax) {
      return evicting(this.#room(ofGroup, ofGroup.length, membersOfGroup, group, circumstances), `${groupMax} connections from ${group}`)
    }
    const largest = [...strangers.values()].reduce((most, list) => list.length > most.length ? list : most, [] as K[])
    if (strangersAll >= limits.strangers) return evicting(largest[0], `${limits.strangers} connections before hello`)
    if (this.#open.size < limits.all) return { admitted: true }
    return evicting(this.#room(largest, strangersAll, members, group, circumstances), `${limits.all} connections`)
  }

  /** A member's, until the strangers have the places that members yield; then the oldest stranger's, so that members lose no more than these. */
  #room (strangers: readonly K[], strangersAll: number, members: Array<Member<K>>, newcomer: string, circumstances: Circumstances<K>): K | undefined {
    return (strangersAll < this.#limits.newcomers ? this.#yielding(members, newcomer, circumstances) : undefined) ?? strangers[0]
  }

  /** Which of these members' connections makes room for a newcomer of a group. */
  #yielding (members: Array<Member<K>>, newcomer: string, { now, busy }: Circumstances<K>): K | undefined {
    const { kept, newcomers, stayMs } = this.#limits
    const idle = members.filter(({ key }) => !busy(key)).toReversed().sort((a, b) => b.since - a.since)
    const held = countBy(members, ({ peer }) => peer)
    const surplus = idle.find(({ peer }) => (held.get(peer) ?? 0) > kept)
    if (surplus != null) return surplus.key
    const groups = countBy(idle, ({ group }) => group)
    const most = Math.max(...groups.values(), 0)
    // Only the latest come and go: whoever has been there for long is not pushed out by many who join one after the other.
    const latest = idle.filter(({ group }) => groups.get(group) === most).slice(0, newcomers)
    const fewer = (countBy(members, ({ group }) => group).get(newcomer) ?? 0) + 1 < most
    return latest.find(({ since }) => fewer || now - since >= stayMs)?.key
  }
}

function countBy<T> (list: readonly T[], keyOf: (one: T) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const one of list) counts.set(keyOf(one), (counts.get(keyOf(one)) ?? 0) + 1)
  return counts
}

function evicting<K> (evict: K | undefined, reason: string): Admission<K> {
  return evict === undefined ? { admitted: false, reason } : { admitted: true, evict }
}
