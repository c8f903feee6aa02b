/** How the engine reads a JSON block. */
import { open, stat } from 'node:fs/promises'
import { RECORD_BYTES_MAX } from '../constants.ts'
import { identifier, literal } from '../engine/duckdb.ts'
import { exactCast, exactType, needsExact, writeExact } from './exact.ts'
import type { EngineTask } from '../format.ts'
import { OPEN_LIST } from './text.ts'
import { parseType, typeName } from '../types.ts'

/** DuckDB's own default for the largest JSON object, bytes. */
const DEFAULT_OBJECT_BYTES = 16 * 1024 * 1024

/** The columns of a JSON block as a FROM item. */
export async function jsonFrom (task: Pick<EngineTask, 'path' | 'size' | 'params' | 'output'>): Promise<string> {
  const { params: { columns, source } } = task
  const values = source.format === 'json' && source.elements === 'values'
  const exact = needsExact(task.params)
  let { path, size } = task
  let format = 'newline_delimited'
  if (exact) {
    path = `${task.output}.exact`
    writeExact(task.path, path, columns, values)
    size = (await stat(path)).size
  } else if (source.format === 'json') format = await isArray(path) ? 'array' : 'unstructured'
  const types = columns.map(column => `${literal(column.name)}: ${literal(exact ? typeName(exactType(parseType(column.type))) : column.type)}`).join(', ')
  const names = columns.map((column, i) => `${exact ? exactCast(column, identifier(column.name)) : identifier(column.name)} AS c${i}`).join(', ')
  return `(SELECT ${names} FROM read_json(${literal(path)}, format = '${format}', records = '${!values || exact}', columns = {${types}}, ` +
    `maximum_object_size = ${Math.min(RECORD_BYTES_MAX, Math.max(DEFAULT_OBJECT_BYTES, size))}))`
}

/** A block begins with its first byte that matters: the splitter put it there. */
async function isArray (path: string): Promise<boolean> {
  const handle = await open(path, 'r')
  try {
    const byte = Buffer.alloc(1)
    await handle.read(byte, 0, 1, 0)
    return byte[0] === OPEN_LIST
  } finally {
    await handle.close()
  }
}
