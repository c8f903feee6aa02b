/** The writing half of thrift.ts: a tree of fields to bytes of the compact protocol, every field with the wire type it was read with. */
import { T, type ThriftList, type ThriftMap, type ThriftStruct, type ThriftValue } from './thrift.ts'

const I32_MAX = 2 ** 31

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
