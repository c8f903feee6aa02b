/**
 * Strict DAG-CBOR: the bytes of everything that is signed or hashed.
 *
 * The decoder of `@ipld/dag-cbor` recurses once per level and accepts map keys in any order, so that one object could
 * have many byte strings. Hence: size first, then depth by a scan that does not recurse, then decode, then the value
 * must encode to the bytes it came from.
 */
import * as dagCbor from '@ipld/dag-cbor'
import { CANONICAL_BYTES_MAX, CANONICAL_DEPTH_MAX } from './constants.ts'
import { CanonicalError } from './errors.ts'

export interface CanonicalOptions {
  /** Most bytes of the encoded value. @default CANONICAL_BYTES_MAX */
  maxBytes?: number
}

/**
 * The one encoding of a value.
 *
 * @throws CanonicalError `unencodable` (functions, undefined, NaN, cycles), `too-large`, `too-deep`
 */
export function encodeCanonical (value: unknown, options: CanonicalOptions = {}): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = dagCbor.encode(value)
  } catch (error) {
    throw new CanonicalError('unencodable', `not encodable as DAG-CBOR: ${(error as Error).message}`, { cause: error })
  }
  checkSize(bytes, options)
  scan(bytes)
  return bytes
}

/**
 * The value of strict DAG-CBOR bytes. Its shape is unknown: the caller checks it.
 *
 * @throws CanonicalError `too-large`, `too-deep`, `malformed`, `not-canonical`
 */
export function decodeCanonical (bytes: Uint8Array, options: CanonicalOptions = {}): unknown {
  checkSize(bytes, options)
  scan(bytes)
  let value: unknown
  let again: Uint8Array
  try {
    value = dagCbor.decode(bytes)
    again = dagCbor.encode(value)
  } catch (error) {
    throw new CanonicalError('malformed', `not DAG-CBOR: ${(error as Error).message}`, { cause: error })
  }
  if (Buffer.compare(bytes, again) !== 0) throw new CanonicalError('not-canonical', 'DAG-CBOR is not in its canonical form')
  return value
}

function checkSize (bytes: Uint8Array, { maxBytes = CANONICAL_BYTES_MAX }: CanonicalOptions): void {
  if (bytes.byteLength > maxBytes) throw new CanonicalError('too-large', `${bytes.byteLength} bytes of DAG-CBOR, at most ${maxBytes} are allowed`)
}

/** Walks the items without recursion: nesting within the limit, every length within the bytes, nothing left over. */
function scan (bytes: Uint8Array): void {
  /** Items still to come on each open level; its length is the depth. */
  const open: number[] = []
  let at = 0
  do {
    const [major, argument, next] = head(bytes, at)
    at = next
    let children = 0
    if (major === 2 || major === 3) at += argument
    else if (major === 4) children = argument
    else if (major === 5) children = argument * 2
    else if (major === 6) children = 1
    if (at > bytes.byteLength || children > bytes.byteLength - at) throw new CanonicalError('malformed', `a length at byte ${next} passes the end`)
    if (children > 0) {
      if (open.push(children) > CANONICAL_DEPTH_MAX) throw new CanonicalError('too-deep', `nested deeper than ${CANONICAL_DEPTH_MAX} levels`)
      continue
    }
    while (open.length > 0) {
      const left = (open.pop() ?? 0) - 1
      if (left > 0) {
        open.push(left)
        break
      }
    }
  } while (open.length > 0)
  if (at !== bytes.byteLength) throw new CanonicalError('malformed', `${bytes.byteLength - at} bytes after the value`)
}

/** Major type, argument (of a float or simple value: 0) and the position after them. */
function head (bytes: Uint8Array, at: number): [major: number, argument: number, next: number] {
  const initial = bytes[at]
  if (initial == null) throw new CanonicalError('malformed', 'ends within a value')
  const major = initial >> 5
  const info = initial & 31
  if (info > 27) throw new CanonicalError('malformed', `indefinite or reserved length at byte ${at}`)
  const width = info < 24 ? 0 : 1 << (info - 24)
  const next = at + 1 + width
  if (next > bytes.byteLength) throw new CanonicalError('malformed', 'ends within a value')
  if (major === 7) return [major, 0, next]
  let argument = info
  if (width > 0) {
    argument = 0
    for (let i = at + 1; i < next; i++) argument = argument * 256 + (bytes[i] ?? 0)
  }
  return [major, argument, next]
}
