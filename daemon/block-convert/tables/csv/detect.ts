/** How a CSV text is written, found out from its beginning, as far as the user does not say. */
import { parseRecords, type Field, type ParseOptions } from './dialect.ts'
import { ConversionError } from '../../errors.ts'
import { ColumnEvidence, lexemeOf } from '../infer.ts'
import type { Dialect } from '../schema.ts'
import type { DialectSettings } from '../settings.ts'

/** Delimiters considered, most usual first; a tie goes to the earlier one. */
const DELIMITERS = [',', ';', '\t', '|'] as const

/** Considered only where none of those will do: with the fewest fields that are no accident, and whether they are common in mere text. */
const RARE_DELIMITERS = [['^', 2, false], ['~', 2, false], [':', 3, true], [' ', 3, true]] as const

/** Records looked at per candidate. */
const SNIFF_RECORDS = 200

/** Records that must agree, all of them, on a rare delimiter. */
const RARE_RECORDS_MIN = 3

/** Share of records of the same width from which on a usual delimiter is beyond doubt. */
const SURE_SHARE = 0.9

/** The dialect but for its header, and what of it is unusual, in words; undefined if nothing is. */
export function detectDialect (head: string, wanted: DialectSettings): { dialect: Omit<Dialect, 'header'>, unusual?: string } {
  const comment = wanted.comment == null || wanted.comment === '' ? undefined : wanted.comment
  const withQuote = (quote: string): Omit<Dialect, 'header'> => {
    const quoting = { quote, escape: wanted.escape ?? quote, ...(comment != null ? { comment } : {}) }
    return { delimiter: wanted.delimiter ?? anyDelimiter(head, quoting), ...quoting }
  }
  const slashed = (form: Omit<Dialect, 'header'>): Omit<Dialect, 'header'> => {
    const quoting = { ...form, escape: '\\' }
    return { ...quoting, delimiter: wanted.delimiter ?? anyDelimiter(head, quoting) }
  }
  const unusual: string[] = []
  let dialect = withQuote(wanted.quote ?? '"')
  // A character with a meaning of its own is no escape.
  const slash = wanted.escape == null && dialect.quote !== '' && ![dialect.delimiter, dialect.quote, comment].includes('\\')
  if (wanted.quote == null) {
    const single = withQuote('\'')
    const candidates = slash && head.includes('\\\'') ? [single, slashed(single)] : [single]
    const found = candidates.find(candidate => isQuotedBy(head, candidate, dialect))
    if (found != null) {
      dialect = found
      unusual.push('quoted with \'')
    }
  }
  if (slash && dialect.escape !== '\\' && isEscaped(head, { ...dialect, escape: '\\' }, dialect)) dialect = slashed(dialect)
  if (slash && dialect.escape === '\\') unusual.push('escaped with \\')
  if (wanted.delimiter == null && !(DELIMITERS as readonly string[]).includes(dialect.delimiter)) unusual.unshift(`delimited by '${dialect.delimiter}'`)
  return unusual.length === 0 ? { dialect } : { dialect, unusual: unusual.join(', ') }
}

/**
 * Only quote and escape may be the same character. `prefix` of the settings' names, for the message.
 *
 * @throws ConversionError `bad-parameters`
 */
export function requireDistinct ({ delimiter, quote, escape, comment }: Dialect, prefix: string): void {
  const key = `${prefix}delimiter`
  if (quote === '' && escape !== '') throw new ConversionError('bad-parameters', `setting '${prefix}escape' needs quotes, and there are none with ${prefix}quote=none`, { key: `${prefix}escape` })
  const used = [delimiter, quote, comment].filter(character => character != null && character !== '')
  if (new Set(used).size === used.length && escape !== delimiter && (escape === '' || escape !== comment)) return
  throw new ConversionError('bad-parameters', `${prefix}delimiter, quote, escape and comment must be different characters; only quote and escape may be the same`, { key })
}

function counted (head: string, dialect: Omit<Dialect, 'header'>): { records: Field[][], counts: NonNullable<ParseOptions['counts']> } {
  const counts = { quoted: 0, unsound: 0, open: false }
  const records = parseRecords(head, { ...dialect, header: true }, { partial: true, counts })
  return { records, counts }
}

/**
 * Whether single quotes are quotes: none of the double ones is, all are closed where a field ends, and they are needed (the records are
 * of one width only by them), or a whole column is in them.
 */
function isQuotedBy (head: string, single: Omit<Dialect, 'header'>, double: Omit<Dialect, 'header'>): boolean {
  if (!head.includes('\'')) return false
  const by = counted(head, single)
  if (by.counts.quoted === 0 || by.counts.unsound > 0 || by.counts.open) return false
  const other = counted(head, double)
  if (other.counts.quoted > 0) return false
  if (evenness(by.records) > evenness(other.records)) return true
  const { records } = counted(head, { ...single, quote: '', escape: '' })
  const rest = records.slice(1)
  return rest.length >= 2 && (records[0] ?? []).some((_, i) => {
    const values = rest.map(record => record[i] ?? null).filter(value => value !== null)
    return values.length >= 2 && values.every(value => value.startsWith('\''))
  })
}

/** Whether a backslash before a quote keeps it from ending its field: read so, all quotes are sound, and otherwise they are not. */
function isEscaped (head: string, slashed: Omit<Dialect, 'header'>, doubled: Omit<Dialect, 'header'>): boolean {
  if (!head.includes(`\\${slashed.quote}`)) return false
  const plain = counted(head, doubled).counts
  const escaped = counted(head, slashed).counts
  return escaped.unsound === 0 && (plain.unsound > 0 || (plain.open && !escaped.open))
}

/** Share of records as wide as the first one. */
function evenness (records: Field[][]): number {
  return records.length === 0 ? 0 : records.filter(record => record.length === records[0]!.length).length / records.length
}

/** The usual delimiter that divides the most records into the same number of fields, more than one. A single column gives ','. */
export function sniffDelimiter (head: string, quote: string): string {
  return usualDelimiter(head, { quote, escape: quote }).delimiter
}

type Quoting = Omit<Dialect, 'header' | 'delimiter'>

function usualDelimiter (head: string, quoting: Quoting): { delimiter: string, sure: boolean } {
  let best: string = DELIMITERS[0]
  let bestScore = 0
  let sure = false
  for (const delimiter of DELIMITERS) {
    if (isTaken(delimiter, quoting)) continue
    const records = firstRecords(head, delimiter, quoting)
    const fields = records[0]?.length ?? 1
    if (fields < 2) continue
    const share = evenness(records)
    sure ||= share >= SURE_SHARE
    // Consistency counts first; between two consistent candidates, the one with more fields.
    const score = share * 1000 + Math.min(fields, 500)
    if (score > bestScore) {
      best = delimiter
      bestScore = score
    }
  }
  return { delimiter: best, sure }
}

function anyDelimiter (head: string, quoting: Quoting): string {
  const { delimiter: usual, sure } = usualDelimiter(head, quoting)
  if (sure) return usual
  // A column of times or dates is one column.
  const lines = head.split(/\r\n?|\n/, RARE_RECORDS_MIN)
  if (lines.some((line, i) => i > 0 && line !== '' && lexemeOf(line) !== 'text')) return usual
  for (const [delimiter, least, common] of RARE_DELIMITERS) {
    if (isTaken(delimiter, quoting) || !head.includes(delimiter)) continue
    const records = firstRecords(head, delimiter, quoting)
    if (records.length < RARE_RECORDS_MIN || records[0]!.length < least || evenness(records) < 1) continue
    if (!common || hasTypedColumn(records.slice(1))) return delimiter
  }
  return usual
}

/** Whether a column has the same type other than text everywhere, as lines of so many words do not. */
function hasTypedColumn (records: Field[][]): boolean {
  return records[0]!.some((_, i) => {
    const evidence = new ColumnEvidence()
    for (const record of records) evidence.add(record[i] ?? null)
    return evidence.typed
  })
}

function isTaken (delimiter: string, { quote, escape, comment }: Quoting): boolean {
  return delimiter === quote || delimiter === escape || delimiter === comment
}

function firstRecords (head: string, delimiter: string, quoting: Quoting): Field[][] {
  const dialect = { ...quoting, delimiter, header: true }
  const records = parseRecords(head, dialect, { partial: true, limit: SNIFF_RECORDS })
  return records.length > 0 ? records : parseRecords(head, dialect, { limit: 1 })
}
