/** Limits and times of the executor. Every one has a unit and a reason. */

/** Tasks waiting for a slot; at one to two seconds a block this is a quarter of an hour of work, more belongs elsewhere. */
export const QUEUE_MAX = 1024

/** Resident bytes of one engine process, unless half the machine's memory divided by the slots is less. */
export const MEMORY_BYTES_DEFAULT = 2 * 2 ** 30

/** Resident bytes of one engine process, at least: Node with a table engine loaded takes 110 MB before any data. */
export const MEMORY_BYTES_MIN = 384 * 2 ** 20

/** Resident bytes of a process with its engine loaded and no data: not to be given to the engine as its budget. */
export const ENGINE_BASE_BYTES = 160 * 2 ** 20

/** Share of what remains that an engine is told to stay under: allocators hold more than an engine counts. */
export const ENGINE_MEMORY_SHARE = 0.8

/** Bytes of memory an engine is told to stay under, at least: the table engine needs some tens of MB per thread. */
export const ENGINE_MEMORY_MIN = 64 * 2 ** 20

/**
 * Bytes RLIMIT_DATA lies above the limit of resident memory. It counts what is reserved writable, used or not: Node
 * shows 575 MB of it at rest, 840 MB at the end of a sort that has 256 MB resident (measured with Node 24 and DuckDB
 * 1.5). It is the limit behind the watchdog, for an allocation faster than it looks.
 */
export const DATA_HEADROOM_BYTES = 2 ** 30

/** Milliseconds without progress before an engine counts as hung: far above any pause seen, far below a deadline. */
export const STALL_MS_DEFAULT = 30_000

/** Milliseconds for a whole attempt: 300 times the one to two seconds a block is cut for. */
export const WALL_MS_DEFAULT = 600_000

/** Bytes of one output: a block of 64 MiB that inflates a hundredfold still fits. */
export const OUTPUT_BYTES_DEFAULT = 8 * 2 ** 30

/** Milliseconds an idle engine process is kept: a job's next block comes sooner, and a warm start saves 0.2 s. */
export const IDLE_MS_DEFAULT = 30_000

/** Milliseconds for a process to start and say it is ready: 0.1–0.3 s at rest, this allows for a saturated machine. */
export const START_TIMEOUT_MS = 20_000

/** Milliseconds between two looks of the watchdog at memory, output and progress: 5 GB/s of growth overshoots 0.5 GB. */
export const WATCH_MS = 100

/** Milliseconds a cancelled task may take to end by itself; longer costs the slot more than a new process does. */
export const CANCEL_GRACE_MS = 250

/** Milliseconds between two progress messages of an engine. */
export const PROGRESS_MS = 100

/**
 * Milliseconds over which an engine's CPU time is looked at where the converter itself cannot report progress, unless
 * a third of the stall limit is less.
 */
export const CPU_WINDOW_MS = 1000

/**
 * Share of one core over that window that counts as progress. A process that waits for nothing but its own timer uses
 * 0.3 %; an engine that does any work, even on a machine it shares with 20 others, uses more than this.
 */
export const CPU_PROGRESS_SHARE = 0.02

/** Bytes of one message between daemon and engine process: parameters of 512 KiB and inline bytes, twice over. */
export const FRAME_BYTES_MAX = 2 << 20

/** Bytes of input or output that travel in a message; anything larger is a file. */
export const INLINE_BYTES_MAX = 256 << 10

/** Bytes kept of what a process wrote to its standard output and error, the newest: enough for its last words. */
export const LAST_WORDS_BYTES = 4096

/** Characters of an error message that crosses from an engine: they end up on other people's terminals. */
export const MESSAGE_CHARACTERS_MAX = 2000

/** Open files of one engine process: inputs, outputs, spill files; far below what would starve the machine. */
export const OPEN_FILES_MAX = 1024

/** Tasks after which a process is replaced: bounds what leaks and fragments in a native engine. */
export const TASKS_PER_PROCESS_MAX = 500

/** Share of the memory limit an idle process may keep; above it, it is replaced, or the next block would pay for this one. */
export const IDLE_MEMORY_SHARE = 0.5

/** File descriptor of the channel between daemon and engine process. */
export const CHANNEL_FD = 3

/** Where a sandboxed process finds its folder: says nothing of the machine. */
export const SANDBOX_FOLDER = '/block'

/** Name of the input and the output in a process's folder. */
export const INPUT_NAME = 'input'
export const OUTPUT_NAME = 'output'

/** Folders of processes and workspaces belong to their user alone. */
export const FOLDER_MODE = 0o700

/** Milliseconds between two looks at the machine: a user who comes back waits no longer than this and BUSY_WINDOW_MS; a look costs about 1 ms. */
export const SAMPLE_MS = 2_000

/** Share of the cores other programs may use before work for others stops, where policy.idleOnly is set. BOINC stops at the same 25 %. */
export const BUSY_SHARE = 0.25

/** Milliseconds that share is taken over: a page that loads is no user at work. */
export const BUSY_WINDOW_MS = 6_000

/** Share of the cores below which others must stay before the work goes on: well below BUSY_SHARE, so that it does not flap. */
export const FREE_SHARE = 0.1

/** Milliseconds they must stay below it: a user who reads for half a minute is not gone. */
export const FREE_WINDOW_MS = 30_000

/** How far engines stand back behind other processes where policy.cpuShare or policy.idleOnly is set: a tenth of the time of a rival of niceness 0. */
export const NICENESS = 10
