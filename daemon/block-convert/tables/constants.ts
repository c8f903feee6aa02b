/** Limits of table conversions: each with its unit and the reason for its value. */

export const CSV = 'text/csv'
export const NDJSON = 'application/x-ndjson'
export const JSON_ARRAY = 'application/json'
export const PARQUET = 'application/vnd.apache.parquet'
export const ARROW_FILE = 'application/vnd.apache.arrow.file'
export const ARROW_STREAM = 'application/vnd.apache.arrow.stream'

/** The DuckDB these converters are pinned to; part of every edge's version, since another one may write other bytes. */
export const DUCKDB_VERSION = '1.5.5'

/** Bytes of one record (CSV record, JSON object); above it the input is refused: a text of V8 has at most 512 Mi characters. */
export const RECORD_BYTES_MAX = 256 * 1024 * 1024

/** Bytes read at once while splitting: large enough for few system calls, small enough to stay in the processor's cache. */
export const SCAN_CHUNK_BYTES = 1024 * 1024

/** Bytes a scanned buffer must have, as zeros, behind its data: the longest look-ahead of a fixed-length field. */
export const SCAN_PADDING = 64

/** Parts of a recipe of a text block (ranges between comments, padded records, small inputs): it is kept in memory while the job runs. */
export const BLOCK_PARTS_MAX = 4096

/** Changes of its bytes a scanner makes before it gives them over: fewer than BLOCK_PARTS_MAX, so that a block ends near it. */
export const EDITS_PER_SCAN = 512

/** Files up to this many bytes are sampled whole, so their types are certain before the first block. */
export const SAMPLE_WHOLE_BYTES = 2 * 1024 * 1024

/** Bytes sampled at the beginning of a larger file; also where the dialect is read from. */
export const SAMPLE_HEAD_BYTES = 256 * 1024

/** Bytes sampled at the end: sums, trailers and late oddities live there. */
export const SAMPLE_TAIL_BYTES = 64 * 1024

/** Windows sampled in between, evenly spaced. */
export const SAMPLE_WINDOWS = 40

/** Bytes per window between. */
export const SAMPLE_WINDOW_BYTES = 32 * 1024

/** Bytes sampled of all inputs of a job together; after that only their beginnings are looked at, for their columns. */
export const SAMPLE_TOTAL_BYTES = 64 * 1024 * 1024

/** Columns of a table; above it the parameters, sent with every lease, would grow past their limit. */
export const COLUMNS_MAX = 16_384

/** Characters of a column's name; longer ones are content, not names. */
export const COLUMN_NAME_MAX = 1024

/** Characters of a value quoted in a message. */
export const MESSAGE_VALUE_MAX = 80

/** Rows per Parquet row group written: DuckDB's own default, the unit later splits work on. */
export const ROW_GROUP_ROWS = 122_880

/** Milliseconds between two reports of an engine's progress: well under any stall limit. */
export const PROGRESS_MS = 200

/** Bytes of memory DuckDB cannot do with less of; a smaller allowance is raised to it. */
export const ENGINE_MEMORY_MIN = 64 * 1024 * 1024

/** Bytes of a compressed part that are decoded into memory to be compared; more go to a file: two threads may do so at once. */
export const DECODED_IN_MEMORY_BYTES = 16 * 1024 * 1024

/** Bytes a compressed part may decode to: the largest file an engine may write. */
export const DECODED_RESULT_BYTES_MAX = 8 * 2 ** 30
