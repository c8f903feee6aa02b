/** What becomes of columns that JSON has no values for, as notes; and what cannot be written at all. */
import { ConversionError } from '../../errors.ts'
import type { Note } from '../../index.ts'
import { hasKind } from './exact.ts'
import type { Column, SourceForm, TargetForm } from '../schema.ts'
import type { TableSettings } from '../settings.ts'
import { isNested, parseType, typeName, type Kind } from '../types.ts'

/** Names listed in one note. */
const LISTED_MAX = 20

/** Kinds that become strings. What each looks like is told in docs/converters.md. */
const TEXTS: readonly Kind[] = ['DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'TIMESTAMPTZ', 'INTERVAL', 'BLOB', 'UUID']

/** Sources whose floating-point columns may hold NaN and infinities. */
const NONFINITE_SOURCES: ReadonlySet<SourceForm['format']> = new Set(['csv', 'parquet', 'arrow'])

/** The form of an NDJSON or JSON target. Throws ConversionError `unsupported`. */
export function jsonForm (format: 'ndjson' | 'json', { nonfinite }: TableSettings, columns: Column[], source: SourceForm): { target: TargetForm, notes: Note[] } {
  const notes: Note[] = []
  const typed = columns.map(({ name, type }) => ({ name, type: parseType(type) }))
  for (const { name, type } of typed) {
    if (!hasKind(type, part => part.kind === 'MAP' && isNested(part.key!))) continue
    throw new ConversionError('unsupported', `column '${name}' is ${typeName(type)}: JSON has only texts for the keys of a map; convert to parquet, or leave the column out`, { column: name })
  }
  const add = (code: string, kinds: readonly Kind[], message: (names: string) => string): void => {
    const found = typed.filter(({ type }) => hasKind(type, part => kinds.includes(part.kind))).map(({ name }) => name)
    if (found.length > 0) notes.push({ code, message: message(listed(found)), columns: found.slice(0, LISTED_MAX) })
  }
  add('type-as-text', TEXTS, names => `JSON has no dates, times, intervals, bytes or UUIDs, they are written as strings: ${names}`)
  add('map-as-object', ['MAP'], names => `maps are written as JSON objects, their keys as texts: ${names}`)
  if (NONFINITE_SOURCES.has(source.format)) {
    const rule = { text: 'become the strings "NaN", "Infinity" and "-Infinity"', null: 'become null', error: 'end the conversion' }[nonfinite]
    add('nonfinite', ['FLOAT', 'DOUBLE'], names => `NaN and infinities, which JSON has no numbers for, ${rule} (--set nonfinite=text|null|error): ${names}`)
  }
  return { target: { format, ...(nonfinite !== 'text' ? { nonfinite } : {}) }, notes }
}

function listed (names: string[]): string {
  const shown = names.slice(0, LISTED_MAX).map(name => `'${name}'`).join(', ')
  return names.length > LISTED_MAX ? `${shown} and ${names.length - LISTED_MAX} more` : shown
}
