/** Limits of what is read from a Parquet file, whoever wrote it. Each is far above what sound files need. */

/**
 * Bytes of one footer, read or written. It is held in memory whole; a footer has about 100 bytes per column chunk, so this
 * is half a million chunks (for instance 50 columns in 10,000 row groups).
 */
export const FOOTER_BYTES_MAX = 64 * 1024 * 1024

/** Values (structs, list elements, numbers, strings) in one Thrift tree. A node costs up to about 100 bytes of memory. */
export const THRIFT_NODES_MAX = 8_000_000

/** Nesting of Thrift structs and lists; Parquet's own definitions need 7. */
export const THRIFT_DEPTH_MAX = 32

/** Columns of one table. Wider tables would make every block's footer larger than its data. */
export const COLUMNS_MAX = 10_000

/** Groups within groups in one column; a list is two of them. Deeper ones are an attack on recursion rather than data. */
export const COLUMN_DEPTH_MAX = 60

/**
 * Parts (entries, fields, characters) of the nested values of one column in a batch of BATCH_ROWS rows. Lists repeat dictionary entries at
 * a few bits each, so a small file could stand for any amount of memory.
 */
export const NESTED_PARTS_MAX = 256 * 1024 * 1024

/** RowGroup.ordinal is a 16 bit field; row groups beyond it are written without (only encryption needs it). */
export const ROW_GROUP_ORDINAL_MAX = 32_767

/** Bytes of one page header: a few numbers and at most two boundary values, which writers truncate. */
export const PAGE_HEADER_BYTES_MAX = 1024 * 1024

/** Bytes of one page, compressed or not. Writers aim at 1 MiB; DuckDB goes up to 100 MB. */
export const PAGE_BYTES_MAX = 256 * 1024 * 1024

/** Values in one page. The levels of a page are unpacked into memory, at 8 bytes each. */
export const PAGE_VALUES_MAX = 16 * 1024 * 1024

/**
 * Blocks that one large row group is offered as. Each of them carries the bytes of the whole row group, so more slices mean more
 * parallel work but as many times the traffic.
 */
export const SLICES_MAX = 16

/** Bytes read from a file at once: large enough for the disk, small enough to hold several. */
export const READ_BYTES = 1024 * 1024

/** Bytes that the shared snappy decoder's memory may grow to; it never shrinks. Larger pages get a decoder of their own. */
export const SNAPPY_SHARED_BYTES_MAX = 32 * 1024 * 1024

/** Rows handed over at once by the readers: enough to forget the cost of a batch, few enough to stay in the cache. */
export const BATCH_ROWS = 4096

/**
 * Bytes between two column chunks up to which they are one range of a block: a few bytes too many cost less than another range. Some
 * writers leave a copy of the metadata there.
 */
export const GAP_BYTES_MAX = 1024

/** Bytes of one bloom filter; DuckDB's have about 2 bytes per dictionary entry. */
export const BLOOM_BYTES_MAX = 16 * 1024 * 1024

/** Dictionary entries per chunk looked up in its bloom filter when a result is compared; a look-up takes microseconds. */
export const BLOOM_PROBES = 256
