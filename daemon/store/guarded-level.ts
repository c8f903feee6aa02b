/**
 * The database, mended in place after a write failed.
 *
 * LevelDB 1.20 goes on appending to a log in which a failed write left half a record. What follows is reported as durable, and is dropped when the log is
 * next read: of 148 trials in which a small disk filled up, 132 lost synced entries that way. So after any failed write, of whomever, nothing more is
 * written until the database was closed and opened again, which reads the log up to the torn record and begins a new one. It is tried when somebody
 * wants to write: first whether there is room for what opening takes, then a trial write. Readers wait meanwhile; sub-levels and other handles stay valid.
 *
 * Writes go one after the other, so that none can follow a failed one before that is known. (LevelDB has one writer at a time anyway.)
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Level } from 'level'
import { READERS_WAIT_MS, REOPEN_BYTES, TRIAL_INTERVAL_MS } from './constants.ts'
import { saysNoSpace, StoreFullError } from './errors.ts'

interface NativeIterator { _close: () => Promise<void>, close: () => Promise<void> }

/** What implementations of abstract-level override, and its types leave out. */
interface Native {
  _open: (options: object) => Promise<void>
  _close: () => Promise<void>
  _put: (key: unknown, value: unknown, options: object) => Promise<void>
  _del: (key: unknown, options: object) => Promise<void>
  _batch: (operations: unknown[], options: object) => Promise<void>
  _clear: (options: object) => Promise<void>
  _get: (key: unknown, options: object) => Promise<unknown>
  _getMany: (keys: unknown[], options: object) => Promise<unknown[]>
  _has: (key: unknown, options: object) => Promise<boolean>
  _hasMany: (keys: unknown[], options: object) => Promise<boolean[]>
  _getSync: (key: unknown, options: object) => unknown
  _iterator: (options: object) => NativeIterator
}

const native = Level.prototype as unknown as Native

export interface GuardedLevelInit {
  createIfMissing: boolean
  /** Told of what happens to it. @default nobody */
  log?: { warn: (fields: object, message: string) => void, info: (fields: object, message: string) => void }
}

/** Keys are text, values bytes. */
export class GuardedLevel extends Level<string, Uint8Array> {
  readonly #folder: string
  readonly #init: GuardedLevelInit
  #options: object = {}
  /** Writes and mending, one after the other. */
  #tail: Promise<unknown> = Promise.resolve()
  /** Why nothing may be written before it is opened anew. */
  #failure: unknown
  /** Being opened anew: readers wait for it. */
  #mending: Promise<void> | undefined
  /** Closed underneath, because opening it again failed. */
  #down = false
  #triedAt = -Infinity
  readonly #iterators = new Set<NativeIterator>()
  readonly #reads = new Set<Promise<unknown>>()
  #idle: (() => void) | undefined

  /** @param folder - of the data directory; the database is its folder `db` */
  constructor (folder: string, init: GuardedLevelInit) {
    super(join(folder, 'db'), { keyEncoding: 'utf8', valueEncoding: 'view', createIfMissing: init.createIfMissing })
    this.#folder = folder
    this.#init = init
  }

  /** Whether a write failed and nothing was written since. */
  get broken (): boolean {
    return this.#failure != null
  }

  /** Resolves when iterators can be had: at once, unless it is just being mended. Rejects where that failed. */
  async usable (): Promise<void> {
    while (this.#mending != null) await this.#mending.catch(() => {})
    if (this.#down) await this.#serially(async () => { await this.#mend() })
  }

  async _open (options: object): Promise<void> {
    this.#options = options
    await native._open.call(this, options)
    this.#down = false
    this.#failure = undefined
  }

  async _close (): Promise<void> {
    await this.#tail
    if (!this.#down) await native._close.call(this)
  }

  async _put (key: unknown, value: unknown, options: object): Promise<void> {
    await this.#write(async () => { await native._put.call(this, key, value, options) })
  }

  async _del (key: unknown, options: object): Promise<void> {
    await this.#write(async () => { await native._del.call(this, key, options) })
  }

  async _batch (operations: unknown[], options: object): Promise<void> {
    await this.#write(async () => { await native._batch.call(this, operations, options) })
  }

  async _clear (options: object): Promise<void> {
    await this.#write(async () => { await native._clear.call(this, options) })
  }

  async _get (key: unknown, options: object): Promise<unknown> {
    return await this.#read(async () => await native._get.call(this, key, options))
  }

  async _getMany (keys: unknown[], options: object): Promise<unknown[]> {
    return await this.#read(async () => await native._getMany.call(this, keys, options))
  }

  async _has (key: unknown, options: object): Promise<boolean> {
    return await this.#read(async () => await native._has.call(this, key, options))
  }

  async _hasMany (keys: unknown[], options: object): Promise<boolean[]> {
    return await this.#read(async () => await native._hasMany.call(this, keys, options))
  }

  _getSync (key: unknown, options: object): unknown {
    this.#assertUp()
    return native._getSync.call(this, key, options)
  }

  /** Cannot wait: see `usable`. */
  _iterator (options: object): NativeIterator {
    this.#assertUp()
    const iterator = native._iterator.call(this, options)
    const close = iterator._close
    this.#iterators.add(iterator)
    iterator._close = async () => {
      await close.call(iterator)
      this.#iterators.delete(iterator)
      this.#tellIfIdle()
    }
    return iterator
  }

  _chainedBatch (): never {
    throw new TypeError('chained batches pass the guard by: use batch([...])')
  }

  #assertUp (): void {
    if (this.#mending != null || this.#down) throw new Error('the database is being opened anew after a failed write: try again', { cause: this.#failure })
  }

  async #read<T> (read: () => Promise<T>): Promise<T> {
    if (this.#mending != null || this.#down) await this.usable()
    const reading = read()
    this.#reads.add(reading)
    try {
      return await reading
    } finally {
      this.#reads.delete(reading)
    }
  }

  async #write (write: () => Promise<void>): Promise<void> {
    await this.#serially(async () => {
      if (this.#failure != null) await this.#mend()
      try {
        await write()
      } catch (error) {
        this.#failure = await this.#explained(error)
        this.#init.log?.warn({ error: this.#failure }, 'a write to the database failed; it is opened anew before the next one')
        throw this.#failure
      }
    })
  }

  async #serially (task: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(task)
    this.#tail = done.catch(() => {})
    await done
  }

  /** Opens it anew if the disk takes writes again; otherwise throws what is wrong. Only within `#serially`. */
  async #mend (): Promise<void> {
    if (this.#failure == null) return
    await this.#try()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#mending = promise
    try {
      if (!this.#down) {
        await this.#readersGone()
        await native._close.call(this)
        this.#down = true
      }
      await native._open.call(this, { ...this.#options, createIfMissing: false })
      this.#down = false
      this.#failure = undefined
      this.#init.log?.info({}, 'the database was opened anew and takes writes again')
    } catch (error) {
      this.#failure = await this.#explained(error)
      throw this.#failure
    } finally {
      this.#mending = undefined
      resolve()
    }
  }

  /** Room for what opening needs (its log once more as a table), and a trial write of as much. */
  async #try (): Promise<void> {
    const wanted = await this.#bytesToOpen()
    const { bavail, bsize } = await statfs(this.#folder)
    if (bavail * bsize < wanted) throw this.#tooFull(bavail * bsize)
    const now = performance.now()
    if (now - this.#triedAt < TRIAL_INTERVAL_MS) throw this.#failure
    this.#triedAt = now
    const path = join(this.#folder, `trial-${randomUUID()}`)
    try {
      const file = await open(path, 'wx', 0o600)
      try {
        await file.writeFile(Buffer.alloc(wanted))
        await file.datasync()
      } finally {
        await file.close()
      }
    } catch (error) {
      this.#failure = await this.#explained(error)
      throw this.#failure
    } finally {
      await rm(path, { force: true })
    }
  }

  async #bytesToOpen (): Promise<number> {
    const folder = join(this.#folder, 'db')
    await mkdir(folder, { recursive: true })
    const logs = (await readdir(folder)).filter(name => name.endsWith('.log'))
    const sizes = await Promise.all(logs.map(async name => (await stat(join(folder, name))).size))
    return REOPEN_BYTES + sizes.reduce((sum, size) => sum + size, 0)
  }

  /** Who is reading may end; whose iterator is still open then begins again. */
  async #readersGone (): Promise<void> {
    if (this.#iterators.size > 0) {
      const ending = new AbortController()
      await Promise.race([
        new Promise<void>(resolve => { this.#idle = resolve }),
        delay(READERS_WAIT_MS, undefined, { signal: ending.signal }).catch(() => {})
      ])
      ending.abort()
      this.#idle = undefined
    }
    await Promise.all([...this.#iterators].map(async iterator => { await iterator.close() }))
    await Promise.allSettled(this.#reads)
  }

  #tellIfIdle (): void {
    if (this.#iterators.size === 0) this.#idle?.()
  }

  async #explained (error: unknown): Promise<unknown> {
    if (error instanceof StoreFullError || !saysNoSpace(error)) return error
    const free = await statfs(this.#folder).then(({ bavail, bsize }) => bavail * bsize, () => undefined)
    return this.#tooFull(free, error)
  }

  #tooFull (freeBytes: number | undefined, cause?: unknown): StoreFullError {
    return new StoreFullError({ path: this.#folder, limit: 'disk', wantedBytes: 0, freeBytes }, { cause: cause ?? this.#failure })
  }
}
