/** Column types by their DuckDB names: parsed once, told apart by `kind` from then on. */
import { ConversionError } from '../errors.ts'

export const KINDS = [
  'BOOLEAN', 'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'FLOAT', 'DOUBLE', 'DECIMAL',
  'DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'TIMESTAMPTZ', 'VARCHAR', 'JSON', 'BLOB', 'UUID'
] as const

export type Kind = typeof KINDS[number]

export interface ColumnType {
  kind: Kind
  /** Of DECIMAL; 0 otherwise. */
  precision: number
  scale: number
}

/** @throws ConversionError `bad-parameters` */
export function parseType (name: string): ColumnType {
  const decimal = /^DECIMAL\((\d{1,2}),\s*(\d{1,2})\)$/.exec(name)
  if (decimal != null) {
    const precision = Number(decimal[1])
    const scale = Number(decimal[2])
    if (precision >= 1 && precision <= 38 && scale <= precision) return { kind: 'DECIMAL', precision, scale }
  }
  const kind = name === 'TIMESTAMP WITH TIME ZONE' ? 'TIMESTAMPTZ' : name as Kind
  if (kind === 'DECIMAL' || !KINDS.includes(kind)) throw new ConversionError('bad-parameters', `unknown column type '${name}'`, { type: name })
  return { kind, precision: 0, scale: 0 }
}
