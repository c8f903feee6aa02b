/**
 * Independent readers: rows of CSV, NDJSON and Parquet in one canonical form (values.ts), by other code than the splitters and
 * the engine, so that a mistake of theirs shows.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import type { Column, SourceForm, TargetForm } from '../schema.ts'
import type { Batch, TextReaderOptions } from './batch.ts'
import { readCsv } from '../csv/reader.ts'
import { readNdjson } from '../json/reader.ts'
import { readParquet } from '../parquet/reader.ts'

/** Canonical values in column order. */
export type Row = unknown[]

export type ReadOptions = TextReaderOptions
export type { Batch }

/**
 * Batches of exactly BATCH_ROWS rows, only the last smaller, column by column.
 *
 * @throws ConversionError `contradiction` {path, line, column, value, type}, `bad-input` or `unsupported`
 */
export function readBatches (source: BlockSource, form: SourceForm | TargetForm, columns: Column[], options: ReadOptions = {}): Generator<Batch> {
  switch (form.format) {
    case 'csv': return readCsv(source, form.dialect, columns, options)
    case 'ndjson': return readNdjson(source, columns, options)
    case 'parquet': return readParquet(source, columns, { rows: options.rows, claims: options.side === 'result' })
    case 'json':
    case 'arrow': throw new ConversionError('unsupported', `${form.format} cannot be read yet`)
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
