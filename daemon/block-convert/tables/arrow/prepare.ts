/** Columns of Arrow inputs, and what is to be told about them. */
import { DataType, DateUnit, TimeUnit, type Dictionary, type Field } from 'apache-arrow'
import { ConversionError } from '../../errors.ts'
import type { Input, Note } from '../../index.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column, SourceForm } from '../schema.ts'
import { uniteColumns, type TableOf } from '../unify.ts'
import { typeName } from '../types.ts'
import { guarded, openArrow, type ArrowContents } from './container.ts'
import { columnsOf, type Column as ArrowColumn } from './layout.ts'
import { bodyOf } from './body.ts'
import { columnTypeOf, fieldPath, type ReadRule } from './types.ts'
import { isValid } from './window.ts'

/** Values looked at together. */
const PROBE_ROWS = 1 << 20

const RULES: Record<ReadRule, (columns: string, detail: string) => string> = {
  'dictionary-decoded': columns => `${columns} dictionary-encoded: the values are kept, the encoding is not`,
  'zone-name-dropped': (columns, zone) => `${columns} in a time zone (${zone}): the instants are kept, in UTC, the zone's name is not`,
  'zone-dropped': columns => `${columns} in nanoseconds with a time zone, which microseconds do not hold: kept as timestamps in UTC without zone`,
  'time-as-count': columns => `${columns} times of day in nanoseconds, which microseconds do not hold: read as their number since midnight`,
  'duration-as-count': (columns, unit) => `${columns} durations that an interval of microseconds does not hold: read as numbers of ${unit}`,
  'duration-as-interval': columns => `${columns} read as intervals of microseconds, since there is no type for durations`,
  'extension-as-storage': (columns, extension) => `${columns} of an extension type (${extension}): the stored values are kept, the type is not`,
  'null-as-text': columns => `${columns} without a type, all NULL: read as text`,
  'float16-widened': columns => `${columns} of half precision: widened to single precision, every value is kept`,
  'date64-as-timestamp': columns => `${columns} dates with a time of day: read as timestamps in milliseconds`
}

/** @throws ConversionError `bad-input`, `unsupported` or `input-unreadable` */
export function prepareArrow (inputs: Input[]): { columns: Column[], source: SourceForm, notes: Note[] } {
  const told = new Map<ReadRule, { columns: Set<string>, details: Set<string> }>()
  const tables = inputs.map(({ path }): TableOf => {
    const file = new RandomAccess({ path, size: 0 })
    try {
      const contents = openArrow(file)
      requireNames(contents.schema.fields, path)
      // What cannot be a column is refused before its values are looked at.
      for (const field of contents.schema.fields) guarded(file, () => columnTypeOf(field))
      const inexact = inexactPaths(file, contents)
      const columns = contents.schema.fields.map(field => guarded(file, () => {
        const note = (rule: ReadRule, detail = ''): void => {
          const known = told.get(rule) ?? { columns: new Set(), details: new Set() }
          known.columns.add(field.name)
          known.details.add(detail)
          told.set(rule, known)
        }
        const type = typeName(columnTypeOf(field, { inexact, note }))
        return DataType.isNull(field.type) ? { name: field.name, type, nothing: true as const } : { name: field.name, type }
      }))
      return { path, columns }
    } finally {
      file.close()
    }
  })
  const united = uniteColumns(tables)
  return { columns: united.columns, source: { format: 'arrow' }, notes: [...united.notes, ...notesOf(told, united.columns)] }
}

function requireNames (fields: Field[], path: string): void {
  const seen = new Map<string, string>()
  for (const { name } of fields) {
    if (name === '') throw new ConversionError('unsupported', `'${path}' has a column without a name; rename it`, { path })
    const other = seen.get(name.toLowerCase())
    if (other === name) throw new ConversionError('unsupported', `'${path}' has two columns '${name}'; rename one`, { path, column: name })
    if (other != null) throw new ConversionError('unsupported', `'${path}' has columns '${other}' and '${name}', which differ only in case; rename one`, { path, column: name })
    seen.set(name.toLowerCase(), name)
  }
}

/** Columns named in one note; more would fill the report. */
const NOTE_COLUMNS_MAX = 20

function notesOf (told: Map<ReadRule, { columns: Set<string>, details: Set<string> }>, columns: Column[]): Note[] {
  const notes: Note[] = []
  for (const [rule, { columns: names, details }] of told) {
    // Another input may have had values under that name.
    if (rule === 'null-as-text') for (const { name, type } of columns) if (!type.includes('VARCHAR')) names.delete(name)
    if (names.size === 0) continue
    const shown = [...names].slice(0, NOTE_COLUMNS_MAX)
    const subject = names.size === 1 ? `column '${shown[0]}' is` : `${names.size} columns are`
    notes.push({ code: rule, message: RULES[rule](subject, [...details].slice(0, NOTE_COLUMNS_MAX).join(', ')), columns: shown })
  }
  return notes
}

/** The values that a type usually holds exactly, where these are not all: a divisor and a largest amount. */
function isDoubtful (type: DataType): { divisor: bigint, limit: bigint } | undefined {
  const all = 2n ** 63n
  if (DataType.isDate(type)) return type.unit === DateUnit.MILLISECOND ? { divisor: 86_400_000n, limit: all } : undefined
  if (DataType.isTimestamp(type)) return type.unit === TimeUnit.NANOSECOND && type.timezone != null && type.timezone !== '' ? { divisor: 1000n, limit: all } : undefined
  if (DataType.isTime(type)) return type.unit === TimeUnit.NANOSECOND ? { divisor: 1000n, limit: all } : undefined
  if (!DataType.isDuration(type)) return undefined
  if (type.unit === TimeUnit.NANOSECOND) return { divisor: 1000n, limit: all }
  return { divisor: 1n, limit: (all - 1n) / ([1_000_000n, 1000n, 1n][type.unit] as bigint) }
}

/** Goes through all values of doubtful columns, which are rare: a type found out in the last block would mean to begin again. */
function inexactPaths (file: RandomAccess, contents: ArrowContents): Set<string> {
  const inexact = new Set<string>()
  const { fields, dictionaries } = contents.schema
  const doubtful = (field: Field): boolean => {
    const type = DataType.isDictionary(field.type) ? (field.type as Dictionary).dictionary as DataType : field.type as DataType
    return isDoubtful(type) != null || (type.children ?? []).some(doubtful)
  }
  if (!fields.some(doubtful)) return inexact
  for (const message of contents.messages()) {
    guarded(file, () => {
      const { head } = message
      if (head.kind === 'batch') {
        const columns = columnsOf(head.batch, fields, bodyOf(file, message))
        for (const [i, column] of columns.entries()) probe(column, fields[i]!.name, inexact)
      } else if (head.kind === 'dictionary') {
        const type = dictionaries.get(Number(head.id)) as DataType | undefined
        if (type == null || isDoubtful(type) == null) return
        const [column] = columnsOf(head.batch, [{ type } as Field], bodyOf(file, message))
        for (const path of pathsOfDictionary(fields, Number(head.id), '')) probe(column!, path, inexact)
      }
    })
  }
  return inexact
}

function pathsOfDictionary (fields: Field[], id: number, parent: string): string[] {
  return fields.flatMap(field => {
    const path = parent === '' ? field.name : fieldPath(parent, field.name)
    if (DataType.isDictionary(field.type)) return (field.type as Dictionary).id === id ? [path] : []
    return pathsOfDictionary((field.type as DataType).children ?? [], id, path)
  })
}

function probe (column: ArrowColumn, path: string, inexact: Set<string>): void {
  const { type } = column
  for (const [i, child] of column.children.entries()) {
    const field = DataType.isMap(type) ? undefined : type.children[i] as Field
    // The entries of a map are no level of its type.
    if (field == null) for (const [k, part] of child.children.entries()) probe(part, fieldPath(path, (child.type.children[k] as Field).name), inexact)
    else probe(child, fieldPath(path, field.name), inexact)
  }
  const exact = isDoubtful(type)
  if (exact == null || inexact.has(path)) return
  const { divisor, limit } = exact
  for (let from = 0; from < column.rows; from += PROBE_ROWS) {
    const to = Math.min(column.rows, from + PROBE_ROWS)
    const bytes = column.values!.read(from * 8, to * 8)
    const values = new BigInt64Array(bytes.buffer, bytes.byteOffset, to - from)
    const valid = column.validity == null ? undefined : { bytes: column.validity.read(from >> 3, (to + 7) >> 3), at: 0 }
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as bigint
      if ((value % divisor !== 0n || value > limit || value < -limit) && isValid(valid, i)) {
        inexact.add(path)
        return
      }
    }
  }
}
