/** Parquet in the engine: how a block is read, and how a part is written. */
import { ROW_GROUP_ROWS } from '../constants.ts'
import { copyOut, identifier, literal, refuseWhen } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'
import { parseType, type ColumnType } from '../types.ts'

/** Months, days and milliseconds are unsigned integers of 32 bits in Parquet. */
const INTERVAL_MILLIS_MAX = 2 ** 32 - 1

/** The columns of a Parquet block as a FROM item. */
export function parquetFrom ({ path, params }: Pick<EngineTask, 'path' | 'params'>): string {
  const { columns, rows, present } = params
  const there = present == null ? undefined : new Set(present)
  const names = columns.map(({ name, type }, i) => `CAST(${there?.has(i) === false ? 'NULL' : identifier(name)} AS ${type}) AS c${i}`).join(', ')
  const read = (option = ''): string => `read_parquet(${literal(path)}, hive_partitioning = false${option})`
  if (rows == null) return `(SELECT ${names} FROM ${read()})`
  const [first, end] = rows
  // A table may have a column of the name the engine gives its row numbers; skipping rows is slower, but needs no name.
  if (columns.some(column => column.name.toLowerCase() === 'file_row_number')) {
    return `(SELECT ${names} FROM ${read()} LIMIT ${end - first} OFFSET ${first})`
  }
  return `(SELECT ${names} FROM ${read(', file_row_number = true')} WHERE file_row_number >= ${first} AND file_row_number < ${end})`
}

export async function writeParquet (task: EngineTask, from: string, compression: string): Promise<number> {
  const select = task.params.columns.map((column, i) => `${parquetValue(parseType(column.type), i)} AS ${identifier(column.name)}`).join(', ')
  return await copyOut(task, `SELECT ${select} FROM ${from}`, `(FORMAT parquet, COMPRESSION ${compression}, ROW_GROUP_SIZE ${ROW_GROUP_ROWS})`)
}

function parquetValue (type: ColumnType, index: number): string {
  const value = `c${index}`
  const lost = unstorable(type, value, 0)
  return lost == null ? value : refuseWhen(lost, index, 'an interval that is negative, has microseconds or more than 4,294,967,295 milliseconds, which Parquet cannot hold', value)
}

/** SQL that is true for what the engine would cut silently (microseconds of intervals) or refuse in its own words. Undefined: there is nothing such. */
function unstorable (type: ColumnType, value: string, depth: number): string | undefined {
  switch (type.kind) {
    case 'INTERVAL': {
      const part = (name: string): string => `datepart('${name}', ${value})`
      const micros = `(${part('hour')} * 3600000000 + ${part('minute')} * 60000000 + ${part('microsecond')})`
      return `(${part('year')} < 0 OR ${part('month')} < 0 OR ${part('day')} < 0 OR ${micros} NOT BETWEEN 0 AND ${INTERVAL_MILLIS_MAX}000 OR ${micros} % 1000 <> 0)`
    }
    case 'LIST': return within(type.element!, value, depth)
    case 'MAP': {
      const keys = within(type.key!, `map_keys(${value})`, depth)
      const values = within(type.element!, `map_values(${value})`, depth)
      return keys != null && values != null ? `(${keys} OR ${values})` : keys ?? values
    }
    case 'STRUCT': {
      const parts = type.fields!.map(field => unstorable(field.type, `struct_extract(${value}, ${literal(field.name)})`, depth)).filter(part => part != null)
      return parts.length === 0 ? undefined : `(${parts.join(' OR ')})`
    }
    default: return undefined
  }
}

function within (type: ColumnType, list: string, depth: number): string | undefined {
  const name = `x${depth}`
  const lost = unstorable(type, name, depth + 1)
  return lost == null ? undefined : `len(list_filter(${list}, lambda ${name}: ${lost})) > 0`
}
