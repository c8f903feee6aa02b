/** Limits of a job. Milliseconds and bytes throughout. */

/** Blocks of one job, at most: bounds what is kept of them (1.3 KB each, measured: 340 MB); the block size grows instead. */
export const BLOCKS_MAX = 1 << 18

/** Results up to this size ride in their journal entry, and blocks up to this size in their order. Bytes. */
export const INLINE_BYTES_MAX = 64 * 1024

/** Input up to this size is converted where the user is: moving it costs more than it saves. Bytes. */
export const CHEAP_BYTES_MAX = 4 * 1024 * 1024

/** Undispatched blocks are split ahead up to this many bytes ... */
export const LOOK_AHEAD_BYTES = 4 * 1024 * 1024
/** ... and this many blocks, but always at least two per slot plus a few, so that no slot waits for the splitter. */
export const LOOK_AHEAD_BLOCKS = 1024
export const LOOK_AHEAD_SPARE = 4

/** Results that are not durable yet, at most: beyond it nothing is dispatched until the disk catches up. */
export const SETTLING_BLOCKS_MAX = 8192
/** The same in bytes, wherever they are ... */
export const SETTLING_BYTES_MAX = 1024 * 1024 * 1024
/** ... and in memory. */
export const SETTLING_MEMORY_MAX = 64 * 1024 * 1024

/** One merge order's worth: enough to amortise the hand-over to a thread, little enough to stop soon. */
export const MERGE_BATCH_BYTES = 8 * 1024 * 1024
export const MERGE_BATCH_BLOCKS = 4096

/** A worker near the end of the job gets a block only if it would be done within this factor of the best worker's time. */
export const TAIL_PATIENCE = 1.5

/** Workers a block failed on after which it goes to those only that returned a good result, while there are such: many broken peers must not use up its attempts. */
export const PROOF_AFTER_WORKERS = 3

/** Blocks a peer has out at least, and at most before it returned a result in this job: the slots it declares prove nothing. */
export const FIRST_BLOCKS = 2
/** Later a peer has out what it does in this time by its measured speed, in milliseconds: enough that no round trip or slow disk idles it ... */
export const AHEAD_MS = 5000
/** ... or, where blocks take long, this many times what it is seen to do side by side: room to find out that it can do more. */
export const AHEAD_GAIN = 4

/**
 * Second copies of blocks, as a share of the blocks done: the work that may be done twice. MapReduce and LATE (OSDI 2004 and 2008) live well
 * with a few per cent up to ten.
 */
export const HEDGE_SHARE = 0.1
/** ... and this many in any case: twice what a newcomer that turns out slow was given at first, so that a small job need not wait for it. */
export const HEDGES_MIN = 2 * FIRST_BLOCKS
/** An attempt is late after this many times what 95 of 100 blocks take, and its worker's own queue by its measured speed. */
export const LATE_FACTOR = 1.5
/** Results measured count for less as long as they are few: the factor above is (1 + this / results) times as large. */
export const LATE_CAUTION = 1
/** Nothing is late before this many milliseconds: a pause of either event loop is not slowness. */
export const LATE_MS_MIN = 100
/** The share of measured blocks that "what a block takes" covers when lateness is judged. */
export const LATE_QUANTILE = 0.95
/** Results of which that quantile is taken, the newest of each kind of worker: enough for it to be steady, few enough to follow the present. */
export const PACE_RESULTS = 128
/** A copy is made if the first attempt still needs more than this many times what the copy would. */
export const HEDGE_GAIN = 2
/** A block that its worker has not begun is taken back if it needs more than this many times what it would elsewhere: costs no work. */
export const STEAL_GAIN = 1.2
/** ... and both only if at least this many milliseconds are won: less is lost in the sending. */
export const GAIN_MS_MIN = 20
/** Blocks at the others' speed that are mixed into a worker's own when two are compared, so that chance decides less. */
export const SPEED_PRIOR = 4
/** Times a block is taken back from a worker: who takes it may slow down, too, but blocks must not wander. */
export const STEALS_MAX = 2
/** Milliseconds between two looks for slow blocks, at least: a look goes over all that is out. */
export const LOOK_EVERY_MS = 10

/** Good results in a row after which one cool-down of a worker's breaker is forgiven. */
export const BREAKER_FORGIVE = 8
/** What a good result takes from a worker's failures: more than one failure in three opens its breaker in the end. */
export const BREAKER_DECAY = 0.5
/** Peers and converters whose breakers are remembered between jobs; the oldest goes first. */
export const BREAKERS_MAX = 4096

/** Halve a worker's measurement of speed after this many busy milliseconds, so that it follows the present. */
export const RATE_WINDOW_MS = 20_000

/** Events about single blocks per second, at most; a job of small blocks makes more than anybody can read. */
export const BLOCK_NEWS_PER_SECOND = 1000

/** Of these, kept for what is no routine (copies, blocks that move, wrong results): routine news stops before the rest is used. */
export const BLOCK_NEWS_SPARE = 250

/** Characters that are kept of why an attempt ended: a job may have a million of them, and engines have much to say. */
export const ATTEMPT_WORDS_MAX = 200

/** Moves of blocks from one worker to another that a job remembers: what a screen shows. */
export const MOVES_KEPT = 16

/** Attempts told of one block, the newest; the numbers say how many there were. */
export const ATTEMPTS_VIEWED = 8

/** Blocks looked over for a view of a job: more than can be out and settling at a time, and few enough that no peer's sign of life waits for it (some milliseconds). */
export const BLOCKS_SCANNED = 32_768

/** Workers told of in a view of a job, those with work first, and indices of blocks each has. */
export const WORKERS_VIEWED = 100
export const WORKER_BLOCKS_VIEWED = 8

/** Peers named in the answer why a job does not run; a job asks up to REFUSALS_MAX. */
export const WHY_PEERS_MAX = 50

/** Round trips kept for percentiles. When full, every second one goes and later ones are taken half as often. */
export const ROUND_TRIPS_MAX = 8192

/** Waits and numbers of tries that a job may be given differently (the simulator shortens them). */
export interface JobLimits {
  /** Engine failures (crash, hang, out of memory, too much output) of one block before the job fails: the block is to blame by then. */
  engineFailures: number
  /** Failures of any kind of one block before the job fails. */
  blockFailures: number
  /** Failed attempts of one block before the job fails, also those that are held against the worker rather than the block. */
  blockAttempts: number
  /** Workers lost while they held a block before the job fails: a block that takes whole nodes down must not take all. */
  blockLosses: number
  /** Failures of a worker, less half a failure for each good result, at which its breaker opens. */
  breakerFailures: number
  /** How long a worker is cut off the first time; doubles with each time. Half of it is drawn at random. */
  breakerMs: number
  /** The same, at most. */
  breakerMsMax: number
  /** How long a job waits if every worker is cut off. */
  cutOffMs: number
  /** Refusals (`busy`) of a worker in a row before its breaker opens. */
  workerRefusals: number
  /** Pause after a refusal without a hint; doubles with each in a row. */
  retryMs: number
  /** Longest pause, also against a hint. */
  retryMsMax: number
  /** How long a job without a usable worker waits if there never was one (after the first search), or if none is to be trusted. */
  noneMs: number
  /** The same when workers were there and were lost, or were found and could not be had just then: they may come back. */
  rejoinMs: number
  /** The same when workers are there and ask too much: the next search or bulletin may tell of a lower price. */
  priceMs: number
  /** How long the first search for workers may take. */
  searchMs: number
  /** How long one attempt may take before it is cancelled and given to somebody else. */
  attemptMs: number
}

/** Milliseconds between two searches of a running job: a newcomer's advert comes by itself, so this is only a safety net. */
export const SEARCH_EVERY_MS = 5_000
/** Milliseconds that the search itself, and what it tells of prices, may take beyond that before a job gives its dear workers up. */
const SEARCH_GRACE_MS = 2_500

export const JOB_LIMITS: JobLimits = {
  engineFailures: 3,
  blockFailures: 5,
  blockAttempts: 12,
  blockLosses: 16,
  breakerFailures: 3,
  breakerMs: 1000,
  breakerMsMax: 60_000,
  cutOffMs: 60_000,
  workerRefusals: 64,
  retryMs: 100,
  retryMsMax: 10_000,
  noneMs: 1000,
  rejoinMs: 15_000,
  priceMs: SEARCH_EVERY_MS + SEARCH_GRACE_MS,
  searchMs: 30_000,
  attemptMs: 15 * 60_000
}

/**
 * Changes of the schema after which nothing is given out before the whole input was read: one or two are the price of not reading it twice;
 * an input with more of them contradicts itself in many columns, and each change would throw away everything done so far.
 */
export const EPOCHS_BEFORE_PROOF = 2

/**
 * Milliseconds between two notices of the same worker's price, and between two of the same peer's refusal, at least: prices may move with
 * every bulletin, and who flaps must not fill the events of a job.
 */
export const NOTICE_EVERY_MS = 1000

/** Notes of one report, at most; the last one says how many more there were. Reports are kept in memory and in the journal. */
export const NOTES_MAX = 64
/** Characters of one note's message, and columns it names: a table may have thousands, with long names. */
export const NOTE_MESSAGE_MAX = 600
export const NOTE_COLUMNS_MAX = 64

/** Milliseconds between progress events. */
export const PROGRESS_MS = 100

/** A block's output may be this many times the block size ... */
export const OUTPUT_GROWTH_MAX = 64
/** ... or this large, whichever is more (a dictionary-encoded Parquet block becomes a far larger text). Bytes. */
export const OUTPUT_BYTES_MIN = 256 * 1024 * 1024
/** ... but never larger than an offer can say: the wire's limit of a block. Bytes. */
export const OUTPUT_BYTES_MAX = 64 * 1024 * 1024 * 1024

/** Bytes of small results kept in memory for the merge; above it they are read back from the journal. */
export const KEPT_IN_MEMORY_BYTES_MAX = 64 * 1024 * 1024

/** Stored results of an earlier run that are read again at a time, to see whether they are whole: enough for a disk, and threads are left for others. */
export const REREADS_AT_ONCE = 2

/** Times in a row a daemon goes on with a job by itself though it went down each time before one more block was done: it may be the job that takes it down. */
export const STARTS_MAX = 10

/** Milliseconds for which the results of a job that failed stay, so that somebody may mend the cause and go on with it: a working day and a night. */
export const RESUMABLE_MS = 24 * 60 * 60 * 1000
/** Such jobs at a time; the oldest goes first. */
export const RESUMABLE_JOBS_MAX = 16
/** Bytes of their results, taken together; the oldest goes first. */
export const RESUMABLE_BYTES_MAX = 16 * 1024 ** 3

/** Milliseconds between two tries to write what must be on record: room mostly comes when somebody makes it, and a try costs a look at the disk. */
export const RECORD_RETRY_MS = 1000

/** Results being written to the block store at a time. */
export const STORES_AT_ONCE = 8

/** Journal entries of an ended job removed at a time, so that the entries of running jobs do not wait behind all of them. */
export const REMOVALS_AT_ONCE = 2048

/** Longest wait for a worker to be let go; what it still does is of no interest to the job. Milliseconds. */
export const CLOSE_MS_MAX = 10_000

/** Longest delay of a timer in Node; a later time is waited for in several. Milliseconds. */
export const TIMER_MS_MAX = 2 ** 31 - 1

/** Jobs running at once; more are refused. */
export const JOBS_MAX = 64

/** Peers, and operators, remembered for a wrong result, until the process ends; the oldest goes first. Far more than a job ever meets. */
export const DISTRUSTED_MAX = 4096

/** Peers of a job whose refusal is remembered, so that it is told once and not at every search; the oldest goes first. */
export const REFUSALS_MAX = 1024

/** Refusals that the error of a job without a worker carries. */
export const REFUSALS_TOLD = 20
/** Those its message names: a line can be read. */
export const REFUSALS_NAMED = 3

/** What prices are counted in, unless the node's configuration says otherwise. */
export const PRICE_UNIT_DEFAULT = 'credit'

/** Ended jobs whose reports are kept. */
export const HISTORY_MAX = 1000

/** Inputs of one job, at most. */
export const INPUTS_MAX = 10_000

/** Bytes of a job's canonical spec, and of its record in the journal (spec and report): INPUTS_MAX paths of 4096 bytes, in each. */
export const SPEC_BYTES_MAX = 64 * 1024 * 1024
export const RECORD_BYTES_MAX = 2 * SPEC_BYTES_MAX
