/** Decides the parameters of a job from the inputs and the user's settings: columns, the forms of both ends, and what to tell about them. */
import { ConversionError } from '../errors.ts'
import { sourceFormat, tableType, targetFormat } from './formats.ts'
import type { Converter, Input, Note, PrepareOptions } from '../index.ts'
import type { Column, TableParameters } from './schema.ts'
import { nearest, readSettings } from './settings.ts'

/** The parameters of a job. Throws ConversionError `bad-parameters`, `bad-input`, `unsupported` or `input-unreadable`. */
export async function prepareTable (inputs: Input[], converter: Pick<Converter, 'from' | 'to'>, settings: Record<string, string>, { encoding }: PrepareOptions = {}): Promise<{ parameters: TableParameters, notes: Note[] }> {
  const from = tableType(converter.from).format
  const to = tableType(converter.to).format
  const wanted = readSettings(settings, from, to)
  if (inputs.length === 0) throw new ConversionError('bad-parameters', 'a conversion needs at least one input', { key: 'inputs' })
  const { columns, source, notes } = await (await sourceFormat(from)).prepare(inputs, wanted)
  requireDistinct(columns, inputs[0]!.path)
  const { target, notes: targetNotes } = (await targetFormat(to)).form(converter.to, wanted, columns, source)
  const parameters: TableParameters = { columns, source, target }
  if (encoding != null) {
    if (target.format === 'parquet' || target.format === 'arrow') throw new ConversionError('unsupported', `${tableType(converter.to).name} is compressed inside, not as a whole; leave out the compression's extension${target.format === 'parquet' ? ', and choose with --set compression=' : ''}`, { encoding })
    // A brotli stream cannot be joined of parts, so each of the output's files would keep a compressor of its own to the end.
    if (encoding === 'brotli' && wanted.partition.length > 0) throw new ConversionError('unsupported', 'brotli and \'partition_by\' do not go together; end the target with .gz, .zst or .xz instead of .br', { encoding, key: 'partition_by' })
    target.encoding = encoding
  }
  if (wanted.partition.length > 0) parameters.partition = partition(wanted.partition, columns)
  return { parameters, notes: [...notes, ...targetNotes] }
}

/** Engines do not tell `a` from `A`; CSV headers are made distinct, keys and Parquet columns are content and cannot be. */
function requireDistinct (columns: Column[], path: string): void {
  const seen = new Map<string, string>()
  for (const { name } of columns) {
    if (name === '') throw new ConversionError('unsupported', `'${path}' has a column without a name; rename it`, { path })
    const other = seen.get(name.toLowerCase())
    if (other != null) throw new ConversionError('unsupported', `'${path}' has columns '${other}' and '${name}', which differ only in case; rename one`, { path, column: name })
    seen.set(name.toLowerCase(), name)
  }
}

function partition (names: string[], columns: Column[]): string[] {
  for (const name of names) {
    if (columns.some(column => column.name === name)) continue
    const near = nearest(name, columns.map(column => column.name))
    throw new ConversionError('bad-parameters', `setting 'partition_by': there is no column '${name}'${near == null ? '' : `; did you mean '${near}'?`}`, { key: 'partition_by' })
  }
  if (names.length >= columns.length) throw new ConversionError('bad-parameters', 'setting \'partition_by\' names all columns: no data would be left for the files', { key: 'partition_by' })
  return names
}
