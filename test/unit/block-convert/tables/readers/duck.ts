/** DuckDB for tests: writes fixtures, and is the other opinion on what a file holds. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import type { BlockRecipe, BlockSource } from '../../../../../daemon/block-convert/index.ts'
import { readBatches, type ReadOptions } from '../../../../../daemon/block-convert/tables/readers/index.ts'
import type { Column, Dialect, SourceForm, TargetForm } from '../../../../../daemon/block-convert/tables/schema.ts'

export const dialect: Dialect = { delimiter: ',', quote: '"', escape: '"', header: true }

export const FLIGHTS = join(import.meta.dirname, '../../../../../node_modules/vega-datasets/data/flights-3m.parquet')

/** A temporary folder and a connection; `close` removes both. */
export class Duck {
  readonly folder = mkdtempSync(join(tmpdir(), 'weft-tables-'))
  readonly #instance: DuckDBInstance
  readonly #connection: DuckDBConnection

  private constructor (instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance
    this.#connection = connection
  }

  static async open (): Promise<Duck> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    await connection.run("set TimeZone = 'UTC'")
    return new Duck(instance, connection)
  }

  path (name: string): string {
    return join(this.folder, name)
  }

  async rows (sql: string): Promise<unknown[][]> {
    return (await this.#connection.runAndReadAll(sql)).getRowsJson() as unknown[][]
  }

  /** Copies a query's result into a file, and gives its path. */
  async copy (query: string, name: string, options: string): Promise<string> {
    const path = this.path(name)
    await this.#connection.run(`copy (${query}) to '${path}' (${options})`)
    return path
  }

  async columns (path: string): Promise<Column[]> {
    const rows = await this.rows(`describe select * from '${path}'`)
    return rows.map(([name, type]) => ({ name: String(name), type: type === 'TIMESTAMP WITH TIME ZONE' ? 'TIMESTAMPTZ' : String(type) }))
  }

  /** Rows with their order: equal for equal tables only. */
  async fingerprint (path: string): Promise<string> {
    return JSON.stringify(await this.rows(`select count(*), sum(hash(file_row_number, t)) from (select * from read_parquet('${path}', file_row_number = true)) t`))
  }

  close (): void {
    this.#connection.closeSync()
    this.#instance.closeSync()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Every type there is, with its extremes and NULLs. */
export const EVERY_TYPE = `
  select * from (values
    (true, 1::tinyint, 2::smallint, 3::integer, 4::bigint, 5::utinyint, 6::usmallint, 7::uinteger, 8::ubigint, 1.5::float, 0.1::double, 1.25::decimal(4,2), 1.25::decimal(9,2), 1.25::decimal(18,2), 1.25::decimal(38,2), 0.12::decimal(2,2),
      date '2020-01-02', time '01:02:03.5', timestamp '2020-01-02 03:04:05.6', timestamp_ns '2020-01-02 03:04:05.123456789', timestamptz '2020-01-02 03:04:05.6+00', 'text', '{"a": [1, 2.50, "x\\n"]}'::json, 'b\\x00\\xFF\\x5C'::blob, '0d134be7-39d5-44d1-8178-0a810e5c2c4d'::uuid),
    (false, -128, -32768, -2147483648, -9223372036854775808, 0, 0, 0, 0, -0.0::float, -0.0::double, -99.99, -9999999.99, -9999999999999999.99, -999999999999999999999999999999999999.99, -0.99,
      date '0044-03-15 (BC)', time '00:00:00', timestamp '0001-01-01 00:00:00', timestamp_ns '1900-01-02 00:00:00', timestamptz '1582-10-15 00:00:00+00', '', '[]'::json, ''::blob, '00000000-0000-0000-0000-000000000000'::uuid),
    (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
    (true, 127, 32767, 2147483647, 9223372036854775807, 255, 65535, 4294967295, 18446744073709551615, 3.4028235e38::float, 1.7976931348623157e308::double, 99.99, 9999999.99, 9999999999999999.99, 999999999999999999999999999999999999.99, 0.99,
      date '12345-12-31', time '23:59:59.999999', timestamp '294247-01-10 04:00:54.775806', timestamp_ns '2262-04-11 23:47:16.854775806', timestamptz '9999-12-31 23:59:59.999999+00', 'a "quoted", 東京
second line', '{"k": null, "z": -0.0, "big": 12345678901234567890}'::json, '''"\\x7F~'::blob, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid),
    (false, 0, 0, 0, 9007199254740993, 1, 1, 1, 9007199254740993, 1e-45::float, 5e-324::double, 0, 0, 0, 0, 0,
      'infinity'::date, time '12:00:00', 'infinity'::timestamp, timestamp_ns '1970-01-01 00:00:00.000000001', '-infinity'::timestamptz, ' padded ', '"text"'::json, 'plain'::blob, '12345678-1234-1234-1234-123456789abc'::uuid)
  ) t(b, i8, i16, i32, i64, u8, u16, u32, u64, f, d, d4, d9, d18, d38, d2, dt, tm, ts, tsn, tz, v, j, bl, u)`

export function read (source: BlockSource | string, form: SourceForm | TargetForm | { format: 'parquet' }, columns: Column[], options: ReadOptions = {}): unknown[][] {
  const rows: unknown[][] = []
  for (const batch of readBatches(typeof source === 'string' ? { path: source, size: 0 } : source, form as SourceForm, columns, options)) {
    for (let i = 0; i < batch.rows; i++) rows.push(batch.columns.map(column => column[i]))
  }
  return rows
}

export const text = (value: string): BlockSource => ({ bytes: new TextEncoder().encode(value) })

export function recipe (more: Partial<BlockRecipe> = {}): BlockRecipe {
  return { index: 0, parts: [], size: 0, digest: new Uint8Array(32), origin: { input: 0, line: 1 }, ...more }
}
