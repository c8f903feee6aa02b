/** A query's rows as an IPC stream: one part of an output. */
import { open } from 'node:fs/promises'
import duckdb from '@duckdb/node-bindings'
import type { EngineTask } from '../format.ts'
import { parseType, typeName } from '../types.ts'
import { encodeBatch } from './batch.ts'
import { END_OF_STREAM, schemaMessage } from './container.ts'
import { WRITE_BYTES, WRITE_ROWS } from './limits.ts'
import { requireVectorRows, type Parts } from './sink.ts'
import { sinkOf } from './sinks.ts'
import { arrowFields, storedType } from './types.ts'

/** Writes `task.output`; gives the rows written. */
export async function writeArrow ({ connection, params, output, signal }: EngineTask, from: string): Promise<number> {
  const { columns } = params
  const stored = columns.map(column => storedType(parseType(column.type)))
  const select = columns.map((column, i) => {
    const name = typeName(stored[i]!)
    return name === column.type ? `c${i}` : `CAST(c${i} AS ${name})`
  })
  const sinks = stored.map((type, i) => sinkOf(type, columns[i]!.name))
  await using file = await open(output, 'wx')
  await file.writeFile(schemaMessage(arrowFields(columns)))
  const result = await connection.stream(`SELECT ${select.join(', ')} FROM ${from}`)
  let rows = 0
  let total = 0
  const flush = async (): Promise<void> => {
    const parts: Parts = { nodes: [], buffers: [] }
    for (const sink of sinks) sink.finish(parts)
    await file.writev(encodeBatch(rows, parts))
    total += rows
    rows = 0
  }
  for (;;) {
    const chunk = await result.fetchChunk()
    const count = chunk?.rowCount ?? 0
    if (chunk == null || count === 0) break
    signal.throwIfAborted()
    requireVectorRows(count)
    for (const [i, sink] of sinks.entries()) sink.append(duckdb.data_chunk_get_vector(chunk.chunk, i), count, 0, count)
    rows += count
    if (rows >= WRITE_ROWS || sinks.reduce((bytes, sink) => bytes + sink.size, 0) >= WRITE_BYTES) await flush()
  }
  if (rows > 0) await flush()
  await file.writeFile(END_OF_STREAM)
  return total
}
