/** Dialect, header, columns and types of CSV inputs, from samples across all of them. */
import { emptyCsv } from './split.ts'
import { columnNames, parseRecords, sniffDelimiter, type Field } from './dialect.ts'
import { ConversionError } from '../../errors.ts'
import type { Input, Note } from '../../index.ts'
import { ColumnEvidence, looksLikeHeader } from '../infer.ts'
import { lexicalRule } from '../lexical.ts'
import { readSamples, type Sample } from '../sample.ts'
import type { Column, Dialect, SourceForm } from '../schema.ts'
import { nearest, type TableSettings } from '../settings.ts'

/** Share of a window's records that must have the right width for the window to count. */
const SOUND_SHARE = 0.5

/** Throws ConversionError `bad-parameters`, `bad-input`, `unsupported` or `input-unreadable`. */
export async function prepareCsv (inputs: Input[], wanted: TableSettings): Promise<{ columns: Column[], source: SourceForm, notes: Note[] }> {
  const samples: Sample[][] = []
  for (const input of inputs) samples.push(await readSamples(input))
  return { ...csvSource(inputs, samples, wanted), notes: [] }
}

function csvSource (inputs: Input[], samples: Sample[][], wanted: TableSettings): { columns: Column[], source: SourceForm } {
  const path = inputs[0]!.path
  const head = samples[0]![0]!
  if (head.text === '') throw emptyCsv(path)
  const quote = wanted.source.quote ?? '"'
  const delimiter = wanted.source.delimiter ?? sniffDelimiter(head.text, quote)
  const dialect: Dialect = { delimiter, quote, escape: quote, header: wanted.source.header ?? true }

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
  dialect.header = wanted.source.header ?? looksLikeHeader(first, evidence)
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
  return { columns, source: { format: 'csv', dialect, ...(wanted.ragged != null ? { ragged: wanted.ragged } : {}) } }
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
    column.fixed = true
  }
}
