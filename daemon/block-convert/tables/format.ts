/** What one table format brings, as a source and as a target: one folder each, loaded when it is first used (formats.ts). */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { BlockSource, BlockTarget, Input, MediaType, Merger, Note, SplitItem } from '../index.ts'
import type { Column, SourceForm, TableParameters, TargetForm } from './schema.ts'
import type { TableSettings } from './settings.ts'

/** One block in the engine: a fresh, locked-down DuckDB (engine/duckdb.ts). */
export interface EngineTask {
  connection: DuckDBConnection
  params: TableParameters
  /** The block's bytes: a real path the engine may read. */
  path: string
  size: number
  /** The one folder that may be written. */
  folder: string
  output: string
  threads: number
  signal: AbortSignal
}

export interface SourceFormat {
  /** Columns of the inputs, united by name in order of first appearance, and the source's form. */
  prepare: (inputs: Input[], settings: TableSettings) => Promise<{ columns: Column[], source: SourceForm, notes: Note[] }>
  /** Cuts inputs into blocks, proving every value; yields `widen` where a value contradicts the types (schema epochs). */
  split: (inputs: Input[], params: TableParameters, target: BlockTarget) => AsyncIterable<SplitItem>
  /**
   * The block as an SQL FROM item with the columns `c0`, `c1`, ... of `params.columns`, each of exactly that type (`present` and `rows`
   * applied); may load it through the connection first.
   */
  from: (task: EngineTask) => string | Promise<string>
  /** The engine failed: throws ConversionError `bad-input` or `unsupported` if the block itself is at fault, as readers of our own see it. */
  examine?: (task: Pick<EngineTask, 'path' | 'params'>) => void
}

export interface TargetFormat {
  /** The target's form from settings, and what it does to columns it cannot hold. Throws ConversionError `unsupported`, `bad-parameters`. */
  form: (mediaType: MediaType, settings: TableSettings, columns: Column[], source: SourceForm) => { target: TargetForm, notes: Note[] }
  /** Writes `task.output` from a FROM item of columns `c0`, `c1`, ...; gives the rows written. */
  write: (task: EngineTask, from: string) => Promise<number>
  merger: (params: TableParameters) => Merger
  /** Structure, schema and row count of a part or a whole output (`whole`). Throws ConversionError `bad-input`. */
  inspect: (source: BlockSource, params: TableParameters, whole: boolean) => { units: number } | Promise<{ units: number }>
}
