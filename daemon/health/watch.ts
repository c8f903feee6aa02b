/** One peer under watch: the pure detector, with timers and the beacon's memory around it. */
import type { Arrival } from './beacon-memory.ts'
import type { Beacon, BeaconLink, BeaconLog, BeaconOffer } from './beacon.ts'
import { BEACON_WAIT_MS, HEARTBEAT_MS, LATE_MS } from './constants.ts'
import { createDetector, type DetectorLimits } from './detector.ts'
import type { Detector, Liveness, LocalHealth, LoopDelay, OwnState } from './index.ts'

export interface WatchInit {
  /** Its id, for the log and for the faults of test networks. */
  peer?: string
  /** Milliseconds between the peer's beats. @default HEARTBEAT_MS */
  heartbeatMs?: number
}

export interface WatchHandlers {
  /** Said once until `trusted`. */
  suspect: (reason: string) => void
  /** The suspicion was refuted. */
  trusted: () => void
  /** Once, and nothing after it; the watch has ended. */
  dead: (reason: string) => void
}

export interface Watch {
  readonly liveness: Liveness
  /** What there is to say of the peer now, for people. */
  readonly reason: string
  /** Beacons are heard, and judged. */
  readonly byBeacon: boolean
  /** An authenticated byte came on the lease or a task stream. */
  byte: () => void
  /** A beat came on the lease. */
  beat: () => void
  /** The peer beats this often. */
  setHeartbeat: (ms: number) => void
  /**
   * Asks for a beacon on this lease: `tell` is called with what the peer must know, at once or once the socket is there. Does nothing if beacons
   * are off, without a host (IP address of the peer), or a second time.
   */
  offerBeacon: (host: string | undefined, tell: (offer: BeaconOffer) => void) => void
  /** The peer said how to send beacons to it. Ignored unless one was offered to it. */
  peerBeacon: (offer: BeaconOffer) => void
  /** Orders at work for the peer, or given to it, for our beacon. */
  active: (orders: number) => void
  end: () => void
}

export interface WatchComponents {
  loopDelay: Pick<LoopDelay, 'worst'>
  health: LocalHealth
  beacon: Beacon | undefined
  limits: Partial<DetectorLimits>
  log: BeaconLog
  onEnd: () => void
}

export class PeerWatch implements Watch {
  readonly #components: WatchComponents
  readonly #handlers: WatchHandlers
  readonly #peer: string | undefined
  readonly #detector: Detector
  #link: BeaconLink | undefined
  #host: string | undefined
  #newest: Arrival | undefined
  #timer: NodeJS.Timeout | undefined
  #waiting: NodeJS.Timeout | undefined
  #due = 0
  #state: Liveness = 'alive'
  #heardBeacon = false
  #ended = false

  constructor (components: WatchComponents, init: WatchInit, handlers: WatchHandlers) {
    this.#components = components
    this.#handlers = handlers
    this.#peer = init.peer
    const now = performance.now()
    this.#detector = createDetector(now, { limits: components.limits })
    this.#detector.beatEvery(init.heartbeatMs ?? HEARTBEAT_MS)
    this.#schedule(now)
  }

  get liveness (): Liveness {
    return this.#state
  }

  get reason (): string {
    this.#hear()
    const now = performance.now()
    const behind = this.#newest == null || this.#newest.loopDelayMs < LATE_MS ? '' : `; its main loop was ${this.#newest.loopDelayMs} ms late`
    return `${this.#detector.reason(now, this.#own(now))}${behind}`
  }

  get byBeacon (): boolean {
    this.#hear()
    return this.#detector.byBeacon(this.#own(performance.now()))
  }

  byte (): void {
    this.#detector.byte(performance.now())
    if (this.#state === 'suspect') this.#look()
  }

  beat (): void {
    this.#detector.beat(performance.now())
    if (this.#state === 'suspect') this.#look()
  }

  setHeartbeat (ms: number): void {
    this.#detector.beatEvery(ms)
    this.#schedule(performance.now())
  }

  offerBeacon (host: string | undefined, tell: (offer: BeaconOffer) => void): void {
    if (this.#ended || this.#link != null || host == null) return
    const link = this.#components.beacon?.open(this.#peer ?? '')
    if (link == null) return
    this.#link = link
    this.#host = host
    link.offer.then(offer => { if (!this.#ended) tell(offer) }).catch((error: unknown) => { this.#components.log.warn({ peer: this.#peer, error: String(error) }, 'the beacon could not be offered') })
    this.#waiting = setTimeout(() => {
      if (!this.#heardBeacon) this.#components.log.debug({ peer: this.#peer, host }, 'no beacon from the peer (UDP may be blocked): it is judged by its beats, which takes longer')
    }, BEACON_WAIT_MS)
    this.#waiting.unref()
    this.#schedule(performance.now())
  }

  peerBeacon (offer: BeaconOffer): void {
    if (this.#host != null) this.#link?.peer(this.#host, offer)
  }

  active (orders: number): void {
    this.#link?.active(orders)
  }

  end (): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    clearTimeout(this.#waiting)
    this.#link?.close()
    this.#components.onEnd()
  }

  #own (now: number): OwnState {
    const { loopDelay, beacon, health } = this.#components
    const loopMs = loopDelay.worst()
    return { loopMs, beaconMs: beacon?.delay(now) ?? loopMs, factor: health.factor() }
  }

  #schedule (now: number): void {
    if (this.#ended) return
    clearTimeout(this.#timer)
    const due = this.#detector.nextLook(now, this.#own(now))
    // A first beacon shortens the limits: it is not to wait for the next look by the longer ones.
    this.#due = this.#link == null || this.#heardBeacon ? due : Math.min(due, now + HEARTBEAT_MS)
    this.#timer = setTimeout(() => { this.#onTimer() }, this.#due - now)
    this.#timer.unref()
  }

  #onTimer (): void {
    const now = performance.now()
    const lateMs = now - this.#due
    this.#components.health.timer(lateMs, now)
    // After a pause of our own, what waits in the sockets is read first: timers have their turn before them.
    if (lateMs > LATE_MS) setImmediate(() => { this.#look() })
    else this.#look()
  }

  #look (): void {
    if (this.#ended) return
    const now = performance.now()
    this.#hear()
    const own = this.#own(now)
    this.#tellMode(this.#detector.byBeacon(own))
    const before = this.#state
    this.#state = this.#detector.verdict(now, own)
    if (this.#state === 'dead') {
      const reason = this.reason
      this.end()
      this.#handlers.dead(reason)
      return
    }
    this.#schedule(now)
    if (this.#state === before) return
    if (this.#state === 'suspect') {
      this.#handlers.suspect(this.reason)
    } else {
      this.#components.health.refuted(now)
      this.#handlers.trusted()
    }
  }

  #hear (): void {
    for (const arrival of this.#link?.take() ?? []) {
      this.#detector.beacon(arrival, arrival.at)
      this.#newest = arrival
    }
  }

  #tellMode (byBeacon: boolean): void {
    if (byBeacon === this.#heardBeacon) return
    this.#heardBeacon = byBeacon
    this.#components.log.debug({ peer: this.#peer }, byBeacon ? 'the peer is judged by its beacon' : 'the beacon is not heard any more: the peer is judged by its beats')
  }
}
