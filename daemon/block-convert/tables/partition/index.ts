/**
 * Partitioned outputs (`--set partition_by=A,B`): a folder in the layout of Hive, `A=1/B=x/data-0.parquet`. A block's result is a container
 * of one file per key (container.ts); the writer of outputs (output-folder.ts) merges those of equal keys into the files.
 */
import { ENCODING_EXTENSIONS } from '../../encodings.ts'
import type { BlockSource, Conversion, DividedOutput, FilePart } from '../../index.ts'
import { tableType } from '../formats.ts'
import type { TableParameters } from '../schema.ts'
import { PARTITIONS_MAX } from './constants.ts'
import { Container } from './container.ts'
import { keyPath, partitioning, tooManyPartitions } from './key.ts'

/** The folder a partitioned conversion writes. */
export function dividedTable (conversion: Conversion, params: TableParameters): DividedOutput {
  const { file } = partitioning(params)
  const names = params.partition ?? []
  const encoding = 'encoding' in file.target ? file.target.encoding : undefined
  const name = `data-0.${tableType(conversion.converter.to).extensions[0]}${encoding == null ? '' : `.${ENCODING_EXTENSIONS[encoding][0]}`}`
  return {
    file: { ...conversion, parameters: { ...file } },
    filesMax: PARTITIONS_MAX,
    tooMany: () => tooManyPartitions(names),
    parts: function * (result: BlockSource): Generator<FilePart> {
      const container = new Container(result, params)
      try {
        for (const part of container.parts) yield { path: `${keyPath(names, part.key)}/${name}`, units: part.rows, part: container.bytes(part) }
      } finally {
        container.close()
      }
    },
    isFolder: folder => /^[^=]+=/.test(folder),
    isFile: path => /^data-\d+\.[a-z0-9.]+$/.test(path)
  }
}
