/**
 * Columns of NDJSON from samples: the union of the keys, in order of first appearance. Integers within 64 bits are
 * BIGINT, other numbers DOUBLE, strings VARCHAR (never dates), booleans BOOLEAN; nested values, mixtures, numbers a
 * double would round and keys that were only ever null are JSON, which holds anything.
 */
import { ConversionError } from '../../errors.ts'
import type { Input } from '../../index.ts'
import { canonicalNumber } from './text.ts'
import type { Sample } from '../sample.ts'
import type { Column } from '../schema.ts'
import type { TableSettings } from '../settings.ts'

/** A number as it stands in the text. */
class Lexeme {
  readonly text: string
  constructor (text: string) {
    this.text = text
  }
}

/** The columns of the inputs. Throws ConversionError `bad-input` if there is not one object to learn from. */
export function inferJsonColumns (inputs: Input[], samples: Sample[][], wanted: TableSettings): Column[] {
  const types = new Map<string, string | undefined>()
  inputs.forEach((input, i) => {
    for (const sample of samples[i]!) {
      let line = 1
      for (const text of linesInside(sample)) {
        if (text.trim() !== '') addObject(types, text, sample.first ? { path: input.path, line } : undefined)
        line++
      }
    }
  })
  const columns = [...types].map(([name, type]) => ({ name, type: wanted.text ? 'JSON' : type ?? 'JSON' }))
  for (const [name, type] of wanted.types) {
    const column = columns.find(candidate => candidate.name === name)
    // A key that is rare enough to be in no sample can be declared.
    if (column == null) columns.push({ name, type })
    else column.type = type
  }
  if (columns.length === 0) throw new ConversionError('bad-input', `'${inputs[0]!.path}' is empty: no object, so no columns; give a file with at least one object, or name columns with --set type:NAME=TYPE`, { path: inputs[0]!.path })
  return columns
}

function linesInside (sample: Sample): string[] {
  const lines = sample.text.split('\n')
  if (!sample.first) lines.shift()
  if (!sample.last) lines.pop()
  return lines
}

/** `place`: known for the beginning of a file, where a wrong line is reported at once; elsewhere the splitter will. */
function addObject (types: Map<string, string | undefined>, text: string, place: { path: string, line: number } | undefined): void {
  let value: unknown
  try {
    value = parseWithLexemes(text)
  } catch (error) {
    if (place == null) return
    throw new ConversionError('bad-input', `'${place.path}' line ${place.line}: not JSON (${(error as Error).message}); NDJSON has one object per line`, place)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Lexeme) {
    if (place == null) return
    throw new ConversionError('bad-input', `'${place.path}' line ${place.line}: not an object; NDJSON has one object per line`, place)
  }
  for (const [key, entry] of Object.entries(value)) {
    const before = types.get(key)
    const now = typeOf(entry)
    types.set(key, before == null ? now : now == null ? before : wider(before, now))
  }
}

function parseWithLexemes (text: string): unknown {
  // Integer-like keys would come first in an object; `__proto__` would not be one. Both are rare: order is a convenience, and
  // an unseen key is reported by the splitter.
  return JSON.parse(text, function (_key, value: unknown, context?: { source?: string }) {
    return typeof value === 'number' ? new Lexeme(context?.source ?? String(value)) : value
  } as (this: unknown, key: string, value: unknown) => unknown)
}

function typeOf (value: unknown): string | undefined {
  if (value === null) return undefined
  if (value instanceof Lexeme) return numberType(value.text)
  switch (typeof value) {
    case 'string': return 'VARCHAR'
    case 'boolean': return 'BOOLEAN'
    default: return 'JSON'
  }
}

/** BIGINT, DOUBLE, or JSON if the number is more than either holds. */
export function numberType (lexeme: string): string {
  if (/^-?\d+$/.test(lexeme)) {
    if (BigInt.asIntN(64, BigInt(lexeme)) === BigInt(lexeme)) return 'BIGINT'
    return keepsInteger(lexeme) ? 'DOUBLE' : 'JSON'
  }
  return Number.isFinite(Number(lexeme)) ? 'DOUBLE' : 'JSON'
}

/** Whether an integer text is what the shortest form of its double says; the sign too, which the engine drops from `-0`. */
export function keepsInteger (lexeme: string): boolean {
  const value = Number(lexeme)
  return Number.isFinite(value) && !Object.is(value, -0) && canonicalNumber(String(value)) === canonicalNumber(lexeme)
}

function wider (a: string, b: string): string {
  if (a === b) return a
  // Integers among doubles: the splitter refuses one that a double would round.
  if ((a === 'BIGINT' && b === 'DOUBLE') || (a === 'DOUBLE' && b === 'BIGINT')) return 'DOUBLE'
  return 'JSON'
}
