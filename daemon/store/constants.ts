/** Version of the data directory's layout. A newer one is refused; an older one is migrated. */
export const DATA_DIR_VERSION = 1

/** Folders and files of a node belong to its user alone. */
export const DIRECTORY_MODE = 0o700
export const SECRET_MODE = 0o600

/** Most entries of one journal commit: bounds the memory of a batch and how long its callers wait (a batch of 4,096 small entries takes some 10 ms). */
export const COMMIT_ENTRIES_MAX = 4096

/** Most bytes of one journal commit; small results ride in entries of up to 64 KiB. */
export const COMMIT_BYTES_MAX = 8 * 1024 * 1024

/** Entries waiting for a commit, at most; more means a caller ignores the journal's pace, so appending fails loudly. */
export const JOURNAL_QUEUE_MAX = 1_000_000
