/** How many bytes the store has, and whether more may come: before the disk is full, not when it is. */
import { QUOTA_SHARE, RESERVE_BYTES_MAX, RESERVE_BYTES_MIN, RESERVE_SHARE, SPACE_REFRESH_BYTES, SPACE_REFRESH_MS, SPACE_REFRESH_SHARE } from './constants.ts'
import { saysNoSpace, StoreFullError } from './errors.ts'
import type { StoreFs } from './store-fs.ts'

export interface SpaceInit {
  path: string
  /** The folder errors name. @default path */
  told?: string
  fs: Pick<StoreFs, 'statfs'>
  /** Bytes the store may have. @default QUOTA_SHARE of what is free, beyond those it has */
  quotaBytes?: number
  /** Bytes of the file system that stay free. @default RESERVE_SHARE of its size, from RESERVE_BYTES_MIN to RESERVE_BYTES_MAX */
  reserveBytes?: number
  /** Monotonic milliseconds. */
  now?: () => number
}

/** Gives up blocks nobody needs, so that this many bytes become free; as many as it can. */
type Collect = (bytes: number) => Promise<void>

export class Space {
  readonly quotaBytes: number
  readonly reserveBytes: number
  readonly #init: SpaceInit
  readonly #now: () => number
  #used: number
  /** As the file system said when it was last asked, less what was taken since. */
  #free: number
  #takenSince = 0
  #askedAt: number
  #asking: Promise<void> | undefined

  /** @param used - bytes the store has already */
  static async open (init: SpaceInit, used: number): Promise<Space> {
    const { bavail, bsize, blocks } = await init.fs.statfs(init.path)
    return new Space(init, used, bavail * bsize, blocks * bsize)
  }

  private constructor (init: SpaceInit, used: number, free: number, total: number) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
    this.#used = used
    this.#free = free
    this.#askedAt = this.#now()
    this.quotaBytes = init.quotaBytes ?? used + Math.floor(free * QUOTA_SHARE)
    this.reserveBytes = init.reserveBytes ?? Math.max(RESERVE_BYTES_MIN, Math.min(RESERVE_BYTES_MAX, Math.floor(total * RESERVE_SHARE)))
  }

  get #told (): string {
    return this.#init.told ?? this.#init.path
  }

  /** Bytes in the store, those that are just arriving included. */
  get used (): number {
    return this.#used
  }

  /** Counts bytes that are about to be written; a promise only where the file system has to be asked or room made. Throws StoreFullError. */
  take (bytes: number, collect: Collect): void | Promise<void> {
    if (this.#fits(bytes) && this.#fresh(bytes)) {
      this.#count(bytes)
      return
    }
    return this.#takeSlowly(bytes, collect)
  }

  /**
   * Counts bytes that others of this node are about to write on the disk beside the store, or says why they should not: by what was last known, so that
   * nobody has to wait; where that is old the disk is asked meanwhile.
   */
  beside (bytes: number): StoreFullError | undefined {
    if (!this.#fresh(bytes)) void this.#refresh()
    // What was known long ago refuses nobody: room may have been made since. The answer comes before much is written.
    const current = this.#now() - this.#askedAt <= SPACE_REFRESH_MS
    if (current && bytes > this.#free - this.reserveBytes) return this.#tooFull(bytes)
    this.#free -= bytes
    this.#takenSince += bytes
    return undefined
  }

  /** Counts bytes that are no more. */
  give (bytes: number): void {
    this.#used -= bytes
    this.#free += bytes
  }

  /** Counts bytes of a file that is on the same file system already, so that only the quota matters. Throws StoreFullError. */
  async takeOver (bytes: number, collect: Collect): Promise<void> {
    if (this.#used + bytes > this.quotaBytes) await collect(this.#used + bytes - this.quotaBytes)
    if (this.#used + bytes > this.quotaBytes) throw this.#overQuota(bytes)
    this.#used += bytes
  }

  /** Bytes that may still come, by quota and disk. */
  async left (): Promise<number> {
    await this.#ask()
    return Math.max(0, Math.min(this.quotaBytes - this.#used, this.#free - this.reserveBytes))
  }

  /** An error as it is told: a full disk in words that say where, how much is free and what to do. */
  async explained (error: unknown, wantedBytes = 0): Promise<unknown> {
    if (error instanceof StoreFullError || !saysNoSpace(error)) return error
    await this.#ask().catch(() => { this.#free = 0 })
    return new StoreFullError({ path: this.#told, limit: 'disk', wantedBytes, freeBytes: Math.max(0, this.#free) }, { cause: error })
  }

  async #takeSlowly (bytes: number, collect: Collect): Promise<void> {
    if (!this.#fresh(bytes) || !this.#fits(bytes)) await this.#ask()
    if (!this.#fits(bytes)) {
      await collect(Math.max(this.#used + bytes - this.quotaBytes, bytes + this.reserveBytes - this.#free))
      await this.#ask()
    }
    if (this.#used + bytes > this.quotaBytes) throw this.#overQuota(bytes)
    if (bytes > this.#free - this.reserveBytes) throw this.#tooFull(bytes)
    this.#count(bytes)
  }

  #tooFull (wantedBytes: number): StoreFullError {
    const disk = wantedBytes > this.#free
    return new StoreFullError({ path: this.#told, limit: disk ? 'disk' : 'reserve', wantedBytes, freeBytes: Math.max(0, disk ? this.#free : this.#free - this.reserveBytes) })
  }

  #overQuota (wantedBytes: number): StoreFullError {
    return new StoreFullError({ path: this.#told, limit: 'quota', wantedBytes, freeBytes: Math.max(0, this.quotaBytes - this.#used) })
  }

  #count (bytes: number): void {
    this.#used += bytes
    this.#free -= bytes
    this.#takenSince += bytes
  }

  #fits (bytes: number): boolean {
    return this.#used + bytes <= this.quotaBytes && bytes <= this.#free - this.reserveBytes
  }

  #fresh (bytes: number): boolean {
    return this.#takenSince + bytes <= Math.min(SPACE_REFRESH_BYTES, this.#free * SPACE_REFRESH_SHARE) && this.#now() - this.#askedAt <= SPACE_REFRESH_MS
  }

  /** Never rejects: who needs the answer asks and hears why there is none. */
  async #refresh (): Promise<void> {
    this.#asking ??= this.#ask().catch(() => {}).finally(() => { this.#asking = undefined })
    await this.#asking
  }

  async #ask (): Promise<void> {
    const { bavail, bsize } = await this.#init.fs.statfs(this.#init.path)
    this.#free = bavail * bsize
    this.#takenSince = 0
    this.#askedAt = this.#now()
  }
}
