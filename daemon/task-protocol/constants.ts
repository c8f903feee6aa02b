/** Limits and times of the lease and task protocols. Every one has a unit and a reason. */

/** Name and version of the lease protocol; its id is `/weft/<network>/lease/1.0.0`. */
export const LEASE_PROTOCOL = 'lease'
/** Name and version of the task protocol; its id is `/weft/<network>/task/1.0.0`. */
export const TASK_PROTOCOL = 'task'
export const PROTOCOL_VERSION = '1.0.0'

/** Bytes of input or output that may ride the lease; above it a stream of its own is cheaper than the delay it causes. */
export const INLINE_BYTES_MAX = 64 << 10

/** Bytes of inline data after which a batch is closed and another begun: one batch never delays a beat for long. */
export const BATCH_BYTES = 512 << 10

/** Bytes of one frame on the lease: a batch of BATCH_BYTES and BATCH_MAX entries, or an offer with its parameters, fits. */
export const FRAME_BYTES_MAX = 2 << 20

/** Bytes a lease stream may have waiting to be written; a peer that does not read is cut off here, not buffered for. */
export const LEASE_WRITE_BYTES_MAX = 6 << 20

/** Bytes of inline orders in flight per lease (and of unacknowledged inline results at the worker): keeps beats prompt. */
export const LEASE_WINDOW_BYTES = 2 << 20

/** Orders in flight per lease for converters that run inside the daemon: enough to fill a 10 ms link at 10,000/s. */
export const INLINE_SLOTS = 128

/** Orders a lease takes beyond the engines there are, so that an engine never waits for the network. */
export const PREFETCH_SLOTS = 1

/** Orders a worker may be asked to hold at once; bounds what a grant can make a requester believe. */
export const SLOTS_MAX = 4096

/** Orders one job may have waiting at the requester for credits of one lease; beyond it they come back as `busy`. */
export const QUEUED_ORDERS_MAX = 8192

/** Offers (jobs) announced on one lease at a time. */
export const OFFERS_MAX = 64

/** Bytes of parameters one requester may announce at once: eight of the largest, or a thousand small ones. */
export const OFFER_BUDGET_BYTES = 4 << 20

/** Bytes of parameters per second by which that budget grows again: judging them takes about 2 % of the main loop. */
export const OFFER_BUDGET_BYTES_PER_SECOND = 256 << 10

/** Bytes an offer costs besides its parameters. */
export const OFFER_COST_BYTES = 4 << 10

/** Offers in a row refused for want of budget, after which the lease ends: an honest requester waits as it was told. */
export const OFFERS_REFUSED_MAX = 256

/** Orders or results in one batch: bounds the depth of the Merkle tree (12) and the work of one signature check. */
export const BATCH_MAX = 4096

/** Leases one worker serves at a time: 32 × (window + held results) is below 320 MiB, and slots stay meaningful. */
export const LEASES_MAX = 32

/** Milliseconds between beats, both ways, that a worker grants; the failure detector's limits without a beacon are multiples of this. */
export const HEARTBEAT_MS = 500

/** The least and the most often a peer may make us beat, in milliseconds: seldom enough to cost nothing, often enough for a verdict in time. */
export const BEAT_MS_MIN = 50
export const BEAT_MS_MAX = 1000

/** Bytes of a beacon's id: nobody guesses one of 2^64. */
export const BEACON_ID_BYTES = 8

/** Bytes of a beacon's key. */
export const BEACON_KEY_BYTES = 32

/** Highest UDP port. */
export const PORT_MAX = 65535

/** Milliseconds a refused peer should wait before it asks again. */
export const RETRY_AFTER_MS = 1000

/** Milliseconds for opening a lease or announcing an offer, from the request to the answer. */
export const ATTACH_TIMEOUT_MS = 10_000

/** Until a lease is asked for on a lease stream: as long as an honest requester waits for the answer. A stream without a lease makes a peer look busy. */
export const LEASE_REQUEST_MS = ATTACH_TIMEOUT_MS

/** Milliseconds a cancelled attempt may take to be confirmed before its job is told so without the worker's word. */
export const CANCEL_ANSWER_MS = 5000

/** Milliseconds a lease without any job is kept before it is closed: jobs in sequence share it. */
export const LEASE_IDLE_MS = 10_000

/** Attempts of one lease that may have task streams at a time: well below the streams a connection may have. */
export const TASKS_MAX = 32

/** Task streams per connection and direction: those of a lease, and some that are just being closed. */
export const TASK_STREAMS_MAX = TASKS_MAX + 16

/** Bytes of output above which its leaf is a root over chunks, and bytes of such a chunk. */
export const LEAF_CHUNK_BYTES = 1 << 20

/** Lease streams per connection and direction: the current one and one being replaced. */
export const LEASE_STREAMS_MAX = 4

/** Bytes in one data frame of a transfer: large enough to make per-frame work vanish, small enough to interleave. */
export const CHUNK_BYTES = 256 << 10

/** Bytes in one data frame a receiver accepts. */
export const CHUNK_BYTES_MAX = 1 << 20

/** Bytes of one control message inside a transfer: an order with the largest parameters fits. */
export const MESSAGE_BYTES_MAX = 1 << 20

/** Bytes a transfer's receiver allows ahead of what its sink has taken: 16 MiB fills 130 MB/s at 120 ms. */
export const CREDIT_BYTES = 16 << 20

/** Chunks handed to a sink at once, if it takes several (1 MiB): a call to the file system per chunk costs more than the chunk. */
export const WRITE_CHUNKS_MAX = 4

/** Chunks of CHUNK_BYTES kept for reuse in the whole process (4 MiB): enough for every stream at work, and nothing to speak of when idle. */
export const SPARE_CHUNKS_MAX = 16

/** Bytes queued for writing on one stream, at most; 1 MiB costs throughput, more only delays control messages. */
export const WRITE_BUFFER_BYTES = 4 << 20

/** Bytes queued for writing on one stream, at least, however slow the link: two chunks keep it busy. */
export const WRITE_BUFFER_BYTES_MIN = 2 * CHUNK_BYTES

/** Milliseconds of the measured rate that may be queued on a connection: the longest wait bulk causes a beat. */
export const WRITE_BUFFER_MS = 250

/** Milliseconds without a byte, while the peer owes us some, after which a transfer has stalled. */
export const STALL_MS = 30_000

/** Bytes of a block's input or output: 64 GiB, far above any block size and well within exact integers. */
export const BLOCK_BYTES_MAX = 64 * 2 ** 30

/** Highest block number. */
export const BLOCK_MAX = 2 ** 32 - 1

/** Highest attempt number of a block; with BLOCK_MAX an attempt's key stays an exact integer. */
export const ATTEMPT_MAX = 2 ** 16 - 1

/** Bytes of canonical parameters: a table of 10,000 columns fits. */
export const PARAMETERS_BYTES_MAX = 512 << 10

/** Bytes of a block's slice. */
export const SLICE_BYTES_MAX = 16 << 10

/** Bytes of a reason given in words. */
export const TEXT_BYTES_MAX = 4 << 10

/** Bytes of the details of a failure, as DAG-CBOR. */
export const DETAILS_BYTES_MAX = 16 << 10

/** Bytes of an identifier: job CID, converter id, version, unit, decimal price, code. */
export const NAME_BYTES_MAX = 256

/** Running attempts whose progress one beat tells. */
export const PROGRESS_MAX = 256

/** Attempts in one cancel message. */
export const CANCEL_MAX = BATCH_MAX

/** Orders running at a worker for one lease that one beat may report as active. */
export const ACTIVE_MAX = SLOTS_MAX * 2

/** Bytes of a W3C trace context (`traceparent`). */
export const TRACE_BYTES_MAX = 64

/** Milliseconds in any one field: about 285,000 years, the last exact millisecond of a JavaScript number. */
export const MS_MAX = Number.MAX_SAFE_INTEGER

/** Requesters whose newest generation a worker remembers after their lease ended. */
export const REQUESTERS_MAX = 1024

/** Milliseconds for what is queued on a lease stream to leave when it is closed, and for the other side to close a task stream. */
export const CLOSE_MS = 1000

/** Milliseconds the other side of a lease stream has to close its half once ours is: what was sent last is then with it. */
export const LINGER_MS = 10_000

/** Milliseconds a finished result waits for its requester to come back: longer than a crash, a restart and a slow disk check take together. */
export const KEEP_FINISHED_MS = 600_000

/** Bytes of small finished results kept in memory for requesters that are gone: some 500 of the largest that ride a lease. */
export const FINISHED_MEMORY_BYTES = 32 << 20

/** Bytes of large finished results kept on disk: a score of blocks of the usual size, and little beside what DISK_RESERVE_BYTES leaves free. */
export const FINISHED_DISK_BYTES = 1 << 30

/** Finished results kept at a time, whatever their size. */
export const FINISHED_ENTRIES_MAX = 4096

/** Milliseconds a conversion runs on after its lease was lost: a requester that lives reconnects within seconds; a dead one must not hold an engine. */
export const ORPHAN_MS = 10_000

/** Milliseconds engines may be stopped before what they have is handed back: beyond it others wait longer than converting anew takes. */
export const PAUSE_HAND_BACK_MS = 10_000

/** Milliseconds from a drain's deadline for what is finished or handed back to be taken; then leases end, which tells the same. A slow link needs a few round trips. */
export const DRAIN_DELIVER_MS = 5_000

/** Milliseconds after which one who was turned away by a draining worker may ask again: a drain lasts seconds or hours, asking is cheap. */
export const DRAINING_RETRY_MS = 10_000

/** Milliseconds an order is taken to last before any was measured: blocks are cut for one to two seconds. */
export const ORDER_MS_DEFAULT = 1_500

/** Orders for engines that may be at work or wait here per engine, of all requesters together: half a minute of work; more waits better elsewhere. */
export const ORDERS_PER_SLOT = 16

/** Milliseconds a hint to ask again says at least: below it asking costs more than waiting. */
export const RETRY_AFTER_MS_MIN = 100

/** Milliseconds a hint says at most: what is known of a queue does not hold for longer. */
export const RETRY_AFTER_MS_MAX = 60_000

/** Bytes of disk left free for everybody else on the machine, and for what grows beyond its estimate. */
export const DISK_RESERVE_BYTES = 512 * 2 ** 20

/** Times its input that an output is expected to have, up to what the order allows. Only a guess: the limit of each output holds besides. */
export const OUTPUT_ESTIMATE = 2

/** Bytes an output is expected to have at least. */
export const OUTPUT_ESTIMATE_MIN = 16 << 20

/** Share of what can be given of the disk that the orders of one requester may hold, beyond its first. */
export const DISK_SHARE_MAX = 0.5

/** Milliseconds a look at the free space is good for: asking the file system is quick, asking it per order is waste. */
export const DISK_LOOK_MS = 500
