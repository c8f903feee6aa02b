/** docs/converters.md from the rules and the last results. Pure. */
import { SOURCES, type Source } from '../../test/fuzz/arbitrary.ts'
import type { Result } from './check.ts'
import type { RealFile } from './files.ts'
import { READING, TITLES, TYPES, WRITING } from './rules.ts'

const row = (cells: string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
const table = ([head = [], ...rows]: string[][]): string => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')
const list = (lines: string[]): string => lines.map(line => `- ${line}`).join('\n')
const titles = (formats: Source[]): string => formats.map(format => TITLES[format]).join(', ')

export function page (files: RealFile[], results: Result[], when: string | undefined): string {
  return `# What becomes of the data

Made by \`npm run fidelity\` (do not edit); \`npm run fidelity -- --check\` converts the real files below again and writes what it found.

Every direction between ${titles(SOURCES.slice(0, -1))} and ${TITLES[SOURCES.at(-1)!]} is there, a format to itself included. What a target
cannot hold is changed by a rule that stands here, and named in the report; what no rule covers is an error that says where. \`npm run fuzz\` holds
random tables of all these types to the same rules, read back by csv-parse, JSON.parse, hyparquet and flechette.

## Types

${table(TYPES)}

## Reading

${READING.map(({ from, lines }) => `**${titles(from)}**\n\n${list(lines)}`).join('\n\n')}

## Writing

${WRITING.map(({ to, lines }) => `**${titles(to)}**\n\n${list(lines)}`).join('\n\n')}

## From and to

What is kept on each way, and what is changed beyond how values are written.

${table([['from \\ to', ...SOURCES.map(to => TITLES[to])], ...SOURCES.map(from => [TITLES[from], ...SOURCES.map(to => direction(from, to))])])}

## Real files

${results.length === 0 ? 'Not checked yet.' : real(files, results, when)}
`
}

/** In a few words. */
function direction (from: Source, to: Source): string {
  const text = (format: Source): boolean => format === 'csv' || format === 'ndjson' || format === 'json'
  if (to === 'csv') return from === 'csv' ? 'all values' : text(from) ? 'all values; nested ones as JSON text' : 'all values as text; types are found again by looking; nested ones as JSON text; NUL refused'
  if (to === 'ndjson' || to === 'json') return from === 'csv' ? 'all values; empty field and `""` told apart' : text(from) ? 'all values' : 'all values; dates, bytes, UUIDs as strings; NaN and infinities as texts'
  if (to === 'parquet') return text(from) ? 'all values, typed' : 'all values and types'
  return from === 'csv' ? 'all values, typed' : text(from) ? 'all values, typed; JSON as text' : from === 'parquet' ? 'all values and types; JSON and UUID as text' : 'all values and types; dictionaries decoded'
}

function real (files: RealFile[], results: Result[], when: string | undefined): string {
  const targets = SOURCES.filter(to => results.some(result => result.to === to))
  const known = files.filter(({ name }) => results.some(result => result.file === name))
  const of = (file: string, to: Source): Result | undefined => results.find(result => result.file === file && result.to === to)
  const mark = (result: Result | undefined): string => result == null ? '' : result.outcome === 'equal' ? '=' : result.outcome
  const rows = known.map(({ name, kind }) => {
    const any = results.find(result => result.file === name && result.outcome === 'equal')
    return [name, any == null ? '' : any.rows.toLocaleString('en-US'), any == null ? '' : String(any.columns), ...targets.map(to => mark(of(name, to))), kind === 'table' ? '' : kind === 'one object' ? 'one object: a table of one row' : 'an array of something else than objects']
  })
  const equal = results.filter(({ outcome }) => outcome === 'equal')
  const others = results.filter(({ outcome }) => outcome !== 'equal')
  const reasons = new Map<string, Result[]>()
  for (const result of others) reasons.set(`${result.file}: ${result.reason ?? ''}`, [...reasons.get(`${result.file}: ${result.reason ?? ''}`) ?? [], result])
  const notes = new Map<string, Set<string>>()
  for (const result of results) for (const code of result.notes) notes.set(code, (notes.get(code) ?? new Set()).add(`${result.file} → ${TITLES[result.to]}`))
  return `Every table file of vega-datasets through every direction over a network of three daemons, on the other nodes only (\`--remote\`), in small
blocks${when == null ? '' : `, ${when}`}: ${equal.length} of ${results.length} conversions equal, ${equal.reduce((sum, { blocks }) => sum + blocks, 0).toLocaleString('en-US')} blocks. Judged by readers that are not Weft's: csv-parse, JSON.parse, hyparquet, flechette, and DuckDB beside itself where there are
more than half a million rows of text. \`=\` means that every value of every row is the same value, in order.

${table([['file', 'rows', 'columns', ...targets.map(to => TITLES[to]), 'remark'], ...rows])}

${others.length === 0 ? 'Nothing was refused, nothing differs.' : `Not equal:\n\n${list([...reasons].map(([reason, group]) => `${reason} (to ${titles(group.map(({ to }) => to))})`))}`}

${notes.size === 0 ? '' : `What the reports noted on the way:\n\n${list([...notes].map(([code, where]) => `\`${code}\`: ${[...where].slice(0, 6).join(', ')}${where.size > 6 ? ` and ${where.size - 6} more` : ''}`))}\n`}`
}
