/**
 * Converting data in blocks: media types, splitters, converters, mergers and the checks that compare a result with
 * its source. Nothing in here knows of peers, networks or jobs.
 *
 * The law every converter obeys, whatever the block borders: `merge(map(convert, split(x)))` is equivalent to
 * `convert(x)`, and both to `x`, in the sense the converter declares.
 *
 * @example
 * ```ts
 * const toolbox = createToolbox({ scratch: '/tmp/weft' })
 * const described = [await toolbox.describe('in.csv')]
 * const { conversion, inputs } = await toolbox.prepare(described, 'parquet', {})
 * for await (const batch of toolbox.split(inputs, conversion, { bytes: 1 << 24 }, { signal })) { ... }
 * ```
 */

/** An IANA media type without parameters, for instance `text/csv`. */
export type MediaType = string

/** A file to be read in place. It is never copied and never written. */
export interface Input {
  /** Absolute path. */
  path: string
  mediaType: MediaType
  /** Bytes when the job was described. */
  size: number
  /** Last modification, UTC milliseconds, when the job was described; a later difference is "the input changed". */
  mtimeMs: number
  /** The file holds `mediaType` compressed. Absent once it is decoded. */
  encoding?: Encoding
  /** `path` is a decoded copy of this file of the user's, for the time of the job; messages name this one. */
  original?: string
}

/** How bytes are compressed on top of their media type, as in the `.gz` of `.csv.gz`. */
export type Encoding = 'gzip' | 'zstd' | 'brotli' | 'xz'

/**
 * Something a user should know about a conversion though it is no failure: a rule that was applied, something detected. Reports list
 * them; what would be lost silently otherwise is always one.
 */
export interface Note {
  /** Stable, for programs: `encoding-detected`, `columns-renamed`, `rows-padded`, `nested-as-text`, ... */
  code: string
  /** One sentence, with the names and counts that matter. */
  message: string
  /** Path of the input it speaks of. */
  input?: string
  /** Columns it speaks of. */
  columns?: string[]
  /** Rows or values it happened to, where they are counted. */
  count?: number
}

/**
 * What a splitter yields: blocks in order, notes as they come up, and changes of the schema. A `widen` says that a value was found that
 * contradicts the types so far: from here on, and for all blocks before, `widen` (the whole set of overrides, JSON-like) is part of every
 * block's slice and of the job's parameters. Blocks converted without it are converted again.
 */
export type SplitItem = BlockRecipe | { note: Note } | { widen: Record<string, unknown>, note: Note }

/** Bytes given literally (a CSV header, a Parquet footer), or a byte range of one of the job's inputs. */
export type RecipePart = { bytes: Uint8Array } | { input: number, offset: number, length: number }

/** How to derive one block's bytes from the job's inputs. Small: it never holds the bulk of the data. */
export interface BlockRecipe {
  /** Position in the merge order, from 0 without gaps. */
  index: number
  parts: RecipePart[]
  /** Bytes derived: the sum over `parts`. */
  size: number
  /** sha2-256 (32 bytes) of the derived bytes. */
  digest: Uint8Array
  /** Rows, frames or members in the block, where the splitter knows it. */
  units?: number
  /** Where the block starts in its input, for messages: 1-based line of a text table, row of a Parquet file. */
  origin: { input: number, line: number }
  /**
   * What is special about this block beyond the job's parameters, merged over them for its conversion; for instance
   * `{ rows: [0, 5000] }` for a slice of a row group. JSON-like, canonical when encoded as DAG-CBOR.
   */
  slice?: Record<string, unknown>
}

/** What the splitter aims at. */
export interface BlockTarget {
  /** Wanted bytes per block; the last may be smaller and one indivisible unit may be larger. */
  bytes: number
}

/** A whole block, in a file or in memory. */
export type BlockSource = { path: string, size: number } | { bytes: Uint8Array }

/** What a converter's engine is given to work with. */
export interface ConvertContext {
  /** Where the output is to be written; does not exist yet. The folder is writable and private to this block. */
  output: string
  /** Threads the engine may use. 1 makes the output repeatable. */
  threads: number
  /** Bytes of memory the engine should stay under; the executor enforces a harder limit above it. */
  memoryBytes: number
  signal: AbortSignal
  /** Monotonic counter of progress in any unit; a beat without progress makes a worker suspect. */
  progress: (done: number) => void
}

export interface BlockResult {
  /** Rows, frames or members written, where the engine tells. */
  units?: number
  /** Present if the output is small and was not written to `context.output`. */
  bytes?: Uint8Array
}

/** Equivalence of a result with its source. */
export type Equivalence = 'byte-exact' | 'content-exact' | { metric: string, default: number }

/** JSON-like parameters; their canonical form is DAG-CBOR and part of the conversion's identity. */
export type Parameters = Record<string, unknown>

/** An edge of the conversion graph. */
export interface Converter {
  /** For instance `table/csv-parquet`. */
  id: string
  /** Version of the edge's observable behaviour, the engine's included. */
  version: string
  from: MediaType
  to: MediaType
  equivalence: Equivalence
  deterministic: 'bytes' | 'content' | 'no'
  /**
   * `process`: needs an engine, so it runs in a child process of the executor. `inline`: trivial built-in without an
   * engine, may run in the daemon itself (probe converters).
   */
  runs: 'process' | 'inline'
  /** Parts of different classes never meet in one output. */
  mergeClass: (params: Parameters) => string
  /** Throws a ConversionError `bad-parameters` naming the key; returns them with defaults filled in. */
  validate: (params: Parameters) => Parameters
  /** Called inside the executor's child (or inline). Throws ConversionError for every expected failure. */
  convert: (input: BlockSource, params: Parameters, context: ConvertContext) => Promise<BlockResult>
}

/** One conversion of one job: the same for every block of it. */
export interface Conversion {
  converter: { id: string, version: string, from: MediaType, to: MediaType, equivalence: Equivalence }
  /** Validated, defaults filled in, decided once for the whole job (dialect, schema, ...). */
  parameters: Parameters
}

/** Distance of a result from its source. 0 means equal; for exact equivalences anything else is a failure. */
export interface Distance {
  value: number
  /** Rows, frames or bytes compared. */
  compared: number
  /** The first difference, in words with its position, if there is one. */
  difference?: string
}

export interface PrepareOptions {
  /** How the output is to be compressed on top of its media type. */
  encoding?: Encoding
}

/** A family of media types and everything that can be done with them. A new family is one folder and one list entry. */
export interface Family {
  name: string
  /** Media types this family reads or writes, with their usual file extensions (without dot, first one preferred). */
  mediaTypes: Array<{ mediaType: MediaType, extensions: string[] }>
  converters: Converter[]
  /** The type of a file by its first bytes (up to 64 KiB) and extension, or undefined if it is none of this family's. */
  sniff: (head: Uint8Array, extension: string) => MediaType | undefined
  /** Decides the job-wide parameters by looking at samples across the inputs. Runs in a worker thread. */
  prepare: (inputs: Input[], converter: Converter, settings: Record<string, string>, options: PrepareOptions) => Promise<{ parameters: Parameters, notes: Note[] }>
  /** Yields recipes lazily, in order, with what came up meanwhile. Runs in a worker thread. */
  split: (inputs: Input[], conversion: Conversion, target: BlockTarget) => AsyncIterable<SplitItem>
  /** Streaming merge of parts that arrive in order. Runs in a worker thread. */
  merger: (conversion: Conversion) => Merger
  /** For conversions whose output is a folder of files, how it is divided; undefined (or no such function): it is one file. */
  divided?: (conversion: Conversion) => Promise<DividedOutput | undefined>
  /** Always-on check of one result: decodes to the end, counts, schema. Throws ConversionError `bad-input`. */
  inspect: (result: BlockSource, recipe: BlockRecipe, conversion: Conversion) => Promise<{ units: number }>
  /** Full comparison of one block with its source, by another reader than the engine that wrote it. */
  distance: (original: BlockSource, result: BlockSource, recipe: BlockRecipe, conversion: Conversion) => Promise<Distance>
  /** Whole-output check before the rename: structure, total counts. Throws ConversionError `bad-input`. */
  inspectWhole: (path: string, expected: { units?: number, blocks: number }, conversion: Conversion) => Promise<{ units: number }>
}

/** An output that is a folder: which part of a result belongs to which of its files. Every file is an output of its own conversion. */
export interface DividedOutput {
  /** What each file is: merged and checked as an output of this conversion. */
  file: Conversion
  /** Files at most; above it `tooMany` is the failure. */
  filesMax: number
  tooMany: () => Error
  /** The parts of a result, in order. Throws ConversionError. */
  parts: (result: BlockSource) => Iterable<FilePart>
  /** Whether a folder, or a file, of this name may be of an output like this: others are never replaced. */
  isFolder: (name: string) => boolean
  isFile: (name: string) => boolean
}

export interface FilePart {
  /** Relative to the output's folder, with `/`. */
  path: string
  units: number
  part: BlockSource
}

/** Writes one output. Associative, and has an empty part: no parts at all give a valid empty output. */
export interface Merger {
  /** Bytes to write before the first part. */
  start: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
  /** Bytes to write for the next part. */
  add: (part: BlockSource) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
  /** Bytes to write after the last part. */
  end: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export { families, mediaTypeOf, parseTarget, ENCODING_EXTENSIONS, extensionOf, findConverter, converterById, listConverters, familyOf } from './families.ts'
export { ConversionError, type ConversionErrorCode } from './errors.ts'
export { describeInput } from './sniff.ts'
export { RecipeReader, readRecipe, readRecipeBytes, checkUnchanged } from './source.ts'
export { createToolbox, type Toolbox, type OutputWriter, type Prepared, type SplitBatch } from './toolbox.ts'
export { prepareJob } from './prepare.ts'
export { planRoute, type Route } from './route.ts'
export { removePartials } from './output-paths.ts'
export { digestOfOutput } from './output-folder.ts'
