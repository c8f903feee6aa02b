/** Which converter carries a job, and what has to happen before it: decided from names and types alone. */
import { ENCODING_TYPES, OCTETS } from './archives/constants.ts'
import { ARCHIVE_KEYS, encodingOfType } from './archives/settings.ts'
import { ConversionError } from './errors.ts'
import { ENCODING_EXTENSIONS, extensionOf, findConverter, parseTarget } from './families.ts'
import type { Encoding, Input, MediaType } from './index.ts'

export interface Route {
  /** Media types of the converter that does it: `findConverter(from, to)` is there, in this build; peers advertise the same. */
  from: MediaType
  to: MediaType
  /** The output's type below its compression. */
  mediaType: MediaType
  /** How the output is compressed as a whole. */
  encoding?: Encoding
  /** Usual extension of the output, without dot: `csv.gz`. */
  extension: string
  /** The inputs that are compressed are decoded before they are split. */
  decode: boolean
  /** Bytes are compressed or decompressed, or both, and never looked into. */
  archive: boolean
}

/**
 * The way from described inputs to a target as users name it (`parquet`, `csv.gz`, `gz`, a media type). Looks at nothing but its
 * arguments.
 *
 * @throws ConversionError `unknown-type` (no such type, no converter), `unsupported` (inputs of several types), `bad-parameters` (none)
 */
export function planRoute (inputs: Input[], target: string, settings: Record<string, string>): Route {
  const first = inputs[0]
  if (first == null) throw new ConversionError('bad-parameters', 'a conversion needs at least one input', { key: 'inputs' })
  const other = inputs.find(input => input.mediaType !== first.mediaType)
  if (other != null) throw new ConversionError('unsupported', `'${other.path}' is ${other.mediaType} but '${first.path}' is ${first.mediaType}; inputs of one output need one type`, { path: other.path })

  const named = parseTarget(target)
  // `gz` alone compresses whatever comes in.
  const bare = named.encoding == null ? encodingOfType(named.mediaType) : undefined
  const encoding = named.encoding ?? bare
  const mediaType = bare != null ? first.mediaType : named.mediaType
  const output = { mediaType, ...(encoding != null ? { encoding } : {}), extension: extensionFor(target, mediaType, encoding) }

  // Nothing is asked of the content, so its bytes stay what they are, whatever they are.
  if (inputs.length === 1 && (mediaType === first.mediaType || mediaType === OCTETS) && Object.keys(settings).every(key => ARCHIVE_KEYS.includes(key))) {
    if (encoding != null) return { ...output, from: OCTETS, to: ENCODING_TYPES[encoding], decode: first.encoding != null, archive: true }
    if (first.encoding != null) return { ...output, from: ENCODING_TYPES[first.encoding], to: OCTETS, decode: false, archive: true }
  }
  const from = first.mediaType
  if (findConverter(from, mediaType) == null) {
    if (from === OCTETS) throw new ConversionError('unknown-type', `cannot tell what '${first.path}' is, and nothing converts any bytes to ${extensionOf(mediaType)}; name its type with --from`, { path: first.path, from, to: mediaType })
    throw new ConversionError('unknown-type', `there is no converter from ${from} to ${mediaType}`, { from, to: mediaType })
  }
  return { ...output, from, to: mediaType, decode: inputs.some(input => input.encoding != null), archive: false }
}

function extensionFor (target: string, mediaType: MediaType, encoding?: Encoding): string {
  // What the user calls it, if that is an extension: `tsv.gz`, `jsonl`.
  if (!target.includes('/')) return target.toLowerCase().replace(/^\./, '')
  return extensionOf(mediaType) + (encoding != null ? `.${ENCODING_EXTENSIONS[encoding][0]}` : '')
}
