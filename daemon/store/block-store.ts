/**
 * Content-addressed files: written aside, synced, then renamed to the hex of their sha2-256. The store counts its bytes as they come and go, those
 * still arriving included, and refuses more before the disk is full. A file whose sync failed is never trusted again: what the kernel could not write
 * it may have dropped, and a second sync that succeeds says nothing of it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { COLLECT_GRACE_MS, DIRECTORY_MODE } from './constants.ts'
import type { StoreFullError } from './errors.ts'
import { Space } from './space.ts'
import { systemFs, type StoreFile, type StoreFs } from './store-fs.ts'
import type { BlockSink, BlockStore, BlockUse, StoreLimits, StoreUsage, StoredBlock } from './index.ts'

export interface BlockStoreInit extends StoreLimits {
  fs?: StoreFs
  /** The folder errors name. @default root */
  told?: string
  /** Monotonic milliseconds. */
  now?: () => number
}

/** A stored block's name: the hex of its sha2-256. */
export const BLOCK_NAME = /^[0-9a-f]{64}$/

export async function openBlockStore (root: string, init: BlockStoreInit = {}): Promise<BlockStore> {
  const { fs = systemFs, ...limits } = init
  const incoming = join(root, 'incoming')
  // What was arriving when the last run ended is half of something.
  await fs.rm(incoming, { recursive: true, force: true })
  await fs.mkdir(incoming, { recursive: true, mode: DIRECTORY_MODE })
  const found: Array<{ name: string, size: number, mtimeMs: number }> = []
  for (const name of await fs.readdir(root)) if (BLOCK_NAME.test(name)) found.push({ name, ...await sizeAndTime(fs, join(root, name)) })
  found.sort((a, b) => a.mtimeMs - b.mtimeMs)
  const space = await Space.open({ path: root, fs, ...limits }, found.reduce((sum, { size }) => sum + size, 0))
  return new FileBlockStore({ root, incoming, fs, space, now: init.now ?? (() => performance.now()) }, found)
}

async function sizeAndTime (fs: StoreFs, path: string): Promise<{ size: number, mtimeMs: number }> {
  const { size, mtimeMs } = await fs.stat(path)
  return { size, mtimeMs }
}

interface Parts { root: string, incoming: string, fs: StoreFs, space: Space, now: () => number }

class FileBlockStore implements BlockStore {
  readonly #parts: Parts
  /** By hex of the digest, least recently used first; `at` is when it was stored, long ago for those of earlier runs. */
  readonly #index = new Map<string, { size: number, at: number }>()
  /** What is under way with one block's name: its arrival, its removal, one after the other. */
  readonly #busy = new Map<string, Promise<unknown>>()
  #useOf: ((digest: Uint8Array) => BlockUse | undefined) | undefined
  #collecting: Promise<void> = Promise.resolve()

  constructor (parts: Parts, found: Array<{ name: string, size: number }>) {
    this.#parts = parts
    for (const { name, size } of found) this.#index.set(name, { size, at: -Infinity })
  }

  async sink ({ size }: { size?: number } = {}): Promise<BlockSink> {
    const { fs, incoming, space } = this.#parts
    // The whole of it, so that what cannot end does not begin; it is counted as it is written.
    if (size != null && size > 0) {
      await space.take(size, this.#collect)
      space.give(size)
    }
    const path = join(incoming, randomUUID())
    const file = await fs.open(path, 'wx', 0o600).catch(async (error: unknown) => { throw await space.explained(error) })
    return new FileSink(file, path, {
      fs,
      take: bytes => space.take(bytes, this.#collect),
      give: bytes => { space.give(bytes) },
      explained: async error => await space.explained(error),
      settle: async (digest, size, passed) => await this.#settle(path, digest, size, passed)
    })
  }

  async adopt (path: string, digest: Uint8Array, size: number): Promise<StoredBlock> {
    const { fs, space } = this.#parts
    let counted = 0
    try {
      await sync(fs, path, 'r+')
      await space.takeOver(size, this.#collect)
      counted = size
      return await this.#settle(path, digest, size, () => { counted = 0 })
    } catch (error) {
      space.give(counted)
      throw await space.explained(error)
    }
  }

  /** Gives a file whose bytes are durable and counted its name. `passed` is called when its count is the store's: from then on the file is, too. */
  async #settle (path: string, digest: Uint8Array, size: number, passed: () => void): Promise<StoredBlock> {
    const { root, fs, space } = this.#parts
    const name = toString(digest, 'base16')
    const target = join(root, name)
    return await this.#alone(name, async () => {
      await fs.rename(path, target)
      passed()
      const before = this.#index.get(name)
      if (before != null) space.give(before.size)
      this.#index.delete(name)
      this.#index.set(name, { size, at: this.#parts.now() })
      try {
        await sync(fs, root, 'r')
      } catch (error) {
        // A name that may be gone after a crash is no promise. One that was there before was synced then, and others rely on it.
        // Where not even removing works, the file stays and stays counted.
        if (before == null) await this.#remove(name, target).catch(() => {})
        throw error
      }
      return { digest, size, path: target }
    })
  }

  async get (digest: Uint8Array): Promise<StoredBlock | undefined> {
    const { root, fs } = this.#parts
    const name = toString(digest, 'base16')
    const path = join(root, name)
    try {
      const { size } = await fs.stat(path)
      const known = this.#index.get(name)
      if (known != null) {
        this.#index.delete(name)
        this.#index.set(name, known)
      }
      return { digest, size, path }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      // Somebody else removed it.
      if (!this.#busy.has(name)) this.#forget(name)
      return undefined
    }
  }

  async delete (digest: Uint8Array): Promise<void> {
    const name = toString(digest, 'base16')
    await this.#alone(name, async () => { await this.#remove(name, join(this.#parts.root, name)) })
  }

  async sweep (keep: (digest: Uint8Array) => boolean): Promise<number> {
    let removed = 0
    for (const name of await this.#parts.fs.readdir(this.#parts.root)) {
      if (!BLOCK_NAME.test(name)) continue
      const digest = fromString(name, 'base16')
      if (keep(digest)) continue
      await this.delete(digest)
      removed++
    }
    return removed
  }

  async size (): Promise<number> {
    return this.#parts.space.used
  }

  async usage (): Promise<StoreUsage> {
    const { space } = this.#parts
    return { bytes: space.used, blocks: this.#index.size, quotaBytes: space.quotaBytes, reserveBytes: space.reserveBytes, leftBytes: await space.left() }
  }

  beside (bytes: number): StoreFullError | undefined {
    return this.#parts.space.beside(bytes)
  }

  async explained (error: unknown): Promise<unknown> {
    return await this.#parts.space.explained(error)
  }

  protect (useOf: (digest: Uint8Array) => BlockUse | undefined): void {
    this.#useOf = useOf
  }

  /** Only one at a time: two that need room would otherwise each make it. */
  readonly #collect = async (bytes: number): Promise<void> => {
    const collecting = this.#collecting.then(async () => { await this.#collectNow(bytes) })
    this.#collecting = collecting.catch(() => {})
    await collecting
  }

  async #collectNow (bytes: number): Promise<void> {
    if (this.#useOf == null) return
    let freed = 0
    // As it is now: what is used meanwhile moves to the end.
    const candidates = [...this.#index]
    for (const [name, { size, at }] of candidates) {
      if (freed >= bytes) return
      const digest = fromString(name, 'base16')
      const use = this.#useOf(digest)
      if (this.#busy.has(name) || use === 'needed' || (use == null && this.#parts.now() - at < COLLECT_GRACE_MS)) continue
      await this.delete(digest)
      freed += size
    }
  }

  async #remove (name: string, path: string): Promise<void> {
    await this.#parts.fs.rm(path, { force: true })
    this.#forget(name)
  }

  #forget (name: string): void {
    const known = this.#index.get(name)
    if (known == null) return
    this.#index.delete(name)
    this.#parts.space.give(known.size)
  }

  async #alone<T> (name: string, task: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(name) ?? Promise.resolve()
    const done = before.then(task, task)
    this.#busy.set(name, done)
    try {
      return await done
    } finally {
      if (this.#busy.get(name) === done) this.#busy.delete(name)
    }
  }
}

/** Makes a file's bytes, or a folder's names, durable. */
async function sync (fs: StoreFs, path: string, flags: 'r' | 'r+'): Promise<void> {
  const handle = await fs.open(path, flags)
  try {
    await (flags === 'r' ? handle.sync() : handle.datasync())
  } finally {
    await handle.close()
  }
}

interface SinkParts {
  fs: Pick<StoreFs, 'rm'>
  take: (bytes: number) => void | Promise<void>
  give: (bytes: number) => void
  explained: (error: unknown) => Promise<unknown>
  settle: (digest: Uint8Array, size: number, passed: () => void) => Promise<StoredBlock>
}

class FileSink implements BlockSink {
  readonly #file: StoreFile
  readonly #path: string
  readonly #parts: SinkParts
  readonly #hash = createHash('sha256')
  /** Bytes counted for it; at least as many as its file has. */
  #size = 0
  #failed = false
  #ended = false

  constructor (file: StoreFile, path: string, parts: SinkParts) {
    this.#file = file
    this.#path = path
    this.#parts = parts
  }

  async write (chunk: Uint8Array): Promise<void> {
    this.#assertUsable()
    try {
      const room = this.#parts.take(chunk.byteLength)
      if (room != null) await room
      this.#size += chunk.byteLength
      this.#hash.update(chunk)
      let offset = 0
      while (offset < chunk.byteLength) {
        const { bytesWritten } = await this.#file.write(chunk, offset, chunk.byteLength - offset)
        offset += bytesWritten
      }
    } catch (error) {
      // The file may have any part of the chunk, or none: nothing may follow it.
      this.#failed = true
      throw await this.#parts.explained(error)
    }
  }

  async finish (): Promise<StoredBlock> {
    this.#assertUsable()
    this.#ended = true
    let passed = false
    try {
      try {
        await this.#file.datasync()
      } finally {
        await this.#file.close()
      }
      return await this.#parts.settle(this.#hash.digest(), this.#size, () => { passed = true })
    } catch (error) {
      if (!passed) await this.#discard()
      throw await this.#parts.explained(error)
    }
  }

  async abort (): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    // One that cannot even be closed is removed all the same.
    await this.#file.close().catch(() => {})
    await this.#discard()
  }

  #assertUsable (): void {
    if (this.#ended) throw new Error('the sink has ended')
    if (this.#failed) throw new Error('a write of this sink failed before')
  }

  async #discard (): Promise<void> {
    try {
      await this.#parts.fs.rm(this.#path, { force: true })
      this.#parts.give(this.#size)
    } catch {
      // It stays, and stays counted; the incoming folder is emptied when the store is next opened.
    }
  }
}
