/** One random table through the product and back through a reader that knows nothing of it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { ConversionError } from '../../daemon/block-convert/index.ts'
import { acceptsField, acceptsJson, acceptsValue, claim } from './accept.ts'
import { holds, lateTables, share, SOURCES, tables, type Source } from './arbitrary.ts'
import { convertFiles, type Converted } from './pipeline.ts'
import { readTable, type Given, type GivenTable } from './read.ts'
import type { Table, Type } from './table.ts'
import { extensionOf, forms, mediaTypeOf, writeTable, type Expected, type Form } from './write.ts'

export interface Direction { from: Source, to: Source }

export const DIRECTIONS: Direction[] = SOURCES.flatMap(from => SOURCES.map(to => ({ from, to })))

export const nameOf = ({ from, to }: Direction): string => `${from}-${to}`

export interface Case {
  table: Table
  form: Form
  blockShare: number
  toDelimiter: ',' | ';' | '\t' | '|'
  /** Compression around a text target. */
  toAround?: 'gzip' | 'zstd'
  /** No types are looked for in texts. */
  asText: boolean
}

export interface CaseOptions {
  /** Lists, structs and maps too. */
  nested: boolean
  /** Now and then a large table whose types change late. @default true */
  late?: boolean
}

/** Of so many tables one is large, with a type that changes late; it costs some hundred others. */
const LATE_ONE_IN = 200

export function cases ({ from }: Direction, options: CaseOptions): fc.Arbitrary<Case> {
  const usual = tables(from, options)
  const table = options.late !== false && (from === 'csv' || from === 'ndjson' || from === 'json') ? fc.oneof({ weight: LATE_ONE_IN - 1, arbitrary: usual }, { weight: 1, arbitrary: lateTables(from) }) : usual
  return fc.record({ table, form: forms, blockShare: share, toDelimiter: fc.constantFrom(',', ';', '\t', '|'), toAround: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constantFrom('gzip' as const, 'zstd' as const) }), asText: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }) })
}

export type Outcome =
  | { outcome: 'equal', blocks: number, redone: number }
  | { outcome: 'refused', code: string, message: string }

/** What was found, with what is needed to see it again. */
export class Mismatch extends Error {
  static override name = 'Mismatch'
  override readonly name = 'Mismatch'
}

let duckdb: Promise<DuckDBConnection> | undefined

/** One engine for writing sources, kept for the life of the process. */
async function writer (): Promise<DuckDBConnection> {
  duckdb ??= (async () => {
    const { DuckDBInstance } = await import('@duckdb/node-api')
    const connection = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect()
    await connection.run('SET TimeZone = \'UTC\'')
    return connection
  })()
  return await duckdb
}

/** Blocks per table at most: each costs an engine's start, some 15 ms. */
const BLOCKS = 3

/** @throws Mismatch where the output is not what was written; anything else that is no refusal passes through */
export async function roundTrip ({ from, to }: Direction, { table, form, blockShare, toDelimiter, toAround, asText }: Case, keep?: string): Promise<Outcome> {
  const folder = keep ?? await mkdtemp(join(tmpdir(), 'weft-fuzz-'))
  try {
    const { paths, bytes, settings, expected } = await writeTable(folder, from, table, form, writer)
    const around = to === 'csv' || to === 'json' || to === 'ndjson' ? toAround : undefined
    const target: Record<string, string> = to === 'csv' ? { 'to.delimiter': toDelimiter } : to === 'parquet' ? { compression: form.compression } : {}
    // Without a setting for tables the same type in another compression would be a matter of bytes.
    if (from === to && (from === 'json' || from === 'ndjson')) target.types = 'auto'
    if (asText && expected.source !== 'typed') target.types = 'text'
    let converted: Converted
    try {
      converted = await convertFiles({
        folder, paths, from: mediaTypeOf(from), to: extensionOf(to) + (around === 'gzip' ? '.gz' : around === 'zstd' ? '.zst' : ''), settings: { ...settings, ...target },
        blockBytes: Math.max(1, Math.ceil(bytes * Math.max(blockShare, 1 / BLOCKS)))
      })
    } catch (error) {
      if (!(error instanceof ConversionError)) throw error
      if (mayRefuse(error, { from, to }, table)) return { outcome: 'refused', code: error.code, message: error.message }
      throw new Mismatch(`refused (${error.code}): ${error.message.replaceAll(folder, '.')}`)
    }
    let given: GivenTable
    try {
      given = await readTable(converted.path, to, { delimiter: toDelimiter, quote: '"', header: true }, around)
    } catch (error) {
      throw new Mismatch(`the output cannot be read: ${(error as Error).message}`)
    }
    // Types are looked for in records that are whole only.
    compare(expected, given, converted, to, asText || form.ragged)
    return { outcome: 'equal', blocks: converted.blocks, redone: converted.redone }
  } finally {
    if (keep == null) await rm(folder, { recursive: true, force: true })
  }
}

function compare (expected: Expected, given: GivenTable, { columns }: Converted, to: Source, untyped: boolean): void {
  const wanted = expected.columns.map(({ name }) => name)
  // JSON has no columns, only keys of objects; without objects there is nothing to see.
  if (!(given.rows.length === 0 && (to === 'json' || to === 'ndjson'))) {
    if (given.names.length !== wanted.length || given.names.some(name => !wanted.includes(name))) throw new Mismatch(`columns ${JSON.stringify(wanted)} became ${JSON.stringify(given.names)}`)
    const ordered = to !== 'json' && to !== 'ndjson' && expected.source !== 'json'
    if (ordered && given.names.some((name, i) => name !== wanted[i])) throw new Mismatch(`columns ${JSON.stringify(wanted)} are in another order: ${JSON.stringify(given.names)}`)
  }
  if (given.rows.length !== expected.rows.length) throw new Mismatch(`${expected.rows.length} rows became ${given.rows.length}`)
  const at = wanted.map(name => given.names.indexOf(name))
  const claims = wanted.map(name => columns.find(candidate => candidate.name === name)?.type)
  const claimed = claims.map(claim)
  for (const [row, values] of expected.rows.entries()) {
    for (const [column, value] of values.entries()) {
      const found = given.rows[row]![at[column]!]!
      const { name, type } = expected.columns[column]!
      const accepted = expected.source === 'csv' ? acceptsField(value as string | null, found, claimed[column]) && (untyped || arrivedTyped(type, found))
        : expected.source === 'json' ? acceptsJson(expected.rows[row]![column], found, claimed[column]) : acceptsValue(type, expected.rows[row]![column]!, found)
      if (!accepted) throw new Mismatch(`row ${row + 1}, column ${JSON.stringify(name)} (${type.kind}, claimed ${claims[column]}): ${show(value)} became ${show(found)}`)
    }
  }
}

const TYPED: ReadonlySet<Type['kind']> = new Set(['boolean', 'integer', 'date', 'time', 'timestamp'])

/** Keeping everything as text would lose nothing, and be of no use: what clearly has a type arrives with one where the target has types. */
function arrivedTyped (type: Type, found: Given): boolean {
  return !(found.is === 'text' && TYPED.has(type.kind))
}

export function show (value: unknown): string {
  const text = JSON.stringify(value, (_key, inner: unknown) => typeof inner === 'bigint' ? `${inner}n` : inner instanceof Uint8Array ? `0x${Buffer.from(inner).toString('hex')}` : inner instanceof Map ? Object.fromEntries(inner) : inner) ?? 'undefined'
  return text.length > 300 ? `${text.slice(0, 300)}...` : text
}

/** What the product may refuse by its own rules: everything else that is refused is a failure. */
function mayRefuse ({ code, message }: ConversionError, { from, to }: Direction, table: Table): boolean {
  // Without a row there is no header, or no object to learn from.
  if (code === 'bad-input') return table.rows.length === 0 && ['csv', 'json', 'ndjson'].includes(from) && /empty|no record|no object/.test(message)
  if (code !== 'unsupported') return false
  // A number beyond what any number type can hold is refused, not rounded.
  if (/more digits than can be kept/.test(message)) return holds(table, 'json', value => /\de\+?[3-9]\d\d/.test(value as string))
  // Parquet's intervals are whole milliseconds, in 32 bits.
  return to === 'parquet' && /interval/.test(message) && holds(table, 'interval', value => (value as bigint[])[2]! % 1000n !== 0n || (value as bigint[])[2]! / 1000n > 0xffff_ffffn)
}

/** A case as a person can read it. */
export function describe (direction: Direction, { table, form, blockShare, toDelimiter, toAround, asText }: Case): string {
  return `${nameOf(direction)}, block share ${blockShare}, target delimiter ${JSON.stringify(toDelimiter)}${toAround == null ? '' : `, ${toAround}`}${asText ? ', as text' : ''}\nform ${JSON.stringify(form)}\ncolumns ${show(table.columns)}\n${table.rows.slice(0, 20).map(show).join('\n')}${table.rows.length > 20 ? `\n... ${table.rows.length} rows` : ''}\n`
}
