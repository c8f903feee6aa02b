/** Pages of a Parquet column chunk: their headers, and their decompression. */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { compressors, decompressSnappy } from 'hyparquet-compressors'
import { ConversionError } from '../../errors.ts'
import { int, type Codec, type ColumnChunk } from './footer.ts'
import { PAGE_BYTES_MAX, PAGE_HEADER_BYTES_MAX, PAGE_VALUES_MAX, SNAPPY_SHARED_BYTES_MAX } from './limits.ts'
import type { RandomAccess } from '../random-access.ts'
import { getField, parseThrift, T, type ThriftStruct } from './thrift.ts'

export const ENCODINGS = [
  'PLAIN', 'GROUP_VAR_INT', 'PLAIN_DICTIONARY', 'RLE', 'BIT_PACKED', 'DELTA_BINARY_PACKED', 'DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY', 'RLE_DICTIONARY', 'BYTE_STREAM_SPLIT'
] as const
export type Encoding = typeof ENCODINGS[number]

/** Fields of PageHeader. */
const PAGE = { type: 1, uncompressed: 2, compressed: 3, crc: 4, data: 5, dictionary: 7, dataV2: 8 } as const
/** Values of PageType. */
const DATA = 0
const INDEX = 1
const DICTIONARY = 2
const DATA_V2 = 3

/** Read first; nearly every header is smaller. */
const HEADER_GUESS_BYTES = 512

export interface Page {
  kind: 'data' | 'dictionary' | 'data-v2' | 'index'
  /** Values and nulls (of columns without repetition: rows), or entries of a dictionary. */
  values: number
  encoding: Encoding
  /** Of the definition levels in a first-version page. */
  levelEncoding: Encoding
  /** Of its repetition levels. */
  repetitionEncoding: Encoding
  /** Of the page as it is in the file, if it is there. */
  crc?: number
  /** Where the data begins, behind the header. */
  start: number
  compressed: number
  uncompressed: number
  /** Only in second-version pages, whose levels are never compressed. */
  v2?: { nulls: number, rows: number, definitionBytes: number, repetitionBytes: number, isCompressed: boolean }
}

/**
 * Reads the header of the page at `offset` of a chunk.
 *
 * @throws ConversionError `bad-input` if it is malformed or the page does not fit into the chunk
 */
export function readPage (file: RandomAccess, chunk: ColumnChunk, offset: number): Page {
  let window = HEADER_GUESS_BYTES
  for (;;) {
    const available = Math.min(window, chunk.end - offset)
    const bytes = file.read(offset, available)
    try {
      const { struct, end } = parseThrift(bytes)
      return check(chunk, pageOf(struct, offset + end))
    } catch (error) {
      // the header may just be longer than the window; at the end of the chunk, or of patience, it is malformed
      if (!(error instanceof ConversionError) || available < window || window >= PAGE_HEADER_BYTES_MAX) throw error
      window *= 8
    }
  }
}

function pageOf (struct: ThriftStruct, start: number): Page {
  const type = int(struct, PAGE.type, 'type of a page')
  const crc = getField(struct, PAGE.crc)
  const common = {
    start,
    compressed: int(struct, PAGE.compressed, 'size of a page'),
    uncompressed: int(struct, PAGE.uncompressed, 'uncompressed size of a page'),
    levelEncoding: 'RLE' as Encoding,
    repetitionEncoding: 'RLE' as Encoding,
    ...(crc?.type === T.I32 ? { crc: (crc.value as number) >>> 0 } : {})
  }
  const header = (id: number): ThriftStruct => {
    const found = getField(struct, id)
    if (found == null || found.type !== T.STRUCT) throw new ConversionError('bad-input', 'malformed Parquet page: its header is incomplete')
    return found.value as ThriftStruct
  }
  switch (type) {
    case DATA: {
      const data = header(PAGE.data)
      return { ...common, kind: 'data', values: int(data, 1, 'value count of a page'), encoding: encoding(data, 2), levelEncoding: encoding(data, 3), repetitionEncoding: encoding(data, 4) }
    }
    case DICTIONARY: {
      const dictionary = header(PAGE.dictionary)
      return { ...common, kind: 'dictionary', values: int(dictionary, 1, 'entry count of a dictionary'), encoding: encoding(dictionary, 2) }
    }
    case DATA_V2: {
      const data = header(PAGE.dataV2)
      const v2 = {
        nulls: int(data, 2, 'null count of a page'),
        rows: int(data, 3, 'row count of a page'),
        definitionBytes: int(data, 5, 'level size of a page'),
        repetitionBytes: int(data, 6, 'level size of a page'),
        isCompressed: getField(data, 7)?.value !== false
      }
      return { ...common, kind: 'data-v2', values: int(data, 1, 'value count of a page'), encoding: encoding(data, 4), v2 }
    }
    case INDEX: return { ...common, kind: 'index', values: 0, encoding: 'PLAIN' }
    default: throw new ConversionError('bad-input', `malformed Parquet page: unknown type ${type}`)
  }
}

function encoding (struct: ThriftStruct, id: number): Encoding {
  const number = int(struct, id, 'encoding of a page')
  const name = ENCODINGS[number]
  if (name == null) throw new ConversionError('unsupported', `a Parquet page has the unknown encoding ${number}`)
  return name
}

function check (chunk: ColumnChunk, page: Page): Page {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `a page of ${what} does not fit (byte ${page.start})`)
  if (page.compressed < 0 || page.start + page.compressed > chunk.end) throw bad(`${page.compressed} bytes`)
  if (page.uncompressed < 0 || page.uncompressed > PAGE_BYTES_MAX) throw bad(`${page.uncompressed} uncompressed bytes`)
  if (page.values < 0 || page.values > PAGE_VALUES_MAX) throw bad(`${page.values} values`)
  if (page.v2 != null) {
    const { nulls, rows, definitionBytes, repetitionBytes } = page.v2
    if (nulls < 0 || nulls > page.values || rows < 0 || rows > page.values) throw bad(`${page.values} values, ${nulls} nulls and ${rows} rows`)
    if (definitionBytes < 0 || repetitionBytes < 0 || definitionBytes + repetitionBytes > Math.min(page.compressed, page.uncompressed)) throw bad(`${definitionBytes + repetitionBytes} bytes of levels`)
  }
  return page
}

/** The page's data as it was before compression; of second-version pages only what follows the levels. */
export function decompressPage (bytes: Uint8Array, codec: Codec, length: number): Uint8Array {
  // Codecs have various ways to write nothing.
  if (length === 0) return new Uint8Array(0)
  let result: Uint8Array
  try {
    result = decompress(bytes, codec, length)
  } catch (error) {
    if (error instanceof ConversionError) throw error
    throw new ConversionError('bad-input', `a Parquet page cannot be decompressed (${codec}): ${(error as Error).message}`)
  }
  if (result.length !== length) throw new ConversionError('bad-input', `a Parquet page has ${result.length} bytes after decompression (${codec}), its header says ${length}`)
  return result
}

function decompress (bytes: Uint8Array, codec: Codec, length: number): Uint8Array {
  // Node's own decoders where it has them; they stop at the length announced
  const limit = { maxOutputLength: Math.max(length, 1) }
  switch (codec) {
    case 'UNCOMPRESSED': return bytes
    case 'SNAPPY': {
      requireSnappyLength(bytes, length)
      // the shared decoder's memory only grows: large pages get one of their own
      return length + bytes.length > SNAPPY_SHARED_BYTES_MAX ? decompressSnappy(bytes, length) : compressors.SNAPPY!(bytes, length)
    }
    case 'GZIP': return own(gunzipSync(bytes, limit))
    case 'ZSTD': return own(zstdDecompressSync(bytes, limit))
    case 'BROTLI': return own(brotliDecompressSync(bytes, limit))
    case 'LZ4': return compressors.LZ4!(bytes, length)
    case 'LZ4_RAW': return compressors.LZ4_RAW!(bytes, length)
    case 'LZO': throw new ConversionError('unsupported', 'Parquet pages compressed with LZO are not supported')
  }
}

/** A plain Uint8Array over the same memory. */
function own (buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

/** A snappy stream begins with its own idea of its length, which its decoder obeys without asking. */
function requireSnappyLength (bytes: Uint8Array, length: number): void {
  let announced = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[i]
    if (byte === undefined) break
    announced += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) {
      if (announced === length) return
      break
    }
  }
  throw new ConversionError('bad-input', `a snappy page announces ${announced} bytes, its header ${length}`)
}
