/**
 * How the engine writes JSON: one object per line, every key. Texts are put together in SQL and copied raw, for the engine's own JSON
 * output has no way to write NaN, gives `.5` for a DECIMAL(2,2), and rounds the numbers of JSON columns.
 */
import { stat, truncate } from 'node:fs/promises'
import { copyOut, identifier, literal, refuseWhen } from '../engine/duckdb.ts'
import { hasKind } from './exact.ts'
import type { EngineTask } from '../format.ts'
import type { Column } from '../schema.ts'
import { parseType, type ColumnType } from '../types.ts'

export type Nonfinite = 'text' | 'null' | 'error'

/** Bytes of a text up to which the engine writes it at once: it reserves up to twelve times as much, pieces are several times slower. */
const LONG_TEXT_BYTES = 32 * 1024 * 1024

/** Columns of a table up to which its texts may be longer than that: the engine takes milliseconds to plan it for each. */
const LONG_TEXT_COLUMNS_MAX = 200

/** Characters of a piece of a long text; looking for longer ones takes the engine's patterns too much memory. */
const PIECE_CHARS = 100

/** Bytes of `,\n`. */
const BETWEEN_BYTES = 2

const RAW = 'FORMAT csv, HEADER false, QUOTE \'\', ESCAPE \'\', DELIMITER \'\''

/** Writes an NDJSON part. */
export async function writeNdjson (task: EngineTask, from: string): Promise<number> {
  return await copyOut(task, `SELECT ${rowText(task)} FROM ${from}`, `(${RAW})`)
}

/** Writes a part of a JSON array: its elements with `,\n` between them. */
export async function writeElements (task: EngineTask, from: string): Promise<number> {
  const rows = await copyOut(task, `SELECT ${rowText(task)} FROM ${from}`, `(${RAW}, NEW_LINE E',\\n')`)
  // What stands between elements stands behind the last one, too.
  if (rows > 0) await truncate(task.output, (await stat(task.output)).size - BETWEEN_BYTES)
  return rows
}

/** A row as an object's text. */
function rowText ({ params }: Pick<EngineTask, 'params'>): string {
  const { columns, target, source } = params
  const nonfinite = 'nonfinite' in target ? target.nonfinite ?? 'text' : 'text'
  // What our splitter let pass is JSON.
  const proved = source.format === 'json' || source.format === 'ndjson'
  const types = columns.map(column => parseType(column.type))
  const long = columns.length <= LONG_TEXT_COLUMNS_MAX
  const usual = types.flatMap((type, i) => isFloat(type) ? [`(c${i} IS NULL OR isfinite(c${i}))`] : long && type.kind === 'VARCHAR' ? [`(c${i} IS NULL OR strlen(c${i}) <= ${LONG_TEXT_BYTES})`] : [])
  const engine = `CAST(to_json(struct_pack(${columns.map((column, i) => `${identifier(column.name)} := c${i}`).join(', ')})) AS VARCHAR)`
  const special = types.some(type => isSpecial(type) && !isFloat(type))
  if (!special && usual.length === 0) return engine
  const pairs = columns.map((column, i) => `${literal(`${i === 0 ? '{' : ','}${JSON.stringify(column.name)}:`)}, ${long && types[i]!.kind === 'VARCHAR' ? longText(`c${i}`) : jsonText(column, i, { nonfinite, proved })}`)
  const own = `concat(${pairs.join(', ')}, '}')`
  return special ? own : `CASE WHEN ${usual.join(' AND ')} THEN ${engine} ELSE ${own} END`
}

/** SQL that gives the JSON text of column `c<index>`; `null` for NULL. `proved`: its JSON values are known to be JSON. */
export function jsonText (column: Column, index: number, options: { nonfinite: Nonfinite, proved: boolean }): string {
  return text(parseType(column.type), `c${index}`, { ...options, index }, 0)
}

/** SQL as `jsonText` for a column of texts. Of one longer than `limit` bytes JSON is made in pieces, or the engine would reserve six bytes for each. */
export function longText (value: string, limit = LONG_TEXT_BYTES): string {
  const pieces = `list_transform(regexp_extract_all(${value}, '(?s).{1,${PIECE_CHARS}}'), lambda e: CAST(to_json(e) AS VARCHAR)[2:-2])`
  return `CASE WHEN ${value} IS NULL THEN 'null' WHEN strlen(${value}) <= ${limit} THEN CAST(to_json(${value}) AS VARCHAR) ELSE '"' || array_to_string(${pieces}, '') || '"' END`
}

function isFloat ({ kind }: ColumnType): boolean {
  return kind === 'FLOAT' || kind === 'DOUBLE'
}

/** The engine's own JSON is not what it should be. */
function isSpecial (type: ColumnType): boolean {
  return hasKind(type, part => isFloat(part) || part.kind === 'JSON' || (part.kind === 'DECIMAL' && (part.precision === part.scale || part.scale === 0)))
}

interface Options { nonfinite: Nonfinite, proved: boolean, index: number }

function text (type: ColumnType, value: string, options: Options, depth: number): string {
  const engine = `CAST(to_json(${value}) AS VARCHAR)`
  if (!isSpecial(type)) return `coalesce(${engine}, 'null')`
  switch (type.kind) {
    case 'FLOAT':
    case 'DOUBLE': return `CASE WHEN ${value} IS NULL THEN 'null' WHEN isfinite(${value}) THEN ${engine} ELSE ${notFinite(engine, options)} END`
    case 'DECIMAL': return `coalesce(regexp_replace(CAST(${value} AS VARCHAR), '^(-?)\\.', '\\10.'), 'null')`
    case 'JSON': return `coalesce(${embedded(`CAST(${value} AS VARCHAR)`, options)}, 'null')`
    case 'LIST': {
      const item = `e${depth}`
      return `CASE WHEN ${value} IS NULL THEN 'null' ELSE '[' || array_to_string(list_transform(${value}, lambda ${item}: ${text(type.element!, item, options, depth + 1)}), ',') || ']' END`
    }
    case 'STRUCT': {
      const pairs = type.fields!.map(({ name, type }, i) => `${literal(`${i === 0 ? '{' : ','}${JSON.stringify(name)}:`)}, ${text(type, `struct_extract(${value}, ${literal(name)})`, options, depth)}`)
      return `CASE WHEN ${value} IS NULL THEN 'null' ELSE concat(${pairs.join(', ')}, '}') END`
    }
    default: {
      // A map's keys are texts, as the engine writes them itself.
      const item = `e${depth}`
      const entry = `CAST(to_json(CAST(${item}.key AS VARCHAR)) AS VARCHAR) || ':' || ${text(type.element!, `${item}.value`, options, depth + 1)}`
      return `CASE WHEN ${value} IS NULL THEN 'null' ELSE '{' || array_to_string(list_transform(map_entries(${value}), lambda ${item}: ${entry}), ',') || '}' END`
    }
  }
}

function notFinite (engine: string, { nonfinite, index }: Options): string {
  switch (nonfinite) {
    case 'text': return `'"' || ${engine} || '"'`
    case 'null': return '\'null\''
    case 'error': return refuseWhen('true', index, 'NaN or an infinity, which JSON has no numbers for; set nonfinite=text or nonfinite=null', '\'\'')
  }
}

/** A JSON value's own text on one line: outside of strings a line end is white space, inside there is none. */
function embedded (value: string, { proved, index }: Options): string {
  const line = `translate(${value}, chr(10) || chr(13), '  ')`
  if (proved) return line
  // The engine also takes what is no JSON: NaN, inf, commas at the end.
  const bare = `regexp_replace(${value}, '"(?:[^"\\\\]|\\\\.)*"', '0', 'g')`
  return refuseWhen(`NOT json_valid(${value}) OR regexp_matches(${bare}, '(?i)nan|inf|,\\s*[\\]}]')`, index, 'a value that is marked as JSON but is none', line)
}
