/** NDJSON (one object per line) and JSON (an array of objects) as sources and as targets. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import type { TableParameters, TargetForm } from '../schema.ts'
import { readSamples } from '../sample.ts'
import { inferJsonColumns } from './infer.ts'
import { splitNdjson } from './split.ts'
import { jsonFrom, writeNdjson } from './sql.ts'
import { inspectText } from '../text-inspect.ts'
import { textMerger } from '../text-merge.ts'

export const ndjsonSource: SourceFormat = {
  prepare: async (inputs, wanted) => {
    const samples = []
    for (const input of inputs) samples.push(await readSamples(input))
    return { columns: inferJsonColumns(inputs, samples, wanted), source: { format: 'ndjson' }, notes: [] }
  },
  split: splitNdjson,
  from: jsonFrom
}

export const ndjsonTarget: TargetFormat = {
  form: () => ({ target: { format: 'ndjson' }, notes: [] }),
  write: writeNdjson,
  merger: textMerger,
  inspect: (source, params) => inspectText(source, params, ndjsonForm(params))
}

function ndjsonForm ({ target }: TableParameters): TargetForm & { format: 'ndjson' } {
  if (target.format !== 'ndjson') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be ndjson', { key: 'target.format' })
  return target as TargetForm & { format: 'ndjson' }
}

/** Arrays: not there yet. */
const missing = (): never => { throw new ConversionError('unsupported', 'JSON arrays cannot be converted yet') }
export const jsonSource: SourceFormat = { prepare: missing, split: missing, from: missing }
export const jsonTarget: TargetFormat = { form: missing, write: missing, merger: missing, inspect: missing }
