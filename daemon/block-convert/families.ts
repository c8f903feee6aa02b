/** The one list of families, and look-ups over it. A new family is added here and nowhere else. */
import { archives } from './archives/index.ts'
import { probe } from './probe/index.ts'
import { tables } from './tables/index.ts'
import { ENCODING_EXTENSIONS } from './encodings.ts'
import { ConversionError } from './errors.ts'
import type { Converter, Encoding, Family, MediaType } from './index.ts'

export { ENCODING_EXTENSIONS } from './encodings.ts'

export const families: Family[] = [tables, probe, archives]

/** Resolves what a user calls a type: a media type or a usual extension, with or without a leading dot. */
export function mediaTypeOf (name: string): MediaType {
  const wanted = name.toLowerCase().replace(/^\./, '')
  for (const family of families) {
    for (const { mediaType, extensions } of family.mediaTypes) {
      if (mediaType === wanted || extensions.includes(wanted)) return mediaType
    }
  }
  const known = families.flatMap(f => f.mediaTypes.map(t => t.extensions[0] ?? t.mediaType)).join(', ')
  throw new ConversionError('unknown-type', `unknown type '${name}': use a media type or one of ${known}`, { type: name })
}

/** What a user calls a target: a type as for `mediaTypeOf`, or an extension with a compression's behind it (`csv.gz`). */
export function parseTarget (name: string): { mediaType: MediaType, encoding?: Encoding } {
  const wanted = name.toLowerCase().replace(/^\./, '')
  for (const [encoding, extensions] of Object.entries(ENCODING_EXTENSIONS) as Array<[Encoding, string[]]>) {
    const extension = extensions.find(candidate => wanted.endsWith(`.${candidate}`))
    if (extension != null) return { mediaType: mediaTypeOf(wanted.slice(0, -extension.length - 1)), encoding }
  }
  return { mediaType: mediaTypeOf(wanted) }
}

/** The preferred extension of a media type, without dot. */
export function extensionOf (mediaType: MediaType): string {
  for (const family of families) {
    for (const entry of family.mediaTypes) if (entry.mediaType === mediaType) return entry.extensions[0] ?? 'bin'
  }
  return 'bin'
}

export function listConverters (): Converter[] {
  return families.flatMap(f => f.converters)
}

/** The converter of an edge, or undefined if this build has none. */
export function findConverter (from: MediaType, to: MediaType): Converter | undefined {
  return listConverters().find(c => c.from === from && c.to === to)
}

/** The converter with an id, and the same version if one is given, or undefined. */
export function converterById (id: string, version?: string): Converter | undefined {
  return listConverters().find(c => c.id === id && (version == null || c.version === version))
}

export function familyOf (converterId: string): Family {
  const family = families.find(f => f.converters.some(c => c.id === converterId))
  if (family == null) throw new ConversionError('unknown-type', `no converter '${converterId}' in this build`, { converter: converterId })
  return family
}
