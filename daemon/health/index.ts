/**
 * Is a peer alive? Signs of life in, a verdict out. A node doubts itself first: if its own event loop lagged, it extends its limits
 * instead of accusing others. The detector is pure; the monitor around it keeps a beacon in a thread of its own, which sends and hears signs
 * of life while main loops are busy.
 *
 * @example
 * ```ts
 * const monitor = createMonitor({ loopDelay, log }, { listen: config.listen, ...config.liveness })
 * await monitor.start()
 * const watch = monitor.watch({ host: '192.0.2.7' }, { suspect, trusted, dead })
 * watch.byte()
 * ```
 */
import type { DetectorLimits } from './detector.ts'

export type Liveness = 'alive' | 'suspect' | 'dead'

/** What a beacon says; (incarnation, sequence) grows with every one. */
export interface BeaconBeat {
  /** Which start of the sender's beacon within the lease. */
  incarnation: number
  sequence: number
  /** Counts the rounds of the sender's main loop: unchanged, it stands still. */
  progress: number
}

/** What the own node may have caused, so that nobody else is blamed for it. */
export interface OwnState {
  /** Milliseconds by which the own main loop was late, at most, lately. */
  loopMs: number
  /** The same of the thread that hears beacons. @default loopMs */
  beaconMs?: number
  /** From the local health, at least 1. @default 1 */
  factor?: number
}

/** Faults planted by the simulator to prove that it finds them. Never set elsewhere. */
export type DetectorFault = 'no-self-doubt' | 'never-dead' | 'suspect-without-refutation' | 'stale-beat-counts' | 'progress-ignored'

export interface DetectorInit {
  limits?: Partial<DetectorLimits>
  faults?: ReadonlySet<DetectorFault>
}

/** For one peer on one lease. Times are monotonic milliseconds. */
export interface Detector {
  /** Any authenticated byte on the lease or a task stream: the peer's main loop was at work. */
  byte: (at: number) => void
  /** A beat on the lease: a byte, and a sample of how regularly beats come. */
  beat: (at: number) => void
  /** An authenticated beacon. False, and without effect, unless it is newer than all before. */
  beacon: (beat: BeaconBeat, at: number) => boolean
  /** The peer beats every `ms` on the lease (at most HEARTBEAT_MS_MAX are believed): the limits without a beacon grow with it. @default HEARTBEAT_MS */
  beatEvery: (ms: number) => void
  /** Beacons are what is judged, not beats. */
  byBeacon: (own?: OwnState | number) => boolean
  /** `dead` is final. A number is a lateness of main loop and beacon alike. */
  verdict: (now: number, own?: OwnState | number) => Liveness
  /** When to ask for the verdict again if nothing is heard; later than `now`. */
  nextLook: (now: number, own?: OwnState | number) => number
  /** φ: -log10 of the chance that a living peer is silent for so long. */
  suspicion: (now: number) => number
  /** What there is to say about the peer at `now`, for people. */
  reason: (now: number, own?: OwnState | number) => string
  /** Suspicions that evidence refuted and that are not yet forgotten, as of the last one. */
  readonly refutations: number
}

export interface LocalHealth {
  /** An own timer fired `lateMs` after its time. */
  timer: (lateMs: number, now: number) => void
  /** A suspicion of ours was refuted. */
  refuted: (now: number) => void
  /** 0 (sound) to LOCAL_HEALTH_MAX. */
  readonly score: number
  /** By which limits are multiplied: 1 to LOCAL_HEALTH_FACTOR_MAX. */
  factor: () => number
}

export interface LoopDelay {
  start: () => void
  stop: () => void
  /** Worst lateness of this process's event loop over the last `windowMs`, milliseconds. */
  worst: () => number
}

export { createDetector, isNewer, type DetectorLimits } from './detector.ts'
export { createLocalHealth } from './local-health.ts'
export { createLoopDelay, type LoopDelayInit } from './loop-delay.ts'
export { hostOf } from './addresses.ts'
export { createMonitor, type Monitor, type MonitorComponents, type MonitorInit, type MonitorStatus } from './monitor.ts'
export type { Watch, WatchHandlers, WatchInit } from './watch.ts'
export type { BeaconOffer } from './beacon.ts'
export * from './constants.ts'
