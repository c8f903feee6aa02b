/** A block of a partitioned conversion in the engine: its rows gathered by key, and one file of the target's type for each. */
import { open, rm, type FileHandle } from 'node:fs/promises'
import { ConversionError } from '../../errors.ts'
import { engineError } from '../engine/duckdb.ts'
import type { EngineTask } from '../format.ts'
import { READ_BYTES } from '../parquet/limits.ts'
import { PARTITIONS_MAX } from './constants.ts'
import { containerTail, type PartEntry } from './container.ts'
import { keyPath, partitioning, tooManyPartitions, type Key } from './key.ts'

/** Parts up to which each is looked for among all rows; with more, sorting the rows once costs less. */
const SCANS_MAX = 8

/**
 * Writes the block's container (container.ts) from a FROM item of columns `c0`, `c1`, ...; `write` writes one file. Rows of a key keep their
 * order. Gives the rows written. Throws ConversionError `unsupported` if there are too many keys, or one that cannot be a folder.
 */
export async function writePartitioned (task: EngineTask, from: string, write: (task: EngineTask, from: string) => Promise<number>): Promise<number> {
  const { connection, params, output, signal } = task
  const { keys, data, file } = partitioning(params)
  const columns = keys.map(position => `c${position}`)
  await connection.run(`CREATE TEMP TABLE weft_rows AS SELECT * FROM ${from}`)
  const texts = columns.map((column, i) => `CAST(${column} AS VARCHAR) AS k${i}`).join(', ')
  await connection.run(`CREATE TEMP TABLE weft_keys AS SELECT *, row_number() OVER (ORDER BY first) - 1 AS part FROM (
    SELECT ${columns.map((column, i) => `${column} AS v${i}`).join(', ')}, ${texts}, count(*) AS count, min(rowid) AS first FROM weft_rows GROUP BY ALL LIMIT ${PARTITIONS_MAX + 1})`)
  const found = (await connection.runAndReadAll(`SELECT ${columns.map((_, i) => `k${i}`).join(', ')}, count FROM weft_keys ORDER BY part`)).getRows()
  const names = params.partition ?? []
  if (found.length > PARTITIONS_MAX) throw tooManyPartitions(names)
  const sorted = found.length > SCANS_MAX
  const same = columns.map((column, i) => `r.${column} IS NOT DISTINCT FROM k.v${i}`).join(' AND ')
  await connection.run(`CREATE TEMP TABLE weft_parts AS SELECT r.*, k.part FROM (SELECT *, rowid AS place FROM weft_rows) r JOIN weft_keys k ON ${same} ORDER BY ${sorted ? 'k.part, ' : ''}r.place`)
  await connection.run('DROP TABLE weft_rows')
  const select = data.map((position, i) => `c${position} AS c${i}`).join(', ')
  const entries: PartEntry[] = []
  const path = `${output}.part`
  const container = await open(output, 'wx', 0o600)
  try {
    let row = 0
    for (const [part, columnValues] of found.entries()) {
      signal.throwIfAborted()
      const key = columnValues.slice(0, keys.length) as Key
      const rows = Number(columnValues[keys.length])
      keyPath(names, key)
      const where = sorted ? `rowid >= ${row} AND rowid < ${row + rows}` : `part = ${part}`
      const written = await write({ ...task, params: file, output: path }, `(SELECT ${select} FROM weft_parts WHERE ${where})`)
        .catch((error: unknown) => { throw engineError(error, file.columns) })
      if (written !== rows) throw new ConversionError('engine', `the table engine wrote ${written} instead of ${rows} rows of a partition`)
      entries.push({ key, rows, size: await append(container, path) })
      row += rows
    }
    await container.writeFile(containerTail(entries))
    return row
  } finally {
    await container.close()
  }
}

/** Moves a part to the end of the container; gives its bytes. */
async function append (container: FileHandle, path: string): Promise<number> {
  const part = await open(path, 'r')
  try {
    let size = 0
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, (await part.stat()).size)))
    for (;;) {
      const { bytesRead } = await part.read(buffer, 0, buffer.length, size)
      if (bytesRead === 0) return size
      await container.writeFile(buffer.subarray(0, bytesRead))
      size += bytesRead
    }
  } finally {
    await part.close()
    await rm(path)
  }
}
