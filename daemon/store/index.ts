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

export interface BlockStore {
  sink: () => Promise<BlockSink>
  /** Takes over a finished file on the same file system by rename; `digest` was computed by the caller. */
  adopt: (path: string, digest: Uint8Array, size: number) => Promise<StoredBlock>
  /** undefined if it is not there. */
  get: (digest: Uint8Array) => Promise<StoredBlock | undefined>
  /** Never throws if it is not there. */
  delete: (digest: Uint8Array) => Promise<void>
  /** Removes every block that nothing refers to any more; gives how many. Only while nobody stores blocks. */
  sweep: (keep: (digest: Uint8Array) => boolean) => Promise<number>
  /** Bytes in the store. */
  size: () => Promise<number>
}

/** An append-only log with adaptive group commit: at once when idle, gathered while a commit is under way. */
export interface Journal {
  /** Queues an entry (copied); resolves once it is durable. Entries of one call order stay in order. */
  append: (key: Uint8Array | string, value: Uint8Array) => Promise<void>
  /** The hot path: the same without a promise per entry. `done` is called, in order, once durable. */
  appendThen: (key: Uint8Array | string, value: Uint8Array, done: (error?: Error) => void) => void
  /** Deletes by exact key, in the same group commit. */
  remove: (key: string) => Promise<void>
  /** Entries whose key starts with a prefix, in key order. */
  entries: (prefix: string) => AsyncIterable<[string, Uint8Array]>
  /** Commits, entries, and milliseconds of the slowest commit so far. */
  stats: () => { commits: number, entries: number, slowestMs: number }
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
  close: () => Promise<void>
}

export { openDataDir } from './data-dir.ts'
export { inspectDataDir } from './inspect.ts'
export { DataDirLockedError, DataDirVersionError, DataDirError } from './errors.ts'
