import { Arrivals } from './arrivals.ts'
import {
  BEACON_LIMITS, BEACON_LOST_MS, CONFIRM_MS, HEARTBEAT_MS, HEARTBEAT_MS_MAX, LEASE_LIMITS, LOOK_MS, PHI_DEAD, PHI_SUSPECT, REFUTATION_MS, STALL_SUSPECT_MS, STREAM_DEAD_MS,
  STREAM_SUSPECT_MS, WIDEN_MAX, WIDEN_STEP, type SilenceLimits
} from './constants.ts'
import type { BeaconBeat, Detector, DetectorFault, DetectorInit, Liveness, OwnState } from './index.ts'

/** Times in milliseconds; the constants of the same names give the reasons. */
export interface DetectorLimits {
  /** Of silence, while beacons come. @default BEACON_LIMITS */
  beacon: SilenceLimits
  /** Of silence, without beacons. @default LEASE_LIMITS */
  lease: SilenceLimits
  /** @default STALL_SUSPECT_MS */
  stallMs: number
  /** @default STREAM_SUSPECT_MS */
  streamSuspectMs: number
  /** @default STREAM_DEAD_MS */
  streamDeadMs: number
  /** @default CONFIRM_MS */
  confirmMs: number
  /** @default LOOK_MS */
  lookMs: number
}

const DEFAULTS: DetectorLimits = {
  beacon: BEACON_LIMITS,
  lease: LEASE_LIMITS,
  stallMs: STALL_SUSPECT_MS,
  streamSuspectMs: STREAM_SUSPECT_MS,
  streamDeadMs: STREAM_DEAD_MS,
  confirmMs: CONFIRM_MS,
  lookMs: LOOK_MS
}

/** What is missing: any sign of life; progress of its main loop; bytes on its streams. */
type Cause = 'silent' | 'stalled' | 'mute'

/** How much is put down to this node itself. */
interface Doubt { loopMs: number, beaconMs: number, factor: number }

const SURE: Doubt = { loopMs: 0, beaconMs: 0, factor: 1 }
const NO_FAULTS: ReadonlySet<DetectorFault> = new Set()

/**
 * A failure detector for one peer. Pure: times are arguments, in monotonic milliseconds. Silence is measured against an accrual detector's
 * quantile of the gaps seen so far (see `Arrivals`), kept within a floor and a ceiling; what the own node may have caused is added
 * (`OwnState`), and suspicions that were refuted widen the limits. A peer is never dead that was not suspect for CONFIRM_MS before.
 *
 * @param now - counts as the first sign of life
 * @throws RangeError for limits that contradict one another
 *
 * @example
 * ```ts
 * const detector = createDetector(performance.now())
 * detector.byte(performance.now())
 * if (detector.verdict(performance.now(), { loopMs: loopDelay.worst() }) === 'dead') ...
 * ```
 */
export function createDetector (now: number, init: DetectorInit = {}): Detector {
  const limits = { ...DEFAULTS, ...init.limits }
  for (const { suspect, dead } of [limits.beacon, limits.lease]) {
    if (!(suspect.floorMs > 0 && suspect.ceilingMs >= suspect.floorMs && dead.floorMs > suspect.ceilingMs && dead.ceilingMs >= dead.floorMs)) {
      throw new RangeError(`a detector needs 0 < suspect floor <= ceiling < dead floor <= ceiling, not ${JSON.stringify({ suspect, dead })}`)
    }
  }
  if (!(limits.stallMs > 0 && limits.streamSuspectMs > 0 && limits.streamDeadMs > limits.streamSuspectMs && limits.confirmMs >= 0 && limits.lookMs > 0)) {
    throw new RangeError(`a detector's times must be positive and in order, not ${JSON.stringify(limits)}`)
  }
  return new AccrualDetector(now, limits, init.faults ?? NO_FAULTS)
}

class AccrualDetector implements Detector {
  readonly #limits: DetectorLimits
  readonly #faults: ReadonlySet<DetectorFault>
  readonly #beaconGaps = new Arrivals()
  readonly #beatGaps = new Arrivals()
  /** The last byte on a stream, the last lease beat, the last beacon, the last beacon that showed progress. */
  #byteAt: number
  #beatAt: number | undefined
  #beaconAt: number | undefined
  #progressAt: number
  #newest: BeaconBeat | undefined
  #suspect: { since: number, cause: Cause } | undefined
  #dead = false
  /** By how much the limits without a beacon are longer, for beats that come more seldom. */
  #slow = 1
  #refuted = 0
  #refutedAt = 0

  constructor (now: number, limits: DetectorLimits, faults: ReadonlySet<DetectorFault>) {
    this.#limits = limits
    this.#faults = faults
    this.#byteAt = now
    this.#progressAt = now
  }

  get refutations (): number {
    return this.#refuted
  }

  byte (at: number): void {
    // Bytes of several streams may be handed over out of order; an older one proves nothing new.
    if (!(at > this.#byteAt)) return
    this.#byteAt = at
    this.#refute(at, () => true)
  }

  beat (at: number): void {
    if (this.#beatAt != null) this.#beatGaps.add(at - this.#beatAt)
    this.#beatAt = at
    this.byte(at)
  }

  beacon (beat: BeaconBeat, at: number): boolean {
    const before = this.#newest
    if (before != null && !isNewer(beat, before)) {
      if (!this.#faults.has('stale-beat-counts')) return false
    } else {
      this.#newest = beat
    }
    if (this.#beaconAt != null) this.#beaconGaps.add(at - this.#beaconAt)
    if (!(at < (this.#beaconAt ?? at))) this.#beaconAt = at
    const progress = before == null || beat.incarnation !== before.incarnation || beat.progress !== before.progress
    if (this.#faults.has('progress-ignored')) this.#byteAt = Math.max(this.#byteAt, at)
    else if (progress) this.#progressAt = Math.max(this.#progressAt, at)
    this.#refute(at, cause => cause === 'silent' || (cause === 'stalled' && progress))
    return true
  }

  beatEvery (ms: number): void {
    this.#slow = Math.max(1, Math.min(ms, HEARTBEAT_MS_MAX) / HEARTBEAT_MS)
  }

  byBeacon (own?: OwnState | number): boolean {
    return this.#byBeacon(this.#doubt(own))
  }

  verdict (now: number, own?: OwnState | number): Liveness {
    if (this.#dead) return 'dead'
    const doubt = this.#doubt(own)
    const cause = this.#amiss(now, doubt)
    if (this.#suspect == null) {
      if (cause == null) return 'alive'
      this.#suspect = { since: now, cause }
    }
    if (now >= this.#deadAt(doubt) && now - this.#suspect.since >= this.#limits.confirmMs && !this.#faults.has('never-dead')) this.#dead = true
    return this.#dead ? 'dead' : 'suspect'
  }

  nextLook (now: number, own?: OwnState | number): number {
    const soon = now + this.#limits.lookMs
    if (this.#dead || this.#suspect != null) return soon
    const next = this.#suspectAt(this.#doubt(own))
    // Past the limits only our own state keeps the verdict back, and that may change at any moment.
    if (now >= this.#suspectAt(SURE) || !(next > now)) return next > now ? Math.min(next, soon) : soon
    // Our lateness may be forgotten before the limit that it stretched: then the unstretched one counts.
    return Math.min(next, Math.max(this.#suspectAt(SURE), soon))
  }

  suspicion (now: number): number {
    const byBeacon = this.#byBeacon(SURE)
    const gaps = byBeacon ? this.#beaconGaps : this.#beatGaps
    const silentMs = now - this.#heardAt()
    return gaps.known ? gaps.phi(silentMs) : PHI_SUSPECT * Math.max(0, silentMs) / (byBeacon ? this.#limits.beacon : this.#limits.lease).suspect.ceilingMs
  }

  reason (now: number, own?: OwnState | number): string {
    const doubt = this.#doubt(own)
    const cause = this.#amiss(now, doubt) ?? this.#suspect?.cause
    switch (cause) {
      case undefined: return `heard ${ms(now - this.#heardAt())} ms ago`
      case 'silent': return `silent for ${ms(now - this.#heardAt())} ms (${this.#byBeacon(doubt) ? 'beacon' : 'lease'})`
      case 'stalled': return `its main loop has not moved for ${ms(now - Math.max(this.#progressAt, this.#byteAt))} ms, though its beacon comes`
      case 'mute': return `nothing came on its streams for ${ms(now - this.#byteAt)} ms, though its beacon comes`
    }
  }

  #doubt (own: OwnState | number | undefined): Doubt {
    if (own == null || this.#faults.has('no-self-doubt')) return SURE
    if (typeof own === 'number') return { loopMs: delay(own), beaconMs: delay(own), factor: 1 }
    const loopMs = delay(own.loopMs)
    return { loopMs, beaconMs: own.beaconMs == null ? loopMs : delay(own.beaconMs), factor: own.factor != null && own.factor > 1 ? own.factor : 1 }
  }

  /** Beacons are what is judged: they come, and nothing shows that only they stopped, at their end, on the way or here. */
  #byBeacon ({ beaconMs }: Doubt): boolean {
    return this.#beaconAt != null && this.#byteAt - this.#beaconAt < BEACON_LOST_MS && beaconMs < BEACON_LOST_MS
  }

  #heardAt (): number {
    return Math.max(this.#byteAt, this.#beaconAt ?? Number.NEGATIVE_INFINITY)
  }

  /** By how much the limits are stretched: refuted suspicions of this peer, forgotten one after the other, times the own health. */
  #stretch ({ factor }: Doubt): number {
    const now = this.#heardAt()
    const remembered = Math.max(0, this.#refuted - Math.floor((now - this.#refutedAt) / REFUTATION_MS))
    return Math.min(WIDEN_MAX, 1 + WIDEN_STEP * remembered) * factor
  }

  #silenceAt (kind: 'suspect' | 'dead', doubt: Doubt): number {
    const byBeacon = this.#byBeacon(doubt)
    const { floorMs, ceilingMs } = (byBeacon ? this.#limits.beacon : this.#limits.lease)[kind]
    const slow = byBeacon ? 1 : this.#slow
    const measured = (byBeacon ? this.#beaconGaps : this.#beatGaps).limit(kind === 'suspect' ? PHI_SUSPECT : PHI_DEAD)
    const limit = Math.min(Math.max(measured, floorMs * slow), ceilingMs * slow)
    return this.#heardAt() + limit * this.#stretch(doubt) + (byBeacon ? doubt.beaconMs : doubt.loopMs)
  }

  #stalledAt (doubt: Doubt): number {
    return Math.max(this.#progressAt, this.#byteAt) + this.#limits.stallMs * this.#stretch(doubt) + doubt.loopMs
  }

  #muteAt (limitMs: number, doubt: Doubt): number {
    return this.#byteAt + limitMs * this.#stretch(doubt) + doubt.loopMs
  }

  #amiss (now: number, doubt: Doubt): Cause | undefined {
    if (now >= this.#silenceAt('suspect', doubt)) return 'silent'
    if (!this.#byBeacon(doubt)) return undefined
    // By the last beacon, not by now: while none comes, nothing is known of the loop.
    if (this.#beaconAt! >= this.#stalledAt(doubt)) return 'stalled'
    return now >= this.#muteAt(this.#limits.streamSuspectMs, doubt) ? 'mute' : undefined
  }

  #suspectAt (doubt: Doubt): number {
    const silence = this.#silenceAt('suspect', doubt)
    return this.#byBeacon(doubt) ? Math.min(silence, this.#stalledAt(doubt), this.#muteAt(this.#limits.streamSuspectMs, doubt)) : silence
  }

  #deadAt (doubt: Doubt): number {
    const silence = this.#silenceAt('dead', doubt)
    return this.#byBeacon(doubt) ? Math.min(silence, this.#muteAt(this.#limits.streamDeadMs, doubt)) : silence
  }

  /** Evidence came: a suspicion that rested on its absence is over. */
  #refute (at: number, clears: (cause: Cause) => boolean): void {
    if (this.#suspect == null || this.#dead || !clears(this.#suspect.cause) || this.#faults.has('suspect-without-refutation')) return
    if (at >= this.#suspect.since) {
      this.#refuted = Math.max(0, this.#refuted - Math.floor((at - this.#refutedAt) / REFUTATION_MS)) + 1
      this.#refutedAt = at
    }
    this.#suspect = undefined
  }
}

/** Later in the life of the same beacon, or of one started since. A repeated or an older packet proves nothing. */
export function isNewer (beat: Pick<BeaconBeat, 'incarnation' | 'sequence'>, than: Pick<BeaconBeat, 'incarnation' | 'sequence'>): boolean {
  return beat.incarnation > than.incarnation || (beat.incarnation === than.incarnation && beat.sequence > than.sequence)
}

/** A lateness that is negative or not a number counts as none. */
function delay (value: number): number {
  return value > 0 ? value : 0
}

function ms (value: number): number {
  return Math.round(Math.max(0, value))
}
