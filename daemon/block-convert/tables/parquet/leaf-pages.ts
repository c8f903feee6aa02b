/** The pages of one leaf of a Parquet file, one after the other across row groups: levels unpacked, values when they are asked for. */
import { crc32 } from 'node:zlib'
import { ConversionError } from '../../errors.ts'
import type { Decoder } from './decoder.ts'
import type { ColumnChunk } from './footer.ts'
import { decompressPage, readPage, type Page } from './pages.ts'
import type { RandomAccess } from '../random-access.ts'
import { ChunkClaims } from './reader-claims.ts'
import { decodeRuns } from './reader-runs.ts'
import { decoderOf } from './reader-values.ts'
import type { Leaf } from './schema.ts'

/** A leaf's chunk in one row group. */
export interface LeafChunk { chunk: ColumnChunk, rows: number }

export interface LeafPage {
  /** Values, NULLs and what stands for empty or missing lists. */
  entries: number
  /** Absent where all levels are 0. */
  repetitions: ArrayLike<number> | undefined
  /** Absent where all entries are values. */
  definitions: ArrayLike<number> | undefined
  /** The values there are, in canonical form. */
  values: () => unknown[]
  /** It is the first page with entries of its chunk, which has so many rows. */
  opens: number | undefined
}

export interface LeafOptions {
  /** Hold what the footer claims about the values against them. @default false */
  claims?: boolean
  /** The file is a block of another, whose name and numbers of row groups tell nobody anything. @default false */
  block?: boolean
  /** What to make of the stored values. @default their canonical form */
  decode?: Decoder
}

export class LeafPages {
  readonly leaf: Leaf
  readonly #file: RandomAccess
  readonly #chunks: LeafChunk[]
  readonly #decode: Decoder
  readonly #options: LeafOptions
  #chunk: ColumnChunk | undefined
  #nextChunk = 0
  #offset = 0
  /** Entries of the current chunk not yet seen in pages. */
  #left = 0
  #opens: number | undefined
  #dictionary: unknown[] | undefined
  #claims: ChunkClaims | undefined

  constructor (file: RandomAccess, leaf: Leaf, chunks: LeafChunk[], options: LeafOptions = {}) {
    this.leaf = leaf
    this.#file = file
    this.#chunks = chunks
    this.#decode = options.decode ?? decoderOf(leaf)
    this.#options = options
  }

  /**
   * The next page with entries, or undefined at the end. A page that lies within the next `skip` rows is passed over without being unpacked
   * where its header tells its rows; then the number of them is given.
   */
  next (skip: number): LeafPage | number | undefined {
    for (;;) {
      const chunk = this.#chunk
      if (chunk == null || this.#offset >= chunk.end || this.#left === 0) {
        if (chunk != null && this.#left > 0) throw this.bad(`${this.#left} values are missing`)
        if (chunk != null && this.#offset < chunk.end) this.#requireNoMore(chunk)
        if (!this.#open()) return undefined
        continue
      }
      const page = this.#guarded(() => readPage(this.#file, chunk, this.#offset))
      this.#offset = page.start + page.compressed
      if (page.kind === 'index') continue
      if (page.kind === 'dictionary') {
        this.#readDictionary(page)
        continue
      }
      if (page.values > this.#left) throw this.bad('it has more values than rows')
      this.#left -= page.values
      if (page.values === 0) continue
      const rows = this.leaf.maxRepetition === 0 ? page.values : page.v2?.rows
      if (this.leaf.maxRepetition === 0 && page.v2 != null && page.v2.rows !== page.values) throw this.bad(`a page counts ${page.v2.rows} rows for ${page.values} values`)
      if (rows != null && rows <= skip && rows > 0) {
        // what was not looked at cannot be counted
        this.#claims = undefined
        this.#opens = undefined
        return rows
      }
      const opens = this.#opens
      this.#opens = undefined
      return { ...this.#guarded(() => this.#unpack(page)), opens }
    }
  }

  /** Whether pages with entries are left; only empty ones and dictionaries may be. */
  requireEnd (): void {
    const more = this.next(0)
    if (more != null) throw this.bad('it has more values than rows')
  }

  bad (what: string): ConversionError {
    const where = this.#options.block === true ? '' : `${this.#file.name()}${this.#nextChunk === 0 ? '' : `, row group ${this.#nextChunk}`}, `
    return new ConversionError('bad-input', `${where}column '${this.leaf.path}': ${what}`, { column: this.leaf.path })
  }

  /** Pages behind the last value of a chunk have none. */
  #requireNoMore (chunk: ColumnChunk): void {
    while (this.#offset < chunk.end) {
      const page = this.#guarded(() => readPage(this.#file, chunk, this.#offset))
      if (page.kind !== 'index' && page.kind !== 'dictionary' && page.values > 0) throw this.bad('it has more values than rows')
      this.#offset = page.start + page.compressed
    }
  }

  #open (): boolean {
    const next = this.#chunks[this.#nextChunk]
    if (next == null) return false
    this.#nextChunk++
    const { chunk, rows } = next
    if (this.leaf.maxRepetition === 0 ? chunk.values !== rows : chunk.values < rows) throw this.bad(`it has ${chunk.values} values for ${rows} rows`)
    this.#chunk = chunk
    this.#offset = chunk.start
    this.#left = chunk.values
    this.#opens = rows
    this.#dictionary = undefined
    this.#claims = this.#options.claims === true ? this.#guarded(() => new ChunkClaims(this.#file, this.leaf, chunk, this.#decode)) : undefined
    return true
  }

  #readDictionary (page: Page): void {
    if (this.#dictionary != null) throw this.bad('it has two dictionaries in one chunk')
    this.#dictionary = this.#guarded(() => {
      const bytes = this.#decompressed(page, this.#read(page))
      const values = this.#decode(bytes, 'PLAIN', page.values)
      this.#claims?.dictionary(bytes, page.values)
      return values
    })
  }

  #read (page: Page): Uint8Array {
    const bytes = this.#file.read(page.start, page.compressed)
    if (page.crc != null && crc32(bytes) !== page.crc) throw this.bad(`the page at byte ${page.start} does not match its checksum: the file is damaged`)
    return bytes
  }

  #decompressed (page: Page, bytes: Uint8Array): Uint8Array {
    return decompressPage(bytes, (this.#chunk as ColumnChunk).codec, page.uncompressed)
  }

  #unpack (page: Page): Omit<LeafPage, 'opens'> {
    const { maxDefinition, maxRepetition } = this.leaf
    const entries = page.values
    let repetitions: ArrayLike<number> | undefined
    let definitions: ArrayLike<number> | undefined
    let bytes = this.#read(page)
    if (page.v2 != null) {
      const { repetitionBytes, definitionBytes, isCompressed } = page.v2
      const levels = repetitionBytes + definitionBytes
      if (maxRepetition > 0) repetitions = this.#levels(bytes, 0, repetitionBytes, maxRepetition, entries)
      if (maxDefinition > 0) definitions = this.#levels(bytes, repetitionBytes, levels, maxDefinition, entries)
      const rest = bytes.subarray(levels)
      bytes = !isCompressed || page.compressed === levels ? rest : decompressPage(rest, (this.#chunk as ColumnChunk).codec, page.uncompressed - levels)
    } else {
      bytes = this.#decompressed(page, bytes)
      const take = (max: number, encoding: string): ArrayLike<number> => {
        if (encoding !== 'RLE') throw new ConversionError('unsupported', `column '${this.leaf.path}' has levels encoded as ${encoding}, which is not supported; write the file again with a newer program`)
        if (bytes.length < 4) throw this.bad('a page has no levels')
        const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
        const levels = this.#levels(bytes, 4, end, max, entries)
        bytes = bytes.subarray(end)
        return levels
      }
      if (maxRepetition > 0) repetitions = take(maxRepetition, page.repetitionEncoding)
      if (maxDefinition > 0) definitions = take(maxDefinition, page.levelEncoding)
    }
    let count = entries
    if (definitions != null) {
      count = 0
      for (let i = 0; i < entries; i++) if (definitions[i] === maxDefinition) count++
      if (count === entries) definitions = undefined
    }
    if (page.v2 != null && page.v2.nulls !== entries - count && maxRepetition === 0) throw this.bad('a page counts its NULLs wrong')
    if (this.leaf.nothing && count > 0) throw this.bad('it is annotated as having no type, so it cannot have values')
    const dictionary = this.#dictionary
    let values: unknown[] | undefined
    const decode = (): unknown[] => values ??= this.#guarded(() => this.#valuesOf(page, bytes, count, dictionary))
    if (this.#claims != null) {
      this.#claims.add(decode(), entries - count)
      if (this.#left === 0) this.#claims.end()
    }
    return { entries, repetitions, definitions, values: decode }
  }

  #levels (bytes: Uint8Array, from: number, to: number, max: number, count: number): ArrayLike<number> {
    const levels = decodeRuns(bytes, from, to, 32 - Math.clz32(max), count)
    for (let i = 0; i < count; i++) if ((levels[i] as number) > max) throw this.bad(`a page has level ${levels[i]}, at most ${max} is possible`)
    return levels
  }

  #valuesOf (page: Page, bytes: Uint8Array, count: number, dictionary: unknown[] | undefined): unknown[] {
    if (page.encoding !== 'RLE_DICTIONARY' && page.encoding !== 'PLAIN_DICTIONARY') return count === 0 ? [] : this.#decode(bytes, page.encoding, count)
    if (count === 0) return []
    if (dictionary == null) throw this.bad('a page needs a dictionary that is not there')
    if (bytes.length < 1) throw this.bad('a page has no indices')
    const indices = decodeRuns(bytes, 1, bytes.length, bytes[0] as number, count)
    const out = new Array<unknown>(count)
    const size = dictionary.length
    for (let i = 0; i < count; i++) {
      const index = indices[i] as number
      if (index >= size) throw this.bad(`a page refers to entry ${index} of a dictionary of ${size}`)
      out[i] = dictionary[index]
    }
    return out
  }

  /** The decoders of hyparquet run into the end of a malformed page with errors of their own, and ours do not know where they are. */
  #guarded<V> (work: () => V): V {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof ConversionError)) throw this.bad(`a page cannot be decoded (${(error as Error).message})`)
      if (error.code === 'bad-input' && error.details.column == null) throw this.bad(error.message)
      throw error
    }
  }
}
