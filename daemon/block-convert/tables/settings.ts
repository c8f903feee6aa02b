/** `--set key=value` of table conversions: what there is, for which end, and what to say about anything else. */
import { ConversionError } from '../errors.ts'
import type { FormatName } from './schema.ts'
import { parseType, typeName } from './types.ts'

export const COMPRESSIONS = ['snappy', 'zstd', 'gzip', 'uncompressed'] as const
export type Compression = typeof COMPRESSIONS[number]

/** Character sets text sources may have, by their WHATWG names; `auto` looks for a byte order mark and at the bytes. */
export const CHARSETS = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252', 'iso-8859-1', 'iso-8859-15'] as const
export type Charset = typeof CHARSETS[number]

/** How a CSV text is written, as far as the user says. */
export interface DialectSettings {
  delimiter?: string
  quote?: string
  escape?: string
  header?: boolean
  comment?: string
}

export interface TableSettings {
  /** Of a CSV source. */
  source: DialectSettings
  /** Of a CSV target. */
  target: DialectSettings
  /** @default an error */
  ragged?: 'pad' | 'skip'
  charset?: Charset
  /** Every column is text (CSV: VARCHAR, JSON: JSON). */
  text: boolean
  /** Types given by column name (`schema`, `type:NAME`): they hold, whatever is found. */
  types: Map<string, string>
  fractions: 'exact' | 'double'
  nonfinite: 'text' | 'null' | 'error'
  /** Whether JSON objects and arrays become STRUCT and LIST columns where all values allow it, or stay JSON text. */
  nested: 'typed' | 'json'
  compression: Compression
  /** Columns to divide the output by. */
  partition: string[]
}

const DIALECT_KEYS = ['delimiter', 'quote', 'escape', 'header'] as const
const TEXT_SOURCES: ReadonlySet<FormatName> = new Set(['csv', 'ndjson', 'json'])

/** Keys there are between two formats, `type:NAME` left out. */
export function knownKeys (from: FormatName, to: FormatName): string[] {
  const known: string[] = []
  if (from === 'csv') known.push(...DIALECT_KEYS, 'comment', 'ragged')
  else if (to === 'csv') known.push(...DIALECT_KEYS)
  if (to === 'csv') known.push(...DIALECT_KEYS.map(key => `to.${key}`))
  if (TEXT_SOURCES.has(from)) known.push('types', 'schema', 'encoding')
  if (from === 'json' || from === 'ndjson') known.push('fractions', 'nested')
  if (to === 'json' || to === 'ndjson') known.push('nonfinite')
  if (to === 'parquet') known.push('compression')
  known.push('partition_by', 'max_expansion')
  return known
}

/** Reads settings; throws ConversionError `bad-parameters` naming the key, and the nearest one there is. */
export function readSettings (settings: Record<string, string>, from: FormatName, to: FormatName): TableSettings {
  const known = knownKeys(from, to)
  const typed = TEXT_SOURCES.has(from)
  const result: TableSettings = {
    source: {}, target: {}, text: false, types: new Map(), fractions: 'exact', nonfinite: 'text', nested: 'typed', compression: 'snappy', partition: []
  }
  for (const [key, value] of Object.entries(settings)) {
    if (typed && key.startsWith('type:')) {
      result.types.set(key.slice(5), columnType(key, value, from))
      continue
    }
    if (!known.includes(key)) {
      const shown = typed ? [...known, 'type:NAME'] : known
      const near = nearest(key, shown)
      throw new ConversionError('bad-parameters', `unknown setting '${key}'${near == null ? '' : `; did you mean '${near}'?`} (there are: ${shown.join(', ')})`, { key })
    }
    const dialect = key.startsWith('to.') || from !== 'csv' ? result.target : result.source
    switch (key.replace(/^to\./, '')) {
      case 'delimiter': dialect.delimiter = character(key, value); break
      case 'quote': dialect.quote = value === 'none' ? '' : character(key, value); break
      case 'escape': dialect.escape = character(key, value); break
      case 'comment': dialect.comment = value === 'none' ? '' : character(key, value); break
      case 'header': dialect.header = oneOf(key, value, ['true', 'false'] as const) === 'true'; break
      case 'ragged': {
        const rule = oneOf(key, value === 'skip-and-report' ? 'skip' : value, ['error', 'pad', 'skip'] as const)
        if (rule !== 'error') result.ragged = rule
        break
      }
      case 'encoding': {
        const charset = charsetOf(key, value)
        if (charset != null) result.charset = charset
        break
      }
      case 'types': result.text = oneOf(key, value, ['auto', 'text'] as const) === 'text'; break
      case 'schema': for (const [name, type] of schemaOf(key, value, from)) if (!result.types.has(name)) result.types.set(name, type); break
      case 'fractions': result.fractions = oneOf(key, value, ['exact', 'double'] as const); break
      case 'nested': result.nested = oneOf(key, value, ['typed', 'json'] as const); break
      case 'nonfinite': result.nonfinite = oneOf(key, value, ['text', 'null', 'error'] as const); break
      case 'compression': result.compression = oneOf(key, value, COMPRESSIONS); break
      case 'partition_by': result.partition = partitionOf(key, value); break
      // Read where files are decoded; here it is only a known name.
      case 'max_expansion': break
    }
  }
  return result
}

/** One ASCII character other than a line end or NUL; `tab` and `\t`, `space` by name. */
function character (key: string, value: string): string {
  const character = value === '\\t' || value === 'tab' ? '\t' : value === 'space' ? ' ' : value
  // eslint-disable-next-line no-control-regex
  if (!/^[\x01-\x09\x0b\x0c\x0e-\x7e]$/.test(character)) {
    throw new ConversionError('bad-parameters', `setting '${key}' cannot be '${value}'; use one ASCII character, for instance , ; | or tab`, { key, value })
  }
  return character
}

const CHARSET_ALIASES: Record<string, Charset> = { utf8: 'utf-8', 'utf-16': 'utf-16le', utf16: 'utf-16le', 'latin-1': 'iso-8859-1', latin1: 'iso-8859-1', cp1252: 'windows-1252' }

/** A character set by a usual name; undefined: `auto`. Throws ConversionError `bad-parameters`. */
export function charsetOf (key: string, value: string): Charset | undefined {
  const name = value.toLowerCase()
  if (name === 'auto') return undefined
  return oneOf(key, CHARSET_ALIASES[name] ?? name, CHARSETS)
}

function partitionOf (key: string, value: string): string[] {
  const names = value.split(',').map(name => name.trim()).filter(name => name !== '')
  if (names.length === 0) throw new ConversionError('bad-parameters', `setting '${key}' names no column; write partition_by=COLUMN or partition_by=A,B`, { key, value })
  return names
}

/** `{"name": "TYPE", ...}` or `[{"name": ..., "type": ...}, ...]`. */
function schemaOf (key: string, value: string, from: FormatName): Array<[string, string]> {
  const bad = (what: string): ConversionError => new ConversionError('bad-parameters', `setting '${key}': ${what}; it is JSON like {"id": "BIGINT", "price": "DECIMAL(12,2)"}`, { key })
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch (error) {
    throw bad(`it is not JSON (${(error as Error).message})`)
  }
  const entries: Array<[unknown, unknown]> = Array.isArray(parsed)
    ? parsed.map((entry: unknown) => [(entry as Record<string, unknown> | null)?.name, (entry as Record<string, unknown> | null)?.type])
    : typeof parsed === 'object' && parsed != null ? Object.entries(parsed) : []
  if (entries.length === 0) throw bad('it names no column')
  return entries.map(([name, type]) => {
    if (typeof name !== 'string' || typeof type !== 'string') throw bad('a column needs a name and a type')
    return [name, columnType(`${key}: ${name}`, type, from)]
  })
}

const NAMES: Record<string, string> = { INT: 'BIGINT', INTEGER: 'BIGINT', INT64: 'BIGINT', LONG: 'BIGINT', TEXT: 'VARCHAR', STRING: 'VARCHAR', FLOAT: 'DOUBLE', REAL: 'DOUBLE', BOOL: 'BOOLEAN', DATETIME: 'TIMESTAMP' }
const CSV_TYPES = ['VARCHAR', 'BIGINT', 'DOUBLE', 'BOOLEAN', 'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ']
const JSON_TYPES = [...CSV_TYPES, 'JSON']

function columnType (key: string, value: string, from: FormatName): string {
  const upper = value.trim().toUpperCase()
  const name = NAMES[upper] ?? upper.replaceAll(' ', '')
  const types = from === 'csv' ? CSV_TYPES : JSON_TYPES
  if (types.includes(name)) return name
  try {
    // Names of struct fields keep their case.
    const type = parseType(/^(STRUCT|MAP)\(|\[\]$/.test(value.trim()) ? value.trim() : name)
    if (type.kind === 'DECIMAL' || (from !== 'csv' && (type.kind === 'LIST' || type.kind === 'STRUCT'))) return typeName(type)
  } catch (error) {
    if (!(error instanceof ConversionError)) throw error
    // Told below, with what there is.
  }
  throw new ConversionError('bad-parameters', `setting '${key}': '${value}' is no column type; use one of ${types.join(', ')}, DECIMAL(p,s)`, { key, value })
}

function oneOf<T extends string> (key: string, value: string, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new ConversionError('bad-parameters', `setting '${key}' cannot be '${value}'; use one of: ${allowed.join(' ')}`, { key, value })
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
