/** A file read front to back through one buffer that keeps what was not consumed yet. */
import { open, type FileHandle } from 'node:fs/promises'
import { RECORD_BYTES_MAX, SCAN_CHUNK_BYTES, SCAN_PADDING } from './constants.ts'
import { ConversionError, unreadable } from '../errors.ts'
import type { Input } from '../index.ts'
import { inputChanged } from '../source.ts'

/** The buffer of a TextFile; given on from one file to the next, so that ten thousand small ones cost one. */
export interface TextBuffer { bytes: Uint8Array }

/** Bytes of a buffer, unless a record needs more. */
const USUAL_BYTES = 2 * SCAN_CHUNK_BYTES + SCAN_PADDING

export function textBuffer (): TextBuffer {
  return { bytes: new Uint8Array(USUAL_BYTES) }
}

export class TextFile {
  /** The next byte to consume. */
  at = 0
  /** Behind the last byte read; SCAN_PADDING zeros follow. */
  end = 0
  /** Position in the file of `bytes[0]`. */
  offset = 0
  /** The file ends at `end`. */
  last = false
  readonly #buffer: TextBuffer
  readonly #handle: FileHandle
  readonly #input: Input

  private constructor (handle: FileHandle, input: Input, buffer: TextBuffer) {
    this.#handle = handle
    this.#input = input
    this.#buffer = buffer
  }

  static async open (input: Input, buffer: TextBuffer): Promise<TextFile> {
    const handle = await open(input.path, 'r').catch(error => { throw unreadable(input.path, error) })
    return new TextFile(handle, input, buffer)
  }

  get bytes (): Uint8Array {
    return this.#buffer.bytes
  }

  /** Drops what was consumed and reads at least one more byte, or learns that the file is over. */
  async more (): Promise<void> {
    const kept = this.end - this.at
    if (kept > RECORD_BYTES_MAX) {
      throw new ConversionError('bad-input', `'${this.#input.path}': a record is longer than ${RECORD_BYTES_MAX} bytes; is a quote or a newline missing?`, { path: this.#input.path })
    }
    // A record that is not complete is scanned again from its beginning: twice as much each time keeps that linear.
    const left = Math.max(0, this.#input.size - this.offset - this.end)
    const wanted = Math.max(SCAN_CHUNK_BYTES, Math.min(kept, left))
    const needed = Math.max(USUAL_BYTES, kept + wanted + SCAN_PADDING)
    if (needed > this.bytes.length || (needed === USUAL_BYTES && this.bytes.length > 2 * USUAL_BYTES)) {
      // Larger for a record that needs it, and small again after it.
      const other = new Uint8Array(needed)
      other.set(this.bytes.subarray(this.at, this.end))
      this.#buffer.bytes = other
    } else {
      this.bytes.copyWithin(0, this.at, this.end)
    }
    this.offset += this.at
    this.at = 0
    this.end = kept
    try {
      const { bytesRead } = await this.#handle.read(this.bytes, kept, wanted, this.offset + kept)
      this.end += bytesRead
      // The size is what the job was promised; `verify` tells if the file has become longer.
      if (bytesRead === 0 && this.offset + this.end < this.#input.size) throw inputChanged(this.#input.path, 'it became shorter')
      this.last = this.offset + this.end >= this.#input.size
    } catch (error) {
      throw unreadable(this.#input.path, error)
    }
    this.bytes.fill(0, this.end, this.end + SCAN_PADDING)
  }

  /** Throws `input-changed` if the file is not what the job's description says. */
  async verify (): Promise<void> {
    const now = await this.#handle.stat().catch(error => { throw unreadable(this.#input.path, error) })
    const read = this.offset + this.end
    if (read !== this.#input.size || now.size !== this.#input.size) throw inputChanged(this.#input.path, `${this.#input.size} bytes before, ${now.size} now`)
    if (now.mtimeMs !== this.#input.mtimeMs) throw inputChanged(this.#input.path, 'it was written to')
  }

  async close (): Promise<void> {
    await this.#handle.close()
  }
}
