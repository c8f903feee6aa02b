/** Where a JSON value ends in bytes, without a look at what it is: quotes and brackets only. Whether it is JSON is proved later. */
import { BACKSLASH, CLOSE_LIST, CLOSE_OBJECT, COMMA, OPEN_LIST, OPEN_OBJECT, QUOTE } from './text.ts'

/** What a byte is outside of strings. */
const OPENS = 1
const CLOSES = 2
const QUOTES = 3
const ENDS = 4

const ROLES = new Uint8Array(256)
ROLES[OPEN_OBJECT] = ROLES[OPEN_LIST] = OPENS
ROLES[CLOSE_OBJECT] = ROLES[CLOSE_LIST] = CLOSES
ROLES[QUOTE] = QUOTES
for (const code of [0, 9, 10, 13, 32, COMMA]) ROLES[code] = ENDS

/** The position behind the value that begins at `at`, or -1 if it does not end before `end`. The byte at `end` is a zero or white space. */
export function skipValue (bytes: Buffer, at: number, end: number): number {
  whole.reset()
  return whole.skip(bytes, at, end)
}

/** The same for a value that comes in pieces: goes on where it stopped, for a value of many megabytes is looked at only once. */
export class Skipper {
  /** Bytes of the value looked at. */
  done = 0
  #depth = 0
  #quoted = false

  reset (): void {
    this.done = 0
    this.#depth = 0
    this.#quoted = false
  }

  skip (bytes: Buffer, start: number, end: number): number {
    let i = start + this.done
    let depth = this.#depth
    let quoted = this.#quoted
    for (;;) {
      if (quoted) {
        let byte = bytes[i]!
        while (byte !== QUOTE && byte !== BACKSLASH && i < end) byte = bytes[++i]!
        if (i >= end) break
        if (byte === BACKSLASH) {
          // What it escapes is looked at together with it.
          if (i + 1 >= end) break
          i += 2
          continue
        }
        i++
        quoted = false
        if (depth === 0) return i
        continue
      }
      let role = ROLES[bytes[i]!]!
      while (role === 0 || (role === ENDS && depth > 0 && i < end)) role = ROLES[bytes[++i]!]!
      if (i >= end) break
      if (role === QUOTES) quoted = true
      else if (role === OPENS) depth++
      else if (role === ENDS) return i
      else if (depth <= 1) return depth === 1 ? i + 1 : i
      else depth--
      i++
    }
    this.done = Math.min(i, end) - start
    this.#depth = depth
    this.#quoted = quoted
    return -1
  }
}

const whole = new Skipper()
