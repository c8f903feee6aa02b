/** Bytes read from an input at a time while splitting: reads of this size run at the disk's speed. */
export const READ_BYTES = 4 << 20

/** Bytes of a sha2-256 digest: the output of `probe/noop` and `probe/sleep`. */
export const DIGEST_BYTES = 32

/** Milliseconds between two progress reports of a declared duration. */
export const PROGRESS_MS = 100

/** Milliseconds a block may be declared to last: an hour, above every wall-clock limit of an attempt. */
export const SLEEP_MS_MAX = 3_600_000

export const OCTETS = 'application/octet-stream'
export const NOOP = 'application/x-weft-noop'
export const SLEEP = 'application/x-weft-sleep'
export const COPY = 'application/x-weft-copy'
export const FAULT = 'application/x-weft-fault'
