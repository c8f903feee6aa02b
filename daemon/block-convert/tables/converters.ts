/**
 * The edges between CSV, NDJSON and Parquet, all carried by DuckDB. What comes out:
 *
 * - Parquet: one file per block, row groups of 122,880 rows, types as `Column` says.
 * - CSV: the dialect's header if it has one; NULL is empty, the empty string `""`; dates and times `yyyy-mm-dd hh:mm:ss[.f]`, with
 *   `+00` if they are instants; doubles in the shortest form that reads back equal, `nan`, `inf`; bytes as `\xHH` where not printable.
 * - NDJSON: one object per row with every key; numbers with all their digits (a DECIMAL is a JSON number written exactly); dates and
 *   times as strings in the same form; NULL is null; JSON columns are embedded values. NaN and infinities are `unsupported`.
 */
import { createHash } from 'node:crypto'
import { realpath, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CSV, DUCKDB_VERSION, NDJSON, PARQUET } from './constants.ts'
import { copyWithOneLineEnd } from './csv-line-ends.ts'
import { readSql, runCopy, selectSql, literal, targetSql } from './duckdb.ts'
import { ConversionError } from '../errors.ts'
import type { BlockResult, BlockSource, ConvertContext, Converter, MediaType, Parameters } from '../index.ts'
import { readTableParameters } from './parameters.ts'
import type { TableParameters } from './schema.ts'

/** Raised when the SQL or the rules of reading and writing change what comes out. */
const EDGE_VERSION = 1

const NAMES: Record<MediaType, 'csv' | 'ndjson' | 'parquet'> = { [CSV]: 'csv', [NDJSON]: 'ndjson', [PARQUET]: 'parquet' }

/** Every direction between the three. */
export const tableConverters: Converter[] = Object.keys(NAMES).flatMap(from => Object.keys(NAMES).filter(to => to !== from).map(to => edge(from, to)))

function edge (from: MediaType, to: MediaType): Converter {
  return {
    id: `table/${NAMES[from]}-${NAMES[to]}`,
    version: `${EDGE_VERSION}+duckdb-${DUCKDB_VERSION}`,
    from,
    to,
    equivalence: 'content-exact',
    // With one thread per block, as the executor runs them; with more, the order of pages may differ.
    deterministic: 'bytes',
    runs: 'process',
    mergeClass: params => mergeClass(readTableParameters(params)),
    validate: params => validate(params, from, to) as unknown as Parameters,
    convert: async (input, params, context) => await convertTable(input, validate(params, from, to), context)
  }
}

function validate (params: Parameters, from: MediaType, to: MediaType): TableParameters {
  const result = readTableParameters(params)
  if (result.source.format !== NAMES[from]) throw new ConversionError('bad-parameters', `parameter 'source.format' must be ${NAMES[from]}`, { key: 'source.format' })
  if (result.target.format !== NAMES[to]) throw new ConversionError('bad-parameters', `parameter 'target.format' must be ${NAMES[to]}`, { key: 'target.format' })
  if (result.rows != null && result.source.format !== 'parquet') throw new ConversionError('bad-parameters', 'parameter \'rows\' is for Parquet blocks only', { key: 'rows' })
  if (result.lineEnds != null && result.source.format !== 'csv') throw new ConversionError('bad-parameters', 'parameter \'lineEnds\' is for CSV blocks only', { key: 'lineEnds' })
  return result
}

/** Parts meet in one output if their columns and their target form agree; what they came from does not matter. */
function mergeClass (params: TableParameters): string {
  const names = params.columns.map(({ name, type }) => [name, type])
  return createHash('sha256').update(JSON.stringify([names, Object.entries(params.target).toSorted()])).digest('hex').slice(0, 32)
}

async function convertTable (input: BlockSource, params: TableParameters, context: ConvertContext): Promise<BlockResult> {
  // The engine compares real paths with what it is allowed to touch.
  const folder = await realpath(dirname(context.output))
  const output = join(folder, basename(context.output))
  let path: string
  let size: number
  if ('path' in input) {
    path = await realpath(input.path)
    size = input.size
  } else {
    path = join(folder, `${basename(output)}.input`)
    size = input.bytes.length
    await writeFile(path, input.bytes, { flag: 'wx' })
  }
  const { columns, source, target, rows, lineEnds } = params
  if (source.format === 'csv' && lineEnds === 'mixed') {
    const copy = join(folder, `${basename(output)}.lines`)
    size = await copyWithOneLineEnd(path, copy, source.dialect)
    path = copy
  }
  const from = readSql(path, size, columns, source, context.threads, rows)
  const sql = `COPY (SELECT ${selectSql(columns, target)} FROM ${from}) TO ${literal(output)} ${targetSql(target)}`
  const units = await runCopy(sql, output, columns, {
    folder,
    input: path,
    threads: context.threads,
    memoryBytes: context.memoryBytes,
    signal: context.signal,
    progress: context.progress
  })
  return { units }
}
