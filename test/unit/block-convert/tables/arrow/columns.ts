/** Random columns of every Arrow type: how they are stored, and what they mean in canonical form (values.ts). */
import {
  Binary, BinaryView, Bool, DataType, DateDay, DateMillisecond, Decimal, Dictionary, Duration, Field, FixedSizeBinary, FixedSizeList, Float16, Float32, Float64, Int16, Int32, Int64,
  Int8, Interval, IntervalUnit, LargeBinary, LargeList, LargeUtf8, List, Map_, Null, Struct, Time, Timestamp, TimeUnit, Uint16, Uint32, Uint64, Uint8, Utf8, Utf8View
} from 'apache-arrow'
import fc from 'fast-check'
import { canonicalInteger, nestedText, type Parts } from '../../../../../daemon/block-convert/tables/values.ts'
import { bitmap, type RawColumn } from './ipc.ts'

/** A value as it is stored (`raw`), and as it is meant. */
export interface Meant { raw: unknown, value: Parts }
export type Cell = Meant | null

export interface Kind {
  name: string
  type: DataType
  /** The column's type, by its name. */
  table: string
  cell: fc.Arbitrary<Meant>
  store: (cells: Cell[]) => RawColumn
  /** Extension of the field. */
  extension?: string
}

function column (cells: Cell[], buffers: Uint8Array[], children: RawColumn[] = []): RawColumn {
  const nulls = cells.filter(cell => cell == null).length
  return { rows: cells.length, nulls, buffers: [nulls === 0 ? new Uint8Array(0) : bitmap(cells.map(cell => cell != null)), ...buffers], children }
}

function fixed (name: string, type: DataType, table: string, width: number, put: (view: DataView, at: number, raw: never) => void, cell: fc.Arbitrary<Meant>): Kind {
  return {
    name, type, table, cell,
    store: cells => {
      const view = new DataView(new ArrayBuffer(cells.length * width))
      cells.forEach((value, i) => {
        if (value != null) put(view, i * width, value.raw as never)
        // What stands at a NULL means nothing.
        else for (let k = 0; k < width; k++) view.setUint8(i * width + k, 0xa5)
      })
      return column(cells, [new Uint8Array(view.buffer)])
    }
  }
}

const same = <T extends Parts> (arbitrary: fc.Arbitrary<T>): fc.Arbitrary<Meant> => arbitrary.map(value => ({ raw: value, value }))
const whole = (bits: number, signed: boolean): fc.Arbitrary<bigint> => {
  const [min, max] = signed ? [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n] : [0n, 2n ** BigInt(bits) - 1n]
  return fc.oneof(fc.bigInt({ min, max }), fc.bigInt({ min: signed ? -9n : 0n, max: 9n }), fc.constantFrom(min, max))
}
const integer = (bits: number, signed: boolean): fc.Arbitrary<Meant> => whole(bits, signed).map(raw => ({ raw, value: canonicalInteger(raw) }))
const put64 = (view: DataView, at: number, raw: bigint): void => view.setBigInt64(at, raw, true)
const put32 = (view: DataView, at: number, raw: bigint): void => view.setInt32(at, Number(raw), true)

/** 64-bit counts of a unit, as microseconds or nanoseconds. */
const moments = (unit: TimeUnit, nanos = false): fc.Arbitrary<Meant> => {
  const micros = [1_000_000n, 1000n, 1n][unit]
  const limit = micros == null ? 2n ** 62n : 2n ** 53n / micros
  if (micros == null) return fc.bigInt({ min: -limit / 1000n, max: limit / 1000n }).map(value => nanos ? { raw: value * 7n, value: canonicalInteger(value * 7n) } : { raw: value * 1000n, value: canonicalInteger(value) })
  return fc.bigInt({ min: -limit, max: limit }).map(raw => ({ raw, value: canonicalInteger(raw * micros) }))
}
const clocks = (unit: TimeUnit): fc.Arbitrary<Meant> => {
  const perSecond = [1n, 1000n, 1_000_000n, 1_000_000n][unit]!
  return fc.bigInt({ min: 0n, max: 86_400n * perSecond - 1n }).map(count => ({ raw: unit === TimeUnit.NANOSECOND ? count * 1000n : count, value: Number(count * (1_000_000n / perSecond)) }))
}

export const words = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.string({ maxLength: 40 }), fc.constantFrom('', '\0', 'exactly twelv', 'twelve bytes', 'ä'.repeat(6), '東京'.repeat(9))).filter(text => text.isWellFormed())
const texts = words.map((text): Meant => ({ raw: Buffer.from(text), value: text }))
const binaries = fc.uint8Array({ maxLength: 30 }).map((bytes): Meant => ({ raw: Buffer.from(bytes), value: Buffer.from(bytes).toString('latin1') }))

function offsetsOf (lengths: number[], wide: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer((lengths.length + 1) * (wide ? 8 : 4)))
  let at = 0
  lengths.forEach((length, i) => {
    at += length
    if (wide) view.setBigInt64((i + 1) * 8, BigInt(at), true)
    else view.setInt32((i + 1) * 4, at, true)
  })
  return new Uint8Array(view.buffer)
}

function bytes (name: string, type: DataType, table: string, wide: boolean, cell: fc.Arbitrary<Meant>): Kind {
  return {
    name, type, table, cell,
    store: cells => {
      const values = cells.map(value => value == null ? Buffer.alloc(0) : value.raw as Buffer)
      return column(cells, [offsetsOf(values.map(value => value.length), wide), Buffer.concat(values)])
    }
  }
}

/** Long values in two buffers by turns. */
function views (name: string, type: DataType, table: string, cell: fc.Arbitrary<Meant>): Kind {
  return {
    name, type, table, cell,
    store: cells => {
      const places = [0, 0]
      const data: Buffer[][] = [[], []]
      const view = Buffer.alloc(cells.length * 16)
      cells.forEach((value, i) => {
        const raw = value == null ? Buffer.alloc(0) : value.raw as Buffer
        view.writeInt32LE(raw.length, i * 16)
        if (raw.length <= 12) view.set(raw, i * 16 + 4)
        else {
          view.set(raw.subarray(0, 4), i * 16 + 4)
          view.writeInt32LE(i % 2, i * 16 + 8)
          view.writeInt32LE(places[i % 2]!, i * 16 + 12)
          data[i % 2]!.push(raw)
          places[i % 2]! += raw.length
        }
      })
      return { ...column(cells, [view, Buffer.concat(data[0]!), Buffer.concat(data[1]!)]), variadic: 2 }
    }
  }
}

function decimal (precision: number, scale: number, bits: number): Kind {
  const limit = 10n ** BigInt(precision) - 1n
  const cell = fc.oneof(fc.bigInt({ min: -limit, max: limit }), fc.bigInt({ min: -1000n < -limit ? -limit : -1000n, max: 9n }), fc.constantFrom(limit, -limit)).map(raw => ({ raw, value: canonicalInteger(raw) }))
  return fixed(`decimal${bits}(${precision},${scale})`, new Decimal(scale, precision, bits), `DECIMAL(${precision},${scale})`, bits / 8, (view, at, raw: bigint) => {
    for (let k = 0; k < bits; k += 32) view.setInt32(at + k / 8, Number(BigInt.asIntN(32, raw >> BigInt(k))), true)
  }, cell)
}

const small = fc.integer({ min: -100_000, max: 100_000 })
const single = fc.float({ noDefaultInfinity: false })

export const scalars: Kind[] = [
  { name: 'bool', type: new Bool(), table: 'BOOLEAN', cell: same(fc.boolean()), store: cells => column(cells, [bitmap(cells.map(cell => cell?.raw === true))]) },
  fixed('int8', new Int8(), 'TINYINT', 1, (view, at, raw: bigint) => view.setInt8(at, Number(raw)), integer(8, true)),
  fixed('int16', new Int16(), 'SMALLINT', 2, (view, at, raw: bigint) => view.setInt16(at, Number(raw), true), integer(16, true)),
  fixed('int32', new Int32(), 'INTEGER', 4, put32, integer(32, true)),
  fixed('int64', new Int64(), 'BIGINT', 8, put64, integer(64, true)),
  fixed('uint8', new Uint8(), 'UTINYINT', 1, (view, at, raw: bigint) => view.setUint8(at, Number(raw)), integer(8, false)),
  fixed('uint16', new Uint16(), 'USMALLINT', 2, (view, at, raw: bigint) => view.setUint16(at, Number(raw), true), integer(16, false)),
  fixed('uint32', new Uint32(), 'UINTEGER', 4, (view, at, raw: bigint) => view.setUint32(at, Number(raw), true), integer(32, false)),
  fixed('uint64', new Uint64(), 'UBIGINT', 8, (view, at, raw: bigint) => view.setBigUint64(at, raw, true), integer(64, false)),
  fixed('float16', new Float16(), 'FLOAT', 2, (view, at, raw: number) => view.setFloat16(at, raw, true), same(fc.oneof(single.map(Math.f16round), fc.constantFrom(-0, 0, 65504, 2 ** -24, NaN, Infinity)))),
  fixed('float32', new Float32(), 'FLOAT', 4, (view, at, raw: number) => view.setFloat32(at, raw, true), same(single)),
  fixed('float64', new Float64(), 'DOUBLE', 8, (view, at, raw: number) => view.setFloat64(at, raw, true), same(fc.double())),
  decimal(3, 1, 32), decimal(9, 0, 32), decimal(16, 2, 64), decimal(18, 18, 64), decimal(4, 2, 128), decimal(9, 4, 128), decimal(18, 3, 128), decimal(38, 10, 128), decimal(25, 25, 256), decimal(12, 2, 256),
  bytes('utf8', new Utf8(), 'VARCHAR', false, texts), bytes('largeUtf8', new LargeUtf8(), 'VARCHAR', true, texts), views('utf8View', new Utf8View(), 'VARCHAR', texts),
  bytes('binary', new Binary(), 'BLOB', false, binaries), bytes('largeBinary', new LargeBinary(), 'BLOB', true, binaries), views('binaryView', new BinaryView(), 'BLOB', binaries),
  fixed('fixedSizeBinary', new FixedSizeBinary(13), 'BLOB', 13, (view, at, raw: Buffer) => { for (let k = 0; k < 13; k++) view.setUint8(at + k, raw[k]!) },
    fc.uint8Array({ minLength: 13, maxLength: 13 }).map(raw => ({ raw: Buffer.from(raw), value: Buffer.from(raw).toString('latin1') }))),
  {
    ...fixed('uuid', new FixedSizeBinary(16), 'UUID', 16, (view, at, raw: Buffer) => { for (let k = 0; k < 16; k++) view.setUint8(at + k, raw[k]!) },
      fc.uuid().map(value => ({ raw: Buffer.from(value.replaceAll('-', ''), 'hex'), value }))),
    extension: 'arrow.uuid'
  },
  fixed('date32', new DateDay(), 'DATE', 4, (view, at, raw: number) => view.setInt32(at, raw, true), same(fc.integer({ min: -700_000, max: 2_900_000 }))),
  fixed('date64', new DateMillisecond(), 'DATE', 8, put64, small.map(days => ({ raw: BigInt(days) * 86_400_000n, value: days }))),
  fixed('date64 with times', new DateMillisecond(), 'TIMESTAMP_MS', 8, put64, small.map(value => ({ raw: BigInt(value) * 86_400_000n + 1n, value: (value * 86_400_000 + 1) * 1000 }))),
  ...[TimeUnit.SECOND, TimeUnit.MILLISECOND].map(unit => fixed(`time32[${unit}]`, new Time(unit, 32), 'TIME', 4, put32, clocks(unit))),
  ...[TimeUnit.MICROSECOND, TimeUnit.NANOSECOND].map(unit => fixed(`time64[${unit}]`, new Time(unit, 64), 'TIME', 8, put64, clocks(unit))),
  ...(['TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP', 'TIMESTAMP_NS'] as const).map((table, unit) => fixed(`timestamp[${unit}]`, new Timestamp(unit), table, 8, put64, moments(unit, true))),
  ...[0, 1, 2, 3].map(unit => fixed(`timestamp[${unit}, zone]`, new Timestamp(unit, 'Europe/Berlin'), 'TIMESTAMPTZ', 8, put64, moments(unit))),
  fixed('timestamp[ns, zone] inexact', new Timestamp(TimeUnit.NANOSECOND, 'UTC'), 'TIMESTAMP_NS', 8, put64, fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }).map(value => ({ raw: value * 1000n + 1n, value: canonicalInteger(value * 1000n + 1n) }))),
  ...[0, 1, 2, 3].map(unit => fixed(`duration[${unit}]`, new Duration(unit), 'INTERVAL', 8, put64, moments(unit).map(({ raw, value }) => ({ raw, value: `0/0/${value}` })))),
  fixed('interval[months]', new Interval(IntervalUnit.YEAR_MONTH), 'INTERVAL', 4, put32, small.map(months => ({ raw: BigInt(months), value: `${months}/0/0` }))),
  fixed('interval[days]', new Interval(IntervalUnit.DAY_TIME), 'INTERVAL', 8, (view, at, [days, millis]: [number, number]) => {
    view.setInt32(at, days, true)
    view.setInt32(at + 4, millis, true)
  }, fc.tuple(small, small).map(raw => ({ raw, value: `0/${raw[0]}/${raw[1] * 1000}` }))),
  fixed('interval[all]', new Interval(IntervalUnit.MONTH_DAY_NANO), 'INTERVAL', 16, (view, at, [months, days, micros]: [number, number, number]) => {
    view.setInt32(at, months, true)
    view.setInt32(at + 4, days, true)
    view.setBigInt64(at + 8, BigInt(micros) * 1000n, true)
  }, fc.tuple(small, small, small).map(raw => ({ raw, value: raw.join('/') })))
]

/** Encoded by a dictionary with every value twice, so that equal values have different indices. */
export function dictionaryKind (values: Kind, id: number, indices: Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16): Kind & { dictionary: Kind, id: number } {
  return { ...values, name: `dictionary of ${values.name}`, type: new Dictionary(values.type, indices as Int32, id), dictionary: values, id }
}

const cells = (kind: Kind): fc.Arbitrary<Cell> => fc.option(kind.cell, { freq: 4 })
const value = (cell: Cell): Parts => cell == null ? null : cell.value
export const field = (name: string, kind: Kind, nullable = true): Field => new Field(name, kind.type, nullable, new Map(kind.extension == null ? [] : [['ARROW:extension:name', kind.extension]]))

export function listKind (element: Kind, form: 'list' | 'largeList' | 'fixed'): Kind {
  const size = 2
  const type = form === 'list' ? new List(field('item', element)) : form === 'largeList' ? new LargeList(field('item', element)) : new FixedSizeList(size, field('item', element))
  return {
    name: `${form} of ${element.name}`, type, table: `${element.table}[]`,
    cell: fc.array(cells(element), form === 'fixed' ? { minLength: size, maxLength: size } : { maxLength: 4 }).map(raw => ({ raw, value: raw.map(value) })),
    store: rows => {
      const lists = rows.map(row => row == null ? (form === 'fixed' ? new Array<Cell>(size).fill(null) : []) : row.raw as Cell[])
      return column(rows, form === 'fixed' ? [] : [offsetsOf(lists.map(list => list.length), form === 'largeList')], [element.store(lists.flat())])
    }
  }
}

export function structKind (parts: Kind[]): Kind {
  const names = parts.map((_, i) => ['a', 'B "q"', 'ü'][i]!)
  return {
    name: `struct of ${parts.map(part => part.name).join(' and ')}`,
    type: new Struct(parts.map((part, i) => field(names[i]!, part))),
    table: `STRUCT(${parts.map((part, i) => `"${names[i]!.replaceAll('"', '""')}" ${part.table}`).join(', ')})`,
    cell: fc.tuple(...parts.map(cells)).map(raw => ({ raw, value: raw.map(value) })),
    store: rows => column(rows, [], parts.map((part, i) => part.store(rows.map(row => row == null ? null : (row.raw as Cell[])[i]!))))
  }
}

export function mapKind (key: Kind, element: Kind): Kind {
  return {
    name: `map of ${key.name} to ${element.name}`,
    type: new Map_(new Field('entries', new Struct<{ key: DataType, value: DataType }>([field('key', key, false), field('value', element)]), false)),
    table: `MAP(${key.table}, ${element.table})`,
    cell: fc.uniqueArray(fc.tuple(key.cell, cells(element)), { maxLength: 3, selector: ([k]) => String(k.value) }).map(raw => ({ raw, value: raw.map(([k, v]) => [k.value, value(v)]) })),
    store: rows => {
      const lists = rows.map(row => row == null ? [] : row.raw as Array<[Meant, Cell]>)
      const entries = lists.flat()
      const inside = { rows: entries.length, nulls: 0, buffers: [new Uint8Array(0)], children: [key.store(entries.map(([k]) => k)), element.store(entries.map(([, v]) => v))] }
      return column(rows, [offsetsOf(lists.map(list => list.length), false)], [inside])
    }
  }
}

export const nothing: Kind = { name: 'null', type: new Null(), table: 'VARCHAR', cell: fc.constant({ raw: null, value: null }), store: rows => ({ rows: rows.length, nulls: rows.length, buffers: [], children: [] }) }

/** A cell as the readers give it. */
export function canonical (cell: Cell): unknown {
  const meant = value(cell)
  return Array.isArray(meant) ? nestedText(meant) : meant
}
