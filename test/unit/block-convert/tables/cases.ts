/** Random tables, and their texts written in every legal way, for the property tests of this folder. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { converterById, familyOf, type BlockRecipe, type BlockSource, type Conversion, type Input, type MediaType } from '../../../../daemon/block-convert/index.ts'
import { RecipeReader } from '../../../../daemon/block-convert/source.ts'
import type { Field } from '../../../../daemon/block-convert/tables/csv/dialect.ts'
import { tableConverters } from '../../../../daemon/block-convert/tables/converters.ts'
import { readRows } from '../../../../daemon/block-convert/tables/readers/index.ts'
import type { Column, Dialect, SourceForm, TableParameters, TargetForm } from '../../../../daemon/block-convert/tables/schema.ts'

/** A folder for one test, removed afterwards. */
export async function withFolder<T> (work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-tables-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export async function inputOf (path: string, mediaType: MediaType): Promise<Input> {
  const info = await stat(path)
  return { path, mediaType, size: info.size, mtimeMs: info.mtimeMs }
}

export async function writeInput (folder: string, name: string, content: string | Uint8Array, mediaType: MediaType): Promise<Input> {
  const path = join(folder, name)
  await writeFile(path, content)
  return await inputOf(path, mediaType)
}

/** Text with everything that has a meaning somewhere. */
export const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.string({ unit: fc.constantFrom('a', '"', '\'', ',', ';', '\t', '|', '\n', '\r', ' ', '\\', 'é', '東', '0', '{', '\u2028'), maxLength: 10 })
).filter(value => value.isWellFormed() && !value.includes('\0'))

const two = (n: number): string => String(n).padStart(2, '0')
const day = fc.date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true }).map(date => date.toISOString().slice(0, 10))
const clock = fc.tuple(fc.nat(23), fc.nat(59), fc.nat(59), fc.option(fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 6 })))
  .map(([h, m, s, f]) => `${two(h)}:${two(m)}:${two(s)}${f == null ? '' : `.${f}`}`)

/** Texts of each type that CSV infers, all of them exact by the rules of schema.ts. */
export const csvValues: Record<string, fc.Arbitrary<string>> = {
  VARCHAR: text.filter(value => value !== ''),
  BIGINT: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String), fc.integer({ min: -9, max: 9 }).map(String)),
  DECIMAL: fc.tuple(fc.integer({ min: -99999, max: 99999 }), fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 4 })).map(([whole, f]) => `${whole}.${f}`),
  BOOLEAN: fc.constantFrom('true', 'false', 'True', 'FALSE'),
  DATE: day,
  TIME: clock,
  TIMESTAMP: fc.tuple(day, fc.constantFrom(' ', 'T'), clock).map(parts => parts.join(''))
}

export interface CsvCase { names: string[], rows: Field[][], dialect: Dialect, content: string }

/** A CSV text with 1 to 5 columns: every quoting, every line end, with or without the last one. */
export const csvCase: fc.Arbitrary<CsvCase> = fc.record({
  kinds: fc.array(fc.constantFrom(...Object.keys(csvValues)), { minLength: 1, maxLength: 5 }),
  delimiter: fc.constantFrom(',', ';', '\t', '|'),
  quote: fc.constantFrom('"', '\''),
  header: fc.boolean(),
  lineEnd: fc.array(fc.constantFrom('\n', '\r\n', '\r'), { minLength: 1, maxLength: 4 }),
  lastEnd: fc.boolean(),
  always: fc.boolean()
}).chain(({ kinds, ...form }) => fc.record({
  names: fc.tuple(...kinds.map(() => text.filter(name => !/^\s*$/.test(name)))),
  rows: fc.array(fc.tuple(...kinds.map(kind => fc.option(kind === 'VARCHAR' ? fc.oneof({ weight: 9, arbitrary: csvValues.VARCHAR! }, fc.constant('')) : csvValues[kind]!, { freq: 5 }) as fc.Arbitrary<Field>)), { maxLength: 20 })
}).map(({ names, rows }) => {
  const dialect = { delimiter: form.delimiter, quote: form.quote, escape: form.quote, header: form.header }
  const unique = uniqueNames(names)
  const field = (value: Field): string => {
    if (value == null) return ''
    const plain = value !== '' && !value.includes(dialect.delimiter) && !/[\r\n\ufeff]/.test(value) && !value.startsWith(dialect.quote) && !/^[ \t]*["']/.test(value)
    return plain && !form.always ? value : dialect.quote + value.replaceAll(dialect.quote, dialect.quote + dialect.quote) + dialect.quote
  }
  const lines = [...(form.header ? [unique] : []), ...rows].map(row => row.map(field).join(dialect.delimiter))
  let content = ''
  lines.forEach((line, i) => {
    let end = form.lineEnd[i % form.lineEnd.length]!
    // A lone \r before an empty first field of a single column would join its line's \n.
    if (end === '\r' && kinds.length === 1) end = '\n'
    content += line + (i < lines.length - 1 || form.lastEnd || (kinds.length === 1 && line === '') ? end : '')
  })
  return { names: unique, rows, dialect, content }
}))

/** Distinct whatever their case, so that nothing is renamed. */
export function uniqueNames (names: string[]): string[] {
  const taken = new Set<string>()
  return names.map((name, i) => {
    const unique = taken.has(name.toLowerCase()) ? `${name}#${i}` : name
    taken.add(unique.toLowerCase())
    return unique
  })
}

const nested = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof({ maxDepth: 3 }, fc.constant(null), fc.boolean(), fc.integer(), text, fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(text, tie('value'), { maxKeys: 3, noNullPrototype: true }))
})).value

/** JSON lexemes of each type that NDJSON infers. */
const jsonLexemes: Record<string, fc.Arbitrary<string>> = {
  BIGINT: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  DOUBLE: fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }).filter(value => !Object.is(value, -0)).map(value => JSON.stringify(value)), fc.constantFrom('1.50', '1e3', '-2.5E-7', '0.1')),
  BOOLEAN: fc.constantFrom('true', 'false'),
  VARCHAR: fc.oneof(text.map(value => JSON.stringify(value)), text.map(escaped)),
  JSON: nested.filter(value => value !== null).map(value => JSON.stringify(value))
}

function escaped (value: string): string {
  return `"${Array.from({ length: value.length }, (_, i) => `\\u${value.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`
}

/** An NDJSON text: keys missing, null or in another order, white space, blank lines, all line ends. */
export const ndjsonCase: fc.Arbitrary<string> = fc.record({
  kinds: fc.array(fc.constantFrom(...Object.keys(jsonLexemes)), { minLength: 1, maxLength: 5 }),
  space: fc.constantFrom('', '', ' ', '\t '),
  lineEnd: fc.constantFrom('\n', '\r\n', '\n\n'),
  lastEnd: fc.boolean(),
  reversed: fc.boolean()
}).chain(({ kinds, space, lineEnd, lastEnd, reversed }) => fc.record({
  names: fc.tuple(...kinds.map(() => text.filter(name => !/^\s*$/.test(name)))),
  rows: fc.array(fc.tuple(...kinds.map(kind => fc.oneof({ weight: 6, arbitrary: jsonLexemes[kind]! }, fc.constantFrom('null', undefined)))), { minLength: 1, maxLength: 20 })
}).map(({ names, rows }) => {
  const keys = uniqueNames(names).map(name => JSON.stringify(name))
  // The first line has every key, so that there is always something to learn.
  const lines = rows.map((row, i) => {
    const pairs = row.flatMap((value, k) => value == null ? (i === 0 ? [`${keys[k]}${space}:${space}null`] : []) : [`${space}${keys[k]}${space}:${space}${value}`])
    return `{${(reversed && i % 2 === 1 ? pairs.toReversed() : pairs).join(`${space},${space}`)}${space}}`
  })
  return lines.join(lineEnd) + (lastEnd ? lineEnd : '')
}))

export function conversionOf (id: string, params: TableParameters): Conversion {
  const { version, from, to, equivalence } = tableConverters.find(converter => converter.id === id)!
  return { converter: { id, version, from, to, equivalence }, parameters: { ...params } }
}

export async function splitAll (inputs: Input[], conversion: Conversion, bytes: number): Promise<BlockRecipe[]> {
  return (await Array.fromAsync(familyOf(conversion.converter.id).split(inputs, conversion, { bytes }))).flatMap(item => 'note' in item ? [] : [item])
}

/** Converts each block in this process, inspects it, and merges all. */
export async function convertBlocks (folder: string, inputs: Input[], conversion: Conversion, recipes: BlockRecipe[]): Promise<string> {
  const family = familyOf(conversion.converter.id)
  const converter = converterById(conversion.converter.id)!
  const merger = family.merger(conversion)
  const chunks: Uint8Array[] = []
  const gather = async (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> => { for await (const chunk of source) chunks.push(chunk.slice()) }
  await gather(merger.start())
  await using reader = new RecipeReader(inputs)
  for (const recipe of recipes) {
    const block = await mkdtemp(join(folder, 'block-'))
    const output = join(block, 'out')
    const params = { ...conversion.parameters, ...recipe.slice }
    await converter.convert({ bytes: await reader.bytes(recipe) }, params, { output, threads: 1, memoryBytes: 256e6, signal: new AbortController().signal, progress: () => {} })
    const result = { path: output, size: (await stat(output)).size }
    await family.inspect(result, recipe, conversion)
    await gather(merger.add(result))
  }
  await gather(merger.end())
  const path = join(await mkdtemp(join(folder, 'merged-')), 'out')
  await writeFile(path, Buffer.concat(chunks))
  await family.inspectWhole(path, { units: recipes.reduce((sum, recipe) => sum + recipe.units!, 0), blocks: recipes.length }, conversion)
  return path
}

/** All rows, by the independent readers. */
export async function rowsOf (source: BlockSource | string, form: SourceForm | TargetForm, columns: Column[], options: { side?: 'source' | 'result' } = {}): Promise<unknown[][]> {
  const whole = typeof source === 'string' ? { bytes: new Uint8Array(await readFile(source)) } : source
  const rows: unknown[][] = []
  for await (const batch of readRows(whole, form, columns, options)) rows.push(...batch)
  return rows
}
