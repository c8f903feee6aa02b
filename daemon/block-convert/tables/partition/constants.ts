/** Limits of partitioned outputs: each with its unit and the reason for its value. */

/** Files of one partitioned output, and parts of one block's result: more is a column that identifies rows, not one that divides them. */
export const PARTITIONS_MAX = 4096

/** Columns an output is divided by: each is a level of folders, and paths have at most 4096 bytes. */
export const PARTITION_COLUMNS_MAX = 8

/** Bytes of a folder's name, `COLUMN=VALUE` percent-encoded: what file systems allow. */
export const FOLDER_NAME_BYTES_MAX = 255

/** Bytes of the index of a block's parts, 2048 for each of PARTITIONS_MAX: keys that fill seven folders' names. More is an attack on memory. */
export const INDEX_BYTES_MAX = 8 * 1024 * 1024

/** The folder of NULL, by the convention of Hive. */
export const NULL_FOLDER = '__HIVE_DEFAULT_PARTITION__'
