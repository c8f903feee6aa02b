/** Nodes of one test network: each is a process of about 0.1 GB. */
export const NODES_MAX = 64

export const NODES_DEFAULT = 5

/** Milliseconds for one daemon to be ready; it takes about a second where nothing else runs. */
export const READY_MS = 60_000

/** Milliseconds more for every node until each sees all others. */
export const SEEN_MS_PER_NODE = 10_000

/** Milliseconds between two looks. */
export const LOOK_MS = 50

/** Milliseconds between two looks at what every node sees: N requests each. */
export const SEEN_LOOK_MS = 100

/** Milliseconds a daemon has for a drain when the network goes down, before it is told to stop at once. */
export const DOWN_DRAIN_MS = 1000

/** Milliseconds after which a daemon that does not stop is killed. */
export const DOWN_KILL_MS = 5000

/** Milliseconds `stop NAME` waits: a daemon drains for up to a minute. */
export const STOP_NODE_MS = 90_000

/** Milliseconds a signal of death takes to show. */
export const KILLED_MS = 10_000

/** Milliseconds the state file is waited for while another command writes it: longer than a change of links may take to be applied. */
export const LOCK_MS = 30_000

/** Milliseconds a running daemon has to obey a changed table of links; it takes a few where nothing else runs. */
export const LINKS_APPLIED_MS = 10_000

/** Lines of a daemon's log that are shown when it does not start. */
export const LOG_LINES = 5

/** Milliseconds between two looks whether a daemon ended by itself. */
export const WATCH_MS = 1000
