/** Parquet files made by hand, page by page: what no writer at hand would write. */
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { CODECS, COLUMN, CHUNK, ELEMENT, FILE, MAGIC, PHYSICAL, ROW_GROUP, type Codec, type Physical } from '../../../../../daemon/block-convert/tables/parquet/footer.ts'
import { ENCODINGS, type Encoding } from '../../../../../daemon/block-convert/tables/parquet/pages.ts'
import { footerTail } from '../../../../../daemon/block-convert/tables/parquet/schema-writer.ts'
import { serializeThrift } from '../../../../../daemon/block-convert/tables/parquet/thrift-writer.ts'
import { T, type ThriftField, type ThriftStruct } from '../../../../../daemon/block-convert/tables/parquet/thrift.ts'

export interface CraftedElement {
  name: string | Uint8Array
  type?: Physical
  length?: number
  /** @default 'OPTIONAL' */
  repetition?: 'REQUIRED' | 'OPTIONAL' | 'REPEATED'
  children?: number
  converted?: number
  scale?: number
  precision?: number
  logical?: ThriftStruct
}

export interface CraftedPage {
  /** Definition levels of all entries. @default none are written */
  definitions?: number[]
  repetitions?: number[]
  /** Values as they are encoded. */
  values: Uint8Array
  /** @default the number of definition levels */
  entries?: number
  /** @default 'PLAIN' */
  encoding?: Encoding
  dictionary?: true
  /** Of a second-version page; rows default to the entries of repetition 0. */
  v2?: { rows?: number, nulls?: number }
  crc?: number
}

export interface CraftedChunk {
  type: Physical
  pages: CraftedPage[]
  /** Highest levels, for the width of their encoding. @default what occurs */
  maxDefinition?: number
  maxRepetition?: number
  /** @default 'UNCOMPRESSED' */
  codec?: Codec
  /** @default the entries of its pages */
  count?: number
  encodings?: Encoding[]
}

const field = (id: number, type: number, value: ThriftField['value']): ThriftField => ({ id, type, value })
const bytesOf = (text: string | Uint8Array): Uint8Array => typeof text === 'string' ? new TextEncoder().encode(text) : text
const list = (values: ThriftStruct[]): ThriftField['value'] => ({ elements: T.STRUCT, values })

/** A logical type: the union's field, and fields of its struct. */
export function logical (id: number, ...fields: ThriftField[]): ThriftStruct {
  return { fields: [field(id, T.STRUCT, { fields })] }
}

/** TIME (7) or TIMESTAMP (8) with a unit: 1 milliseconds, 2 microseconds, 3 nanoseconds. */
export function timeType (id: number, unit: number, utc: boolean): ThriftStruct {
  return logical(id, field(1, utc ? T.TRUE : T.FALSE, utc), field(2, T.STRUCT, logical(unit)))
}

export function intType (bits: number, signed: boolean): ThriftStruct {
  return logical(10, field(1, T.BYTE, bits), field(2, signed ? T.TRUE : T.FALSE, signed))
}

/** A whole file. `elements` are the schema without its root; `columns` the number of its children. */
export function craft (elements: CraftedElement[], columns: number, groups: Array<{ rows: number, chunks: CraftedChunk[] }>, change?: (footer: ThriftStruct) => void): Uint8Array {
  const pieces: Uint8Array[] = [MAGIC]
  let position = MAGIC.length
  const rowGroups = groups.map(({ rows, chunks }) => ({
    fields: [
      field(ROW_GROUP.columns, T.LIST, list(chunks.map(chunk => {
        const start = position
        let uncompressed = 0
        let first = -1
        for (const page of chunk.pages) {
          if (page.dictionary !== true && first < 0) first = position
          const made = pageOf(page, chunk)
          pieces.push(made.bytes)
          position += made.bytes.length
          uncompressed += made.uncompressed
        }
        return chunkStruct(chunk, start, first < 0 ? start : first, position - start, uncompressed)
      }))),
      field(ROW_GROUP.totalByteSize, T.I64, 0n),
      field(ROW_GROUP.rows, T.I64, BigInt(rows))
    ]
  }))
  const footer: ThriftStruct = {
    fields: [
      field(FILE.version, T.I32, 1),
      field(FILE.schema, T.LIST, list([{ fields: [field(ELEMENT.name, T.BINARY, bytesOf('root')), field(ELEMENT.children, T.I32, columns)] }, ...elements.map(elementStruct)])),
      field(FILE.rows, T.I64, BigInt(groups.reduce((sum, { rows }) => sum + rows, 0))),
      field(FILE.rowGroups, T.LIST, list(rowGroups))
    ]
  }
  change?.(footer)
  const tree = serializeThrift(footer)
  return new Uint8Array(Buffer.concat([...pieces, tree, footerTail(tree.length)]))
}

function elementStruct (element: CraftedElement): ThriftStruct {
  const fields: ThriftField[] = []
  const add = (id: number, value: number | undefined): void => { if (value != null) fields.push(field(id, T.I32, value)) }
  if (element.type != null) add(ELEMENT.type, PHYSICAL.indexOf(element.type))
  add(ELEMENT.typeLength, element.length)
  add(ELEMENT.repetition, ['REQUIRED', 'OPTIONAL', 'REPEATED'].indexOf(element.repetition ?? 'OPTIONAL'))
  fields.push(field(ELEMENT.name, T.BINARY, bytesOf(element.name)))
  add(ELEMENT.children, element.children)
  add(ELEMENT.converted, element.converted)
  add(ELEMENT.scale, element.scale)
  add(ELEMENT.precision, element.precision)
  if (element.logical != null) fields.push(field(ELEMENT.logical, T.STRUCT, element.logical))
  return { fields }
}

function chunkStruct (chunk: CraftedChunk, start: number, data: number, size: number, uncompressed: number): ThriftStruct {
  const count = chunk.count ?? chunk.pages.reduce((sum, page) => sum + (page.dictionary === true ? 0 : entriesOf(page)), 0)
  const encodings = chunk.encodings ?? [...new Set(chunk.pages.map(page => page.encoding ?? 'PLAIN'))]
  const metadata: ThriftStruct = {
    fields: [
      field(COLUMN.type, T.I32, PHYSICAL.indexOf(chunk.type)),
      field(COLUMN.encodings, T.LIST, { elements: T.I32, values: encodings.map(name => ENCODINGS.indexOf(name)) }),
      field(COLUMN.path, T.LIST, { elements: T.BINARY, values: [bytesOf('x')] }),
      field(COLUMN.codec, T.I32, CODECS.indexOf(chunk.codec ?? 'UNCOMPRESSED')),
      field(COLUMN.values, T.I64, BigInt(count)),
      field(COLUMN.uncompressed, T.I64, BigInt(uncompressed)),
      field(COLUMN.compressed, T.I64, BigInt(size)),
      field(COLUMN.dataPage, T.I64, BigInt(data)),
      ...(data > start ? [field(COLUMN.dictionaryPage, T.I64, BigInt(start))] : [])
    ]
  }
  return { fields: [field(CHUNK.fileOffset, T.I64, BigInt(start)), field(CHUNK.metadata, T.STRUCT, metadata)] }
}

function entriesOf ({ entries, definitions, repetitions }: CraftedPage): number {
  return entries ?? definitions?.length ?? repetitions?.length ?? 0
}

function pageOf (page: CraftedPage, chunk: CraftedChunk): { bytes: Uint8Array, uncompressed: number } {
  const { definitions, repetitions, values, v2 } = page
  const entries = entriesOf(page)
  const encoding = ENCODINGS.indexOf(page.encoding ?? 'PLAIN')
  const definitionLevels = definitions == null ? undefined : levels(definitions, chunk.maxDefinition ?? Math.max(...definitions, 1))
  const repetitionLevels = repetitions == null ? undefined : levels(repetitions, chunk.maxRepetition ?? Math.max(...repetitions, 1))
  const framed = (bytes: Uint8Array | undefined): Uint8Array => bytes == null ? new Uint8Array(0) : Buffer.concat([new Uint8Array(new Uint32Array([bytes.length]).buffer), bytes])
  let body: Uint8Array
  let uncompressed: number
  let header: ThriftField
  if (v2 != null) {
    const front = Buffer.concat([repetitionLevels ?? new Uint8Array(0), definitionLevels ?? new Uint8Array(0)])
    body = Buffer.concat([front, compress(values, chunk.codec)])
    uncompressed = front.length + values.length
    const rows = v2.rows ?? (repetitions == null ? entries : repetitions.filter(level => level === 0).length)
    const nulls = v2.nulls ?? (definitions == null ? 0 : definitions.filter(level => level < (chunk.maxDefinition ?? 1)).length)
    header = field(8, T.STRUCT, {
      fields: [field(1, T.I32, entries), field(2, T.I32, nulls), field(3, T.I32, rows), field(4, T.I32, encoding), field(5, T.I32, definitionLevels?.length ?? 0), field(6, T.I32, repetitionLevels?.length ?? 0)]
    })
  } else {
    const plain = Buffer.concat([framed(repetitionLevels), framed(definitionLevels), values])
    body = compress(plain, chunk.codec)
    uncompressed = plain.length
    header = page.dictionary === true
      ? field(7, T.STRUCT, { fields: [field(1, T.I32, entries), field(2, T.I32, 0)] })
      : field(5, T.STRUCT, { fields: [field(1, T.I32, entries), field(2, T.I32, encoding), field(3, T.I32, 3), field(4, T.I32, 3)] })
  }
  const struct = serializeThrift({
    fields: [
      field(1, T.I32, page.dictionary === true ? 2 : v2 != null ? 3 : 0), field(2, T.I32, uncompressed), field(3, T.I32, body.length),
      ...(page.crc != null ? [field(4, T.I32, page.crc | 0)] : []), header
    ]
  })
  return { bytes: Buffer.concat([struct, body]), uncompressed: struct.length + uncompressed }
}

function compress (bytes: Uint8Array, codec: Codec = 'UNCOMPRESSED'): Uint8Array {
  switch (codec) {
    case 'GZIP': return gzipSync(bytes)
    case 'ZSTD': return zstdCompressSync(bytes)
    case 'BROTLI': return brotliCompressSync(bytes)
    case 'LZ4_RAW': return literals(bytes)
    // As Hadoop frames it: both sizes, big-endian, then the block.
    case 'LZ4': {
      const block = literals(bytes)
      const sizes = Buffer.alloc(8)
      sizes.writeUInt32BE(bytes.length)
      sizes.writeUInt32BE(block.length, 4)
      return Buffer.concat([sizes, block])
    }
    default: return bytes
  }
}

/** An LZ4 block that refers to nothing before. */
function literals (bytes: Uint8Array): Uint8Array {
  const lengths: number[] = []
  if (bytes.length >= 15) {
    let rest = bytes.length - 15
    for (; rest >= 255; rest -= 255) lengths.push(255)
    lengths.push(rest)
  }
  return Buffer.concat([new Uint8Array([Math.min(bytes.length, 15) << 4, ...lengths]), bytes])
}

/** Levels as runs of equal ones. */
export function levels (values: number[], max: number): Uint8Array {
  const width = (32 - Math.clz32(max) + 7) >> 3
  const out: number[] = []
  for (let i = 0; i < values.length;) {
    let end = i
    while (end < values.length && values[end] === values[i]) end++
    let header = (end - i) * 2
    for (; header > 127; header >>>= 7) out.push((header & 127) | 128)
    out.push(header)
    for (let b = 0; b < width; b++) out.push((values[i]! >> (8 * b)) & 255)
    i = end
  }
  return new Uint8Array(out)
}

export const plain = {
  int32: (values: number[]): Uint8Array => new Uint8Array(new Int32Array(values).buffer),
  int64: (values: bigint[]): Uint8Array => new Uint8Array(new BigInt64Array(values).buffer),
  /** Nanoseconds of the day, Julian day. */
  int96: (values: Array<[bigint, number]>): Uint8Array => Buffer.concat(values.flatMap(([nanos, day]) => [new Uint8Array(new BigInt64Array([nanos]).buffer), new Uint8Array(new Uint32Array([day]).buffer)])),
  bytes: (values: Array<string | Uint8Array>): Uint8Array => Buffer.concat(values.flatMap(value => [new Uint8Array(new Uint32Array([bytesOf(value).length]).buffer), bytesOf(value)]))
}
