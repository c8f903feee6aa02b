/**
 * Rows of a Parquet file, read by other code than the engine that writes them: page by page and column by column, so that
 * at most one page per column is unpacked at a time.
 *
 * Numbers and the delta encodings are decoded by hyparquet, pages unpacked by hyparquet-compressors and Node; the walk over
 * pages, levels and indices is ours, because a file may come from somebody who wants us to run out of memory.
 */
import { ConversionError } from '../../errors.ts'
import type { BlockSource } from '../../index.ts'
import { readFooter, type ColumnChunk } from './footer.ts'
import { BATCH_ROWS } from './limits.ts'
import { decompressPage, readPage, type Page } from './pages.ts'
import { readColumns, storedType, type ParquetColumn } from './schema.ts'
import { RandomAccess } from '../random-access.ts'
import type { Column } from '../schema.ts'
import type { Batch } from '../readers/batch.ts'
import { ChunkClaims } from './reader-claims.ts'
import { decodeRuns } from './reader-runs.ts'
import { decoderOf, type Decoder } from './reader-values.ts'

export interface ParquetReadOptions {
  /** Only rows [from, to). */
  rows?: [number, number]
  /** Hold what the footer claims about the values (bounds, NULL counts, bloom filters) against them. @default false */
  claims?: boolean
}

/**
 * Reads rows [from, to) in batches of BATCH_ROWS; only the last is smaller.
 *
 * @throws ConversionError `bad-input` for what is malformed or has other columns, `unsupported` for encodings we lack
 */
export function * readParquet (source: BlockSource, columns: Column[], options: ParquetReadOptions = {}): Generator<Batch> {
  const { rows, claims = false } = options
  const file = new RandomAccess(source)
  try {
    const footer = readFooter(file)
    const found = readColumns(footer, file.name())
    requireColumns(found, columns, file.name())
    const readers = found.map((column, i) => new ColumnReader(file, column, footer.rowGroups.map(group => group.chunks[i] as ColumnChunk), claims))
    const from = Math.min(rows?.[0] ?? 0, footer.rows)
    const to = Math.min(rows?.[1] ?? footer.rows, footer.rows)
    if (from > 0) for (const reader of readers) reader.skip(from)
    for (let at = from; at < to; at += BATCH_ROWS) {
      const count = Math.min(BATCH_ROWS, to - at)
      yield { rows: count, columns: readers.map(reader => reader.take(count)) }
    }
    // pages beyond the rows the footer knows would be data that no count sees
    if (to === footer.rows) for (const reader of readers) reader.requireEnd()
  } finally {
    file.close()
  }
}

/** Names and types must be those of the parameters, in order. @throws ConversionError `bad-input` */
export function requireColumns (found: Column[], wanted: Column[], name: string): void {
  for (let i = 0; i < Math.max(found.length, wanted.length); i++) {
    const is = found[i]
    const should = wanted[i]
    const type = should == null ? undefined : storedType(should.type)
    if (is == null || should == null || is.name !== should.name || is.type !== type) {
      const describe = (column: Column | undefined, as?: string): string => column == null ? 'no column' : `'${column.name}' ${as ?? column.type}`
      throw new ConversionError('bad-input', `${name}: column ${i + 1} is ${describe(is)} instead of ${describe(should, type)}`)
    }
  }
}

class ColumnReader {
  readonly #file: RandomAccess
  readonly #column: ParquetColumn
  readonly #chunks: ColumnChunk[]
  readonly #decode: Decoder
  #chunk: ColumnChunk | undefined
  #nextChunk = 0
  #offset = 0
  /** Values of the current chunk not yet seen in pages. */
  #left = 0
  #dictionary: unknown[] | undefined
  #values: unknown[] = []
  #position = 0

  readonly #checksClaims: boolean
  #claims: ChunkClaims | undefined

  constructor (file: RandomAccess, column: ParquetColumn, chunks: ColumnChunk[], claims: boolean) {
    this.#checksClaims = claims
    this.#file = file
    this.#column = column
    this.#chunks = chunks
    this.#decode = decoderOf(column)
  }

  take (count: number): unknown[] {
    if (this.#values.length - this.#position >= count) {
      this.#position += count
      return this.#values.slice(this.#position - count, this.#position)
    }
    const out: unknown[] = []
    while (out.length < count) {
      if (this.#position === this.#values.length) this.#load(0)
      const end = Math.min(this.#values.length, this.#position + count - out.length)
      for (let i = this.#position; i < end; i++) out.push(this.#values[i])
      this.#position = end
    }
    return out
  }

  skip (count: number): void {
    let left = count
    while (left > 0) {
      if (this.#position === this.#values.length) left -= this.#load(left)
      const step = Math.min(left, this.#values.length - this.#position)
      this.#position += step
      left -= step
    }
  }

  /** There must be no more values than were taken. */
  requireEnd (): void {
    if (this.#position < this.#values.length || this.#left > 0 || (this.#chunk != null && this.#offset < this.#chunk.end)) {
      throw this.#bad('it has more values than rows')
    }
    for (; this.#nextChunk < this.#chunks.length; this.#nextChunk++) {
      if ((this.#chunks[this.#nextChunk] as ColumnChunk).values > 0) throw this.#bad('it has more values than rows')
    }
  }

  /** Unpacks the next page with values. A page that lies within the `skip` next rows is passed over; gives how many rows were. */
  #load (skip: number): number {
    for (;;) {
      const chunk = this.#chunk
      if (chunk == null || this.#offset >= chunk.end || this.#left === 0) {
        if (chunk != null && this.#left > 0) throw this.#bad(`${this.#left} values are missing`)
        this.#open()
        continue
      }
      const page = readPage(this.#file, chunk, this.#offset)
      this.#offset = page.start + page.compressed
      if (page.kind === 'index') continue
      if (page.kind === 'dictionary') {
        if (this.#dictionary != null) throw this.#bad('it has two dictionaries in one chunk')
        this.#dictionary = this.#guarded(() => {
          const bytes = this.#data(page)
          const values = this.#decode(bytes, 'PLAIN', page.values)
          this.#claims?.dictionary(bytes, page.values)
          return values
        })
        continue
      }
      if (page.values > this.#left) throw this.#bad('it has more values than rows')
      this.#left -= page.values
      if (page.values === 0) continue
      if (page.values <= skip) {
        // what was not looked at cannot be counted
        this.#claims = undefined
        return page.values
      }
      this.#values = this.#guarded(() => this.#unpack(page))
      this.#position = 0
      this.#claims?.add(this.#values)
      if (this.#left === 0) this.#claims?.end()
      return 0
    }
  }

  #open (): void {
    const chunk = this.#chunks[this.#nextChunk++]
    if (chunk == null) throw this.#bad('it has fewer values than rows')
    this.#chunk = chunk
    this.#offset = chunk.start
    this.#left = chunk.values
    this.#dictionary = undefined
    this.#claims = this.#checksClaims ? this.#guarded(() => new ChunkClaims(this.#file, this.#column, chunk, this.#decode)) : undefined
  }

  #data (page: Page): Uint8Array {
    return decompressPage(this.#file.read(page.start, page.compressed), (this.#chunk as ColumnChunk).codec, page.uncompressed)
  }

  #unpack (page: Page): unknown[] {
    const { optional } = this.#column
    let bytes: Uint8Array
    let defined: ArrayLike<number> | undefined
    if (page.v2 != null) {
      const { definitionBytes, isCompressed } = page.v2
      const all = this.#file.read(page.start, page.compressed)
      if (optional) defined = decodeRuns(all, 0, definitionBytes, 1, page.values)
      const rest = all.subarray(definitionBytes)
      bytes = isCompressed ? decompressPage(rest, (this.#chunk as ColumnChunk).codec, page.uncompressed - definitionBytes) : rest
    } else {
      bytes = this.#data(page)
      if (optional) {
        if (page.levelEncoding !== 'RLE') throw new ConversionError('unsupported', `column '${this.#column.name}' has levels encoded as ${page.levelEncoding}`)
        if (bytes.length < 4) throw this.#bad('a page has no levels')
        const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
        defined = decodeRuns(bytes, 4, end, 1, page.values)
        bytes = bytes.subarray(end)
      }
    }
    let count = page.values
    if (defined != null) {
      count = 0
      for (let i = 0; i < page.values; i++) count += defined[i] as number
      if (page.v2 != null && page.v2.nulls !== page.values - count) throw this.#bad('a page counts its NULLs wrong')
    }
    const values = this.#valuesOf(page, bytes, count)
    if (defined == null || count === page.values) return values
    const out = new Array<unknown>(page.values)
    let next = 0
    for (let i = 0; i < page.values; i++) out[i] = defined[i] === 1 ? values[next++] : null
    return out
  }

  #valuesOf (page: Page, bytes: Uint8Array, count: number): unknown[] {
    if (page.encoding !== 'RLE_DICTIONARY' && page.encoding !== 'PLAIN_DICTIONARY') return this.#decode(bytes, page.encoding, count)
    const dictionary = this.#dictionary
    if (count === 0) return []
    if (dictionary == null) throw this.#bad('a page needs a dictionary that is not there')
    if (bytes.length < 1) throw this.#bad('a page has no indices')
    const indices = decodeRuns(bytes, 1, bytes.length, bytes[0] as number, count)
    const out = new Array<unknown>(count)
    const size = dictionary.length
    for (let i = 0; i < count; i++) {
      const index = indices[i] as number
      if (index >= size) throw this.#bad(`a page refers to entry ${index} of a dictionary of ${size}`)
      out[i] = dictionary[index]
    }
    return out
  }

  /** The decoders of hyparquet run into the end of a malformed page with errors of their own. */
  #guarded<V> (work: () => V): V {
    try {
      return work()
    } catch (error) {
      if (error instanceof ConversionError) throw error
      throw this.#bad(`a page cannot be decoded (${(error as Error).message})`)
    }
  }

  #bad (what: string): ConversionError {
    return new ConversionError('bad-input', `${this.#file.name()}, column '${this.#column.name}': ${what}`)
  }
}
