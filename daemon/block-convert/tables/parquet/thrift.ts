/**
 * The Thrift compact protocol, as far as Parquet uses it: bytes to a tree of fields and back, without loss, for structs we
 * know only in part. Fields keep their order and their wire types, so an unknown field survives a round trip.
 *
 * What is read may come from anybody: depth, sizes and counts are bounded, and whatever is malformed throws a
 * ConversionError `bad-input`.
 */
import { ConversionError } from '../../errors.ts'
import { THRIFT_DEPTH_MAX, THRIFT_NODES_MAX } from './limits.ts'

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
