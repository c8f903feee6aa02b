/** Where a compressed file can be cut so that each part decodes by itself: found from headers and indexes, without decoding. */
import { XZ_INDEX_BYTES_MAX, XZ_STREAMS_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { Encoding } from '../index.ts'
import type { RandomAccess } from '../tables/random-access.ts'
import { walkZstd } from './zstd-frames.ts'

/** A member, frame or stream, or several of them in a row. */
export interface Piece {
  offset: number
  length: number
  /** Decoded bytes, where the format promises them; a promise, not a proof. */
  content?: number
}

/**
 * The pieces of a file, in order, without gaps; undefined if its format tells no borders, or has them only at the ends.
 *
 * @throws ConversionError where the walk finds the file cut off, damaged or followed by something else
 */
export function piecesOf (file: RandomAccess, encoding: Encoding, name: string): Iterable<Piece> | undefined {
  switch (encoding) {
    case 'zstd': return walkZstd(file, name)
    case 'xz': return xzStreams(file, name)
    case 'gzip': return blockedGzip(file)
    case 'brotli': return undefined
  }
}

/** Bytes of a gzip header up to its extra field, and of the extra field BGZF writes. */
const GZIP_HEAD = 12
const BGZF_EXTRA = 6

/** Members say their own length in an extra field `BC` (BGZF, as bgzip writes it). One that does not ends the walk: the rest is one piece. */
function blockedGzip (file: RandomAccess): Iterable<Piece> | undefined {
  return bgzfLength(file, 0) == null ? undefined : members(file)
}

function * members (file: RandomAccess): Generator<Piece> {
  for (let offset = 0; offset < file.size;) {
    const length = Math.min(bgzfLength(file, offset) ?? Infinity, file.size - offset)
    yield { offset, length }
    offset += length
  }
}

function bgzfLength (file: RandomAccess, offset: number): number | undefined {
  if (offset + GZIP_HEAD + BGZF_EXTRA > file.size) return undefined
  const head = Buffer.from(file.read(offset, GZIP_HEAD + BGZF_EXTRA))
  if (head.readUInt32BE(0) !== 0x1f8b0804 || head.readUInt16LE(10) !== BGZF_EXTRA || head.readUInt32BE(12) !== 0x42430200) return undefined
  const length = head.readUInt16LE(16) + 1
  // Shorter than its own header and trailer: no length at all.
  return length < GZIP_HEAD + BGZF_EXTRA + 8 ? undefined : length
}

/** Bytes of a stream's header and of its footer. */
const XZ_ENDS = 12

/** Bytes of padding behind a stream that are looked through; a device's block at most, usually none. */
const XZ_PADDING_MAX = 64 * 1024

/** Zeros before a position, in fours. */
function paddingBefore (file: RandomAccess, end: number): number {
  const length = Math.min(XZ_PADDING_MAX + 4, end)
  const bytes = file.read(end - length, length)
  let at = length
  while (at >= 4 && bytes[at - 1] === 0 && bytes[at - 2] === 0 && bytes[at - 3] === 0 && bytes[at - 4] === 0) at -= 4
  return length - at
}

/** Found from the end: the footer says how long the index is, and the index how long the blocks are. */
function xzStreams (file: RandomAccess, name: string): Piece[] | undefined {
  const bad = (what: string, bytes: number): ConversionError => new ConversionError('bad-input', `${name}: its xz data ${what}, after ${bytes} bytes`, { bytes })
  const pieces: Piece[] = []
  for (let end = file.size; end > 0;) {
    const footerEnd = end - paddingBefore(file, end)
    // As much padding as that is for the decoder to judge.
    if (end - footerEnd > XZ_PADDING_MAX) return undefined
    if (footerEnd < 2 * XZ_ENDS) throw bad('is cut off, or followed by something else', footerEnd)
    const footer = Buffer.from(file.read(footerEnd - XZ_ENDS, XZ_ENDS))
    if (footer.toString('latin1', 10) !== 'YZ') throw bad('is cut off, or followed by something else', footerEnd)
    const indexBytes = (footer.readUInt32LE(4) + 1) * 4
    const indexAt = footerEnd - XZ_ENDS - indexBytes
    if (indexAt < XZ_ENDS) throw bad('is damaged (an index longer than the file)', footerEnd)
    // Its decoder will say what is to be said of it.
    if (indexBytes > XZ_INDEX_BYTES_MAX || pieces.length >= XZ_STREAMS_MAX) return undefined
    const blocks = readIndex(file.read(indexAt, indexBytes))
    if (blocks == null) throw bad('is damaged (its index)', indexAt)
    const offset = indexAt - blocks.coded - XZ_ENDS
    if (offset < 0 || !isXzHeader(file.read(offset, XZ_ENDS))) throw bad('is damaged (its index)', indexAt)
    pieces.push({ offset, length: end - offset, content: blocks.plain })
    end = offset
  }
  return pieces.toReversed()
}

function isXzHeader (bytes: Uint8Array): boolean {
  return Buffer.from(bytes).toString('hex', 0, 6) === 'fd377a585a00'
}

/** Sums over an index's records, or undefined if it is none. */
function readIndex (bytes: Uint8Array): { coded: number, plain: number } | undefined {
  let at = 1
  const number = (): number => {
    let value = 0
    for (let i = 0; i < 9; i++) {
      const byte = bytes[at++]
      if (byte == null) return NaN
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) return value
    }
    return NaN
  }
  if (bytes[0] !== 0) return undefined
  const records = number()
  let coded = 0
  let plain = 0
  // Every record takes bytes of the index, so a lie about their number ends with it.
  for (let i = 0; i < records; i++) {
    coded += Math.ceil(number() / 4) * 4
    plain += number()
    if (!Number.isSafeInteger(coded) || !Number.isSafeInteger(plain)) return undefined
  }
  return Number.isSafeInteger(records) ? { coded, plain } : undefined
}
