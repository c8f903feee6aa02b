/**
 * A CSV block as the engine can read it. DuckDB takes `\n` and `\r\n` mixed in one file, but not a lone `\r` among them; in a table of
 * one column, where an empty line is a row, it makes two rows of `\r\n` among `\n`; the splitter marks such blocks (`lineEnds: 'mixed'`).
 * And an escape other than the quote itself it also obeys outside of quotes and before any character, which drops it. Such blocks are
 * rewritten before the engine reads them, with `\n` for every line end outside quotes and quotes doubled; all others cost nothing.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { READ_CHUNK_BYTES } from '../../constants.ts'
import type { Dialect } from '../schema.ts'

const LF = 10
const CR = 13

/** Copies a block and gives the copy's size. What it holds is read by the copy's dialect: the same with quotes doubled. */
export async function copyPlain (from: string, to: string, dialect: Dialect): Promise<number> {
  const source = await open(from, 'r')
  try {
    const target = await open(to, 'wx', 0o600)
    try {
      return await copy(source, target, new PlainText(dialect))
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

async function copy (source: FileHandle, target: FileHandle, text: PlainText): Promise<number> {
  const buffer = new Uint8Array(READ_CHUNK_BYTES)
  let size = 0
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, buffer.length)
    const out = bytesRead > 0 ? text.write(buffer.subarray(0, bytesRead)) : text.end()
    for (let at = 0; at < out.length;) at += (await target.write(out, at)).bytesWritten
    size += out.length
    if (bytesRead === 0) return size
  }
}

/** Where a byte stands. */
const FIELD_START = 0
const PLAIN = 1
const QUOTED = 2
/** Behind a quote inside quotes: the closing one, or the first of two. */
const AFTER_QUOTE = 3
const AFTER_ESCAPE = 4
const AFTER_CR = 5

class PlainText {
  readonly #delimiter: number
  /** -1: there is none. */
  readonly #quote: number
  /** -1: quotes are doubled. */
  readonly #escape: number
  #state = FIELD_START
  #out = new Uint8Array(2 * READ_CHUNK_BYTES + 2)

  constructor ({ delimiter, quote, escape }: Dialect) {
    this.#delimiter = delimiter.charCodeAt(0)
    this.#quote = quote === '' ? -1 : quote.charCodeAt(0)
    this.#escape = escape === quote ? -1 : escape.charCodeAt(0)
  }

  /** What a piece of the text becomes; valid until the next call. */
  write (bytes: Uint8Array): Uint8Array {
    const out = this.#out
    const quote = this.#quote
    const escape = this.#escape
    let state = this.#state
    let length = 0
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (state === AFTER_ESCAPE) {
        state = QUOTED
        if (byte === quote) {
          out[length++] = quote
          out[length++] = quote
          continue
        }
        out[length++] = escape
        if (byte === escape) continue
      }
      if (state === QUOTED) {
        if (byte === escape) {
          state = AFTER_ESCAPE
          continue
        }
        if (byte === quote) state = AFTER_QUOTE
        out[length++] = byte
        continue
      }
      if (state === AFTER_QUOTE && byte === quote && escape < 0) {
        state = QUOTED
        out[length++] = byte
        continue
      }
      if (state === AFTER_CR) {
        state = FIELD_START
        if (byte === LF) continue
      }
      if (byte === quote && state === FIELD_START) state = QUOTED
      else if (byte === CR || byte === LF) {
        state = byte === CR ? AFTER_CR : FIELD_START
        out[length++] = LF
        continue
      } else state = byte === this.#delimiter ? FIELD_START : PLAIN
      out[length++] = byte
    }
    this.#state = state
    return out.subarray(0, length)
  }

  /** What is left at the end of the text. */
  end (): Uint8Array {
    return this.#state === AFTER_ESCAPE ? new Uint8Array([this.#escape]) : new Uint8Array(0)
  }
}
