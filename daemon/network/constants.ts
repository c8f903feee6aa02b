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

/** Milliseconds a refused peer has to read why before its connection is closed: a round trip around the world, on a loaded machine. */
export const REFUSAL_HEARD_MS = 500

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
export const PEER_CONNECTIONS_MAX = 4

/** Inbound connections per second and host: test networks of many nodes share one host (libp2p's default is 5). */
export const INBOUND_PER_SECOND_AND_HOST = 50

/** Inbound connections being upgraded at once (libp2p's default of 10 fails when a network starts on one host); above STRANGERS_MAX, which makes room. */
export const INBOUND_PENDING_MAX = 96

/** Dials at once, dials waiting, and addresses tried per peer. */
export const DIALS_PARALLEL_MAX = 16
export const DIAL_QUEUE_MAX = 256
export const PEER_ADDRESSES_MAX = 16

/** Peers in the peer store that are not connected; at 16 addresses each about 1 KiB. Beyond, the one not heard of for longest goes. */
export const PEERS_STORED_MAX = 4096

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
export const PROBE_INTERVAL_MS = 15 * SECOND
export const PROBE_TIMEOUT_MS = 20 * SECOND

/**
 * Ping streams at once per connection and direction. The probe and the DHT share the protocol; with libp2p's
 * single slot one is refused and the monitor then closes a healthy connection.
 */
export const PING_STREAMS_MAX = 8

/** Bytes of one ping stream: 128 echoes of 32 bytes. Ours has three; libp2p's handler keeps what it has not echoed yet without bound. */
export const PING_BYTES_MAX = 4 * KIB

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

/** Bytes of one answer of the DHT: a record, or DHT_PROVIDERS_TOLD_MAX providers, and the addresses of some peers. */
export const DHT_MESSAGE_BYTES_MAX = 64 * KIB

/** Bytes of one request: a key with a record of 2 KiB, or with one provider and its addresses. */
export const DHT_REQUEST_BYTES_MAX = 8 * KIB

/**
 * Bytes of requests a peer may send per second, and at once; a request counts as at least DHT_REQUEST_COST_MIN. Who announces 512 conversions sends
 * about 256 KiB to each of its nearest, within some seconds. Beyond, the stream is reset: what waits to be dealt with stays below the burst. Peers remembered for it.
 */
export const DHT_BYTES_PER_SECOND_AND_PEER = 128 * KIB
export const DHT_BYTES_BURST = 512 * KIB
export const DHT_REQUEST_COST_MIN = 256
export const DHT_BUDGETS_MAX = 1024

/** Peers closer to a key taken from one answer: DHT_REPLICAS, the peer asked for and the one that answers. */
export const DHT_CLOSER_MAX = DHT_REPLICAS + 2

/** Providers of a key in one answer, and bytes of addresses of each peer in it: with ids and lengths, at most DHT_MESSAGE_BYTES_MAX. */
export const DHT_PROVIDERS_TOLD_MAX = 256
export const DHT_PEER_ADDRESS_BYTES_MAX = 160

/** Provider records stored for others, in all and per provider: 512 edges of one node, and 128 such nodes. */
export const PROVIDER_RECORDS_MAX = 65_536
export const PROVIDER_RECORDS_PER_PEER_MAX = 512

/** Milliseconds a provider record is told: providers announce again every 20 minutes, and what is stale makes a key look full (kad-dht's own is 48 hours). */
export const PROVIDER_VALIDITY_MS = 2 * 60 * 60 * SECOND

/** Value records stored for others: at 2 KiB each, 16 MiB on disk. Beyond, what its own peer did not bring goes first, and the farthest key of that. */
export const VALUE_RECORDS_MAX = 8192

/** Milliseconds after which a stored value record is old enough to go when there is no room: adverts hold for one hour. */
export const VALUE_RECORD_OLD_MS = 2 * 60 * 60 * SECOND

// --- joining -----------------------------------------------------------------------------------------------------------

/** Milliseconds between dials of a bootstrap address that does not answer: at first and at most (doubling, with jitter). */
export const BOOTSTRAP_RETRY_MIN_MS = 250
export const BOOTSTRAP_RETRY_MAX_MS = 30 * SECOND

/** Milliseconds a dial without an address waits for the first DHT peer, which may know one. */
export const JOIN_TIMEOUT_MS = 3 * SECOND

/** Times the DHT is asked where a member is that just joined, and milliseconds before the second time (then twice that). */
export const LOOKUP_TRIES = 3
export const LOOKUP_PAUSE_MS = 250

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

// --- gossip ------------------------------------------------------------------------------------------------------------

/** Topics subscribed to at once, by this node and counted for each neighbour: prices and health of two families. */
export const GOSSIP_TOPICS_MAX = 4

/** Characters of a topic with its prefix `/weft/<network>/`. */
export const GOSSIP_TOPIC_CHARS_MAX = 160

/** What gossipsub charges for one subscription of a neighbour beside its characters (its constant), bytes. */
const GOSSIP_TOPIC_ENTRY_BYTES = 1024

/** Bytes charged for the subscriptions of one neighbour: fits GOSSIP_TOPICS_MAX of the longest and no more of the shortest. */
export const GOSSIP_TOPIC_BYTES_PER_PEER = GOSSIP_TOPICS_MAX * (GOSSIP_TOPIC_CHARS_MAX + GOSSIP_TOPIC_ENTRY_BYTES)

/** Bytes of one message: a signed price or health report. */
export const GOSSIP_MESSAGE_BYTES_MAX = 4 * KIB

/** Messages asked for at once, and so sent in one frame in answer. */
export const GOSSIP_WANTED_MAX = 16

/** Message ids announced to a neighbour per topic and heartbeat: three seconds of what GOSSIP_MESSAGES_PER_SECOND_AND_PEER allows. */
export const GOSSIP_ANNOUNCED_MAX = 192

/**
 * Bytes of one frame: GOSSIP_WANTED_MAX messages of the largest size with what announces others. gossipsub answers a request for messages in one
 * frame and forgets a neighbour whose frame is too long, so a limit of one message would make honest neighbours deaf.
 */
export const GOSSIP_FRAME_BYTES_MAX = 128 * KIB

/** Subscriptions, messages and control entries of one frame. */
export const GOSSIP_FRAME_ENTRIES_MAX = 32

/** Bytes a neighbour may send per second, and at once; a frame counts as at least GOSSIP_FRAME_COST_MIN. Beyond, its stream is reset. */
export const GOSSIP_BYTES_PER_SECOND_AND_PEER = 128 * KIB
export const GOSSIP_BYTES_BURST = 1 * MIB
export const GOSSIP_FRAME_COST_MIN = 128

/**
 * New messages taken per second, from one neighbour and from all, and how many seconds' worth at once. Neighbours share what is taken from
 * all alike, so that many who flood together still leave the others their share. gossipsub keeps about 600 bytes for each message for two
 * minutes: 40 MB at worst.
 */
export const GOSSIP_MESSAGES_PER_SECOND_AND_PEER = 64
export const GOSSIP_MESSAGES_PER_SECOND = 512
export const GOSSIP_BURST_SECONDS = 4

/** Messages waiting for `judge`, of one neighbour and of all: at 4 KiB each, 1 MiB. */
export const GOSSIP_PENDING_PER_PEER_MAX = 64
export const GOSSIP_PENDING_MAX = 256

/** Gossip streams at once per connection and direction: one, and one that replaces it. */
export const GOSSIP_STREAMS_MAX = 2

/** Bytes queued for a neighbour that does not read; beyond, the stream is reset. */
export const GOSSIP_OUTBOUND_BYTES_MAX = 1 * MIB

/**
 * Own messages kept for neighbours that subscribe, or whose stream opens, a moment after they were published; and for how many milliseconds.
 */
export const GOSSIP_RECENT_MAX = 16
export const GOSSIP_RECENT_MS = 10 * SECOND

/** Milliseconds between two heartbeats: what a neighbour missed is announced to it within one. */
export const GOSSIP_HEARTBEAT_MS = 1 * SECOND

/** Milliseconds for opening a gossip stream. */
export const GOSSIP_OPEN_TIMEOUT_MS = 5 * SECOND

/** Milliseconds between looks for members without a gossip stream, and at most between two tries with one that refuses. */
export const GOSSIP_REPAIR_MS = 2 * SECOND
export const GOSSIP_REPAIR_MAX_MS = 300 * SECOND

/**
 * Misdeeds: a rejected or malformed message counts one, a message beyond the limits a tenth, a reset stream three. They halve every
 * GOSSIP_MISDEEDS_HALF_LIFE_MS. Up to GOSSIP_MISDEEDS_TOLERATED cost nothing; at GOSSIP_MISDEEDS_MAX nothing is taken from that peer.
 */
export const GOSSIP_MISDEED_REJECTED = 1
export const GOSSIP_MISDEED_FLOOD = 0.1
export const GOSSIP_MISDEED_RESET = 3
export const GOSSIP_MISDEEDS_HALF_LIFE_MS = 60 * SECOND
export const GOSSIP_MISDEEDS_TOLERATED = 2
export const GOSSIP_MISDEEDS_MAX = 12

/** Peers whose misdeeds are remembered, connected or not: reconnecting does not clear them. */
export const GOSSIP_MISDEEDS_PEERS_MAX = 1024

// --- addresses, dials, inbound connections -----------------------------------------------------------------------------

/** Inbound connections in all: CONNECTIONS_MAX without 16 kept for what this node dials. */
export const INBOUND_MAX = CONNECTIONS_MAX - 16

/** Inbound connections that have not passed hello, in all. Each can make this node hold BYTES_BEFORE_HELLO_MAX: 20 MiB. */
export const STRANGERS_MAX = 80

/** Inbound connections from which on places are scarce, and the members of one address group have a limit in an open network. */
export const PLACES_SCARCE = 0.75 * INBOUND_MAX

/** Inbound connections that idle members yield to newcomers when all places are taken, so that hello can end in spite of other newcomers. */
export const NEWCOMER_PLACES = 8

/**
 * Inbound connections each member keeps before all others when places are needed: one, and one that replaces it. What it has beyond goes first.
 */
export const PEER_CONNECTIONS_KEPT = 2

/**
 * Milliseconds a member has from hello on, to learn of other members, before it yields to a newcomer of a group as large as its own. Who had to
 * go dials again at once: without this, two for one place would take it from each other without end.
 */
export const MEMBER_STAY_MS = 10 * SECOND

/** Names of this network's protocols whose streams are short or always there: a connection with no others is idle. */
export const IDLE_PROTOCOLS = ['hello', 'kad', 'meshsub', 'advert', 'dialback']

/** Inbound connections of one IPv4 /24 or IPv6 /56 while places are scarce, and at any time those of them that have not passed hello. */
export const GROUP_CONNECTIONS_MAX = 32
export const GROUP_STRANGERS_MAX = 16

/** Inbound connections from loopback, private and link-local addresses together: a laboratory, or a test network on one host. */
export const LOCAL_CONNECTIONS_MAX = INBOUND_MAX

/** Peers of one public address group in the DHT's routing table of an open network, of which 20 buckets hold up to 160. */
export const ROUTING_GROUP_MAX = 4

/**
 * Milliseconds an address that did not answer is not dialled again on somebody's word: at first, and at most (doubling). Less for one that
 * answered before: its node may only be restarting.
 */
export const REDIAL_MIN_MS = 1 * SECOND
export const REDIAL_MAX_MS = 300 * SECOND
export const REDIAL_GOOD_MAX_MS = 4 * SECOND

/** Milliseconds after such a pause by which one failure less is counted. */
export const REDIAL_FORGIVEN_MS = 60 * SECOND

/** Milliseconds the addresses of this machine's interfaces are taken as they were. Looking takes under a millisecond. */
export const HOME_REFRESH_MS = 5 * SECOND

/** Private networks beside those of the interfaces in which members were reached: beyond, the first goes. */
export const MET_SUBNETS_MAX = 64

/** Addresses remembered as not answering, and as having answered: 100 bytes each. */
export const ADDRESSES_FAILED_MAX = 4096
export const ADDRESSES_GOOD_MAX = 1024

/** Milliseconds to look up a name that somebody said to dial. */
export const NAME_LOOKUP_TIMEOUT_MS = 2 * SECOND

/** Bans kept, and entries of each configured list. */
export const BANS_MAX = 1024
export const ACCESS_LIST_MAX = 1024

// --- round trips -------------------------------------------------------------------------------------------------------

/** libp2p's ping, and the bytes of one. */
export const PING = '/ipfs/ping/1.0.0'
export const PING_BYTES = 32

/** Echoes of one measurement, of which the least counts, and measurements of which the least counts. */
export const RTT_ECHOES = 3
export const RTT_SAMPLES_MAX = 5

/** Milliseconds between two measurements of a member, and for one. */
export const RTT_INTERVAL_MS = 60 * SECOND
export const RTT_TIMEOUT_MS = 5 * SECOND

/** Members measured at once: more would disturb one another's measurement. */
export const RTT_MEASURED_AT_ONCE_MAX = 4

// --- finding more of the network ------------------------------------------------------------------------------------

/** Peers in the routing table up to which each newcomer is a reason to look for more: enough for every key to have its replicas. */
export const MESH_PEERS_WANTED = 2 * DHT_REPLICAS

/** Milliseconds from a newcomer to the walks: when a network starts, several come at once. */
export const MESH_SETTLE_MS = 300

/** Walks of one round, each towards a random key, and milliseconds for one. */
export const MESH_WALKS = 3
export const MESH_WALK_MS = 5 * SECOND
