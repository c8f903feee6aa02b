/** JSON in the engine: how a block is read, and how a part is written. */
import { RECORD_BYTES_MAX } from '../constants.ts'
import { copyOut, identifier, literal, refuseWhen } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'
import type { Column } from '../schema.ts'
import { parseType } from '../types.ts'

/** DuckDB's own default for the largest JSON object, bytes. */
const DEFAULT_OBJECT_BYTES = 16 * 1024 * 1024

/** The columns of a JSON block as a FROM item. */
export function jsonFrom ({ path, size, params }: Pick<EngineTask, 'path' | 'size' | 'params'>): string {
  const { columns, source } = params
  const types = columns.map(column => `${literal(column.name)}: ${literal(column.type)}`).join(', ')
  const names = columns.map((column, i) => `${identifier(column.name)} AS c${i}`).join(', ')
  return `(SELECT ${names} FROM read_json(${literal(path)}, format = '${source.format === 'json' ? 'array' : 'newline_delimited'}', records = 'true', columns = {${types}}, ` +
    `maximum_object_size = ${Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_OBJECT_BYTES, size))}))`
}

/** Writes an NDJSON part: one object per line, every key. */
export async function writeNdjson (task: EngineTask, from: string): Promise<number> {
  const select = task.params.columns.map((column, i) => `${jsonValue(column, i)} AS ${identifier(column.name)}`).join(', ')
  return await copyOut(task, `SELECT ${select} FROM ${from}`, '(FORMAT json)')
}

function jsonValue (column: Column, index: number): string {
  const { kind } = parseType(column.type)
  if (kind === 'DOUBLE' || kind === 'FLOAT') return refuseWhen(`NOT isfinite(c${index})`, index, 'NaN or an infinity, which JSON cannot hold', `c${index}`)
  // The engine would embed a text as a value and give its numbers another form where it must; a JSON column stays as it is.
  return `c${index}`
}
