/**
 * Parquet parts become one file without being encoded again: the bytes of all row groups one after the other, and a footer
 * that gathers theirs with every offset shifted. Memory holds the footer only.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource, Merger } from '../../index.ts'
import { CHUNK, COLUMN, FILE, MAGIC, readFooter, ROW_GROUP, type Footer, type RowGroup } from './footer.ts'
import { FOOTER_BYTES_MAX, READ_BYTES, ROW_GROUP_ORDINAL_MAX } from './limits.ts'
import { emptyParquet, footerTail } from './schema-writer.ts'
import { RandomAccess } from '../random-access.ts'
import type { TableParameters } from '../schema.ts'
import { serializeThrift, serializeThriftWith } from './thrift-writer.ts'
import { dropFields, getField, setField, T, type ThriftStruct } from './thrift.ts'

/**
 * A merger of Parquet files with equal schemas. Of what is not data (key-value metadata, creator) the first part's is kept.
 * No parts give an empty file with the schema of `params.columns`.
 *
 * `add` throws ConversionError `bad-input` for a part that is malformed or has another schema, and `unsupported` when the
 * footer outgrows FOOTER_BYTES_MAX.
 */
export function parquetMerger (params: TableParameters): Merger {
  return new ParquetMerger(params)
}

class ParquetMerger implements Merger {
  readonly #params: TableParameters
  /** Serialised row groups, offsets shifted already. */
  readonly #rowGroups: Uint8Array[] = []
  #footerBytes = 0
  #rows = 0n
  #position = MAGIC.length
  #first: ThriftStruct | undefined
  #schema: Uint8Array | undefined

  constructor (params: TableParameters) {
    this.#params = params
  }

  * start (): Generator<Uint8Array> {
    yield MAGIC
  }

  * add (part: BlockSource): Generator<Uint8Array> {
    const file = new RandomAccess(part)
    try {
      const footer = readFooter(file)
      this.#take(footer, file.name())
      for (let at = MAGIC.length; at < footer.dataEnd; at += READ_BYTES) {
        yield file.read(at, Math.min(READ_BYTES, footer.dataEnd - at))
      }
      this.#position += footer.dataEnd - MAGIC.length
    } finally {
      file.close()
    }
  }

  * end (): Generator<Uint8Array> {
    if (this.#first == null) {
      yield emptyParquet(this.#params.columns).subarray(MAGIC.length)
      return
    }
    setField(this.#first, FILE.rows, T.I64, this.#rows)
    const footer = serializeThriftWith(this.#first, FILE.rowGroups, this.#rowGroups)
    if (footer.length > FOOTER_BYTES_MAX) throw tooManyRowGroups(this.#rowGroups.length)
    yield footer
    yield footerTail(footer.length)
  }

  #take (footer: Footer, name: string): void {
    const schema = serializeThrift({ fields: footer.tree.fields.filter(field => field.id === FILE.schema) })
    if (this.#schema == null) {
      this.#schema = schema
      // the first part's row groups are not kept as a tree
      this.#first = { fields: footer.tree.fields.map(field => field.id === FILE.rowGroups ? { ...field, value: { elements: T.STRUCT, values: [] } } : field) }
    } else if (Buffer.compare(schema, this.#schema) !== 0) {
      throw new ConversionError('bad-input', `${name} has another schema than the parts before it`)
    }
    const shift = this.#position - MAGIC.length
    for (const group of footer.rowGroups) {
      shiftRowGroup(group, () => shift)
      setOrdinal(group.struct, this.#rowGroups.length)
      const bytes = serializeThrift(group.struct).slice()
      this.#footerBytes += bytes.length
      if (this.#footerBytes > FOOTER_BYTES_MAX) throw tooManyRowGroups(this.#rowGroups.length)
      this.#rowGroups.push(bytes)
    }
    this.#rows += BigInt(footer.rows)
  }
}

function tooManyRowGroups (count: number): ConversionError {
  return new ConversionError('unsupported', `the output's footer is larger than ${FOOTER_BYTES_MAX} bytes after ${count} row groups; use larger blocks`)
}

/** What points to bytes that do not move along: page indexes hold absolute file offsets inside their own bytes. */
const INDEX_FIELDS = [CHUNK.offsetIndexOffset, CHUNK.offsetIndexLength, CHUNK.columnIndexOffset, CHUNK.columnIndexLength]

/**
 * Moves a row group: adds to the file offsets of each column chunk what `shiftOf` gives for it (by its index). Page indexes are
 * forgotten, for they hold file offsets in bytes of their own; readers do without. Bloom filters are kept if `keepBloom`.
 */
export function shiftRowGroup (group: RowGroup, shiftOf: (column: number) => number, keepBloom = true): void {
  for (const [i, { struct, metadata }] of group.chunks.entries()) {
    const shift = BigInt(shiftOf(i))
    dropFields(struct, INDEX_FIELDS)
    addTo(struct, CHUNK.fileOffset, shift)
    if (!keepBloom) dropFields(metadata, [COLUMN.bloomOffset, COLUMN.bloomLength])
    for (const id of [COLUMN.dataPage, COLUMN.indexPage, COLUMN.dictionaryPage, COLUMN.bloomOffset]) addTo(metadata, id, shift)
  }
  addTo(group.struct, ROW_GROUP.fileOffset, BigInt(shiftOf(0)))
}

/** 0 stands for "none" in all of these fields. */
function addTo (struct: ThriftStruct, id: number, shift: bigint): void {
  const field = getField(struct, id)
  if (field?.type === T.I64 && (field.value as bigint) > 0n) field.value = (field.value as bigint) + shift
}

/** Numbers a row group, if it was numbered and the number fits its field. */
export function setOrdinal (struct: ThriftStruct, ordinal: number): void {
  if (getField(struct, ROW_GROUP.ordinal) == null) return
  if (ordinal > ROW_GROUP_ORDINAL_MAX) dropFields(struct, [ROW_GROUP.ordinal])
  else setField(struct, ROW_GROUP.ordinal, T.I16, ordinal)
}
