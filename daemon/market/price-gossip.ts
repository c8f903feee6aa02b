/** Tells what this node asks, and hears what others ask. */
import { createHash } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import type { Level } from 'level'
import { TypedEventEmitter } from 'main-event'
import type { Log } from '../log.ts'
import { full, placeOf, refilled, spent, waitMs, type Bucket, type BucketLimits, type GossipMessage, type GossipVerdict, type Network, type Place } from '../network/index.ts'
import type { Identity } from '../trust/index.ts'
import { Admission, type Header } from './admission.ts'
import { Audience } from './audience.ts'
import { checkClaims, openBulletin, peekBulletin, sealBulletin } from './bulletin.ts'
import { publishInterval } from './cadence.ts'
import { BULLETIN_VALIDITY_MS, CHANGE_BURST, CHANGE_REFILL_MS, FAMILIES_MAX, FAMILY_CHARS_MAX, PUBLISH_INTERVAL_MIN_MS, UNHEARD_RETRY_MS } from './constants.ts'
import { BulletinError } from './errors.ts'
import type { Bulletin, BulletinContent, GossipTally, PriceGossip, PriceGossipEvents } from './index.ts'
import { openSequence, type Sequence } from './sequence.ts'
import { publishTopics, subscriptions, type Subscription } from './topics.ts'

export interface PriceGossipInit {
  network: Pick<Network, 'name' | 'gossip'>
  identity: Pick<Identity, 'peerId' | 'nodeKey'>
  log: Log
  /**
   * For the sequence of this node's bulletins, so that a clock set back (by less than clocks may differ) does not make them older than what others
   * heard before a restart. Without it, the sequence starts from the clock.
   */
  db?: Level<string, Uint8Array>
  /** Families to hear of before those this node works in, in order of interest. @default none */
  families?: string[]
  /** UTC milliseconds. @default Date.now */
  now?: () => number
  /** From 0 to 1. @default Math.random */
  random?: () => number
  /** Milliseconds between two bulletins that say nothing new, at least. @default PUBLISH_INTERVAL_MIN_MS */
  intervalMs?: number
}

const CHANGES: BucketLimits = { burst: CHANGE_BURST, perSecond: 1000 / CHANGE_REFILL_MS }

export function createPriceGossip (init: PriceGossipInit): PriceGossip {
  return new BulletinGossip(init)
}

class BulletinGossip implements PriceGossip {
  readonly events = new TypedEventEmitter<PriceGossipEvents>()
  readonly tally: GossipTally = { published: 0, heard: 0, verified: 0, overBudget: 0, stale: 0, rejected: 0 }
  readonly #init: PriceGossipInit
  readonly #now: () => number
  readonly #random: () => number
  readonly #self: string
  readonly #place: Place
  readonly #admission = new Admission()
  readonly #audience = new Audience()
  /** What ends each subscription, by topic. */
  readonly #heard = new Map<string, () => void>()
  #started = false
  #content: BulletinContent | undefined
  /** There is something new to tell. */
  #changed = false
  #changes: Bucket | undefined
  /** Bulletins in a row that nobody listened to. */
  #unheard = 0
  #sequence: Sequence | undefined
  #timer: NodeJS.Timeout | undefined
  #telling: Promise<void> = Promise.resolve()

  constructor (init: PriceGossipInit) {
    this.#init = init
    this.#now = init.now ?? Date.now
    this.#random = init.random ?? Math.random
    this.#self = init.identity.peerId.toString()
    this.#place = placeOf(this.#self)
  }

  async start (): Promise<void> {
    this.#sequence ??= await openSequence(this.#init.db)
    if (this.#started) return
    this.#started = true
    this.#listen()
    if (this.#content != null) this.#plan()
  }

  async stop (): Promise<void> {
    this.#started = false
    clearTimeout(this.#timer)
    for (const end of this.#heard.values()) end()
    this.#heard.clear()
    await this.#telling
    try {
      await this.#sequence?.close()
    } catch (error) {
      // Then the next start goes on above what was reserved.
      this.#init.log.debug({ reason: (error as Error).message }, 'the sequence of bulletins stays reserved')
    }
  }

  publish (content: BulletinContent): void {
    const known = this.#content
    this.#content = { ...content, families: content.families.filter(isFamily).slice(0, FAMILIES_MAX) }
    if (known != null && !differs(known, this.#content)) return
    this.#changed = true
    if (!this.#started) return
    this.#listen()
    this.#plan()
  }

  /** Sets the timer: at once for something new, as the token bucket allows; otherwise for the next periodic bulletin. */
  #plan (): void {
    const now = this.#now()
    this.#changes ??= full(CHANGES, now)
    const families = this.#content?.families ?? []
    const publishers = 1 + Math.max(0, ...families.map(family => this.#audience.publishers(family, now)))
    const intervalMs = publishInterval(publishers, this.#random(), this.#init.intervalMs ?? PUBLISH_INTERVAL_MIN_MS)
    const repeatMs = this.#unheard === 0 ? intervalMs : Math.min(intervalMs, UNHEARD_RETRY_MS * 2 ** Math.min(16, this.#unheard - 1))
    const delayMs = this.#changed ? waitMs(this.#changes, CHANGES, now) : repeatMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { this.#due() }, delayMs).unref()
  }

  #due (): void {
    const now = this.#now()
    const bucket = refilled(this.#changes ?? full(CHANGES, now), CHANGES, now)
    // A timer may come a little early by another clock: then the bucket says how much longer.
    const left = this.#changed ? spent(bucket, CHANGES, now) : bucket
    this.#changes = left ?? bucket
    if (left != null) {
      this.#changed = false
      this.#listen()
      this.#telling = this.#telling.then(async () => {
        await this.#tell()
        if (this.#started) this.#plan()
      })
    } else {
      this.#plan()
    }
  }

  /** A failure costs one bulletin; the next comes by itself. */
  async #tell (): Promise<void> {
    const { network, identity, log } = this.#init
    const content = this.#content
    if (content == null || this.#sequence == null || !this.#started) return
    const now = this.#now()
    const { families, price, unit, draining, load } = content
    const bulletin: Omit<Bulletin, 'sequence'> = {
      version: 1,
      network: network.name,
      peer: this.#self,
      issued: now,
      expires: now + BULLETIN_VALIDITY_MS,
      price,
      unit,
      draining,
      load: { slots: load.slots, busy: load.busy, loopDelayMs: Math.round(load.loopDelayMs) }
    }
    try {
      const topics = publishTopics(families, this.#place, family => this.#audience.depth(family, now))
      if (topics.length === 0) return
      const sealed = await sealBulletin(identity.nodeKey, { ...bulletin, sequence: await this.#sequence.next(now) })
      let listeners = 0
      for (const topic of topics) listeners += await network.gossip.publish(topic, sealed)
      this.#unheard = listeners === 0 ? this.#unheard + 1 : 0
      this.tally.published++
    } catch (error) {
      log.warn({ reason: (error as Error).message }, 'price and load could not be told')
    }
  }

  /** Subscribes to what is of interest now, and to nothing else. */
  #listen (): void {
    const families = [...new Set([...(this.#init.families ?? []).filter(isFamily), ...(this.#content?.families ?? [])])]
    const now = this.#now()
    const wanted = subscriptions(families, this.#place, family => this.#audience.depth(family, now))
    this.#audience.watch(wanted.filter(({ common }) => common).map(({ family }) => family))
    const topics = new Set(wanted.map(({ topic }) => topic))
    for (const [topic, end] of this.#heard) {
      if (topics.has(topic)) continue
      end()
      this.#heard.delete(topic)
    }
    for (const subscription of wanted) this.#subscribe(subscription)
  }

  #subscribe ({ topic, family, common }: Subscription): void {
    if (this.#heard.has(topic)) return
    try {
      this.#heard.set(topic, this.#init.network.gossip.subscribe(topic, async message => await this.#judge(message, common ? family : undefined), { admit: message => this.#admit(message) }))
    } catch (error) {
      // Others use topics, too: the next look tries again.
      this.#init.log.debug({ topic, reason: (error as Error).message }, 'prices of a family are not heard')
    }
  }

  /** The budget is spent here, before gossipsub remembers the message: what one neighbour could not afford is still taken from another. */
  #admit ({ data, from }: GossipMessage): boolean {
    const now = this.#now()
    this.tally.heard++
    try {
      const header = this.#header(data, now)
      if (header.peer === this.#self || this.#admission.affords(header, from.toString(), now)) return true
      this.tally.overBudget++
      return false
    } catch (error) {
      // It is judged for what it is.
      if (error instanceof BulletinError) return true
      throw error
    }
  }

  /** @param family whose common topic it came on */
  async #judge ({ data, from }: GossipMessage, family: string | undefined): Promise<GossipVerdict> {
    const now = this.#now()
    try {
      const header = this.#header(data, now)
      const standing = header.peer === this.#self ? 'stale' : this.#admission.standing(header)
      if (standing === 'stale') this.tally.stale++
      if (standing === 'stale' || (standing === 'verify' && !await this.#take(data, header))) return 'ignore'
      if (family != null) this.#audience.note(family, header.peer, now)
      return 'accept'
    } catch (error) {
      if (!(error instanceof BulletinError)) throw error
      this.tally.rejected++
      this.#init.log.debug({ from: from.toString(), code: error.code, reason: error.message }, 'a bulletin was refused')
      // Clocks differ, and a message may be long under way: hardly a fault of who passed it on.
      return error.code === 'expired' || error.code === 'ahead' ? 'untimely' : 'reject'
    }
  }

  /** What a message claims; nothing of it is verified. @throws BulletinError */
  #header (data: Uint8Array, now: number): Header & { expires: number } {
    const claimed = peekBulletin(data)
    checkClaims(claimed, { network: this.#init.network.name, now })
    const { peer, sequence, expires } = claimed
    return { peer, sequence, expires, digest: createHash('sha256').update(data).digest('hex') }
  }

  /** False if something newer was verified in the meantime. @throws BulletinError */
  async #take (data: Uint8Array, header: Header & { expires: number }): Promise<boolean> {
    this.tally.verified++
    const { bulletin, peer } = await openBulletin(data, { network: this.#init.network.name, now: this.#now() })
    const seen = this.#now()
    if (!this.#admission.verified(header, seen)) {
      this.tally.stale++
      return false
    }
    this.#say(bulletin, peer, seen)
    return true
  }

  #say (bulletin: Bulletin, peerId: PeerId, seen: number): void {
    this.events.safeDispatchEvent('bulletin', { detail: { ...bulletin, peerId, seen } })
  }
}

/** Whether something changed that others decide by. Load is told with the next periodic bulletin. */
function differs (a: BulletinContent, b: BulletinContent): boolean {
  return a.price !== b.price || a.unit !== b.unit || a.draining !== b.draining || a.families.join(' ') !== b.families.join(' ')
}

function isFamily (name: string): boolean {
  return name.length <= FAMILY_CHARS_MAX && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)
}
