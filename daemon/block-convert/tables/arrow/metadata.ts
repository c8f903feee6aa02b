/** What the messages of an IPC stream and the footer of a file say, checked before the library decodes any of it. */
import { Field, Schema } from 'apache-arrow'
import { Footer } from 'apache-arrow/ipc/metadata/file'
import { Message } from 'apache-arrow/ipc/metadata/message'
import { COLUMN_NAME_MAX } from '../constants.ts'
import { FlatTable, Malformed } from './flatbuffer.ts'
import { BATCH_ROWS_MAX, FIELDS_MAX, KEY_VALUES_MAX } from './limits.ts'
import { ConversionError } from '../../errors.ts'
import { TYPE_DEPTH_MAX } from '../types.ts'

const VERSION = { V4: 3, V5: 4 } as const
const HEADER = { SCHEMA: 1, DICTIONARY: 2, BATCH: 3 } as const
const MESSAGE = { version: 0, headerType: 1, header: 2, bodyLength: 3, metadata: 4 } as const
const SCHEMA = { endianness: 0, fields: 1, metadata: 2 } as const
const FIELD = { name: 0, typeType: 2, type: 3, dictionary: 4, children: 5, metadata: 6 } as const
const BATCH = { length: 0, nodes: 1, buffers: 2, compression: 3, variadic: 4 } as const
const DICTIONARY = { id: 0, data: 1, delta: 2 } as const
const FOOTER = { schema: 1, dictionaries: 2, batches: 3 } as const

const TIMESTAMP = 10
/** Types of the format that the library, or a table, has no place for. */
const FOREIGN: Record<number, string> = { 14: 'a union', 22: 'run-end encoded', 25: 'a list view', 26: 'a large list view' }
const TYPE_LAST = 26

/** Bytes of a time zone's name. */
const ZONE_BYTES_MAX = 256

export type Codec = 'lz4' | 'zstd'

/** A record batch, or the values of a dictionary. */
export interface BatchHead {
  rows: number
  /** Pairs of rows and nulls, one for each column, nested ones after those they are part of. */
  nodes: Float64Array
  /** Pairs of offset and length inside of the body. */
  buffers: Float64Array
  codec?: Codec
  /** Data buffers of each column of views. */
  variadic: number[]
  /** It was cut out of a larger one (cut.ts): its text begins where its first offset says. */
  cut: boolean
}

/** Custom metadata of record batches that were cut out of larger ones. */
export const CUT = 'weft.cut'

/** Entries of a record batch's metadata that are looked at. */
const BATCH_KEYS_MAX = 16

export type Head =
  | { kind: 'schema', schema: Schema }
  | { kind: 'batch', batch: BatchHead }
  | { kind: 'dictionary', id: bigint, delta: boolean, batch: BatchHead }

/** Where a message of a file stands. */
export interface FileBlock {
  offset: number
  metadata: number
  body: number
}

/**
 * Reads one message's metadata.
 *
 * @throws Malformed; ConversionError `unsupported` for types and versions there is no conversion of
 */
export function readHead (bytes: Uint8Array): { head: Head, bodyLength: number } {
  const message = new FlatTable(bytes)
  requireVersion(message.int16(MESSAGE.version))
  const bodyLength = message.size(MESSAGE.bodyLength)
  const header = message.table(MESSAGE.header)
  if (header == null) throw new Malformed('a message without a header')
  switch (message.uint8(MESSAGE.headerType)) {
    case HEADER.SCHEMA: {
      checkKeyValues(message, MESSAGE.metadata, { left: KEY_VALUES_MAX })
      checkSchema(header)
      return { head: { kind: 'schema', schema: Message.decode(bytes).header() as unknown as Schema }, bodyLength }
    }
    case HEADER.BATCH: return { head: { kind: 'batch', batch: { ...readBatch(header), cut: isCut(message) } }, bodyLength }
    case HEADER.DICTIONARY: {
      const data = header.table(DICTIONARY.data)
      if (data == null) throw new Malformed('a dictionary without values')
      return { head: { kind: 'dictionary', id: header.int64(DICTIONARY.id), delta: header.uint8(DICTIONARY.delta) !== 0, batch: readBatch(data) }, bodyLength }
    }
    default: throw new ConversionError('unsupported', 'it holds messages that are neither a schema nor rows (tensors are not supported)')
  }
}

/** Reads the footer of a file. @throws as `readHead` */
export function readFooter (bytes: Uint8Array): { schema: Schema, dictionaries: FileBlock[], batches: FileBlock[] } {
  // Its version is that of its messages, whatever older writers left here.
  const footer = new FlatTable(bytes)
  const schema = footer.table(FOOTER.schema)
  if (schema == null) throw new Malformed('its footer has no schema')
  checkSchema(schema)
  return { schema: Footer.decode(bytes).schema, dictionaries: readBlocks(footer, FOOTER.dictionaries), batches: readBlocks(footer, FOOTER.batches) }
}

function requireVersion (version: number): void {
  if (version !== VERSION.V4 && version !== VERSION.V5) throw new ConversionError('unsupported', `its metadata has version ${version + 1}; 4 and 5 are supported, so write it again with a newer Arrow`)
}

function readBlocks (footer: FlatTable, slot: number): FileBlock[] {
  const { start, length } = footer.vector(slot, 24)
  return Array.from({ length }, (_, i) => {
    const at = start + i * 24
    const metadata = footer.int32At(at + 8)
    if (metadata < 0) throw new Malformed('its footer has a message of negative length')
    return { offset: footer.sizeAt(at), metadata, body: footer.sizeAt(at + 16) }
  })
}

function isCut (message: FlatTable): boolean {
  let left = BATCH_KEYS_MAX
  for (const entry of message.tables(MESSAGE.metadata)) {
    if (Buffer.from(entry.text(0)).toString('latin1') === CUT) return true
    if (--left === 0) return false
  }
  return false
}

function readBatch (table: FlatTable): BatchHead {
  const rows = table.size(BATCH.length)
  if (rows > BATCH_ROWS_MAX) throw new Malformed(`a record batch of ${rows} rows`)
  const nodes = pairs(table, BATCH.nodes)
  for (let i = 0; i < nodes.length; i += 2) if ((nodes[i] as number) > BATCH_ROWS_MAX) throw new Malformed(`a column of ${nodes[i]} values`)
  const variadic = table.vector(BATCH.variadic, 8)
  const batch: BatchHead = {
    rows,
    nodes,
    buffers: pairs(table, BATCH.buffers),
    variadic: Array.from({ length: variadic.length }, (_, i) => table.sizeAt(variadic.start + i * 8)),
    cut: false
  }
  const compression = table.table(BATCH.compression)
  if (compression != null) {
    if (compression.uint8(1) !== 0) throw new Malformed('its buffers are compressed by an unknown method')
    const codec = compression.uint8(0)
    if (codec > 1) throw new ConversionError('unsupported', `its buffers are compressed by an unknown codec (${codec}); lz4 and zstd are supported`)
    batch.codec = codec === 0 ? 'lz4' : 'zstd'
  }
  return batch
}

/** Structs of two sizes. */
function pairs (table: FlatTable, slot: number): Float64Array {
  const { start, length } = table.vector(slot, 16)
  const values = new Float64Array(length * 2)
  for (let i = 0; i < values.length; i++) values[i] = table.sizeAt(start + i * 8)
  return values
}

interface Budget {
  left: number
}

function checkSchema (schema: FlatTable): void {
  if (schema.int16(SCHEMA.endianness) !== 0) throw new ConversionError('unsupported', 'its numbers are big-endian; write it again on a little-endian machine')
  const keyValues = { left: KEY_VALUES_MAX }
  const fields = { left: FIELDS_MAX }
  checkKeyValues(schema, SCHEMA.metadata, keyValues)
  for (const field of schema.tables(SCHEMA.fields)) checkField(field, fields, keyValues, 0)
}

function checkField (field: FlatTable, fields: Budget, keyValues: Budget, depth: number): void {
  if (--fields.left < 0) throw new ConversionError('unsupported', `it has more than ${FIELDS_MAX} fields`)
  if (depth > TYPE_DEPTH_MAX) throw new ConversionError('unsupported', `its columns are nested more than ${TYPE_DEPTH_MAX} times`)
  const name = field.text(FIELD.name)
  if (name.length > COLUMN_NAME_MAX * 4) throw new ConversionError('unsupported', `it has a column whose name is ${name.length} bytes long`)
  const typeType = field.uint8(FIELD.typeType)
  const foreign = FOREIGN[typeType]
  if (foreign != null) throw new ConversionError('unsupported', `column '${Buffer.from(name).toString()}' is ${foreign}, which is not supported; leave it out or convert it first`)
  if (typeType === 0 || typeType > TYPE_LAST) throw new ConversionError('unsupported', `column '${Buffer.from(name).toString()}' has an unknown type (${typeType})`)
  const type = field.table(FIELD.type)
  if (type == null) throw new Malformed(`column '${Buffer.from(name).toString()}' has no type`)
  if (typeType === TIMESTAMP && type.text(1).length > ZONE_BYTES_MAX) throw new Malformed('a time zone with a name of unusual length')
  field.table(FIELD.dictionary)?.table(1)
  checkKeyValues(field, FIELD.metadata, keyValues)
  for (const child of field.tables(FIELD.children)) checkField(child, fields, keyValues, depth + 1)
}

/** Keys and values may all be the same bytes, so their number is what the limit is about; their sizes add up below. */
function checkKeyValues (table: FlatTable, slot: number, budget: Budget): void {
  let bytes = 0
  for (const entry of table.tables(slot)) {
    if (--budget.left < 0) throw new ConversionError('unsupported', `it has more than ${KEY_VALUES_MAX} entries of custom metadata`)
    bytes += entry.text(0).length + entry.text(1).length
    if (bytes > FIELDS_MAX * COLUMN_NAME_MAX) throw new Malformed('its custom metadata is larger than itself')
  }
}

/** The schema without what is no part of the rows: custom metadata may be large, and would travel with every block. */
export function plainSchema (schema: Schema): Schema {
  return new Schema(schema.fields.map(plainField))
}

export const EXTENSION = 'ARROW:extension:name'

function plainField (field: Field): Field {
  const extension = field.metadata.get(EXTENSION)
  // A missing name would be written as the text 'null'.
  return new Field((field.name as string | null) ?? '', field.type, field.nullable, new Map(extension == null ? [] : [[EXTENSION, extension]]))
}
