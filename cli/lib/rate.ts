/** How fast a job goes and how long it takes yet. Pure: time is an argument. */
import { RATE_WINDOW_MS } from './constants.ts'

export class Rate {
  /** Readings within the window, and the last one before it, oldest first. */
  #readings: Array<{ at: number, bytes: number }> = []

  add (at: number, bytes: number): void {
    const last = this.#readings.at(-1)
    // A rejected block takes back what was done: start again rather than show a negative speed.
    if (last != null && bytes < last.bytes) this.#readings = []
    this.#readings.push({ at, bytes })
    while (this.#readings.length > 2 && (this.#readings[1] as { at: number }).at <= at - RATE_WINDOW_MS) this.#readings.shift()
  }

  /** Bytes per second over the last seconds; undefined before there are two readings. */
  bytesPerSecond (now: number): number | undefined {
    const [first] = this.#readings
    const last = this.#readings.at(-1)
    if (first == null || last == null || first === last) return undefined
    return (last.bytes - first.bytes) / Math.max(now - first.at, 1) * 1000
  }

  secondsLeft (now: number, bytesTotal: number): number | undefined {
    const rate = this.bytesPerSecond(now)
    const done = this.#readings.at(-1)?.bytes ?? 0
    return rate == null || rate <= 0 ? undefined : Math.max(0, bytesTotal - done) / rate
  }
}
