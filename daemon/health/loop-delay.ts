import { LOOP_SAMPLE_MS, LOOP_WINDOW_MS } from './constants.ts'
import type { LoopDelay } from './index.ts'

export interface LoopDelayInit {
  /** Milliseconds between samples. @default LOOP_SAMPLE_MS */
  sampleMs?: number
  /** Milliseconds a sample is remembered. @default LOOP_WINDOW_MS */
  windowMs?: number
  /** Monotonic milliseconds. @default performance.now */
  now?: () => number
}

/**
 * Measures how late this process's event loop runs: a timer that notes by how much it missed its time. It never keeps
 * the process alive. Before `start` and after `stop` the worst lateness is 0.
 */
export function createLoopDelay (init: LoopDelayInit = {}): LoopDelay {
  const sampleMs = init.sampleMs ?? LOOP_SAMPLE_MS
  const windowMs = init.windowMs ?? LOOP_WINDOW_MS
  const now = init.now ?? (() => performance.now())
  let timer: NodeJS.Timeout | undefined
  let due = 0
  /** Worst latenesses, later ones below earlier ones: only those can still become the worst of the window. */
  let samples: Array<{ at: number, late: number }> = []

  const schedule = (at: number): void => {
    due = at + sampleMs
    timer = setTimeout(sample, sampleMs)
    timer.unref()
  }
  const forget = (at: number): void => {
    while (samples.length > 0 && at - (samples[0]?.at ?? 0) > windowMs) samples.shift()
  }
  const sample = (): void => {
    const at = now()
    const late = Math.max(0, at - due)
    while (samples.length > 0 && (samples.at(-1)?.late ?? 0) <= late) samples.pop()
    samples.push({ at, late })
    forget(at)
    schedule(at)
  }

  return {
    start () {
      if (timer == null) schedule(now())
    },
    stop () {
      clearTimeout(timer)
      timer = undefined
      samples = []
    },
    worst () {
      if (timer == null) return 0
      const at = now()
      forget(at)
      // After a pause this may be asked before the sampling timer had its turn: the running sample counts too.
      return Math.max(at - due, samples[0]?.late ?? 0, 0)
    }
  }
}
