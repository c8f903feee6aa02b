/** A lease stream with its liveness: beats go out on a timer, any byte that comes in is a sign of life. Both sides use it. */
import type { Stream } from '@libp2p/interface'
import { createDetector, type LoopDelay } from '../health/index.ts'
import { FRAME_BYTES_MAX, HEARTBEAT_MS } from './constants.ts'
import { FrameStream } from './frames.ts'
import { leaseMessage, type BeatMessage, type LeaseMessage } from './messages.ts'

export type LeaseControl = Exclude<LeaseMessage, BeatMessage>

export interface LeaseChannelHandlers {
  /** Everything but beats. What it throws ends the channel. */
  onMessage: (message: LeaseControl) => void
  onBeat: (beat: BeatMessage) => void
  /** What our own beat tells. */
  load: () => Pick<BeatMessage, 'active' | 'progress'>
  /** After every beat sent. */
  onTick?: () => void
  /** Once; nothing follows. */
  onClose: (reason: string) => void
}

export interface LeaseChannelInit {
  loopDelay: Pick<LoopDelay, 'worst'>
  /** @default HEARTBEAT_MS */
  heartbeatMs?: number
  /** Does not beat before `speak`: nothing is said to somebody who did not pass hello. @default false */
  mute?: boolean
}

/** The least and the most often a peer may make us beat, in milliseconds. */
const BEAT_MS_MIN = 50
const BEAT_MS_MAX = 5000

export class LeaseChannel {
  private readonly frames: FrameStream<LeaseMessage>
  private readonly handlers: LeaseChannelHandlers
  private readonly loopDelay: Pick<LoopDelay, 'worst'>
  private readonly detector = createDetector(performance.now())
  private heard = performance.now()
  private sequence = 0
  private timer: NodeJS.Timeout
  private mute: boolean

  constructor (stream: Stream, init: LeaseChannelInit, handlers: LeaseChannelHandlers) {
    this.handlers = handlers
    this.loopDelay = init.loopDelay
    this.mute = init.mute ?? false
    this.timer = this.every(init.heartbeatMs ?? HEARTBEAT_MS)
    this.frames = new FrameStream(stream, leaseMessage, { frameBytes: FRAME_BYTES_MAX }, {
      onBytes: () => { this.alive() },
      onMessage: message => {
        if (message.type === 'beat') handlers.onBeat(message)
        else handlers.onMessage(message)
      },
      onClose: error => {
        clearInterval(this.timer)
        handlers.onClose(error == null ? 'the other side closed the lease' : error.message)
      }
    })
  }

  /** A byte of the peer's came on some other authenticated stream. */
  alive (): void {
    this.heard = performance.now()
    this.detector.beat(this.heard)
  }

  /** The peer passed hello: from now on this side beats. */
  speak (): void {
    this.mute = false
  }

  /** Beats as often as the other side wants, within bounds. */
  setHeartbeat (ms: number): void {
    clearInterval(this.timer)
    this.timer = this.every(Math.min(Math.max(ms, BEAT_MS_MIN), BEAT_MS_MAX))
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

  private every (ms: number): NodeJS.Timeout {
    const timer = setInterval(() => { this.beat() }, ms)
    timer.unref()
    return timer
  }

  private beat (): void {
    if (this.frames.closed) return
    const now = performance.now()
    const ownDelayMs = this.loopDelay.worst()
    if (this.detector.verdict(now, ownDelayMs) === 'dead') {
      this.abort(`silent for ${Math.round(now - this.heard)} ms`)
      return
    }
    if (this.mute) return
    this.sequence++
    this.frames.send({ type: 'beat', sequence: this.sequence, loopDelayMs: Math.round(ownDelayMs), ...this.handlers.load() })
    this.handlers.onTick?.()
  }
}
