/** Buffers of compressed record batches, unpacked to no more than they announce and no more than is allowed at once. */
import { zstdDecompressSync } from 'node:zlib'
import { Malformed } from './flatbuffer.ts'
import { UNPACKED_BYTES_MAX } from './limits.ts'
import { unpackLz4Frame } from './lz4.ts'
import type { Codec } from './metadata.ts'

/** Before the bytes of a buffer stands how many there are when unpacked; this says that they are not packed. */
const STORED = -1n
const PREFIX_BYTES = 8

/** Exactly `size` bytes out of `packed`. @throws Malformed */
export function unpack (codec: Codec, packed: Uint8Array, size: number): Uint8Array {
  if (size === 0) return new Uint8Array(0)
  if (size > UNPACKED_BYTES_MAX) throw new Malformed(`a compressed buffer announces ${size} bytes, more than ${UNPACKED_BYTES_MAX}`)
  if (codec === 'lz4') return unpackLz4Frame(packed, size)
  let bytes: Buffer
  try {
    bytes = zstdDecompressSync(packed, { maxOutputLength: size })
  } catch (error) {
    throw new Malformed(`a buffer cannot be unpacked by zstd (${(error as Error).message})`)
  }
  if (bytes.length !== size) throw new Malformed(`a compressed buffer has ${bytes.length} bytes instead of ${size}`)
  // Typed arrays are laid over it, which wants it where a buffer begins.
  return bytes.byteOffset % 16 === 0 ? bytes : new Uint8Array(bytes)
}

/** Unpacks the buffers of one record batch, counting what they come to. */
export class Unpacker {
  readonly #codec: Codec
  #left = UNPACKED_BYTES_MAX

  constructor (codec: Codec) {
    this.#codec = codec
  }

  /** A buffer of `length` bytes as it stands in the body: its size, and its bytes once they are wanted. @throws Malformed */
  buffer (length: number, read: (from: number, to: number) => Uint8Array): { size: number, bytes: () => Uint8Array } {
    if (length === 0) return { size: 0, bytes: () => new Uint8Array(0) }
    if (length < PREFIX_BYTES) throw new Malformed('a compressed buffer without a length')
    const prefix = read(0, PREFIX_BYTES)
    const size = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigInt64(0, true)
    if (size === STORED) return { size: length - PREFIX_BYTES, bytes: () => read(PREFIX_BYTES, length) }
    if (size < 0n || size > BigInt(this.#left)) throw new Malformed(`the compressed buffers of a record batch announce more than ${UNPACKED_BYTES_MAX} bytes`)
    this.#left -= Number(size)
    let unpacked: Uint8Array | undefined
    return { size: Number(size), bytes: () => unpacked ??= unpack(this.#codec, read(PREFIX_BYTES, length), Number(size)) }
  }
}
