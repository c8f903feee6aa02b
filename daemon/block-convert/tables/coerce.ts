/** Values of one type as values of a wider one, for readers: what the engine's cast does to a file's values, said independently of it. */
import { ConversionError } from '../errors.ts'
import { typeName, type ColumnType } from './types.ts'
import { unifyTypes } from './unify.ts'
import { canonicalInteger, DATE_INFINITY, TIMESTAMP_INFINITY, type Parts } from './values.ts'

const DAY_MICROS = 86_400_000_000

/** Days whose microseconds are exact as a number. */
const SAFE_DAYS = Math.floor(Number.MAX_SAFE_INTEGER / DAY_MICROS)

/**
 * Turns canonical values (values.ts) of `from` into those of `to`, for the pairs that unifyTypes unites; `undefined` where their canonical
 * forms are the same. Nested values are given and taken as `Parts`, before `nestedText` makes a text of them. NULL stays NULL.
 *
 * @throws ConversionError `unsupported` at once for types that cannot be united, and from the function for a value outside of `to`'s range
 */
export function coercer (from: ColumnType, to: ColumnType): ((value: unknown) => unknown) | undefined {
  const change = changeOf(from, to)
  return change == null ? undefined : value => value === null ? null : change(value as Parts)
}

/** For values that are not NULL. */
type Change = ((value: Parts) => Parts) | undefined

function changeOf (from: ColumnType, to: ColumnType): Change {
  const { kind } = to
  if (from.kind === 'LIST' && kind === 'LIST') return each(coerceParts(from.element!, to.element!))
  if (from.kind === 'MAP' && kind === 'MAP') return entries(coerceParts(from.key!, to.key!), coerceParts(from.element!, to.element!))
  if (from.kind === 'STRUCT' && kind === 'STRUCT') return fields(from, to)
  if (unifyTypes(typeName(from), typeName(to)) !== typeName(to)) throw new ConversionError('unsupported', `values of type ${typeName(from)} cannot become ${typeName(to)}`, { from: typeName(from), to: typeName(to) })
  if (kind === 'DECIMAL') return rescale(to.scale - from.scale)
  // Integers and floating point numbers are numbers already, and all timestamps microseconds.
  return from.kind === 'DATE' && kind !== 'DATE' ? midnight : undefined
}

function coerceParts (from: ColumnType, to: ColumnType): Change {
  const change = changeOf(from, to)
  return change == null ? undefined : value => value === null ? null : change(value)
}

function each (change: Change): Change {
  return change == null ? undefined : value => (value as Parts[]).map(change)
}

function entries (key: Change, element: Change): Change {
  if (key == null && element == null) return undefined
  return value => (value as Parts[]).map(entry => {
    const [k, v] = entry as [Parts, Parts]
    return [key == null ? k : key(k), element == null ? v : element(v)]
  })
}

function fields (from: ColumnType, to: ColumnType): Change {
  const sources = to.fields!.map(field => from.fields!.findIndex(own => own.name === field.name))
  const changes = to.fields!.map((field, i) => sources[i]! < 0 ? undefined : coerceParts(from.fields![sources[i]!]!.type, field.type))
  if (from.fields!.some(own => !to.fields!.some(field => field.name === own.name))) throw new ConversionError('unsupported', `values of type ${typeName(from)} cannot become ${typeName(to)}: a field would be lost`, { from: typeName(from), to: typeName(to) })
  if (sources.every((source, i) => source === i) && sources.length === from.fields!.length && changes.every(change => change == null)) return undefined
  return value => sources.map((source, i) => {
    if (source < 0) return null
    const part = (value as Parts[])[source]!
    const change = changes[i]
    return change == null ? part : change(part)
  })
}

function rescale (digits: number): Change {
  if (digits === 0) return undefined
  const factor = 10 ** digits
  const exact = 10n ** BigInt(digits)
  return value => {
    if (typeof value === 'number' && Number.isSafeInteger(value * factor)) return value * factor
    return canonicalInteger(BigInt(value as number | bigint) * exact)
  }
}

function midnight (value: Parts): Parts {
  const days = value as number
  if (days === DATE_INFINITY) return TIMESTAMP_INFINITY
  if (days === -DATE_INFINITY) return -TIMESTAMP_INFINITY
  if (Math.abs(days) < SAFE_DAYS) return days * DAY_MICROS
  const micros = BigInt(days) * BigInt(DAY_MICROS)
  if (micros >= TIMESTAMP_INFINITY || micros <= -TIMESTAMP_INFINITY) throw new ConversionError('unsupported', `a date (day ${days}) is too far away for a TIMESTAMP`, { days })
  return micros
}
