/**
 * Cuts Parquet files into blocks without unpacking anything: a block is a Parquet file of its own, made of the bytes of whole row
 * groups and a new footer. A row group larger than wanted becomes several blocks of the same bytes, each for some of its rows.
 */
import { createHash } from 'node:crypto'
import { ConversionError } from '../../errors.ts'
import type { BlockRecipe, BlockTarget, Input, RecipePart } from '../../index.ts'
import { inputChanged } from '../../source.ts'
import { FILE, MAGIC, readFooter, type Footer, type RowGroup } from './footer.ts'
import { GAP_BYTES_MAX, READ_BYTES, SLICES_MAX } from './limits.ts'
import { setOrdinal, shiftRowGroup } from './merge.ts'
import { keepWhereWanted } from './nanoseconds.ts'
import { readColumns, type ParquetColumn } from './schema.ts'
import { engineSchema, footerTail } from './schema-writer.ts'
import { RandomAccess } from '../random-access.ts'
import { requireColumns } from './reader.ts'
import type { TableParameters } from '../schema.ts'
import { serializeThrift } from './thrift-writer.ts'
import { T, type ThriftField, type ThriftStruct } from './thrift.ts'
import { presentIn } from '../unify.ts'

/**
 * Yields the blocks of all inputs in order. Small row groups are gathered up to `target.bytes`; a larger one gives
 * ceil(bytes / target.bytes) slices, SLICES_MAX at most. Files without rows give no block.
 *
 * @throws ConversionError `bad-input`, `unsupported`, `input-unreadable` or `input-changed`
 */
export async function * splitParquet (inputs: Input[], params: TableParameters, target: BlockTarget): AsyncGenerator<BlockRecipe> {
  let index = 0
  const names = new Set(params.columns.map(({ name }) => name))
  for (const [i, input] of inputs.entries()) {
    const file = new RandomAccess({ path: input.path, size: input.size })
    try {
      if (file.size !== input.size) throw inputChanged(input.path, `${input.size} bytes became ${file.size}`)
      if (file.mtimeMs !== input.mtimeMs) throw inputChanged(input.path, 'it was modified')
      const footer = readFooter(file)
      const columns = readColumns(footer, input.path)
      const present = requireKnown(columns, params, names, input.path)
      requireReadable(footer, columns, input.path)
      const slice = present == null ? undefined : { present }
      for (const block of blocksOf(file, footer, columns, i, target.bytes)) yield { ...block, ...(slice != null ? { slice: { ...slice, ...block.slice } } : {}), index: index++ }
    } finally {
      file.close()
    }
  }
}

/** Positions of the file's columns among those of the job, if they are not all of them in order; its columns get the job's types. */
function requireKnown (columns: ParquetColumn[], params: TableParameters, names: Set<string>, path: string): number[] | undefined {
  const stranger = columns.find(({ name }) => !names.has(name))
  if (stranger != null) throw inputChanged(path, `it has a column '${stranger.name}' now`)
  const present = presentIn(params.columns, columns)
  const wanted = (present ?? params.columns.map((_, i) => i)).map(position => params.columns[position]!)
  keepWhereWanted(columns, wanted)
  try {
    requireColumns(columns, wanted, path, true)
  } catch (error) {
    if (!(error instanceof ConversionError) || error.code !== 'bad-input') throw error
    throw inputChanged(path, error.message)
  }
  return present
}

/** What nobody here can unpack; the rest that the engine cannot is unpacked for it (rewrite.ts). */
function requireReadable (footer: Footer, columns: ParquetColumn[], path: string): void {
  const leaves = columns.flatMap(column => column.leaves)
  for (const [g, group] of footer.rowGroups.entries()) {
    for (const [c, { codec }] of group.chunks.entries()) {
      const no = (what: string): ConversionError => new ConversionError('unsupported', `${path}, row group ${g + 1}, column '${leaves[c]!.path}': ${what}`, { path, column: leaves[c]!.path })
      if (codec === 'LZO') throw no('pages compressed with LZO cannot be read; write the file again with another compression')
    }
  }
}

function * blocksOf (file: RandomAccess, footer: Footer, columns: ParquetColumn[], input: number, target: number): Generator<Omit<BlockRecipe, 'index'>> {
  const maker = new BlockMaker(file, footer, engineSchema(footer, columns), input)
  let row = 0
  let gathered: RowGroup[] = []
  let gatheredBytes = 0
  let gatheredRows = 0
  for (const group of footer.rowGroups) {
    if (group.rows === 0) continue
    const bytes = group.chunks.reduce((total, chunk) => total + chunk.compressed, 0)
    if (gathered.length > 0 && gatheredBytes + bytes > target) {
      yield { ...maker.make(gathered), units: gatheredRows, origin: { input, line: row - gatheredRows + 1 } }
      gathered = []
      gatheredBytes = gatheredRows = 0
    }
    if (bytes <= target) {
      gathered.push(group)
      gatheredBytes += bytes
      gatheredRows += group.rows
    } else {
      // read and hashed once, whatever the number of slices
      const block = maker.make([group])
      const slices = Math.min(Math.ceil(bytes / target), SLICES_MAX, group.rows)
      for (let i = 0; i < slices; i++) {
        const from = Math.floor(group.rows * i / slices)
        const to = Math.floor(group.rows * (i + 1) / slices)
        const recipe = { ...block, units: to - from, origin: { input, line: row + from + 1 } }
        yield slices === 1 ? recipe : { ...recipe, slice: { rows: [from, to] } }
      }
    }
    row += group.rows
  }
  if (gathered.length > 0) yield { ...maker.make(gathered), units: gatheredRows, origin: { input, line: row - gatheredRows + 1 } }
}

class BlockMaker {
  readonly #file: RandomAccess
  readonly #footer: Footer
  readonly #schema: ThriftField
  readonly #input: number
  readonly #buffer: Uint8Array

  constructor (file: RandomAccess, footer: Footer, schema: ThriftField, input: number) {
    this.#file = file
    this.#footer = footer
    this.#schema = schema
    this.#input = input
    this.#buffer = new Uint8Array(Math.min(READ_BYTES, file.size))
  }

  /** A Parquet file of some row groups: their column chunks, without larger gaps between them. */
  make (groups: RowGroup[]): { parts: RecipePart[], size: number, digest: Uint8Array } {
    const ranges: Array<{ input: number, offset: number, length: number }> = []
    let position = MAGIC.length
    for (const [ordinal, group] of groups.entries()) {
      const shifts = group.chunks.map(chunk => {
        const last = ranges.at(-1)
        const gap = last == null ? -1 : chunk.start - last.offset - last.length
        if (last != null && gap >= 0 && gap <= GAP_BYTES_MAX) {
          last.length += gap + chunk.compressed
          position += gap + chunk.compressed
        } else {
          ranges.push({ input: this.#input, offset: chunk.start, length: chunk.compressed })
          position += chunk.compressed
        }
        return position - chunk.end
      })
      // bloom filters lie outside of the chunks
      shiftRowGroup(group, column => shifts[column] as number, false)
      setOrdinal(group.struct, ordinal)
    }
    const footer = serializeThrift(this.#footerOf(groups))
    const suffix = Buffer.concat([footer, footerTail(footer.length)])
    return {
      parts: [{ bytes: MAGIC }, ...ranges, { bytes: new Uint8Array(suffix) }],
      size: position + suffix.length,
      digest: this.#digest(ranges, suffix)
    }
  }

  /** Without the key-value metadata: it may be large, is no part of the rows, and would travel with every block. */
  #footerOf (groups: RowGroup[]): ThriftStruct {
    const kept: number[] = [FILE.version, FILE.createdBy, FILE.columnOrders]
    const fields = this.#footer.tree.fields.filter(field => kept.includes(field.id))
    fields.push(
      this.#schema,
      { id: FILE.rows, type: T.I64, value: BigInt(groups.reduce((total, group) => total + group.rows, 0)) },
      { id: FILE.rowGroups, type: T.LIST, value: { elements: T.STRUCT, values: groups.map(group => group.struct) } }
    )
    return { fields: fields.sort((a, b) => a.id - b.id) }
  }

  #digest (ranges: Array<{ offset: number, length: number }>, suffix: Uint8Array): Uint8Array {
    const hash = createHash('sha256').update(MAGIC)
    for (const { offset, length } of ranges) {
      for (let done = 0; done < length;) {
        const piece = this.#buffer.subarray(0, Math.min(this.#buffer.length, length - done))
        if (this.#file.readInto(piece, offset + done) < piece.length) throw inputChanged(this.#file.name(), 'it became shorter')
        hash.update(piece)
        done += piece.length
      }
    }
    return new Uint8Array(hash.update(suffix).digest())
  }
}
