/** The table formats there are, by media type. Each is a folder, loaded when it is first used: a daemon that coordinates stays small. */
import { ARROW_FILE, ARROW_STREAM, CSV, JSON_ARRAY, NDJSON, PARQUET } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { SourceFormat, TargetFormat } from './format.ts'
import type { MediaType } from '../index.ts'
import type { FormatName } from './schema.ts'

export interface TableType {
  mediaType: MediaType
  /** As in the ids of converters: `table/csv-arrows`. */
  name: string
  format: FormatName
  extensions: string[]
}

export const TABLE_TYPES: TableType[] = [
  { mediaType: CSV, name: 'csv', format: 'csv', extensions: ['csv', 'tsv'] },
  { mediaType: NDJSON, name: 'ndjson', format: 'ndjson', extensions: ['ndjson', 'jsonl'] },
  { mediaType: JSON_ARRAY, name: 'json', format: 'json', extensions: ['json'] },
  { mediaType: PARQUET, name: 'parquet', format: 'parquet', extensions: ['parquet', 'pq'] },
  { mediaType: ARROW_FILE, name: 'arrow', format: 'arrow', extensions: ['arrow', 'feather'] },
  { mediaType: ARROW_STREAM, name: 'arrows', format: 'arrow', extensions: ['arrows'] }
]

/** @throws ConversionError `unknown-type` */
export function tableType (mediaType: MediaType): TableType {
  const type = TABLE_TYPES.find(candidate => candidate.mediaType === mediaType)
  if (type == null) throw new ConversionError('unknown-type', `'${mediaType}' is no table type`, { mediaType })
  return type
}

export async function sourceFormat (format: FormatName): Promise<SourceFormat> {
  switch (format) {
    case 'csv': return (await import('./csv/index.ts')).csvSource
    case 'ndjson': return (await import('./json/index.ts')).ndjsonSource
    case 'json': return (await import('./json/index.ts')).jsonSource
    case 'parquet': return (await import('./parquet/index.ts')).parquetSource
    case 'arrow': return (await import('./arrow/index.ts')).arrowSource
  }
}

export async function targetFormat (format: FormatName): Promise<TargetFormat> {
  switch (format) {
    case 'csv': return (await import('./csv/index.ts')).csvTarget
    case 'ndjson': return (await import('./json/index.ts')).ndjsonTarget
    case 'json': return (await import('./json/index.ts')).jsonTarget
    case 'parquet': return (await import('./parquet/index.ts')).parquetTarget
    case 'arrow': return (await import('./arrow/index.ts')).arrowTarget
  }
}
