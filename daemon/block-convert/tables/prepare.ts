/** Decides the parameters of a job from samples across its inputs and the user's settings: dialect, columns, target form. */
import { CSV, NDJSON, PARQUET } from './constants.ts'
import { emptyCsv } from './csv-split.ts'
import { columnNames, parseRecords, sniffDelimiter, type Field } from './dialect.ts'
import { ConversionError } from '../errors.ts'
import type { Converter, Input, MediaType } from '../index.ts'
import { ColumnEvidence, looksLikeHeader } from './infer.ts'
import { inferJsonColumns } from './json-infer.ts'
import { lexicalRule } from './lexical.ts'
import { readSamples, type Sample } from './sample.ts'
import type { Column, Dialect, SourceForm, TableParameters, TargetForm } from './schema.ts'
import { nearest, readSettings, type TableSettings } from './settings.ts'

/** Share of a window's records that must have the right width for the window to count. */
const SOUND_SHARE = 0.5

export type Format = 'csv' | 'ndjson' | 'parquet'

export function formatOf (mediaType: MediaType): Format {
  switch (mediaType) {
    case CSV: return 'csv'
    case NDJSON: return 'ndjson'
    case PARQUET: return 'parquet'
    default: throw new ConversionError('unknown-type', `'${mediaType}' is no table type`, { mediaType })
  }
}

/** The parameters of a job. Throws ConversionError `bad-parameters`, `bad-input`, `unsupported` or `input-unreadable`. */
export async function prepareTable (inputs: Input[], converter: Pick<Converter, 'from' | 'to'>, settings: Record<string, string>): Promise<TableParameters> {
  const from = formatOf(converter.from)
  const to = formatOf(converter.to)
  const wanted = readSettings(settings, from, to)
  if (inputs.length === 0) throw new ConversionError('bad-parameters', 'a conversion needs at least one input', { key: 'inputs' })
  const { columns, source } = await readSource(from, inputs, wanted)
  requireDistinct(columns, inputs[0]!.path)
  const target = targetForm(to, wanted)
  if (target.format === 'csv') requireCsvColumns(columns)
  return { columns, source, target }
}

async function readSource (from: Format, inputs: Input[], wanted: TableSettings): Promise<{ columns: Column[], source: SourceForm }> {
  if (from === 'parquet') {
    const { parquetColumns } = await import('./parquet-schema.ts')
    return { columns: await parquetColumns(inputs[0]!.path), source: { format: 'parquet' } }
  }
  const samples: Sample[][] = []
  for (const input of inputs) samples.push(await readSamples(input))
  if (from === 'ndjson') return { columns: inferJsonColumns(inputs, samples, wanted), source: { format: 'ndjson' } }
  return csvSource(inputs, samples, wanted)
}

function csvSource (inputs: Input[], samples: Sample[][], wanted: TableSettings): { columns: Column[], source: SourceForm } {
  const path = inputs[0]!.path
  const head = samples[0]![0]!
  if (head.text === '') throw emptyCsv(path)
  const quote = wanted.quote ?? '"'
  const delimiter = wanted.delimiter ?? sniffDelimiter(head.text, quote)
  const dialect: Dialect = { delimiter, quote, escape: quote, header: wanted.header ?? true }

  let records = parseRecords(head.text, dialect, { partial: !head.last })
  // Blank lines only: one column, all of it missing.
  if (records.length === 0) records = parseRecords(head.text, dialect, { partial: !head.last, columns: 1 })
  if (records.length === 0) throw new ConversionError('bad-input', `'${path}' has no record in its first ${head.text.length} characters; is a quote missing?`, { path })
  const width = records[0]!.length
  // Only now it is known whether blank lines are records.
  if (width === 1) records = parseRecords(head.text, dialect, { partial: !head.last, columns: 1 })
  const first = records[0]!

  const evidence = Array.from({ length: width }, () => new ColumnEvidence())
  gather(evidence, records.slice(1))
  dialect.header = wanted.header ?? looksLikeHeader(first, evidence)
  if (!dialect.header) gather(evidence, [first])

  const rules = evidence.map(column => lexicalRule(column.type(false)))
  inputs.forEach((_input, i) => {
    for (const sample of samples[i]!) {
      if (i === 0 && sample.first) continue
      const inside = sample.first ? startOf(sample, dialect, width) : recordsInside(sample, dialect, rules)
      gather(evidence, inside)
    }
  })

  const complete = samples.every(list => list.length === 1)
  const names = dialect.header ? columnNames(first) : first.map((_, i) => `column_${i + 1}`)
  const columns = names.map((name, i) => ({ name, type: wanted.text ? 'VARCHAR' : evidence[i]!.type(complete) }))
  force(columns, wanted.types)
  return { columns, source: { format: 'csv', dialect } }
}

function gather (evidence: ColumnEvidence[], records: Field[][]): void {
  for (const record of records) {
    // A ragged record is an error the splitter reports with its line.
    if (record.length !== evidence.length) continue
    for (let i = 0; i < record.length; i++) evidence[i]!.add(record[i]!)
  }
}

function startOf (sample: Sample, dialect: Dialect, width: number): Field[][] {
  const records = parseRecords(sample.text, dialect, { partial: !sample.last, columns: width })
  return dialect.header ? records.slice(1) : records
}

/**
 * The records of a window that begins anywhere, even inside a quoted field: read both ways, the way that gives more
 * records like those of the beginning (`rules`, one per column) is taken; neither if both give too few of the right width. What is
 * cut at either end is left out.
 */
function recordsInside (sample: Sample, dialect: Dialect, rules: Array<(text: string) => boolean>): Field[][] {
  const width = rules.length
  const options = { partial: !sample.last, columns: width }
  const readings = ['', dialect.quote].map(opening => {
    const records = parseRecords(opening + sample.text, dialect, options).slice(1)
    const sound = records.filter(record => record.length === width)
    const alike = sound.filter(record => record.every((field, i) => field === null || rules[i]!(field)))
    return { sound, share: sound.length / Math.max(1, records.length), alike: alike.length / Math.max(1, records.length) }
  })
  const [outside, inside] = readings as [typeof readings[0], typeof readings[0]]
  const best = inside.alike > outside.alike ? inside : outside
  return best.share >= SOUND_SHARE ? best.sound : []
}

function force (columns: Column[], types: Map<string, string>): void {
  for (const [name, type] of types) {
    const column = columns.find(candidate => candidate.name === name)
    if (column == null) {
      const near = nearest(name, columns.map(candidate => candidate.name))
      throw new ConversionError('bad-parameters', `setting 'type:${name}': there is no column '${name}'${near == null ? '' : `; did you mean '${near}'?`}`, { key: `type:${name}` })
    }
    column.type = type
  }
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

function requireCsvColumns (columns: Column[]): void {
  const name = columns.find(column => column.name.includes('\0'))?.name
  if (name != null) throw new ConversionError('unsupported', `column ${JSON.stringify(name)} has a NUL character in its name, which CSV cannot hold`, { column: name })
}

function targetForm (to: Format, wanted: TableSettings): TargetForm {
  if (to === 'parquet') return { format: 'parquet', compression: wanted.compression }
  if (to === 'ndjson') return { format: 'ndjson' }
  const quote = wanted.quote ?? '"'
  return { format: 'csv', dialect: { delimiter: wanted.delimiter ?? ',', quote, escape: quote, header: wanted.header ?? true } }
}
