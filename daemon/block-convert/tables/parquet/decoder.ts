/** What the decoders of Parquet values have in common. */
import { ConversionError } from '../../errors.ts'
import type { Encoding } from './pages.ts'
import type { Leaf } from './schema.ts'

/** Decodes the `count` values (no NULLs among them) that `bytes` consist of. */
export type Decoder = (bytes: Uint8Array, encoding: Encoding, count: number) => unknown[]

export interface Reader { view: DataView, offset: number }

export function malformed (what: string): ConversionError {
  return new ConversionError('bad-input', `malformed Parquet page: ${what}`)
}

export function viewOf (bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function requireBytes (bytes: Uint8Array, length: number): void {
  if (bytes.length < length) throw malformed(`it has ${bytes.length} bytes of values instead of ${length}`)
}

export function unsupportedEncoding (leaf: Leaf, encoding: Encoding): ConversionError {
  return new ConversionError('unsupported', `column '${leaf.path}' has pages encoded as ${encoding}, which is not supported for ${leaf.physical}; write the file again with another encoding`)
}
