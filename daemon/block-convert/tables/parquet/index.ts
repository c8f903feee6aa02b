/** Parquet as a source and as a target. */
import type { EngineTask, SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { prepareParquet } from './inputs.ts'
import { inspectParquet } from './inspect.ts'
import { parquetMerger } from './merge.ts'
import { readParquet } from './reader.ts'
import { readableBlock } from './rewrite.ts'
import { splitParquet } from './split.ts'
import { parquetFrom, writeParquet } from './sql.ts'

export const parquetSource: SourceFormat = {
  prepare: async inputs => ({ ...await prepareParquet(inputs), source: { format: 'parquet' } }),
  split: splitParquet,
  from: async task => parquetFrom({ ...task, path: await readableBlock(task.path, `${task.output}.unpacked`) }),
  examine: examineParquet
}

export const parquetTarget: TargetFormat = {
  form: (_mediaType, { compression }) => ({ target: { format: 'parquet', compression }, notes: [] }),
  write: async (task, from) => await writeParquet(task, from, parquetForm(task.params).compression),
  merger: parquetMerger,
  inspect: (source, params) => inspectParquet(source, params, parquetForm(params))
}

/** Reads the whole block, of which the engine may have read more than the rows wanted. */
function examineParquet ({ path, params: { columns, present } }: Pick<EngineTask, 'path' | 'params'>): void {
  try {
    const batches = readParquet({ path, size: 0 }, columns, { present, widen: true })
    while (batches.next().done !== true);
  } catch (error) {
    if (!(error instanceof ConversionError) || error.code === 'input-unreadable') return
    // The path is that of a worker's copy.
    throw new ConversionError(error.code, error.message.replaceAll(path, 'the block'), error.details)
  }
}

function parquetForm ({ target }: TableParameters): TargetForm & { format: 'parquet' } {
  if (target.format !== 'parquet') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be parquet', { key: 'target.format' })
  return target
}
