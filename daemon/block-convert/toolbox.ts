/**
 * Everything of block-convert that costs CPU, run in worker threads so that no event loop of a daemon ever waits for it:
 * describing, sampling, splitting with digests, materialising, inspecting, comparing, merging.
 */
import type { BlockRecipe, BlockSource, BlockTarget, Conversion, Distance, Input, MediaType } from './index.ts'

export interface Toolbox {
  /** Media type (content, extension, or `from` if given), size, mtime. Throws ConversionError `input-unreadable` or `unknown-type`. */
  describe: (path: string, from?: string) => Promise<Input>
  /** Samples the inputs and decides the job-wide parameters. Throws ConversionError. */
  prepare: (inputs: Input[], to: MediaType, settings: Record<string, string>) => Promise<Conversion>
  /** Recipes in order, many per batch when they are small. Pulling is back-pressure. Throws ConversionError. */
  split: (inputs: Input[], conversion: Conversion, target: BlockTarget, options: { signal: AbortSignal }) => AsyncIterable<BlockRecipe[]>
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

/** Two-phase output: a partial file beside the final path, then whole-output check, fsync, and an atomic rename. */
export interface OutputWriter {
  /** Appends parts, in merge order. */
  add: (parts: BlockSource[]) => Promise<void>
  /** Writes the end, fsyncs, checks the whole (`inspectWhole`). The final path is still untouched. */
  finish: (expected: { units?: number, blocks: number }) => Promise<{ size: number, digest: Uint8Array, units: number }>
  /** Renames to the final path; without `overwrite` never replaces a file that appeared meanwhile. */
  commit: () => Promise<void>
  /** Starts again from nothing (a merged part proved wrong). */
  reset: () => Promise<void>
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
