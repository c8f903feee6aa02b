/** Limits of what is read from and written to Arrow IPC, whoever wrote it. Each is far above what sound files need. */

/** Bytes of one message's metadata, held in memory whole: 16 bytes per buffer of a column, and what writers leave in the schema. */
export const METADATA_BYTES_MAX = 16 * 1024 * 1024

/** Bytes of a file's footer: 24 per record batch beside the schema. */
export const FOOTER_BYTES_MAX = 64 * 1024 * 1024

/** Fields of a schema, nested ones counted; references may be shared, so few bytes can describe very many. */
export const FIELDS_MAX = 65_536

/** Entries of custom metadata in a message; writers leave one or two per column. */
export const KEY_VALUES_MAX = 65_536

/** Rows of one record batch or dictionary: readers count them, and the bits of their bitmaps, with 32 bits. */
export const BATCH_ROWS_MAX = 2 ** 31 - 64

/** Bytes that the buffers of one record batch may have when unpacked; they are held in memory. */
export const UNPACKED_BYTES_MAX = 1024 * 1024 * 1024

/**
 * Bytes of all dictionaries a block needs; they are held in memory, and travel with every block.
 */
export const DICTIONARY_BYTES_MAX = 512 * 1024 * 1024

/**
 * Blocks that one large record batch is offered as, where its bytes cannot be cut. Each of them carries all of them, so more slices mean
 * more parallel work but as many times the traffic.
 */
export const SLICES_MAX = 16

/** Columns of record batches that are cut; each is up to six parts of every block, and recipes are to be small. */
export const CUT_COLUMNS_MAX = 1000

/** Bytes read from a file at once while hashing and copying: large enough for the disk, small enough to hold several. */
export const READ_BYTES = 1024 * 1024

/** Bytes of a record batch loaded at once while it is given to the engine. */
export const WINDOW_BYTES = 16 * 1024 * 1024

/** Rows of the engine's own vectors; a chunk cannot have more. */
export const VECTOR_ROWS = 2048

/** Bytes of text or binary values gathered for one chunk of the engine; more than a few such values fit in no process anyway. */
export const CHUNK_BYTES_MAX = 1024 * 1024 * 1024

/** Rows of a record batch written: the unit that others later split work on, as large as common writers make it. */
export const WRITE_ROWS = 65_536

/** Bytes after which a record batch is written though it has fewer rows. */
export const WRITE_BYTES = 32 * 1024 * 1024

/** Bytes of one column's texts in a record batch: their offsets are signed 32-bit integers. */
export const TEXT_BYTES_MAX = 2 ** 31 - 1

/** Record batches of one output file; each has 24 bytes in its footer. */
export const BLOCKS_MAX = Math.floor(FOOTER_BYTES_MAX / 24)
