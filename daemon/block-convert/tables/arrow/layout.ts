/** Where the buffers of a record batch's columns are: checked against its body before anything of it is read. */
import { DataType, DateUnit, IntervalUnit, Precision, type Dictionary, type Field } from 'apache-arrow'
import { ConversionError } from '../../errors.ts'
import type { RandomAccess } from '../random-access.ts'
import { Unpacker } from './compression.ts'
import { Malformed } from './flatbuffer.ts'
import type { BatchHead } from './metadata.ts'

/** Bytes of one buffer, read as they are needed. */
export interface Region {
  length: number
  /** Where it is in the file, if it stands there as it is. */
  start?: number
  /** Bytes [from, to), which begin where typed arrays can be laid over them. */
  read: (from: number, to: number) => Uint8Array
}

export interface Column {
  type: DataType
  rows: number
  nulls: number
  /** Present where there are nulls. */
  validity?: Region
  /** Of lists, maps, texts and binaries. */
  offsets?: Region
  /** What the first of the values is called by the offsets. */
  base: number
  /** Values, bits, indices into the dictionary, text, or views. */
  values?: Region
  /** Of views: where longer values are. */
  buffers: Region[]
  children: Column[]
}

/** Where a record batch's buffers are read from. */
export class Body {
  readonly #file: RandomAccess
  readonly #offset: number
  readonly #length: number
  readonly #unpacker: Unpacker | undefined

  constructor (file: RandomAccess, offset: number, length: number, codec: BatchHead['codec']) {
    this.#file = file
    this.#offset = offset
    this.#length = length
    this.#unpacker = codec == null ? undefined : new Unpacker(codec)
  }

  /** @throws Malformed for a buffer outside of the body */
  region (offset: number, length: number): Region {
    if (offset + length > this.#length) throw new Malformed('a buffer lies outside of its record batch')
    const start = this.#offset + offset
    if (this.#unpacker == null) return { length, start, read: (from, to) => aligned(this.#file.read(start + from, to - from)) }
    const { size, bytes } = this.#unpacker.buffer(length, (from, to) => this.#file.read(start + from, to - from))
    return { length: size, read: (from, to) => aligned(bytes().subarray(from, to)) }
  }
}

/** A buffer that is shared has its bytes anywhere. */
function aligned (bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 16 === 0 ? bytes : new Uint8Array(bytes)
}

/**
 * The columns of a record batch, nested ones in their parents.
 *
 * @throws Malformed if nodes, buffers and types do not go together, or a buffer is too small for its rows
 */
export function columnsOf (head: BatchHead, fields: Field[], body: Body): Column[] {
  const walker = new Walker(head, body)
  const columns = fields.map(field => walker.column(field.type as DataType, head.rows))
  walker.end()
  return columns
}

class Walker {
  readonly #head: BatchHead
  readonly #body: Body
  #node = 0
  #buffer = 0
  #views = 0

  constructor (head: BatchHead, body: Body) {
    this.#head = head
    this.#body = body
  }

  /** All nodes and buffers have their column. */
  end (): void {
    if (this.#node !== this.#head.nodes.length || this.#buffer !== this.#head.buffers.length) throw new Malformed('a record batch has more columns than the schema')
  }

  column (type: DataType, rows?: number): Column {
    if (this.#node >= this.#head.nodes.length) throw new Malformed('a record batch has fewer columns than the schema')
    const length = this.#head.nodes[this.#node++] as number
    const nulls = this.#head.nodes[this.#node++] as number
    if (rows != null && length !== rows) throw new Malformed(`a column has ${length} values for ${rows} rows`)
    if (nulls > length) throw new Malformed(`a column has ${nulls} nulls in ${length} values`)
    const column: Column = { type, rows: length, nulls, base: 0, buffers: [], children: [] }
    if (DataType.isNull(type)) return column
    const validity = this.#region()
    if (nulls > 0) {
      requireBytes(validity, Math.ceil(length / 8))
      column.validity = validity
    }
    this.#content(column)
    return column
  }

  #content (column: Column): void {
    const { type, rows } = column
    const width = fixedWidth(type)
    if (width != null) {
      column.values = requireBytes(this.#region(), rows * width)
    } else if (DataType.isBool(type)) {
      column.values = requireBytes(this.#region(), Math.ceil(rows / 8))
    } else if (isView(type)) {
      column.values = requireBytes(this.#region(), rows * 16)
      const count = this.#head.variadic[this.#views++] ?? 0
      if (count > this.#head.buffers.length) throw new Malformed('a column of views has more buffers than its record batch')
      for (let i = 0; i < count; i++) column.buffers.push(this.#region())
    } else if (isBytes(type)) {
      column.offsets = requireOffsets(this.#region(), rows, offsetWidth(type))
      column.values = this.#region()
      if (this.#head.cut && rows > 0) column.base = readOffset(column, 0)
    } else if (DataType.isFixedSizeList(type)) {
      column.children.push(this.column(type.children[0]!.type as DataType, rows * type.listSize))
    } else if (DataType.isStruct(type)) {
      for (const child of type.children) column.children.push(this.column(child.type as DataType, rows))
    } else if (DataType.isList(type) || DataType.isLargeList(type) || DataType.isMap(type)) {
      column.offsets = requireOffsets(this.#region(), rows, offsetWidth(type))
      column.children.push(this.column((type.children[0] as Field).type as DataType))
    } else throw new ConversionError('unsupported', `values of type ${String(type)} are not supported`)
  }

  #region (): Region {
    const { buffers } = this.#head
    if (this.#buffer >= buffers.length) throw new Malformed('a record batch has fewer buffers than its columns need')
    const offset = buffers[this.#buffer++] as number
    return this.#body.region(offset, buffers[this.#buffer++] as number)
  }
}

/** One of a column's offsets. */
export function readOffset ({ type, offsets }: Column, at: number): number {
  const width = offsetWidth(type)
  const bytes = offsets!.read(at * width, (at + 1) * width)
  const view = new DataView(bytes.buffer, bytes.byteOffset, width)
  return width === 4 ? view.getInt32(0, true) : Number(view.getBigInt64(0, true))
}

function requireBytes (region: Region, bytes: number): Region {
  if (region.length < bytes) throw new Malformed(`a buffer has ${region.length} bytes where ${bytes} are needed`)
  return region
}

/** A column without rows may come without its single offset. */
function requireOffsets (region: Region, rows: number, width: number): Region {
  return rows === 0 ? region : requireBytes(region, (rows + 1) * width)
}

export function isView (type: DataType): boolean {
  return DataType.isUtf8View(type) || DataType.isBinaryView(type)
}

/** Texts and binaries with offsets. */
export function isBytes (type: DataType): boolean {
  return DataType.isUtf8(type) || DataType.isLargeUtf8(type) || DataType.isBinary(type) || DataType.isLargeBinary(type)
}

export function offsetWidth (type: DataType): 4 | 8 {
  return DataType.isLargeUtf8(type) || DataType.isLargeBinary(type) || DataType.isLargeList(type) ? 8 : 4
}

/** Bytes of a value, where all have the same whole number of them. Of a dictionary: of its indices. */
export function fixedWidth (type: DataType): number | undefined {
  if (DataType.isDictionary(type)) return (type as Dictionary).indices.bitWidth / 8
  if (DataType.isInt(type) || DataType.isTime(type) || DataType.isDecimal(type)) return type.bitWidth / 8
  if (DataType.isFloat(type)) return type.precision === Precision.DOUBLE ? 8 : type.precision === Precision.SINGLE ? 4 : 2
  if (DataType.isDate(type)) return type.unit === DateUnit.DAY ? 4 : 8
  if (DataType.isTimestamp(type) || DataType.isDuration(type)) return 8
  if (DataType.isInterval(type)) return type.unit === IntervalUnit.YEAR_MONTH ? 4 : type.unit === IntervalUnit.DAY_TIME ? 8 : 16
  if (DataType.isFixedSizeBinary(type)) return type.byteWidth
  return undefined
}
