/**
 * Everything of block-convert that costs CPU, run in worker threads so that no event loop of a daemon ever waits for it:
 * describing, sampling, splitting with digests, materialising, inspecting, comparing, merging.
 */
import type { BlockRecipe, BlockSource, BlockTarget, Conversion, Distance, Input, Note } from './index.ts'

export interface Toolbox {
  /** Media type (content, extension, or `from` if given), size, mtime. Throws ConversionError `input-unreadable` or `unknown-type`. */
  describe: (path: string, from?: string) => Promise<Input>
  /** Finds the way to the target (`parquet`, `csv.gz`, a media type), decodes and samples the inputs, decides the job-wide parameters. Throws ConversionError. */
  prepare: (inputs: Input[], to: string, settings: Record<string, string>) => Promise<Prepared>
  /** Removes what `prepare` wrote. Never throws. */
  release: (prepared: Prepared) => Promise<void>
  /** Recipes in order, many per batch when they are small. Pulling is back-pressure. Throws ConversionError. */
  split: (inputs: Input[], conversion: Conversion, target: BlockTarget, options: { signal: AbortSignal }) => AsyncIterable<SplitBatch>
  /** Writes a block's derived bytes to a new file and verifies its digest (`input-changed` if it differs). */
  materialise: (inputs: Input[], recipe: BlockRecipe, path: string) => Promise<void>
  /** sha2-256 and size of a file. */
  hash: (path: string) => Promise<{ digest: Uint8Array, size: number }>
  /** The always-on check of a result. Throws ConversionError `bad-input` saying what is wrong. */
  inspect: (result: BlockSource, recipe: BlockRecipe, conversion: Conversion) => Promise<{ units: number }>
  /** The full comparison of a result with its source bytes. */
  distance: (inputs: Input[], recipe: BlockRecipe, result: BlockSource, conversion: Conversion) => Promise<Distance>
  /** Opens the partial file of an output beside its final path. Throws ConversionError `unsupported` / a system error with `code`. */
  output: (finalPath: string, conversion: Conversion, options: { overwrite: boolean }) => Promise<OutputWriter>
  close: () => Promise<void>
}

/** A job as it is to be carried out. */
export interface Prepared {
  conversion: Conversion
  /** What is split: the inputs described, those that were compressed or in another character set as decoded copies (`original` names them). */
  inputs: Input[]
  notes: Note[]
  /** Files made for this job; `release` removes them. */
  copies: string[]
}

/** Some of what a splitter yields: first the change of the schema, if there is one, then the blocks. */
export interface SplitBatch {
  /** See `SplitItem`. */
  widen?: Record<string, unknown>
  recipes: BlockRecipe[]
  notes: Note[]
}

/** Two-phase output: a partial file beside the final path, then whole-output check, fsync, and an atomic rename. */
export interface OutputWriter {
  /** Appends parts, in merge order. */
  add: (parts: BlockSource[]) => Promise<void>
  /** Writes the end, fsyncs, checks the whole (`inspectWhole`). The final path is still untouched. */
  finish: (expected: { units?: number, blocks: number }) => Promise<{ size: number, digest: Uint8Array, units: number }>
  /** Renames to the final path; without `overwrite` never replaces a file that appeared meanwhile. */
  commit: () => Promise<void>
  /** Starts again from nothing: a merged part proved wrong, or the schema was widened and this is the conversion now. */
  reset: (conversion?: Conversion) => Promise<void>
  /** Removes the partial file. Never throws. */
  abort: () => Promise<void>
}

export interface ToolboxInit {
  /** Worker threads. @default 2 */
  threads?: number
  /** Folder for temporary files. */
  scratch: string
}

export { createToolbox } from './toolbox-threads.ts'
