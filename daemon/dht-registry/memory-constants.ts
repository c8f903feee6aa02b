/** Limits of what is written for the next start beside those in constants.ts, each with its unit and its reason. */

/**
 * Milliseconds between two writes of remembered adverts: what came meanwhile is one write, of several adverts of one peer only the last. What a crash
 * loses of it the network tells again.
 */
export const MEMORY_WRITE_INTERVAL_MS = 30_000

/**
 * Part of the memory kept for the peers known longest, connected or not; in the rest those connected come first. So neither a crowd that comes now
 * nor one that came before everybody else has all of it.
 */
export const MEMORY_LONGEST_PART = 0.5
