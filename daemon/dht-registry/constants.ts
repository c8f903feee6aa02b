/** Limits of adverts and of the registry, each with its unit and its reason. */
const KIB = 1024
const MIB = 1024 * KIB
const SECOND = 1000
const MINUTE = 60 * SECOND

/** Signature domains: an advert never serves as a record, nor the other way round. */
export const ADVERT_DOMAIN = 'weft/advert/1'
export const RECORD_DOMAIN = 'weft/advert-record/1'

/** Namespace of advert records in the DHT: the key is `/weft-advert/<peer id>`. */
export const RECORD_NAMESPACE = 'weft-advert'

/** Bytes of a sealed advert: 256 converters of about 200 bytes, and room. */
export const ADVERT_BYTES_MAX = 64 * KIB

/** Bytes of a sealed record in the DHT: others store it for us. */
export const RECORD_BYTES_MAX = 2 * KIB

/** Milliseconds an advert holds at most: how long a node that vanished is still shown. */
export const ADVERT_VALIDITY_MS = 60 * MINUTE

/** Milliseconds after which one's own advert is renewed: two renewals may fail before it expires. */
export const ADVERT_RENEW_MS = 20 * MINUTE

/** Entries and characters in an advert. */
export const CONVERTERS_MAX = 512
export const ADDRESSES_MAX = 16
export const ROLES_MAX = 16
export const NAME_CHARS_MAX = 256
export const AMOUNT_DIGITS_MAX = 30

/** Minutes of a week, and spans of hours in an advert: 256 lines of the configuration, each of up to seven days. */
export const WEEK_MINUTES = 7 * 24 * 60
export const POLICY_HOURS_MAX = 256 * 7

/** Adverts known, by number and by bytes; beyond, the one not heard of for longest goes, unconnected peers first. */
export const KNOWN_ADVERTS_MAX = 4096
export const KNOWN_BYTES_MAX = 32 * MIB

/** Observations kept between two adverts: one for each advert that may be known. */
export const OBSERVATIONS_MAX = KNOWN_ADVERTS_MAX

/**
 * Peers heard of by gossip whose advert is not known: looked up in the background, so many per minute, at once, and waiting. Identities cost
 * nothing, so a flood of them must not become a flood of queries; whoever is missed here is found when it is needed.
 */
export const BACKGROUND_LOOKUPS_PER_MINUTE_MAX = 60
export const BACKGROUND_LOOKUPS_PARALLEL_MAX = 4
export const BACKGROUND_LOOKUPS_WAITING_MAX = 64

/**
 * Milliseconds before a peer that could not be looked up is tried again, and how many such peers are remembered. Less than between two bulletins: who
 * has just joined is often heard before its record is in the DHT.
 */
export const BACKGROUND_RETRY_MS = 5 * SECOND
export const BACKGROUND_TRIED_MAX = 1024

/** Adverts kept on disk for the next start, by number and by bytes: enough to find a network again, read and verified in well under a second. */
export const MEMORY_ADVERTS_MAX = 256
export const MEMORY_BYTES_MAX = 4 * MIB

/** Peers whose highest sequence is remembered. A peer may be forgotten once its older adverts cannot be valid any more. */
export const FLOORS_MAX = 16_384

/** Milliseconds for one exchange of `advert/1.0.0`, dial excluded. */
export const EXCHANGE_TIMEOUT_MS = 5 * SECOND

/** Bytes of one message of `advert/1.0.0`: an advert and its type. */
export const EXCHANGE_BYTES_MAX = ADVERT_BYTES_MAX + 64

/** Exchanges at once per connection and direction, and adverts pushed at once by this node. */
export const EXCHANGE_STREAMS_MAX = 4
export const PUSHES_PARALLEL_MAX = 8

/** Pushes taken from one peer per minute: each costs a signature check, and an honest peer has news far less often. */
export const PUSHES_PER_MINUTE_MAX = 60

/** Milliseconds for saying goodbye at a stop, all peers together. */
export const GOODBYE_TIMEOUT_MS = 1 * SECOND

/** Milliseconds for one operation of the DHT. */
export const DHT_OPERATION_TIMEOUT_MS = 20 * SECOND

/** Operations of the DHT at once while announcing. */
export const ANNOUNCE_PARALLEL_MAX = 2

/** Milliseconds between two announcements: when many members join at once, each of them is a reason to announce. */
export const ANNOUNCE_INTERVAL_MIN_MS = 2 * SECOND

/** Members up to which every newcomer is a reason to announce again: beyond, the replicas of a record hardly change. */
export const ANNOUNCE_ON_JOIN_PEERS_MAX = 16

/** Milliseconds of a search in the DHT, and for the first DHT peer to appear before it, when the caller's signal is later. */
export const FIND_TIMEOUT_MS = 15 * SECOND
export const FIND_JOIN_TIMEOUT_MS = 3 * SECOND

/** Peers asked for their advert at once during a search, and milliseconds for one of them, dial included. */
export const LOOKUPS_PARALLEL_MAX = 8
export const LOOKUP_TIMEOUT_MS = 8 * SECOND

/** Candidates a search asks: what a DHT of liars could send us to. */
export const FIND_CANDIDATES_MAX = 256

/** Providers of a key that one peer may name: more would only be more work for whoever looks for one, and room for a liar. */
export const FIND_NAMED_PER_PEER_MAX = 32

/** Milliseconds between sweeps for expired adverts. */
export const SWEEP_INTERVAL_MS = 1 * MINUTE

/** Major version of the capability keys. */
export const CAPABILITY_MAJOR = 1

/**
 * Providers listed under one key: with the addresses of each, as many as fit an answer of the DHT (64 KiB). A provider goes a level deeper beyond this,
 * and back when there are fewer than SHARD_PROVIDERS_MIN and no more than SHARD_PROVIDERS_ROOM above: far enough apart that nobody goes to and fro.
 */
export const SHARD_PROVIDERS_MAX = 256
export const SHARD_PROVIDERS_MIN = 64
export const SHARD_PROVIDERS_ROOM = 192

/** Providers listed before the ranks of their draws are believed. */
export const SHARD_SAMPLE_MIN = 16

/** Levels of shards: 65,536 keys of 256. */
export const SHARD_DEPTH_MAX = 16

/**
 * Peers in the routing table before a provider asks how many others there are: with 256 members it has about 40, with 128 about 32. A smaller network
 * needs one key, and none of it looks for another.
 */
export const SHARD_LOOK_PEERS_MIN = 32

/** Keys of a conversion one search asks: all of them up to depth 2 (about 1,000 providers), beyond that some by chance. */
export const FIND_SHARDS_MAX = 8

/** Candidates of one key asked before those of other keys: all of a small network, a sample where there are more keys. */
export const FIND_KEY_CANDIDATES_MAX = SHARD_PROVIDERS_MIN

/** Conversions of which a searcher remembers how deep their shards are. */
export const FIND_DEPTHS_MAX = 1024
