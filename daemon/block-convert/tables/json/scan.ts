/** Finds records in JSON bytes, one after the other, and has them proved (prove.ts). */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { badInput, type RecordProver } from './prove.ts'
import { Skipper } from './skip.ts'
import { CLOSE_LIST, COMMA, LF, OPEN_LIST, OPEN_OBJECT } from './text.ts'

/** More bytes are needed. */
export const MORE = -1

/** Bytes of an incomplete record up to which the quick way is tried again when more has come. */
const RETRY_BYTES = 64 * 1024

export interface RecordScanner {
  /** The record found last: its bytes, and its line. */
  start: number
  stop: number
  line: number
  /** What was found was the end of the input, no record. */
  over: boolean
  /**
   * Finds and proves the next record at or after `at`, and gives the position behind it, or MORE. `bytes` must have a zero at `end`; `last`:
   * the input ends there.
   */
  next: (bytes: Buffer, at: number, end: number, last: boolean) => number
  /** What is at `at`, the end of a record, is about to be moved to the beginning of the bytes. Gives its line. */
  moved: (at: number) => number
}

/**
 * NDJSON. A line ends at LF (a CR before it is white space), the last one maybe at the end of the input. A line of white space is no
 * record; all others are one object and nothing more.
 */
export class LineScanner implements RecordScanner {
  start = 0
  stop = 0
  line = 0
  over = false
  readonly #prover: RecordProver
  readonly #path: string
  /** Lines before the next one. */
  #lines = 0

  constructor (prover: RecordProver, path: string) {
    this.#prover = prover
    this.#path = path
  }

  next (bytes: Buffer, at: number, end: number, last: boolean): number {
    for (let i = at; ;) {
      if (i >= end && last) {
        this.over = true
        return end
      }
      let newline = bytes.indexOf(LF, i)
      if (newline < 0 || newline >= end) {
        if (!last) return MORE
        newline = end
      }
      const line = ++this.#lines
      const behind = newline < end ? newline + 1 : end
      let from = i
      while (isBlank(bytes[from]!) && from < newline) from++
      if (from < newline) {
        const place = { path: this.#path, line }
        if (newline - from > RECORD_BYTES_MAX) throw badInput(`it is longer than ${RECORD_BYTES_MAX} bytes`, place)
        let to = this.#prover.plain(bytes, from, newline)
        if (to >= 0) while (isBlank(bytes[to]!) && to < newline) to++
        if (to !== newline) this.#prover.careful(bytes, from, newline, place)
        this.start = i
        this.stop = behind
        this.line = line
        return behind
      }
      i = behind
    }
  }

  moved (): number {
    return this.#lines + 1
  }
}

const START = 0
/** In an array, before its first element. */
const FIRST = 1
/** In an array, behind an element. */
const BEHIND = 2
/** Among objects that follow one another without an array around them. */
const SEQUENCE = 3

/** JSON: the elements of an array, or objects one after the other with any white space between them, or none. */
export class ElementScanner implements RecordScanner {
  start = 0
  stop = 0
  over = false
  /** It is an array. */
  array = false
  readonly #prover: RecordProver
  readonly #path: string
  readonly #skipper = new Skipper()
  #state = START
  /** The line of `#counted`, a position in the bytes. */
  #lines = 1
  #counted = 0
  #bytes: Buffer | undefined

  constructor (prover: RecordProver, path: string) {
    this.#prover = prover
    this.#path = path
  }

  /** The line of the record found last. Counted only when it is asked for, which must be before the bytes are moved. */
  get line (): number {
    return this.#lineAt(this.start)
  }

  moved (at: number): number {
    const line = this.#lineAt(at)
    this.#counted = 0
    return line
  }

  next (bytes: Buffer, at: number, end: number, last: boolean): number {
    this.#bytes = bytes
    let state = this.#state
    let i = blank(bytes, at)
    if (i >= end && !last) return MORE
    if (state === START) {
      if (i >= end) return this.#end(end)
      const byte = bytes[i]
      if (byte !== OPEN_LIST && byte !== OPEN_OBJECT) throw this.#bad('a JSON array or object is expected', i)
      this.array = byte === OPEN_LIST
      state = this.array ? FIRST : SEQUENCE
      if (this.array) i = blank(bytes, i + 1)
    }
    if (state === SEQUENCE && i >= end) return this.#end(end)
    if (i >= end) return this.#missing(last, i)
    if (state !== SEQUENCE && bytes[i] === CLOSE_LIST) {
      const rest = blank(bytes, i + 1)
      if (rest < end) throw this.#bad('there is text after the end of the array', rest)
      return last ? this.#end(end) : MORE
    }
    if (state === BEHIND) {
      if (bytes[i] !== COMMA) throw this.#bad('\',\' or \']\' is expected after an element', i)
      i = blank(bytes, i + 1)
      if (i >= end) return this.#missing(last, i)
    } else if (state === SEQUENCE && bytes[i] !== OPEN_OBJECT) throw this.#bad('an object is expected', i)
    return this.#element(bytes, i, end, last, state)
  }

  #element (bytes: Buffer, from: number, end: number, last: boolean, state: number): number {
    const skipper = this.#skipper
    let to = skipper.done <= RETRY_BYTES ? this.#prover.plain(bytes, from, end) : -1
    if (to < 0) {
      to = skipper.skip(bytes, from, end)
      if (to < 0) return this.#missing(last, from)
      if (to === from) throw this.#bad('a value is expected', from)
      if (to - from > RECORD_BYTES_MAX) throw this.#bad(`it is longer than ${RECORD_BYTES_MAX} bytes`, from)
      this.#prover.careful(bytes, from, to, { path: this.#path, line: this.#lineAt(from) })
    }
    skipper.reset()
    this.start = from
    this.stop = to
    this.#state = state === SEQUENCE ? SEQUENCE : BEHIND
    return to
  }

  #missing (last: boolean, at: number): number {
    if (!last) return MORE
    throw this.#bad(this.array ? 'the array does not end; is the file cut off?' : 'an object does not end; is the file cut off?', at)
  }

  #end (end: number): number {
    this.over = true
    this.start = this.stop = end
    return end
  }

  #bad (what: string, at: number): Error {
    return badInput(what, { path: this.#path, line: this.#lineAt(at) })
  }

  #lineAt (position: number): number {
    const bytes = this.#bytes
    if (bytes == null || position <= this.#counted) return this.#lines
    let lines = 0
    for (let i = this.#counted; i < position; i++) if (bytes[i] === LF) lines++
    this.#counted = position
    return this.#lines += lines
  }
}

function isBlank (byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 13
}

/** The next byte that is no white space; at the latest the zero at the end. */
function blank (bytes: Buffer, at: number): number {
  let i = at
  while (isBlank(bytes[i]!) || bytes[i] === LF) i++
  return i
}
