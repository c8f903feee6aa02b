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

/** Share of what is free on the file system when the store is opened that its blocks may take by default: the other half is for outputs, scratch files and others. */
export const QUOTA_SHARE = 0.5

/**
 * Bytes of the file system that are left free by default: this share of its size, within the bounds. The journal needs some to record how jobs end, and the
 * database as much as its log has (4 MiB and one commit at most) to be opened again.
 */
export const RESERVE_SHARE = 0.02
export const RESERVE_BYTES_MIN = 16 * 1024 * 1024
export const RESERVE_BYTES_MAX = 256 * 1024 * 1024

/** The file system is asked for its free space again after so many bytes of ours, that share of what was free, or milliseconds: others write there, too. Asking takes some 20 µs. */
export const SPACE_REFRESH_BYTES = 8 * 1024 * 1024
export const SPACE_REFRESH_SHARE = 1 / 16
export const SPACE_REFRESH_MS = 1000

/** Milliseconds in which a block that was just stored, and of which nobody spoke yet, is not collected: who asked for it is about to say that it is needed. */
export const COLLECT_GRACE_MS = 60_000

/** Bytes beyond those of its log that a database needs to be opened: its tables' index, a new log, a new list of tables. */
export const REOPEN_BYTES = 128 * 1024

/** Least milliseconds between two trial writes after the database failed; whether there is space at all is looked at each time. */
export const TRIAL_INTERVAL_MS = 250

/** Milliseconds a database that must be opened anew waits for those who are reading it; who takes longer has to begin again. */
export const READERS_WAIT_MS = 1000
