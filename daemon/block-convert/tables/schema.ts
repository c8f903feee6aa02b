/** What a table conversion is told about its data: columns, types and the form of both ends. Part of its identity. */

/** How a CSV text is written. Every field is one ASCII character. */
export interface Dialect {
  delimiter: string
  quote: string
  /** Equal to `quote` when quotes are doubled. */
  escape: string
  /** The first line names the columns. */
  header: boolean
}

export type SourceForm =
  | { format: 'csv', dialect: Dialect }
  | { format: 'ndjson' }
  | { format: 'parquet' }

export type TargetForm =
  | { format: 'csv', dialect: Dialect }
  | { format: 'ndjson' }
  | { format: 'parquet', compression: 'snappy' | 'zstd' | 'uncompressed' | 'gzip' }

/**
 * The type of a column: a DuckDB type name. Text sources give only BOOLEAN, BIGINT, DECIMAL(p,s), DOUBLE, DATE, TIME,
 * TIMESTAMP, TIMESTAMPTZ, VARCHAR and JSON (nested JSON values, kept as JSON text); Parquet sources also the narrower
 * integers, FLOAT, BLOB, UUID, TIMESTAMP_S/MS/NS.
 */
export interface Column {
  name: string
  type: string
}

/**
 * Job-wide parameters of every `table/*` converter.
 *
 * Lexical rules of text sources, proved for *every* value (not only samples): BIGINT is `-?(0|[1-9]\d*)` within 64
 * bits, so `007`, `+5`, `1.0` and `1e3` are not; DECIMAL(p,s) is `-?(0|[1-9]\d*)(\.\d{1,s})?` within p digits; BOOLEAN is
 * `true`/`false` (any one capitalisation style); DATE is `yyyy-mm-dd`; TIMESTAMP is `yyyy-mm-dd[T ]hh:mm:ss[.ffffff]`;
 * anything else is VARCHAR. An empty unquoted CSV field is NULL, a quoted empty one is the empty string.
 */
export interface TableParameters {
  columns: Column[]
  source: SourceForm
  target: TargetForm
  /** Only for one block: rows [from, to) of the bytes given (a slice of a Parquet row group). */
  rows?: [number, number]
  /** Only for one block: its CSV lines end in ways the engine would misread, so they are made equal for it (csv-line-ends.ts). */
  lineEnds?: 'mixed'
}

/** Reads parameters that crossed the wire; throws ConversionError `bad-parameters` naming the key. */
export { readTableParameters } from './parameters.ts'
