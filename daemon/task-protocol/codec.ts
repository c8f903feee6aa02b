/**
 * Protobuf messages from a table of fields. Each field has a limit that is checked before anything is allocated for it;
 * unknown fields are skipped; a field that may come once and comes twice, a number outside its range and a length beyond
 * its limit are ProtocolErrors.
 */
import { ProtocolError } from './errors.ts'
import { BYTES, Reader, VARINT, Writer } from './wire.ts'

export interface Codec<T> {
  readonly name: string
  /** The table it was made from, by key. */
  readonly fields: Readonly<Record<string, Field>>
  encode: (message: T) => Uint8Array
  /** Throws ProtocolError. Byte fields are views into `bytes`. */
  decode: (bytes: Uint8Array) => T
  /** Appends the message without a length in front. Throws ProtocolError if a field is outside its limits. */
  write: (writer: Writer, message: T) => void
  /** Reads a message that ends at `reader.end`. */
  read: (reader: Reader) => T
}

interface FieldBase {
  number: number
  /** Absent means undefined, and only undefined is left out. Otherwise 0, '', false and no bytes are left out. */
  optional?: boolean
  /** At most this many; the field is an array then. */
  repeated?: number
  /** Its absence is an error (texts, bytes and messages; not for numbers, whose absence is 0). */
  required?: boolean
}

export type Field =
  | FieldBase & { type: 'uint', max: number }
  | FieldBase & { type: 'bool' }
  | FieldBase & { type: 'bytes', max: number, exact?: boolean }
  | FieldBase & { type: 'string', max: number }
  | FieldBase & { type: 'enum', values: readonly string[] }
  | FieldBase & { type: 'message', codec: Codec<any>, max: number }

export type Fields<T> = { [K in keyof Required<T>]: Field }

interface Slot {
  name: string
  field: Field
  tag: number
  repeated: boolean
  /** Bytes of the length in front of the last submessage: mostly right for the next one. */
  prefix: number
}

type Fieldset = Record<string, unknown>

/** Builds a codec. Fields are written in the order of their numbers, so equal messages have equal bytes. */
export function message<T extends object> (name: string, fields: Fields<T>): Codec<T> {
  const slots: Slot[] = Object.entries<Field>(fields)
    .map(([key, field]) => ({
      name: key,
      field,
      tag: field.number * 8 + (field.type === 'uint' || field.type === 'bool' || field.type === 'enum' ? VARINT : BYTES),
      repeated: field.repeated != null,
      prefix: 1
    }))
    .toSorted((a, b) => a.field.number - b.field.number)
  const byNumber: Array<Slot | undefined> = []
  for (const slot of slots) byNumber[slot.field.number] = slot
  return new TableCodec<T>(name, fields, slots, byNumber)
}

class TableCodec<T extends object> implements Codec<T> {
  readonly name: string
  readonly fields: Readonly<Record<string, Field>>
  private readonly slots: Slot[]
  private readonly byNumber: Array<Slot | undefined>

  constructor (name: string, fields: Readonly<Record<string, Field>>, slots: Slot[], byNumber: Array<Slot | undefined>) {
    this.name = name
    this.fields = fields
    this.slots = slots
    this.byNumber = byNumber
  }

  encode (value: T): Uint8Array {
    const writer = new Writer()
    this.write(writer, value)
    return writer.take()
  }

  decode (bytes: Uint8Array): T {
    return this.read(new Reader(bytes))
  }

  write (writer: Writer, value: T): void {
    for (const slot of this.slots) {
      const item = (value as Fieldset)[slot.name]
      if (slot.repeated) {
        const items = item as unknown[]
        if (items.length > slot.field.repeated!) throw this.error('too-large', slot, `${items.length} entries, at most ${slot.field.repeated}`)
        for (const one of items) this.writeField(writer, slot, one)
      } else if (slot.field.optional === true) {
        if (item !== undefined) this.writeField(writer, slot, item)
      } else if (!isDefault(slot.field, item)) {
        this.writeField(writer, slot, item)
      } else if (slot.field.required === true) {
        throw this.error('missing', slot, 'must be there')
      }
    }
  }

  private writeField (writer: Writer, slot: Slot, item: unknown): void {
    const field = slot.field
    switch (field.type) {
      case 'uint':
        if (!Number.isInteger(item) || (item as number) < 0 || (item as number) > field.max) throw this.error('too-large', slot, `${String(item)} is not an integer from 0 to ${field.max}`)
        writer.varint(slot.tag)
        writer.varint(item as number)
        return
      case 'bool':
        writer.varint(slot.tag)
        writer.varint(item === true ? 1 : 0)
        return
      case 'enum': {
        const index = field.values.indexOf(item as string)
        if (index < 0) throw this.error('malformed', slot, `'${String(item)}' is none of its values`)
        writer.varint(slot.tag)
        writer.varint(index + 1)
        return
      }
      case 'bytes': {
        const bytes = item as Uint8Array
        this.checkBytes(slot, field, bytes.length)
        writer.varint(slot.tag)
        writer.bytes(bytes)
        return
      }
      case 'string': {
        // one UTF-16 unit takes at most three bytes: counting is needed only near the limit
        const text = item as string
        if (text.length * 3 > field.max && Buffer.byteLength(text) > field.max) throw this.error('too-large', slot, `more than ${field.max} bytes`)
        writer.varint(slot.tag)
        writer.string(text)
        return
      }
      case 'message': {
        writer.varint(slot.tag)
        const prefix = slot.prefix
        const mark = writer.begin(prefix)
        const before = writer.length
        field.codec.write(writer, item)
        const length = writer.length - before
        if (length > field.max) throw this.error('too-large', slot, `${length} bytes, at most ${field.max}`)
        slot.prefix = writer.end(mark, prefix)
      }
    }
  }

  read (reader: Reader): T {
    const value: Fieldset = {}
    for (const slot of this.slots) value[slot.name] = slot.repeated ? [] : slot.field.optional === true ? undefined : defaultOf(slot.field)
    // a bit per field seen; tables have fewer than 32 fields
    let seen = 0
    while (reader.at < reader.end) {
      const tag = reader.varint()
      const number = Math.floor(tag / 8)
      if (number === 0 || tag > 0xffffffff) throw new ProtocolError('malformed', `${this.name}: field number ${number}`)
      const slot = this.byNumber[number]
      if (slot == null) {
        reader.skip(tag % 8)
        continue
      }
      if (slot.tag !== tag) throw this.error('malformed', slot, `wire type ${tag % 8}`)
      if (slot.repeated) {
        const items = value[slot.name] as unknown[]
        if (items.length >= slot.field.repeated!) throw this.error('too-large', slot, `more than ${slot.field.repeated} entries`)
        items.push(this.readField(reader, slot))
        continue
      }
      const bit = 1 << number
      if ((seen & bit) !== 0) throw this.error('duplicate', slot, 'came twice')
      seen |= bit
      value[slot.name] = this.readField(reader, slot)
    }
    for (const slot of this.slots) {
      if (slot.field.required === true && (seen & (1 << slot.field.number)) === 0) throw this.error('missing', slot, 'must be there')
    }
    return value as T
  }

  private readField (reader: Reader, slot: Slot): unknown {
    const field = slot.field
    switch (field.type) {
      case 'uint': {
        const value = reader.varint()
        if (value > field.max) throw this.error('too-large', slot, `${value}, at most ${field.max}`)
        return value
      }
      case 'bool': {
        const value = reader.varint()
        if (value > 1) throw this.error('malformed', slot, `${value} is neither 0 nor 1`)
        return value === 1
      }
      case 'enum': {
        const value = field.values[reader.varint() - 1]
        if (value == null) throw this.error('malformed', slot, 'not one of its values')
        return value
      }
      case 'bytes': {
        const bytes = reader.bytes(field.max)
        this.checkBytes(slot, field, bytes.length)
        return bytes
      }
      case 'string': return reader.string(field.max)
      case 'message': {
        const length = reader.length(field.max)
        const end = reader.end
        reader.end = reader.at + length
        const value = field.codec.read(reader)
        reader.end = end
        return value
      }
    }
  }

  private checkBytes (slot: Slot, field: Field & { type: 'bytes' }, length: number): void {
    if (length > field.max) throw this.error('too-large', slot, `${length} bytes, at most ${field.max}`)
    if (field.exact === true && length !== field.max) throw this.error('malformed', slot, `${length} bytes instead of ${field.max}`)
  }

  private error (code: 'too-large' | 'malformed' | 'missing' | 'duplicate', slot: Slot, what: string): ProtocolError {
    return new ProtocolError(code, `${this.name}.${slot.name}: ${what}`)
  }
}

function isDefault (field: Field, item: unknown): boolean {
  switch (field.type) {
    case 'uint': return item === 0
    case 'bool': return item === false
    case 'string': return item === ''
    case 'bytes': return (item as Uint8Array).length === 0
    default: return item === undefined
  }
}

const NO_BYTES = new Uint8Array(0)

function defaultOf (field: Field): unknown {
  switch (field.type) {
    case 'uint': return 0
    case 'bool': return false
    case 'string': return ''
    case 'bytes': return NO_BYTES
    default: return undefined
  }
}

/** One of several messages, told apart by its field number: a Protobuf `oneof` with exactly one field set. */
export interface OneOf<M extends { type: string }> {
  readonly name: string
  readonly kinds: Kinds<M>
  encode: (message: M) => Uint8Array
  /** undefined for a kind this version does not know. Throws ProtocolError. */
  decode: (bytes: Uint8Array) => M | undefined
  write: (writer: Writer, message: M) => void
  read: (reader: Reader) => M | undefined
}

export type Kinds<M extends { type: string }> = { [K in M['type']]: { number: number, codec: Codec<any>, max: number } }

interface Kind { type: string, tag: number, codec: Codec<any>, max: number, prefix: number }

/** Builds the codec of a union whose members carry their kind in `type`. */
export function oneOf<M extends { type: string }> (name: string, kinds: Kinds<M>): OneOf<M> {
  const byType = new Map<string, Kind>()
  const byTag = new Map<number, Kind>()
  for (const [type, { number, codec, max }] of Object.entries<Kinds<M>[M['type']]>(kinds)) {
    const kind: Kind = { type, tag: number * 8 + BYTES, codec, max, prefix: 1 }
    byType.set(type, kind)
    byTag.set(kind.tag, kind)
  }
  const write = (writer: Writer, value: M): void => {
    const kind = byType.get(value.type)
    if (kind == null) throw new ProtocolError('unexpected', `${name}: no kind '${value.type}'`)
    writer.varint(kind.tag)
    const mark = writer.begin(kind.prefix)
    const before = writer.length
    kind.codec.write(writer, value)
    const length = writer.length - before
    if (length > kind.max) throw new ProtocolError('too-large', `${name}.${kind.type}: ${length} bytes, at most ${kind.max}`)
    kind.prefix = writer.end(mark, kind.prefix)
  }
  const read = (reader: Reader): M | undefined => {
    const tag = reader.varint()
    const kind = byTag.get(tag)
    if (kind == null) {
      if (tag < 8 || tag > 0xffffffff) throw new ProtocolError('malformed', `${name}: tag ${tag}`)
      reader.skip(tag % 8)
      if (reader.at !== reader.end) throw new ProtocolError('malformed', `${name}: more than one kind`)
      return undefined
    }
    const length = reader.length(kind.max)
    if (reader.at + length !== reader.end) throw new ProtocolError('malformed', `${name}: more than one kind`)
    const value = kind.codec.read(reader)
    value.type = kind.type
    return value as M
  }
  return {
    name,
    kinds,
    write,
    read,
    encode (value) {
      const writer = new Writer()
      write(writer, value)
      return writer.take()
    },
    decode: bytes => read(new Reader(bytes))
  }
}
