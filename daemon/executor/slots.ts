/** Slots handed out in order of arrival, with a bounded queue. */
import { QUEUE_MAX } from './constants.ts'

export type SlotAnswer = { ok: true, release: () => void } | { ok: false, reason: 'cancelled' | 'unavailable', message: string }

interface Waiting { answer: (answer: SlotAnswer) => void }

export class Slots {
  readonly total: number
  #taken = 0
  /** Insertion order is arrival order; a cancelled one leaves without a search. */
  readonly #waiting = new Set<Waiting>()
  #closed = false

  constructor (total: number) {
    this.total = total
  }

  get taken (): number {
    return this.#taken
  }

  /** Resolves when a slot is free, the signal fires, or the slots are closed. Never rejects. `release` counts once. */
  async take (signal?: AbortSignal): Promise<SlotAnswer> {
    if (this.#closed) return closed()
    if (signal?.aborted === true) return cancelled()
    if (this.#taken < this.total) {
      this.#taken++
      return { ok: true, release: this.#releaser() }
    }
    if (this.#waiting.size >= QUEUE_MAX) return { ok: false, reason: 'unavailable', message: `${QUEUE_MAX} tasks are waiting for an engine already` }
    return await new Promise(resolve => {
      const waiting: Waiting = {
        answer: answer => {
          signal?.removeEventListener('abort', onAbort)
          this.#waiting.delete(waiting)
          resolve(answer)
        }
      }
      const onAbort = (): void => { waiting.answer(cancelled()) }
      signal?.addEventListener('abort', onAbort)
      this.#waiting.add(waiting)
    })
  }

  /** Turns away those who wait and those who come. What is taken stays taken until released. */
  close (): void {
    this.#closed = true
    for (const waiting of this.#waiting) waiting.answer(closed())
  }

  #releaser (): () => void {
    let released = false
    return () => {
      if (released) return
      released = true
      const [next] = this.#waiting
      if (next != null) next.answer({ ok: true, release: this.#releaser() })
      else this.#taken--
    }
  }
}

function closed (): SlotAnswer {
  return { ok: false, reason: 'unavailable', message: 'the executor is not running' }
}

function cancelled (): SlotAnswer {
  return { ok: false, reason: 'cancelled', message: 'cancelled while waiting for an engine' }
}
