/** CSV as a source and as a target. */
import type { SourceFormat, TargetFormat } from '../format.ts'
import { ConversionError } from '../../errors.ts'
import { isNested, parseType } from '../types.ts'
import type { Column, Dialect, TableParameters, TargetForm } from '../schema.ts'
import type { Note } from '../../index.ts'
import { requireDistinct } from './detect.ts'
import { copyPlain } from './line-ends.ts'
import { prepareCsv } from './prepare.ts'
import { splitCsv } from './split.ts'
import { csvFrom, writeCsv } from './sql.ts'
import { inspectText } from '../text-inspect.ts'
import { textMerger } from '../text-merge.ts'

export const csvSource: SourceFormat = {
  prepare: prepareCsv,
  split: splitCsv,
  from: async task => {
    const { source, lineEnds } = task.params
    if (source.format !== 'csv') throw new ConversionError('bad-parameters', 'parameter \'source.format\' must be csv', { key: 'source.format' })
    const { dialect } = source
    if (lineEnds !== 'mixed' && dialect.escape === dialect.quote) return csvFrom(task, dialect)
    const path = `${task.output}.lines`
    const size = await copyPlain(task.path, path, dialect)
    return csvFrom({ ...task, path, size }, { ...dialect, escape: dialect.quote })
  }
}

export const csvTarget: TargetFormat = {
  form: (_mediaType, { target }, columns) => {
    const quote = target.quote ?? '"'
    const dialect = { delimiter: target.delimiter ?? ',', quote, escape: target.escape ?? quote, header: target.header ?? true }
    requireDistinct(dialect, 'to.')
    requireCsvColumns(columns, dialect)
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

function requireCsvColumns (columns: Column[], { delimiter, quote, header }: Dialect): void {
  if (quote === '' && header) {
    const name = columns.find(({ name }) => name.includes(delimiter) || /[\r\n]/.test(name))?.name
    if (name != null) throw new ConversionError('unsupported', `the name of column ${JSON.stringify(name)} needs quotes; leave out quote=none, or choose another --set to.delimiter=...`, { column: name })
  }
  const name = columns.find(column => column.name.includes('\0'))?.name
  if (name != null) throw new ConversionError('unsupported', `column ${JSON.stringify(name)} has a NUL character in its name, which CSV cannot hold`, { column: name })
}

function nestedNotes (columns: Column[]): Note[] {
  const nested = columns.filter(({ type }) => isNested(parseType(type))).map(({ name }) => name)
  return nested.length === 0 ? [] : [{ code: 'nested-as-text', message: `CSV has no nested values: ${nested.length === 1 ? `column '${nested[0]}' is` : `${nested.length} columns are`} written as JSON text`, columns: nested }]
}
