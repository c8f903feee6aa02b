/** Reads table parameters that crossed the wire: nothing unknown, nothing ill-typed, nothing beyond its limit. */
import { COLUMN_NAME_MAX, COLUMNS_MAX } from './constants.ts'
import { DELIMITERS } from './dialect.ts'
import { ConversionError } from '../errors.ts'
import type { Column, Dialect, SourceForm, TableParameters, TargetForm } from './schema.ts'
import { COMPRESSIONS, nearest } from './settings.ts'
import { parseType } from './types.ts'

type Json = Record<string, unknown>

/** Throws ConversionError `bad-parameters` naming the key. */
export function readTableParameters (value: unknown): TableParameters {
  const params = object(value, '', ['columns', 'source', 'target', 'rows', 'lineEnds'])
  const result: TableParameters = {
    columns: columns(params.columns),
    source: source(params.source),
    target: target(params.target)
  }
  if (params.rows !== undefined) result.rows = rows(params.rows)
  if (params.lineEnds !== undefined) result.lineEnds = params.lineEnds === 'mixed' ? 'mixed' : bad('lineEnds', 'must be mixed')
  if (result.source.format === result.target.format) bad('target.format', 'must differ from source.format')
  return result
}

function columns (value: unknown): Column[] {
  if (!Array.isArray(value) || value.length === 0) return bad('columns', 'must be a list of at least one column')
  if (value.length > COLUMNS_MAX) return bad('columns', `has ${value.length} columns, at most ${COLUMNS_MAX} are allowed`)
  const seen = new Set<string>()
  return value.map((entry, i) => {
    const column = object(entry, `columns[${i}]`, ['name', 'type'])
    const { name, type } = column
    if (typeof name !== 'string' || name === '' || name.length > COLUMN_NAME_MAX) return bad(`columns[${i}].name`, `must be a text of 1 to ${COLUMN_NAME_MAX} characters`)
    if (typeof type !== 'string') return bad(`columns[${i}].type`, 'must be a type name')
    parseType(type)
    if (seen.has(name.toLowerCase())) return bad(`columns[${i}].name`, `names '${name}' twice`)
    seen.add(name.toLowerCase())
    return { name, type }
  })
}

function source (value: unknown): SourceForm {
  const { format } = object(value, 'source', ['format', 'dialect'])
  if (format === 'csv') return { format, dialect: dialect((value as Json).dialect, 'source.dialect') }
  if (format === 'ndjson' || format === 'parquet') {
    object(value, 'source', ['format'])
    return { format }
  }
  return bad('source.format', 'must be csv, ndjson or parquet')
}

function target (value: unknown): TargetForm {
  const form = object(value, 'target', ['format', 'dialect', 'compression'])
  switch (form.format) {
    case 'csv':
      object(value, 'target', ['format', 'dialect'])
      return { format: 'csv', dialect: dialect(form.dialect, 'target.dialect') }
    case 'ndjson':
      object(value, 'target', ['format'])
      return { format: 'ndjson' }
    case 'parquet': {
      object(value, 'target', ['format', 'compression'])
      const compression = COMPRESSIONS.find(name => name === (form.compression ?? 'snappy'))
      if (compression == null) return bad('target.compression', `must be one of ${COMPRESSIONS.join(', ')}`)
      return { format: 'parquet', compression }
    }
    default: return bad('target.format', 'must be csv, ndjson or parquet')
  }
}

function dialect (value: unknown, key: string): Dialect {
  const { delimiter, quote, escape, header } = object(value, key, ['delimiter', 'quote', 'escape', 'header'])
  if (!DELIMITERS.includes(delimiter as ',')) return bad(`${key}.delimiter`, 'must be one of , ; | or a tab')
  if (quote !== '"' && quote !== '\'') return bad(`${key}.quote`, 'must be " or \'')
  if (escape !== quote || typeof escape !== 'string') return bad(`${key}.escape`, 'must equal the quote: quotes are doubled')
  if (typeof header !== 'boolean') return bad(`${key}.header`, 'must be true or false')
  return { delimiter: delimiter as string, quote, escape, header }
}

function rows (value: unknown): [number, number] {
  const [from, to] = Array.isArray(value) && value.length === 2 ? value as unknown[] : []
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || (from as number) < 0 || (to as number) < (from as number)) {
    return bad('rows', 'must be two row numbers [from, to)')
  }
  return [from as number, to as number]
}

function object (value: unknown, key: string, known: string[]): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad(key === '' ? 'parameters' : key, 'must be an object')
  for (const name of Object.keys(value)) {
    if (known.includes(name) || (value as Json)[name] === undefined) continue
    const near = nearest(name, known)
    bad(key === '' ? name : `${key}.${name}`, `is unknown${near == null ? '' : `; did you mean '${near}'?`}`)
  }
  return value as Json
}

function bad (key: string, what: string): never {
  throw new ConversionError('bad-parameters', `parameter '${key}' ${what}`, { key })
}
