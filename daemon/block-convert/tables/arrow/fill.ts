/**
 * Rows of a record batch into the engine's vectors, buffer by buffer. Texts are handed over as one piece per vector and referred to by
 * address, as the engine does itself: one call each would cost several times the rest.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import duckdb from '@duckdb/node-bindings'
import { DataType } from 'apache-arrow'
import { Malformed } from './flatbuffer.ts'
import { fixedWidth } from './layout.ts'
import { convertFixed } from './numbers.ts'
import type { ColumnType } from '../types.ts'
import { decoded, isValid, type Bits, type Loaded } from './window.ts'

type Vector = Parameters<typeof duckdb.vector_get_data>[0]

/** Bytes of the engine's reference to a text: its length, then the text itself or its beginning and address. */
const REFERENCE_BYTES = 16
const INLINE_BYTES = 12

/**
 * Writes rows [at, at + count) into a vector of type `staged`. `parent`: a bitmap of the rows whose parent is not NULL.
 *
 * @throws Malformed, Inexact
 */
export function fill (vector: Vector, loaded: Loaded, staged: ColumnType, at: number, count: number, parent?: Uint8Array): void {
  if (loaded.dictionary != null) {
    fill(vector, decoded(loaded, at, count), staged, 0, count, parent)
    return
  }
  const valid = validity(loaded.valid, at, count, parent)
  if (valid != null) {
    duckdb.vector_ensure_validity_writable(vector)
    duckdb.copy_data_to_vector_validity(vector, 0, valid.buffer, valid.byteOffset, valid.byteLength)
  }
  if (count === 0 || DataType.isNull(loaded.type)) return
  switch (staged.kind) {
    case 'BOOLEAN': copy(vector, booleans(loaded, at, count)); break
    case 'VARCHAR':
    case 'BLOB': fillTexts(vector, loaded, staged.kind === 'VARCHAR', at, count, valid); break
    case 'LIST':
    case 'MAP': fillLists(vector, loaded, staged, at, count, valid); break
    case 'STRUCT':
      for (const [i, field] of staged.fields!.entries()) fill(duckdb.struct_vector_get_child(vector, i), loaded.children[i]!, field.type, at, count, valid)
      break
    default: {
      const width = fixedWidth(loaded.type)!
      // Values whose parent is NULL mean as little as those that are NULL themselves.
      const marked = valid == null ? loaded : { ...loaded, valid: { bytes: valid, at: -at } }
      copy(vector, convertFixed(marked, staged, at, count) ?? loaded.bytes.subarray(at * width, (at + count) * width))
    }
  }
}

function copy (vector: Vector, bytes: Uint8Array): void {
  duckdb.copy_data_to_vector(vector, 0, bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

type Bitmap = Uint8Array<ArrayBuffer>

/** A bitmap of whole 64-bit words for the engine; undefined if nothing is NULL. */
function validity (valid: Bits | undefined, at: number, count: number, parent: Uint8Array | undefined): Bitmap | undefined {
  if (valid == null) return parent == null ? undefined : new Uint8Array(parent)
  const result = new Uint8Array(Math.ceil(count / 64) * 8)
  const shift = (valid.at + at) & 7
  const start = (valid.at + at) >> 3
  const bytes = (count + 7) >> 3
  for (let i = 0; i < bytes; i++) {
    const low = valid.bytes[start + i] as number
    const bits = shift === 0 ? low : low >> shift | (valid.bytes[start + i + 1] ?? 0) << (8 - shift)
    result[i] = parent == null ? bits : bits & (parent[i] as number)
  }
  return result
}

function booleans (loaded: Loaded, at: number, count: number): Uint8Array {
  const result = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    const bit = loaded.bit + at + i
    result[i] = (loaded.bytes[bit >> 3] as number) >> (bit & 7) & 1
  }
  return result
}

function fillTexts (vector: Vector, loaded: Loaded, text: boolean, at: number, count: number, valid: Bitmap | undefined): void {
  const references = new Uint8Array(count * REFERENCE_BYTES)
  const words = new Uint32Array(references.buffer)
  const addresses = new BigUint64Array(references.buffer)
  const { offsets } = loaded
  const width = fixedWidth(loaded.type)
  const first = offsets == null ? at * width! : offsets[at] as number
  const last = offsets == null ? (at + count) * width! : offsets[at + count] as number
  let bytes = loaded.bytes.subarray(first, last)
  const bits = valid == null ? undefined : { bytes: valid, at: 0 }
  const ascii = !text || isAscii(bytes)
  let sound = ascii || isUtf8(bytes)
  if (!sound && bits != null && offsets != null) {
    bytes = withoutNulls(bytes, offsets, at, count, bits)
    sound = isUtf8(bytes)
  }
  if (!sound) throw new Malformed('a text is not UTF-8')
  const address = bytes.length > INLINE_BYTES ? hand(vector, bytes) : 0n
  const low = Number(address & 0xffffffffn)
  const high = Number(address >> 32n)
  for (let i = 0; i < count; i++) {
    if (!isValid(bits, i)) continue
    const start = offsets == null ? i * width! : (offsets[at + i] as number) - first
    const end = offsets == null ? start + width! : (offsets[at + i + 1] as number) - first
    const length = end - start
    // All bytes together are UTF-8, so only the ends of a value may be wrong.
    if (!ascii && (continues(bytes, start) || continues(bytes, end))) throw new Malformed('a text is not UTF-8')
    words[i * 4] = length
    if (length <= INLINE_BYTES) {
      for (let k = 0; k < length; k++) references[i * REFERENCE_BYTES + 4 + k] = bytes[start + k] as number
      continue
    }
    for (let k = 0; k < 4; k++) references[i * REFERENCE_BYTES + 4 + k] = bytes[start + k] as number
    const place = low + start
    if (place < 4294967296) {
      words[i * 4 + 2] = place
      words[i * 4 + 3] = high
    } else addresses[i * 2 + 1] = address + BigInt(start)
  }
  copy(vector, references)
}

/** Gives the engine a piece of text that the values of a vector are parts of; gives its address. The vector keeps it. */
function hand (vector: Vector, bytes: Uint8Array): bigint {
  duckdb.vector_assign_string_element_len(vector, 0, bytes)
  const assigned = duckdb.vector_get_data(vector, REFERENCE_BYTES)
  const view = new DataView(assigned.buffer, assigned.byteOffset)
  // It leaves out what it does not like without a word, and an address of something else must not be used.
  if (view.getUint32(0, true) !== bytes.length) throw new Error('the engine did not take a text')
  return view.getBigUint64(8, true)
}

/** What stands at a NULL means nothing, and need not be text. */
function withoutNulls (bytes: Uint8Array, offsets: ArrayLike<number>, at: number, count: number, valid: Bits): Uint8Array {
  const result = new Uint8Array(bytes)
  const first = offsets[at] as number
  for (let i = 0; i < count; i++) if (!isValid(valid, i)) result.fill(0, (offsets[at + i] as number) - first, (offsets[at + i + 1] as number) - first)
  return result
}

function continues (bytes: Uint8Array, at: number): boolean {
  return at < bytes.length && ((bytes[at] as number) & 0xc0) === 0x80
}

function fillLists (vector: Vector, loaded: Loaded, staged: ColumnType, at: number, count: number, valid: Bitmap | undefined): void {
  const offsets = loaded.offsets!
  const first = offsets[at] as number
  const total = (offsets[at + count] as number) - first
  const entries = new BigUint64Array(count * 2)
  const bits = valid == null ? undefined : { bytes: valid, at: 0 }
  for (let i = 0; i < count; i++) {
    if (!isValid(bits, i)) continue
    const start = (offsets[at + i] as number) - first
    entries[i * 2] = BigInt(start)
    entries[i * 2 + 1] = BigInt((offsets[at + i + 1] as number) - first - start)
  }
  copy(vector, new Uint8Array(entries.buffer))
  duckdb.list_vector_reserve(vector, total)
  duckdb.list_vector_set_size(vector, total)
  const child = duckdb.list_vector_get_child(vector)
  if (staged.kind === 'LIST') {
    fill(child, loaded.children[0]!, staged.element!, first, total)
    return
  }
  const [keys, values] = loaded.children[0]!.children as [Loaded, Loaded]
  fill(duckdb.struct_vector_get_child(child, 0), keys, staged.key!, first, total)
  fill(duckdb.struct_vector_get_child(child, 1), values, staged.element!, first, total)
}
