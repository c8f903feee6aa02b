/** Milliseconds between beats, both ways: eight fit into the suspicion limit, so single lost or late ones mean nothing. */
export const HEARTBEAT_MS = 500

/**
 * Milliseconds of silence after which a peer is suspect: four missed beats. Lower hedges earlier and more often for
 * nothing; a garbage collection or a busy core delays beats by up to about a second.
 */
export const SUSPECT_AFTER_MS = 4 * HEARTBEAT_MS

/**
 * Milliseconds of silence after which a peer is dead and its blocks are given to others: ten missed beats. Beats from a
 * loop blocked for 2 s were measured up to 1.9 s late, so this is twice what an overloaded but living peer shows.
 */
export const DEAD_AFTER_MS = 10 * HEARTBEAT_MS

/** Milliseconds between two samples of the own event loop's lateness: fine against the limits above, free to measure. */
export const LOOP_SAMPLE_MS = 100

/**
 * Milliseconds a lateness of the own loop is remembered. As long as the longest silence that is judged: a peer heard
 * just before our loop stood still gets the whole limit again once it runs, and no accusation is put off for longer.
 */
export const LOOP_WINDOW_MS = DEAD_AFTER_MS
