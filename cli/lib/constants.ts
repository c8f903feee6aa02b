/** Milliseconds for an answer of the local daemon that needs no waiting. */
export const REQUEST_MS = 30_000

/** Milliseconds a long poll is waited for: the daemon ends it after a minute; also for what a doctor may take. */
export const POLL_MS = 90_000

/** Milliseconds between two plain progress lines. */
export const PROGRESS_LINE_MS = 1000

/** Milliseconds over which the rate is averaged: long enough to be calm, short enough to show a lost worker. */
export const RATE_WINDOW_MS = 5000

/** Milliseconds `stop` waits for a daemon to be gone; a drain may have to finish blocks of others first. */
export const STOP_WAIT_MS = 120_000

/** Milliseconds between two looks at whether a process is gone. */
export const STOP_LOOK_MS = 50

/** Milliseconds a draining node may take to finish and hand back its work before it stops anyway. */
export const DRAIN_MS = 60_000

/** Milliseconds of these that are left for telling others what is handed back. */
export const DRAIN_DELIVER_MS = 5_000

/** Seconds that blocks of others may still run after `weft drain`, where no deadline is given. */
export const DRAIN_DEADLINE_SECONDS = 300

/** The most that may be given, in seconds: what `POST /drain` takes, a day. */
export const DRAIN_DEADLINE_SECONDS_MAX = 86_400

/** Milliseconds between two looks at whether a drain is done. */
export const DRAIN_LOOK_MS = 100

/** Milliseconds between two lines that say what a drain waits for. */
export const DRAIN_TELL_MS = 5000

/** Files one folder or pattern may stand for: more is taken for a mistake. */
export const INPUTS_MAX = 10_000

/** Characters kept of an event stream that has no end of event yet; the daemon's events are below a few thousand. */
export const EVENT_CHARS_MAX = 1 << 20

/** Milliseconds for which a command waits for a node that is just starting in the same data directory. */
export const ATTACH_WAIT_MS = 10_000

/** Milliseconds between two looks for it. */
export const ATTACH_LOOK_MS = 50

/** Milliseconds between two drawings of the progress bar: smooth enough, and nothing for the daemon to wait for. */
export const PROGRESS_DRAW_MS = 100

/** Characters of the bar. */
export const BAR_WIDTH = 24

/** Files looked at at the same time before a command of many begins. */
export const LOOKS_AT_ONCE = 64

/** Jobs of one command at the same time: a small file leaves the processors idle while it is described and synced. */
export const JOBS_AT_ONCE = 8

/** Milliseconds between two plain lines about a command of many outputs. */
export const SEVERAL_LINE_MS = 5000

/** Bytes of a file of column types (`--set schema=FILE`): what the daemon takes as one setting. */
export const SCHEMA_BYTES_MAX = 4 * 1024 * 1024

/** Ports `init` and `join` choose from: above the well-known ones, below those that systems give to outgoing connections. */
export const PORT_MIN = 10_000
export const PORT_MAX = 32_000

/** Characters of a table where no terminal says how many it has. */
export const TABLE_WIDTH = 100

/** News of workers within so many milliseconds, at most; the same about the same worker once. */
export const NEWS_WINDOW_MS = 10_000
export const NEWS_MAX = 12

/** Milliseconds between two looks at a job that is watched, and at one that does not move. */
export const LOOK_MS = 1000

/** Milliseconds without a finished block after which is asked why; where blocks only take their time, that is said after the second. */
export const QUIET_MS = 3000
export const QUIET_WORKING_MS = 10_000

/** Milliseconds between two lines that say the same of a job that does not move. */
export const WAITING_AGAIN_MS = 60_000

/** Lines below the bar of a job that is watched: more than that nobody reads while they change. */
export const LIVE_LINES_MAX = 16

/** Blocks that `jobs show --blocks` lists unless told otherwise. */
export const BLOCKS_SHOWN = 50
