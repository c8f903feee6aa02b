/** Parquet in the engine: how a block is read, and how a part is written. */
import { ROW_GROUP_ROWS } from '../constants.ts'
import { copyOut, identifier, literal } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'

/** The columns of a Parquet block as a FROM item. */
export function parquetFrom ({ path, params }: Pick<EngineTask, 'path' | 'params'>): string {
  const { columns, rows } = params
  const names = columns.map((column, i) => `${identifier(column.name)} AS c${i}`).join(', ')
  if (rows == null) return `(SELECT ${names} FROM read_parquet(${literal(path)}))`
  const [first, end] = rows
  // A table may have a column of the name the engine gives its row numbers; skipping rows is slower, but needs no name.
  if (columns.some(column => column.name.toLowerCase() === 'file_row_number')) {
    return `(SELECT ${names} FROM read_parquet(${literal(path)}) LIMIT ${end - first} OFFSET ${first})`
  }
  return `(SELECT ${names} FROM read_parquet(${literal(path)}, file_row_number = true) WHERE file_row_number >= ${first} AND file_row_number < ${end})`
}

export async function writeParquet (task: EngineTask, from: string, compression: string): Promise<number> {
  const select = task.params.columns.map((column, i) => `c${i} AS ${identifier(column.name)}`).join(', ')
  return await copyOut(task, `SELECT ${select} FROM ${from}`, `(FORMAT parquet, COMPRESSION ${compression}, ROW_GROUP_SIZE ${ROW_GROUP_ROWS})`)
}
