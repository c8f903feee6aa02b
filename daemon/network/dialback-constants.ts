/** Limits of `dialback/1.0.0`, each with its unit and its reason. */
const SECOND = 1000

/** Bytes of one message: DIALBACK_ASKED_MAX addresses with an outcome and a reason each. */
export const DIALBACK_BYTES_MAX = 8 * 1024

/** Addresses in one request, and characters of one: a machine with many interfaces has a dozen. */
export const DIALBACK_ASKED_MAX = 16
export const DIALBACK_ADDRESS_CHARS_MAX = 128

/** Addresses of one request that are really dialled: a node listens on one or two ports per address. */
export const DIALBACK_DIALLED_MAX = 4

/** Characters of a reason. */
export const DIALBACK_REASON_CHARS_MAX = 160

/** Milliseconds for one address, from the connection's opening until a node answered there: what answers later is of no use to a dialler either. */
export const DIALBACK_DIAL_MS = 3 * SECOND

/** Milliseconds for the whole exchange, a dial of each side included. */
export const DIALBACK_TIMEOUT_MS = 8 * SECOND

/** Connections this node opens for others at once, all requests together; beyond, it says that it is busy. */
export const DIALBACK_SOCKETS_MAX = 16

/**
 * Requests per minute of one peer and of all together. A user runs the doctor a few times in a row; whoever wants to have ports tried one after
 * the other gets DIALBACK_DIALLED_MAX of them per request, on its own IP address only.
 */
export const DIALBACK_PER_PEER_AND_MINUTE = 6
export const DIALBACK_PER_MINUTE = 60

/** Streams at once per connection and direction. */
export const DIALBACK_STREAMS_MAX = 2
