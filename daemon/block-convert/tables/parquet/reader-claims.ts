/**
 * What a footer claims about a column chunk beside its pages: bounds, NULL count, bloom filter. Readers of the file skip row
 * groups on the strength of it, so a false claim hides rows though every page is right. Comparing a result with its source
 * therefore holds the claims against the values.
 */
import { readBloomFilter, sbbfContains } from 'hyparquet/src/bloom.js'
import { xxhash64 } from 'hyparquet/src/xxhash.js'
import { ConversionError } from '../../errors.ts'
import { COLUMN, type ColumnChunk } from './footer.ts'
import { BLOOM_BYTES_MAX, BLOOM_PROBES } from './limits.ts'
import type { Leaf } from './schema.ts'
import type { RandomAccess } from '../random-access.ts'
import { getField, T, type ThriftStruct } from './thrift.ts'
import type { Decoder } from './decoder.ts'

/** Fields of Statistics. 1 and 2 are the older names of 5 and 6; readers use either. */
const STATISTICS = { oldMax: 1, oldMin: 2, nulls: 3, max: 5, min: 6 } as const

type Bound = { value: number | bigint | string | boolean, bytes?: Uint8Array }

export class ChunkClaims {
  readonly #leaf: Leaf
  readonly #mins: Bound[] = []
  readonly #maxs: Bound[] = []
  readonly #claimedNulls: number | undefined
  readonly #bloom: Uint32Array | undefined
  #nulls = 0

  /** @throws ConversionError `bad-input` if the claims themselves are malformed */
  constructor (file: RandomAccess, leaf: Leaf, chunk: ColumnChunk, decode: Decoder) {
    this.#leaf = leaf
    const statistics = getField(chunk.metadata, COLUMN.statistics)
    if (statistics?.type === T.STRUCT) {
      const struct = statistics.value as ThriftStruct
      this.#bound(struct, STATISTICS.min, this.#mins, decode)
      this.#bound(struct, STATISTICS.oldMin, this.#mins, decode)
      this.#bound(struct, STATISTICS.max, this.#maxs, decode)
      this.#bound(struct, STATISTICS.oldMax, this.#maxs, decode)
      const nulls = getField(struct, STATISTICS.nulls)
      if (nulls?.type === T.I64) this.#claimedNulls = Number(nulls.value)
    }
    this.#bloom = this.#readBloom(file, chunk)
  }

  /** The chunk's next values in canonical form, and how many entries there were without one. */
  add (values: unknown[], nulls: number): void {
    this.#nulls += nulls
    const minimum = this.#mins[0]
    const maximum = this.#maxs[0]
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as Bound['value'] | null
      // a JSON null is NULL to us and a value to the writer
      if (value === null) continue
      if (minimum !== undefined && value < minimum.value) this.#outside(value, minimum, -1)
      if (maximum !== undefined && value > maximum.value) this.#outside(value, maximum, 1)
    }
  }

  /** A dictionary as it is stored; every entry of it must be in the bloom filter. Some of them, evenly spread, are looked up. */
  dictionary (bytes: Uint8Array, count: number): void {
    if (this.#bloom === undefined) return
    const step = Math.max(1, Math.ceil(count / BLOOM_PROBES))
    const width = { BOOLEAN: 1, INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8, BYTE_ARRAY: 0, FIXED_LEN_BYTE_ARRAY: this.#leaf.typeLength }[this.#leaf.physical]
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let position = 0
    for (let i = 0; i < count; i++) {
      const length = width === 0 ? view.getUint32(position, true) : width
      if (width === 0) position += 4
      if (i % step === 0 && !sbbfContains(this.#bloom, xxhash64(bytes.subarray(position, position + length)))) {
        throw new ConversionError('bad-input', 'its bloom filter denies a value that is there')
      }
      position += length
    }
  }

  /** All values of the chunk were added. */
  end (): void {
    // Writers do not agree on what counts as NULL within nested values; they would lead nobody astray by too many.
    const nested = this.#leaf.maxRepetition > 0 || this.#leaf.maxDefinition > 1
    if (this.#claimedNulls !== undefined && (nested ? this.#claimedNulls < this.#nulls : this.#claimedNulls !== this.#nulls)) {
      throw new ConversionError('bad-input', `${this.#claimedNulls} NULLs are claimed, ${this.#nulls} are there`)
    }
  }

  #bound (struct: ThriftStruct, id: number, list: Bound[], decode: Decoder): void {
    const field = getField(struct, id)
    if (field?.type !== T.BINARY) return
    const bytes = (field.value as Uint8Array).slice()
    const { physical } = this.#leaf
    // canonical JSON and intervals are not what was stored, so their order is another one
    if (this.#leaf.parsed.kind === 'JSON' || this.#leaf.parsed.kind === 'INTERVAL') return
    let bound: Bound
    if (physical === 'BYTE_ARRAY' && this.#leaf.parsed.kind !== 'DECIMAL') {
      const text = this.#leaf.parsed.kind === 'BLOB' ? 'latin1' : 'utf8'
      bound = { value: Buffer.from(bytes).toString(text), bytes }
    } else {
      let framed = bytes
      if (physical === 'BYTE_ARRAY') {
        framed = new Uint8Array(4 + bytes.length)
        new DataView(framed.buffer).setUint32(0, bytes.length, true)
        framed.set(bytes, 4)
      }
      bound = { value: decode(framed, 'PLAIN', 1)[0] as Bound['value'] }
    }
    const other = list[0]
    if (other !== undefined && !Object.is(other.value, bound.value)) throw new ConversionError('bad-input', 'its footer has two different bounds')
    list.push(bound)
  }

  #outside (value: Bound['value'], bound: Bound, direction: number): void {
    // texts are ordered by their bytes, which is not the order of UTF-16 for the rarest characters
    if (bound.bytes !== undefined && typeof value === 'string') {
      const bytes = Buffer.from(value, this.#leaf.parsed.kind === 'BLOB' ? 'latin1' : 'utf8')
      if (Buffer.compare(bytes, bound.bytes) * direction <= 0) return
    }
    throw new ConversionError('bad-input', 'a value lies outside of the bounds its footer claims')
  }

  #readBloom (file: RandomAccess, chunk: ColumnChunk): Uint32Array | undefined {
    const offset = getField(chunk.metadata, COLUMN.bloomOffset)
    if (offset?.type !== T.I64 || (offset.value as bigint) <= 0n) return undefined
    const at = Number(offset.value)
    const length = getField(chunk.metadata, COLUMN.bloomLength)?.value
    if (typeof length !== 'number' || length <= 0 || length > BLOOM_BYTES_MAX) throw new ConversionError('bad-input', 'its bloom filter has no sensible size')
    const bytes = file.read(at, length)
    const filter = readBloomFilter({ view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 })
    if (filter === undefined) throw new ConversionError('bad-input', 'its bloom filter is of an unknown kind')
    return filter.blocks
  }
}
