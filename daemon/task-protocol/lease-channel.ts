/** A lease stream with its liveness: beats go out on a timer, any byte that comes in is a sign of life. Both sides use it. */
import type { Stream } from '@libp2p/interface'
import { createMonitor, type LoopDelay, type Monitor, type Watch } from '../health/index.ts'
import { BEAT_MS_MAX, BEAT_MS_MIN, FRAME_BYTES_MAX, HEARTBEAT_MS } from './constants.ts'
import { FrameStream } from './frames.ts'
import { leaseMessage, type BeaconMessage, type BeatMessage, type LeaseMessage } from './messages.ts'

export type LeaseControl = Exclude<LeaseMessage, BeatMessage | BeaconMessage>

export interface LeaseChannelHandlers {
  /** Everything but beats and beacons. What it throws ends the channel. */
  onMessage: (message: LeaseControl) => void
  onBeat: (beat: BeatMessage) => void
  /** What our own beat tells. */
  load: () => Pick<BeatMessage, 'active' | 'progress'>
  /** After every beat sent. */
  onTick?: () => void
  /** The failure detector doubts the peer; said once until `onTrusted`. */
  onSuspect?: (reason: string) => void
  /** It was heard of again. */
  onTrusted?: () => void
  /** The failure detector gave the peer up; `onClose` came before. */
  onDead?: () => void
  /** Once; nothing follows, but `onDead`. */
  onClose: (reason: string) => void
}

export interface LeaseChannelInit {
  loopDelay: Pick<LoopDelay, 'worst'>
  /** @default one of its own, without a beacon */
  monitor?: Pick<Monitor, 'watch'>
  /** For the log. */
  peer?: string
  /** IP address of the other end, for the beacon. @default no beacon */
  host?: string
  /** @default HEARTBEAT_MS */
  heartbeatMs?: number
  /** Does not beat before `speak`: nothing is said to somebody who did not pass hello. @default false */
  mute?: boolean
}

export class LeaseChannel {
  private readonly frames: FrameStream<LeaseMessage>
  private readonly handlers: LeaseChannelHandlers
  private readonly loopDelay: Pick<LoopDelay, 'worst'>
  private readonly watch: Watch
  private readonly host: string | undefined
  private beaconTold = false
  private sequence = 0
  private timer: NodeJS.Timeout
  private mute: boolean

  constructor (stream: Stream, init: LeaseChannelInit, handlers: LeaseChannelHandlers) {
    this.handlers = handlers
    this.loopDelay = init.loopDelay
    this.mute = init.mute ?? false
    this.host = init.host
    const heartbeatMs = init.heartbeatMs ?? HEARTBEAT_MS
    this.timer = this.every(heartbeatMs)
    const monitor = init.monitor ?? createMonitor({ loopDelay: init.loopDelay }, { beacon: 'off' })
    this.watch = monitor.watch({ peer: init.peer, heartbeatMs }, {
      suspect: reason => { handlers.onSuspect?.(reason) },
      trusted: () => { handlers.onTrusted?.() },
      dead: reason => {
        this.abort(reason)
        handlers.onDead?.()
      }
    })
    this.frames = new FrameStream(stream, leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
      onBytes: () => { this.alive() },
      onMessage: message => {
        if (message.type === 'beacon') {
          this.onBeacon(message)
        } else if (message.type === 'beat') {
          this.watch.beat()
          handlers.onBeat(message)
        } else {
          handlers.onMessage(message)
        }
      },
      onClose: error => {
        clearInterval(this.timer)
        this.watch.end()
        handlers.onClose(error == null ? 'the other side closed the lease' : error.message)
      }
    })
  }

  /** A byte of the peer's came on some other authenticated stream. */
  alive (): void {
    this.watch.byte()
  }

  /** Why the peer is suspect, if it is. */
  get suspicion (): string | undefined {
    return this.watch.liveness === 'suspect' ? this.watch.reason : undefined
  }

  /** The lease is granted: a beacon may be had on it. */
  offerBeacon (): void {
    this.watch.offerBeacon(this.host, offer => { this.send({ type: 'beacon', ...offer }) })
  }

  /** The peer passed hello: from now on this side beats. */
  speak (): void {
    this.mute = false
  }

  /** Beats as often as the other side wants, within bounds. */
  setHeartbeat (ms: number): void {
    const bounded = Math.min(Math.max(ms, BEAT_MS_MIN), BEAT_MS_MAX)
    clearInterval(this.timer)
    this.timer = this.every(bounded)
    this.watch.setHeartbeat(bounded)
  }

  /** Leaves at the end of this tick. */
  send (message: LeaseMessage): void {
    this.frames.send(message)
  }

  get closed (): boolean {
    return this.frames.closed
  }

  /** Resolves when everything queued has left and the stream is closed, or that took too long. */
  async close (): Promise<void> {
    await this.frames.close()
  }

  abort (reason: string): void {
    this.frames.abort(new Error(reason))
  }

  /** The first counts: a peer may not have us send wherever it likes, again and again. */
  private onBeacon ({ port, id, key }: BeaconMessage): void {
    if (this.beaconTold || port === 0) return
    this.beaconTold = true
    this.watch.peerBeacon({ port, id, key })
  }

  private every (ms: number): NodeJS.Timeout {
    const timer = setInterval(() => { this.beat() }, ms)
    timer.unref()
    return timer
  }

  private beat (): void {
    if (this.frames.closed || this.mute) return
    this.sequence++
    const load = this.handlers.load()
    this.watch.active(load.active)
    this.frames.send({ type: 'beat', sequence: this.sequence, loopDelayMs: Math.round(this.loopDelay.worst()), ...load })
    this.handlers.onTick?.()
  }
}
