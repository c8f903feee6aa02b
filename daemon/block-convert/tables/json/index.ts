/** NDJSON (one object per line) and JSON (an array, or objects one after the other) as sources and as targets. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import { prepareJson } from './infer.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { splitJson } from './split.ts'
import { jsonFrom } from './sql.ts'
import { jsonForm } from './target.ts'
import { inspectText } from '../text-inspect.ts'
import { textMerger } from '../text-merge.ts'
import { writeElements, writeNdjson } from './write.ts'

export const ndjsonSource: SourceFormat = {
  prepare: async (inputs, wanted) => await prepareJson(inputs, wanted, 'ndjson'),
  split: splitJson,
  from: jsonFrom
}

export const jsonSource: SourceFormat = { ...ndjsonSource, prepare: async (inputs, wanted) => await prepareJson(inputs, wanted, 'json') }

export const ndjsonTarget: TargetFormat = {
  form: (_mediaType, wanted, columns, source) => jsonForm('ndjson', wanted, columns, source),
  write: writeNdjson,
  merger: textMerger,
  inspect: (file, params, whole) => inspectText(file, params, jsonTargetForm(params), whole)
}

export const jsonTarget: TargetFormat = {
  ...ndjsonTarget,
  form: (_mediaType, wanted, columns, source) => jsonForm('json', wanted, columns, source),
  write: writeElements
}

function jsonTargetForm ({ target }: TableParameters): TargetForm & { format: 'ndjson' | 'json' } {
  if (target.format !== 'ndjson' && target.format !== 'json') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be ndjson or json', { key: 'target.format' })
  return target
}
