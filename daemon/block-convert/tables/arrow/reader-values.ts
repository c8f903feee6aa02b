/** Canonical values (values.ts) out of the batches that flechette decodes. */
import { isAscii, isUtf8 } from 'node:buffer'
import { Type, type Batch } from '@uwdata/flechette'
import { ConversionError } from '../../errors.ts'
import { jsonValue } from '../json/text.ts'
import type { ColumnType, Kind } from '../types.ts'
import { canonicalInteger, type Parts } from '../values.ts'
import { Malformed } from './flatbuffer.ts'

/** The value at a row, `null` for NULL; of nested types its parts. */
export type Getter = (row: number) => Parts

/** What the library knows of a batch, as far as it is needed here. */
interface Raw {
  length: number
  nullCount: number
  validity?: Uint8Array
  values: ArrayLike<number | bigint> & { subarray: (from: number, to: number) => Uint8Array }
  offsets: ArrayLike<number | bigint>
  children: Raw[]
  type: { typeId: number, bitWidth?: number, precision?: number, unit?: number, stride?: number }
  value: (row: number) => unknown
  /** Of views. */
  view?: (row: number) => Uint8Array
  /** Of dictionary-encoded columns. */
  dictionary?: { data: Raw[] }
}

/** Units of time: how many make a second. */
const PER_SECOND: readonly bigint[] = [1n, 1000n, 1_000_000n, 1_000_000_000n]

/** @throws ConversionError `bad-input` for what cannot be a value of the type */
export function getterOf (batch: Batch<unknown>, type: ColumnType, column: string): Getter {
  return getter(batch as unknown as Raw, type, column)
}

function getter (batch: Raw, type: ColumnType, column: string): Getter {
  const get = present(batch, type, column)
  const { validity, nullCount } = batch
  if (batch.type.typeId === Type.Null) return () => null
  if (nullCount === 0 || validity == null) return get
  return row => ((validity[row >> 3] as number) >> (row & 7) & 1) === 1 ? get(row) : null
}

/** For rows that are not NULL. */
function present (batch: Raw, type: ColumnType, column: string): Getter {
  const { values } = batch
  const { typeId, bitWidth = 0, unit = 0, stride = 0 } = batch.type
  const wide = values as ArrayLike<bigint>
  switch (typeId) {
    case Type.Dictionary: return dictionaryGetter(batch, type, column)
    case Type.Bool:
    case Type.Float: return row => batch.value(row) as Parts
    case Type.Int: return bitWidth < 64 ? row => values[row] as number : row => canonicalInteger(wide[row] as bigint)
    case Type.Decimal: return bitWidth === 32 ? row => values[row] as number : row => canonicalInteger(batch.value(row) as bigint)
    case Type.Date: return unit === 0 ? row => values[row] as number : row => dateOf(wide[row] as bigint, type.kind)
    case Type.Time: if (type.kind === 'BIGINT') return row => canonicalInteger(wide[row] as bigint); else return row => Number(rescaled(BigInt(values[row] as number | bigint), unit, 2))
    case Type.Timestamp: return row => canonicalInteger(type.kind === 'TIMESTAMP_NS' ? wide[row] as bigint : rescaled(wide[row] as bigint, unit, 2))
    case Type.Duration: if (type.kind === 'BIGINT') return row => canonicalInteger(wide[row] as bigint); else return row => `0/0/${rescaled(wide[row] as bigint, unit, 2)}`
    case Type.Interval: return intervalGetter(values as unknown as Int32Array | Uint8Array, unit)
    case Type.Utf8:
    case Type.LargeUtf8: return textGetter(batch, type.kind, column)
    case Type.Utf8View: return row => textOf(batch.view!(row), type.kind, column)
    case Type.Binary:
    case Type.LargeBinary: return row => latin1(values.subarray(Number(batch.offsets[row]), Number(batch.offsets[row + 1])))
    case Type.BinaryView: return row => latin1(batch.view!(row))
    case Type.FixedSizeBinary: return type.kind === 'UUID' ? row => uuidOf(values.subarray(row * stride, row * stride + stride)) : row => latin1(values.subarray(row * stride, row * stride + stride))
    case Type.List:
    case Type.LargeList: return listGetter(getter(batch.children[0]!, type.element!, column), row => Number(batch.offsets[row]))
    case Type.FixedSizeList: return listGetter(getter(batch.children[0]!, type.element!, column), row => row * stride)
    case Type.Map: {
      const [keys, elements] = batch.children[0]!.children as [Raw, Raw]
      const key = getter(keys, type.key!, column)
      const element = getter(elements, type.element!, column)
      return listGetter(row => [key(row), element(row)], row => Number(batch.offsets[row]))
    }
    case Type.Struct: {
      const parts = batch.children.map((child, i) => getter(child, type.fields![i]!.type, column))
      return row => parts.map(part => part(row))
    }
    // Its getter never comes here.
    case Type.Null: return () => null
    default: throw new Malformed(`a column of the library's type ${typeId}`)
  }
}

/** From one unit to another (positions in PER_SECOND); what is not whole is nobody's value here. */
function rescaled (value: bigint, from: number, to: number): bigint {
  const own = PER_SECOND[from] as bigint
  const wanted = PER_SECOND[to] as bigint
  if (wanted >= own) return value * (wanted / own)
  if (value % (own / wanted) !== 0n) throw new ConversionError('unsupported', `a time of ${value} nanoseconds is no whole number of microseconds`)
  return value / (own / wanted)
}

function dateOf (millis: bigint, kind: Kind): Parts {
  if (kind !== 'DATE') return canonicalInteger(millis * 1000n)
  if (millis % 86_400_000n !== 0n) throw new ConversionError('unsupported', `a date of ${millis} milliseconds has a time of day`)
  return Number(millis / 86_400_000n)
}

function intervalGetter (values: Int32Array | Uint8Array, unit: number): Getter {
  if (unit === 0) return row => `${values[row]}/0/0`
  if (unit === 1) return row => `0/${values[row * 2]}/${BigInt(values[row * 2 + 1] as number) * 1000n}`
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  return row => `${view.getInt32(row * 16, true)}/${view.getInt32(row * 16 + 4, true)}/${rescaled(view.getBigInt64(row * 16 + 8, true), 3, 2)}`
}

function listGetter (element: Getter, offset: (row: number) => number): Getter {
  return row => {
    const end = offset(row + 1)
    const parts: Parts[] = []
    for (let i = offset(row); i < end; i++) parts.push(element(i))
    return parts
  }
}

/** Values of a dictionary are made canonical once. */
function dictionaryGetter (batch: Raw, type: ColumnType, column: string): Getter {
  const known: Parts[] = []
  for (const piece of batch.dictionary!.data) {
    const get = getter(piece, type, column)
    for (let i = 0; i < piece.length; i++) known.push(get(i))
  }
  return row => {
    const index = Number(batch.values[row])
    if (!(index >= 0 && index < known.length)) throw new Malformed('an index into a dictionary is outside of it')
    return known[index] as Parts
  }
}

/** Characters of a text made of all values at once; longer ones are read value by value. */
const WHOLE_CHARS_MAX = 1 << 28

function textGetter (batch: Raw, kind: Kind, column: string): Getter {
  const { offsets } = batch
  const values = batch.values as unknown as Uint8Array
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength)
  if (isAscii(bytes) && bytes.length < WHOLE_CHARS_MAX) {
    const whole = bytes.toString('latin1')
    return row => canonicalText(whole.slice(Number(offsets[row]), Number(offsets[row + 1])), kind, column)
  }
  return row => textOf(bytes.subarray(Number(offsets[row]), Number(offsets[row + 1])), kind, column)
}

function textOf (bytes: Uint8Array, kind: Kind, column: string): Parts {
  if (!isUtf8(bytes)) throw new ConversionError('bad-input', `column '${column}' holds a text that is not UTF-8`, { column })
  return canonicalText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'), kind, column)
}

function canonicalText (text: string, kind: Kind, column: string): Parts {
  if (kind !== 'JSON') return text
  const value = jsonValue(text)
  if (value === undefined) throw new ConversionError('bad-input', `column '${column}' holds a text that is not JSON`, { column })
  return value as Parts
}

function latin1 (bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function uuidOf (bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
