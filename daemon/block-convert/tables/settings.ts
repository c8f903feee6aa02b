/** `--set key=value` of table conversions: what there is, for which end, and what to say about anything else. */
import { DELIMITERS } from './dialect.ts'
import { ConversionError } from '../errors.ts'
import { decimalOf, DECIMAL_DIGITS } from './lexical.ts'

/** Types a text source's column can be given by `--set type:NAME=TYPE`, besides DECIMAL(p,s). */
const CSV_TYPES = ['VARCHAR', 'BIGINT', 'DOUBLE', 'BOOLEAN', 'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ']
const JSON_TYPES = [...CSV_TYPES, 'JSON']

export const COMPRESSIONS = ['snappy', 'zstd', 'gzip', 'uncompressed'] as const
export type Compression = typeof COMPRESSIONS[number]

export interface TableSettings {
  delimiter?: string
  quote?: string
  header?: boolean
  /** Every column is text (CSV: VARCHAR, NDJSON: JSON). */
  text: boolean
  /** Types given by column name. */
  types: Map<string, string>
  compression: Compression
}

type Format = 'csv' | 'ndjson' | 'parquet'

/** Reads settings; throws ConversionError `bad-parameters` naming the key, and the nearest one there is. */
export function readSettings (settings: Record<string, string>, from: Format, to: Format): TableSettings {
  const known: string[] = []
  if (from === 'csv' || to === 'csv') known.push('delimiter', 'quote', 'header')
  if (from !== 'parquet') known.push('types')
  if (to === 'parquet') known.push('compression')
  const result: TableSettings = { text: false, types: new Map(), compression: 'snappy' }
  for (const [key, value] of Object.entries(settings)) {
    if (from !== 'parquet' && key.startsWith('type:')) {
      result.types.set(key.slice(5), columnType(key, value, from))
      continue
    }
    if (!known.includes(key)) {
      const shown = from === 'parquet' ? known : [...known, 'type:NAME']
      const near = nearest(key, shown)
      throw new ConversionError('bad-parameters', `unknown setting '${key}'${near == null ? '' : `; did you mean '${near}'?`} (there are: ${shown.join(', ')})`, { key })
    }
    switch (key) {
      case 'delimiter': result.delimiter = oneOf(key, value === '\\t' || value === 'tab' ? '\t' : value, DELIMITERS, ', ; | tab'); break
      case 'quote': result.quote = oneOf(key, value, ['"', '\''] as const, '" \''); break
      case 'header': result.header = oneOf(key, value, ['true', 'false'] as const, 'true false') === 'true'; break
      case 'types': result.text = oneOf(key, value, ['auto', 'text'] as const, 'auto text') === 'text'; break
      case 'compression': result.compression = oneOf(key, value, COMPRESSIONS, COMPRESSIONS.join(' ')); break
    }
  }
  return result
}

function columnType (key: string, value: string, from: Format): string {
  const type = value.toUpperCase().replaceAll(' ', '')
  const decimal = decimalOf(type)
  if (decimal != null && decimal.precision >= 1 && decimal.precision <= DECIMAL_DIGITS && decimal.scale <= decimal.precision) return type
  const types = from === 'csv' ? CSV_TYPES : JSON_TYPES
  if (types.includes(type)) return type
  throw new ConversionError('bad-parameters', `setting '${key}': '${value}' is no column type; use one of ${types.join(', ')}, DECIMAL(p,s)`, { key, value })
}

function oneOf<T extends string> (key: string, value: string, allowed: readonly T[], shown: string): T {
  if (allowed.includes(value as T)) return value as T
  throw new ConversionError('bad-parameters', `setting '${key}' cannot be '${value}'; use one of: ${shown}`, { key, value })
}

/** The nearest of some names by edit distance, or undefined if none is near. */
export function nearest (wanted: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(wanted.length / 2)) + 1
  for (const name of names) {
    const distance = editDistance(wanted.toLowerCase(), name.toLowerCase())
    if (distance < least) {
      least = distance
      best = name
    }
  }
  return best
}

function editDistance (a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    previous = row
  }
  return previous[b.length]!
}
