/** Text of other character sets as UTF-8, piece by piece. Nothing is replaced: what is no character is refused, with its byte. */
import { ConversionError } from './errors.ts'
import type { Charset } from './tables/settings.ts'

export interface Transcoder {
  /** UTF-8 of what is complete so far; the caller's to keep. */
  push: (bytes: Uint8Array) => Uint8Array
  /** Throws if the text ends within a character. */
  end: () => void
  /** Control characters C1 met in ISO 8859: mostly a sign that the text is windows-1252. */
  controls: () => number
}

/** What 0x80 to 0x9f are in windows-1252; NUL: nothing. */
const WINDOWS_1252 = '€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ'

/** Where ISO 8859-15 differs from ISO 8859-1. */
const LATIN_9: Record<number, string> = { 0xa4: '€', 0xa6: 'Š', 0xa8: 'š', 0xb4: 'Ž', 0xb8: 'ž', 0xbc: 'Œ', 0xbd: 'œ', 0xbe: 'Ÿ' }

/** Bytes of UTF-8 that one byte becomes at most. */
const UTF8_OF_BYTE_MAX = 3

/** Throws ConversionError `bad-input` from its functions; `lenient` takes what is no character for U+FFFD. */
export function transcoder (charset: Charset, path: string, options: { lenient?: boolean } = {}): Transcoder {
  const refuse = (what: string, at: number): void => {
    if (options.lenient !== true) throw new ConversionError('bad-input', `'${path}' is not ${charset}: ${what}, after ${at} bytes; say what it is with --set encoding=`, { path, bytes: at })
  }
  if (charset === 'utf-16le' || charset === 'utf-16be') return new Utf16(charset === 'utf-16be', refuse)
  if (charset === 'utf-8') return { push: bytes => bytes, end: () => {}, controls: () => 0 }
  return new SingleBytes(charset, refuse)
}

type Refuse = (what: string, at: number) => void

class SingleBytes implements Transcoder {
  /** UTF-8 of each byte above ASCII; undefined: no character. */
  readonly #table: Array<Uint8Array | undefined>
  readonly #refuse: Refuse
  readonly #c1: boolean
  #done = 0
  #controls = 0

  constructor (charset: Charset, refuse: Refuse) {
    this.#refuse = refuse
    this.#c1 = charset !== 'windows-1252'
    this.#table = Array.from({ length: 256 }, (_, byte) => {
      const character = charset === 'windows-1252' && byte >= 0x80 && byte < 0xa0 ? WINDOWS_1252[byte - 0x80]! : charset === 'iso-8859-15' ? LATIN_9[byte] ?? String.fromCharCode(byte) : String.fromCharCode(byte)
      return byte > 0 && character === '\0' ? undefined : Buffer.from(character)
    })
  }

  push (bytes: Uint8Array): Uint8Array {
    const out = Buffer.allocUnsafe(bytes.length * UTF8_OF_BYTE_MAX)
    let at = 0
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte < 0x80) {
        out[at++] = byte
        continue
      }
      if (byte < 0xa0 && this.#c1) this.#controls++
      const character = this.#table[byte]
      if (character == null) this.#refuse(`byte 0x${byte.toString(16)} is no character of it`, this.#done + i)
      for (const part of character ?? REPLACEMENT) out[at++] = part
    }
    this.#done += bytes.length
    return out.subarray(0, at)
  }

  end (): void {}

  controls (): number {
    return this.#controls
  }
}

const REPLACEMENT = Buffer.from('\ufffd')

class Utf16 implements Transcoder {
  readonly #bigEndian: boolean
  readonly #refuse: Refuse
  /** What is not complete: an odd byte, a first surrogate, or both. */
  #kept: Buffer = Buffer.alloc(0)
  /** Bytes before `#kept`. */
  #done = 0

  constructor (bigEndian: boolean, refuse: Refuse) {
    this.#bigEndian = bigEndian
    this.#refuse = refuse
  }

  push (bytes: Uint8Array): Uint8Array {
    // A copy: its bytes are swapped in place.
    const all = Buffer.concat([this.#kept, bytes])
    let length = all.length & ~1
    const swapped = this.#bigEndian
    if (swapped) all.subarray(0, length).swap16()
    if (length >= 2 && isFirst(all.readUInt16LE(length - 2))) length -= 2
    this.#check(all, length)
    let start = 0
    if (this.#done === 0 && length >= 2 && all.readUInt16LE(0) === 0xfeff) start = 2
    const text = all.toString('utf16le', start, length)
    this.#kept = Buffer.from(all.subarray(length))
    if (swapped && this.#kept.length >= 2) this.#kept.subarray(0, 2).swap16()
    this.#done += length
    return Buffer.from(text)
  }

  #check (all: Buffer, length: number): void {
    for (let i = 0; i < length; i += 2) {
      const high = all[i + 1]!
      if (high < 0xd8 || high > 0xdf) continue
      const next = i + 3 < length ? all[i + 3]! : 0
      if (high < 0xdc && next >= 0xdc && next <= 0xdf) i += 2
      else this.#refuse('half a surrogate pair', this.#done + i)
    }
  }

  end (): void {
    if (this.#kept.length > 0) this.#refuse(this.#kept.length === 1 ? 'it ends within a character' : 'it ends with half a surrogate pair', this.#done)
  }

  controls (): number {
    return 0
  }
}

const isFirst = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00
