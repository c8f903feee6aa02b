/** Limits of prices and of their gossip, each with its unit and its reason. */
const KIB = 1024
const SECOND = 1000

/** Signature domain of a bulletin: it never serves as an advert, nor the other way round. */
export const BULLETIN_DOMAIN = 'weft/bulletin/1'

/** Bytes of a sealed bulletin: some 330 are usual, the rest is for long names. What gossip carries at most. */
export const BULLETIN_BYTES_MAX = 4 * KIB

/**
 * Milliseconds a bulletin holds: the longest interval there is (SHARD_PUBLISHERS_MAX publishers, 51 s) with its jitter, and half as much again. Much
 * shorter than an advert, since a load is old after a minute.
 */
export const BULLETIN_VALIDITY_MS = 90 * SECOND

/** Characters of a name in a bulletin, and digits of an amount. */
export const NAME_CHARS_MAX = 256
export const AMOUNT_DIGITS_MAX = 30

/** Converter families one node publishes on, and characters of a family's name. */
export const FAMILIES_MAX = 16
export const FAMILY_CHARS_MAX = 32

/** Topics of prices subscribed to at once: each brings up to PUBLISHERS_PER_SECOND bulletins per second. */
export const SUBSCRIPTIONS_MAX = 4

/** Milliseconds between two bulletins of a node that did not change, at least; and bulletins per second that all publishers of a topic add up to. */
export const PUBLISH_INTERVAL_MIN_MS = 10 * SECOND
export const PUBLISHERS_PER_SECOND = 5

/**
 * Milliseconds by which sequences are reserved on disk ahead of the clock: one write a minute. Well below what clocks may differ by, so that a bulletin
 * after a crash is not taken for one dated ahead.
 */
export const SEQUENCE_RESERVED_MS = 60 * SECOND

/** Part of the interval that chance adds or takes: publishers that started together drift apart. */
export const PUBLISH_JITTER = 0.2

/** Milliseconds until a bulletin that nobody listened to is told again, doubling up to the interval: neighbours that just came take a moment to subscribe. */
export const UNHEARD_RETRY_MS = 500

/** Bulletins at once because something changed, and milliseconds until there may be one more: prices change by the minute, not by the job. */
export const CHANGE_BURST = 4
export const CHANGE_REFILL_MS = 5 * SECOND

/**
 * Publishers of one topic: beyond, those of a family are spread over shards. With 256 the interval is 51 s, within BULLETIN_VALIDITY_MS.
 */
export const SHARD_PUBLISHERS_MAX = 256

/** Publishers heard before their number is believed: below, they fit one topic anyhow. */
export const SHARD_SAMPLE_MIN = 64

/** Halvings at most: 65,536 shards of a family. */
export const SHARD_DEPTH_MAX = 16

/** Publishers of one topic remembered to estimate how many there are: twice what a topic should have. */
export const AUDIENCE_MAX = 2 * SHARD_PUBLISHERS_MAX

/**
 * Signatures checked per second, whatever the size of the network and whoever sends: what four topics bring at PUBLISHERS_PER_SECOND each. One
 * delivery costs 1 to 2 ms of CPU with all that is around it, so this is 2 to 4 % of a core at the very most; 20 publishers bring 2 per second. What
 * is dropped before costs some 50 microseconds and is bounded by the network.
 */
export const VERIFICATIONS_PER_SECOND_MAX = 20

/** Signatures checked at once after a quiet time: everybody in a small network changes its price at the same moment. */
export const VERIFICATIONS_BURST = 100

/** Part of the budget kept for equal shares of the neighbours; the rest is for whoever comes first. */
export const VERIFICATIONS_SHARED = 0.5

/** Neighbours with a share of their own, and milliseconds of silence after which one has none. */
export const NEIGHBOURS_MAX = 128
export const NEIGHBOUR_IDLE_MS = 60 * SECOND

/**
 * Publishers whose newest sequence is remembered until their bulletin expires. VERIFICATIONS_PER_SECOND_MAX over the longest life of a bulletin dated
 * ahead (390 s) are 7,800: who is forgotten protects nothing any more.
 */
export const PUBLISHERS_KNOWN_MAX = 8192
