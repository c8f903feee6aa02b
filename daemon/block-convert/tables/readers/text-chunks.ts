/** UTF-8 text in pieces: whole characters only, ASCII at the speed of copying. */
import { isAscii } from 'node:buffer'
import { ConversionError } from '../../errors.ts'
import { READ_BYTES } from '../parquet-limits.ts'
import type { RandomAccess } from '../random-access.ts'

const BOM = '\ufeff'

/**
 * Yields the text of a file in pieces of about READ_BYTES. A byte order mark at its beginning is left out.
 *
 * @throws ConversionError `bad-input` if the bytes are not UTF-8
 */
export function * textChunks (file: RandomAccess): Generator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, Math.max(file.size, 1)))
  let offset = 0
  /** The decoder may hold the beginning of a character. */
  let pending = false
  while (offset < file.size) {
    const count = file.readInto(buffer, offset)
    if (count === 0) break
    const piece = buffer.subarray(0, count)
    let text: string
    if (!pending && isAscii(piece)) text = piece.toString('latin1')
    else {
      try {
        text = decoder.decode(piece, { stream: true })
      } catch {
        // the decoder's own message has no position
        throw notUtf8(file, offset)
      }
      pending = (piece[count - 1] as number) >= 0x80
    }
    if (offset === 0 && text.startsWith(BOM)) text = text.slice(1)
    offset += count
    if (text.length > 0) yield text
  }
  if (pending) {
    try {
      decoder.decode()
    } catch {
      // as above
      throw notUtf8(file, offset)
    }
  }
}

function notUtf8 (file: RandomAccess, offset: number): ConversionError {
  return new ConversionError('bad-input', `${file.name()} is not UTF-8 text: see the ${READ_BYTES} bytes from byte ${offset} on`, { offset })
}
