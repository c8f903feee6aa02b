/**
 * A job machine among workers that answer, fail, fall silent, come and go at random, and the laws of copies, breakers and ends, checked at every order.
 * Knows nothing of how the machine decides. A seed replays exactly.
 */
import { createJobMachine } from '../../../daemon/coordinator/machine.ts'
import { HEDGE_SHARE, HEDGES_MIN, JOB_LIMITS } from '../../../daemon/coordinator/constants.ts'
import type { AttemptRef, Effect, JobEventIn, JobMachine, PlantedFault } from '../../../daemon/coordinator/machine-types.ts'
import { plain } from './rig.ts'

type Order = AttemptRef & { worker: string, live: boolean, owed: boolean, copied: boolean }

interface Peer { id: string, slots: number, there: boolean, suspect: boolean, breaker: 'closed' | 'open' | 'half-open', badInRow: number, shutUntil: number, released: boolean, failing: number }

const STEPS = 400
const LIMITS = { ...JOB_LIMITS, breakerMs: 400, breakerMsMax: 2000, cutOffMs: 5000, rejoinMs: 2000, noneMs: 500, attemptMs: 20_000, blockLosses: 1000 }
const BLAMED = ['crash', 'hang', 'transfer', 'unavailable'] as const

export function runLaws (seed: number, fault?: PlantedFault): { broken?: string, end: JobMachine['state'], hedged: number, stolen: number } {
  const run = new LawRun(seed, fault)
  const broken = run.run()
  const { hedged, stolen } = run.machine.counts()
  return { ...(broken != null ? { broken } : {}), end: run.machine.state, hedged, stolen }
}

class Broken extends Error {}

class LawRun {
  readonly machine: JobMachine
  readonly #peers: Peer[]
  readonly #orders = new Map<string, Order>()
  readonly #failedOf = new Map<number, number>()
  readonly #poison: number | undefined
  readonly #blocks: number
  #state: number
  #now = 0
  #timer: number | undefined
  #done = 0
  #copies = 0
  #mostOut = 0
  #taken = new Set<number>()

  constructor (seed: number, fault: PlantedFault | undefined) {
    this.#state = seed * 2654435761 % 2147483646 + 1
    this.#blocks = this.#integer(1, 60)
    this.#poison = this.#chance(0.2) ? this.#integer(0, this.#blocks - 1) : undefined
    const failing = this.#pick([0, 0, 0.1, 0.4])
    this.#peers = Array.from({ length: this.#integer(1, 5) }, (_, i) => ({
      id: `w${i}`, slots: this.#integer(1, 4), there: false, suspect: false, breaker: 'closed', badInRow: 0, shutUntil: 0, released: false, failing: this.#chance(0.2) ? 1 : failing
    }))
    this.machine = createJobMachine({ job: 'j', verify: 'none', bound: 0, limits: LIMITS, faults: new Set(fault == null ? [] : [fault]) })
  }

  run (): string | undefined {
    try {
      this.#step({ type: 'settled', count: this.#peers.length })
      for (const peer of this.#peers) this.#join(peer)
      this.#step({ type: 'split', sizes: Array.from({ length: this.#blocks }, () => this.#integer(1, 5000)) }, { type: 'split-ended' })
      for (let i = 0; i < STEPS && this.machine.state === 'running'; i++) this.#chanceEvent()
      // The trouble is over: all that are let answer well, except about the poisonous block. The job must end.
      for (const peer of this.#peers) {
        peer.failing = 0
        if (peer.suspect) this.#trust(peer)
        if (!peer.there) this.#join(peer)
      }
      for (let i = 0; i < 20_000 && this.machine.state === 'running'; i++) {
        const owed = this.#owed()
        if (owed.length > 0) this.#answer(this.#pick(owed))
        else this.#wait(this.#timer == null ? 1000 : Math.max(1, this.#timer - this.#now))
        for (const peer of this.#peers) if (!peer.there && !peer.released) this.#join(peer)
      }
      if (this.machine.state === 'running') throw new Broken(`the job never ends: ${JSON.stringify(this.machine.counts())}`)
      return undefined
    } catch (error) {
      if (error instanceof Broken) return error.message
      throw error
    }
  }

  #chanceEvent (): void {
    const owed = this.#owed()
    const peer = this.#pick(this.#peers)
    const what = this.#random()
    if (what < 0.6 && owed.length > 0) this.#answer(this.#pick(owed))
    else if (what < 0.8) this.#wait(this.#integer(1, 300))
    else if (what < 0.9 && peer.there && peer.suspect) this.#trust(peer)
    else if (what < 0.9 && peer.there) this.#doubt(peer)
    else if (what < 0.95 && peer.there) this.#lose(peer)
    else if (!peer.there && !peer.released) this.#join(peer)
    else if (peer.there) {
      peer.slots = this.#integer(1, 4)
      this.#step({ type: 'slots', worker: peer.id, slots: peer.slots })
    }
  }

  #owed (): Order[] { return [...this.#orders.values()].filter(({ owed }) => owed) }

  #answer (order: Order): void {
    const { worker, block, attempt, live } = order
    const peer = this.#peer(worker)
    this.#now += this.#integer(0, 40)
    order.owed = false
    if (!live && this.#chance(0.8)) {
      this.#step({ type: 'failed', worker, block, attempt, reason: 'cancelled', message: 'cancelled' })
      return
    }
    order.live = false
    if (block !== this.#poison && !this.#chance(peer.failing)) {
      peer.badInRow = 0
      this.#step({ type: 'ok', worker, block, attempt, held: 'inline', size: 1, wallMs: this.#integer(1, 50) })
      return
    }
    const reason = block === this.#poison ? 'crash' : this.#pick(BLAMED)
    if (live) {
      const failed = (this.#failedOf.get(block) ?? 0) + 1
      this.#failedOf.set(block, failed)
      if (failed > LIMITS.blockAttempts) throw new Broken(`block ${block} failed ${failed} times`)
      this.#bad(peer)
    }
    this.#step({ type: 'failed', worker, block, attempt, reason, message: 'it failed' })
  }

  /** Three failures in a row and none good between: it must be left alone for half the first cool-down at least. */
  #bad (peer: Peer): void {
    if (peer.breaker !== 'closed') return
    if (++peer.badInRow < LIMITS.breakerFailures) return
    peer.shutUntil = this.#now + LIMITS.breakerMs / 2
    peer.badInRow = 0
  }

  #join (peer: Peer): void {
    Object.assign(peer, { there: true, suspect: false })
    this.#step({ type: 'joined', worker: peer.id, kind: 'remote', slots: peer.slots })
  }

  #lose (peer: Peer): void {
    for (const order of this.#orders.values()) {
      if (order.worker !== peer.id || !order.owed) continue
      order.owed = order.live = false
      if (order.copied) this.#copies--
    }
    peer.there = false
    this.#bad(peer)
    this.#step({ type: 'lost', worker: peer.id, reason: 'gone' })
  }

  #doubt (peer: Peer): void {
    peer.suspect = true
    this.#step({ type: 'suspect', worker: peer.id, reason: 'silent' })
  }

  #trust (peer: Peer): void {
    peer.suspect = false
    this.#step({ type: 'trusted', worker: peer.id })
  }

  #wait (ms: number): void {
    this.#now += ms
    this.#step(...this.#timer != null && this.#now >= this.#timer ? [{ type: 'tick' as const }] : [])
  }

  #step (...facts: JobEventIn[]): void {
    let events = facts
    do {
      const effects = this.machine.step(events, this.#now, () => this.#random())
      // Orders come first in a step, what they follow from later.
      for (const effect of effects) if (effect.type === 'breaker') this.#peer(effect.worker).breaker = effect.state
      events = effects.flatMap(effect => this.#act(effect))
      this.#afterStep()
    } while (events.length > 0)
  }

  #act (effect: Effect): JobEventIn[] {
    switch (effect.type) {
      case 'dispatch':
        for (const order of effect.orders) this.#dispatch(effect.worker, plain(order))
        return []
      case 'cancel':
        for (const ref of effect.attempts) (this.#orders.get(`${ref.block}/${ref.attempt}`) as Order).live = false
        return []
      case 'release':
        Object.assign(this.#peer(effect.worker), { there: false, released: true })
        for (const order of this.#orders.values()) if (order.worker === effect.worker) order.owed = order.live = false
        return []
      case 'inspect':
        for (const { block } of effect.results) {
          if (this.#taken.has(block)) throw new Broken(`block ${block} has two results`)
          this.#taken.add(block)
        }
        return effect.results.map(ref => ({ type: 'inspected', ...plain(ref), units: 1 }))
      case 'journal':
        this.#done += effect.results.length
        return effect.results.map(ref => ({ type: 'committed', ...plain(ref) }))
      case 'merge': return [{ type: 'merged', epoch: effect.epoch, upTo: effect.results.at(-1)!.block + 1 }]
      case 'finish': return [{ type: 'finished' }]
      case 'rename': return [{ type: 'renamed' }]
      case 'abort': return [{ type: 'aborted' }]
      case 'timer':
        this.#timer = effect.at
        return []
      default: return []
    }
  }

  #dispatch (worker: string, ref: { block: number, attempt: number }): void {
    const name = `block ${ref.block} to ${worker}`
    const peer = this.#peer(worker)
    const others = [...this.#orders.values()].filter(({ block, live }) => block === ref.block && live)
    if (!peer.there) throw new Broken(`${name}, which is not there`)
    if (others.length > 1) throw new Broken(`${name}, the third copy`)
    if (others.some(other => other.worker === worker)) throw new Broken(`${name} twice`)
    const healthy = this.#peers.some(other => other !== peer && other.there && !other.suspect && other.slots > 0 && other.breaker === 'closed')
    if (peer.suspect && (healthy || others.length > 0)) throw new Broken(`${name}, which is suspect`)
    if (this.#now < peer.shutUntil) throw new Broken(`${name}, which fails everything`)
    const out = [...this.#orders.values()].filter(({ worker: at, owed }) => at === worker && owed).length + 1
    if (out > peer.slots && others.length > 0) throw new Broken(`${name}: ${out} orders where ${peer.slots} fit`)
    this.#mostOut = Math.max(this.#mostOut, out)
    // A trial is told of in the same step; what it had before it was cut off does not count.
    if (peer.breaker !== 'closed' && [...this.#orders.values()].some(({ worker: at, live, ...order }) => at === worker && live && 'trial' in order)) throw new Broken(`${name}: a second trial`)
    const order: Order = { ...ref, worker, live: true, owed: true, copied: false }
    if (peer.breaker !== 'closed') Object.assign(order, { trial: true })
    this.#orders.set(`${ref.block}/${ref.attempt}`, order)
    const first = others[0]
    if (first == null) return
    first.copied = true
    this.#copies++
    const bound = Math.max(HEDGES_MIN, HEDGE_SHARE * this.#done + 1) + this.#mostOut
    if (this.#copies > bound) throw new Broken(`${name}: copy ${this.#copies} of ${bound} with ${this.#done} blocks done`)
  }

  /** What has its result is at work nowhere any more. */
  #afterStep (): void {
    for (const { block, worker, live } of this.#orders.values()) if (live && this.#taken.has(block)) throw new Broken(`block ${block} is still at ${worker} though it has its result`)
  }

  #peer (id: string): Peer { return this.#peers.find(peer => peer.id === id) as Peer }

  #random (): number {
    this.#state = this.#state * 48271 % 2147483647
    return this.#state / 2147483647
  }

  #integer (from: number, to: number): number { return from + Math.floor(this.#random() * (to - from + 1)) }
  #chance (share: number): boolean { return this.#random() < share }
  #pick<T> (list: readonly T[]): T { return list[Math.floor(this.#random() * list.length)] as T }
}
