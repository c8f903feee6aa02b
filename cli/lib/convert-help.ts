/** What `weft convert --help` says after the options: the questions of somebody who has a table and wants another. */
import { SETTING_GROUPS } from '../../daemon/block-convert/tables/setting-list.ts'

/** Characters of a line where the terminal does not say, and at most: longer ones are hard to read. */
const WIDTH_DEFAULT = 80
const WIDTH_MAX = 110

/** Characters in front of what a setting does; longer settings get a line of their own. */
const SETTING_WIDTH = 26

type Entry = [head: string, text: string]

const FORMATS: Entry[] = [
  ['csv, tsv', 'any delimiter, quote and character set'],
  ['ndjson, jsonl', 'one JSON object per line'],
  ['json', 'an array of JSON objects'],
  ['parquet, pq', 'compressed inside (--set compression=)'],
  ['arrow, feather', 'Arrow IPC files'],
  ['arrows', 'Arrow IPC streams']
]

const RULES: Entry[] = [
  ['007, +5, 1e3', 'stay text: a column is a number only if every value of it reads back the same. 1.50 is an exact DECIMAL, 2024-01-31 a DATE, 64-bit integers keep all digits'],
  ['empty fields', 'are missing values (NULL); a quoted "" is an empty text. Both survive where the target can hold them'],
  ['a late surprise', '(text in a column of numbers, at the end of 5 GB): the column gets a type that holds all its values exactly, or becomes text, and blocks done before are converted again. Where you gave the type it is an error with file, line and value'],
  ['ragged lines', 'are an error that names the line, unless --set ragged=pad or skip-and-report'],
  ['nested JSON', 'becomes STRUCT and LIST columns in Parquet and Arrow, and JSON text in CSV'],
  ['the rest', 'what a target cannot hold is changed by a stated rule, and the report says so in a note. Nothing is dropped silently']
]

const SEVERAL: Entry[] = [
  ['one output each', 'weft convert data/ --to parquet -o out/'],
  ['all in one', "weft convert jan.csv 'feb*.csv' -o all.parquet"],
  ['', 'in the order given, folders and patterns sorted; columns united by name'],
  ['one per value', 'weft convert in.csv --to csv -o out --set partition_by=year'],
  ['', 'writes out/year=2024/data-0.csv and so on; the column is in the names of the folders (missing: __HIVE_DEFAULT_PARTITION__), not in the files']
]

const EXAMPLES = `
  weft convert in.csv -o out.parquet
  weft convert sales.csv.gz --to parquet --set type:zip=VARCHAR
  weft convert logs/ --from ndjson --to csv.gz -o out/
  cat in.csv | weft convert - --from csv --to ndjson -o - | head`

/** For a terminal of `columns` characters. */
export function convertHelp (columns = WIDTH_DEFAULT): string {
  const width = Math.min(Math.max(columns, 40), WIDTH_MAX)
  return `
Formats, in any direction (names for --to and --from, and the end of -o NAME):
${listed(FORMATS, 18, width)}
${filled('Compressed inputs (.gz .zst .br .xz) are read as they are. Compressed outputs get the ending: --to csv.gz, or -o out.ndjson.zst.', 2, width)}

Several files:
${listed(SEVERAL, 19, width)}

Settings, --set KEY=VALUE (what happens without one):
${SETTING_GROUPS.map(({ title, settings }) => ` ${title}\n${listed(settings.map(({ key, value, says }) => [`${key}=${value}`, says]), SETTING_WIDTH, width)}`).join('\n')}

What becomes of:
${listed(RULES, 20, width)}

Where it runs, and how it is checked:
${filled('Small inputs are converted on this machine, larger ones in blocks here and on the peers of a running daemon (weft start), engines in sandboxed processes. Every result is decoded to its end and its rows are counted; a sample of blocks (--verify all: every block) is compared with the source value by value, by other readers than the engine that wrote it. An output appears under its name when it is complete and checked, or not at all.', 2, width)}

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon, 4 no converter,
  5 a check failed, 6 over budget, 124 deadline, 130 interrupted

Examples:${EXAMPLES}`
}

/** Heads and texts side by side, texts filled; a head that is too long stands on a line of its own. */
function listed (entries: Entry[], indent: number, width: number): string {
  return entries.map(([head, text]) => {
    const body = fill(text, width - indent)
    const start = `  ${head}`
    if (text === '') return start
    if (start.length > indent - 1) return [start, ...body.map(line => ' '.repeat(indent) + line)].join('\n')
    return body.map((line, i) => (i === 0 ? start.padEnd(indent) : ' '.repeat(indent)) + line).join('\n')
  }).join('\n')
}

function filled (text: string, indent: number, width: number): string {
  return fill(text, width - indent).map(line => ' '.repeat(indent) + line).join('\n')
}

function fill (text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
