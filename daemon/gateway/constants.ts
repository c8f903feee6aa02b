/** Bytes of a JSON body: INPUTS_MAX paths of PATH_MAX characters, and the types of thousands of columns in a setting. */
export const BODY_BYTES_MAX = 48 << 20

/** Characters of a setting's value: the types of as many columns as a table may have. */
export const SETTING_MAX = 4 << 20

/** Bytes of one uploaded input (16 GiB); the disk usually ends earlier. */
export const UPLOAD_BYTES_MAX = 16 * 2 ** 30

/** Uploads kept at once; the command line removes its own when the job has ended. */
export const UPLOADS_MAX = 64

/** Milliseconds a request may take to arrive whole, an upload included (one hour). */
export const REQUEST_MS_MAX = 3600 * 1000

/** Milliseconds for the head of a request: a client that trickles it holds a connection for no longer. */
export const HEADERS_MS_MAX = 10_000

/** Milliseconds without a byte on a connection; longer than a long poll and than the pause between two event keep-alives. */
export const IDLE_MS_MAX = 120_000

/** Connections at once, those of event streams included. */
export const CONNECTIONS_MAX = 256

/** Milliseconds a long poll is held; the client asks again. Below the 300 s after which common clients give up. */
export const WAIT_MS_MAX = 60_000

/** Event streams at once. */
export const EVENT_CLIENTS_MAX = 32

/** Bytes queued for one event client; a slower one is dropped and may come back with `Last-Event-ID`. */
export const EVENT_CLIENT_BYTES_MAX = 1 << 20

/** Events kept for clients that come back. */
export const EVENT_REPLAY_MAX = 2048

/** Milliseconds the node's events are still followed after the last client left, so that one that returns misses nothing. */
export const EVENT_LINGER_MS = 30_000

/** Milliseconds between two comments on a silent event stream: proxies and `IDLE_MS_MAX` would end it otherwise. */
export const EVENT_KEEPALIVE_MS = 15_000

/** Idempotency keys remembered. */
export const IDEMPOTENCY_MAX = 1024

/** Milliseconds an idempotency key is remembered (one day). */
export const IDEMPOTENCY_MS = 24 * 3600 * 1000

/** Characters of an idempotency key. */
export const IDEMPOTENCY_KEY_MAX = 128

/** Entries of one page of nodes or jobs. */
export const PAGE_MAX = 1000
export const PAGE_DEFAULT = 100

/** Inputs of one job. */
export const INPUTS_MAX = 10_000

/** Characters of a path in a request (PATH_MAX of Linux). */
export const PATH_MAX = 4096

/** Characters of a cursor: the longest name an advert may hold, escaped and in base64url, and room. */
export const CURSOR_MAX = 4096

/** Digits of an amount of money: 64 bits and more, as in adverts. */
export const AMOUNT_DIGITS_MAX = 30

/** 10^-6 of a unit are counted: digits behind the point of an amount in units. */
export const AMOUNT_DECIMALS = 6

/** Rows of an answer gathered over all nodes (providers, prices and capabilities by converter): strangers can advertise any names. */
export const GATHERED_ROWS_MAX = 2000

/** Peer ids listed of one provider; the number of its hosts is told anyway. */
export const PROVIDER_PEERS_MAX = 100

/** Milliseconds a peer is dialled on request; below what clients wait for an answer. */
export const CONNECT_MS_MAX = 20_000

/** Characters of a multiaddr in a request, and of the reason of a ban. */
export const ADDRESS_MAX = 1000
export const BAN_REASON_MAX = 200

/** Milliseconds that blocks of others may still run after `POST /drain` says nothing else: blocks are cut for seconds, and a large one may take minutes. */
export const DRAIN_MS_DEFAULT = 300_000

/** Milliseconds a drain may be given, at most: a day, far beyond what any block may take. */
export const DRAIN_MS_MAX = 86_400_000
