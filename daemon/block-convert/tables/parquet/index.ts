/** Parquet as a source and as a target. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { inspectParquet } from './inspect.ts'
import { parquetMerger } from './merge.ts'
import { parquetColumns } from './schema.ts'
import { splitParquet } from './split.ts'
import { parquetFrom, writeParquet } from './sql.ts'

export const parquetSource: SourceFormat = {
  prepare: async inputs => ({ columns: await parquetColumns(inputs[0]!.path), source: { format: 'parquet' }, notes: [] }),
  split: splitParquet,
  from: parquetFrom
}

export const parquetTarget: TargetFormat = {
  form: (_mediaType, { compression }) => ({ target: { format: 'parquet', compression }, notes: [] }),
  write: async (task, from) => await writeParquet(task, from, parquetForm(task.params).compression),
  merger: parquetMerger,
  inspect: (source, params) => inspectParquet(source, params, parquetForm(params))
}

function parquetForm ({ target }: TableParameters): TargetForm & { format: 'parquet' } {
  if (target.format !== 'parquet') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be parquet', { key: 'target.format' })
  return target
}
