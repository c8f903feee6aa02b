/** Limits of the libp2p host and of `hello`, each with its unit and its reason. */
const KIB = 1024
const MIB = 1024 * KIB
const SECOND = 1000

// --- hello -------------------------------------------------------------------------------------------------------------

/** Version of the `hello` messages. A peer of another major version is refused. */
export const HELLO_VERSION = 1

/** Bytes of one hello message: a delegation of 350 bytes, a few names and a nonce. */
export const HELLO_BYTES_MAX = 4 * KIB

/** Milliseconds from the opening of a connection until both sides passed hello: some round trips on a loaded machine. */
export const HELLO_TIMEOUT_MS = 10 * SECOND

/** Bytes of a hello's nonce: a private network's proof is computed over both. */
export const HELLO_NONCE_BYTES = 32

/** Characters of a network's name: it is part of every protocol id. */
export const NETWORK_NAME_CHARS_MAX = 64

/** Characters of the agent string, of one role and of a refusal's reason; roles of a node. */
export const AGENT_CHARS_MAX = 128
export const ROLE_CHARS_MAX = 32
export const REASON_CHARS_MAX = 256
export const ROLES_MAX = 16

/** Hello streams at once per connection and direction: one is right, the second is refused with a reason. */
export const HELLO_STREAMS_MAX = 2

/**
 * Bytes a peer may send on a connection before it passed hello, libp2p's own protocols included (they need about 10 KiB):
 * what a stranger can make this node hold.
 */
export const BYTES_BEFORE_HELLO_MAX = 256 * KIB

// --- connections -------------------------------------------------------------------------------------------------------

/** Connections in all. With the stream limits below: what a node of this size can serve. */
export const CONNECTIONS_MAX = 128

/**
 * Inbound connections of one peer: two that were dialled at once from both ends, and those being replaced. Without it one
 * peer could take all of CONNECTIONS_MAX.
 */
export const PEER_CONNECTIONS_MAX = 8

/** Inbound connections per second and host: test networks of many nodes share one host (libp2p's default is 5). */
export const INBOUND_PER_SECOND_AND_HOST = 50

/** Inbound connections being upgraded at once (libp2p's default of 10 fails when a network starts on one host). */
export const INBOUND_PENDING_MAX = 64

/** Dials at once, dials waiting, and addresses tried per peer. */
export const DIALS_PARALLEL_MAX = 16
export const DIAL_QUEUE_MAX = 256
export const PEER_ADDRESSES_MAX = 16

/** Milliseconds for one dial in all and for one address of it. */
export const DIAL_TIMEOUT_MS = 10 * SECOND
export const ADDRESS_DIAL_TIMEOUT_MS = 5 * SECOND

/** Milliseconds for an upgrade, and for negotiating one stream's protocol: a loaded machine needs more than one second. */
export const UPGRADE_TIMEOUT_MS = 10 * SECOND
export const NEGOTIATION_TIMEOUT_MS = 10 * SECOND

/**
 * How often an idle connection is probed, and how long an answer may take, milliseconds. Only to let go of connections
 * into a black hole; a lease has its own heartbeat. Long, because a main loop may be blocked for seconds.
 */
export const MONITOR_INTERVAL_MS = 15 * SECOND
export const MONITOR_TIMEOUT_MS = 20 * SECOND

/**
 * Ping streams at once per connection and direction. The connection monitor and the DHT share the protocol; with libp2p's
 * single slot one is refused and the monitor then closes a healthy connection.
 */
export const PING_STREAMS_MAX = 8

// --- streams -----------------------------------------------------------------------------------------------------------

/** Streams per connection and direction: a lease, its tasks, adverts, DHT queries. */
export const STREAMS_MAX = 64

/** Bytes a sender may have under way per stream, at first and at most. Both ends must use the same first window. */
export const STREAM_WINDOW_INITIAL_BYTES = 4 * MIB
export const STREAM_WINDOW_MAX_BYTES = 16 * MIB

/** Bytes received and not yet taken by a reader per stream; beyond, the stream is reset. */
export const STREAM_READ_BUFFER_MAX_BYTES = 4 * MIB

/**
 * Bytes queued and not yet sent per stream; beyond, the stream is reset. Senders pause at 4 MiB, so only a sender that
 * does not wait gets here.
 */
export const STREAM_WRITE_BUFFER_MAX_BYTES = 8 * MIB

/** Streams of a connection that may wait for its hello to end, all protocols together. */
export const STREAMS_BEFORE_HELLO_MAX = 16

// --- DHT ---------------------------------------------------------------------------------------------------------------

/** Replicas per record and parallel queries: measured 4 to 8 times faster in small networks than Kademlia's 20 and 10. */
export const DHT_REPLICAS = 8
export const DHT_PARALLEL = 3
export const DHT_DISJOINT_PATHS = 1

/** Milliseconds until the first query for oneself, which lets a new node be found. */
export const DHT_FIRST_SELF_QUERY_MS = 50

/** DHT streams at once per connection and direction. */
export const DHT_STREAMS_MAX = 16

/** Bytes of one DHT message: a record and the addresses of some peers. */
export const DHT_MESSAGE_BYTES_MAX = 64 * KIB

/** Provider records stored for others, in all and per provider: 512 edges of one node, and 128 such nodes. */
export const PROVIDER_RECORDS_MAX = 65_536
export const PROVIDER_RECORDS_PER_PEER_MAX = 512

/** Value records stored for others: at 2 KiB each, 16 MiB on disk. */
export const VALUE_RECORDS_MAX = 8192

/** Milliseconds after which a stored value record is old enough to go when there is no room: adverts hold for one hour. */
export const VALUE_RECORD_OLD_MS = 2 * 60 * 60 * SECOND

// --- joining -----------------------------------------------------------------------------------------------------------

/** Milliseconds between dials of a bootstrap address that does not answer: at first and at most (doubling, with jitter). */
export const BOOTSTRAP_RETRY_MIN_MS = 250
export const BOOTSTRAP_RETRY_MAX_MS = 30 * SECOND

/** Milliseconds a dial without an address waits for the first DHT peer, which may know one. */
export const JOIN_TIMEOUT_MS = 3 * SECOND

/** Bootstrap addresses in all: each keeps one dial loop. */
export const BOOTSTRAP_ADDRESSES_MAX = 64

/** Milliseconds for closing a connection in good order before it is cut. */
export const CLOSE_TIMEOUT_MS = 1 * SECOND

/** Members remembered, and addresses of each: enough to find a network of which most are gone. */
export const NEIGHBOURS_MAX = 64
export const NEIGHBOUR_ADDRESSES_MAX = 8

/** Members connected up to which remembered ones are dialled: with these, the DHT finds the rest. */
export const NEIGHBOURS_WANTED = 3

/** Remembered members dialled at once. */
export const NEIGHBOUR_DIALS_MAX = 4

/** Milliseconds between two rounds of dialling: soon after a loss, seldom in a network that is gone. */
export const NEIGHBOUR_PAUSE_MIN_MS = 500
export const NEIGHBOUR_PAUSE_MAX_MS = 30_000

/** Milliseconds between two questions to the local network who is there. Members answer at once. */
export const MDNS_INTERVAL_MS = 10_000
