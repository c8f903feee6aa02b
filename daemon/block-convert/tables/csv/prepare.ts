/** Dialect, header, columns and types of CSV inputs, from samples across all of them. */
import { detectDialect, requireDistinct } from './detect.ts'
import { emptyCsv, nameOf } from './split.ts'
import { parseRecords, type Field } from './dialect.ts'
import { Union } from './union.ts'
import { RECORD_BYTES_MAX, SAMPLE_HEAD_BYTES, SAMPLE_TOTAL_BYTES, SAMPLE_WHOLE_BYTES } from '../constants.ts'
import { ConversionError } from '../../errors.ts'
import type { Input, Note } from '../../index.ts'
import { ColumnEvidence, looksLikeHeader } from '../infer.ts'
import { lexicalRule } from '../lexical.ts'
import { readSamples, type Sample } from '../sample.ts'
import type { Column, Dialect, SourceForm } from '../schema.ts'
import { nearest, type DialectSettings, type TableSettings } from '../settings.ts'

/** Share of a window's records that must have the right width for the window to count. */
const SOUND_SHARE = 0.5

/** A head without one whole record is read again, so many times as long. */
const HEAD_GROWTH = 8

/** Throws ConversionError `bad-parameters`, `bad-input`, `unsupported` or `input-unreadable`. */
export async function prepareCsv (inputs: Input[], wanted: TableSettings): Promise<{ columns: Column[], source: SourceForm, notes: Note[] }> {
  const union = new Union()
  const marked: string[] = []
  const notes: Note[] = []
  let dialect: Dialect | undefined
  let complete = true
  let left = SAMPLE_TOTAL_BYTES
  // One after the other: the texts of all together may be large.
  for (const input of inputs) {
    const samples = await readSamples(input, left > 0 ? undefined : Math.min(SAMPLE_HEAD_BYTES, Math.ceil(SAMPLE_TOTAL_BYTES / inputs.length)))
    left -= Math.min(input.size, SAMPLE_WHOLE_BYTES)
    complete &&= samples.length === 1 && samples[0]!.last
    if (samples[0]!.marked === true) marked.push(nameOf(input))
    if (dialect == null) {
      const first = await firstDialect(input, samples, wanted.source)
      dialect = first.dialect
      notes.push(...first.notes)
    }
    await gatherInput(input, samples, dialect, wanted.source, union)
  }
  const columns = union.columns(complete, wanted.text)
  force(columns, wanted.types)
  notes.push(...markNotes(marked), ...union.notes())
  return { columns, source: { format: 'csv', dialect: dialect!, ...(wanted.ragged != null ? { ragged: wanted.ragged } : {}) }, notes }
}

async function firstDialect (input: Input, samples: Sample[], wanted: DialectSettings): Promise<{ dialect: Dialect, notes: Note[] }> {
  const path = nameOf(input)
  const { text } = samples[0]!
  if (text === '') throw emptyCsv(path)
  const tabs = wanted.delimiter == null && /\.(tsv|tab)$/i.test(path) && text.includes('\t') && wanted.quote !== '\t'
  const { dialect: form, unusual } = detectDialect(text, tabs ? { ...wanted, delimiter: '\t' } : wanted)
  const dialect = { ...form, header: wanted.header ?? true }
  requireDistinct(dialect, '')
  if (wanted.header == null) {
    const records = await headRecords(input, samples, dialect)
    dialect.header = looksLikeHeader(records[0]!, evidenceOf(records))
  }
  const notes: Note[] = unusual == null ? [] : [{ code: 'dialect-detected', message: `'${path}' is read as ${unusual}; if that is wrong, set delimiter, quote or escape`, input: path }]
  return { dialect, notes }
}

/** Values of a head's records but the first, by column of the first. */
function evidenceOf (records: Field[][]): ColumnEvidence[] {
  const evidence = Array.from({ length: records[0]!.length }, () => new ColumnEvidence())
  gather(evidence, records.slice(1))
  return evidence
}

/** The records of an input's beginning: the first one is there as a whole. */
async function headRecords (input: Input, samples: Sample[], dialect: Dialect): Promise<Field[][]> {
  const path = nameOf(input)
  let head = samples[0]!
  if (head.text === '') throw emptyCsv(path)
  for (let bytes = SAMPLE_HEAD_BYTES; ; bytes *= HEAD_GROWTH) {
    const partial = !head.last
    const records = parseRecords(head.text, dialect, { partial })
    // Only now it is known whether blank lines are records: they are where there is one column, all of it missing if there is nothing else.
    if (records.length === 0 || records[0]!.length === 1) {
      const narrow = parseRecords(head.text, dialect, { partial, columns: 1 })
      if (narrow.length > 0) return narrow
    } else return records
    if (head.last || bytes > RECORD_BYTES_MAX) throw new ConversionError('bad-input', `'${path}' has no record in its first ${head.text.length} characters; is a quote missing?`, { path })
    head = (await readSamples(input, bytes * HEAD_GROWTH))[0]!
  }
}

/** Adds the columns of one input, and what its samples say of their types. */
async function gatherInput (input: Input, samples: Sample[], dialect: Dialect, wanted: DialectSettings, union: Union): Promise<void> {
  const path = nameOf(input)
  const records = await headRecords(input, samples, dialect)
  const first = records[0]!
  if (union.size > 0) requireAlike(path, samples[0]!.text, records, dialect, wanted, union)
  const evidence = union.add(path, dialect.header ? first : first.length)
  gather(evidence, dialect.header ? records.slice(1) : records)
  const rules = evidence.map(column => lexicalRule(column.type(false)))
  for (const sample of samples) if (!sample.first) gather(evidence, recordsInside(sample, dialect, rules))
}

/** Inputs of one job are read by one dialect; one that is written in another way would only seem to have other columns. */
function requireAlike (path: string, head: string, records: Field[][], dialect: Dialect, wanted: DialectSettings, union: Union): void {
  const first = records[0]!
  const known = dialect.header ? union.knows(first) : first.length === union.size
  if (known === true) return
  if (wanted.delimiter == null) {
    const { dialect: own } = detectDialect(head, wanted)
    if (own.delimiter !== dialect.delimiter && (parseRecords(head, { ...own, header: true }, { limit: 1 })[0]?.length ?? 1) > first.length) {
      throw new ConversionError('unsupported', `'${path}' is delimited by '${own.delimiter}', the inputs before it by '${dialect.delimiter}'; convert them apart, or set --set delimiter=...`, { path, delimiter: own.delimiter })
    }
  }
  if (wanted.header != null) return
  const header = looksLikeHeader(first, evidenceOf(records))
  if (dialect.header && !header && known === undefined) throw new ConversionError('unsupported', `'${path}' seems to have no header line, the inputs before it have one; convert them apart, or set --set header=true`, { path })
  if (!dialect.header && header) throw new ConversionError('unsupported', `'${path}' seems to have a header line, the inputs before it have none; convert them apart, or set --set header=...`, { path })
}

function gather (evidence: ColumnEvidence[], records: Field[][]): void {
  for (const record of records) {
    // A ragged record is an error the splitter reports with its line.
    if (record.length !== evidence.length) continue
    for (let i = 0; i < record.length; i++) evidence[i]!.add(record[i]!)
  }
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

function markNotes (marked: string[]): Note[] {
  if (marked.length === 0) return []
  const what = marked.length === 1 ? `'${marked[0]}' begins` : `'${marked[0]}' and ${marked.length - 1} more inputs begin`
  return [{ code: 'byte-order-mark', message: `${what} with a byte order mark, which is no data and was left out`, input: marked[0], count: marked.length }]
}

function force (columns: Column[], types: Map<string, string>): void {
  for (const [name, type] of types) {
    const column = columns.find(candidate => candidate.name === name)
    if (column == null) {
      const near = nearest(name, columns.map(candidate => candidate.name))
      throw new ConversionError('bad-parameters', `setting 'type:${name}': there is no column '${name}'${near == null ? '' : `; did you mean '${near}'?`}`, { key: `type:${name}` })
    }
    column.type = type
    column.fixed = true
  }
}
