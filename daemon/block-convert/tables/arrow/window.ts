/** Some consecutive rows of a record batch in memory, with the values of dictionaries in place of their indices where they are wanted. */
import { DataType, type Dictionary } from 'apache-arrow'
import { ConversionError } from '../../errors.ts'
import { Malformed } from './flatbuffer.ts'
import { fixedWidth, isBytes, isView, offsetWidth, type Column } from './layout.ts'
import { CHUNK_BYTES_MAX, DICTIONARY_BYTES_MAX } from './limits.ts'

/** Bits of a bitmap from some bit on. */
export interface Bits {
  bytes: Uint8Array
  at: number
}

export interface Loaded {
  type: DataType
  rows: number
  /** Absent: no value is NULL. */
  valid?: Bits
  /** Values of a fixed width, bits, text, or indices. */
  bytes: Uint8Array
  /** Of booleans: the bit of the first value. */
  bit: number
  /** Of lists, texts and binaries: `rows + 1` of them, the first 0, into `bytes` or the child. */
  offsets?: Int32Array | Float64Array
  children: Loaded[]
  /** Of dictionary-encoded columns. */
  dictionary?: Loaded[]
}

/** The dictionaries in force, each in the pieces in which it came. */
export class Dictionaries {
  readonly #values = new Map<string, Loaded[]>()
  #bytes = 0

  /** @throws Malformed, ConversionError `unsupported` */
  take (id: bigint, delta: boolean, column: Column): void {
    const loaded = load(column, 0, column.rows, this)
    this.#bytes += loaded.bytes.length
    if (this.#bytes > DICTIONARY_BYTES_MAX) throw new ConversionError('unsupported', `its dictionaries have more than ${DICTIONARY_BYTES_MAX} bytes; write it again without dictionaries`)
    const before = this.#values.get(String(id))
    if (delta && before == null) throw new Malformed('a dictionary is added to before there is one')
    if (delta) before!.push(loaded)
    else this.#values.set(String(id), [loaded])
  }

  get (id: number): Loaded[] {
    // A column of nulls may come without its dictionary.
    return this.#values.get(String(id)) ?? []
  }
}

/** Rows [from, to) of a column. @throws Malformed if offsets point outside */
export function load (column: Column, from: number, to: number, dictionaries: Dictionaries): Loaded {
  const { type } = column
  const rows = to - from
  const loaded: Loaded = { type, rows, bytes: NOTHING, bit: from % 8, children: [] }
  if (column.validity != null) loaded.valid = bits(column.validity.read(from >> 3, (to + 7) >> 3), from % 8)
  const width = fixedWidth(type)
  if (DataType.isNull(type)) {
    loaded.valid = bits(new Uint8Array((rows + 7) >> 3), 0)
  } else if (width != null) {
    loaded.bytes = column.values!.read(from * width, to * width)
    if (DataType.isDictionary(type)) loaded.dictionary = dictionaries.get((type as Dictionary).id)
  } else if (DataType.isBool(type)) {
    loaded.bytes = column.values!.read(from >> 3, (to + 7) >> 3)
  } else if (isView(type)) {
    loadViews(column, from, to, loaded)
  } else if (isBytes(type)) {
    const { first, last, offsets } = loadOffsets(column, from, to, column.values!.length)
    loaded.offsets = offsets
    loaded.bytes = column.values!.read(first, last)
  } else if (DataType.isFixedSizeList(type)) {
    loaded.children = [load(column.children[0]!, from * type.listSize, to * type.listSize, dictionaries)]
    loaded.offsets = Float64Array.from({ length: rows + 1 }, (_, i) => i * type.listSize)
  } else if (DataType.isStruct(type)) {
    loaded.children = column.children.map(child => load(child, from, to, dictionaries))
  } else {
    const { first, last, offsets } = loadOffsets(column, from, to, column.children[0]!.rows)
    loaded.offsets = offsets
    loaded.children = [load(column.children[0]!, first, last, dictionaries)]
  }
  return loaded
}

const NOTHING = new Uint8Array(0)
const bits = (bytes: Uint8Array, at: number): Bits => ({ bytes, at })

function loadOffsets (column: Column, from: number, to: number, end: number): { first: number, last: number, offsets: Int32Array | Float64Array } {
  const rows = to - from
  if (rows === 0) return { first: 0, last: 0, offsets: new Int32Array(1) }
  const width = offsetWidth(column.type)
  const bytes = column.offsets!.read(from * width, (to + 1) * width)
  let offsets: Int32Array | Float64Array
  // Changed below, so a copy.
  if (width === 4) offsets = new Int32Array(new Int32Array(bytes.buffer, bytes.byteOffset, rows + 1))
  else {
    const wide = new BigInt64Array(bytes.buffer, bytes.byteOffset, rows + 1)
    offsets = new Float64Array(rows + 1)
    for (let i = 0; i <= rows; i++) offsets[i] = Number(wide[i])
  }
  const begin = offsets[0] as number
  let before = begin
  for (let i = 0; i <= rows; i++) {
    const offset = offsets[i] as number
    if (offset < before) throw new Malformed('offsets of a column go backwards')
    before = offset
    offsets[i] = offset - begin
  }
  const first = begin - column.base
  const last = before - column.base
  if (first < 0 || last > end) throw new Malformed('offsets of a column point outside of its values')
  return { first, last, offsets }
}

/** Views are made texts one behind the other. */
function loadViews (column: Column, from: number, to: number, loaded: Loaded): void {
  const rows = to - from
  const bytes = column.values!.read(from * 16, to * 16)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const offsets = new Float64Array(rows + 1)
  for (let i = 0; i < rows; i++) {
    // What stands at a NULL means nothing.
    const length = isValid(loaded.valid, i) ? view.getInt32(i * 16, true) : 0
    if (length < 0) throw new Malformed('a view of negative length')
    offsets[i + 1] = (offsets[i] as number) + length
  }
  const total = offsets[rows] as number
  if (total > CHUNK_BYTES_MAX) throw tooLong()
  const text = new Uint8Array(total)
  for (let i = 0; i < rows; i++) {
    const length = (offsets[i + 1] as number) - (offsets[i] as number)
    if (length <= 12) {
      text.set(bytes.subarray(i * 16 + 4, i * 16 + 4 + length), offsets[i])
      continue
    }
    const buffer = column.buffers[view.getInt32(i * 16 + 8, true)]
    const start = view.getInt32(i * 16 + 12, true)
    if (buffer == null || start < 0 || start + length > buffer.length) throw new Malformed('a view points outside of its buffers')
    text.set(buffer.read(start, start + length), offsets[i])
  }
  loaded.offsets = offsets
  loaded.bytes = text
}

function tooLong (): ConversionError {
  return new ConversionError('unsupported', `some consecutive values of a column have more than ${CHUNK_BYTES_MAX} bytes together`)
}

export function isValid (valid: Bits | undefined, row: number): boolean {
  if (valid == null) return true
  const bit = valid.at + row
  return ((valid.bytes[bit >> 3] as number) >> (bit & 7) & 1) === 1
}

/** Rows [at, at + count) of a dictionary-encoded column as values. @throws Malformed for an index there is no value of */
export function decoded (loaded: Loaded, at: number, count: number): Loaded {
  const pieces = loaded.dictionary!
  const indices = indexReader(loaded)
  const found = new Array<Loaded | undefined>(count)
  const places = new Int32Array(count)
  const valid = new Uint8Array((count + 7) >> 3)
  for (let i = 0; i < count; i++) {
    if (!isValid(loaded.valid, at + i)) continue
    let index = indices(at + i)
    let piece = 0
    while (piece < pieces.length && index >= pieces[piece]!.rows) index -= pieces[piece++]!.rows
    const values = pieces[piece]
    if (values == null || index < 0) throw new Malformed('an index into a dictionary is outside of it')
    if (!isValid(values.valid, index)) continue
    found[i] = values
    places[i] = index
    valid[i >> 3]! |= 1 << (i & 7)
  }
  const type = (loaded.type as Dictionary).dictionary as DataType
  const result: Loaded = { type, rows: count, valid: bits(valid, 0), bytes: NOTHING, bit: 0, children: [] }
  const width = fixedWidth(type)
  if (width != null) {
    result.bytes = new Uint8Array(count * width)
    for (let i = 0; i < count; i++) if (found[i] != null) result.bytes.set(found[i]!.bytes.subarray(places[i]! * width, (places[i]! + 1) * width), i * width)
  } else if (DataType.isBool(type)) {
    result.bytes = new Uint8Array((count + 7) >> 3)
    for (let i = 0; i < count; i++) if (found[i] != null && isValid(bits(found[i]!.bytes, found[i]!.bit), places[i]!)) result.bytes[i >> 3]! |= 1 << (i & 7)
  } else if (!DataType.isNull(type)) gatherBytes(result, found, places)
  return result
}

function gatherBytes (result: Loaded, found: Array<Loaded | undefined>, places: Int32Array): void {
  const offsets = new Float64Array(result.rows + 1)
  for (let i = 0; i < result.rows; i++) {
    const values = found[i]
    const length = values == null ? 0 : (values.offsets![places[i]! + 1] as number) - (values.offsets![places[i]!] as number)
    offsets[i + 1] = (offsets[i] as number) + length
  }
  const total = offsets[result.rows] as number
  if (total > CHUNK_BYTES_MAX) throw tooLong()
  const text = new Uint8Array(total)
  for (let i = 0; i < result.rows; i++) {
    const values = found[i]
    if (values != null) text.set(values.bytes.subarray(values.offsets![places[i]!], values.offsets![places[i]! + 1]), offsets[i])
  }
  result.offsets = offsets
  result.bytes = text
}

function indexReader ({ type, bytes }: Loaded): (row: number) => number {
  const { indices } = type as Dictionary
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (indices.bitWidth) {
    case 8: return indices.isSigned ? row => view.getInt8(row) : row => view.getUint8(row)
    case 16: return indices.isSigned ? row => view.getInt16(row * 2, true) : row => view.getUint16(row * 2, true)
    case 32: return indices.isSigned ? row => view.getInt32(row * 4, true) : row => view.getUint32(row * 4, true)
    default: return row => Number(view.getBigInt64(row * 8, true))
  }
}
