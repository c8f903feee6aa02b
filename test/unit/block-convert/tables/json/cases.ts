/** Random JSON tables, and their texts written in every legal way. */
import fc from 'fast-check'
import { text, uniqueNames } from '../cases.ts'

const name = text.filter(value => value !== '' && !value.includes('\0'))
const whole = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)
const digits = (length: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: length })
const double = fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value))

function escaped (value: string): string {
  return `"${Array.from({ length: value.length }, (_, i) => `\\u${value.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`
}

const string = fc.oneof(text.map(value => JSON.stringify(value)), text.map(escaped), fc.constantFrom('"\\u0000"', '"\\/"', '"2020-01-01"', '"NaN"'))
/** Numbers that doubles round, with more digits than most engines keep. */
const long = fc.tuple(fc.integer({ min: -9999, max: 9999 }), digits(25)).map(([integer, fraction]) => `${integer}.${fraction}`)

const nested = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof({ maxDepth: 3 }, fc.constant('null'), fc.boolean().map(String), fc.integer().map(String), string, long, fc.constantFrom('-0', '1e400', '1E5'), fc.array(tie('value'), { maxLength: 3 }).map(items => `[${items.join(', ')}]`),
    fc.array(fc.tuple(text, tie('value')), { maxLength: 3 }).map(pairs => `{${pairs.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(',')}}`))
})).value

/** Lexemes of one column's values: of one kind, or anything. */
const column: fc.Arbitrary<fc.Arbitrary<string>> = fc.letrec<{ type: fc.Arbitrary<string> }>(tie => ({
  type: fc.oneof({ maxDepth: 2 },
    fc.constant(whole), fc.constant(fc.oneof(double, fc.constantFrom('1.50', '1e3', '-2.5E-7', '0.1', '-0', '0', '7'))), fc.constant(long), fc.constant(fc.oneof(whole, long)),
    fc.constant(fc.constantFrom('true', 'false')), fc.constant(string), fc.constant(nested), fc.constant(fc.oneof(whole, string)), fc.constant(fc.constantFrom('{}', '[]', 'null')),
    tie('type').map(item => fc.array(orNull(item), { maxLength: 3 }).map(items => `[${items.join(',')}]`)),
    fc.tuple(fc.uniqueArray(name, { selector: value => value.toLowerCase(), minLength: 1, maxLength: 3 }), tie('type'), tie('type')).map(([names, a, b]) => fields(names, [a, b, a])))
})).type

function fields (names: string[], types: Array<fc.Arbitrary<string>>): fc.Arbitrary<string> {
  return fc.tuple(...names.map((_, i) => fc.option(orNull(types[i]!), { nil: undefined, freq: 4 }))).map(values =>
    `{${names.flatMap((key, i) => values[i] == null ? [] : [`${JSON.stringify(key)}:${values[i]}`]).join(',')}}`)
}

function orNull (value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 7, arbitrary: value }, fc.constant('null'))
}

export interface JsonCase { content: string, format: 'json' | 'ndjson', records: string[] }

/** A JSON text of 1 to 4 keys: an array, objects one after the other, or lines; keys missing, null or in another order. */
export const jsonCase: fc.Arbitrary<JsonCase> = fc.array(column, { minLength: 1, maxLength: 4 }).chain(types => fc.record({
  names: fc.tuple(...types.map(() => name)),
  rows: fc.array(fc.tuple(...types.map(type => fc.option(orNull(type), { nil: undefined, freq: 6 }))), { minLength: 1, maxLength: 15 }),
  space: fc.constantFrom('', ' ', '\t', '\n  ', '\r\n'),
  shape: fc.constantFrom('array', 'pretty', 'sequence', 'lines'),
  reversed: fc.boolean()
})).map(({ names, rows, space, shape, reversed }) => {
  const keys = uniqueNames(names).map(key => JSON.stringify(key))
  const inside = shape === 'lines' || shape === 'array' ? space.replaceAll(/[\r\n]/g, '') : space
  // The first record has every key, so that there is always something to learn.
  const records = rows.map((row, i) => {
    const pairs = row.flatMap((value, k) => value == null && i > 0 ? [] : [`${inside}${keys[k]}${inside}:${inside}${value ?? 'null'}`])
    return `{${(reversed && i % 2 === 1 ? pairs.toReversed() : pairs).join(`${inside},`)}${inside}}`
  })
  const array = (between: string): string => `${space}[${between}${records.join(`${space},${between}`)}${between}]${space}`
  switch (shape) {
    case 'lines': return { content: records.join(space.includes('\r') ? '\r\n' : '\n'), format: 'ndjson', records }
    case 'sequence': return { content: records.join(space), format: 'json', records }
    default: return { content: array(shape === 'pretty' ? '\n' : ''), format: 'json', records }
  }
})

/** An array whose elements are no objects. */
export const valuesCase: fc.Arbitrary<string> = column.chain(type => fc.array(orNull(type), { minLength: 1, maxLength: 12 })).filter(items => items.some(item => !item.startsWith('{')))
  .map(items => `[${items.join(', ')}]`)
