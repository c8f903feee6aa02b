/** xz by liblzma, through lzma-native's bare stream: its wrapper takes a cut off file for a whole one, and queues without bound. */
import { XZ_CALL_BYTES, XZ_MEMORY_BYTES } from './constants.ts'

/** What the library says when a file is at fault. */
export class XzError extends Error {
  /** As in `LZMA_DATA_ERROR`. */
  readonly code: string
  constructor (code: string) {
    super(code)
    this.code = code
  }
}

/** All streams, with their padding, to the end. Throws XzError. `taken` is told how many bytes the decoder has had. */
export async function * unxz (chunks: Iterable<Uint8Array>, taken: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const { default: lzma } = await import('lzma-native')
  const stream = new lzma.Stream()
  try {
    stream.streamDecoder_(XZ_MEMORY_BYTES, lzma.CONCATENATED)
    yield * code(stream, chunks, XZ_CALL_BYTES, taken)
  } finally {
    stream.resetUnderlying()
  }
}

/** One stream. */
export async function * xz (chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, level: number): AsyncGenerator<Uint8Array> {
  const { default: lzma } = await import('lzma-native')
  const stream = new lzma.Stream()
  try {
    stream.easyEncoder_(level, lzma.CHECK_CRC64)
    yield * code(stream, chunks, XZ_CALL_BYTES * 8, () => {})
  } finally {
    stream.resetUnderlying()
  }
}

/** Bytes of memory compressing takes. */
export async function xzMemory (level: number): Promise<number> {
  return (await import('lzma-native')).default.easyEncoderMemusage(level)
}

interface BareStream {
  bufferHandler: (chunk: Buffer | null | undefined, processed: number | undefined, error: Error | null | undefined) => void
  code: (input: Uint8Array | null, async: boolean) => void
}

async function * code (stream: BareStream, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, callBytes: number, taken: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let given: Buffer[] = []
  let failure: Error | undefined
  stream.bufferHandler = (chunk, _processed, error) => {
    if (error != null) failure ??= error
    else if (chunk != null) given.push(chunk)
  }
  const step = function * (input: Uint8Array | null): Generator<Uint8Array> {
    given = []
    stream.code(input, false)
    yield * given
    if (failure != null) throw new XzError(failure.name)
  }
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += callBytes) {
      const piece = chunk.subarray(at, at + callBytes)
      yield * step(piece)
      taken(piece.length)
    }
  }
  yield * step(null)
}
