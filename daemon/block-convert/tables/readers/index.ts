/**
 * Independent readers: rows of CSV, NDJSON and Parquet in one canonical form (values.ts), by other code than the splitters and
 * the engine, so that a mistake of theirs shows.
 */
import type { BlockSource } from '../../index.ts'
import type { Column, SourceForm, TargetForm } from '../schema.ts'
import type { Batch, TextReaderOptions } from './batch.ts'
import { readArrow } from '../arrow/reader.ts'
import { readCsv } from '../csv/reader.ts'
import { readJson } from '../json/reader.ts'
import { readParquet } from '../parquet/reader.ts'

/** Canonical values in column order. */
export type Row = unknown[]

export type ReadOptions = TextReaderOptions
export type { Batch }

/**
 * Batches of exactly `batchRows` rows, only the last smaller, column by column.
 *
 * @throws ConversionError `contradiction` {path, line, column, value, type}, `bad-input` or `unsupported`
 */
export function readBatches (source: BlockSource, form: SourceForm | TargetForm, columns: Column[], options: ReadOptions = {}): Generator<Batch> {
  switch (form.format) {
    case 'csv': return readCsv(source, form.dialect, columns, options)
    case 'ndjson':
    case 'json': return readJson(source, form, columns, options)
    case 'parquet': return readParquet(source, columns, { rows: options.rows, present: options.present, claims: options.side === 'result', widen: options.side !== 'result' })
    case 'arrow': return readArrow(source, columns, options)
  }
}

/** The same row by row, for tests and tools; comparing column by column is several times faster. */
export async function * readRows (source: BlockSource, form: SourceForm | TargetForm, columns: Column[], options: ReadOptions = {}): AsyncGenerator<Row[]> {
  for (const batch of readBatches(source, form, columns, options)) {
    const rows: Row[] = []
    for (let i = 0; i < batch.rows; i++) rows.push(batch.columns.map(column => column[i]))
    yield rows
  }
}
