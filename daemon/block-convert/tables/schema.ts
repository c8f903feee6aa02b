/** What a table conversion is told about its data: columns, types and the form of both ends. Part of its identity. */
import type { Encoding } from '../index.ts'

/** How a CSV text is written. Every field is one ASCII character, or '' where that is allowed. */
export interface Dialect {
  delimiter: string
  /** '': there are no quotes, every character but delimiter and line ends is content. */
  quote: string
  /** Equal to `quote` when quotes are doubled; '' exactly if `quote` is. */
  escape: string
  /** The first line names the columns. */
  header: boolean
  /** Lines that begin with it are no records. Sources only. @default there are none */
  comment?: string
}


export type SourceForm =
  /** `ragged`: records with too few or too many fields are made to fit, or left out (and counted). @default an error */
  | { format: 'csv', dialect: Dialect, ragged?: 'pad' | 'skip' }
  /** `fractions: 'double'`: numbers that a double rounds may be rounded. `elements: 'values'`: an array of no objects; they are the one column. */
  | { format: 'ndjson' | 'json', fractions?: 'double', elements?: 'values' }
  | { format: 'parquet' }
  /** Blocks are IPC streams, whatever container the file is. */
  | { format: 'arrow' }

/** Text targets may be compressed part by part; `brotli` only as a whole, since it knows no concatenation. */
export type TargetForm =
  | { format: 'csv', dialect: Dialect, encoding?: Encoding }
  /** `nonfinite`: NaN and infinities become texts, null, or are an error. @default 'text' */
  | { format: 'ndjson' | 'json', nonfinite?: 'text' | 'null' | 'error', encoding?: Encoding }
  | { format: 'parquet', compression: 'snappy' | 'zstd' | 'uncompressed' | 'gzip' }
  /** Parts are IPC streams of one schema; the merger makes the container. */
  | { format: 'arrow', container: 'file' | 'stream' }

export type FormatName = SourceForm['format']

/**
 * The type of a column: a DuckDB type name (types.ts). CSV gives BOOLEAN, BIGINT, DECIMAL(p,s), DOUBLE, DATE, TIME, TIMESTAMP,
 * TIMESTAMPTZ and VARCHAR; JSON those and JSON (any value, kept as its text), LIST and STRUCT; Parquet and Arrow all there are.
 */
export interface Column {
  name: string
  type: string
  /** The user gave the type: a value that contradicts it is an error, not a reason to widen it. */
  fixed?: true
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
  /** All columns of the output, in order: the inputs' united by name. `types` is merged in when they are read. */
  columns: Column[]
  source: SourceForm
  target: TargetForm
  /** Names of the columns the output is divided by: one file per combination of their values. */
  partition?: string[]
  /** Only for one block: rows [from, to) of the bytes given (a slice of a Parquet row group). */
  rows?: [number, number]
  /** Only for one block: its CSV lines end in ways the engine would misread, so they are made equal for it (csv/line-ends.ts). */
  lineEnds?: 'mixed'
  /** Only for one block: its JSON has numbers the engine would round, so they are given to it as text (json/exact.ts). */
  numbers?: 'exact'
  /** Only for one block, where its input lacks columns or has them in another order: positions in `columns`, in the block's order. The others are NULL. */
  present?: number[]
}

/** Schema epochs: `types` in a block's slice or a job's parameters, by position in `columns`, override what was inferred. */
export type TypeOverrides = Record<string, string>

/** Reads parameters that crossed the wire; throws ConversionError `bad-parameters` naming the key. */
export { readTableParameters } from './parameters.ts'
