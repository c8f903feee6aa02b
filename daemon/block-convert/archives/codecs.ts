/** Decoding to the end, and compressing, as streams of bytes. Every decoder here reads all members, frames or streams, and nothing less. */
import { Readable, pipeline, type Transform } from 'node:stream'
import { constants, createBrotliCompress, createBrotliDecompress, createGunzip, createGzip, createZstdCompress, createZstdDecompress, zstdDecompressSync, type BrotliOptions, type ZlibOptions, type ZstdOptions } from 'node:zlib'
import { CODED_CHUNK_BYTES, DECODED_BYTES_MAX, EXPANSION_DEFAULT, EXPANSION_FLOOR_BYTES, PLAIN_CHUNK_BYTES, XZ_MEMORY_BYTES, ZSTD_SMALL_FRAME_BYTES, ZSTD_WINDOW_LOG_MAX } from './constants.ts'
import { ConversionError } from '../errors.ts'
import type { BlockSource, Encoding } from '../index.ts'
import { RandomAccess } from '../tables/random-access.ts'
import { unxz, xz, XzError } from './xz.ts'
import { walkZstd, type ZstdFrame } from './zstd-frames.ts'

export interface DecodeOptions {
  /** What messages call it: `'/data/x.csv.gz'`, `the block`. */
  name: string
  /** Decoded bytes per byte of input at most, beyond a floor. @default EXPANSION_DEFAULT */
  expansion?: number
  /** Decoded bytes at most, whatever the ratio. @default DECODED_BYTES_MAX */
  mostBytes?: number
  /** zstd frames at most: each costs tens of microseconds, however little is in it. @default any number */
  mostFrames?: number
  /**
   * Zeros behind the last gzip member or xz stream: users' files may have them, as tapes do. A result may not: what the merger appends
   * would lie behind them.
   * @default 'allow'
   */
  padding?: 'allow' | 'refuse'
}

/**
 * The decoded bytes, in chunks that are the caller's to keep.
 *
 * @throws ConversionError `bad-input` (cut off, damaged, followed by something else, a decompression bomb) or `unsupported` (a
 * dictionary, too large a window), with the name and the bytes read by then
 */
export async function * decode (source: BlockSource, encoding: Encoding, options: DecodeOptions): AsyncGenerator<Uint8Array> {
  const file = new RandomAccess(source)
  try {
    const limit = new Limit(encoding, file.size, options)
    for await (const chunk of DECODERS[encoding](file, options.name, options)) {
      limit.add(chunk.length)
      yield chunk
    }
  } finally {
    file.close()
  }
}

class Limit {
  #bytes = 0
  readonly #encoding: Encoding
  readonly #size: number
  readonly #name: string
  readonly #expansion: number
  readonly #mostBytes: number

  constructor (encoding: Encoding, size: number, { name, expansion = EXPANSION_DEFAULT, mostBytes = DECODED_BYTES_MAX }: DecodeOptions) {
    this.#encoding = encoding
    this.#size = size
    this.#name = name
    this.#expansion = expansion
    this.#mostBytes = mostBytes
  }

  add (bytes: number): void {
    this.#bytes += bytes
    requireExpansion(this.#name, this.#encoding, this.#size, this.#bytes, this.#expansion)
    if (this.#bytes > this.#mostBytes) throw new ConversionError('bad-input', `${this.#name}: its ${this.#encoding} data is more than ${this.#mostBytes} bytes when decompressed, the limit`, { decoded: this.#bytes, most: this.#mostBytes })
  }
}

/** Refuses a decompression bomb: `decoded` bytes, or at least as many, of `size`. Throws ConversionError `bad-input`. */
export function requireExpansion (name: string, encoding: Encoding, size: number, decoded: number, expansion: number): void {
  if (decoded <= Math.max(EXPANSION_FLOOR_BYTES, size * expansion)) return
  const ratio = Math.floor(decoded / Math.max(1, size))
  throw new ConversionError('bad-input', `${name}: its ${size} bytes of ${encoding} data become more than ${ratio} times as many when decompressed, ${expansion} times are allowed; if it is no bomb, raise that with --set max_expansion=N`, { bytes: size, decoded, ratio, expansion })
}

type Decoder = (file: RandomAccess, name: string, options: DecodeOptions) => AsyncGenerator<Uint8Array>

const DECODERS: Record<Encoding, Decoder> = { gzip: gunzip, zstd: unzstd, brotli: unbrotli, xz: unxzFile }

async function * gunzip (file: RandomAccess, name: string, { padding }: DecodeOptions): AsyncGenerator<Uint8Array> {
  const engine = createGunzip({ chunkSize: PLAIN_CHUNK_BYTES })
  yield * through(engine, chunksOf(file), error => fault(name, 'gzip', error, engine.bytesWritten, file.size))
  if (padding === 'refuse' && engine.bytesWritten < file.size) throw fault(name, 'gzip', 'is followed by something else', engine.bytesWritten, file.size)
  // The engine stops at padding. Zeros up to a whole block of a tape are legal, data behind them would be lost.
  for (let at = engine.bytesWritten; at < file.size;) {
    const rest = file.read(at, Math.min(CODED_CHUNK_BYTES, file.size - at))
    const other = rest.findIndex(byte => byte !== 0)
    if (other >= 0) throw fault(name, 'gzip', 'is followed by something else', at + other, file.size)
    at += rest.length
  }
}

async function * unbrotli (file: RandomAccess, name: string): AsyncGenerator<Uint8Array> {
  const engine = createBrotliDecompress({ chunkSize: PLAIN_CHUNK_BYTES })
  yield * through(engine, chunksOf(file), error => fault(name, 'brotli', error, engine.bytesWritten, file.size))
  if (engine.bytesWritten < file.size) throw fault(name, 'brotli', 'is followed by something else', engine.bytesWritten, file.size)
}

async function * unzstd (file: RandomAccess, name: string, { mostFrames = Infinity }: DecodeOptions): AsyncGenerator<Uint8Array> {
  if (file.size === 0) throw fault(name, 'zstd', 'is cut off', 0, 0)
  let frames = 0
  for (const frame of walkZstd(file, name)) {
    if (++frames > mostFrames) throw fault(name, 'zstd', `is in more than ${mostFrames} frames`, frame.offset, file.size)
    if (frame.skippable) continue
    if (frame.length <= ZSTD_SMALL_FRAME_BYTES && frame.most <= ZSTD_SMALL_FRAME_BYTES) yield smallFrame(file, name, frame)
    else yield * largeFrame(file, name, frame)
  }
}

const ZSTD_OPTIONS: ZstdOptions = { chunkSize: PLAIN_CHUNK_BYTES, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } }

function smallFrame (file: RandomAccess, name: string, frame: ZstdFrame): Uint8Array {
  try {
    // Its blocks cannot hold more, so no header makes this allocate; and a buffer of its size only, since there may be many frames.
    const most = Math.max(1, frame.most)
    return zstdDecompressSync(file.read(frame.offset, frame.length), { ...ZSTD_OPTIONS, chunkSize: Math.min(PLAIN_CHUNK_BYTES, Math.max(64, most)), maxOutputLength: most })
  } catch (error) {
    throw fault(name, 'zstd', error, frame.offset, file.size)
  }
}

async function * largeFrame (file: RandomAccess, name: string, frame: ZstdFrame): AsyncGenerator<Uint8Array> {
  const engine = createZstdDecompress(ZSTD_OPTIONS)
  yield * through(engine, chunksOf(file, frame.offset, frame.offset + frame.length), error => fault(name, 'zstd', error, frame.offset + engine.bytesWritten, file.size))
  if (engine.bytesWritten !== frame.length) throw fault(name, 'zstd', 'is damaged (a frame ends before its last block)', frame.offset + engine.bytesWritten, file.size)
}

async function * unxzFile (file: RandomAccess, name: string, { padding }: DecodeOptions): AsyncGenerator<Uint8Array> {
  // A stream ends with the letters YZ; before anything is decoded, since the decoder does not tell where the last one ended.
  if (padding === 'refuse' && file.size > 0 && file.read(file.size - 1, 1)[0] === 0) throw fault(name, 'xz', 'is cut off, or followed by something else', file.size, file.size)
  let taken = 0
  try {
    yield * unxz(chunksOf(file), bytes => { taken += bytes })
  } catch (error) {
    throw fault(name, 'xz', error, taken, file.size)
  }
}

/** Bytes of a file as they lie. */
export function * chunksOf (file: RandomAccess, from = 0, to = file.size): Generator<Uint8Array> {
  for (let at = from; at < to;) {
    const chunk = file.read(at, Math.min(CODED_CHUNK_BYTES, to - at))
    yield chunk
    at += chunk.length
  }
}

/** Pulls bytes through an engine of zlib. Its failures are told by `fault`, those of the bytes' source pass. */
async function * through (engine: Transform, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, fault: (error: unknown) => unknown): AsyncGenerator<Uint8Array> {
  const source = Readable.from(chunks, { highWaterMark: 1 })
  // The first to fail takes the other with it, with its own error, so only the order tells whose it is.
  let failed: 'source' | 'engine' | undefined
  source.on('error', () => { failed ??= 'source' })
  engine.on('error', () => { failed ??= 'engine' })
  // A failure of either reaches the loop below, as the engine's own.
  pipeline(source, engine, () => {})
  try {
    yield * engine as AsyncIterable<Uint8Array>
  } catch (error) {
    throw failed === 'source' ? error : fault(error)
  } finally {
    // An engine that had enough leaves its source where it was.
    source.destroy()
  }
}

const CUT_OFF = new Set(['Z_BUF_ERROR', 'ERR_BUFFER_OUT_OF_BOUNDS', 'LZMA_BUF_ERROR'])

const XZ_FAULTS: Record<string, string> = {
  LZMA_BUF_ERROR: 'is cut off, or followed by something else',
  LZMA_FORMAT_ERROR: 'is no xz stream, or is followed by something else',
  LZMA_DATA_ERROR: 'is damaged',
  LZMA_OPTIONS_ERROR: 'uses a filter or an option that is not known here'
}

/** What went wrong, with the bytes read by then. */
function fault (name: string, encoding: Encoding, error: unknown, bytes: number, size: number): unknown {
  const bad = (what: string): ConversionError => new ConversionError('bad-input', `${name}: its ${encoding} data ${what}, after ${bytes} bytes`, { bytes })
  if (typeof error === 'string') return bad(error)
  if (error instanceof XzError) {
    if (error.code === 'LZMA_MEMLIMIT_ERROR') return new ConversionError('unsupported', `${name}: its xz data needs more than ${XZ_MEMORY_BYTES} bytes of memory, after ${bytes} bytes; compress it again with a smaller dictionary`, { bytes })
    return bad(XZ_FAULTS[error.code] ?? `is damaged (${error.code})`)
  }
  const { code, message } = error as { code?: string, message?: string }
  if (error instanceof ConversionError || code == null) return error
  if (code === 'Z_BUF_ERROR') bytes = size
  return bad(CUT_OFF.has(code) ? 'is cut off' : `is damaged (${message ?? code})`)
}

/** Levels there are, and what is taken without one: the middle of speed and size. brotli's own default of 11 is a hundred times slower. */
export const LEVELS: Record<Encoding, { min: number, max: number, usual: number }> = {
  gzip: { min: 1, max: 9, usual: 6 },
  zstd: { min: 1, max: 19, usual: 3 },
  brotli: { min: 0, max: 11, usual: 5 },
  xz: { min: 0, max: 9, usual: 6 }
}

/** One member, frame or stream, with a checksum where the format has one. `size`: bytes of all chunks, where it is known. */
export async function * compress (chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, encoding: Encoding, options: { level?: number, size?: number } = {}): AsyncGenerator<Uint8Array> {
  const level = options.level ?? LEVELS[encoding].usual
  if (encoding === 'xz') yield * xz(chunks, level)
  else yield * through(compressor(encoding, level, options.size), chunks, error => error)
}

function compressor (encoding: Exclude<Encoding, 'xz'>, level: number, size?: number): Transform {
  switch (encoding) {
    case 'gzip': return createGzip({ level, chunkSize: PLAIN_CHUNK_BYTES } satisfies ZlibOptions)
    case 'zstd': return createZstdCompress({
      chunkSize: PLAIN_CHUNK_BYTES,
      params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
      // With it the frame says how much it holds, which readers like to know.
      ...(size != null ? { pledgedSrcSize: size } : {})
    } satisfies ZstdOptions)
    case 'brotli': return createBrotliCompress({
      chunkSize: PLAIN_CHUNK_BYTES,
      params: { [constants.BROTLI_PARAM_QUALITY]: level, ...(size != null ? { [constants.BROTLI_PARAM_SIZE_HINT]: Math.min(size, 2 ** 30) } : {}) }
    } satisfies BrotliOptions)
  }
}

/** A member, frame or stream of these bytes; for small ones. */
export async function compressed (bytes: Uint8Array, encoding: Encoding, level?: number): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(compress([bytes], encoding, { ...(level != null ? { level } : {}), size: bytes.length })))
}
