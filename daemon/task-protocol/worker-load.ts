/** When a worker has no room, and when it will: pure figures of what runs, what waits and what lies on its disk. */
import { DISK_RESERVE_BYTES, DISK_SHARE_MAX, ORDERS_PER_SLOT, ORDER_MS_DEFAULT, OUTPUT_ESTIMATE, OUTPUT_ESTIMATE_MIN, RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN } from './constants.ts'
import type { Refusal } from './lease-model.ts'

/** Weight of the newest order in the mean time of one: some ten orders and the past no longer counts. */
const NEWEST_WEIGHT = 0.2

/** How long orders take here, and when a slot comes free. */
export class QueueTime {
  private meanMs = ORDER_MS_DEFAULT

  /** An order was at work for so long. */
  took (ms: number): void {
    this.meanMs += NEWEST_WEIGHT * (ms - this.meanMs)
  }

  /** Milliseconds until one more order could begin, with `active` orders at work or waiting for `slots` engines. */
  untilFree (active: number, slots: number): number {
    const before = Math.max(1, active - slots + 1)
    return Math.round(Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, this.meanMs * before / Math.max(1, slots))))
  }
}

/** Why one more order for an engine may not wait here; undefined if it may. */
export function queueRefusal (active: number, slots: number, retryAfterMs: number): Refusal | undefined {
  const most = ORDERS_PER_SLOT * Math.max(1, slots)
  return active < most ? undefined : { reason: 'busy', message: `${most} orders are at work or wait here already`, retryAfterMs }
}

/** Bytes of disk an attempt is expected to take: its input and, as far as can be guessed, its output. */
export function diskNeed (size: number, outputBytes: number): number {
  return size + Math.min(outputBytes, Math.max(OUTPUT_ESTIMATE_MIN, OUTPUT_ESTIMATE * size))
}

/** Bytes promised to attempts. What they have written counts twice until they end, which errs on the safe side. */
export class DiskBudget {
  private readonly byRequester = new Map<string, number>()
  private promised = 0

  get reserved (): number {
    return this.promised
  }

  /** Why an attempt that needs so many bytes may not begin, with `free` bytes free; undefined if it may. */
  refuse (requester: string, need: number, free: number, retryAfterMs: number): Refusal | undefined {
    const left = free - this.promised - DISK_RESERVE_BYTES
    if (need > left) return { reason: 'busy', message: `no room on disk: ${need} bytes are needed, ${Math.max(0, left)} can be given`, retryAfterMs }
    const own = this.byRequester.get(requester) ?? 0
    // the first one may take more: otherwise a large block could never be worked on
    if (own > 0 && own + need > DISK_SHARE_MAX * (left + this.promised)) return { reason: 'busy', message: `your orders hold ${own} bytes of disk here, and one requester gets at most half`, retryAfterMs }
    return undefined
  }

  /** Takes the bytes; the function returned gives them back, once. */
  reserve (requester: string, need: number): () => void {
    this.promised += need
    this.byRequester.set(requester, (this.byRequester.get(requester) ?? 0) + need)
    let given = false
    return () => {
      if (given) return
      given = true
      this.promised -= need
      const left = (this.byRequester.get(requester) ?? 0) - need
      if (left > 0) this.byRequester.set(requester, left)
      else this.byRequester.delete(requester)
    }
  }
}
