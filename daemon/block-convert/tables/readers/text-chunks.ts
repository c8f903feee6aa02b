/** UTF-8 text in pieces: whole characters only, ASCII at the speed of copying. */
import { isAscii } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import { RECORD_BYTES_MAX } from '../constants.ts'
import { READ_BYTES } from '../parquet/limits.ts'
import type { RandomAccess } from '../random-access.ts'

const BOM = '\ufeff'

/**
 * Gives a file's text piece by piece. What a caller did not use of a piece (the beginning of a record) comes again at the beginning of
 * the next one, which is decoded as one flat string: joined strings would be several times slower to walk through.
 */
export class TextChunks {
  readonly #file: RandomAccess
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  readonly #keepMark: boolean
  #buffer: Buffer
  /** Bytes of the file in the buffer, from the first one not yet used. */
  #length = 0
  /** Bytes of the last piece; what follows in the buffer is half a character. */
  #decoded = 0
  #offset = 0

  /** `keepMark`: a byte order mark at the beginning is content. @default it is dropped, as by other readers */
  constructor (file: RandomAccess, chunkBytes = READ_BYTES, keepMark = false) {
    this.#keepMark = keepMark
    this.#file = file
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(4, Math.min(chunkBytes, file.size)))
  }

  /** The file has been read to its end, so the piece given last ends with the text. */
  get last (): boolean {
    return this.#offset >= this.#file.size
  }

  /**
   * The next piece, beginning with `rest`, what is left of the one before. At the end of the file it is `rest` alone.
   *
   * @throws ConversionError `bad-input` if the bytes are not UTF-8, or a record does not end
   */
  next (rest: string): string {
    if (this.last && this.#offset > 0) return rest
    const kept = Buffer.byteLength(rest) + this.#length - this.#decoded
    if (kept > RECORD_BYTES_MAX) throw new ConversionError('bad-input', `${this.#file.name()}: a record is longer than ${RECORD_BYTES_MAX} bytes`)
    const from = this.#length - kept
    if (kept > this.#buffer.length / 2) {
      // a record as large as the buffer: larger steps, so that its bytes are not looked at too often
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#buffer.length * 2, kept + Math.max(4, this.#file.size - this.#offset)))
      this.#buffer.copy(larger, 0, from, this.#length)
      this.#buffer = larger
    } else this.#buffer.copyWithin(0, from, this.#length)
    const count = this.#file.readInto(this.#buffer.subarray(kept), this.#offset)
    if (count === 0 && !this.last) throw new ConversionError('bad-input', `${this.#file.name()} became shorter while it was read`)
    const first = this.#offset === 0
    this.#offset += count
    this.#length = kept + count
    const text = this.#decode()
    // Nothing is read after this; what the buffer holds may be one very large record.
    if (this.last) this.#buffer = Buffer.alloc(0)
    return first && !this.#keepMark && text.startsWith(BOM) ? text.slice(1) : text
  }

  #decode (): string {
    const bytes = this.#buffer.subarray(0, this.#length)
    this.#decoded = this.#length
    if (isAscii(bytes)) return bytes.toString('latin1')
    if (!this.last) this.#decoded = wholeCharacters(bytes)
    try {
      return this.#decoder.decode(bytes.subarray(0, this.#decoded))
    } catch {
      // the decoder's own message has no position
      const offset = this.#offset - this.#length
      throw new ConversionError('bad-input', `${this.#file.name()} is not UTF-8 text: see what follows byte ${offset}`, { offset })
    }
  }
}

/** Where the last character of a piece ends that is there as a whole. */
function wholeCharacters (bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return size > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
