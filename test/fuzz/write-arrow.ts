/** Random tables as Arrow files and streams, by flechette, in all the ways Arrow has to store a type. */
import * as arrow from '@uwdata/flechette'
import type { Table, Type, Value } from './table.ts'

export interface ArrowForm {
  batchRows: number
  /** Ways to store the columns' types, by turns. */
  styles: number[]
}

const ZONES = ['UTC', 'Europe/Zurich', '+05:30']
const TIMES = [arrow.timeMicrosecond, arrow.timeNanosecond]

/**
 * flechette takes instants and days as milliseconds in doubles; so they are built as the integers they are stored as, and their columns
 * named by their real types afterwards.
 */
export function arrowBytes ({ columns, rows }: Table, { batchRows, styles }: ArrowForm, format: 'file' | 'stream'): Uint8Array {
  const renames: Array<[stored: object, real: object]> = []
  const maxBatchRows = Math.max(batchRows, Math.ceil(rows.length / 20))
  const built = columns.map((column, i): [string, arrow.Column<unknown>] => {
    const style = styles[i % styles.length]!
    const type = (wanted: Type): arrow.DataType => {
      const real = arrowType(wanted, style, type)
      const stored = wanted.kind === 'date' && style !== 2 ? arrow.int32() : wanted.kind === 'timestamp' || wanted.kind === 'time' || wanted.kind === 'date' ? arrow.int64() : undefined
      if (stored == null) return real
      renames.push([stored, real])
      return stored
    }
    return [column.name, arrow.columnFromArray(rows.map(row => arrowValue(column.type, style, row[i]!)), type(column.type), { maxBatchRows, useBigInt: true })]
  })
  for (const [stored, real] of renames) {
    for (const key of Object.keys(stored)) delete (stored as Record<string, unknown>)[key]
    Object.assign(stored, real)
  }
  return arrow.tableToIPC(arrow.tableFromColumns(built), { format })!
}

function arrowType (type: Type, style: number, inner: (type: Type) => arrow.DataType): arrow.DataType {
  switch (type.kind) {
    case 'boolean': return arrow.bool()
    case 'integer': return arrow.int(type.bits, type.signed)
    case 'float': return type.bits === 32 ? arrow.float32() : arrow.float64()
    case 'decimal': {
      const { precision, scale } = type
      return style === 1 ? arrow.decimal256(precision, scale) : style === 2 && precision <= 18 ? arrow.decimal64(precision, scale) : style === 3 && precision <= 9 ? arrow.decimal32(precision, scale) : arrow.decimal128(precision, scale)
    }
    case 'date': return style === 2 ? arrow.dateMillisecond() : arrow.dateDay()
    case 'time': return TIMES[style % 2]!()
    case 'timestamp': return arrow.timestamp({ s: arrow.TimeUnit.SECOND, ms: arrow.TimeUnit.MILLISECOND, us: arrow.TimeUnit.MICROSECOND, ns: arrow.TimeUnit.NANOSECOND }[type.unit], type.zone ? ZONES[style % 3]! : null)
    case 'interval': return arrow.interval(arrow.IntervalUnit.MONTH_DAY_NANO)
    case 'blob': return style === 1 ? arrow.largeBinary() : arrow.binary()
    case 'list': return (style === 1 ? arrow.largeList : arrow.list)(arrow.field('item', inner(type.element)))
    case 'struct': return arrow.struct(type.fields.map(field => arrow.field(field.name, inner(field.type))))
    case 'map': return arrow.map(arrow.field('key', inner(type.key), false), arrow.field('value', inner(type.value)))
    default: return style === 1 ? arrow.largeUtf8() : style === 2 ? arrow.dictionary(arrow.utf8()) : arrow.utf8()
  }
}

function arrowValue (type: Type, style: number, value: Value): unknown {
  if (value === null) return null
  switch (type.kind) {
    case 'integer': return type.bits === 64 ? value : Number(value)
    case 'date': return style === 2 ? (value as bigint) * 86_400_000n : Number(value)
    case 'time': return (value as bigint) * (style % 2 === 1 ? 1000n : 1n)
    case 'interval': return (value as bigint[]).map((part, i) => i < 2 ? Number(part) : part * 1000n)
    case 'list': return (value as Value[]).map(item => arrowValue(type.element, style, item))
    case 'struct': return Object.fromEntries((value as Value[]).map((item, i) => [type.fields[i]!.name, arrowValue(type.fields[i]!.type, style, item)]))
    case 'map': return (value as Value[][]).map(([key, item]) => [arrowValue(type.key, style, key!), arrowValue(type.value, style, item!)])
    default: return value
  }
}
