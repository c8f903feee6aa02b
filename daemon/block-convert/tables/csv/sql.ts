/** CSV in the engine: how a block is read, and how a part is written. */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { copyOut, identifier, literal, refuseWhen } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'
import { jsonText } from '../json/write.ts'
import type { Column, Dialect } from '../schema.ts'
import { isNested, parseType } from '../types.ts'

/** DuckDB's own default for the longest line, bytes; more is asked for only if the file could hold such a line. */
const DEFAULT_LINE_BYTES = 2 * 1024 * 1024

/** The columns of a CSV block as a FROM item; those its file lacks are NULL. Quotes in quotes are doubled, or there are none. */
export function csvFrom ({ path, size, threads, params }: Pick<EngineTask, 'path' | 'size' | 'threads' | 'params'>, dialect: Dialect): string {
  const { columns, present = columns.map((_, i) => i) } = params
  const types = present.map(i => `c${i}: ${literal(columns[i]!.type)}`).join(', ')
  const there = new Set(present)
  const select = params.present == null ? '*' : columns.map((column, i) => there.has(i) ? `c${i}` : `CAST(NULL AS ${column.type}) AS c${i}`).join(', ')
  // The buffer holds one line at least; left to itself, DuckDB would make it sixteen.
  const line = Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_LINE_BYTES, size)) + 1
  return `(SELECT ${select} FROM read_csv(${literal(path)}, columns = {${types}}, header = ${dialect.header}, auto_detect = false, ` +
    `delim = ${literal(dialect.delimiter)}, quote = ${literal(dialect.quote)}, escape = ${literal(dialect.escape)}, nullstr = '', ` +
    // Records were proved by the splitter. Strict mode refuses mixed line ends, which are legal here.
    `allow_quoted_nulls = false, comment = '', strict_mode = false, max_line_size = ${line}, buffer_size = ${line}, parallel = ${threads > 1}))`
}

/** Writes a CSV part; with a header line if the dialect has one. */
export async function writeCsv (task: EngineTask, from: string, dialect: Dialect): Promise<number> {
  const { delimiter, quote, escape, header } = dialect
  const value = quote === '' ? (column: Column, i: number) => unquoted(column, i, delimiter) : csvValue
  const select = task.params.columns.map((column, i) => `${value(column, i)} AS ${identifier(column.name)}`).join(', ')
  return await copyOut(task, `SELECT ${select} FROM ${from}`,
    `(FORMAT csv, HEADER ${header}, DELIMITER ${literal(delimiter)}, QUOTE ${literal(quote)}, ESCAPE ${literal(escape)}, NULLSTR '')`)
}

function csvValue (column: Column, index: number): string {
  const type = parseType(column.type)
  if (isNested(type)) return `CASE WHEN c${index} IS NULL THEN NULL ELSE ${jsonText(column, index, { nonfinite: 'text', proved: false })} END`
  // Left to itself, the engine writes .25 here, which neither we nor others read as a number.
  if (type.kind === 'DECIMAL' && type.precision === type.scale) return `regexp_replace(CAST(c${index} AS VARCHAR), '^(-?)\\.', '\\10.')`
  if (type.kind === 'VARCHAR' || type.kind === 'JSON') return refuseWhen(`contains(c${index}, chr(0))`, index, 'a NUL character, which CSV cannot hold', `c${index}`)
  return `c${index}`
}

/** Values as they can be written without quotes; DuckDB would write the others so, too, and nobody could read them. */
function unquoted (column: Column, index: number, delimiter: string): string {
  const value = csvValue(column, index)
  const text = `CAST(${value} AS VARCHAR)`
  return refuseWhen(`${text} = '' OR contains(${text}, ${literal(delimiter)}) OR contains(${text}, chr(10)) OR contains(${text}, chr(13))`, index,
    'a value that needs quotes (empty, or with a delimiter or line end in it); leave out quote=none, or choose another to.delimiter', value)
}
