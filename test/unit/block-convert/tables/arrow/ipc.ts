/** Arrow files of every shape for tests: columns as raw buffers, in any container, compressed or not, as old or as new as wanted. */
import { zstdCompressSync } from 'node:zlib'
import { CompressionType, Schema, type Field, type MetadataVersion } from 'apache-arrow'
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file'
import { BodyCompression, BufferRegion, DictionaryBatch, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message'

export interface RawColumn {
  rows: number
  nulls: number
  /** Validity first, then what the type has. */
  buffers: Uint8Array[]
  children: RawColumn[]
  /** Of views: how many of the buffers hold data. */
  variadic?: number
}

export interface RawBatch { rows: number, columns: RawColumn[] }
export interface RawDictionary { id: number, delta: boolean, column: RawColumn }
/** In the order in which they stand in the stream. */
export type RawMessage = RawBatch | RawDictionary

export interface IpcOptions {
  container: 'file' | 'stream'
  codec?: 'zstd' | 'lz4' | 'stored'
  /** Before 0.15 there was no mark before a message's length. */
  legacy?: boolean
  version?: MetadataVersion
  /** Streams may simply end. @default true */
  end?: boolean
  /** Bytes to whose multiples buffers begin. @default 8 */
  alignment?: number
}

const MARK = Buffer.from([255, 255, 255, 255])
const up = (n: number, to: number): number => Math.ceil(n / to) * to

/** A frame that holds its bytes as they are. */
function lz4Stored (bytes: Uint8Array): Uint8Array {
  const size = Buffer.alloc(4)
  size.writeUInt32LE((bytes.length | 0x80000000) >>> 0)
  return Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]), ...(bytes.length === 0 ? [] : [size, bytes]), Buffer.alloc(4)])
}

function packed (bytes: Uint8Array, codec: IpcOptions['codec']): Uint8Array {
  if (codec == null || bytes.length === 0) return bytes
  const prefix = Buffer.alloc(8)
  prefix.writeBigInt64LE(codec === 'stored' ? -1n : BigInt(bytes.length))
  return Buffer.concat([prefix, codec === 'stored' ? bytes : codec === 'zstd' ? zstdCompressSync(bytes) : lz4Stored(bytes)])
}

/** Flattens columns as the format wants them. */
function body (columns: RawColumn[], { codec, alignment = 8 }: IpcOptions): { nodes: FieldNode[], regions: BufferRegion[], variadic: number[], bytes: Uint8Array } {
  const nodes: FieldNode[] = []
  const regions: BufferRegion[] = []
  const variadic: number[] = []
  const pieces: Uint8Array[] = []
  let at = 0
  const visit = (column: RawColumn): void => {
    nodes.push(new FieldNode(column.rows, column.nulls))
    if (column.variadic != null) variadic.push(column.variadic)
    for (const buffer of column.buffers) {
      const bytes = packed(buffer, codec)
      regions.push(new BufferRegion(at, bytes.length))
      pieces.push(bytes, new Uint8Array(up(bytes.length, alignment) - bytes.length))
      at += up(bytes.length, alignment)
    }
    column.children.forEach(visit)
  }
  columns.forEach(visit)
  return { nodes, regions, variadic, bytes: Buffer.concat(pieces) }
}

function encapsulated (message: Uint8Array, legacy: boolean): Uint8Array {
  const prefix = legacy ? 4 : 8
  const length = up(prefix + message.length, 8)
  const bytes = Buffer.alloc(length)
  if (!legacy) bytes.set(MARK)
  bytes.writeInt32LE(length - prefix, prefix - 4)
  bytes.set(message, prefix)
  return bytes
}

/** The library writes version 5 only; the field is a 16-bit number whose vtable slot is the first. */
function withVersion (bytes: Uint8Array, version: MetadataVersion | undefined): Uint8Array {
  if (version == null) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const root = view.getUint32(0, true)
  const vtable = root - view.getInt32(root, true)
  view.setInt16(root + view.getUint16(vtable + 4, true), version, true)
  return bytes
}

export function ipc (fields: Field[], messages: RawMessage[], options: IpcOptions): Uint8Array {
  const { container, codec, legacy = false, version, end = true } = options
  const schema = new Schema(fields)
  const pieces: Uint8Array[] = container === 'file' ? [Buffer.from('ARROW1\0\0')] : []
  let at = pieces.length * 8
  const add = (bytes: Uint8Array): void => {
    pieces.push(bytes)
    at += bytes.length
  }
  add(encapsulated(withVersion(Message.encode(Message.from(schema)), version), legacy))
  const blocks = { dictionary: [] as FileBlock[], batch: [] as FileBlock[] }
  for (const message of messages) {
    const { nodes, regions, variadic, bytes } = body('columns' in message ? message.columns : [message.column], options)
    const compression = codec == null ? null : new BodyCompression(codec === 'zstd' ? CompressionType.ZSTD : CompressionType.LZ4_FRAME)
    const batch = new RecordBatch('columns' in message ? message.rows : message.column.rows, nodes, regions, compression, variadic)
    const header = 'columns' in message ? batch : new DictionaryBatch(batch, message.id, message.delta)
    const head = encapsulated(withVersion(Message.encode(Message.from(header, bytes.length)), version), legacy)
    blocks['columns' in message ? 'batch' : 'dictionary'].push(new FileBlock(head.length, bytes.length, at))
    add(head)
    add(bytes)
  }
  if (container === 'stream' && !end) return Buffer.concat(pieces)
  add(legacy ? Buffer.alloc(4) : Buffer.concat([MARK, Buffer.alloc(4)]))
  if (container === 'stream') return Buffer.concat(pieces)
  const footer = Footer.encode(new Footer(schema, undefined, blocks.batch, blocks.dictionary))
  const size = Buffer.alloc(4)
  size.writeInt32LE(footer.length)
  return Buffer.concat([...pieces, footer, size, Buffer.from('ARROW1')])
}

export function bitmap (valid: boolean[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(valid.length / 8))
  valid.forEach((set, i) => { if (set) bytes[i >> 3]! |= 1 << (i & 7) })
  return bytes
}
