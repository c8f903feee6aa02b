/** The sequence of this node's adverts: strictly increasing, across restarts too, and close to the clock. */
import type { Level } from 'level'
import { CLOCK_SKEW_MS } from '../trust/index.ts'

const KEY = 'own-sequence'

export interface Sequence {
  /**
   * The next one; resolves once it is written, so that it is never given twice. Where the disk takes no writes it is given all the same, as a node must
   * be able to say that it drains: then only a crash and a clock set back together could give it again. Calls must not overlap.
   */
  next: (now: number) => Promise<number>
}

export async function openSequence (db?: Level<string, Uint8Array>): Promise<Sequence> {
  const store = db?.sublevel<string, string>('registry', { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  let last = Number(await store?.get(KEY) ?? 0)
  if (!Number.isSafeInteger(last)) last = 0
  return {
    async next (now) {
      last = following(last, now)
      await store?.put(KEY, String(last), { sync: true } as object).catch(() => { /* the database says in the log what is wrong with it */ })
      return last
    }
  }
}

/**
 * The clock, or one more than the last if the clock is behind it. A last one further ahead than clocks may differ was
 * made with a wrong clock and taken by nobody whose clock was right, so the clock is followed again.
 */
export function following (last: number, now: number): number {
  return last > now + CLOCK_SKEW_MS ? now : Math.max(last + 1, now)
}
