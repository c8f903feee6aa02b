/**
 * The Thrift compact protocol, as far as Parquet uses it: bytes to a tree of fields and back, without loss, for structs we
 * know only in part. Fields keep their order and their wire types, so an unknown field survives a round trip.
 *
 * What is read may come from anybody: depth, sizes and counts are bounded, and whatever is malformed throws a
 * ConversionError `bad-input`.
 */
import { ConversionError } from '../errors.ts'
import { THRIFT_DEPTH_MAX, THRIFT_NODES_MAX } from './parquet-limits.ts'

/** Wire types of the compact protocol. */
export const T = {
  TRUE: 1,
  FALSE: 2,
  BYTE: 3,
  I16: 4,
  I32: 5,
  I64: 6,
  DOUBLE: 7,
  BINARY: 8,
  LIST: 9,
  SET: 10,
  MAP: 11,
  STRUCT: 12,
  UUID: 13
} as const

export interface ThriftField {
  id: number
  /** One of `T`. */
  type: number
  value: ThriftValue
}

export interface ThriftStruct { fields: ThriftField[] }

export interface ThriftList {
  /** Wire type of the elements. Booleans and bytes are kept as one Uint8Array, one byte each. */
  elements: number
  values: ThriftValue[] | Uint8Array
}

export interface ThriftMap { keys: number, values: number, entries: Array<[ThriftValue, ThriftValue]> }

/** boolean; number for BYTE, I16 and I32; bigint for I64; Uint8Array for BINARY, UUID and DOUBLE (8 bytes, untouched). */
export type ThriftValue = boolean | number | bigint | Uint8Array | ThriftStruct | ThriftList | ThriftMap

const I32_MAX = 2 ** 31

function malformed (what: string): never {
  throw new ConversionError('bad-input', `malformed Thrift data: ${what}`)
}

class Parser {
  readonly bytes: Uint8Array
  position: number
  nodes = 0

  constructor (bytes: Uint8Array, position: number) {
    this.bytes = bytes
    this.position = position
  }

  byte (): number {
    const value = this.bytes[this.position++]
    if (value === undefined) malformed('it ends too early')
    return value
  }

  take (length: number): Uint8Array {
    if (length > this.bytes.length - this.position) malformed(`${length} bytes announced, ${this.bytes.length - this.position} left`)
    this.position += length
    return this.bytes.subarray(this.position - length, this.position)
  }

  /** An unsigned varint of at most 32 bits. */
  varint (): number {
    let result = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      result += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (result > 0xffffffff) malformed('a number beyond 32 bits')
        return result
      }
    }
    return malformed('a number longer than 5 bytes')
  }

  zigzag (): number {
    const value = this.varint()
    return (value >>> 1) ^ -(value & 1)
  }

  zigzagLong (): bigint {
    // most numbers are small: two 28-bit halves without BigInt arithmetic per byte
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte()
      if (shift < 28) low += (byte & 0x7f) * 2 ** shift
      else if (shift < 63) high += (byte & 0x7f) * 2 ** (shift - 28)
      else if (byte > 1) malformed('a number beyond 64 bits')
      else high += byte * 2 ** 35
      if (byte < 0x80) {
        const value = high === 0 ? BigInt(low) : BigInt(low) + (BigInt(high) << 28n)
        return (value >> 1n) ^ -(value & 1n)
      }
    }
    return malformed('a number longer than 10 bytes')
  }

  /** An announced number of elements; each takes at least one byte, so more than that is a lie. */
  count (value: number): number {
    if (value > this.bytes.length - this.position) malformed(`${value} elements announced, ${this.bytes.length - this.position} bytes left`)
    return value
  }

  value (type: number, depth: number): ThriftValue {
    if (++this.nodes > THRIFT_NODES_MAX) malformed(`more than ${THRIFT_NODES_MAX} values`)
    switch (type) {
      case T.TRUE: return true
      case T.FALSE: return false
      case T.BYTE: return this.byte()
      case T.I16: {
        const value = this.zigzag()
        if (value < -32768 || value > 32767) malformed('a number beyond 16 bits')
        return value
      }
      case T.I32: return this.zigzag()
      case T.I64: return this.zigzagLong()
      case T.DOUBLE: return this.take(8)
      case T.BINARY: return this.take(this.varint())
      case T.UUID: return this.take(16)
      case T.LIST:
      case T.SET: return this.list(depth)
      case T.MAP: return this.map(depth)
      case T.STRUCT: return this.struct(depth + 1)
      default: return malformed(`unknown type ${type}`)
    }
  }

  list (depth: number): ThriftList {
    const header = this.byte()
    const elements = header & 0x0f
    const size = this.count(header >> 4 === 15 ? this.varint() : header >> 4)
    if (elements <= T.BYTE) {
      if (elements === 0) malformed('a list of type 0')
      return { elements, values: this.take(size) }
    }
    if (depth >= THRIFT_DEPTH_MAX) malformed(`nested deeper than ${THRIFT_DEPTH_MAX}`)
    const values: ThriftValue[] = []
    for (let i = 0; i < size; i++) values.push(this.value(elements, depth + 1))
    return { elements, values }
  }

  map (depth: number): ThriftMap {
    const size = this.count(this.varint())
    if (size === 0) return { keys: 0, values: 0, entries: [] }
    if (depth >= THRIFT_DEPTH_MAX) malformed(`nested deeper than ${THRIFT_DEPTH_MAX}`)
    const types = this.byte()
    const keys = types >> 4
    const values = types & 0x0f
    const entries: Array<[ThriftValue, ThriftValue]> = []
    for (let i = 0; i < size; i++) entries.push([this.element(keys, depth + 1), this.element(values, depth + 1)])
    return { keys, values, entries }
  }

  /** Inside maps a boolean takes a byte. */
  element (type: number, depth: number): ThriftValue {
    return type === T.TRUE || type === T.FALSE ? this.byte() : this.value(type, depth)
  }

  struct (depth: number): ThriftStruct {
    if (depth > THRIFT_DEPTH_MAX) malformed(`nested deeper than ${THRIFT_DEPTH_MAX}`)
    const fields: ThriftField[] = []
    let id = 0
    for (;;) {
      const header = this.byte()
      if (header === 0) return { fields }
      const type = header & 0x0f
      id = header >> 4 === 0 ? this.zigzag() : id + (header >> 4)
      if (id < -32768 || id > 32767) malformed(`field id ${id}`)
      fields.push({ id, type, value: this.value(type, depth) })
    }
  }
}

/**
 * Reads one struct. `end` is the position after it: page headers are followed by data.
 *
 * @throws ConversionError `bad-input`
 */
export function parseThrift (bytes: Uint8Array, position = 0): { struct: ThriftStruct, end: number } {
  const parser = new Parser(bytes, position)
  const struct = parser.struct(1)
  return { struct, end: parser.position }
}

class Writer {
  bytes = new Uint8Array(4096)
  length = 0

  reserve (more: number): void {
    if (this.length + more <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  byte (value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  raw (value: Uint8Array): void {
    this.reserve(value.length)
    this.bytes.set(value, this.length)
    this.length += value.length
  }

  varint (value: number): void {
    while (value > 0x7f) {
      this.byte((value & 0x7f) | 0x80)
      value = Math.floor(value / 128)
    }
    this.byte(value)
  }

  zigzag (value: number): void {
    if (value < -I32_MAX || value >= I32_MAX) throw new RangeError(`${value} is not a 32 bit integer`)
    this.varint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  zigzagLong (value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
    while (rest > 0xffffffffn) {
      this.byte(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    this.varint(Number(rest))
  }

  listHeader (elements: number, size: number): void {
    if (size < 15) this.byte((size << 4) | elements)
    else {
      this.byte(0xf0 | elements)
      this.varint(size)
    }
  }

  value (type: number, value: ThriftValue): void {
    switch (type) {
      case T.TRUE:
      case T.FALSE: return
      case T.BYTE: return this.byte(value as number)
      case T.I16:
      case T.I32: return this.zigzag(value as number)
      case T.I64: return this.zigzagLong(value as bigint)
      case T.DOUBLE:
      case T.UUID: return this.raw(value as Uint8Array)
      case T.BINARY: {
        this.varint((value as Uint8Array).length)
        return this.raw(value as Uint8Array)
      }
      case T.LIST:
      case T.SET: {
        const list = value as ThriftList
        this.listHeader(list.elements, list.values.length)
        if (list.values instanceof Uint8Array) this.raw(list.values)
        else for (const element of list.values) this.value(list.elements, element)
        return
      }
      case T.MAP: {
        const map = value as ThriftMap
        this.varint(map.entries.length)
        if (map.entries.length === 0) return
        this.byte((map.keys << 4) | map.values)
        for (const [key, entry] of map.entries) {
          this.element(map.keys, key)
          this.element(map.values, entry)
        }
        return
      }
      case T.STRUCT: return this.struct(value as ThriftStruct)
      default: throw new RangeError(`unknown Thrift type ${type}`)
    }
  }

  element (type: number, value: ThriftValue): void {
    if (type === T.TRUE || type === T.FALSE) this.byte(value as number)
    else this.value(type, value)
  }

  fieldHeader (id: number, last: number, type: number): void {
    const delta = id - last
    if (delta > 0 && delta < 16) this.byte((delta << 4) | type)
    else {
      this.byte(type)
      this.zigzag(id)
    }
  }

  struct (struct: ThriftStruct): void {
    let last = 0
    for (const { id, type, value } of struct.fields) {
      // the type of a boolean field is its value
      this.fieldHeader(id, last, typeof value === 'boolean' ? (value ? T.TRUE : T.FALSE) : type)
      this.value(type, value)
      last = id
    }
    this.byte(0)
  }

  done (): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }
}

export function serializeThrift (struct: ThriftStruct): Uint8Array {
  const writer = new Writer()
  writer.struct(struct)
  return writer.done()
}

/**
 * Writes a struct in which one list field is given as elements that are serialised already: a merged footer has too many
 * row groups to hold them all as trees. The field must be present in `struct`; its own value is not looked at.
 */
export function serializeThriftWith (struct: ThriftStruct, field: number, elements: Uint8Array[]): Uint8Array {
  const writer = new Writer()
  let last = 0
  for (const { id, type, value } of struct.fields) {
    writer.fieldHeader(id, last, typeof value === 'boolean' ? (value ? T.TRUE : T.FALSE) : type)
    if (id === field) {
      writer.listHeader(T.STRUCT, elements.length)
      for (const element of elements) writer.raw(element)
    } else writer.value(type, value)
    last = id
  }
  writer.byte(0)
  return writer.done()
}

export function getField (struct: ThriftStruct, id: number): ThriftField | undefined {
  return struct.fields.find(field => field.id === id)
}

/** Sets a field's value, adding the field in order of ids if it is not there. */
export function setField (struct: ThriftStruct, id: number, type: number, value: ThriftValue): void {
  const field = getField(struct, id)
  if (field != null) {
    field.type = type
    field.value = value
    return
  }
  const after = struct.fields.findIndex(field => field.id > id)
  struct.fields.splice(after < 0 ? struct.fields.length : after, 0, { id, type, value })
}

export function dropFields (struct: ThriftStruct, ids: number[]): void {
  struct.fields = struct.fields.filter(field => !ids.includes(field.id))
}
