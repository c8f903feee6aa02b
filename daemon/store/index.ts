/**
 * What a node keeps on disk: the data directory (lock, format version, 0600 secrets), one level database with named
 * sub-levels, and the content-addressed block store.
 *
 * @example
 * ```ts
 * await using dir = await openDataDir('/home/me/.local/share/weft')
 * const sink = await dir.blocks.sink()
 * await sink.write(chunk)
 * const block = await sink.finish()     // { digest, size, path }; fsynced and renamed to its content's name
 * ```
 */
import type { Level } from 'level'
import type { StoreFullError } from './errors.ts'

/** A stored block: small ones are kept by the journal as bytes, large ones are files here. */
export interface StoredBlock {
  /** sha2-256, 32 bytes. */
  digest: Uint8Array
  size: number
  path: string
}

/** Takes one block's bytes as they arrive; hashes on the way. Exactly one of `finish` and `abort` ends it. */
export interface BlockSink {
  /** Resolves when the bytes may be reused and the next chunk may come. */
  write: (chunk: Uint8Array) => Promise<void>
  /** fdatasync, rename to the content's name. Idempotent for content already present. */
  finish: () => Promise<StoredBlock>
  /** Removes what was written. Never throws. */
  abort: () => Promise<void>
}

/** What bounds the block store. */
export interface StoreLimits {
  /** Bytes its blocks may have together. @default what it has plus half of what is free when it is opened (QUOTA_SHARE) */
  quotaBytes?: number
  /** Bytes of the file system that it leaves free. @default 2 % of its size, from 16 to 256 MiB (RESERVE_SHARE, RESERVE_BYTES_MIN and _MAX) */
  reserveBytes?: number
}

export type BlockUse = 'needed' | 'spare'

export interface StoreUsage {
  /** Of blocks, those still arriving included. */
  bytes: number
  blocks: number
  quotaBytes: number
  reserveBytes: number
  /** What may still come, by quota and by disk. */
  leftBytes: number
}

export interface BlockStore {
  /**
   * `size` is what will come, where that is known: what cannot end is refused before it begins.
   *
   * @throws StoreFullError, as do the writes and `finish`
   */
  sink: (options?: { size?: number }) => Promise<BlockSink>
  /** Takes over a finished file on the same file system by rename; `digest` was computed by the caller. @throws StoreFullError; the file is left then */
  adopt: (path: string, digest: Uint8Array, size: number) => Promise<StoredBlock>
  /** undefined if it is not there. */
  get: (digest: Uint8Array) => Promise<StoredBlock | undefined>
  /** Never throws if it is not there. */
  delete: (digest: Uint8Array) => Promise<void>
  /** Removes every block that nothing refers to any more; gives how many. Only while nobody stores blocks. */
  sweep: (keep: (digest: Uint8Array) => boolean) => Promise<number>
  /** Bytes in the store, those still arriving included. */
  size: () => Promise<number>
  usage: () => Promise<StoreUsage>
  /** Counts bytes that are about to be written on the same disk beside the store, or says why they should not: they would come out of the reserve. */
  beside: (bytes: number) => StoreFullError | undefined
  /** An error as it is told to a user: of a full disk, one line that says where, how much is free and what to do; any other as it is. */
  explained: (error: unknown) => Promise<unknown>
  /**
   * Says who needs a block: `needed` by somebody who could not do without it; `spare`, kept for somebody who could; undefined if nobody spoke of it yet.
   * Until it is called nothing is ever collected. Afterwards, where room is wanted, what is not needed goes, what was used longest ago first; but nothing
   * nobody spoke of within COLLECT_GRACE_MS of its being stored.
   */
  protect: (useOf: (digest: Uint8Array) => BlockUse | undefined) => void
}

/**
 * An append-only log with adaptive group commit: at once when idle, gathered while a commit is under way. A commit that fails takes with it all that
 * waits; whatever is appended after that is tried anew, so that a disk that has room again needs no restart.
 */
export interface Journal {
  /** Queues an entry (copied); resolves once it is durable. Entries of one call order stay in order. */
  append: (key: Uint8Array | string, value: Uint8Array) => Promise<void>
  /**
   * The hot path, for results: the same without a promise per entry. `done` is called, in order, once durable. Before the disk is full it is refused with a
   * StoreFullError (told out of turn, as it was never taken), so that there is room for what `append` has to record.
   */
  appendThen: (key: Uint8Array | string, value: Uint8Array, done: (error?: Error) => void) => void
  /** Deletes by exact key, in the same group commit. */
  remove: (key: string) => Promise<void>
  /** Entries whose key starts with a prefix, in key order. */
  entries: (prefix: string) => AsyncIterable<[string, Uint8Array]>
  /** Commits and their entries, commits that failed, and milliseconds of the slowest so far. */
  stats: () => { commits: number, entries: number, slowestMs: number, failures: number }
  close: () => Promise<void>
}

export interface DataDir extends AsyncDisposable {
  path: string
  /** Scratch space on the same file system; emptied at open. */
  scratch: string
  db: Level<string, Uint8Array>
  blocks: BlockStore
  /** A journal over one sub-level of `db`. */
  journal: (name: string) => Journal
  /** Writes a 0600 file in the directory atomically. */
  writeSecret: (name: string, data: Uint8Array | string) => Promise<void>
  /** undefined if it is not there. */
  readFile: (name: string) => Promise<Uint8Array | undefined>
  removeFile: (name: string) => Promise<void>
  close: () => Promise<void>
}

/** A data directory that is looked at while no daemon uses it; nothing can be changed through it. */
export interface DataDirInspection extends AsyncDisposable {
  /** Entries of a journal, as `Journal.entries`; keys are those they were written with. */
  entries: (journal: string, prefix: string) => AsyncIterable<[string, Uint8Array]>
  /** Stored blocks, by the hex of the digest each should have; their bytes are not looked at. */
  blocks: () => Promise<Array<{ digest: string, path: string }>>
  /** Files a run that was killed left half-written: the next start removes them. */
  leftovers: () => Promise<Array<{ path: string, bytes: number }>>
  close: () => Promise<void>
}

export { openDataDir } from './data-dir.ts'
export { inspectDataDir } from './inspect.ts'
export { DataDirLockedError, DataDirVersionError, DataDirError, StoreFullError, saysNoSpace } from './errors.ts'
