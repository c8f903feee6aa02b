/** Whether a worker takes orders of a requester at all, and how many. Part of the worker's lease machine; pure. */
import { DRAINING_RETRY_MS } from './constants.ts'
import type { Refusal, Slots } from './lease-model.ts'

export class WorkerGate {
  slots: Slots
  /** Why the slots are less than all, in words. */
  why = ''
  draining = false
  private readonly retryAfterMs: () => number

  constructor (slots: Slots, retryAfterMs: () => number) {
    this.slots = { ...slots }
    this.retryAfterMs = retryAfterMs
  }

  /** Takes nothing new, whoever asks. */
  get closed (): boolean {
    return this.draining || this.slots.process + this.slots.inline === 0
  }

  /** What the requester is told that it may send. */
  get told (): Slots {
    return this.closed ? { process: 0, inline: 0 } : { ...this.slots }
  }

  /** What is said to those nothing is taken from. Blames nobody. */
  closedRefusal (): Refusal {
    return { reason: 'draining', message: `this node takes no new work${this.draining || this.why === '' ? '' : `: ${this.why}`}`, retryAfterMs: DRAINING_RETRY_MS }
  }

  /** Said of an order beyond what may run. */
  full (): Refusal {
    return this.closed ? this.closedRefusal() : this.busy('more orders than slots')
  }

  busy (message: string): Refusal {
    return { reason: 'busy', message, retryAfterMs: this.retryAfterMs() }
  }
}
