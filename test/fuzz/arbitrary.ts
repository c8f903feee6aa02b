/** Random tables for fast-check: every type, extremes, nulls, and text that means something somewhere. */
import fc from 'fast-check'
import { daysOf, typesIn, type Column, type Table, type Type, type Value } from './table.ts'

export type Source = 'csv' | 'ndjson' | 'json' | 'parquet' | 'arrow' | 'arrows'

export const SOURCES: Source[] = ['csv', 'ndjson', 'json', 'parquet', 'arrow', 'arrows']

/** Rows of one table; now and then they are repeated until blocks and row groups have borders. */
const ROWS_MAX = 24
const WIDE_COLUMNS = 120
/** Rows of a repeated table: more than two vectors of the engine. */
const REPEATED_ROWS = 5000

const MARKS = ['a', 'B', '"', '\'', ',', ';', '\t', '|', '\n', '\r', ' ', '\\', '/', '{', '[', ':', '0', '-', '.', '#', '\u00a0', '\u2028', '\ufeff', 'é', 'e\u0301', 'ß', 'İ', '東', 'ا', 'ש', '\u202e', '😀', '👩‍👩‍👧', '\u0001', '\u007f']

export const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom(...MARKS), maxLength: 8 }) },
  { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 10 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }).map(value => value.replaceAll('\0', '0')) },
  { weight: 2, arbitrary: fc.constantFrom('', ' ', 'NULL', 'null', 'nan', 'inf', 'true', 'False', '007', '+5', '1e3', '-0', '0', '1.50', '.5', '5.', '0x1F', '1_000', '2024-02-30', '2024-02-29', '24:00:00', '12:34:56', '2024-02-29T12:34:56Z', '\\N', '\\x41', '""', '{}', '[]', '{"a": 1}', '\'', '-', '#', '//', 'ﬀ', '9223372036854775808') },
  { weight: 1, arbitrary: fc.constantFrom('x'.repeat(300), '"'.repeat(40), '\n'.repeat(20), '😀'.repeat(50)) }
).filter(value => value.isWellFormed())

/** Names of columns and fields: whatever text, but not empty, and told apart whatever their case. */
const name = fc.oneof({ weight: 2, arbitrary: fc.string({ unit: fc.constantFrom(...'abcdefgxyz_'), minLength: 1, maxLength: 6 }) }, { weight: 1, arbitrary: text })
  // hyparquet drops a byte order mark that begins a name.
  .map(value => value.replace(/^\ufeff+/, ''))
  // Readers that give objects cannot give this one.
  .filter(value => value !== '__proto__' && !/^\s*$/.test(value) && value.length < 200 && !value.includes('\0'))

function distinct (names: string[]): string[] {
  const seen = new Set<string>()
  return names.map((wanted, i) => {
    const fold = (value: string): string => value.toUpperCase().toLowerCase().normalize('NFKC')
    const unique = seen.has(fold(wanted)) ? `${wanted}~${i}` : wanted
    seen.add(fold(unique))
    return unique
  })
}

const bounded = (low: bigint, high: bigint): fc.Arbitrary<bigint> => fc.oneof(
  { weight: 3, arbitrary: fc.bigInt({ min: low > -100n ? low : -100n, max: high < 100n ? high : 100n }) },
  { weight: 3, arbitrary: fc.bigInt({ min: low, max: high }) },
  { weight: 1, arbitrary: fc.constantFrom(low, high) }
)

const FIRST_DAY = daysOf(1n, 1n, 1n)
const LAST_DAY = daysOf(9999n, 12n, 31n)
const day = fc.oneof({ weight: 3, arbitrary: fc.bigInt({ min: 0n, max: 30_000n }) }, { weight: 2, arbitrary: bounded(FIRST_DAY, LAST_DAY) })
const anyDay = fc.oneof({ weight: 4, arbitrary: day }, { weight: 1, arbitrary: bounded(-2_000_000n, 20_000_000n) })
const micros = bounded(0n, 86_399_999_999n)

/** Microseconds that also fit a timestamp in nanoseconds. */
const moment = fc.tuple(fc.oneof(fc.bigInt({ min: 0n, max: 30_000n }), fc.bigInt({ min: -100_000n, max: 100_000n })), fc.oneof(micros, micros.map(value => value / 1_000_000n * 1_000_000n)))
  .map(([days, rest]) => days * 86_400_000_000n + rest)
const anyMoment = fc.oneof({ weight: 4, arbitrary: moment }, { weight: 1, arbitrary: fc.tuple(bounded(FIRST_DAY, LAST_DAY), micros).map(([days, rest]) => days * 86_400_000_000n + rest) })

const floating = (bits: 32 | 64): fc.Arbitrary<number> => fc.oneof(
  { weight: 4, arbitrary: bits === 64 ? fc.double() : fc.float() },
  { weight: 2, arbitrary: fc.integer({ min: -1000, max: 1000 }).map(value => bits === 64 ? value / 8 : Math.fround(value / 8)) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, NaN, Infinity, -Infinity, bits === 64 ? 5e-324 : 2 ** -149, bits === 64 ? Number.MAX_VALUE : (2 - 2 ** -23) * 2 ** 127, bits === 64 ? 0.1 : Math.fround(0.1), bits === 64 ? 2 ** 53 + 2 : 2 ** 24) }
)

/** A JSON text: its numbers are lexemes no double need hold. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ any: string }>(tie => ({
  any: fc.oneof({ maxDepth: 3, withCrossShrink: true },
    { weight: 8, arbitrary: fc.constantFrom('null', 'true', 'false', '0', '-1', '1.50', '12345678901234567890', '0.1', '0.1000000000000000055511151231257827') },
    { weight: 1, arbitrary: fc.constantFrom('1e400', '-0', '-0.0', '1E+2') },
    { weight: 4, arbitrary: text.map(value => JSON.stringify(value)) },
    { weight: 4, arbitrary: fc.array(tie('any'), { maxLength: 3 }).map(items => `[${items.join(',')}]`) },
    { weight: 4, arbitrary: fc.array(fc.tuple(name, tie('any')), { maxLength: 3 }).map(pairs => `{${distinct(pairs.map(([key]) => key)).map((key, i) => `${JSON.stringify(key)}:${pairs[i]![1]}`).join(',')}}`) }
  )
})).any

export function values (type: Type): fc.Arbitrary<Value> {
  const nullable = (inner: Type): fc.Arbitrary<Value> => fc.option(values(inner), { freq: 5 })
  switch (type.kind) {
    case 'boolean': return fc.boolean()
    case 'integer': {
      const size = 2n ** BigInt(type.bits)
      return type.signed ? bounded(-size / 2n, size / 2n - 1n) : bounded(0n, size - 1n)
    }
    case 'float': return floating(type.bits)
    case 'decimal': return bounded(-(10n ** BigInt(type.precision)) + 1n, 10n ** BigInt(type.precision) - 1n)
    case 'date': return anyDay
    case 'time': return micros
    case 'timestamp': switch (type.unit) {
      case 's': return anyMoment.map(value => value / 1_000_000n)
      case 'ms': return anyMoment.map(value => value / 1000n)
      case 'us': return anyMoment
      case 'ns': return fc.tuple(moment, fc.bigInt({ min: 0n, max: 999n })).map(([value, nanos]) => value * 1000n + nanos)
    }
    // eslint-disable-next-line no-fallthrough -- every unit returns
    case 'interval': return fc.tuple(fc.bigInt({ min: 0n, max: 200n }), fc.bigInt({ min: 0n, max: 400n }), fc.bigInt({ min: 0n, max: 8n * 10n ** 9n }).map(value => value * 1000n))
    case 'text': return text
    case 'json': return jsonText.filter(value => value !== 'null')
    case 'blob': return fc.uint8Array({ maxLength: 12 })
    case 'uuid': return fc.uuid()
    case 'list': return fc.array(nullable(type.element), { maxLength: 4 })
    case 'struct': return fc.tuple(...type.fields.map(field => nullable(field.type)))
    case 'map': return fc.uniqueArray(fc.tuple(values(type.key).filter(key => key !== '__proto__'), nullable(type.value)), { maxLength: 4, selector: ([key]) => String(key) })
  }
}

const INTEGERS: Type[] = ([8, 16, 32, 64] as const).flatMap(bits => [true, false].map(signed => ({ kind: 'integer' as const, bits, signed })))
const BIGINT: Type = { kind: 'integer', bits: 64, signed: true }
const DOUBLE: Type = { kind: 'float', bits: 64 }
const DECIMALS: Type[] = [[4, 0], [4, 4], [9, 2], [18, 6], [18, 0], [38, 10], [38, 38], [38, 0]].map(([precision, scale]) => ({ kind: 'decimal', precision: precision!, scale: scale! }))
const SIMPLE: Type[] = [{ kind: 'boolean' }, { kind: 'date' }, { kind: 'time' }, { kind: 'text' }, { kind: 'text' }]
const MICRO: Type = { kind: 'timestamp', unit: 'us', zone: false }
const MOMENTS: Type[] = [MICRO, { kind: 'timestamp', unit: 'us', zone: true }, { kind: 'timestamp', unit: 's', zone: false }, { kind: 'timestamp', unit: 'ms', zone: false }, { kind: 'timestamp', unit: 'ns', zone: false }]

const SCALARS: Record<Source, Type[]> = {
  csv: [...SIMPLE, BIGINT, BIGINT, MICRO, ...DECIMALS],
  ndjson: [{ kind: 'boolean' }, { kind: 'text' }, { kind: 'text' }, BIGINT, DOUBLE, { kind: 'json' }],
  json: [{ kind: 'boolean' }, { kind: 'text' }, { kind: 'text' }, BIGINT, DOUBLE, { kind: 'json' }],
  parquet: [...SIMPLE, ...INTEGERS, ...DECIMALS, ...MOMENTS, { kind: 'float', bits: 32 }, DOUBLE, { kind: 'json' }, { kind: 'blob' }, { kind: 'uuid' }],
  arrow: [...SIMPLE, ...INTEGERS, ...DECIMALS, ...MOMENTS, { kind: 'float', bits: 32 }, DOUBLE, { kind: 'blob' }, { kind: 'interval' }],
  arrows: [...SIMPLE, ...INTEGERS, ...DECIMALS, ...MOMENTS, { kind: 'float', bits: 32 }, DOUBLE, { kind: 'blob' }, { kind: 'interval' }]
}

export interface TypeOptions {
  /** Lists, structs and maps too. */
  nested?: boolean
}

export function types (source: Source, { nested = false }: TypeOptions = {}): fc.Arbitrary<Type> {
  const scalar = fc.constantFrom(...SCALARS[source])
  if (!nested || source === 'csv') return scalar
  const maps = source === 'parquet' || source.startsWith('arrow')
  // JSON has no type of its own for what is in a JSON value.
  const inside = scalar.filter(type => type.kind !== 'json')
  const tree = fc.letrec<{ any: Type }>(tie => ({
    any: fc.oneof({ maxDepth: 2, withCrossShrink: true }, inside,
      tie('any').map((element): Type => ({ kind: 'list', element })),
      fc.array(fc.tuple(name, tie('any')), { minLength: 1, maxLength: 3 }).map((fields): Type => ({ kind: 'struct', fields: distinct(fields.map(([field]) => field)).map((field, i) => ({ name: field, type: fields[i]![1] })) })),
      ...(maps ? [tie('any').map((value): Type => ({ kind: 'map', key: { kind: 'text' }, value }))] : [])
    )
  })).any
  return fc.oneof({ weight: 3, arbitrary: scalar }, { weight: 2, arbitrary: tree })
}

/** Texts of one kind each, as they stand in a file: a column of one of them, with one of another somewhere late. */
const KINDS: Record<'csv' | 'json', Record<string, fc.Arbitrary<string>>> = {
  csv: {
    integer: bounded(-(2n ** 63n), 2n ** 63n - 1n).map(String), huge: fc.constant('170141183460469231731687303715884105727'), zero: fc.constant('007'),
    decimal: fc.tuple(fc.bigInt({ min: -9999n, max: 9999n }), fc.integer({ min: 0, max: 99999 })).map(parts => parts.join('.')), long: fc.constant('0.1234567890123456789012345678901234567'),
    boolean: fc.constantFrom('true', 'FALSE'), date: fc.constantFrom('2024-02-29', '1970-01-01'), day: fc.constant('2023-02-29'), time: fc.constant('23:59:59.999999'),
    timestamp: fc.constantFrom('2024-02-29 01:02:03', '2024-02-29T01:02:03.5'), zone: fc.constant('2024-02-29 01:02:03Z'), word: fc.constantFrom('n/a', '', '-')
  },
  json: {
    integer: bounded(-(2n ** 63n), 2n ** 63n - 1n).map(String), huge: fc.constant('18446744073709551616'), double: fc.constantFrom('1.5', '1e300', '0.1'), fraction: fc.constant('0.1000000000000000055511151231257827'),
    boolean: fc.constantFrom('true', 'false'), text: fc.constantFrom('"n/a"', '""', '"1"'), list: fc.constantFrom('[1,2]', '[]', '["a"]'), object: fc.constantFrom('{"a":1}', '{"a":"x","b":null}', '{}', '{"b":[true]}')
  }
}

/** From 0 to below 1, evenly: fc.double would be near 0 nearly always. */
export const share: fc.Arbitrary<number> = fc.integer({ min: 0, max: 999 }).map(value => value / 1000)

/** Bytes of a table that is longer than what is sampled of it, with more left out than looked at. */
const LATE_BYTES = 4_000_000
const PAD_CHARS = 400

/** A large table whose types hold nearly everywhere: what contradicts them is found while it is split. */
export function lateTables (source: 'csv' | 'ndjson' | 'json'): fc.Arbitrary<Table> {
  const kinds = KINDS[source === 'csv' ? 'csv' : 'json']
  const names = Object.keys(kinds)
  const type: Type = source === 'csv' ? { kind: 'text' } : { kind: 'json' }
  const count = Math.ceil(LATE_BYTES / PAD_CHARS)
  const column = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)).chain(([usual, other]) => fc.record({ usual: kinds[usual]!, other: kinds[other]!, at: share }))
  return fc.array(column, { minLength: 1, maxLength: 3 }).map(columns => {
    const pad = source === 'csv' ? 'x'.repeat(PAD_CHARS) : JSON.stringify('x'.repeat(PAD_CHARS))
    const row: Value[] = [...columns.map(({ usual }) => usual), pad]
    const rows = Array.from({ length: count }, () => row)
    for (const [i, { other, at }] of columns.entries()) {
      const index = Math.floor(at * count)
      rows[index] = rows[index]!.with(i, other)
    }
    return { columns: [...columns.map((_, i) => ({ name: `c${i}`, type })), { name: 'pad', type }], rows }
  })
}

/** A table with the columns a source can have. */
export function tables (source: Source, options: TypeOptions = {}): fc.Arbitrary<Table> {
  const shape = fc.oneof(
    { weight: 12, arbitrary: fc.array(types(source, options), { minLength: 1, maxLength: 6 }) },
    { weight: 1, arbitrary: fc.array(types(source, options), { minLength: WIDE_COLUMNS / 2, maxLength: WIDE_COLUMNS, size: 'max' }) }
  )
  return shape.chain(kinds => {
    const row = fc.tuple(...kinds.map(type => fc.option(values(type), { freq: 6 })))
    const count = fc.oneof({ weight: 30, arbitrary: fc.array(row, { minLength: 1, maxLength: kinds.length > 10 ? 3 : ROWS_MAX }) }, { weight: 1, arbitrary: fc.constant<Value[][]>([]) })
    return fc.tuple(fc.tuple(...kinds.map(() => name)), count, fc.oneof({ weight: 24, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constant(REPEATED_ROWS) }))
      .map(([names, rows, repeated]): Table => {
        const columns: Column[] = distinct(names).map((unique, i) => ({ name: unique, type: kinds[i]! }))
        const wanted = kinds.length <= 6 && rows.length > 0 ? repeated : 1
        return { columns, rows: wanted <= rows.length ? rows : Array.from({ length: wanted === 1 ? rows.length : wanted }, (_, i) => rows[i % rows.length]!) }
      })
  })
}

/** Whether any value of a type in the table satisfies a test. */
export function holds ({ columns, rows }: Table, kind: Type['kind'], test: (value: Value) => boolean): boolean {
  const visit = (type: Type, value: Value): boolean => {
    if (value === null) return false
    if (type.kind === kind && test(value)) return true
    if (type.kind === 'list') return (value as Value[]).some(item => visit(type.element, item))
    if (type.kind === 'struct') return (value as Value[]).some((item, i) => visit(type.fields[i]!.type, item))
    if (type.kind === 'map') return (value as Value[][]).some(([key, item]) => visit(type.key, key!) || visit(type.value, item!))
    return false
  }
  return columns.some(({ type }, i) => [...typesIn(type)].some(inner => inner.kind === kind) && rows.some(row => visit(type, row[i]!)))
}
