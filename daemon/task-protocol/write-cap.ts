/** How many bytes may wait to be written on a connection, so that bulk delays no beat for long. Pure. */
import { WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES_MIN, WRITE_BUFFER_MS } from './constants.ts'

/** Weight of the newest sample in the moving average: half of it is forgotten after about three samples. */
const RATE_WEIGHT = 0.2

/** Milliseconds a sample must cover, so that the clock's grain and a single burst mean little. */
export const RATE_SAMPLE_MS = 50

/**
 * min(4 MiB, 250 ms of the measured rate), shared by the streams at work on the connection, and never below two chunks.
 *
 * @param bytesPerSecond - measured drain rate of the connection; undefined before the first sample
 * @param streams - bulk streams on the connection, at least 1
 */
export function writeCap (bytesPerSecond: number | undefined, streams: number): number {
  const whole = bytesPerSecond == null ? WRITE_BUFFER_BYTES : Math.min(WRITE_BUFFER_BYTES, bytesPerSecond * WRITE_BUFFER_MS / 1000)
  return Math.max(WRITE_BUFFER_BYTES_MIN, Math.floor(whole / Math.max(1, streams)))
}

export interface RateState {
  /** Bytes per second; undefined before the first sample. */
  rate: number | undefined
  /** Monotonic milliseconds at which the running sample began; undefined while nothing is queued. */
  since: number | undefined
  /** Bytes drained in the running sample. */
  drained: number
}

export const newRate = (): RateState => ({ rate: undefined, since: undefined, drained: 0 })

/**
 * Takes in that `bytes` drained up to `now`. Only time during which something was queued counts: an idle sender says
 * nothing about the line.
 *
 * @param queued - something still waits
 */
export function drainedRate (state: RateState, bytes: number, queued: boolean, now: number): RateState {
  const since = state.since
  if (since == null) return { ...state, since: queued ? now : undefined, drained: 0 }
  const drained = state.drained + bytes
  const elapsed = now - since
  if (elapsed < RATE_SAMPLE_MS) return { ...state, drained, since: queued ? since : undefined }
  const sample = drained * 1000 / elapsed
  const rate = state.rate == null ? sample : state.rate + RATE_WEIGHT * (sample - state.rate)
  return { rate, since: queued ? now : undefined, drained: 0 }
}
