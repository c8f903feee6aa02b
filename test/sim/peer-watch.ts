/**
 * One end's view of the other end of a lease: beats on the lease from the main loop, beacons by datagram from a thread of its own, and the
 * production failure detector over what arrives. What the detector says is compared with what the simulation knows: who was up, reachable
 * and not suspended must never be given up, and who is silent must not be waited for.
 */
import {
  BEACON_LIMITS, BEACON_LOST_MS, BEACON_MS, BEACON_RING, CONFIRM_MS, HEARTBEAT_MS, LATE_MS, LEASE_LIMITS, LOOK_MS, LOOP_WINDOW_MS, PROGRESS_MS,
  STALL_SUSPECT_MS, STREAM_DEAD_MS, WIDEN_MAX, WIDEN_STEP
} from '../../daemon/health/constants.ts'
import { createDetector } from '../../daemon/health/detector.ts'
import type { BeaconBeat, Detector, DetectorFault, Liveness } from '../../daemon/health/index.ts'
import type { Host } from './host.ts'
import type { Network, Stream } from './network.ts'
import { Life, Violation, type World } from './world.ts'

/** A peer that was undisturbed for so long must have been heard of, milliseconds: longer than the least silence that kills, with beats and delays. */
const QUIET_MS = LEASE_LIMITS.dead.floorMs
/** Signs of life must have been seen within this for a suspicion to be wrong, milliseconds. */
const FRESH_MS = 150
/** Beacons after which their regularity is known. */
const BEACONS_KNOWN = 20
/** A thread that was suspended reads what waits within this, milliseconds. */
const WAKE_MS = 20
/** A turn of the main loop, milliseconds. */
const TURN_MS = 1
/** For looks and rounding, milliseconds. */
const SLACK_MS = HEARTBEAT_MS + CONFIRM_MS + LOOK_MS

export interface PeerWatchInit {
  world: World
  network: Network
  own: Host
  remote: Host
  stream: Stream
  /** Which end of the stream is ours. */
  side: 'requester' | 'worker'
  beacons: boolean
  faults: ReadonlySet<DetectorFault>
  /** The other end's watch, as far as it has one for this lease: where our signs go. */
  other: () => PeerWatch | undefined
  onVerdict: (verdict: Liveness, reason: string) => void
  /** With every beat. */
  onTick: () => void
}

export class PeerWatch {
  readonly #init: PeerWatchInit
  readonly #detector: Detector
  /** Ends with the lease. */
  readonly #life = new Life()
  #verdict: Liveness = 'alive'
  /** Beacons the thread heard since the last look. */
  #ring: Array<{ beat: BeaconBeat, at: number }> = []
  #sequence = 0
  /** What really came: any sign not older than others, a byte, progress; by the own monotonic clock, which may stand still while the machine sleeps. */
  #heardAt: number
  #byteAt: number
  #progressAt: number
  #beaconAt = -Infinity
  #newest: BeaconBeat = { incarnation: 0, sequence: 0, progress: 0 }
  /** Most the detector may stretch its limits by. */
  #stretchMax = 1
  #beacons = 0
  readonly #openedAt: number

  constructor (init: PeerWatchInit) {
    const { world, own } = init
    this.#init = init
    this.#detector = createDetector(own.monotonic(), { faults: init.faults })
    this.#openedAt = world.now
    this.#heardAt = own.monotonic()
    this.#byteAt = own.monotonic()
    this.#progressAt = own.monotonic()
    this.#sendBeats()
    if (init.beacons) this.#sendBeacons()
    this.#look()
  }

  get verdict (): Liveness { return this.#verdict }

  stop (): void { this.#life.over = true }

  /** Any byte on a stream of this lease; a beat is one, too. */
  heard (beat = false): void {
    const now = this.#init.own.monotonic()
    this.#heardAt = now
    this.#byteAt = now
    if (beat) this.#detector.beat(now)
    else this.#detector.byte(now)
  }

  /** A beacon reached the thread, which keeps it for the main loop. */
  beacon (beat: BeaconBeat, handed = false): void {
    const { own, world } = this.#init
    if (this.#life.over) return
    // After a pause of all of it the thread needs a moment, and the main loop may be first.
    if (!handed && world.now - own.thread.idleUntil < WAKE_MS) {
      world.after(world.random.next() * WAKE_MS, own.thread, '', () => { this.beacon(beat, true) })
      return
    }
    const now = own.monotonic()
    const newer = beat.incarnation > this.#newest.incarnation || (beat.incarnation === this.#newest.incarnation && beat.sequence > this.#newest.sequence)
    if (newer) {
      this.#heardAt = now
      this.#beacons++
      this.#beaconAt = now
      if (beat.progress !== this.#newest.progress) this.#progressAt = now
      this.#newest = beat
    }
    this.#ring.push({ beat, at: now })
    if (this.#ring.length > BEACON_RING) this.#ring.shift()
  }

  /** Nobody may wait so long for a peer that says nothing, or whose main loop stands still. */
  checkSilence (): void {
    const { own, remote, world } = this.#init
    if (this.#life.over || own.life.over || world.now < own.hungUntil + LOOP_WINDOW_MS + SLACK_MS || world.now < own.life.idleUntil) return
    const now = own.monotonic()
    this.#stretched()
    const ownMs = Math.max(own.loopMs(), own.threadMs())
    // While both fall silent together it is the beacon that is missed.
    const deadMs = (this.#byBeacon ? BEACON_LIMITS : LEASE_LIMITS).dead.ceilingMs * this.#stretchMax
    const silentMs = now - this.#heardAt
    if (silentMs > deadMs + ownMs + SLACK_MS) throw new Violation(`${own.name} still waits for ${remote.name}, silent for ${Math.round(silentMs)} ms`)
    const muteMs = now - this.#byteAt
    if (muteMs > STREAM_DEAD_MS * this.#stretchMax + ownMs + SLACK_MS) throw new Violation(`${own.name} still waits for ${remote.name}, which said nothing but beacons for ${Math.round(muteMs)} ms`)
    const stalledMs = Math.min(muteMs, now - this.#progressAt)
    if (this.#verdict === 'alive' && this.#beacons > 0 && now - this.#heardAt < BEACON_MS && stalledMs > STALL_SUSPECT_MS * this.#stretchMax + ownMs + SLACK_MS + BEACON_MS) {
      throw new Violation(`${own.name} does not doubt ${remote.name}, whose main loop stands still for ${Math.round(stalledMs)} ms`)
    }
  }

  /** Beacons are what is judged: they come, and nothing shows that only they stopped. */
  get #byBeacon (): boolean {
    return this.#beacons > 0 && this.#byteAt - this.#beaconAt < BEACON_LOST_MS && this.#init.own.threadMs() < BEACON_LOST_MS
  }

  #stretched (): void {
    const widened = Math.min(WIDEN_MAX, 1 + WIDEN_STEP * this.#detector.refutations)
    this.#stretchMax = Math.max(this.#stretchMax, this.#init.own.health.factor() * widened)
  }

  #every (ms: number, life: Life, act: () => void): void {
    const { world } = this.#init
    const tick = (): void => {
      if (this.#life.over) return
      act()
      world.after(ms, life, '', tick)
    }
    // Nobody's timers are in step with anybody else's.
    world.after(ms * world.random.next(), life, '', tick)
  }

  #sendBeats (): void {
    const { network, own, stream, side, other, onTick } = this.#init
    this.#every(HEARTBEAT_MS, own.life, () => {
      network.send(stream, side === 'requester' ? 0 : 1, '', () => { other()?.heard(true) })
      onTick()
    })
  }

  #sendBeacons (): void {
    const { network, own, remote, stream, side, other } = this.#init
    const link = stream.links[side === 'requester' ? 0 : 1]
    this.#every(BEACON_MS, own.thread, () => {
      const beat = { incarnation: own.incarnation, sequence: ++this.#sequence, progress: Math.floor(own.progressAt / PROGRESS_MS) }
      network.datagram(own, remote, link, () => { other()?.beacon(beat) })
    })
  }

  #look (): void {
    const { own, world } = this.#init
    const now = own.monotonic()
    const next = this.#detector.nextLook(now, this.#own())
    // A first beacon shortens the limits: as in the daemon, it does not wait for the next look by the longer ones. Timers have whole milliseconds.
    const due = this.#init.beacons && this.#beacons === 0 ? Math.min(next, now + HEARTBEAT_MS) : next
    const waitMs = Math.max(1, Math.ceil(due - now))
    const at = world.now + waitMs
    const act = (): void => {
      if (this.#life.over) return
      this.#judge()
      if (!this.#life.over) this.#look()
    }
    world.after(waitMs, own.life, '', () => {
      // After a pause of its own it reads first what waits in the sockets; but not everything may be there.
      const deafMs = own.life.deafUntil - world.now
      if (world.now - at > LATE_MS && (deafMs > 0 || world.random.chance(0.5))) world.after(Math.max(0, deafMs) + TURN_MS, own.life, '', act)
      else act()
    })
  }

  #own (): { loopMs: number, beaconMs: number, factor: number } {
    const { own } = this.#init
    return { loopMs: own.loopMs(), beaconMs: own.threadMs(), factor: own.health.factor() }
  }

  #judge (): void {
    const { own, onVerdict } = this.#init
    const now = own.monotonic()
    for (const { beat, at } of this.#ring) this.#detector.beacon(beat, at)
    this.#ring = []
    const before = this.#verdict
    const refutations = this.#detector.refutations
    this.#verdict = this.#detector.verdict(now, this.#own())
    if (this.#detector.refutations > refutations) own.health.refuted(now)
    this.#stretched()
    if (this.#verdict === 'suspect') this.#mayBeSuspect(before === 'suspect')
    if (this.#verdict === before) return
    const silentMs = now - this.#heardAt
    if (this.#verdict === 'dead') this.#mayBeDead(before, silentMs)
    const reason = this.#detector.reason(now, this.#own())
    if (this.#verdict === 'suspect' && reason.startsWith('silent')) this.#mayBeSilent(silentMs, reason)
    onVerdict(this.#verdict, reason)
  }

  /** Who was away itself blames nobody for that time. Where the network loses and delays nothing, beacons come. */
  #mayBeSilent (silentMs: number, reason: string): void {
    const { own, remote, stream, world, network, side } = this.#init
    const least = this.#byBeacon ? BEACON_LIMITS.suspect.floorMs + own.threadMs() : LEASE_LIMITS.suspect.floorMs + own.loopMs()
    if (silentMs < least) throw new Violation(`${own.name} doubts ${remote.name} (${reason}) though it did not listen itself for ${Math.round(own.loopMs())} ms`)
    if (!network.exact || this.#beacons < BEACONS_KNOWN) return
    const link = stream.links[side === 'requester' ? 1 : 0]
    const remoteLife = side === 'requester' ? stream.workerLife : stream.requesterLife
    // It gave this lease up, and that was not heard yet.
    if (this.#init.other() == null) return
    const quietSince = Math.max(stream.disturbedUntil, link.datagramsBlockedUntil, remote.deadUntil, remote.hungUntil, this.#openedAt)
    if (!remoteLife.over && world.now - quietSince > QUIET_MS) throw new Violation(`${own.name} doubts ${remote.name} (${reason}), whose beacons all came in time`)
  }

  /** Where there is fresh evidence of everything, a suspicion must be over. */
  #mayBeSuspect (still: boolean): void {
    const { own, remote } = this.#init
    const now = own.monotonic()
    if (!still || now - this.#byteAt > FRESH_MS || now - this.#heardAt > FRESH_MS) return
    throw new Violation(`${own.name} still doubts ${remote.name}, of which it heard ${Math.round(now - this.#byteAt)} ms ago`)
  }

  #mayBeDead (before: Liveness, silentMs: number): void {
    const { own, remote, stream, world, side } = this.#init
    const remoteLife = side === 'requester' ? stream.workerLife : stream.requesterLife
    const remoteOpen = side === 'requester' ? stream.workerOpen : stream.requesterOpen
    if (before === 'alive') throw new Violation(`${own.name} takes ${remote.name} for dead without having doubted it`)
    if (remoteLife.over || !remoteOpen) return
    // While beacons come, little silence kills: that they stop on the way just when the loop stands still cannot be told from a death.
    const link = stream.links[side === 'requester' ? 1 : 0]
    if (link.datagramsBlockedUntil > world.now - QUIET_MS && remoteLife.idleUntil > world.now - QUIET_MS) return
    const quietSince = Math.max(stream.disturbedUntil, remote.deadUntil, remote.hungUntil)
    if (world.now - quietSince > QUIET_MS) throw new Violation(`${own.name} takes ${remote.name} for dead (silent for ${Math.round(silentMs)} ms), which was up and reachable for ${Math.round(world.now - quietSince)} ms`)
  }
}
