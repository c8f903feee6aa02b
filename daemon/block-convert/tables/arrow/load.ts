/** Arrow blocks into the engine: a table in its memory, filled chunk by chunk. */
import { DuckDBDataChunk, type DuckDBAppender, type DuckDBConnection, type DuckDBType } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import type { Field } from 'apache-arrow'
import { identifier } from '../engine/duckdb.ts'
import { ConversionError } from '../../errors.ts'
import type { EngineTask } from '../format.ts'
import { RandomAccess } from '../random-access.ts'
import { parseType, typeName, type ColumnType } from '../types.ts'
import { bodyOf, takeDictionary } from './body.ts'
import { guarded, openArrow } from './container.ts'
import { fill } from './fill.ts'
import { Malformed } from './flatbuffer.ts'
import { columnsOf, type Column } from './layout.ts'
import { VECTOR_ROWS, WINDOW_BYTES } from './limits.ts'
import { Inexact } from './numbers.ts'
import { stagedType } from './staged.ts'
import { columnTypeOf } from './types.ts'
import { Dictionaries, load, type Loaded } from './window.ts'

const TABLE = 'weft_arrow'

/** Loads the block and gives its columns as a FROM item. */
export async function arrowFrom ({ connection, params, path, size, signal }: EngineTask): Promise<string> {
  const { columns, present, rows } = params
  const file = new RandomAccess({ path, size })
  try {
    const contents = openArrow(file)
    const { fields } = contents.schema
    const positions = present ?? columns.map((_, i) => i)
    if (fields.length !== positions.length) throw new ConversionError('bad-input', `the block has ${fields.length} columns instead of ${positions.length}`)
    const staged = fields.map((field, i) => stagedType(columnTypeOf(field), field.type, parseType(columns[positions[i]!]!.type)))
    const types = await createTable(connection, staged)
    const appender = await connection.createAppender(TABLE)
    const loader = new Loader(appender, fields, staged, types)
    const dictionaries = new Dictionaries()
    let first = 0
    for (const message of contents.messages()) {
      signal.throwIfAborted()
      guarded(file, () => {
        const { head } = message
        if (head.kind === 'dictionary') takeDictionary(file, message, contents.schema.dictionaries, dictionaries)
        else if (head.kind === 'batch') {
          const [from, to] = rows == null ? [0, head.batch.rows] : [Math.max(0, rows[0] - first), Math.min(head.batch.rows, rows[1] - first)]
          first += head.batch.rows
          if (from < to) loader.batch(columnsOf(head.batch, fields, bodyOf(file, message)), from, to, head.batch.rows, message.body, dictionaries)
        }
      })
      // The engine's host reports its progress and hears of cancellation in between.
      await new Promise(resolve => setImmediate(resolve))
    }
    appender.closeSync()
    return `(SELECT ${columns.map((column, i) => `${item(column.type, positions.indexOf(i), staged)} AS c${i}`).join(', ')} FROM ${TABLE})`
  } catch (error) {
    // Its path here is nobody's business.
    if (error instanceof ConversionError) throw new ConversionError(error.code, error.message.replaceAll(path, 'the block'), error.details)
    throw error
  } finally {
    file.close()
  }
}

function item (type: string, at: number, staged: ColumnType[]): string {
  if (at < 0) return `CAST(NULL AS ${type})`
  return typeName(staged[at]!) === type ? `s${at}` : `CAST(s${at} AS ${type})`
}

async function createTable (connection: DuckDBConnection, staged: ColumnType[]): Promise<DuckDBType[]> {
  const list = staged.map((type, i) => `${identifier(`s${i}`)} ${typeName(type)}`).join(', ')
  await connection.run(`CREATE TABLE ${TABLE} (${list})`)
  const result = await connection.run(`SELECT * FROM ${TABLE} LIMIT 0`)
  return result.columnTypes()
}

class Loader {
  readonly #appender: DuckDBAppender
  readonly #fields: Field[]
  readonly #staged: ColumnType[]
  readonly #chunk: DuckDBDataChunk

  constructor (appender: DuckDBAppender, fields: Field[], staged: ColumnType[], types: DuckDBType[]) {
    this.#appender = appender
    this.#fields = fields
    this.#staged = staged
    this.#chunk = DuckDBDataChunk.create(types)
  }

  /** Appends rows [from, to) of a record batch. */
  batch (columns: Column[], from: number, to: number, rows: number, bytes: number, dictionaries: Dictionaries): void {
    const chunks = Math.max(1, Math.floor(WINDOW_BYTES / (bytes / rows * VECTOR_ROWS + 1)))
    const step = Math.min(chunks, 64) * VECTOR_ROWS
    for (let at = from; at < to; at += step) {
      const end = Math.min(to, at + step)
      const loaded = columns.map(column => load(column, at, end, dictionaries))
      for (let row = 0; row < end - at; row += VECTOR_ROWS) this.#append(loaded, row, Math.min(VECTOR_ROWS, end - at - row))
    }
  }

  #append (loaded: Loaded[], at: number, count: number): void {
    const { chunk } = this.#chunk
    this.#chunk.reset()
    this.#chunk.rowCount = count
    for (const [i, column] of loaded.entries()) {
      try {
        fill(duckdb.data_chunk_get_vector(chunk, i), column, this.#staged[i]!, at, count)
      } catch (error) {
        const { name } = this.#fields[i]!
        if (error instanceof Inexact) throw new ConversionError('unsupported', `column '${name}' holds ${error.message}`, { column: name })
        if (error instanceof Malformed) throw new Malformed(`column '${name}': ${error.message}`)
        throw error
      }
    }
    this.#appender.appendDataChunk(this.#chunk)
  }
}
