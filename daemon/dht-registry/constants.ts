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

/** Adverts known, by number and by bytes; beyond, the one not heard of for longest goes, unconnected peers first. */
export const KNOWN_ADVERTS_MAX = 4096
export const KNOWN_BYTES_MAX = 32 * MIB

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

/** Milliseconds between sweeps for expired adverts. */
export const SWEEP_INTERVAL_MS = 1 * MINUTE

/** Major version of the capability keys, and how many shards a capability's providers are spread over. */
export const CAPABILITY_MAJOR = 1
export const CAPABILITY_SHARDS = 1
