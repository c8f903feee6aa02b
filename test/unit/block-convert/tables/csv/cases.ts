/** Random CSV texts in every dialect there is, with comments, ragged records and values that contradict their column's type late. */
import fc from 'fast-check'
import type { Field } from '../../../../../daemon/block-convert/tables/csv/dialect.ts'
import { ColumnEvidence } from '../../../../../daemon/block-convert/tables/infer.ts'
import type { Dialect } from '../../../../../daemon/block-convert/tables/schema.ts'
import { csvValues, text, uniqueNames } from '../cases.ts'

export interface DialectCase {
  dialect: Dialect
  ragged?: 'pad' | 'skip'
  names: string[]
  /** As they are to be read, ragged ones made to fit or left out. */
  rows: Field[][]
  /** What the first half of the rows says. */
  types: string[]
  content: string
}

/** Characters that have a meaning in one of the dialects, or for an engine. */
const special = fc.string({ unit: fc.constantFrom('a', 'b', '1', '"', '\'', '$', ',', ';', ' ', ':', '|', '^', '\\', '~', '#', '%', '\n', '\r', '\r\n', 'é', '東'), minLength: 1, maxLength: 8 })

const dialects: fc.Arbitrary<Dialect> = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t', '|', ':', ' ', '^', '.', '-', 'x', '7', '\x01'),
  quote: fc.constantFrom('"', '"', '\'', '$', ''),
  escape: fc.constantFrom(undefined, undefined, '\\', '~'),
  header: fc.boolean(),
  comment: fc.constantFrom(undefined, '#', '%')
}).map(({ delimiter, quote, escape, header, comment }) => ({
  // Without quotes, most values could not be written with one of these.
  delimiter: quote === '' && /[-.: 7]/.test(delimiter) ? ',' : delimiter,
  quote,
  escape: quote === '' ? '' : escape ?? quote,
  header,
  ...(comment != null ? { comment } : {})
}))

type How = 'fits' | 'short' | 'long' | 'comment'

interface Shape { dialect: Dialect, kinds: string[], late: boolean, lineEnds: string[], lastEnd: boolean, always: boolean, ragged: 'pad' | 'skip' | undefined }

const shape: fc.Arbitrary<Shape> = fc.record({
  dialect: dialects,
  kinds: fc.array(fc.constantFrom(...Object.keys(csvValues)), { minLength: 1, maxLength: 4 }),
  late: fc.boolean(),
  lineEnds: fc.array(fc.constantFrom('\n', '\r\n', '\r'), { minLength: 1, maxLength: 3 }),
  lastEnd: fc.boolean(),
  always: fc.boolean(),
  ragged: fc.constantFrom(undefined, 'pad', 'skip')
})

const LATE: Record<string, fc.Arbitrary<string>> = {
  BIGINT: fc.constantFrom('1.5', '007', '12345678901234567890', '-0.125', 'n/a'),
  DECIMAL: fc.constantFrom('0.123456789', '123456789012345678901', 'x', '1e5', '99999999999999999999999999999999999999'),
  TIMESTAMP: fc.constantFrom('2020-01-01', 'never')
}

/** Texts of 1 to 4 columns and up to 16 records. */
export const dialectCase: fc.Arbitrary<DialectCase> = shape.chain(form => {
  const { dialect, kinds, late } = form
  const value = (kind: string, second: boolean): fc.Arbitrary<Field> => {
    const plain: fc.Arbitrary<string> = kind === 'VARCHAR' ? fc.oneof(text.filter(value => value !== ''), special) : csvValues[kind]!
    const usual = fc.option(plain.filter(value => isWritable(value, dialect)), { freq: 6 })
    return second && late ? fc.oneof({ weight: 3, arbitrary: usual }, { weight: 1, arbitrary: (LATE[kind] ?? fc.constant('other')).filter(value => isWritable(value, dialect)) }) : usual
  }
  const row = (second: boolean): fc.Arbitrary<{ values: Field[], how: How, at: number }> => fc.record({
    values: fc.tuple(...kinds.map(kind => value(kind, second))),
    how: fc.constantFrom<How>('fits', 'fits', 'fits', ...(dialect.comment != null ? ['comment' as const] : []), ...(form.ragged != null ? ['short' as const, 'long' as const] : [])),
    at: fc.nat(3)
  })
  return fc.record({
    names: fc.tuple(...kinds.map(() => text.filter(name => !/^\s*$/.test(name) && isWritable(name, dialect)))),
    first: fc.array(row(false), { minLength: 1, maxLength: 8 }),
    second: fc.array(row(true), { maxLength: 8 })
  }).map(({ names, first, second }) => write(form, uniqueNames(names), first, second))
})

/** Whether a dialect can write a text at all: without quotes not all can be. */
function isWritable (value: string, { quote, delimiter, comment }: Dialect): boolean {
  return quote !== '' || (value !== '' && !value.includes(delimiter) && !/[\r\n\ufeff]/.test(value) && !(comment != null && value.startsWith(comment)))
}

function write (form: Shape, names: string[], first: Array<{ values: Field[], how: How, at: number }>, second: Array<{ values: Field[], how: How, at: number }>): DialectCase {
  const { dialect, kinds, lineEnds, lastEnd, ragged } = form
  const { delimiter, quote, escape, comment } = dialect
  const width = kinds.length
  const field = (value: Field, i: number): string => {
    if (value == null) return ''
    const plain = value !== '' && !value.includes(delimiter) && !/[\r\n\ufeff]/.test(value) && !(quote !== '' && value.startsWith(quote)) && !(quote !== '' && /^[ \t]+/.test(value)) && !(i === 0 && comment != null && value.startsWith(comment))
    if (quote === '' || (plain && !form.always)) return value
    return quote + (escape === quote ? value : value.split(escape).join(escape + escape)).split(quote).join(escape + quote) + quote
  }
  const rows: Field[][] = []
  const evidence = kinds.map(() => new ColumnEvidence())
  const lines: string[] = dialect.header ? [names.map(field).join(delimiter)] : []
  const add = ({ values, how, at }: { values: Field[], how: How, at: number }, early: boolean): void => {
    const written = values.map(field)
    const keep = (row: Field[]): void => {
      rows.push(row)
      if (early) row.forEach((value, i) => { evidence[i]!.add(value) })
    }
    if (how === 'comment') {
      lines.push(`${comment}${['', 'x', delimiter, `${quote}a`][at]}`)
      return
    }
    if (how === 'long') {
      lines.push(written.join(delimiter) + delimiter.repeat(1 + at))
      if (ragged === 'pad') keep(values)
      return
    }
    const count = how === 'short' ? Math.min(width, at) : width
    // Without a field it is a blank line, and with all of them it fits.
    if (count === 0 || count === width || (count === 1 && written[0] === '')) {
      lines.push(written.join(delimiter))
      keep(values)
      return
    }
    lines.push(written.slice(0, count).join(delimiter))
    if (ragged === 'pad') keep(values.map((value, i) => i < count ? value : null))
  }
  for (const row of first) add(row, true)
  for (const row of second) add(row, false)
  let content = ''
  lines.forEach((line, i) => {
    let end = lineEnds[i % lineEnds.length]!
    // A lone \r before an empty line would become one line end with its \n.
    if (end === '\r' && width === 1) end = '\n'
    content += line + (i < lines.length - 1 || lastEnd || line === '' ? end : '')
  })
  return { dialect, ...(ragged != null ? { ragged } : {}), names, rows, types: evidence.map(column => column.type(false)), content }
}
