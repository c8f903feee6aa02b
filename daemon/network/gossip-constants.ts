/** Limits of gossip that outlast connections, each with its unit and its reason. The others are in constants.ts. */

/**
 * Peers whose buckets are kept, connected or not: as many as misdeeds are remembered of, so that reconnecting renews neither. Of those not connected
 * the one gone for longest goes first.
 */
export const GOSSIP_QUOTA_PEERS_MAX = 1024

/**
 * Milliseconds a peer has to stay connected to be settled, and part of what is taken from all that is kept for the settled. A share is reckoned by who
 * is connected now: without this, many who take turns would each bring a burst, and together leave nothing to those that stay.
 */
export const GOSSIP_SETTLED_MS = 60_000
export const GOSSIP_SETTLED_PART = 0.5

/**
 * Misdeeds that a message out of its time counts: replaying old ones costs nothing. A member whose clock is wrong publishes four of them in ten seconds
 * at most here (GOSSIP_TOPICS_MAX), and keeps below GOSSIP_MISDEEDS_TOLERATED.
 */
export const GOSSIP_MISDEED_UNTIMELY = 0.05
