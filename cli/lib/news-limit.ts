/** What is told of workers is bounded: who flaps must not fill the screen. Pure: time is an argument. */
import { NEWS_MAX, NEWS_WINDOW_MS } from './constants.ts'
import { count } from './units.ts'

export class NewsLimit {
  /** When each thing was told last. */
  readonly #told = new Map<string, number>()
  #untold = 0

  /**
   * The lines to be written for a piece of news at `now`: none if the same was told within NEWS_WINDOW_MS, or NEWS_MAX other things were; how many were left
   * out comes with the next that is told.
   */
  take (key: string, text: string, now: number): string[] {
    for (const [old, at] of this.#told) if (now - at >= NEWS_WINDOW_MS) this.#told.delete(old)
    if (this.#told.has(key) || this.#told.size >= NEWS_MAX) {
      this.#untold++
      return []
    }
    this.#told.set(key, now)
    const untold = this.#untold
    this.#untold = 0
    return untold === 0 ? [text] : [`... ${count(untold, 'more change')} like these`, text]
  }
}
