/** CSV in the engine: how a block is read, and how a part is written. */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { copyOut, identifier, literal, refuseWhen } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'
import type { Column, Dialect } from '../schema.ts'
import { isNested, parseType } from '../types.ts'

/** DuckDB's own default for the longest line, bytes; more is asked for only if the file could hold such a line. */
const DEFAULT_LINE_BYTES = 2 * 1024 * 1024

/** The columns of a CSV block as a FROM item. */
export function csvFrom (task: Pick<EngineTask, 'path' | 'size' | 'threads'>, columns: Column[], dialect: Dialect): string {
  const { path, size, threads } = task
  const types = columns.map((column, i) => `c${i}: ${literal(column.type)}`).join(', ')
  // The buffer holds one line at least; left to itself, DuckDB would make it sixteen.
  const line = Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_LINE_BYTES, size)) + 1
  return `(SELECT * FROM read_csv(${literal(path)}, columns = {${types}}, header = ${dialect.header}, auto_detect = false, ` +
    `delim = ${literal(dialect.delimiter)}, quote = ${literal(dialect.quote)}, escape = ${literal(dialect.escape)}, nullstr = '', ` +
    // Records were proved by the splitter. Strict mode refuses mixed line ends, which are legal here.
    `allow_quoted_nulls = false, comment = '', strict_mode = false, max_line_size = ${line}, buffer_size = ${line}, parallel = ${threads > 1}))`
}

/** Writes a CSV part; with a header line if the dialect has one. */
export async function writeCsv (task: EngineTask, from: string, dialect: Dialect): Promise<number> {
  const { delimiter, quote, escape, header } = dialect
  const select = task.params.columns.map((column, i) => `${csvValue(column, i)} AS ${identifier(column.name)}`).join(', ')
  return await copyOut(task, `SELECT ${select} FROM ${from}`,
    `(FORMAT csv, HEADER ${header}, DELIMITER ${literal(delimiter)}, QUOTE ${literal(quote)}, ESCAPE ${literal(escape)}, NULLSTR '')`)
}

function csvValue (column: Column, index: number): string {
  const type = parseType(column.type)
  if (isNested(type)) return `CAST(to_json(c${index}) AS VARCHAR)`
  if (type.kind === 'VARCHAR' || type.kind === 'JSON') return refuseWhen(`contains(c${index}, chr(0))`, index, 'a NUL character, which CSV cannot hold', `c${index}`)
  return `c${index}`
}
