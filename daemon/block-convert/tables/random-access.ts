/** Reading parts of a block, be it a file or bytes in memory. Synchronous: all of it runs in worker threads. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { ConversionError, unreadable } from '../errors.ts'
import type { BlockSource } from '../index.ts'

export class RandomAccess {
  readonly size: number
  /** Last modification of a file, UTC milliseconds; 0 for bytes in memory. */
  readonly mtimeMs: number = 0
  /** For messages; undefined for bytes in memory. */
  readonly path: string | undefined
  readonly #fd: number
  readonly #bytes: Uint8Array | undefined

  /** @throws ConversionError `input-unreadable` */
  constructor (source: BlockSource) {
    if ('bytes' in source) {
      this.#bytes = source.bytes
      this.#fd = -1
      this.size = source.bytes.length
      return
    }
    this.path = source.path
    try {
      this.#fd = openSync(source.path, 'r')
    } catch (error) {
      throw unreadable(source.path, error)
    }
    try {
      const stat = fstatSync(this.#fd)
      if (!stat.isFile()) throw new ConversionError('input-unreadable', `cannot read '${source.path}': it is no regular file; name a file`, { path: source.path })
      this.size = stat.size
      this.mtimeMs = stat.mtimeMs
    } catch (error) {
      closeSync(this.#fd)
      throw error instanceof ConversionError ? error : unreadable(source.path, error)
    }
  }

  /** Exactly these bytes; a view where they are in memory, else a new buffer. Throws `bad-input` if the end comes too early. */
  read (offset: number, length: number): Uint8Array {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw new ConversionError('bad-input', `${this.name()} ends at byte ${this.size}, but bytes ${offset} to ${offset + length} are needed`)
    }
    if (this.#bytes != null) return this.#bytes.subarray(offset, offset + length)
    // a buffer of its own, not of the pool: typed arrays are laid over it
    const buffer = new Uint8Array(length)
    if (this.readInto(buffer, offset) < length) {
      throw new ConversionError('bad-input', `${this.name()} became shorter while it was read`)
    }
    return buffer
  }

  /** Fills the buffer from `offset` on; gives the bytes read, fewer only at the end. */
  readInto (buffer: Uint8Array, offset: number): number {
    if (this.#bytes != null) {
      const piece = this.#bytes.subarray(offset, offset + buffer.length)
      buffer.set(piece)
      return piece.length
    }
    let done = 0
    try {
      while (done < buffer.length) {
        const count = readSync(this.#fd, buffer, done, buffer.length - done, offset + done)
        if (count === 0) break
        done += count
      }
    } catch (error) {
      throw unreadable(this.path ?? '', error)
    }
    return done
  }

  name (): string {
    return this.path ?? 'the data'
  }

  close (): void {
    if (this.#fd >= 0) closeSync(this.#fd)
  }
}
