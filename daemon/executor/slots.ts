/** Slots handed out in order of arrival, with a bounded queue. Guests, which work for others, may be given fewer of them. */
import { QUEUE_MAX } from './constants.ts'

export type SlotAnswer = { ok: true, release: () => void } | { ok: false, reason: 'cancelled' | 'unavailable', message: string }

interface Waiting { guest: boolean, answer: (answer: SlotAnswer) => void }

export class Slots {
  readonly total: number
  #taken = 0
  #guests = 0
  #guestsMax: number
  /** Insertion order is arrival order; a cancelled one leaves without a search. */
  readonly #waiting = new Set<Waiting>()
  #closed = false

  constructor (total: number) {
    this.total = total
    this.#guestsMax = total
  }

  get taken (): number {
    return this.#taken
  }

  get waiting (): number {
    return this.#waiting.size
  }

  /** Guests may hold so many slots from now on. Those that hold more keep them until they are done. */
  limitGuests (most: number): void {
    this.#guestsMax = Math.min(most, this.total)
    this.#admit()
  }

  /** Resolves when a slot is free, the signal fires, or the slots are closed. Never rejects. `release` counts once. */
  async take (signal?: AbortSignal, guest = false): Promise<SlotAnswer> {
    if (this.#closed) return closed()
    if (signal?.aborted === true) return cancelled()
    if (this.#free(guest)) return this.#give(guest)
    if (this.#waiting.size >= QUEUE_MAX) return { ok: false, reason: 'unavailable', message: `${QUEUE_MAX} tasks are waiting for an engine already` }
    return await new Promise(resolve => {
      const waiting: Waiting = {
        guest,
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

  #free (guest: boolean): boolean {
    return this.#taken < this.total && (!guest || this.#guests < this.#guestsMax)
  }

  #give (guest: boolean): SlotAnswer {
    this.#taken++
    if (guest) this.#guests++
    let released = false
    return {
      ok: true,
      release: () => {
        if (released) return
        released = true
        this.#taken--
        if (guest) this.#guests--
        this.#admit()
      }
    }
  }

  /** Guests that may not run now are passed over: work of this node's own does not wait behind them. */
  #admit (): void {
    for (const waiting of this.#waiting) {
      if (this.#taken >= this.total) return
      if (this.#free(waiting.guest)) waiting.answer(this.#give(waiting.guest))
    }
  }
}

function closed (): SlotAnswer {
  return { ok: false, reason: 'unavailable', message: 'the executor is not running' }
}

function cancelled (): SlotAnswer {
  return { ok: false, reason: 'cancelled', message: 'cancelled while waiting for an engine' }
}
