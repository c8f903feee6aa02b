/**
 * Length-prefixed messages on a stream, within limits.
 *
 * libp2p's `lpStream` reads a length byte by byte for as long as it does not decode, so that a peer sending 0xff without
 * end would fill the memory: its decoder is replaced by one that gives up.
 */
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'

/** Bytes of a length: enough for 256 MiB, more than any message of ours. */
const LENGTH_BYTES_MAX = 4

export interface Messages {
  /** The next message. Rejects if it is too long, the stream ends or the signal fires. */
  read: (options: { signal: AbortSignal }) => Promise<Uint8Array>
  /** Resolves when the message is queued and the stream takes more. */
  write: (message: Uint8Array, options: { signal: AbortSignal }) => Promise<void>
}

/** A peer sent a length no message of ours has. */
export class MessageLengthError extends Error {
  override name = 'MessageLengthError'
}

/**
 * Call it in the tick the stream arrives in, before anything is awaited.
 *
 * @param maxBytes of one message
 */
export function messagesOf (stream: Stream, maxBytes: number): Messages {
  const messages = lpStream(stream, { maxDataLength: maxBytes, maxBufferSize: 4 * maxBytes + LENGTH_BYTES_MAX, lengthDecoder: decodeLength })
  return {
    read: async options => (await messages.read(options)).subarray(),
    write: async (message, options) => { await messages.write(message, options) }
  }
}

/** RangeError means "more bytes, please" to lpStream. */
function decodeLength (prefix: { subarray: () => Uint8Array }): number {
  const bytes = prefix.subarray()
  let length = 0
  for (const [index, byte] of bytes.entries()) {
    length += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) return length
  }
  if (bytes.byteLength >= LENGTH_BYTES_MAX) throw new MessageLengthError(`a message length of more than ${LENGTH_BYTES_MAX} bytes`)
  throw new RangeError('the length continues')
}

/**
 * Resets a stream that somebody else's code reads with `lpStream` when a length has too many bytes or is above the limit.
 * Attach it in the tick in which the reader attaches: data goes to the listeners there are.
 *
 * @param allow is asked for each message when its length is known; false resets the stream
 */
export function guardLengths (stream: Stream, maxBytes: number, allow: (bytes: number) => boolean = () => true): void {
  let length = 0
  let lengthBytes = 0
  /** Bytes of the current message still to come. */
  let left = 0
  stream.addEventListener('message', ({ data }) => {
    const bytes = data.subarray()
    let at = 0
    while (at < bytes.byteLength) {
      if (left > 0) {
        const skipped = Math.min(left, bytes.byteLength - at)
        left -= skipped
        at += skipped
        continue
      }
      const byte = bytes[at++] ?? 0
      length += (byte & 0x7f) * 2 ** (7 * lengthBytes)
      lengthBytes++
      if (byte >= 0x80 && lengthBytes < LENGTH_BYTES_MAX) continue
      if (byte >= 0x80 || length > maxBytes) {
        stream.abort(new MessageLengthError(`a message of more than ${maxBytes} bytes`))
        return
      }
      if (!allow(length)) {
        stream.abort(new MessageLengthError('more messages than this node takes'))
        return
      }
      left = length
      length = 0
      lengthBytes = 0
    }
  })
}
