/**
 * Keys of partitions: the values of the partition columns as canonical text, which is also what their folders are called. Text and value
 * determine one another, so that a key can be compared with a row's values by comparing texts.
 */
import { ConversionError } from '../../errors.ts'
import type { Note } from '../../index.ts'
import type { Column, TableParameters } from '../schema.ts'
import { parseType, type ColumnType, type Kind } from '../types.ts'
import { DATE_INFINITY, INVALID, TIMESTAMP_INFINITY } from '../values.ts'
import { textParser } from '../value-text.ts'
import { FOLDER_NAME_BYTES_MAX, NULL_FOLDER, PARTITION_COLUMNS_MAX, PARTITIONS_MAX } from './constants.ts'

/** One text per partition column, in their order; null for NULL. */
export type Key = Array<string | null>

/** Types without a text that is theirs alone (1.0, 1e0) or fit for a folder. */
const UNFIT: ReadonlySet<Kind> = new Set(['FLOAT', 'DOUBLE', 'JSON', 'BLOB', 'INTERVAL', 'LIST', 'STRUCT', 'MAP'])

/** What a partitioned conversion is about, worked out once. */
export interface Partitioning {
  /** Positions in `params.columns`, in the order of the folders. */
  keys: number[]
  /** Positions of the columns that are in the files, in order. */
  data: number[]
  /** The parameters of each file: those of an output that is one file. */
  file: TableParameters
}

/** Throws ConversionError `unsupported` for a column whose values are no folder names. */
export function partitioning (params: TableParameters): Partitioning {
  const { columns, source, target, partition = [] } = params
  const keys = partition.map(name => columns.findIndex(column => column.name === name))
  for (const position of keys) requireFit(columns[position]!)
  if (keys.length > PARTITION_COLUMNS_MAX) throw new ConversionError('unsupported', `setting 'partition_by' names ${keys.length} columns, at most ${PARTITION_COLUMNS_MAX} are possible`, { key: 'partition_by' })
  const data = columns.map((_, position) => position).filter(position => !keys.includes(position))
  return { keys, data, file: { columns: data.map(position => columns[position]!), source, target } }
}

function requireFit ({ name, type }: Column): void {
  const { kind } = parseType(type)
  if (UNFIT.has(kind)) throw new ConversionError('unsupported', `the output cannot be divided by column '${name}': its values are ${type}, which makes no folder names; choose another column, or give it a type with --set type:${name}=VARCHAR`, { column: name, type })
}

/** What the user should know about an output that is a folder. */
export function partitionNote ({ partition = [] }: TableParameters): Note {
  const names = partition.map(name => `'${name}'`).join(', ')
  return {
    code: 'partitioned',
    message: `the output is a folder with one file per value of ${names}; ${partition.length === 1 ? 'that column is' : 'those columns are'} in the folders' names (${partition.map(name => `${escape(name)}=VALUE`).join('/')}), not in the files`,
    columns: [...partition]
  }
}

/** A column that identifies rows was taken for one that divides them. */
export function tooManyPartitions (names: string[]): ConversionError {
  const what = names.length === 1 ? `column '${names[0]}' has more than ${PARTITIONS_MAX} different values` : `columns ${names.map(name => `'${name}'`).join(', ')} have more than ${PARTITIONS_MAX} combinations of values`
  return new ConversionError('unsupported', `the output cannot be divided that way: ${what}; choose a column with fewer, like a year or a country`, { columns: names })
}

/** Gives a row's canonical value (values.ts) as the key has it. */
export type KeyWriter = (value: unknown) => string | null

export function keyWriter (type: string): KeyWriter {
  const parsed = parseType(type)
  return value => value === null ? null : valueText(value as number | bigint | string | boolean, parsed)
}

/** Whether a key is what this module would write for some row: of hostile workers it may be anything. */
export function keyChecker (columns: Column[]): (key: Key) => boolean {
  const checks = columns.map(({ type }) => {
    const { kind } = parseType(type)
    const parse = textParser(type, 'result')
    const write = keyWriter(type)
    return (text: string): boolean => {
      if (!text.isWellFormed()) return false
      if (kind === 'VARCHAR') return true
      const value = parse(asParsed(text, kind))
      return value !== INVALID && write(value) === text
    }
  })
  return key => key.every((text, i) => text === null || checks[i]!(text))
}

/** The engine writes .5 without a zero, which the parsers do not take. */
function asParsed (text: string, kind: Kind): string {
  return kind === 'DECIMAL' ? text.replace(/^(-?)\./, '$10.') : text
}

/** The folders of a key, `A=1/B=x`; percent-encoded as DuckDB does. Throws ConversionError `unsupported` for a value that cannot be a folder. */
export function keyPath (names: string[], key: Key): string {
  return names.map((name, i) => {
    const text = key[i]!
    if (text === NULL_FOLDER) throw new ConversionError('unsupported', `column '${name}' holds the text ${NULL_FOLDER}, which is the folder of missing values; replace it or divide by another column`, { column: name })
    const folder = `${escape(name)}=${text === null ? NULL_FOLDER : escape(text)}`
    if (folder.length > FOLDER_NAME_BYTES_MAX) throw new ConversionError('unsupported', `column '${name}' holds a value of ${text?.length ?? 0} characters ('${text?.slice(0, 40)}...'), too long for a folder's name; divide by another column`, { column: name })
    return folder
  }).join('/')
}

/** All but letters, digits, `-`, `_`, `.` and `~` as the bytes of their UTF-8. */
function escape (text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** As DuckDB's CAST to VARCHAR. */
function valueText (value: number | bigint | string | boolean, { kind, precision, scale }: ColumnType): string {
  switch (kind) {
    case 'DECIMAL': return decimalText(value as number | bigint, precision, scale)
    case 'DATE': return dateText(Number(value))
    case 'TIME': return clockText(BigInt(value), 6)
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS': return momentText(BigInt(value), 6)
    case 'TIMESTAMPTZ': return momentText(BigInt(value), 6, '+00')
    case 'TIMESTAMP_NS': return momentText(BigInt(value), 9)
    default: return String(value)
  }
}

/** A type without digits before the point has no zero there. */
function decimalText (value: number | bigint, precision: number, scale: number): string {
  const digits = String(value).replace('-', '').padStart(precision === scale ? scale : scale + 1, '0')
  const number = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  return value < 0 ? `-${number}` : number
}

/** Civil date of a day number, for years far beyond those of Date. */
function dateText (days: number): string {
  if (days === DATE_INFINITY) return 'infinity'
  if (days === -DATE_INFINITY) return '-infinity'
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const shown = `${String(year > 0 ? year : 1 - year).padStart(4, '0')}-${pad(month)}-${pad(day)}`
  return year > 0 ? shown : `${shown} (BC)`
}

const pad = (n: number): string => String(n).padStart(2, '0')

function clockText (units: bigint, digits: number): string {
  const perSecond = 10n ** BigInt(digits)
  const seconds = Number(units / perSecond)
  const fraction = String(units % perSecond).padStart(digits, '0').replace(/0+$/, '')
  return `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}${fraction === '' ? '' : `.${fraction}`}`
}

function momentText (units: bigint, digits: number, zone = ''): string {
  if (units === TIMESTAMP_INFINITY) return 'infinity'
  if (units === -TIMESTAMP_INFINITY) return '-infinity'
  const perDay = 86_400n * 10n ** BigInt(digits)
  const within = ((units % perDay) + perDay) % perDay
  return `${dateText(Number((units - within) / perDay))} ${clockText(within, digits)}${zone}`
}
