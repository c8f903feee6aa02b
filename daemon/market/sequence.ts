/** The sequence of this node's bulletins: strictly increasing, across restarts too, and close to the clock. */
import type { Level } from 'level'
import { CLOCK_SKEW_MS } from '../trust/index.ts'
import { SEQUENCE_RESERVED_MS } from './constants.ts'

const KEY = 'bulletin-sequence'

export interface Sequence {
  /** The next one; resolves once it is certain that it is never given twice. Calls must not overlap. */
  next: (now: number) => Promise<number>
  /** Gives back what was reserved and not used. `next` may be called again. */
  close: () => Promise<void>
}

/**
 * Written ahead, so that a bulletin costs no write: what is on disk is above all that were given. After a crash the next one is above the reservation,
 * by SEQUENCE_RESERVED_MS ahead of the clock at most, or more only if that happens again and again.
 */
export async function openSequence (db?: Level<string, Uint8Array>): Promise<Sequence> {
  const store = db?.sublevel<string, string>('market', { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  const write = async (value: number): Promise<void> => { await store?.put(KEY, String(value), { sync: true } as object) }
  let reserved = Number(await store?.get(KEY) ?? 0)
  if (!Number.isSafeInteger(reserved)) reserved = 0
  let last = reserved
  let isReserved = true
  return {
    async next (now) {
      // The last that was given may be as far below the reservation: then it is still to be exceeded, and what is not taken for ahead exceeds it.
      const limit = now + CLOCK_SKEW_MS
      const next = isReserved && last > limit && last - SEQUENCE_RESERVED_MS <= limit ? limit : following(last, now)
      // A clock that is right again after it was far ahead: the old reservation would hold for ever.
      if (next > reserved || reserved > limit) {
        const ahead = Math.max(next, now + SEQUENCE_RESERVED_MS)
        // Where the disk takes no writes the clock alone keeps it increasing over a crash; tried again with the next one.
        if (await write(ahead).then(() => true, () => false)) reserved = ahead
      }
      last = next
      isReserved = false
      return next
    },
    async close () {
      if (last === reserved) return
      await write(last)
      reserved = last
    }
  }
}

/** The clock, or one more; one further ahead than clocks may differ was made with a wrong clock and taken by nobody, so the clock is followed again. */
export function following (last: number, now: number): number {
  return last > now + CLOCK_SKEW_MS ? now : Math.max(last + 1, now)
}
