/** Keeps the task streams of a lease within their number; orders that need one beyond it wait their turn. */
import { TASKS_MAX } from './constants.ts'

export class TaskLimit<O> {
  private open = 0
  private waiting: O[] = []

  get full (): boolean {
    return this.open >= TASKS_MAX
  }

  /** True if the order may have its stream now; otherwise it waits. */
  take (order: O): boolean {
    if (this.full) {
      this.waiting.push(order)
      return false
    }
    this.open++
    return true
  }

  /** A stream has ended; the order that may have the next. */
  release (): O | undefined {
    this.open--
    const next = this.waiting.shift()
    if (next != null) this.open++
    return next
  }

  /** Takes an order out that waits. False if it does not. */
  drop (order: O): boolean {
    const at = this.waiting.indexOf(order)
    if (at < 0) return false
    this.waiting.splice(at, 1)
    return true
  }

  /** Takes out all that wait. */
  dropAll (): O[] {
    return this.waiting.splice(0)
  }

  clear (): void {
    this.open = 0
    this.waiting = []
  }
}
