/** Reads table parameters that crossed the wire: nothing unknown, nothing ill-typed, nothing beyond its limit. */
import { COLUMN_NAME_MAX, COLUMNS_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { Encoding } from '../index.ts'
import type { Column, Dialect, SourceForm, TableParameters, TargetForm } from './schema.ts'
import { COMPRESSIONS, nearest } from './settings.ts'
import { parseType } from './types.ts'

type Json = Record<string, unknown>

const ENCODINGS: readonly Encoding[] = ['gzip', 'zstd', 'brotli', 'xz']
const KEYS = ['columns', 'source', 'target', 'partition', 'rows', 'lineEnds', 'numbers', 'present', 'types']

/** Throws ConversionError `bad-parameters` naming the key. `types` (schema epochs) is merged into `columns`. */
export function readTableParameters (value: unknown): TableParameters {
  const params = object(value, '', KEYS)
  const result: TableParameters = {
    columns: columns(params.columns),
    source: source(params.source),
    target: target(params.target)
  }
  if (params.types !== undefined) override(result.columns, params.types)
  if (params.partition !== undefined) result.partition = partition(params.partition, result.columns)
  if (params.rows !== undefined) result.rows = rows(params.rows)
  if (params.lineEnds !== undefined) result.lineEnds = params.lineEnds === 'mixed' ? 'mixed' : bad('lineEnds', 'must be mixed')
  if (params.numbers !== undefined) result.numbers = params.numbers === 'exact' ? 'exact' : bad('numbers', 'must be exact')
  if (params.present !== undefined) result.present = present(params.present, result.columns.length)
  return result
}

function columns (value: unknown): Column[] {
  if (!Array.isArray(value) || value.length === 0) return bad('columns', 'must be a list of at least one column')
  if (value.length > COLUMNS_MAX) return bad('columns', `has ${value.length} columns, at most ${COLUMNS_MAX} are allowed`)
  const seen = new Set<string>()
  return value.map((entry, i) => {
    const column = object(entry, `columns[${i}]`, ['name', 'type', 'fixed'])
    const { name, type, fixed } = column
    if (typeof name !== 'string' || name === '' || name.length > COLUMN_NAME_MAX) return bad(`columns[${i}].name`, `must be a text of 1 to ${COLUMN_NAME_MAX} characters`)
    if (typeof type !== 'string') return bad(`columns[${i}].type`, 'must be a type name')
    if (fixed !== undefined && fixed !== true) return bad(`columns[${i}].fixed`, 'must be true or left out')
    parseType(type)
    if (seen.has(name.toLowerCase())) return bad(`columns[${i}].name`, `names '${name}' twice`)
    seen.add(name.toLowerCase())
    return fixed === true ? { name, type, fixed } : { name, type }
  })
}

function override (columns: Column[], value: unknown): void {
  const types = object(value, 'types')
  for (const [position, type] of Object.entries(types)) {
    const column = /^\d{1,6}$/.test(position) ? columns[Number(position)] : undefined
    if (column == null) bad(`types.${position}`, `must be the position of one of ${columns.length} columns`)
    if (typeof type !== 'string') bad(`types.${position}`, 'must be a type name')
    parseType(type as string)
    column!.type = type as string
  }
}

function source (value: unknown): SourceForm {
  const form = object(value, 'source', ['format', 'dialect', 'ragged', 'fractions', 'elements'])
  switch (form.format) {
    case 'csv': {
      object(value, 'source', ['format', 'dialect', 'ragged'])
      const { ragged } = form
      if (ragged !== undefined && ragged !== 'pad' && ragged !== 'skip') return bad('source.ragged', 'must be pad, skip or left out')
      return { format: 'csv', dialect: dialect(form.dialect, 'source.dialect'), ...(ragged !== undefined ? { ragged } : {}) }
    }
    case 'ndjson':
    case 'json':
      object(value, 'source', ['format', 'fractions', 'elements'])
      if (form.fractions !== undefined && form.fractions !== 'double') return bad('source.fractions', 'must be double or left out')
      if (form.elements !== undefined && (form.elements !== 'values' || form.format !== 'json')) return bad('source.elements', 'must be values, of format json, or left out')
      return { format: form.format, ...(form.fractions === 'double' ? { fractions: 'double' } : {}), ...(form.elements === 'values' ? { elements: 'values' } : {}) }
    case 'parquet':
    case 'arrow':
      object(value, 'source', ['format'])
      return { format: form.format }
    default: return bad('source.format', 'must be csv, ndjson, json, parquet or arrow')
  }
}

function target (value: unknown): TargetForm {
  const form = object(value, 'target')
  switch (form.format) {
    case 'csv':
      object(value, 'target', ['format', 'dialect', 'encoding'])
      return { format: 'csv', dialect: dialect(form.dialect, 'target.dialect'), ...encoding(form.encoding) }
    case 'ndjson':
    case 'json': {
      object(value, 'target', ['format', 'nonfinite', 'encoding'])
      const { nonfinite } = form
      if (nonfinite !== undefined && nonfinite !== 'text' && nonfinite !== 'null' && nonfinite !== 'error') return bad('target.nonfinite', 'must be text, null or error')
      return { format: form.format, ...(nonfinite !== undefined ? { nonfinite } : {}), ...encoding(form.encoding) }
    }
    case 'parquet': {
      object(value, 'target', ['format', 'compression'])
      const compression = COMPRESSIONS.find(name => name === (form.compression ?? 'snappy'))
      if (compression == null) return bad('target.compression', `must be one of ${COMPRESSIONS.join(', ')}`)
      return { format: 'parquet', compression }
    }
    case 'arrow':
      object(value, 'target', ['format', 'container'])
      if (form.container !== 'file' && form.container !== 'stream') return bad('target.container', 'must be file or stream')
      return { format: 'arrow', container: form.container }
    default: return bad('target.format', 'must be csv, ndjson, json, parquet or arrow')
  }
}

function encoding (value: unknown): { encoding?: Encoding } {
  if (value === undefined) return {}
  const known = ENCODINGS.find(name => name === value)
  return known == null ? bad('target.encoding', `must be one of ${ENCODINGS.join(', ')}`) : { encoding: known }
}

function dialect (value: unknown, key: string): Dialect {
  const { delimiter, quote, escape, header, comment } = object(value, key, ['delimiter', 'quote', 'escape', 'header', 'comment'])
  if (!isCharacter(delimiter)) return bad(`${key}.delimiter`, 'must be one ASCII character, no line end')
  if (quote !== '' && !isCharacter(quote)) return bad(`${key}.quote`, 'must be one ASCII character, no line end, or empty')
  if (quote === '' ? escape !== '' : !isCharacter(escape)) return bad(`${key}.escape`, 'must be one ASCII character, and empty exactly if there is no quote')
  if (typeof header !== 'boolean') return bad(`${key}.header`, 'must be true or false')
  if (comment !== undefined && !isCharacter(comment)) return bad(`${key}.comment`, 'must be one ASCII character, no line end, or left out')
  const used = [delimiter, ...(quote === '' ? [] : [quote]), ...(comment === undefined ? [] : [comment])]
  if (new Set(used).size < used.length || escape === delimiter || (escape !== '' && escape === comment)) return bad(key, 'delimiter, quote, escape and comment must be different characters (only quote and escape may be the same)')
  return { delimiter, quote: quote as string, escape: escape as string, header, ...(comment !== undefined ? { comment } : {}) }
}

function isCharacter (value: unknown): value is string {
  // eslint-disable-next-line no-control-regex
  return typeof value === 'string' && /^[\x01-\x09\x0b\x0c\x0e-\x7e]$/.test(value)
}

function partition (value: unknown, columns: Column[]): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length >= columns.length) return bad('partition', 'must name at least one column, and leave one')
  const names = value.map((name, i) => typeof name === 'string' && columns.some(column => column.name === name) ? name : bad(`partition[${i}]`, 'must be the name of a column'))
  if (new Set(names).size < names.length) return bad('partition', 'names a column twice')
  return names
}

function rows (value: unknown): [number, number] {
  const [from, to] = Array.isArray(value) && value.length === 2 ? value as unknown[] : []
  if (typeof from === 'number' && typeof to === 'number' && Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && to >= from) return [from, to]
  return bad('rows', 'must be two row numbers, the first not above the second')
}

function present (value: unknown, count: number): number[] {
  if (!Array.isArray(value) || value.length > count) return bad('present', 'must be a list of positions of columns')
  const seen = new Set<number>()
  for (const position of value as unknown[]) {
    if (typeof position !== 'number' || !Number.isSafeInteger(position) || position < 0 || position >= count || seen.has(position)) return bad('present', `must hold different positions below ${count}`)
    seen.add(position)
  }
  return value as number[]
}

function object (value: unknown, key: string, keys?: readonly string[]): Json {
  if (typeof value !== 'object' || value == null || Array.isArray(value)) return bad(key === '' ? 'parameters' : key, 'must be an object')
  for (const name of Object.keys(value)) {
    if (keys == null || keys.includes(name) || (value as Json)[name] === undefined) continue
    const near = nearest(name, keys)
    bad(key === '' ? name : `${key}.${name}`, `is unknown${near == null ? '' : `; did you mean '${near}'?`}`)
  }
  return value as Json
}

function bad (key: string, what: string): never {
  throw new ConversionError('bad-parameters', `parameter '${key}' ${what}`, { key })
}
