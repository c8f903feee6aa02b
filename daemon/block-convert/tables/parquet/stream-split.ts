/** BYTE_STREAM_SPLIT: the first bytes of all values, then their second bytes, and so on. */
import { malformed } from './decoder.ts'
import type { Leaf } from './schema.ts'

/** Bytes of one value. */
export function splitWidth ({ physical, typeLength }: Leaf): number {
  return physical === 'FIXED_LEN_BYTE_ARRAY' ? typeLength : physical === 'INT32' || physical === 'FLOAT' ? 4 : 8
}

/** The values one after the other. @throws ConversionError `bad-input` */
export function unsplit (bytes: Uint8Array, width: number): Uint8Array {
  const count = bytes.length / width
  if (!Number.isInteger(count)) throw malformed(`${bytes.length} bytes are no values of ${width} bytes`)
  const out = new Uint8Array(bytes.length)
  for (let b = 0; b < width; b++) for (let i = 0; i < count; i++) out[i * width + b] = bytes[b * count + i] as number
  return out
}
