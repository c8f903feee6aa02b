/**
 * The edges between all table formats, carried by DuckDB (Arrow through apache-arrow on its way in or out). What comes out:
 *
 * - Parquet: one file per block, row groups of 122,880 rows, types as `Column` says.
 * - CSV: the dialect's header if it has one; NULL is empty, the empty string `""`; dates and times `yyyy-mm-dd hh:mm:ss[.f]`, with
 *   `+00` if they are instants; doubles in the shortest form that reads back equal, `nan`, `inf`; bytes as `\xHH` where not printable; nested
 *   values as JSON text.
 * - JSON: one object per row with every key; numbers with all their digits (a DECIMAL is a JSON number written exactly); dates and
 *   times as strings in the same form; NULL is null; JSON columns are embedded values.
 * - Arrow: an IPC stream per block.
 */
import { createHash } from 'node:crypto'
import { realpath, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DUCKDB_VERSION } from './constants.ts'
import { writePart } from './encoded.ts'
import { withEngine } from './engine/duckdb.ts'
import { ConversionError } from '../errors.ts'
import { sourceFormat, TABLE_TYPES, targetFormat, type TableType } from './formats.ts'
import type { BlockResult, BlockSource, ConvertContext, Converter, Parameters } from '../index.ts'
import { readTableParameters } from './parameters.ts'
import type { TableParameters } from './schema.ts'

/** Raised when the SQL or the rules of reading and writing change what comes out. */
const EDGE_VERSION = 2

/** Every direction, a format to itself included (inputs become one output, another dialect, other row groups). */
export const tableConverters: Converter[] = TABLE_TYPES.flatMap(from => TABLE_TYPES.map(to => edge(from, to)))

function edge (from: TableType, to: TableType): Converter {
  return {
    id: `table/${from.name}-${to.name}`,
    version: `${EDGE_VERSION}+duckdb-${DUCKDB_VERSION}`,
    from: from.mediaType,
    to: to.mediaType,
    equivalence: 'content-exact',
    // With one thread per block, as the executor runs them; with more, the order of pages may differ.
    deterministic: 'bytes',
    runs: 'process',
    mergeClass: params => mergeClass(readTableParameters(params)),
    validate: params => validate(params, from, to) as unknown as Parameters,
    convert: async (input, params, context) => await convertTable(input, validate(params, from, to), context)
  }
}

function validate (params: Parameters, from: TableType, to: TableType): TableParameters {
  const result = readTableParameters(params)
  if (result.source.format !== from.format) throw new ConversionError('bad-parameters', `parameter 'source.format' must be ${from.format}`, { key: 'source.format' })
  if (result.target.format !== to.format) throw new ConversionError('bad-parameters', `parameter 'target.format' must be ${to.format}`, { key: 'target.format' })
  if (result.target.format === 'arrow' && result.target.container !== (to.name === 'arrows' ? 'stream' : 'file')) throw new ConversionError('bad-parameters', `parameter 'target.container' does not go with ${to.mediaType}`, { key: 'target.container' })
  if (result.rows != null && result.source.format !== 'parquet' && result.source.format !== 'arrow') throw new ConversionError('bad-parameters', 'parameter \'rows\' is for Parquet and Arrow blocks only', { key: 'rows' })
  if (result.lineEnds != null && result.source.format !== 'csv') throw new ConversionError('bad-parameters', 'parameter \'lineEnds\' is for CSV blocks only', { key: 'lineEnds' })
  return result
}

/** Parts meet in one output if their columns and their target form agree; what they came from does not matter. */
function mergeClass (params: TableParameters): string {
  const names = params.columns.map(({ name, type }) => [name, type])
  return createHash('sha256').update(JSON.stringify([names, Object.entries(params.target).toSorted(), params.partition ?? []])).digest('hex').slice(0, 32)
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
  const { threads, signal, memoryBytes, progress } = context
  const [source, target] = await Promise.all([sourceFormat(params.source.format), targetFormat(params.target.format)])
  const units = await withEngine(output, params.columns, { folder, input: path, threads, memoryBytes, signal, progress }, async connection => {
    const task = { connection, params, path, size, folder, output, threads, signal }
    const from = await source.from(task)
    if (params.partition == null) return await writePart(target, task, from, progress)
    const { writePartitioned } = await import('./partition/write.ts')
    return await writePartitioned(task, from, async (part, rows) => await writePart(target, part, rows, progress))
  }).catch((error: unknown) => {
    // The engine's words for a damaged file are no better than those for a fault of its own.
    if (error instanceof ConversionError && error.code === 'engine' && error.details.outOfMemory !== true) source.examine?.({ path, params })
    throw error
  })
  return { units }
}
