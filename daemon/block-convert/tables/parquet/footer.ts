/**
 * The footer of a Parquet file: a lossless Thrift tree, and typed views of the parts we need. Everything is checked for
 * consistency here (counts, extents inside the file), so that whoever works with a Footer can rely on it.
 */
import { ConversionError } from '../../errors.ts'
import { COLUMNS_MAX, FOOTER_BYTES_MAX } from './limits.ts'
import type { RandomAccess } from '../random-access.ts'
import { getField, parseThrift, T, type ThriftList, type ThriftStruct } from './thrift.ts'

export const MAGIC = new Uint8Array([0x50, 0x41, 0x52, 0x31])   // 'PAR1'
/** Name of the schema's root in what we and DuckDB write. */
export const ROOT_NAME = 'duckdb_schema'
const TAIL_BYTES = 8                                            // footer length and magic

/** Physical types by their number. */
export const PHYSICAL = ['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'] as const
export type Physical = typeof PHYSICAL[number]

export const CODECS = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'LZO', 'BROTLI', 'LZ4', 'ZSTD', 'LZ4_RAW'] as const
export type Codec = typeof CODECS[number]

/** Field numbers of parquet.thrift, as far as they are used here. */
export const FILE = { version: 1, schema: 2, rows: 3, rowGroups: 4, keyValues: 5, createdBy: 6, columnOrders: 7, encryption: 8 } as const
export const ROW_GROUP = { columns: 1, totalByteSize: 2, rows: 3, sorting: 4, fileOffset: 5, compressedSize: 6, ordinal: 7 } as const
export const CHUNK = { filePath: 1, fileOffset: 2, metadata: 3, offsetIndexOffset: 4, offsetIndexLength: 5, columnIndexOffset: 6, columnIndexLength: 7, crypto: 8, encryptedMetadata: 9 } as const
export const COLUMN = {
  type: 1, encodings: 2, path: 3, codec: 4, values: 5, uncompressed: 6, compressed: 7, dataPage: 9, indexPage: 10, dictionaryPage: 11, statistics: 12, bloomOffset: 14, bloomLength: 15
} as const
export const ELEMENT = { type: 1, typeLength: 2, repetition: 3, name: 4, children: 5, converted: 6, scale: 7, precision: 8, logical: 10 } as const

export interface ColumnChunk {
  struct: ThriftStruct
  metadata: ThriftStruct
  type: Physical
  codec: Codec
  /** Values and nulls. */
  values: number
  /** Bytes of all pages with their headers, as they are in the file. */
  compressed: number
  uncompressed: number
  /** First byte of the first page, the dictionary's if there is one. */
  start: number
  end: number
}

export interface RowGroup {
  struct: ThriftStruct
  rows: number
  chunks: ColumnChunk[]
}

export interface SchemaElement {
  name: string
  type?: Physical
  typeLength: number
  repetition: 'REQUIRED' | 'OPTIONAL' | 'REPEATED'
  children: number
  converted?: number
  scale: number
  precision: number
  /** The logical type's union: field number and its struct. */
  logical?: { kind: number, struct: ThriftStruct }
}

export interface Footer {
  tree: ThriftStruct
  rows: number
  /** The root first, then depth first. */
  schema: SchemaElement[]
  rowGroups: RowGroup[]
  /** Bytes of the footer's tree. */
  length: number
  /** Where the footer begins, so where the data ends. */
  dataEnd: number
}

function bad (file: RandomAccess, what: string): ConversionError {
  return new ConversionError('bad-input', `${file.name()} is not a sound Parquet file: ${what}`)
}

function encrypted (file: RandomAccess): ConversionError {
  return new ConversionError('unsupported', `${file.name()} is an encrypted Parquet file; decrypt it first`)
}

/**
 * Reads and checks the footer of a whole file.
 *
 * @throws ConversionError `bad-input` (no Parquet, truncated, inconsistent) or `unsupported` (encrypted, data in other files)
 */
export function readFooter (file: RandomAccess): Footer {
  if (file.size < MAGIC.length + TAIL_BYTES) throw bad(file, `it has only ${file.size} bytes`)
  const head = file.read(0, MAGIC.length)
  const tail = file.read(file.size - TAIL_BYTES, TAIL_BYTES)
  const magic = Buffer.from(tail.subarray(4)).toString('latin1')
  if (magic === 'PARE' || Buffer.from(head).toString('latin1') === 'PARE') throw encrypted(file)
  if (Buffer.compare(head, MAGIC) !== 0) throw bad(file, "it does not begin with 'PAR1'")
  if (magic !== 'PAR1') throw bad(file, "it does not end with 'PAR1': it seems cut off")
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true)
  if (length > file.size - TAIL_BYTES - MAGIC.length) throw bad(file, `its footer of ${length} bytes does not fit into ${file.size} bytes`)
  if (length > FOOTER_BYTES_MAX) throw new ConversionError('unsupported', `${file.name()} has a footer of ${length} bytes; at most ${FOOTER_BYTES_MAX} are read`)
  const dataEnd = file.size - TAIL_BYTES - length
  const bytes = file.read(dataEnd, length)
  try {
    const { struct, end } = parseThrift(bytes)
    // The footer of an encrypted file is followed by its signature.
    if (getField(struct, FILE.encryption) != null) throw encrypted(file)
    if (end !== length) throw bad(file, `its footer ends after ${end} of ${length} bytes`)
    return new FooterReader(file, struct, length, dataEnd).read()
  } catch (error) {
    // What reads single fields does not know the file's name.
    if (error instanceof ConversionError && error.code === 'bad-input' && !error.message.startsWith(file.name())) throw bad(file, error.message)
    throw error
  }
}

class FooterReader {
  readonly file: RandomAccess
  readonly tree: ThriftStruct
  readonly length: number
  readonly dataEnd: number

  constructor (file: RandomAccess, tree: ThriftStruct, length: number, dataEnd: number) {
    this.file = file
    this.tree = tree
    this.length = length
    this.dataEnd = dataEnd
  }

  read (): Footer {
    const schema = structs(this.tree, FILE.schema, 'schema').map(readElement)
    const root = schema[0]
    if (root == null) throw bad(this.file, 'it has no schema')
    if (schema.length - 1 > COLUMNS_MAX) throw new ConversionError('unsupported', `${this.file.name()} has ${schema.length - 1} columns; at most ${COLUMNS_MAX} are handled`)
    const leaves = schema.slice(1).filter(element => element.type != null && element.children === 0)
    const rows = long(this.tree, FILE.rows, 'row count')
    const rowGroups = structs(this.tree, FILE.rowGroups, 'row groups').map(struct => this.rowGroup(struct, leaves))
    const sum = rowGroups.reduce((total, group) => total + group.rows, 0)
    if (sum !== rows) throw bad(this.file, `its row groups have ${sum} rows, its footer says ${rows}`)
    // chunks that share bytes would let a small file stand for any amount of work
    const bytes = rowGroups.reduce((total, group) => group.chunks.reduce((part, chunk) => part + chunk.compressed, total), 0)
    if (bytes > this.dataEnd - MAGIC.length) throw bad(this.file, `its columns have ${bytes} bytes together, more than the file`)
    return { tree: this.tree, rows, schema, rowGroups, length: this.length, dataEnd: this.dataEnd }
  }

  rowGroup (struct: ThriftStruct, leaves: SchemaElement[]): RowGroup {
    const chunks = structs(struct, ROW_GROUP.columns, 'columns of a row group').map(chunk => this.chunk(chunk))
    if (chunks.length !== leaves.length) throw bad(this.file, `a row group has ${chunks.length} columns, the schema ${leaves.length}`)
    for (const [i, chunk] of chunks.entries()) {
      if (chunk.type !== leaves[i]?.type) throw bad(this.file, `column '${leaves[i]?.name}' is ${leaves[i]?.type} in the schema and ${chunk.type} in a row group`)
    }
    return { struct, rows: long(struct, ROW_GROUP.rows, 'row count of a row group'), chunks }
  }

  chunk (struct: ThriftStruct): ColumnChunk {
    if (getField(struct, CHUNK.filePath) != null) throw new ConversionError('unsupported', `${this.file.name()} keeps columns in other files`)
    if (getField(struct, CHUNK.crypto) != null || getField(struct, CHUNK.encryptedMetadata) != null) {
      throw new ConversionError('unsupported', `${this.file.name()} has encrypted columns; decrypt it first`)
    }
    const metadata = field(struct, CHUNK.metadata, T.STRUCT, 'metadata of a column') as ThriftStruct
    const type = PHYSICAL[int(metadata, COLUMN.type, 'type of a column')]
    if (type == null) throw bad(this.file, 'a column has an unknown physical type')
    const codec = CODECS[int(metadata, COLUMN.codec, 'codec of a column')]
    if (codec == null) throw new ConversionError('unsupported', `${this.file.name()} uses an unknown compression`)
    const values = long(metadata, COLUMN.values, 'value count of a column')
    let compressed = long(metadata, COLUMN.compressed, 'size of a column')
    const dataPage = long(metadata, COLUMN.dataPage, 'offset of a column')
    // some writers put 0 where there is no dictionary
    const dictionary = getField(metadata, COLUMN.dictionaryPage) == null ? 0 : long(metadata, COLUMN.dictionaryPage, 'dictionary offset of a column')
    let start = dictionary > 0 ? Math.min(dictionary, dataPage) : dataPage
    // Some writers leave the offset out where there is nothing.
    if (values === 0 && dataPage === 0) {
      start = MAGIC.length
      compressed = 0
    }
    const end = start + compressed
    if (start < MAGIC.length || end > this.dataEnd) throw bad(this.file, `a column's bytes ${start} to ${end} lie outside of the data, which ends at ${this.dataEnd}`)
    return {
      struct, metadata, type, codec, compressed, start, end, values,
      uncompressed: long(metadata, COLUMN.uncompressed, 'uncompressed size of a column')
    }
  }
}

function readElement (struct: ThriftStruct): SchemaElement {
  const optional = (id: number): number | undefined => getField(struct, id) == null ? undefined : int(struct, id, 'schema element')
  const type = optional(ELEMENT.type)
  const repetition = optional(ELEMENT.repetition) ?? 0
  const logical = getField(struct, ELEMENT.logical)
  const union = logical == null ? undefined : (field(struct, ELEMENT.logical, T.STRUCT, 'logical type') as ThriftStruct).fields[0]
  const name = field(struct, ELEMENT.name, T.BINARY, 'name of a column') as Uint8Array
  const element: SchemaElement = {
    name: Buffer.from(name.buffer, name.byteOffset, name.length).toString('utf8'),
    typeLength: optional(ELEMENT.typeLength) ?? 0,
    repetition: (['REQUIRED', 'OPTIONAL', 'REPEATED'] as const)[repetition] ?? 'REPEATED',
    children: optional(ELEMENT.children) ?? 0,
    scale: optional(ELEMENT.scale) ?? 0,
    precision: optional(ELEMENT.precision) ?? 0
  }
  if (element.children < 0) throw new ConversionError('bad-input', `malformed Parquet footer: a schema element has ${element.children} children`)
  if (type != null) {
    const physical = PHYSICAL[type]
    if (physical == null) throw new ConversionError('bad-input', `malformed Parquet footer: physical type ${type} in the schema`)
    element.type = physical
  }
  const converted = optional(ELEMENT.converted)
  if (converted != null) element.converted = converted
  if (union != null) element.logical = { kind: union.id, struct: union.type === T.STRUCT ? union.value as ThriftStruct : { fields: [] } }
  return element
}

/** A required field of a wire type. */
export function field (struct: ThriftStruct, id: number, type: number, what: string): unknown {
  const found = getField(struct, id)
  if (found == null || found.type !== type) {
    throw new ConversionError('bad-input', `malformed Parquet footer: ${what} ${found == null ? 'is missing' : 'has the wrong type'}`)
  }
  return found.value
}

export function int (struct: ThriftStruct, id: number, what: string): number {
  return field(struct, id, T.I32, what) as number
}

/** A 64-bit size, count or offset: not negative, and exact as a number. */
export function long (struct: ThriftStruct, id: number, what: string): number {
  const value = field(struct, id, T.I64, what) as bigint
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ConversionError('bad-input', `malformed Parquet footer: ${what} is ${value}`)
  return Number(value)
}

export function structs (struct: ThriftStruct, id: number, what: string): ThriftStruct[] {
  const list = field(struct, id, T.LIST, what) as ThriftList
  if (list.values.length === 0) return []
  if (list.elements !== T.STRUCT) throw new ConversionError('bad-input', `malformed Parquet footer: ${what} has the wrong type`)
  return list.values as ThriftStruct[]
}
