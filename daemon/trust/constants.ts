/** Limits of identities and signed things, each with its unit and its reason. */

/** Bytes of a canonical value, unless the caller says less: the largest signed thing (a job's manifest) stays below. */
export const CANONICAL_BYTES_MAX = 256 * 1024

/** Levels of nesting of a canonical value: ours need at most five, and a decoder recurses once per level. */
export const CANONICAL_DEPTH_MAX = 32

/** Bytes of a sealed delegation: two identifiers and two times take about 350. */
export const DELEGATION_BYTES_MAX = 1024

/** Milliseconds a delegation holds: long enough that an operator's key can stay offline for months. */
export const DELEGATION_VALIDITY_MS = 365 * 24 * 60 * 60 * 1000

/** Milliseconds another node's clock may run ahead of ours. */
export const CLOCK_SKEW_MS = 5 * 60 * 1000

/** Bytes of a key file: a protobuf-encoded Ed25519 private key has 68. */
export const KEY_FILE_BYTES_MAX = 1024

/** Bytes of an exported key: PKCS #8 of an Ed25519 key in PEM has 119, and the line above it about 200. */
export const KEY_EXPORT_BYTES_MAX = 4096

/** Fewest bytes of a test seed: below, two test networks could easily choose the same one. */
export const TEST_SEED_BYTES_MIN = 8

/** Multicodec of DAG-CBOR (0x71): payload type of every envelope of ours. */
export const DAG_CBOR_PAYLOAD = Uint8Array.of(0x71)

/** Signature domain of an operator's statement that a node key acts for it. */
export const DELEGATION_DOMAIN = 'weft/delegation/1'
