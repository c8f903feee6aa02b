/** CSV as a source and as a target. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import { isNested, parseType } from '../types.ts'
import type { Column, TableParameters, TargetForm } from '../schema.ts'
import type { Note } from '../../index.ts'
import { copyWithOneLineEnd } from './line-ends.ts'
import { prepareCsv } from './prepare.ts'
import { splitCsv } from './split.ts'
import { csvFrom, writeCsv } from './sql.ts'
import { inspectText } from '../text-inspect.ts'
import { textMerger } from '../text-merge.ts'

export const csvSource: SourceFormat = {
  prepare: prepareCsv,
  split: splitCsv,
  from: async task => {
    const { columns, source, lineEnds } = task.params
    if (source.format !== 'csv') throw new ConversionError('bad-parameters', 'parameter \'source.format\' must be csv', { key: 'source.format' })
    if (lineEnds !== 'mixed') return csvFrom(task, columns, source.dialect)
    const path = `${task.output}.lines`
    const size = await copyWithOneLineEnd(task.path, path, source.dialect)
    return csvFrom({ ...task, path, size }, columns, source.dialect)
  }
}

export const csvTarget: TargetFormat = {
  form: (_mediaType, { target }, columns) => {
    requireCsvColumns(columns)
    const quote = target.quote ?? '"'
    const dialect = { delimiter: target.delimiter ?? ',', quote, escape: target.escape ?? quote, header: target.header ?? true }
    return { target: { format: 'csv', dialect }, notes: nestedNotes(columns) }
  },
  write: async (task, from) => await writeCsv(task, from, csvForm(task.params).dialect),
  merger: textMerger,
  inspect: (source, params) => inspectText(source, params, csvForm(params))
}

function csvForm ({ target }: TableParameters): TargetForm & { format: 'csv' } {
  if (target.format !== 'csv') throw new ConversionError('bad-parameters', 'parameter \'target.format\' must be csv', { key: 'target.format' })
  return target
}

function requireCsvColumns (columns: Column[]): void {
  const name = columns.find(column => column.name.includes('\0'))?.name
  if (name != null) throw new ConversionError('unsupported', `column ${JSON.stringify(name)} has a NUL character in its name, which CSV cannot hold`, { column: name })
}

function nestedNotes (columns: Column[]): Note[] {
  const nested = columns.filter(({ type }) => isNested(parseType(type))).map(({ name }) => name)
  return nested.length === 0 ? [] : [{ code: 'nested-as-text', message: `CSV has no nested values: ${nested.length === 1 ? `column '${nested[0]}' is` : `${nested.length} columns are`} written as JSON text`, columns: nested }]
}
