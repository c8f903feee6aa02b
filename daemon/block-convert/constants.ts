/** Limits of block-convert: each with its unit and the reason for its value. */

/** Bytes looked at to tell a file's type: enough for any magic number and some lines of text. */
export const SNIFF_BYTES = 64 * 1024

/** Bytes per read when a block is streamed out of its input: fewer system calls than 64 KiB, small beside a block. */
export const READ_CHUNK_BYTES = 1024 * 1024

/** Bytes a RecipeReader reads ahead, so that thousands of tiny neighbouring blocks cost one system call, not one each. */
export const READ_AHEAD_BYTES = 256 * 1024

/** Ranges above this are read straight into their own buffer instead of through the read-ahead (bytes). */
export const READ_AHEAD_RANGE_MAX = 64 * 1024

/** Inputs one reader keeps open: neighbouring blocks mostly share one, and a process may open some thousand files in all. */
export const OPEN_INPUTS_MAX = 64

/** Recipes per batch from the splitting thread: amortises the thread hop to well under a microsecond per recipe. */
export const SPLIT_BATCH_RECIPES = 512

/** Source bytes per batch: large blocks are handed over after at most this much scanning (bytes). */
export const SPLIT_BATCH_BYTES = 8 * 1024 * 1024

/** Batches the splitting thread may be ahead of its consumer: it never waits, and holds at most this many. */
export const SPLIT_BATCHES_AHEAD = 3

/** Worker threads for short tasks (describe, prepare, materialise, inspect, distance). */
export const TOOLBOX_THREADS = 2

/** Short tasks waiting for a thread; above it the toolbox refuses (a caller that outruns it is at fault). */
export const TOOLBOX_QUEUE_MAX = 65536

/** Threads for sessions of one kind (splits, outputs); each serves several sessions in turns. */
export const SESSION_THREADS_MAX = 4

/** Sessions sharing a thread. With SESSION_THREADS_MAX: splits, and outputs, that may be open at once. */
export const SESSIONS_PER_THREAD = 16

/** Milliseconds an idle thread is kept: long enough between two jobs in a row, short enough to give memory back. */
export const THREAD_IDLE_MS = 10_000

/**
 * MiB of each thread's young generation. Comparing makes values by the million that die at once; left alone V8 lets their space grow to three
 * times this and more, in every thread: 500 MB of CSV took a daemon to 620 MB of memory so, and to 365 MB with this limit (single runs).
 */
export const THREAD_YOUNG_HEAP_MB = 12

/** Bytes per write of a merged output: merging yields small pieces (headers, lines), the disk wants large ones. */
export const OUTPUT_BUFFER_BYTES = 1024 * 1024

/** Files of an output that is a folder which are open at once: neighbouring blocks mostly write to the same ones. */
export const OPEN_OUTPUTS_MAX = 64

/** Random bytes in the name of a partial output: no two runs meet. */
export const PARTIAL_NAME_BYTES = 6

/** Blocks up to this many bytes are compared from memory; larger ones from a file in the scratch folder (bytes). */
export const COMPARE_IN_MEMORY_BYTES = 8 * 1024 * 1024

/** Bytes of the final name kept in a partial output's name: file systems allow 255 bytes in all. */
export const PARTIAL_PREFIX_BYTES = 180
