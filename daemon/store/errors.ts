/** The data directory cannot be used as it is (permissions, not a directory, damaged). The message says what to do. */
export class DataDirError extends Error {
  static override name = 'DataDirError'
  override readonly name = 'DataDirError'
}

/** Another process has the data directory open. */
export class DataDirLockedError extends Error {
  static override name = 'DataDirLockedError'
  override readonly name = 'DataDirLockedError'
}

/** The data directory was written by a newer version of this program. */
export class DataDirVersionError extends Error {
  static override name = 'DataDirVersionError'
  override readonly name = 'DataDirVersionError'
}

export interface StoreFullInit {
  /** The folder that does not take more. */
  path: string
  /** What stands in the way: the file system itself, the bytes that are to stay free on it, or the store's own quota. */
  limit: 'disk' | 'reserve' | 'quota'
  /** Bytes that were to be written; 0 if that is not known. */
  wantedBytes: number
  /** Bytes that could have been: what the limit leaves; undefined if the file system cannot be asked. */
  freeBytes: number | undefined
}

const HINTS: Record<StoreFullInit['limit'], string> = {
  disk: 'make room on that disk, or move the data directory to another one with WEFT_HOME',
  reserve: 'make room on that disk, move the data directory to another one with WEFT_HOME, or lower store.reserveBytes',
  quota: 'raise store.quotaBytes, or wait until other jobs have ended'
}

/** There is no room for what was to be written. The message is one line that says where, how much is free and what to do. */
export class StoreFullError extends Error {
  static override name = 'StoreFullError'
  override readonly name = 'StoreFullError'
  readonly code = 'store-full'
  readonly path: string
  readonly limit: StoreFullInit['limit']
  readonly wantedBytes: number
  readonly freeBytes: number | undefined
  /** What the user can do. */
  readonly hint: string

  constructor ({ path, limit, wantedBytes, freeBytes }: StoreFullInit, options?: ErrorOptions) {
    const free = freeBytes == null ? 'its free space cannot be read' : `${freeBytes} bytes free${limit === 'reserve' ? ' beyond those kept back' : ''}`
    const what = limit === 'quota' ? `the store in ${path} has used up its quota` : `the disk is full for ${path}`
    super(`${what} (${free}${wantedBytes > 0 ? `, ${wantedBytes} wanted` : ''}): ${HINTS[limit]}`, options)
    this.path = path
    this.limit = limit
    this.wantedBytes = wantedBytes
    this.freeBytes = freeBytes
    this.hint = HINTS[limit]
  }
}

/** Whether a write failed because there was no room, whoever says so: the system, the database (in words), or this store. */
export function saysNoSpace (error: unknown): boolean {
  if (error instanceof StoreFullError) return true
  const { code, message } = (typeof error === 'object' && error != null ? error : {}) as { code?: unknown, message?: unknown }
  return code === 'ENOSPC' || code === 'EDQUOT' || (typeof message === 'string' && /\bENOSPC\b|\bEDQUOT\b|no space left on device|disk quota exceeded/i.test(message))
}
