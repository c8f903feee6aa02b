/** Lets so many tasks run at a time; the others wait in order. The machine above bounds how many there can be. */
export class Limiter {
  readonly #limit: number
  #running = 0
  readonly #waiting: Array<() => void> = []

  constructor (limit: number) {
    this.#limit = limit
  }

  async run<T> (task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    else this.#running++
    try {
      return await task()
    } finally {
      // The slot is handed on, so that nobody who comes in between overtakes.
      const next = this.#waiting.shift()
      if (next == null) this.#running--
      else next()
    }
  }
}
