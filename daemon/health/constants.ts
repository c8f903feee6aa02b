/** Times and limits of the failure detector and the beacon. Every one has a unit and a reason. */

/** A range a limit moves in, in milliseconds: never below `floorMs`, never above `ceilingMs`, whatever was measured. */
export interface Band { readonly floorMs: number, readonly ceilingMs: number }
export interface SilenceLimits { readonly suspect: Band, readonly dead: Band }

/** Milliseconds between lease beats, both ways, unless a grant says otherwise. */
export const HEARTBEAT_MS = 500

/** Milliseconds between beacons: four fit into the least silence that is suspicious, so single lost or late ones mean nothing. */
export const BEACON_MS = 200

/**
 * Silence of a peer with a working beacon. Suspect: four beacons at least; at most 1.3 s, so that a second copy runs within 1.5 s. A thread
 * of its own was measured at most 12 ms late beside four busy processes. Dead: at most 2.8 s, so that blocks move within 3 s; at least 2.4 s,
 * because a hedge runs since long by then, and being early is worth less than being right.
 */
export const BEACON_LIMITS: SilenceLimits = { suspect: { floorMs: 800, ceilingMs: 1300 }, dead: { floorMs: 2400, ceilingMs: 2800 } }

/**
 * Silence of a peer without a beacon (UDP is blocked, or it is off), for beats every HEARTBEAT_MS. Beats from a loop blocked for 2 s were
 * measured up to 1.9 s late: the least limit of suspicion is above that, that of death twice what an overloaded but living peer shows.
 */
export const LEASE_LIMITS: SilenceLimits = { suspect: { floorMs: 2000, ceilingMs: 3000 }, dead: { floorMs: 5000, ceilingMs: 8000 } }

/** Milliseconds: the slowest beat a peer may make us accept; limits grow with the interval, and a peer must not stretch them at will. */
export const HEARTBEAT_MS_MAX = 1000

/** Milliseconds by which bytes on the streams outlive the last beacon before its silence is no evidence any more (the UDP path broke, not the peer). */
export const BEACON_LOST_MS = 2000

/** Milliseconds after a lease began within which a beacon should have come; until one does, lease beats are judged, and this is when we say so. */
export const BEACON_WAIT_MS = 3000

/**
 * Milliseconds a peer's main loop may stand still, while its beacon comes, before it is suspect: above the 2 s that a busy but sound loop was
 * seen to block.
 */
export const STALL_SUSPECT_MS = 3000

/** Milliseconds without a byte on the lease, though beacon and main loop are at work: only the stream is stuck. Several retransmissions of TCP fit. */
export const STREAM_SUSPECT_MS = 5000

/**
 * Milliseconds without a byte on the streams after which a peer is dead although its beacon comes: its loop hangs, or its stream does. Ten times
 * what makes it suspect: its blocks have second copies meanwhile, and a loop that only was busy comes back with results.
 */
export const STREAM_DEAD_MS = 30_000

/** Milliseconds a peer must have been suspect, seen by us, before it is dead: no single look after a pause of our own can kill. */
export const CONFIRM_MS = 500

/** Milliseconds after which to look again at a suspect, or while only our own lateness keeps a verdict back. */
export const LOOK_MS = 100

/** Suspicion levels (phi = -log10 of the chance that a living peer is silent so long): one wrong suspicion in 10^8 gaps, and far beyond. */
export const PHI_SUSPECT = 8
export const PHI_DEAD = 16

/** Gaps between arrivals that are remembered: 13 s of beacons, 32 s of lease beats. Long enough for a tail, short enough to follow a change. */
export const GAPS_MAX = 64

/** Gaps before they are believed; until then the ceilings hold. */
export const GAPS_MIN = 8

/** Part of the gaps that counts as the tail (the longest quarter). */
export const TAIL_SHARE = 0.25

/** Milliseconds: least scale of the tail. Beacons on an idle machine differ by far less, which says nothing about a busy one. */
export const TAIL_SCALE_MS_MIN = 10

/** Each refuted suspicion stretches a peer's limits by this part of them, up to WIDEN_MAX times the limits. */
export const WIDEN_STEP = 0.25
export const WIDEN_MAX = 2

/** Milliseconds after which one refuted suspicion is forgotten. */
export const REFUTATION_MS = 60_000

/** Own health score at most (0 = sound), and the part of every limit that one point adds: limits stretch up to three times. */
export const LOCAL_HEALTH_MAX = 4
export const LOCAL_HEALTH_STEP = 0.5
export const LOCAL_HEALTH_FACTOR_MAX = 1 + LOCAL_HEALTH_MAX * LOCAL_HEALTH_STEP

/** Milliseconds by which an own timer is late before it counts against our own health: a busy machine's 100 ms are normal. */
export const LATE_MS = 250

/** Milliseconds between two changes of the own score: one cause makes many timers late at once, and they count once. */
export const LOCAL_HEALTH_MS = 1000

/** Milliseconds between two samples of the own event loop's lateness: fine against the limits above, free to measure. */
export const LOOP_SAMPLE_MS = 100

/**
 * Milliseconds a lateness of the own loop is remembered. As long as the least silence that kills: a peer heard just before our loop
 * stood still gets the whole limit again once it runs, and no accusation is put off for longer.
 */
export const LOOP_WINDOW_MS = LEASE_LIMITS.dead.floorMs

/** Milliseconds between two counts of the main loop's progress: a beacon always carries a new one. */
export const PROGRESS_MS = BEACON_MS / 2

/** Leases with a beacon at a time; further ones are judged by their beats. 1,024 cost about 5,000 packets a second each way. */
export const BEACON_LEASES_MAX = 1024

/** Packets per second from a lease's address whose authentication is checked: eight times what an honest peer sends. */
export const BEACON_PACKETS_PER_SECOND = 40

/** The same for all other addresses together, per lease: a peer whose address changed is heard within a second; a stranger who knows the id costs ten digests. */
export const STRANGE_PACKETS_PER_SECOND = 10

/** Beacons remembered between two looks: 13 s, far more than the longest time between looks. */
export const BEACON_RING = 64

/** Milliseconds without a lease after which the beacon's thread is ended: a resting daemon pays nothing. */
export const BEACON_IDLE_MS = 30_000

/** Milliseconds before a beacon thread that failed is started again, doubling up to the second. */
export const BEACON_RESTART_MS = 1000
export const BEACON_RESTART_MS_MAX = 60_000

/** Megabytes of the beacon thread's heap (old, young) and stack: it holds a map of leases and makes little garbage. */
export const BEACON_HEAP_MB = 16
export const BEACON_YOUNG_HEAP_MB = 1
export const BEACON_STACK_MB = 1
