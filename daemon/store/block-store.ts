/** Content-addressed files: written aside, synced, then renamed to the hex of their sha2-256. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { DIRECTORY_MODE } from './constants.ts'
import type { BlockSink, BlockStore, StoredBlock } from './index.ts'

export async function openBlockStore (root: string): Promise<BlockStore> {
  const incoming = join(root, 'incoming')
  await rm(incoming, { recursive: true, force: true })
  await mkdir(incoming, { recursive: true, mode: DIRECTORY_MODE })
  return new FileBlockStore(root, incoming)
}

class FileBlockStore implements BlockStore {
  readonly #root: string
  readonly #incoming: string

  constructor (root: string, incoming: string) {
    this.#root = root
    this.#incoming = incoming
  }

  #pathOf (digest: Uint8Array): string {
    return join(this.#root, toString(digest, 'base16'))
  }

  async sink (): Promise<BlockSink> {
    const path = join(this.#incoming, randomUUID())
    const handle = await open(path, 'wx', 0o600)
    return new FileSink(handle, path, (digest, size) => this.#settle(path, digest, size))
  }

  async adopt (path: string, digest: Uint8Array, size: number): Promise<StoredBlock> {
    const handle = await open(path, 'r+')
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
    return this.#settle(path, digest, size)
  }

  /** The file's bytes are durable already; the folder is synced so that its name is, too. */
  async #settle (path: string, digest: Uint8Array, size: number): Promise<StoredBlock> {
    const target = this.#pathOf(digest)
    await rename(path, target)
    const folder = await open(this.#root, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
    return { digest, size, path: target }
  }

  async get (digest: Uint8Array): Promise<StoredBlock | undefined> {
    const path = this.#pathOf(digest)
    try {
      return { digest, size: (await stat(path)).size, path }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async delete (digest: Uint8Array): Promise<void> {
    await rm(this.#pathOf(digest), { force: true })
  }

  async sweep (keep: (digest: Uint8Array) => boolean): Promise<number> {
    let removed = 0
    for (const { name } of await readdir(this.#root, { withFileTypes: true })) {
      if (!/^[0-9a-f]{64}$/.test(name) || keep(fromString(name, 'base16'))) continue
      await rm(join(this.#root, name), { force: true })
      removed++
    }
    return removed
  }

  async size (): Promise<number> {
    let total = 0
    for (const entry of await readdir(this.#root, { withFileTypes: true })) {
      if (!entry.isFile()) continue
      try {
        total += (await stat(join(this.#root, entry.name))).size
      } catch (error) {
        // Deleted between the listing and the look: it no longer counts.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    return total
  }
}

class FileSink implements BlockSink {
  readonly #handle: FileHandle
  readonly #path: string
  readonly #settle: (digest: Uint8Array, size: number) => Promise<StoredBlock>
  readonly #hash = createHash('sha256')
  #size = 0
  #ended = false

  constructor (handle: FileHandle, path: string, settle: (digest: Uint8Array, size: number) => Promise<StoredBlock>) {
    this.#handle = handle
    this.#path = path
    this.#settle = settle
  }

  async write (chunk: Uint8Array): Promise<void> {
    if (this.#ended) throw new Error('the sink has ended')
    this.#hash.update(chunk)
    let offset = 0
    while (offset < chunk.byteLength) {
      const { bytesWritten } = await this.#handle.write(chunk, offset, chunk.byteLength - offset)
      offset += bytesWritten
    }
    this.#size += chunk.byteLength
  }

  async finish (): Promise<StoredBlock> {
    if (this.#ended) throw new Error('the sink has ended')
    this.#ended = true
    try {
      await this.#handle.datasync()
    } finally {
      await this.#handle.close()
    }
    return this.#settle(this.#hash.digest(), this.#size)
  }

  async abort (): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    try {
      await this.#handle.close()
      await rm(this.#path, { force: true })
    } catch {
      // Nothing can be done about it here; the incoming folder is emptied when the store is next opened.
    }
  }
}
