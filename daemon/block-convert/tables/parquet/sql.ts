/** Parquet in the engine: how a block is read, and how a part is written. */
import { rm } from 'node:fs/promises'
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

/** Raised by the SQL of a first try: there is a negative zero. */
const NEGATIVE_ZERO = 'weft-negative-zero'

/**
 * The engine's dictionaries take -0.0 and 0.0 for one value, and give both the sign of the first. So a block with a negative zero is written
 * without dictionaries; whether there is one shows while it is written with them.
 */
export async function writeParquet (task: EngineTask, from: string, compression: string): Promise<number> {
  const types = task.params.columns.map(column => parseType(column.type))
  const query = (guarded: boolean): string =>
    `SELECT ${task.params.columns.map((column, i) => `${parquetValue(types[i]!, i, guarded)} AS ${identifier(column.name)}`).join(', ')} FROM ${from}`
  const options = `FORMAT parquet, COMPRESSION ${compression}, ROW_GROUP_SIZE ${ROW_GROUP_ROWS}`
  try {
    return await copyOut(task, query(true), `(${options})`)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes(NEGATIVE_ZERO)) throw error
    await rm(task.output, { force: true })
    return await copyOut(task, query(false), `(${options}, DICTIONARY_SIZE_LIMIT 0)`)
  }
}

function parquetValue (type: ColumnType, index: number, guarded: boolean): string {
  const value = `c${index}`
  const lost = anywhere(type, value, 0, unstorable)
  const kept = lost == null ? value : refuseWhen(lost, index, 'an interval that is negative, has microseconds or more than 4,294,967,295 milliseconds, which Parquet cannot hold', value)
  const zero = guarded ? anywhere(type, value, 0, negativeZero) : undefined
  return zero == null ? kept : `CASE WHEN ${zero} THEN error(${literal(NEGATIVE_ZERO)}) ELSE ${kept} END`
}

/** SQL that is true for a value of the type; undefined if none can be. */
type Leaf = (type: ColumnType, value: string) => string | undefined

/** Intervals the engine would cut silently (microseconds), or refuse in its own words. */
function unstorable (type: ColumnType, value: string): string | undefined {
  if (type.kind !== 'INTERVAL') return undefined
  const part = (name: string): string => `datepart('${name}', ${value})`
  const micros = `(${part('hour')} * 3600000000 + ${part('minute')} * 60000000 + ${part('microsecond')})`
  return `(${part('year')} < 0 OR ${part('month')} < 0 OR ${part('day')} < 0 OR ${micros} NOT BETWEEN 0 AND ${INTERVAL_MILLIS_MAX}000 OR ${micros} % 1000 <> 0)`
}

function negativeZero (type: ColumnType, value: string): string | undefined {
  return type.kind === 'FLOAT' || type.kind === 'DOUBLE' ? `(${value} = 0 AND signbit(${value}))` : undefined
}

/** SQL that is true if `leaf` is, for the value or any part of it. */
function anywhere (type: ColumnType, value: string, depth: number, leaf: Leaf): string | undefined {
  switch (type.kind) {
    case 'LIST': return within(type.element!, value, depth, leaf)
    case 'MAP': {
      const keys = within(type.key!, `map_keys(${value})`, depth, leaf)
      const values = within(type.element!, `map_values(${value})`, depth, leaf)
      return keys != null && values != null ? `(${keys} OR ${values})` : keys ?? values
    }
    case 'STRUCT': {
      const parts = type.fields!.map(field => anywhere(field.type, `struct_extract(${value}, ${literal(field.name)})`, depth, leaf)).filter(part => part != null)
      return parts.length === 0 ? undefined : `(${parts.join(' OR ')})`
    }
    default: return leaf(type, value)
  }
}

function within (type: ColumnType, list: string, depth: number, leaf: Leaf): string | undefined {
  const name = `x${depth}`
  const found = anywhere(type, name, depth + 1, leaf)
  return found == null ? undefined : `len(list_filter(${list}, lambda ${name}: ${found})) > 0`
}
