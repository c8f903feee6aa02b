/** Networks whose name starts so are test networks: keys from seeds and planted faults are allowed there only. */
export const TEST_NETWORK_PREFIX = 'testnet-'

/** Characters of a network's name: it is part of every protocol id, and libp2p limits those to about 140 bytes. */
export const NETWORK_NAME_MAX = 64

/** Characters of a join string, and addresses in it: what fits a message somebody pastes. */
export const JOIN_STRING_CHARS_MAX = 8192
export const JOIN_ADDRESSES_MAX = 16

/** Where a node of a private network listens unless told otherwise: its members are on other machines. */
export const PRIVATE_LISTEN = ['/ip4/0.0.0.0/tcp/0']

/** Entries of a list in the configuration; more is taken for a mistake. */
export const LIST_MAX = 256

/** Bytes of a configuration file; the complete example has about two thousand. */
export const CONFIG_FILE_BYTES_MAX = 1 << 20

/** Engine processes at once; above the cores of any machine we know. */
export const SLOTS_MAX = 1024

/** Bytes an engine process needs at least to start (64 MiB). */
export const ENGINE_MEMORY_MIN = 64 * 1024 * 1024

/** Milliseconds: a stall limit below this would kill engines that are merely starting. */
export const STALL_MS_MIN = 1000

/** Milliseconds, seven days: `setTimeout` fires at once for more than 2^31 - 1. */
export const WALL_MS_MAX = 7 * 24 * 3600 * 1000

/** Milliseconds: a limit of silence below three of the packets that show life would accuse at every lost one. */
export const SUSPECT_MS_MIN = 600

/** Milliseconds, an hour: a dead peer's blocks that wait longer are as good as lost. */
export const LIVENESS_MS_MAX = 3600 * 1000

/** Milliseconds: what "auto" means for the two limits of silence; the failure detector says why. */
export const SUSPECT_MS_DEFAULT = 1300
export const DEAD_MS_DEFAULT = 2800

/** Leases for others at once, by default: each has a stream and up to 4 MiB of window. */
export const LEASES_DEFAULT = 64
export const LEASES_MAX = 4096

/** Edits between a mistyped key and the name suggested for it. */
export const SUGGESTION_DISTANCE_MAX = 3

/** Variables of the environment that are not configuration. */
export const RESERVED_VARIABLES = ['WEFT_HOME', 'WEFT_CONFIG', 'WEFT_TEST_REQUIRE', 'WEFT_TEST_LEFT_OUT', 'WEFT_TEST_CONVERTERS']

/** Variables with these prefixes belong to the test suite, benches and child processes. */
export const RESERVED_PREFIXES = ['WEFT_TEST_', 'WEFT_BENCH_', 'WEFT_SIM_', 'WEFT_INTERNAL_']
