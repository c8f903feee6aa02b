/** What DuckDB reads from a file, in the canonical form of values.ts: the opinion our own reader is compared with. */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { jsonValue } from '../../../../../daemon/block-convert/tables/json/text.ts'
import type { Column } from '../../../../../daemon/block-convert/tables/schema.ts'
import { isNested, parseType, type ColumnType } from '../../../../../daemon/block-convert/tables/types.ts'
import { canonicalInteger, nestedText, TIMESTAMP_INFINITY, type Parts } from '../../../../../daemon/block-convert/tables/values.ts'

export class DuckValues {
  readonly #instance: DuckDBInstance
  readonly #connection: DuckDBConnection

  private constructor (instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance
    this.#connection = connection
  }

  static async open (): Promise<DuckValues> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    await connection.run("set TimeZone = 'UTC'")
    return new DuckValues(instance, connection)
  }

  /** All rows of a FROM item, whose columns must have exactly these types. */
  async rows (from: string, columns: Column[]): Promise<unknown[][]> {
    const result = await this.#connection.runAndReadAll(`select * from ${from}`)
    const types = columns.map(column => parseType(column.type))
    return result.getRows().map(row => row.map((value, i) => {
      const part = partOf(value, types[i]!)
      return part !== null && isNested(types[i]!) ? nestedText(part) : part
    }))
  }

  async types (from: string): Promise<Column[]> {
    const result = await this.#connection.runAndReadAll(`describe select * from ${from}`)
    // DuckDB quotes field names only where it must; read and written again they are all quoted.
    return result.getRows().map(([name, type]) => ({ name: String(name), type: String(type) }))
  }

  close (): void {
    this.#connection.closeSync()
    this.#instance.closeSync()
  }
}

type Any = Record<string, unknown>

function partOf (value: unknown, type: ColumnType): Parts {
  if (value === null || value === undefined) return null
  const any = value as Any
  switch (type.kind) {
    case 'LIST': return (any.items as unknown[]).map(item => partOf(item, type.element!))
    case 'STRUCT': return type.fields!.map(field => partOf((any.entries as Record<string, unknown>)[field.name], field.type))
    case 'MAP': return (any.entries as Array<{ key: unknown, value: unknown }>).map(entry => [partOf(entry.key, type.key!), partOf(entry.value, type.element!)])
    case 'BIGINT':
    case 'UBIGINT': return canonicalInteger(value as bigint)
    case 'DECIMAL': return canonicalInteger(any.value as bigint)
    case 'DATE': return any.days as number
    case 'TIME':
    case 'TIMESTAMP':
    case 'TIMESTAMPTZ': return canonicalInteger(any.micros as bigint)
    case 'TIMESTAMP_S': return scaled(BigInt(any.seconds as bigint), 1000000n)
    case 'TIMESTAMP_MS': return scaled(BigInt((any.millis ?? any.milliseconds) as bigint), 1000n)
    case 'TIMESTAMP_NS': return canonicalInteger((any.nanos ?? any.nanoseconds) as bigint)
    case 'INTERVAL': return `${String(any.months)}/${String(any.days)}/${String(any.micros)}`
    case 'BLOB': return Buffer.from(any.bytes as Uint8Array).toString('latin1')
    case 'UUID': return String(value)
    case 'JSON': return jsonValue(String(value)) as Parts
    default: return value as Parts
  }
}

/** Infinities are extremes in every unit. */
function scaled (value: bigint, factor: bigint): number | bigint {
  return value === TIMESTAMP_INFINITY || value === -TIMESTAMP_INFINITY ? value : canonicalInteger(value * factor)
}
