/**
 * Pages that the engine cannot read (the older LZ4, BYTE_STREAM_SPLIT of other than floating point numbers) are unpacked for it: a copy of
 * the block beside its output, one page in memory at a time.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { CHUNK, COLUMN, FILE, MAGIC, readFooter, ROW_GROUP, type ColumnChunk, type Footer, type RowGroup } from './footer.ts'
import { READ_BYTES } from './limits.ts'
import { decompressPage, ENCODINGS, readPage, type Page } from './pages.ts'
import { RandomAccess } from '../random-access.ts'
import { readColumns, type Leaf } from './schema.ts'
import { footerTail } from './schema-writer.ts'
import { serializeThrift } from './thrift-writer.ts'
import { dropFields, getField, setField, T, type ThriftField, type ThriftList } from './thrift.ts'
import { splitWidth, unsplit } from './stream-split.ts'

/** Whether the engine cannot read a column chunk as it is. */
export function needsRewriting ({ codec, type, metadata }: ColumnChunk): boolean {
  if (codec === 'LZ4') return true
  if (type === 'FLOAT' || type === 'DOUBLE') return false
  const encodings = getField(metadata, COLUMN.encodings)?.value as ThriftList | undefined
  return Array.isArray(encodings?.values) && encodings.values.includes(ENCODINGS.indexOf('BYTE_STREAM_SPLIT'))
}

/**
 * The path of a block the engine can read: `path` itself, or a new file at `copy`.
 *
 * @throws ConversionError `bad-input` or `unsupported` for pages that cannot be unpacked
 */
export async function readableBlock (path: string, copy: string): Promise<string> {
  const file = new RandomAccess({ path, size: 0 })
  try {
    const footer = readFooter(file)
    if (!footer.rowGroups.some(({ chunks }) => chunks.some(needsRewriting))) return path
    const leaves = readColumns(footer, path).flatMap(column => column.leaves)
    const out = await open(copy, 'wx', 0o600)
    try {
      await new Rewriter(file, out, leaves).write(footer)
    } finally {
      await out.close()
    }
    return copy
  } finally {
    file.close()
  }
}

class Rewriter {
  readonly #file: RandomAccess
  readonly #out: FileHandle
  readonly #leaves: Leaf[]
  #position = 0

  constructor (file: RandomAccess, out: FileHandle, leaves: Leaf[]) {
    this.#file = file
    this.#out = out
    this.#leaves = leaves
  }

  async write (footer: Footer): Promise<void> {
    await this.#append(MAGIC)
    for (const group of footer.rowGroups) await this.#group(group)
    const tree = serializeThrift({ fields: footer.tree.fields.filter(({ id }) => id !== FILE.keyValues) })
    await this.#append(tree)
    await this.#append(footerTail(tree.length))
  }

  async #group (group: RowGroup): Promise<void> {
    for (const [i, chunk] of group.chunks.entries()) {
      const start = this.#position
      const { struct, metadata } = chunk
      dropFields(struct, [CHUNK.offsetIndexOffset, CHUNK.offsetIndexLength, CHUNK.columnIndexOffset, CHUNK.columnIndexLength])
      // What says something about the pages or lies outside of them.
      dropFields(metadata, [COLUMN.indexPage, COLUMN.statistics, COLUMN.bloomOffset, COLUMN.bloomLength, ENCODING_STATISTICS])
      if (needsRewriting(chunk)) await this.#pages(chunk, this.#leaves[i]!)
      else {
        for (let at = chunk.start; at < chunk.end; at += READ_BYTES) await this.#append(this.#file.read(at, Math.min(READ_BYTES, chunk.end - at)))
        const shift = BigInt(start - chunk.start)
        for (const id of [COLUMN.dataPage, COLUMN.dictionaryPage]) {
          const offset = getField(metadata, id)
          if (offset != null && (offset.value as bigint) > 0n) offset.value = (offset.value as bigint) + shift
        }
      }
      setField(struct, CHUNK.fileOffset, T.I64, BigInt(start))
    }
    dropFields(group.struct, [ROW_GROUP.fileOffset, ROW_GROUP.compressedSize])
  }

  async #pages (chunk: ColumnChunk, leaf: Leaf): Promise<void> {
    const start = this.#position
    let data = -1
    let dictionary = -1
    for (let at = chunk.start; at < chunk.end;) {
      const page = readPage(this.#file, chunk, at)
      at = page.start + page.compressed
      if (page.kind === 'index') continue
      if (page.kind === 'dictionary') dictionary = this.#position
      else if (data < 0) data = this.#position
      const body = this.#unpacked(page, chunk, leaf)
      await this.#append(serializeThrift({ fields: header(page, body.length) }))
      await this.#append(body)
    }
    const { metadata } = chunk
    const size = BigInt(this.#position - start)
    setField(metadata, COLUMN.codec, T.I32, 0)
    setField(metadata, COLUMN.compressed, T.I64, size)
    setField(metadata, COLUMN.uncompressed, T.I64, size)
    setField(metadata, COLUMN.dataPage, T.I64, BigInt(data < 0 ? start : data))
    if (dictionary < 0) dropFields(metadata, [COLUMN.dictionaryPage])
    else setField(metadata, COLUMN.dictionaryPage, T.I64, BigInt(dictionary))
  }

  /** A page's levels and values, the values in PLAIN if they were split into streams of bytes. */
  #unpacked (page: Page, { codec, type }: ColumnChunk, leaf: Leaf): Uint8Array {
    const bytes = this.#file.read(page.start, page.compressed)
    let body: Uint8Array
    let levels = 0
    if (page.v2 != null) {
      levels = page.v2.repetitionBytes + page.v2.definitionBytes
      const values = bytes.subarray(levels)
      body = page.v2.isCompressed && values.length > 0 ? Buffer.concat([bytes.subarray(0, levels), decompressPage(values, codec, page.uncompressed - levels)]) : bytes
    } else {
      body = decompressPage(bytes, codec, page.uncompressed)
      if (page.kind === 'data') for (const max of [leaf.maxRepetition, leaf.maxDefinition]) if (max > 0 && body.length >= levels + 4) levels += 4 + new DataView(body.buffer, body.byteOffset + levels).getUint32(0, true)
    }
    if (page.encoding !== 'BYTE_STREAM_SPLIT' || type === 'FLOAT' || type === 'DOUBLE') return body
    return Buffer.concat([body.subarray(0, levels), unsplit(body.subarray(levels), splitWidth(leaf))])
  }

  async #append (bytes: Uint8Array): Promise<void> {
    await this.#out.writeFile(bytes)
    this.#position += bytes.length
  }
}

/** ColumnMetaData.encoding_stats. */
const ENCODING_STATISTICS = 13

function header (page: Page, size: number): ThriftField[] {
  const int = (id: number, value: number): ThriftField => ({ id, type: T.I32, value })
  const encoding = ENCODINGS.indexOf(page.encoding === 'BYTE_STREAM_SPLIT' ? 'PLAIN' : page.encoding)
  const common = (type: number, id: number, fields: ThriftField[]): ThriftField[] => [int(1, type), int(2, size), int(3, size), { id, type: T.STRUCT, value: { fields } }]
  if (page.v2 != null) {
    const { nulls, rows, definitionBytes, repetitionBytes } = page.v2
    return common(3, 8, [int(1, page.values), int(2, nulls), int(3, rows), int(4, encoding), int(5, definitionBytes), int(6, repetitionBytes), { id: 7, type: T.FALSE, value: false }])
  }
  if (page.kind === 'dictionary') return common(2, 7, [int(1, page.values), int(2, encoding)])
  return common(0, 5, [int(1, page.values), int(2, encoding), int(3, ENCODINGS.indexOf(page.levelEncoding)), int(4, ENCODINGS.indexOf(page.repetitionEncoding))])
}
